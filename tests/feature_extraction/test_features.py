"""QRS detection and features, compared with known beats and with cardiologists."""

import os
from pathlib import Path

import numpy as np
import pytest
import wfdb
from scipy import signal
from sklearn.utils._param_validation import InvalidParameterError

from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.feature_extraction import ECGFeatures, detect_qrs

LUDB = Path(os.environ.get("SKLEARN_BELL_DATA", "no such folder")) / "ludb" / "data"
LEADS = ["ii", "v1", "v3", "v5"]  # marks of all twelve give the same result, but slowly


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


def feature(features, X, *names):
    columns = features.fit(X).get_feature_names_out().tolist()
    return features.transform(X)[:, [columns.index(name) for name in names]]


REGULAR = np.arange(0.5, 9.5, 0.8)
IRREGULAR = 0.4 + np.cumsum([0.0, 0.6, 1.1, 0.7, 0.75, 1.3, 0.5, 0.7, 1.4])


# detect_qrs


@pytest.mark.parametrize("sampling_rate", [100, 250, 500])
@pytest.mark.parametrize("beats", [REGULAR, IRREGULAR], ids=["regular", "irregular"])
def test_detect_qrs_finds_beats_at_any_sampling_rate(beats, sampling_rate):
    X = ecg(beats, sampling_rate=sampling_rate, noise=0.02)
    np.testing.assert_allclose(detect_qrs(X, sampling_rate)[0], beats, atol=0.011)


@pytest.mark.parametrize("rate", [30, 60, 120, 160, 200])
def test_detect_qrs_finds_beats_at_any_heart_rate(rate):
    beats = np.arange(0.5, 9.7, 60 / rate)
    np.testing.assert_allclose(detect_qrs(ecg(beats))[0], beats, atol=0.03)


def test_detect_qrs_places_asymmetric_beats_on_the_summit():
    X = ecg(REGULAR)
    time = np.arange(1000) / 100
    for beat in REGULAR:  # a deep, steep wave after the summit draws the slopes to its side
        X -= 0.6 * np.exp(-(((time - beat - 0.07) / 0.02) ** 2)) * np.array([[1.0], [-0.6], [0.3]])
    np.testing.assert_allclose(detect_qrs(X)[0], REGULAR, atol=0.011)


def test_detect_qrs_finds_beats_beside_a_noisy_lead():
    X = ecg(REGULAR, gains=(1.0, -0.6, 0.3, 0.0))
    X[:, 3] = np.random.default_rng(0).normal(scale=5.0, size=X[:, 3].shape)
    # the beat is placed by all leads together, so the noise may move it a little
    np.testing.assert_allclose(detect_qrs(X)[0], REGULAR, atol=0.09)


def test_detect_qrs_finds_beats_around_an_artefact():
    X = ecg(REGULAR)
    X[..., 490:495] += 10.0
    beats = detect_qrs(X)[0]
    assert np.abs(REGULAR[:, None] - beats).min(axis=1).max() <= 0.1


@pytest.mark.parametrize("n_leads", [1, 12])
def test_detect_qrs_finds_no_beats_in_noise_and_flat_records(n_leads):
    noise = np.random.default_rng(0).normal(size=(20, n_leads, 1000))
    assert not any(len(beats) for beats in detect_qrs(noise))
    assert not any(len(beats) for beats in detect_qrs(np.full((2, n_leads, 1000), 3.0)))


def test_detect_qrs_accepts_one_lead_in_two_dimensions():
    X = ecg(REGULAR, gains=(1.0,))
    np.testing.assert_array_equal(detect_qrs(X[:, 0])[0], detect_qrs(X)[0])


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.zeros(5), r"got float64 of shape \(5,\)"),
        (np.zeros((0, 5)), r"got float64 of shape \(0, 5\)"),
        (np.full((1, 1, 5), np.nan), "contains NaN: first in record 0"),
    ],
)
def test_detect_qrs_rejects_invalid_X(X, message):
    with pytest.raises(InvalidECGError, match=message):
        detect_qrs(X)


def test_detect_qrs_rejects_an_invalid_sampling_rate():
    with pytest.raises(InvalidParameterError, match="sampling_rate"):
        detect_qrs(np.zeros((1, 1, 5)), sampling_rate=0)


@pytest.mark.skipif(not LUDB.is_dir(), reason="SKLEARN_BELL_DATA does not lead to LUDB")
def test_detect_qrs_agrees_with_the_cardiologists_of_ludb():
    hits = n_true = n_detected = 0
    for record in range(1, 201):
        digital = wfdb.rdrecord(str(LUDB / str(record)), physical=False).d_signal
        detected = detect_qrs(digital.T[None] / 1000, sampling_rate=500)[0]
        true = marked_beats(record)
        # the cardiologists left out beats at both ends of the record
        detected = detected[(detected > true[0] - 0.1) & (detected < true[-1] + 0.1)]
        hits += (np.abs(true[:, None] - detected).min(axis=1) <= 0.1).sum()
        n_true, n_detected = n_true + len(true), n_detected + len(detected)
    assert n_true > 1800
    assert hits / n_true >= 0.995  # sensitivity
    assert hits / n_detected >= 0.995  # precision


def marked_beats(record):
    """Return the median over leads of each QRS mark that half of the leads have, in s."""
    marks = [wfdb.rdann(str(LUDB / str(record)), lead) for lead in LEADS]
    times = np.sort(
        np.concatenate([mark.sample[np.array(mark.symbol) == "N"] / 500 for mark in marks])
    )
    beats = np.split(times, np.flatnonzero(np.diff(times) > 0.15) + 1)
    return np.array([np.median(beat) for beat in beats if len(beat) >= 2])


# ECGFeatures


def test_rhythm_features_equal_those_of_known_beats():
    names = ["heart_rate", "rr_sd", "rr_rmssd", "rr_min", "rr_max"]
    actual = feature(ECGFeatures(), ecg(IRREGULAR), *names)[0]
    rr = np.diff(IRREGULAR)
    rmssd = np.sqrt(np.mean(np.diff(rr) ** 2))
    expected = [60 / np.median(rr), rr.std(), rmssd, rr.min(), rr.max()]
    np.testing.assert_allclose(actual, expected, rtol=0.03)


def test_amplitudes_and_median_beat_equal_a_slow_version():
    X = ecg(IRREGULAR, noise=0.02)
    features = ECGFeatures(lead_names=["I", "II", "III"]).fit(X)
    values = dict(zip(features.get_feature_names_out(), features.transform(X)[0], strict=True))
    sos = signal.butter(2, (0.5, 40.0), btype="bandpass", fs=100, output="sos")
    for name, lead in zip(["I", "II", "III"], X[0], strict=True):
        clean = signal.sosfiltfilt(sos, lead, padtype="even", padlen=200)
        amplitudes = {"sd": clean.std(), "max": clean.max(), "min": clean.min()}
        assert [values[f"{name}_{quantity}"] for quantity in amplitudes] == pytest.approx(
            list(amplitudes.values()), abs=1e-4
        )
        for ms in range(-240, 400, 20):
            at_that_time = [
                clean[round(100 * beat) + ms // 10]
                for beat in detect_qrs(X)[0]
                if beat >= 0.24 and beat + 0.4 <= 10
            ]
            expected = np.median(at_that_time)
            assert values[f"{name}_beat_{ms:+d}ms"] == pytest.approx(expected, abs=1e-4)


def test_median_beat_ignores_an_outlier():
    X = ecg(REGULAR)
    outlier = X.copy()
    outlier[..., 395:420] -= 1.0
    beat = ["lead0_beat_+0ms", "lead0_beat_+100ms", "lead0_beat_+280ms"]
    np.testing.assert_allclose(
        feature(ECGFeatures(), outlier, *beat), feature(ECGFeatures(), X, *beat), atol=0.1
    )


@pytest.mark.parametrize("sampling_rate", [250, 360, 500, 1000])
def test_features_hardly_depend_on_the_sampling_rate(sampling_rate):
    low = ECGFeatures(100).fit_transform(ecg(REGULAR))
    high = ECGFeatures(sampling_rate).fit_transform(ecg(REGULAR, sampling_rate=sampling_rate))
    assert low.shape == high.shape
    np.testing.assert_allclose(high, low, atol=0.05, rtol=0.02)


@pytest.mark.parametrize("n_samples", [1, 2, 3, 20, 60])
def test_features_of_short_records_have_zeros(n_samples):
    X = np.random.default_rng(0).normal(size=(2, 3, n_samples))
    features = ECGFeatures().fit_transform(X)
    assert np.isfinite(features).all()
    assert not features[:, :5].any()
    assert not features[:, 5:].reshape(2, 3, -1)[:, :, 3:].any()


def test_features_of_a_flat_lead_are_zero():
    X = ecg(REGULAR, gains=(1.0, 0.0))
    X[:, 1] = 3.0
    beating, flat = ECGFeatures().fit_transform(X)[:, 5:].reshape(2, -1)
    assert beating.max() > 0.5
    assert not flat.any()


def test_feature_names_have_lead_and_quantity():
    X = np.zeros((1, 12, 1000))
    names = ECGFeatures().fit(X).get_feature_names_out().tolist()
    assert names[:6] == ["heart_rate", "rr_sd", "rr_rmssd", "rr_min", "rr_max", "I_sd"]
    assert {"aVR_max", "V6_min", "V1_beat_-240ms", "II_beat_+40ms", "II_beat_+380ms"} <= set(names)
    assert len(set(names)) == len(names) == 5 + 12 * 35
    named = ECGFeatures(lead_names=["X", "Y"]).fit(X[:, :2]).get_feature_names_out()
    assert named[-1] == "Y_beat_+380ms"


def test_wrong_number_of_lead_names_raises():
    with pytest.raises(InvalidECGError, match=r"X has 3 lead\(s\), but lead_names has 2: I, II"):
        ECGFeatures(lead_names=["I", "II"]).fit(np.zeros((1, 3, 100)))
