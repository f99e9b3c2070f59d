"""Measure the errors of PR, QRS and QT against the marks of cardiologists in LUDB.

    python benchmarks/bench_delineation.py [--data DIR] [--records FIRST LAST]

``DIR`` is the folder of LUDB, or the one around ``ludb``; by default ``SKLEARN_BELL_DATA``.
``ECGFeatures.delineate`` was developed on records 1-100; 101-200 are the default. Records have
twelve leads at 100 Hz.

The reference of a record comes from the marks on all leads. In each lead, the time of a boundary is
its median over beats, from the median mark of QRS over leads. A wave counts in leads where at least
half of the beats have it. Three rules join the leads of a record:

- ``extreme``: the earliest onset and the latest offset, as the standard for computers says
  (IEC 60601-2-51), which makes intervals longer the more leads there are with errors;
- ``third``: the third earliest onset and the third latest offset, so that three leads agree;
- ``median``: the median of onsets and of offsets, the interval of a typical lead.

NeuroKit2 (``pip install neurokit2``) delineates the same records lead by lead from R peaks of lead
II, by wavelets (its default) and by prominence, at 100 Hz and at LUDB's own 500 Hz. The same rule
joins its leads. Of its other methods, ``peak`` has no offsets, and ``cwt`` returns lists that do
not correspond to R peaks.

Figures are median absolute errors in ms with bootstrap 95 % intervals over records. A record
without an estimate counts as an infinite error. The script exits with an error where a median is
above ``MOST_MS_OFF``, or where a record takes more than ``MOST_MS_PER_RECORD`` of one core.
"""

import argparse
import importlib.util
import sys
import time
import warnings

import numpy as np
import wfdb
from _common import describe_machine

from sklearn_bell.datasets import load_ludb
from sklearn_bell.datasets._ludb import LUDB
from sklearn_bell.feature_extraction import ECGFeatures

MOST_MS_OFF = 20.0
MOST_MS_PER_RECORD = 5.0
RULES = {"extreme": 0, "third": 2, "median": None}  # position of a lead in order; or the median
LEADS = ("i", "ii", "iii", "avr", "avl", "avf", "v1", "v2", "v3", "v4", "v5", "v6")
SAMPLES_PER_MS = 0.5  # of LUDB's marks
# column of the onset; that of the offset follows
WAVES = {"p": 0, "N": 2, "t": 4}
INTERVALS = {"QRS": (2, 3), "PR": (0, 2), "QT": (2, 5)}  # columns of their onset and offset
NEUROKIT = (("dwt", 100), ("dwt", 500), ("prominence", 100), ("prominence", 500))
N_BOOTSTRAPS = 2000


def read_marks(path, lead):
    """Return wave, onset, peak and offset (ms) of the marks on a lead; NaN where missing."""
    marks = wfdb.rdann(str(path), lead)
    symbols, times = ["", *marks.symbol, ""], [np.nan, *(marks.sample / SAMPLES_PER_MS), np.nan]
    waves = []
    for i, symbol in enumerate(symbols):
        if symbol in WAVES:
            onset = times[i - 1] if symbols[i - 1] == "(" else np.nan
            offset = times[i + 1] if symbols[i + 1] == ")" else np.nan
            waves.append((symbol, onset, times[i], offset))
    return waves


def boundaries_of_leads(path):
    """Return the marked boundaries of a record (12, 6) in ms from QRS."""
    leads = [read_marks(path, lead) for lead in LEADS]
    peaks = np.sort([peak for marks in leads for symbol, _, peak, _ in marks if symbol == "N"])
    groups = np.split(peaks, np.flatnonzero(np.diff(peaks) > 150) + 1)
    beats = np.array([np.median(group) for group in groups if len(group) >= len(LEADS) / 2])
    bounds = np.full((len(LEADS), len(beats), 6), np.nan)
    for row, marks in zip(bounds, leads, strict=True):
        for symbol, onset, peak, offset in marks:
            following = np.searchsorted(beats, peak)
            # P belongs to the next beat, T to the last one, QRS to the nearest
            beat = {"p": following, "t": following - 1, "N": np.abs(beats - peak).argmin()}[symbol]
            distance = abs(peak - beats[beat]) if 0 <= beat < len(beats) else np.inf
            if distance < {"p": 450, "t": np.inf, "N": 150}[symbol]:
                column = WAVES[symbol]
                row[beat, column : column + 2] = np.array([onset, offset]) - beats[beat]
    return median_over_beats(bounds)


def median_over_beats(bounds):
    """Return medians (n_leads, 6) of (n_leads, n_beats, 6); NaN if most beats have none."""
    n_beats = bounds.shape[1]
    n_marked = np.isfinite(bounds).sum(axis=1)
    medians = quiet_nanmedian(bounds, axis=1)
    # cardiologists left out waves at both ends of a record
    return np.where(n_marked >= max(1, (n_beats - 1) / 2), medians, np.nan)


def quiet_nanmedian(values, axis):
    """Return the median without NaN, which is NaN where there is no other value."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmedian(values, axis=axis)


def join_leads(bounds, rule):
    """Return the boundaries (n, 6) of all leads together from those of leads (n, n_leads, 6)."""
    position = RULES[rule]
    if position is None:
        return quiet_nanmedian(bounds, axis=1)
    onsets = np.sort(bounds, axis=1)[:, position]  # NaN comes last
    offsets = -np.sort(-bounds, axis=1)[:, position]
    return np.where(np.arange(6) % 2 == 0, onsets, offsets)


def delineate_by_neurokit(X, sampling_rate, method):
    """Return NeuroKit2's boundaries of leads (n, 12, 6) in ms from the R peak."""
    import neurokit2

    names = [f"ECG_{wave}_{side}" for wave in "PRT" for side in ("Onsets", "Offsets")]
    bounds = np.full((len(X), len(LEADS), 6), np.nan)
    failures = 0
    for of_leads, record in zip(bounds, X.astype(float), strict=True):
        clean = [neurokit2.ecg_clean(lead, sampling_rate=sampling_rate) for lead in record]
        _, peaks = neurokit2.ecg_peaks(clean[1], sampling_rate=sampling_rate)
        peaks = np.asarray(peaks["ECG_R_Peaks"])
        for row, lead in zip(of_leads, clean, strict=True):
            try:
                _, waves = neurokit2.ecg_delineate(
                    lead, peaks, sampling_rate=sampling_rate, method=method
                )
                times = np.stack([np.asarray(waves[name], float) for name in names], axis=-1)
                times = times - peaks[:, None]
            except Exception:  # of many kinds, from leads that it cannot delineate
                failures += 1
                continue
            row[:] = median_over_beats(1000 / sampling_rate * times[None])[0]
    print(f"NeuroKit2, {method}, {sampling_rate} Hz: errors in {failures} leads of all records")
    return bounds


def intervals(bounds):
    """Return QRS, PR and QT (n, 3) in ms."""
    return np.stack([bounds[:, b] - bounds[:, a] for a, b in INTERVALS.values()], axis=1)


def summarize(estimated, true):
    """Return a text of errors, and the median absolute error, over records with the interval."""
    defined = np.isfinite(true)
    error = estimated[defined] - true[defined]
    absolute = np.where(np.isnan(error), np.inf, np.abs(error))
    rows = np.random.default_rng(0).integers(len(absolute), size=(N_BOOTSTRAPS, len(absolute)))
    low, high = np.quantile(np.median(absolute[rows], axis=1), (0.025, 0.975), method="nearest")
    text = (
        f"{np.median(absolute):.1f} ({low:.1f} to {high:.1f}), bias {np.nanmedian(error):+.1f}, "
        f"90 % within {np.quantile(absolute, 0.9, method='nearest'):.0f}, "
        f"{np.isnan(error).sum()} of {len(error)} missing"
    )
    return text, np.median(absolute)


def main():
    """Print the figures, and return the missed marks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", metavar="DIR", default=None)
    parser.add_argument(
        "--records", metavar=("FIRST", "LAST"), type=int, nargs=2, default=(101, 200)
    )
    options = parser.parse_args()
    numbers = np.arange(options.records[0], options.records[1] + 1)
    ludb = load_ludb(options.data, unlabelled=True)
    rows = [np.flatnonzero(ludb.groups == number)[0] for number in numbers]
    X, X100 = (
        ludb.data[rows],
        load_ludb(options.data, unlabelled=True, sampling_rate=100).data[rows],
    )
    folder = LUDB.find(options.data) / "data"
    leads = np.stack([boundaries_of_leads(folder / str(number)) for number in numbers])

    features = ECGFeatures(sampling_rate=100).fit(X100)
    start, start_cpu = time.perf_counter(), time.process_time()
    features.transform(X100)
    ms_per_record = 1000 * (time.process_time() - start_cpu) / len(X100)
    wall = 1000 * (time.perf_counter() - start) / len(X100)
    print(describe_machine())
    print(f"LUDB {numbers[0]}-{numbers[-1]}; {ms_per_record:.2f} ms per record, wall {wall:.2f} ms")
    bounds = features.delineate(X100).boundaries.to_numpy()
    methods = {"ECGFeatures, 100 Hz": lambda rule: bounds}
    if importlib.util.find_spec("neurokit2"):
        warnings.simplefilter("ignore")
        for method, rate in NEUROKIT:
            of_leads = delineate_by_neurokit(X100 if rate == 100 else X, rate, method)
            name = f"NeuroKit2, {method}, {rate} Hz"
            methods[name] = lambda rule, of_leads=of_leads: join_leads(of_leads, rule)
    else:
        print("NeuroKit2 is not installed")

    missed = []
    for rule in RULES:
        true = intervals(join_leads(leads, rule))
        for name, delineate in methods.items():
            estimated = intervals(delineate(rule))
            for column, interval in enumerate(INTERVALS):
                text, median = summarize(estimated[:, column], true[:, column])
                print(f"{rule:8} {interval:3} {name:30} {text}")
                if name.startswith("ECGFeatures") and not median <= MOST_MS_OFF:
                    missed.append(f"{interval}, {rule}: {median:.1f} ms")
    has_p, found_p = np.isfinite(leads[..., 0]).any(axis=1), np.isfinite(bounds[:, 0])
    print(f"P found in {found_p[has_p].sum()} of {has_p.sum()} records with P, and in "
          f"{found_p[~has_p].sum()} of {(~has_p).sum()} without")  # fmt: skip
    if ms_per_record > MOST_MS_PER_RECORD:
        missed.append(f"{ms_per_record:.2f} ms per record")
    return missed


if __name__ == "__main__":
    broken = main()
    sys.exit("missed: " + "; ".join(broken) if broken else 0)
