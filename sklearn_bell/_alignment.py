"""Bring the beats of one record to where those of another are."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

# of the shorter of two intervals between beats, what follows a beat and what comes before the next
# keep their length; what lies between, where the heart rests, is stretched
_AFTER, _BEFORE = 0.5, 0.3


def aligned(x, beats, target_beats):
    """Return a record with its beats, one by one, at other times.

    Each beat keeps its length, from the P to the T wave, and what lies between beats is stretched
    or shortened. Where there are more target beats than beats, these begin again.

    Parameters
    ----------
    x : ndarray of shape (n_leads, n_samples)
        The record.
    beats : ndarray of shape (n_beats,)
        Where its beats are, in samples.
    target_beats : ndarray of shape (n_target_beats,)
        Where they are to be.

    Returns
    -------
    x : ndarray of shape (n_leads, n_samples)
        The record as it is, where it has not two beats, or there is none to be aligned with.
    """
    n_samples, gaps = x.shape[1], np.diff(beats)
    # a beat is of use if what comes before it is in the record
    usable = np.flatnonzero(beats[:-1] >= _BEFORE * gaps)
    if len(usable) == 0 or len(target_beats) == 0:
        return x
    # one more beat before the record, and one so late that what comes before it is after the end
    gap = gaps[usable[-1]]
    first = min(-_BEFORE * gap, target_beats[0] - gap)
    last = target_beats[-1] + gaps.max() + (n_samples - target_beats[-1]) / (1 - _BEFORE)
    target = np.concatenate([[first], target_beats, [last]])
    at, start = np.empty(n_samples), 0  # where in the record each sample comes from
    for number, (here, there) in enumerate(pairwise(target)):
        beat = usable[(number - 1) % len(usable)]
        short = min(there - here, gaps[beat])
        end = min(n_samples, max(start, round(there - _BEFORE * short)))
        rest = _AFTER * short, _BEFORE * short
        samples = np.arange(start, end)
        at[start:end] = np.interp(
            samples,
            [here, here + rest[0], there - rest[1], there],
            [beats[beat], beats[beat] + rest[0], beats[beat + 1] - rest[1], beats[beat + 1]],
        )
        before = samples < here  # but not as far as the beat before
        earliest = beats[beat] - 0.5 * gaps[beat - 1] if beat else 0.0
        at[start:end][before] = np.maximum(beats[beat] + samples[before] - here, earliest)
        start = end
    at = at.clip(0, n_samples - 1)
    low = np.minimum(at.astype(int), max(n_samples - 2, 0))
    share = (at - low).astype(x.dtype)
    return (1 - share) * x[:, low] + share * x[:, np.minimum(low + 1, n_samples - 1)]
