"""Records of which the second class has a short oscillation in one lead."""

import copy

import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_bell.datasets import make_ecg

RATE, LEAD, TIME = 100, 1, slice(120, 150)  # lead and samples of the oscillation


def make_planted():
    """Return 120 records and their classes."""
    ecg = make_ecg(120, leads=["II", "V1", "V5"], duration=3, sampling_rate=RATE, random_state=0)
    y = np.arange(120) % 2
    X = ecg.data.copy()
    oscillation = np.sin(2 * np.pi * np.arange(TIME.stop - TIME.start) / 10)
    X[y == 1, LEAD, TIME] += np.float32(0.6) * oscillation.astype(np.float32)
    return X, y


def make_model(bell, classifier, planted):
    """Fit a pipeline of a pretrainer and a classifier on the first 80 records."""
    X, y = planted
    return make_pipeline(copy.deepcopy(bell), StandardScaler(), classifier).fit(X[:80], y[:80])
