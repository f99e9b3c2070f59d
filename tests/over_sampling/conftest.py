import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator

from sklearn_bell import VQVAEOverSampler, VQVAETransformer
from sklearn_bell.datasets import make_ecg

METHODS = pytest.mark.parametrize("method", ["interpolate", "sample", "prior"])
ALIGNED = pytest.mark.parametrize("sampling_rate", [None, 100])


def small(**params):
    vqvae = VQVAETransformer(width=8, n_codes=16, n_features=8, max_epochs=1)
    return VQVAEOverSampler(vqvae=vqvae, random_state=0).set_params(**params)


@pytest.fixture(scope="package")
def ecg():
    """Records, classes (30 normal, 12 lbbb, 6 afib) and patients of two records each."""
    ecg = make_ecg(
        120, classes=["normal", "lbbb", "afib"], leads=["II", "V1"], duration=3, sampling_rate=100,
        random_state=0,
    )  # fmt: skip
    rows = np.concatenate([np.flatnonzero(ecg.target == c)[:n] for c, n in enumerate((30, 12, 6))])
    names = np.array(["normal", "lbbb", "afib"])
    return ecg.data[rows], names[ecg.target[rows]], np.arange(48) // 2


@pytest.fixture(scope="package")
def vqvae(ecg):
    """Frozen VQ-VAE, fitted once."""
    vqvae = VQVAETransformer(
        n_codes=64, n_features=8, width=16, max_epochs=60, lr=4e-3, random_state=0
    )
    return FrozenEstimator(vqvae.fit(ecg[0]))


def count(y):
    return dict(zip(*np.unique(y, return_counts=True), strict=True))


def make_multilabel():
    """Return an indicator: label 0 always co-occurs with the frequent label 2, label 1 often."""
    y = np.zeros((48, 3), int)
    y[:8, 0] = y[30:46, 1] = y[:40, 2] = 1
    return y


def pool(z):
    return np.concatenate([z.mean(axis=1), z.std(axis=1)], axis=1)
