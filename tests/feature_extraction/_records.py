"""Records of known beats and waves."""

import os
from pathlib import Path

import numpy as np

LUDB = Path(os.environ.get("SKLEARN_BELL_DATA", "no such folder")) / "ludb" / "data"

REGULAR = np.arange(0.5, 9.5, 0.8)
IRREGULAR = 0.4 + np.cumsum([0.0, 0.6, 1.1, 0.7, 0.75, 1.3, 0.5, 0.7, 1.4])


def ecg(beats, gains=(1.0, -0.6, 0.3), sampling_rate=100, seconds=10.0, noise=0.0):
    """Return a record of spikes and T waves at known times, with wander (1, n_leads, n_samples)."""
    time = np.arange(round(seconds * sampling_rate)) / sampling_rate
    beat_shape = np.zeros_like(time)
    for beat in beats:
        beat_shape += np.exp(-(((time - beat) / 0.02) ** 2))  # QRS complex of 1 mV
        beat_shape += 0.3 * np.exp(-(((time - beat - 0.28) / 0.06) ** 2))  # T wave
    record = np.array(gains)[:, None] * beat_shape + 0.3 * np.sin(2 * np.pi * 0.2 * time)
    record = record + np.random.default_rng(0).normal(scale=noise or 1e-9, size=record.shape)
    return record[None]


def waves(
    beats=REGULAR, pr=160, qrs=100, qt=400, gains=((0.15, 1.0, 0.3),), sampling_rate=100, noise=0.0
):
    """Return a record of P, QRS and T that begin and end at known times (1, n_leads, n_samples).

    `beats` are onsets of QRS in s, intervals are in ms, and `gains` the heights of P, QRS and T in
    each lead in mV. P lasts 100 ms, T 180 ms.
    """
    time = np.arange(round(10 * sampling_rate)) / sampling_rate
    shapes = np.zeros((3, len(time)))
    for beat in beats:
        for shape, start, length in zip(shapes, (-pr, 0, qt - 180), (100, qrs, 180), strict=True):
            phase = (1000 * (time - beat) - start) / length
            shape += np.where((phase > 0) & (phase < 1), np.sin(np.pi * phase) ** 2, 0)
    record = np.array(gains) @ shapes
    return (record + np.random.default_rng(0).normal(scale=noise or 1e-9, size=record.shape))[None]
