"""Extreme values give finite results or an error that names them, never NaN."""

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
RECORD_3 = np.arange(16)[:, None, None] == 3
ACCEPTED = {
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
REJECTED = {
    "1e30": ECG * np.float32(1e30),
    "one record of 1e30": np.where(RECORD_3, ECG * np.float32(1e30), ECG),
    "as large as can be": np.where(ECG > 0, MOST, LEAST),
    "64-bit integers at their limits": np.where(ECG > 0, 2**63 - 1, -(2**63)),
    "more than float32": ECG.astype(np.float64) * 1e300,
    "NaN in a record": np.where(RECORD_3, np.nan, ECG),
    "infinity in a record": np.where(RECORD_3, np.inf, ECG),
}


def outcome(name, X):
    estimator = clone(ESTIMATORS[name])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)  # from equal records
        if name == "sampler":
            rows = np.r_[0:16:2, 3, 11]
            return estimator.fit_resample(X[rows], y[rows])[0]
        estimator.fit(X, y)
    return estimator.predict_proba(X) if name == "classifier" else estimator.transform(X)


@pytest.mark.parametrize("values", ACCEPTED)
@pytest.mark.parametrize("name", ESTIMATORS)
def test_extreme_values_give_finite_results(name, values):
    assert np.isfinite(outcome(name, ACCEPTED[values])).all()


@pytest.mark.parametrize("values", REJECTED)
@pytest.mark.parametrize("name", ESTIMATORS)
def test_impossible_values_raise_and_name_the_record(name, values):
    in_record_3 = " in a record" in values or "one " in values
    number = (8 if name == "sampler" else 3) if in_record_3 else 0
    message = rf"(NaN|infinity|too large).*record {number}, lead 0, sample 0"
    with pytest.raises(InvalidECGError, match=message):
        outcome(name, REJECTED[values])


def test_repeated_record_has_equal_finite_latents():
    X = np.repeat(ECG[:1], 300, axis=0)
    latents = BELLPretrainer(**SMALL).fit(X).transform(X)
    assert np.isfinite(latents).all()
    assert (latents == latents[0]).all()


# Missing leads

MISSING = ECG.copy()
MISSING[3, 1] = MISSING[7, 0] = MISSING[9] = np.nan  # one lead, the other, both
ZEROS = np.nan_to_num(MISSING)
GAP = np.where(np.arange(400) == 7, np.nan, ECG)
WITH_MISSING = {
    **{
        name: getattr(pretraining, name)(**SMALL, missing="zero")
        for name in pretraining.__all__
        if name.endswith("Pretrainer") and name != "BasePretrainer"
    },
    "ECGClassifier": ECGClassifier(
        BELLPretrainer(**SMALL, missing="zero"), max_epochs=1, n_trees=3, missing="zero",
        early_stopping=True, random_state=0, device="cpu",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WITH_MISSING)
def test_missing_lead_equals_a_flat_lead(name):
    results = []
    for X in (MISSING, ZEROS):
        estimator = clone(WITH_MISSING[name]).fit(X, y)
        method = "transform" if hasattr(estimator, "transform") else "predict_proba"
        results.append(getattr(estimator, method)(X))
    np.testing.assert_array_equal(*results)
    assert np.isfinite(results[0]).all()
    assert np.isnan(MISSING).any()  # X is unchanged


def memory_mapped(X, folder):
    path = folder / f"{np.isnan(X).any()}.npy"
    np.save(path, X)
    return np.load(path, mmap_mode="r")


@pytest.mark.parametrize(
    "convert",
    [
        memory_mapped,
        lambda X, folder: X[:, 0],
        lambda X, folder: X.astype(np.float64),
        lambda X, folder: pd.DataFrame(X[:, 0]).rename(columns=str),
    ],
    ids=["memory map", "one lead", "float64", "dataframe"],
)
def test_missing_lead_in_other_arrays(convert, tmp_path):
    missing, zeros = convert(MISSING, tmp_path), convert(ZEROS, tmp_path)
    actual = BELLPretrainer(**SMALL, missing="zero").fit(missing).transform(missing)
    np.testing.assert_array_equal(actual, BELLPretrainer(**SMALL).fit(zeros).transform(zeros))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.where(np.arange(400) < 10, 0, np.nan), r"NaN: first in record 4, lead 1, sample 10\."),
        (np.inf, r"infinity.*first in record 4, lead 1, sample 0\."),
    ],
)
def test_gap_and_infinity_are_no_missing_lead(values, message):
    X = ECG.copy()
    X[4, 1] = values
    with pytest.raises(InvalidECGError, match=message):
        BELLPretrainer(**SMALL, missing="zero").fit(X)


def test_missing_lead_error_advises_the_parameter():
    bell = BELLPretrainer(**SMALL).fit(ECG)
    for method in (bell.transform, clone(bell).fit):
        with pytest.raises(
            InvalidECGError, match="Or set missing='zero' to replace a missing lead"
        ):
            method(MISSING)


@pytest.mark.parametrize("estimator", [BELLPretrainer(**SMALL), ECGFeatures(sampling_rate=100)])
def test_gap_error_does_not_advise_the_parameter(estimator):
    with pytest.raises(InvalidECGError, match=r"or fill their gaps first\.$"):
        clone(estimator).fit(GAP)


def test_masked_values_are_missing():
    X = np.ma.masked_array(ECG, mask=np.zeros(ECG.shape, bool))
    bell = BELLPretrainer(**SMALL).fit(ECG)
    np.testing.assert_array_equal(bell.transform(X), bell.transform(ECG))
    X[3, 1] = np.ma.masked
    with pytest.raises(InvalidECGError, match="NaN: first in record 3, lead 1, sample 0"):
        bell.transform(X)
    bell.set_params(missing="zero")
    filled = np.where(np.ma.getmask(X), 0, ECG)
    np.testing.assert_array_equal(bell.transform(X), bell.transform(filled))
