"""Measurements of rhythm, intervals, axes, voltages and waves, by names with units."""

from __future__ import annotations

import numpy as np

from sklearn_bell._utils.beats import RATE
from sklearn_bell._utils.leads import standard_name
from sklearn_bell.feature_extraction._beats import FINE_RATE, MIN_SIMILARITY
from sklearn_bell.feature_extraction._delineation import TIME, delineate, inside, mean_at

_PREMATURE = 0.8  # of the typical RR interval, at most
_R_HEIGHT = 0.05  # mV: lower deflections are no R wave
_Q_DEPTH = 0.025  # mV: a Q wave lasts as long as it is deeper
_FLAT_T = 0.05  # mV: a smaller T wave has no polarity
# ms, for undefined intervals: medians of sinus rhythm in folds 1-6 of PTB-XL
_TYPICAL = {"p_ms": 116, "pr_ms": 160, "qrs_ms": 100, "qt_ms": 400, "qtc_fridericia_ms": 420}
# multiples of leads I and II (Einthoven, Goldberger)
_LIMB_LEADS: dict[str, tuple[float, float]] = {"I": (1, 0), "II": (0, 1), "III": (-1, 1)}
_LIMB_LEADS |= {"aVR": (-0.5, -0.5), "aVL": (1, -0.5), "aVF": (-0.5, 1)}


def measure(x, lead_names):
    """Measure clean records (n, n_leads, n_samples).

    Returns
    -------
    of_records : dict of str to ndarray of shape (n,)
    of_leads : dict of str to ndarray of shape (n, n_leads)
    """
    delineation = delineate(x)
    median, boundaries = delineation.median, delineation.boundaries
    level = mean_at(median, boundaries[:, 2] - 10)  # just before QRS
    beats = median - level[..., None]
    waves = _measure_waves(beats, delineation)
    of_records = _measure_rhythm(delineation) | _measure_intervals(delineation)
    of_records |= _measure_named_leads(beats, waves, boundaries, lead_names)
    of_leads = {"sd_mv": x.std(axis=-1), "max_mv": x.max(axis=-1), "min_mv": x.min(axis=-1)}
    for ms in range(-240, 400, 40):
        of_leads[f"beat_{ms:+d}ms_mv"] = median[..., np.searchsorted(TIME, ms)]
    return of_records, of_leads | waves


def _measure_rhythm(delineation):
    """Return statistics of RR intervals, and counts of beats; zero for too few beats."""
    records = []
    for beats, similarity in zip(delineation.beats, delineation.similarity, strict=True):
        # ms; zero stands for missing intervals and for their missing changes
        rr = np.diff(beats) * 1000 / RATE if len(beats) > 1 else np.zeros(1)
        change = np.abs(np.diff(rr)) if len(rr) > 1 else np.zeros(1)
        median = np.median(rr)
        # in bigeminy the median may be a short interval, but pairs of short and long are alike
        typical = np.median(rr[1:] + rr[:-1]) / 2 if len(rr) > 1 else median
        is_premature = np.append(False, rr < _PREMATURE * typical)[: len(beats)]
        is_aberrant = similarity < MIN_SIMILARITY
        records.append(
            {
                "heart_rate_bpm": 60_000 / median if median else 0,
                "rr_sd_ms": rr.std(),
                "rr_rmssd_ms": np.sqrt(np.mean(change**2)),
                "rr_min_ms": rr.min(),
                "rr_max_ms": rr.max(),
                "rr_cv": rr.std() / (rr.mean() or 1),
                "rr_irregularity": np.median(change) / (median or 1),
                "rr_pnn50": np.mean(change > 50),
                "n_beats": len(beats),
                "n_premature": is_premature.sum(),
                "n_aberrant": is_aberrant.sum(),
                "n_premature_aberrant": (is_premature & is_aberrant).sum(),
            }
        )
    return {name: np.array([record[name] for record in records]) for name in records[0]}


def _measure_intervals(delineation):
    """Return intervals, or where undefined a typical value, and the presence of P."""
    p_onset, p_offset, qrs_onset, qrs_offset, _, t_offset = delineation.boundaries.T
    qt = t_offset - qrs_onset
    qtc = qt / np.cbrt(delineation.rr / 1000)
    spans = p_offset - p_onset, qrs_onset - p_onset, qrs_offset - qrs_onset, qt, qtc
    presence = {"p_present": np.isfinite(p_onset), "p_consistency": delineation.p_consistency}
    return presence | {
        name: np.where(np.isnan(span), typical, span)
        for (name, typical), span in zip(_TYPICAL.items(), spans, strict=True)
    }


def _measure_waves(beats, delineation):
    """Return amplitudes and shapes of the waves in each lead (n, n_leads), zero where undefined."""
    qrs_onset, qrs_offset = delineation.boundaries[:, 2:4].T
    p_peak, t_peak = delineation.peaks.T
    qrs = np.where(inside(qrs_onset, qrs_offset)[:, None], beats, 0)  # (n, n_leads, n_times)
    q, rs = _split_qrs(qrs)
    st = {ms: mean_at(beats, qrs_offset + ms) for ms in (20, 60, 80)}
    t = mean_at(beats, t_peak)
    return {
        "p_mv": mean_at(beats, p_peak),
        "q_mv": q.min(axis=-1),
        "q_ms": (q < -_Q_DEPTH).sum(axis=-1) * 1000 / FINE_RATE,
        "r_mv": rs.max(axis=-1),
        "s_mv": rs.min(axis=-1),
        "st_mv": st[60],
        "st_slope_mv_per_s": (st[80] - st[20]) / 0.06,
        "t_mv": t,
        "t_polarity": np.sign(t) * (np.abs(t) >= _FLAT_T),
    }


def _split_qrs(qrs):
    """Return QRS before R, and from R on; it is zero elsewhere. Without R, all is before."""
    from_r = np.logical_or.accumulate(qrs >= _R_HEIGHT, axis=-1)
    return np.where(from_r, 0, qrs), np.where(from_r, qrs, 0)


def _measure_named_leads(beats, waves, boundaries, lead_names):
    """Return the axes and voltages for which there are leads of the necessary names."""
    names = [standard_name(name) for name in lead_names]
    # QS counts as S, also where an elevated ST makes its end look like R
    lowest = np.minimum(waves["q_mv"], waves["s_mv"])
    r, s = (dict(zip(names, wave.T, strict=True)) for wave in (waves["r_mv"], lowest))
    within = [inside(*boundaries[:, k : k + 2].T) for k in (0, 2, 4)]  # P, QRS, T
    features = {}

    limbs = np.array([_LIMB_LEADS.get(name, (0, 0)) for name in names])
    if np.linalg.matrix_rank(limbs) == 2:
        i, ii = _fit_limb_leads(beats, limbs)  # (n, n_times) each
        for wave, span in zip(("p", "qrs", "t"), within, strict=True):
            area_i, area_ii = np.where(span, (i, ii), 0).sum(axis=-1)
            # aVF = II - I / 2 points to 90 degrees; 1 mV counts 2 / sqrt(3) as much as in I
            area_up = (2 * area_ii - area_i) / np.sqrt(3)
            features[f"{wave}_axis_deg"] = np.degrees(np.arctan2(area_up, area_i))
        angle = features["qrs_axis_deg"] - features["t_axis_deg"]
        has_t = np.isfinite(boundaries[:, 4])
        features["qrs_t_angle_deg"] = has_t * np.abs((angle + 180) % 360 - 180)
        _, rs = _split_qrs(np.where(within[1], i - ii / 2, 0))
        derived = rs.max(axis=-1)
        # R of a flat aVL is zero
        r["aVL"] = np.where(r["aVL"] > 0, r["aVL"], derived) if "aVL" in r else derived
    lateral = [r[name] for name in ("V5", "V6") if name in r]
    if "V1" in s and lateral:
        features["sokolow_lyon_mv"] = np.maximum.reduce(lateral) - s["V1"]
    if "V3" in s and "aVL" in r:
        features["cornell_mv"] = r["aVL"] - s["V3"]
    return features


def _fit_limb_leads(beats, limbs):
    """Return leads I and II (2, n, n_times), by least squares from the limb leads of each record.

    Flat leads are missing, not measurements of 0 mV. The result is zero where fewer than two
    independent leads remain.
    """
    multiples = limbs * beats.any(axis=-1)[..., None]  # (n, n_leads, 2)
    is_defined = np.linalg.matrix_rank(multiples) == 2
    weights = np.linalg.pinv(multiples) * is_defined[:, None, None]
    return np.einsum("nkl,nlt->knt", weights, beats)
