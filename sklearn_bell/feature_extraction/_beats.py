"""Typical beat of a record: alignment of its beats, their similarity, and their median."""

from __future__ import annotations

import numpy as np
from scipy import ndimage, signal

from sklearn_bell._utils.beats import RATE

FINE_RATE = 250  # Hz of the typical beat: boundaries lie on a grid of 4 ms
START, STOP = -125, 175  # its samples from the summit of QRS: -500 ms to +696 ms
MIN_SIMILARITY = 0.85  # of beats of one shape
P_START, N_P_WINDOW = -40, 36  # samples at RATE from the summit of QRS, where P may lie

_HALF, _MAX_SHIFT = 30, 10  # samples: QRS within 120 ms of the beat, moved by 40 ms at most
_P_WIDTH = 2.4  # samples at RATE: the curvature of a Gaussian of 24 ms resembles P


def find_typical_beats(x, beats):
    """Return the typical beats of clean records (n, n_leads, n_samples).

    Parameters
    ----------
    beats : list of n ndarrays of shape (n_beats,)
        Samples at RATE.

    Returns
    -------
    median : ndarray of shape (n, n_leads, STOP - START)
        Of the aligned beats of the most frequent shape, in mV; zero without beats.
    similarity : list of n ndarrays of shape (n_beats,)
        Correlation of the QRS complex of each beat with the median.
    p_consistency : ndarray of shape (n, N_P_WINDOW)
        The share of the power of the curvature that repeats in each beat.
    """
    fine = signal.resample_poly(x, FINE_RATE, RATE, axis=-1, padtype="line").astype(x.dtype)
    curvature = ndimage.gaussian_filter1d(x, _P_WIDTH, axis=-1, order=2)
    median = np.zeros((*x.shape[:2], STOP - START), x.dtype)
    similarity = [np.empty(0)] * len(x)
    p_consistency = np.zeros((len(x), N_P_WINDOW))
    for i, positions in enumerate(beats):
        if len(positions):
            centres, chosen, similarity[i] = _align(fine[i], positions * FINE_RATE // RATE)
            median[i] = _median_over_beats(_cut(fine[i], centres[chosen], START, STOP))
            p_centres = centres[chosen] * RATE // FINE_RATE
            p_windows = _cut(curvature[i], p_centres, P_START, P_START + N_P_WINDOW)
            p_consistency[i] = _repeated_share(p_windows)
    return median, similarity, p_consistency


def _align(record, centres):
    """Return aligned centres, the choice for the median, and similarity (n_beats,) each."""
    core = _cut(record, centres, -_HALF, _HALF)
    shapes = _to_shapes(core)  # (n_beats, n_leads * 2 * _HALF)
    agree = shapes @ shapes.T > MIN_SIMILARITY
    np.fill_diagonal(agree, True)  # a beat without variation correlates with none
    template = _median_over_beats(core[:, agree[agree.sum(axis=1).argmax()]])
    template -= template.mean(axis=-1, keepdims=True)

    shifts = np.arange(-_MAX_SHIFT, _MAX_SHIFT + 1)
    shifted = _cut(record, (centres[:, None] + shifts).ravel(), -_HALF, _HALF)
    correlation = _to_shapes(shifted) @ _to_shapes(template[:, None])[0]
    correlation = correlation.reshape(len(centres), len(shifts))
    similarity = correlation.max(axis=1)
    # the summit of the template becomes time zero of all beats
    summit = (template**2).sum(axis=0).argmax() - _HALF
    centres = centres + shifts[correlation.argmax(axis=1)] + summit

    typical = similarity > MIN_SIMILARITY
    whole = (centres + START >= 0) & (centres + STOP <= record.shape[-1])
    choices = typical & whole, typical, np.full(len(centres), True)
    # a QRS complex that the record cuts off is no evidence of another shape
    similarity[(centres < _HALF) | (centres > record.shape[-1] - _HALF)] = 1
    return centres, next(choice for choice in choices if choice.any()), similarity


def _median_over_beats(windows):
    """Return the median over axis 1; for tens of beats sorting is faster than np.median."""
    n_beats = windows.shape[1]
    ordered = np.sort(windows, axis=1)
    return (ordered[:, (n_beats - 1) // 2] + ordered[:, n_beats // 2]) / 2


def _cut(x, centres, start, stop):
    """Return samples around centres (n_leads, n_centres, stop - start); ends are repeated."""
    samples = centres[:, None] + np.arange(start, stop)
    return x[:, samples.clip(0, x.shape[-1] - 1)]


def _to_shapes(windows):
    """Return windows of all leads as vectors of mean 0 and norm 1, whose products correlate."""
    centred = windows - windows.mean(axis=-1, keepdims=True)
    vectors = centred.swapaxes(0, 1).reshape(windows.shape[1], -1)
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(norms > 0, norms, 1)


def _repeated_share(windows):
    """Return the share of the power over beats and leads that repeats in each beat (n_samples,).

    The mean of n_beats windows of noise has 1 / n_beats of their power, which is subtracted.
    """
    n_beats = windows.shape[1]
    power = (windows**2).mean(axis=1).sum(axis=0)
    repeated = (windows.mean(axis=1) ** 2).sum(axis=0)
    if n_beats > 1:
        repeated = (n_beats * repeated - power) / (n_beats - 1)
    return (repeated / np.where(power > 0, power, 1)).clip(0, 1)
