"""Odd numbers come out as numbers, or are refused by name; never as NaN."""

import warnings

import numpy as np
import pytest
from sklearn.base import clone

from sklearn_bell import (
    BELLPretrainer,
    ECGClassifier,
    ECGFeatures,
    VQVAEOverSampler,
    VQVAETransformer,
    preprocessing,
)
from sklearn_bell.datasets import make_ecg
from sklearn_bell.exceptions import CollapseWarning, InvalidECGError

ECG = make_ecg(16, leads=["II", "V1"], duration=4, sampling_rate=100, random_state=0).data
y = np.arange(16) % 2
SMALL = {"head_width": 8, "max_epochs": 1, "batch_size": 8, "random_state": 0, "device": "cpu"}
VQVAE = VQVAETransformer(
    max_epochs=1, width=8, n_codes=8, n_codebooks=2, n_features=4, random_state=0, device="cpu"
)
ESTIMATORS = {
    "BELL": BELLPretrainer(**SMALL),
    "BELL in bfloat16": BELLPretrainer(**SMALL, precision="bfloat16"),
    "features": ECGFeatures(sampling_rate=100),
    "classifier": ECGClassifier(max_epochs=1, n_trees=3, random_state=0, device="cpu"),
    "VQ-VAE": VQVAE,
    "sampler": VQVAEOverSampler(vqvae=VQVAE, random_state=0),
    "band": preprocessing.BandpassFilter(),
    "rate": preprocessing.Resampler(100, 50),
    "scale": preprocessing.RecordScaler(),
    "crop": preprocessing.Cropper(200),
}
LEAST, MOST = np.finfo(np.float32).min, np.finfo(np.float32).max
ONE = np.arange(16)[:, None, None] == 3
DEFINED = {
    "a constant lead": np.concatenate([ECG[:, :1], np.full_like(ECG[:, 1:], 3)], axis=1),
    "all zero": np.zeros_like(ECG),
    "some zero records": np.where(y[:, None, None], ECG, 0),
    "1e-30": ECG * np.float32(1e-30),
    "denormal": ECG * np.float32(1e-42),
    "1e12": np.clip(ECG * np.float32(1e12), -9e11, 9e11),
    "16-bit integers at their limits": np.where(ECG > 0, 32767, -32768).astype(np.int16),
    "32-bit integers at their limits": np.where(ECG > 0, 2**31 - 1, -(2**31)).astype(np.int32),
    "float16": ECG.astype(np.float16),
    "float16 at its limits": np.where(ECG > 0, 65504, -65504).astype(np.float16),
    "booleans": ECG > 0,
    "one record many times": np.repeat(ECG[:1], 16, axis=0),
    "an offset": ECG + np.float32(1e6),
}
REFUSED = {
    "1e30": ECG * np.float32(1e30),
    "one record of 1e30": np.where(ONE, ECG * np.float32(1e30), ECG),
    "as large as can be": np.where(ECG > 0, MOST, LEAST),
    "64-bit integers at their limits": np.where(ECG > 0, 2**63 - 1, -(2**63)),
    "more than float32": ECG.astype(np.float64) * 1e300,
    "NaN in a record": np.where(ONE, np.nan, ECG),
    "infinity in a record": np.where(ONE, np.inf, ECG),
}


def outcome(name, X):
    estimator = clone(ESTIMATORS[name])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)  # of what does not differ
        if name == "sampler":
            rows = np.r_[0:16:2, 3, 11]
            return estimator.fit_resample(X[rows], y[rows])[0]
        estimator.fit(X, y)
    what = estimator.predict_proba if name == "classifier" else estimator.transform
    return what(X)


@pytest.mark.parametrize("numbers", DEFINED)
@pytest.mark.parametrize("name", ESTIMATORS)
def test_of_odd_numbers_come_numbers(name, numbers):
    assert np.isfinite(outcome(name, DEFINED[numbers])).all()


@pytest.mark.parametrize("numbers", REFUSED)
@pytest.mark.parametrize("name", ESTIMATORS)
def test_impossible_numbers_are_refused_by_name(name, numbers):
    is_one = " in a record" in numbers or "one " in numbers
    number = (8 if name == "sampler" else 3) if is_one else 0
    message = rf"(NaN|infinity|too large).*record {number}, lead 0, sample 0"
    with pytest.raises(InvalidECGError, match=message):
        outcome(name, REFUSED[numbers])


def test_a_record_a_thousand_times_is_as_any():
    X = np.repeat(ECG[:1], 1000, axis=0)
    latents = BELLPretrainer(**SMALL).fit(X).transform(X)  # of crops that differ
    assert np.isfinite(latents).all()
    assert (latents == latents[0]).all()
