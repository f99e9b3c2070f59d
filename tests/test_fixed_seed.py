"""Numbers at a fixed seed, recorded at the last change that meant to change them.

Bits differ between processors, so the committed numbers are compared to a relative 1e-3. To record
them anew after an intended change, run ``python tests/test_fixed_seed.py`` and say why in the
commit message.
"""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from sklearn_bell import BELLPretrainer, ECGClassifier, VQVAEOverSampler, VQVAETransformer
from sklearn_bell.datasets import make_ecg

FIXTURE = Path(__file__).parent / "data" / "fixed_seed.json"


def make_data():
    ecg = make_ecg(48, classes=["normal", "lbbb"], leads=["II", "V1"], random_state=0)
    return ecg.data, ecg.target


def bell_latents():
    X, _ = make_data()
    bell = BELLPretrainer(max_epochs=1, batch_size=16, random_state=0).fit(X)
    return bell.transform(X), bell.history_


def classifier_probabilities():
    X, y = make_data()
    y = np.where(np.arange(len(y)) < 24, y, -1)
    classifier = ECGClassifier(BELLPretrainer(max_epochs=1), max_epochs=2, random_state=0)
    return classifier.fit(X, y).predict_proba(X), classifier.history_


def synthetic_records():
    X, y = make_data()
    rows = np.r_[np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:6]]
    vqvae = VQVAETransformer(n_codes=32, width=16, max_epochs=2)
    sampler = VQVAEOverSampler(vqvae=vqvae, random_state=0)
    X_resampled, _ = sampler.fit_resample(X[rows], y[rows])
    return X_resampled[len(rows) :], sampler.vqvae_.history_


CASES = {
    "BELLPretrainer": bell_latents,
    "ECGClassifier": classifier_probabilities,
    "VQVAEOverSampler": synthetic_records,
}


def summary(name):
    """Return a few numbers that depend on every step of a training."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        values, history = CASES[name]()
    finally:
        torch.set_num_threads(n_threads)
    return {
        "shape": list(values.shape),
        "loss": history[-1]["loss"],
        "mean": float(np.mean(values, dtype=np.float64)),
        "deviation": float(np.std(values, dtype=np.float64)),
        "first": values.ravel()[:: max(1, values.size // 8)][:8].astype(float).tolist(),
    }


@pytest.mark.parametrize("name", CASES)
def test_fixed_seed_gives_recorded_numbers(name):
    expected = json.loads(FIXTURE.read_text())[name]
    actual = summary(name)
    assert actual["shape"] == expected["shape"]
    for key in ("loss", "mean", "deviation", "first"):
        tolerance = 1e-3 * max(expected["deviation"], 1e-3)
        np.testing.assert_allclose(
            actual[key], expected[key], rtol=1e-3, atol=tolerance, err_msg=key
        )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    FIXTURE.write_text(json.dumps({name: summary(name) for name in CASES}, indent=1) + "\n")
