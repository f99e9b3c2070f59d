"""Alignment of the beats of one record with those of another, by stretching between beats."""

from itertools import pairwise

import numpy as np

# fraction of the half interval around a beat that keeps its duration
_RIGID_IF_SHORTER, _RIGID_IF_LONGER = 0.3, 0.8
_MARGIN = 0.15  # of an interval: a beat so far outside the record has no QRS complex in it


def align_beats(x, beats, target_beats):
    """Warp a record ``(n_leads, n_samples)`` so that its beats occur at other samples.

    The half interval on either side of a beat belongs to it. Where it shrinks, the QRS complex
    keeps its duration and the rest is compressed evenly; where it grows, only its end, in diastole,
    is stretched. Once all beats are used, they repeat from the first complete one; the step at the
    join is spread over half a beat. Fewer than two beats on either side leave it unchanged.
    """
    if min(len(beats), len(target_beats)) < 2:
        return x
    n_samples = x.shape[1]
    source = _pad_beats(beats, np.inf, -np.inf)
    target = _pad_beats(target_beats, 0, n_samples - 1)
    complete = range(2, len(source) - 2)  # without padding

    positions = np.empty(n_samples)  # in the record, of each sample of the result
    joins, beat = [], 0
    ends = np.ceil((target[:-1] + target[1:]) / 2).clip(0, n_samples).astype(int)
    for number, (start, end) in enumerate(pairwise(ends), 1):
        if start == end:
            continue
        samples, next_beat = np.arange(start, end), beat + 1
        for beat in (next_beat, *complete):
            if 1 <= beat < len(source) - 1:
                mapped = _map_samples(samples, target[number - 1 :], source[beat - 1 :])
                if mapped[0] >= 0 and mapped[-1] <= n_samples - 1:
                    break
        if beat != next_beat and start > 0:
            joins.append((start, max(1, round((target[number] - target[number - 1]) / 4))))
        positions[start:end] = mapped
    positions = positions.clip(0, n_samples - 1)  # if no beat fits
    left = np.minimum(positions.astype(int), n_samples - 2)
    weight = (positions - left).astype(x.dtype)
    x = (1 - weight) * x[:, left] + weight * x[:, left + 1]
    for start, width in joins:
        _spread_step(x, start, width)
    return x


def _pad_beats(beats, first, last):
    """Add two beats at either end, the inner ones beyond `first` and `last`."""
    interval = np.median(np.diff(beats))
    before = min(beats[0] - interval, first - _MARGIN * interval)
    after = max(beats[-1] + interval, last + _MARGIN * interval)
    return np.concatenate([[before - interval, before], beats, [after, after + interval]])


def _map_samples(samples, target, source):
    """Return the source positions of samples around the second beat of `target` and `source`."""
    target_half, source_half = np.diff(target[:3]) / 2, np.diff(source[:3]) / 2  # before, after
    rigid = np.where(
        target_half < source_half, _RIGID_IF_SHORTER * target_half, _RIGID_IF_LONGER * source_half
    )
    target_knots, source_knots = (
        [-half[0], -rigid[0], 0, rigid[1], half[1]] for half in (target_half, source_half)
    )
    return source[1] + np.interp(samples - target[1], target_knots, source_knots)


def _spread_step(x, start, width):
    """Spread the step before a sample over `width` samples on either side, in place."""
    step = x[:, start] - x[:, start - 1]
    ramp = np.arange(1, width + 1, dtype=x.dtype) / (width + 1)
    before, after = x[:, max(0, start - width) : start], x[:, start : start + width]
    before += step[:, None] / 2 * ramp[width - before.shape[1] :]
    after -= step[:, None] / 2 * ramp[::-1][: after.shape[1]]
