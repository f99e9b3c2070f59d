"""Fixtures of the tests of classification."""

import numpy as np
import pytest

from tests.classification._cases import N_LEADS, N_RECORDS, N_SAMPLES, tiny_pretrainer


@pytest.fixture(scope="package")
def y():
    return np.arange(N_RECORDS) % 3


@pytest.fixture(scope="package")
def X(y):
    """Sines of another frequency for each class, in noise."""
    rng = np.random.default_rng(0)
    time, phase = np.arange(N_SAMPLES), rng.uniform(0, 6, (N_RECORDS, N_LEADS, 1))
    rate = np.array([0.3, 0.8, 1.6])[y][:, None, None]
    noise = rng.normal(scale=0.3, size=(N_RECORDS, N_LEADS, N_SAMPLES))
    return (np.sin(rate * time + phase) + noise).astype("f4")


@pytest.fixture(scope="package")
def indicator(y):
    return np.stack([y > 0, y == 2], axis=1).astype(int)


@pytest.fixture(scope="package")
def pretrained(X):
    """A fitted pretrainer."""
    return tiny_pretrainer(max_epochs=3).fit(X)


class DoublingSampler:
    """Returns every record twice, and keeps what it was given."""

    def __init__(self):
        self.calls = []

    def get_params(self, deep=False):
        return {}

    def fit_resample(self, X, y):
        self.calls.append((X, y))
        return np.concatenate([X, X]), np.concatenate([y, y])

    def __sklearn_clone__(self):
        return self


@pytest.fixture
def doubling_sampler():
    return DoublingSampler()
