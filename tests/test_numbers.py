"""Odd numbers come out as numbers, or are refused by name; never as NaN."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from sklearn_bell import (
    BELLPretrainer,
    ECGClassifier,
    ECGFeatures,
    VQVAEOverSampler,
    VQVAETransformer,
    preprocessing,
    pretraining,
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
def test_extreme_values_give_finite_output(name, numbers):
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


# Leads that a record does not have ----------------------------------------------------------------

MISSING = ECG.copy()
MISSING[3, 1] = MISSING[7, 0] = MISSING[9] = np.nan  # one lead, the other, both
ZEROS = np.nan_to_num(MISSING)
TAKING = {
    **{
        name: getattr(pretraining, name)(**SMALL, missing="zero")
        for name in pretraining.__all__
        if name not in ("BasePretrainer", "Objective")
    },
    "ECGClassifier": ECGClassifier(
        BELLPretrainer(**SMALL, missing="zero"), max_epochs=1, n_trees=3, missing="zero",
        early_stopping=True, random_state=0, device="cpu",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TAKING)
def test_a_missing_lead_is_a_flat_one_where_that_is_wanted(name):
    results = []
    for X in (MISSING, ZEROS):
        estimator = clone(TAKING[name]).fit(X, y)
        method = "transform" if hasattr(estimator, "transform") else "predict_proba"
        results.append(getattr(estimator, method)(X))
    np.testing.assert_array_equal(*results)
    assert np.isfinite(results[0]).all()
    assert np.isnan(MISSING).any()  # nothing was written into X


@pytest.mark.parametrize("how", ["memory-mapped", "of one lead", "float64", "a dataframe"])
def test_missing_leads_in_all_kinds_of_arrays(how, tmp_path):
    X, zeros = MISSING, ZEROS
    if how == "memory-mapped":
        np.save(tmp_path / "X.npy", X)
        X = np.load(tmp_path / "X.npy", mmap_mode="r")
    elif how == "float64":
        X = X.astype(np.float64)
    else:
        X, zeros = X[:, 0], zeros[:, 0]
    if how == "a dataframe":
        X = pd.DataFrame(X).rename(columns=str)
    latents = BELLPretrainer(**SMALL, missing="zero").fit(X).transform(X)
    zeros = zeros if how != "a dataframe" else pd.DataFrame(zeros).rename(columns=str)
    np.testing.assert_array_equal(latents, BELLPretrainer(**SMALL).fit(zeros).transform(zeros))


def test_a_gap_is_no_missing_lead():
    gap = ECG.copy()
    gap[4, 1, 10:] = np.nan
    with pytest.raises(InvalidECGError, match=r"NaN: first in record 4, lead 1, sample 10\."):
        BELLPretrainer(**SMALL, missing="zero").fit(gap)
    infinite = ECG.copy()
    infinite[4, 1] = np.inf
    with pytest.raises(InvalidECGError, match=r"infinity.*first in record 4, lead 1, sample 0\."):
        BELLPretrainer(**SMALL, missing="zero").fit(infinite)


def test_missing_lead_error_names_the_parameter():
    with pytest.raises(InvalidECGError, match="missing='zero' to replace a missing lead"):
        BELLPretrainer(**SMALL).fit(MISSING)
    bell = BELLPretrainer(**SMALL).fit(ECG)
    with pytest.raises(InvalidECGError, match="missing='zero' to replace a missing lead"):
        bell.transform(MISSING)
    for estimator in (bell, ECGFeatures(sampling_rate=100)):
        gap = np.where(np.arange(400) == 7, np.nan, ECG)
        with pytest.raises(InvalidECGError, match=r"or fill their gaps first\.$"):
            estimator.fit(gap)


def test_masked_values_are_missing():
    X = np.ma.masked_array(ECG, mask=np.zeros(ECG.shape, bool))
    bell = BELLPretrainer(**SMALL).fit(ECG)
    np.testing.assert_array_equal(bell.transform(X), bell.transform(ECG))
    X[3, 1] = np.ma.masked
    with pytest.raises(InvalidECGError, match="NaN: first in record 3, lead 1, sample 0"):
        bell.transform(X)
    bell.set_params(missing="zero")
    gone = np.where(np.ma.getmask(X), 0, ECG)
    np.testing.assert_array_equal(bell.transform(X), bell.transform(gone))
