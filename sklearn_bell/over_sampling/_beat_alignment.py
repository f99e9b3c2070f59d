"""Bring the beats of one record to where those of another are."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

# of the way from a beat to half way to the next, what keeps its length around the beat
_KEPT_IF_SHORTER, _KEPT_IF_LONGER = 0.3, 0.8
_OUTSIDE = 0.15  # of the way between beats: where the QRS complex of one is not in the record


def aligned(x, beats, target_beats):
    """Return a record with its beats, one by one, at other times.

    Half the way from one beat to the next belongs to either. Where it is to be shorter, the QRS
    complex keeps its length and the rest gives way evenly; where it is to be longer, all but the
    end, in which the heart rests, keeps its length. When all beats have been used, they begin again
    with a whole one; the step that there may be between is spread over half a beat.

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
        The record as it is, where it or the target has fewer than two beats.
    """
    if min(len(beats), len(target_beats)) < 2:
        return x
    n_samples = x.shape[1]
    source = _with_two_more(beats, np.inf, -np.inf)
    target = _with_two_more(target_beats, 0, n_samples - 1)
    whole = range(2, len(source) - 2)  # those that are really there

    at = np.empty(n_samples)  # where in the record each sample comes from
    joins, beat = [], 0
    ends = np.ceil((target[:-1] + target[1:]) / 2).clip(0, n_samples).astype(int)
    for number, (start, end) in enumerate(pairwise(ends), 1):
        if start == end:
            continue
        samples, next_one = np.arange(start, end), beat + 1
        for beat in (next_one, *whole):
            if 1 <= beat < len(source) - 1:
                found = _source_of(samples, target[number - 1 :], source[beat - 1 :])
                if found[0] >= 0 and found[-1] <= n_samples - 1:
                    break
        if beat != next_one and start > 0:
            joins.append((start, max(1, round((target[number] - target[number - 1]) / 4))))
        at[start:end] = found
    at = at.clip(0, n_samples - 1)  # where no beat was whole
    low = np.minimum(at.astype(int), n_samples - 2)
    share = (at - low).astype(x.dtype)
    x = (1 - share) * x[:, low] + share * x[:, low + 1]
    for start, width in joins:
        _spread_step(x, start, width)
    return x


def _with_two_more(beats, first, last):
    """Return beats with two more at either end, as often as usual, and outside of first to last."""
    gap = np.median(np.diff(beats))
    before = min(beats[0] - gap, first - _OUTSIDE * gap)
    after = max(beats[-1] + gap, last + _OUTSIDE * gap)
    return np.concatenate([[before - gap, before], beats, [after, after + gap]])


def _source_of(samples, target, source):
    """Return where samples around the second target beat come from: around the second of source."""
    there, here = [0.0], [0.0]  # distances from the beat
    for side in (-1, 1):
        wanted, found = (abs(beats[1 + side] - beats[1]) / 2 for beats in (target, source))
        kept = _KEPT_IF_SHORTER * wanted if wanted < found else _KEPT_IF_LONGER * found
        there += [side * kept, side * wanted]
        here += [side * kept, side * found]
    return source[1] + np.interp(samples - target[1], sorted(there), sorted(here))


def _spread_step(x, start, width):
    """Spread the step before a sample over so many samples on either side."""
    step = x[:, start] - x[:, start - 1]
    ramp = np.arange(1, width + 1, dtype=x.dtype) / (width + 1)
    before, after = x[:, max(0, start - width) : start], x[:, start : start + width]
    before += step[:, None] / 2 * ramp[width - before.shape[1] :]
    after -= step[:, None] / 2 * ramp[::-1][: after.shape[1]]
