"""QRS detection, compared with known beats and with cardiologists."""

import numpy as np
import pytest
import wfdb
from sklearn.utils._param_validation import InvalidParameterError

from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.feature_extraction import detect_qrs
from tests.feature_extraction._records import IRREGULAR, LUDB, REGULAR, ecg

LEADS = ["ii", "v1", "v3", "v5"]  # marks of all twelve give the same result, but slowly


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
        (np.zeros(5), r"got 1 dimension"),
        (np.zeros((0, 5)), r"0 sample\(s\)"),
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
