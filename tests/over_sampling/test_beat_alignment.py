import numpy as np
import pytest

from sklearn_bell.datasets import make_ecg
from sklearn_bell.feature_extraction import detect_qrs
from sklearn_bell.over_sampling._beat_alignment import align_beats

RHYTHMS = {
    "regular": np.arange(50.0, 1000, 100),
    "faster": np.arange(20.0, 1000, 80),
    "irregular": np.array([90.0, 160, 300, 375, 480, 600, 690, 770, 905, 980]),
    "early": np.array([4.0, 95, 200, 290, 395, 500, 610, 700, 800, 890, 995]),
}
EACH_RHYTHM = pytest.mark.parametrize("beats", RHYTHMS.values(), ids=RHYTHMS)
EACH_TARGET = pytest.mark.parametrize("target", RHYTHMS.values(), ids=RHYTHMS)


def make_waves(beats, n_samples=1000):
    """Return a narrow wave at each beat and, as second lead, a wide one 30 samples later."""
    time = np.arange(n_samples)
    narrow = sum(np.exp(-(((time - beat) / 2) ** 2)) for beat in beats)
    return np.stack([narrow, sum(0.3 * np.exp(-(((time - beat - 30) / 8) ** 2)) for beat in beats)])


@EACH_RHYTHM
@EACH_TARGET
def test_align_beats_moves_beats_and_keeps_qrs_shape(beats, target):
    x = align_beats(make_waves(beats), beats, target)
    inside = slice(int(target[0]) - 10, int(target[-1]) + 10) if target[0] > 10 else slice(0, 1000)
    np.testing.assert_allclose(x[0, inside], make_waves(target)[0, inside], atol=0.05)
    assert (x[0] > 0.9).sum() <= len(target) + 2  # plus beats outside the target beats


@pytest.mark.parametrize(("gap", "expected"), [(60, 0.5), (80, 0.7), (100, 1), (130, 1), (200, 1)])
def test_align_beats_compresses_but_does_not_stretch_second_wave(gap, expected):
    beats = RHYTHMS["regular"]
    wave = align_beats(make_waves(beats), beats, np.arange(50.0, 1000, gap))[1]
    n_samples = (wave[50 + gap : 50 + 2 * gap] > 0.15).sum()
    assert n_samples / (make_waves([50])[1] > 0.15).sum() == pytest.approx(expected, abs=0.13)


@EACH_RHYTHM
def test_align_beats_with_own_beats_is_identity(beats):
    x = make_waves(beats)
    np.testing.assert_allclose(align_beats(x, beats, beats), x, atol=1e-12)


@EACH_RHYTHM
@EACH_TARGET
def test_align_beats_joins_without_step(beats, target):
    x = make_waves(beats) + np.linspace(-2, 2, 1000)  # ends 4 mV above its beginning
    largest_step = np.abs(np.diff(align_beats(x, beats, target))).max()
    assert largest_step < np.abs(np.diff(make_waves(target))).max() + 0.15


@pytest.mark.parametrize(
    ("beats", "target"), [([], [5.0]), ([7.0], [5.0, 20]), ([10.0, 30.0], [7.0]), ([], [])]
)
def test_align_beats_needs_two_beats(beats, target):
    x = np.random.default_rng(0).normal(size=(2, 40))
    np.testing.assert_array_equal(align_beats(x, np.array(beats), np.array(target)), x)


def test_align_beats_moves_detected_beats_of_records():
    ecg = make_ecg(
        40, classes=["normal", "afib", "av_block"], leads=["II", "V1", "V5"], sampling_rate=100,
        random_state=0,
    )  # fmt: skip
    beats = [100 * times for times in detect_qrs(ecg.data)]
    pairs = np.random.default_rng(0).integers(40, size=(100, 2))
    aligned = np.stack([align_beats(ecg.data[b], beats[b], beats[a]) for a, b in pairs])
    assert aligned.dtype == ecg.data.dtype
    assert np.isfinite(aligned).all()
    is_close = [
        len(times) == len(beats[a]) and np.abs(100 * times - beats[a]).max() <= 3
        for times, (a, _) in zip(detect_qrs(aligned), pairs, strict=True)
    ]
    assert np.mean(is_close) > 0.9
