"""Boundaries of P, QRS and T on the typical beat of all leads together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from sklearn_bell._utils.beats import RATE, find_beats
from sklearn_bell.feature_extraction._beats import (
    FINE_RATE,
    N_P_WINDOW,
    P_START,
    START,
    STOP,
    find_typical_beats,
)

BOUNDARIES = ("p_onset", "p_offset", "qrs_onset", "qrs_offset", "t_onset", "t_offset")
TIME = 1000 / FINE_RATE * np.arange(START, STOP)  # ms from the summit of QRS

# Developed on records 1-100 of LUDB. A wave begins and ends where the speed falls below a fraction
# of the largest; speeds are those of Gaussian windows of a standard deviation in ms.
_QRS_WIDTH, _QRS_ONSET, _QRS_OFFSET = 8, 0.05, 0.08
_P_WIDTH, _P_ONSET, _P_OFFSET = 12, 0.45, 0.5
_T_WIDTH, _T_ONSET, _T_OFFSET = 20, 0.3, 0.3
# 96 % of sinus rhythms are above and 89 % of atrial fibrillations below, in folds 1-6 of PTB-XL
_MIN_P_CONSISTENCY = 0.7
# The least height of T, as a share of QRS and in multiples of the noise of the typical beat. In
# records 1-100 of LUDB, T has at least 0.11 and 9.7. The filter leaves up to 0.04 of QRS behind it.
_MIN_T_SHARE, _MIN_T_SNR = 0.05, 6


class Delineation(NamedTuple):
    """Beats and typical beats of n records; times are NaN where undefined."""

    beats: list[np.ndarray]  # samples at RATE
    similarity: list[np.ndarray]  # of each beat with the typical beat
    median: np.ndarray  # (n, n_leads, STOP - START) in mV, zero without beats
    rr: np.ndarray  # (n,) median RR interval in ms
    boundaries: np.ndarray  # (n, 6) ms from the summit of QRS, in the order of BOUNDARIES
    peaks: np.ndarray  # (n, 2) ms, of P and T
    p_consistency: np.ndarray  # (n,) share of P's power that repeats from beat to beat


def delineate(x):
    """Return the delineation of clean records (n, n_leads, n_samples)."""
    beats = find_beats(x)
    median, similarity, consistency = find_typical_beats(x, beats)
    rr = np.array([np.median(np.diff(b)) * 1000 / RATE if len(b) > 1 else np.nan for b in beats])
    boundaries, peaks = _find_waves(median, np.nan_to_num(rr, nan=1000))
    without_beats = [len(positions) == 0 for positions in beats]
    boundaries[without_beats], peaks[without_beats] = np.nan, np.nan

    # a P wave repeats from beat to beat, f waves of atrial fibrillation do not
    sample = np.nan_to_num(peaks[:, 0] * RATE / 1000).round().astype(int) - P_START
    p_consistency = consistency[np.arange(len(x)), sample.clip(0, N_P_WINDOW - 1)]
    no_p = p_consistency < _MIN_P_CONSISTENCY
    boundaries[no_p, :2], peaks[no_p, 0] = np.nan, np.nan
    return Delineation(beats, similarity, median, rr, boundaries, peaks, p_consistency)


def _find_waves(beats, rr):
    """Return boundaries (n, 6) and peaks (n, 2) of typical beats, from RR in ms (n,)."""
    speed = _speed(beats, _QRS_WIDTH)
    # QRS ends with five slow samples, because few leads stand still between Q, R and S for 20 ms
    before, after = (ndimage.maximum_filter1d(speed, 5, axis=-1, origin=k) for k in (2, -2))
    qrs_onset = _walk(before, -100, 100, _QRS_ONSET, limit=-160)
    qrs_offset = _walk(after, -100, 100, _QRS_OFFSET, limit=200)

    speed = _speed(beats, _T_WIDTH)
    t_limit = np.minimum(qrs_onset + np.minimum(600, 0.7 * rr), TIME[-1])
    t_limit = np.maximum(t_limit, qrs_offset + 100)  # above 200 beats per minute
    smooth = ndimage.gaussian_filter1d(beats, _samples(16), axis=-1)
    height = _magnitude(smooth - mean_at(smooth, t_limit, 10)[..., None])
    t_peak = _argmax_time(height, qrs_offset + 60, t_limit)
    is_low = _is_low(height, _magnitude(beats - smooth), qrs_offset + 60, t_limit)
    t_onset = _walk(speed, t_peak - 120, t_peak, _T_ONSET, limit=qrs_offset)
    t_offset = _walk(speed, t_peak, t_limit, _T_OFFSET, limit=t_limit)
    t_onset[is_low], t_offset[is_low], t_peak[is_low] = np.nan, np.nan, np.nan

    # from the onset of QRS the leads are held constant, so that only P is curved
    held = _hold(beats, qrs_onset)
    bend = _magnitude(ndimage.gaussian_filter1d(held, _samples(24), axis=-1, order=2))
    speed = _speed(held, _P_WIDTH)
    p_stop = qrs_onset - 30
    # P follows the end of the last T, but where these overlap its peak is within 130 ms of QRS
    p_start = np.fmax(qrs_onset - 300, np.minimum(t_offset - rr, p_stop - 100))
    p_peak = _argmax_time(bend, p_start, p_stop)
    p_onset = _walk(speed, p_peak - 70, p_peak, _P_ONSET, limit=p_peak - 140)
    p_offset = _walk(speed, p_peak, p_peak + 70, _P_OFFSET, limit=qrs_onset)
    boundaries = [p_onset, p_offset, qrs_onset, qrs_offset, t_onset, t_offset]
    return np.stack(boundaries, axis=1), np.stack([p_peak, t_peak], axis=1)


def _is_low(height, residual, start, stop):
    """Return True for records without a T wave of the least height in [start, stop] (n,)."""
    span = inside(start, stop)
    noise = np.sqrt((span * residual**2).sum(axis=1) / span.sum(axis=1))
    least = np.maximum(_MIN_T_SHARE * height.max(axis=1), _MIN_T_SNR * noise)
    return np.where(span, height, 0).max(axis=1) < least


def inside(start, stop):
    """Return for each record where TIME is in [start, stop] (n, n_times); nowhere for NaN."""
    return (np.reshape(start, (-1, 1)) <= TIME) & (np.reshape(stop, (-1, 1)) >= TIME)


def mean_at(beats, times, reach=4):
    """Return the mean of every lead within `reach` ms of a time (n, n_leads); 0 for NaN."""
    weights = inside(times - reach, times + reach).astype(beats.dtype)
    total = np.einsum("nlt,nt->nl", beats, weights)
    return total / np.maximum(weights.sum(axis=1, keepdims=True), 1)


def _samples(ms):
    return ms * FINE_RATE / 1000


def _magnitude(x):
    """Return the root of the sum of squares over leads (n, n_times)."""
    return np.sqrt((x**2).sum(axis=1))


def _speed(beats, width):
    """Return the speed of all leads together (n, n_times)."""
    return _magnitude(ndimage.gaussian_filter1d(beats, _samples(width), axis=-1, order=1))


def _argmax_time(values, start, stop):
    return TIME[np.where(inside(start, stop), values, -1).argmax(axis=1)]


def _walk(speed, start, stop, fraction, limit):
    """Return the time where a wave begins or ends, seen from its steepest point.

    From the largest speed in [start, stop] towards `limit`, this is the first time with less than
    a fraction of that speed; or else the time of the least speed on the way.
    """
    steepest = _argmax_time(speed, start, stop)
    limit = np.broadcast_to(limit, steepest.shape)
    on_the_way = inside(np.minimum(steepest, limit), np.maximum(steepest, limit))
    top = np.where(steepest[:, None] == TIME, speed, 0).max(axis=1, keepdims=True)
    below = on_the_way & (speed < fraction * top)
    last = len(TIME) - 1 - below[:, ::-1].argmax(axis=1)
    first = np.where(limit > steepest, below.argmax(axis=1), last)
    least = np.where(on_the_way, speed, np.inf).argmin(axis=1)
    return TIME[np.where(below.any(axis=1), first, least)]


def _hold(beats, times):
    """Return beats that are constant from each record's time on."""
    samples = np.minimum(np.arange(len(TIME)), np.searchsorted(TIME, times)[:, None])
    return np.take_along_axis(beats, samples[:, None], axis=-1)
