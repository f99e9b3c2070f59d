"""Features, compared with slow versions and with records of known waves."""

import numpy as np
import pandas as pd
import pytest
from scipy import signal
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline

from sklearn_bell import BELLPretrainer
from sklearn_bell.datasets import make_ecg
from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.feature_extraction import ECGFeatures, detect_qrs
from sklearn_bell.preprocessing import Resampler
from tests.feature_extraction._records import IRREGULAR, REGULAR, ecg, waves


def feature(X, *names, **params):
    """Return features by name (n_records, n_names)."""
    features = ECGFeatures(**params).set_output(transform="pandas")
    return features.fit_transform(X)[[*names]].to_numpy()


def test_amplitudes_equal_a_slow_version():
    X = ecg(IRREGULAR, noise=0.02)
    sos = signal.butter(2, (0.5, 40.0), btype="bandpass", fs=100, output="sos")
    for lead, of_lead in enumerate(X[0]):
        clean = signal.sosfiltfilt(sos, of_lead, padtype="even", padlen=200)
        names = [f"lead{lead}_{name}_mv" for name in ("sd", "max", "min")]
        expected = [clean.std(), clean.max(), clean.min()]
        np.testing.assert_allclose(feature(X, *names)[0], expected, atol=1e-4)


def test_typical_beat_equals_a_slow_version():
    X = ecg(IRREGULAR)  # beats lie on samples and do not differ, so no beat is moved or left out
    sos = signal.butter(2, (0.5, 40.0), btype="bandpass", fs=100, output="sos")
    for lead, of_lead in enumerate(X[0]):
        clean = signal.sosfiltfilt(sos, of_lead, padtype="even", padlen=200)
        for ms in range(-240, 400, 40):
            at_that_time = [
                clean[round(100 * beat) + ms // 10]
                for beat in detect_qrs(X)[0]
                if beat >= 0.5 and beat + 0.7 <= 10
            ]
            actual = feature(X, f"lead{lead}_beat_{ms:+d}ms_mv")
            assert actual == pytest.approx(np.median(at_that_time), abs=0.01)


def test_typical_beat_ignores_an_outlier():
    X = ecg(REGULAR)
    outlier = X.copy()
    outlier[..., 395:420] -= 1.0
    beat = ["lead0_beat_+0ms_mv", "lead0_beat_+80ms_mv", "lead0_beat_+280ms_mv"]
    np.testing.assert_allclose(feature(outlier, *beat), feature(X, *beat), atol=0.1)


@pytest.mark.parametrize("sampling_rate", [250, 360, 500, 1000])
def test_features_hardly_depend_on_the_sampling_rate(sampling_rate):
    features = ECGFeatures(100)
    low = features.fit_transform(waves())
    high = ECGFeatures(sampling_rate).fit_transform(waves(sampling_rate=sampling_rate))
    names = features.get_feature_names_out()
    for unit, tolerance in {"_ms": 10, "_mv": 0.05, "_bpm": 1}.items():
        of_unit = [name.endswith(unit) for name in names]
        np.testing.assert_allclose(high[:, of_unit], low[:, of_unit], atol=tolerance)


@pytest.mark.parametrize("n_samples", [1, 2, 3, 20, 60])
def test_features_of_short_records_are_typical_or_zero(n_samples):
    X = np.random.default_rng(0).normal(size=(2, min(3, n_samples), n_samples))
    features = ECGFeatures().set_output(transform="pandas").fit_transform(X)
    assert np.isfinite(features).all(axis=None)
    typical = features[["p_ms", "pr_ms", "qrs_ms", "qt_ms", "qtc_fridericia_ms"]]
    assert (typical == [116, 160, 100, 400, 420]).all(axis=None)
    of_record = features.columns.str.contains("_(?:sd|max|min)_mv$")
    of_beats = features.loc[:, ~of_record & ~features.columns.isin(typical.columns)]
    assert not of_beats.any(axis=None)


def test_features_of_a_flat_lead_are_zero():
    X = waves(gains=((0.15, 1.0, 0.3), (0, 0, 0)))
    X[:, 1] = 3.0
    features = ECGFeatures().set_output(transform="pandas").fit_transform(X)
    assert features["lead0_max_mv"].item() > 0.5
    assert not features.filter(regex="^lead1_").any(axis=None)


def test_features_of_a_record_do_not_depend_on_the_others():
    ecg = make_ecg(6, classes=["normal", "pvc", "afib"], random_state=0)
    X = np.concatenate([ecg.data, np.zeros_like(ecg.data[:1])])
    features = ECGFeatures().fit(X)
    alone = np.concatenate([features.transform(x[None]) for x in X])
    np.testing.assert_allclose(features.transform(X), alone, rtol=1e-4, atol=1e-4)


def test_feature_names_have_lead_quantity_and_unit():
    X = np.zeros((1, 12, 1000))
    names = ECGFeatures().fit(X).get_feature_names_out().tolist()
    assert names[:3] == ["heart_rate_bpm", "rr_sd_ms", "rr_rmssd_ms"]
    assert {"aVR_max_mv", "V1_beat_-240ms_mv", "II_beat_+40ms_mv", "V6_t_mv"} <= set(names)
    assert len(set(names)) == len(names) == 25 + 12 * 28
    named = ECGFeatures(lead_names=["X", "Y"]).fit(X[:, :2]).get_feature_names_out()
    assert named[-1] == "Y_t_polarity"


@pytest.mark.parametrize("column", ["ecg", ["ecg"]], ids=["Series", "frame"])
@pytest.mark.parametrize(
    "steps",
    [(ECGFeatures(),), (Resampler(100, 50), ECGFeatures(50)), (BELLPretrainer(max_epochs=0),)],
)
def test_column_of_records_in_a_column_transformer_becomes_named_columns(column, steps):
    X = make_ecg(4, leads=["II", "V1"], random_state=0).data
    table = pd.DataFrame({"age": [1, 2, 3, 4], "ecg": list(X)})
    columns = make_column_transformer((make_pipeline(*steps), column), remainder="passthrough")
    result = columns.set_output(transform="pandas").fit_transform(table)
    expected = clone(make_pipeline(*steps)).fit(X)
    names = [name.split("__")[1] for name in result.columns]
    assert names == [*expected.get_feature_names_out(), "age"]
    with pytest.raises(ValueError, match="input_features"):
        expected.get_feature_names_out(["another"])


def test_wrong_number_of_lead_names_raises():
    with pytest.raises(InvalidECGError, match=r"X has 3 lead\(s\), but lead_names has 2: I, II"):
        ECGFeatures(lead_names=["I", "II"]).fit(np.zeros((1, 3, 100)))
