"""A record has its beats where another has them, and each beat keeps its shape."""

import numpy as np
import pytest

from sklearn_bell.datasets import make_ecg
from sklearn_bell.feature_extraction import detect_qrs
from sklearn_bell.over_sampling._beat_alignment import aligned


def spikes(beats, n_samples=1000):
    """A narrow wave at each beat, and a wide one 30 samples after."""
    time = np.arange(n_samples)
    narrow = sum(np.exp(-(((time - beat) / 2) ** 2)) for beat in beats)
    return np.stack([narrow, sum(0.3 * np.exp(-(((time - beat - 30) / 8) ** 2)) for beat in beats)])


REGULAR = np.arange(50.0, 1000, 100)
FASTER = np.arange(20.0, 1000, 80)
IRREGULAR = np.array([90.0, 160, 300, 375, 480, 600, 690, 770, 905, 980])


EARLY = np.array([4.0, 95, 200, 290, 395, 500, 610, 700, 800, 890, 995])
ALL = pytest.mark.parametrize("beats", [REGULAR, FASTER, IRREGULAR, EARLY])


@ALL
@pytest.mark.parametrize("target", [REGULAR, FASTER, IRREGULAR, EARLY])
def test_beats_come_when_they_are_to_and_keep_their_shape(beats, target):
    found = aligned(spikes(beats), beats, target)
    inside = slice(int(target[0]) - 10, int(target[-1]) + 10) if target[0] > 10 else slice(0, 1000)
    np.testing.assert_allclose(found[0, inside], spikes(target)[0, inside], atol=0.05)
    assert (found[0] > 0.9).sum() <= len(target) + 2  # those before the first and after the last


@pytest.mark.parametrize(("gap", "expected"), [(60, 0.5), (80, 0.7), (100, 1), (130, 1), (200, 1)])
def test_the_second_wave_becomes_narrower_with_the_gap_and_not_wider(gap, expected):
    found = aligned(spikes(REGULAR), REGULAR, np.arange(50.0, 1000, gap))[1]
    width = (found[50 + gap : 50 + 2 * gap] > 0.15).sum() / (spikes([50])[1] > 0.15).sum()
    assert width == pytest.approx(expected, abs=0.13)


@ALL
def test_a_record_aligned_with_itself_stays_as_it_is(beats):
    x = spikes(beats)
    np.testing.assert_allclose(aligned(x, beats, beats), x, atol=1e-12)


@ALL
@pytest.mark.parametrize("target", [REGULAR, FASTER, IRREGULAR, EARLY])
def test_where_beats_begin_again_there_is_no_step(beats, target):
    x = spikes(beats) + np.linspace(-2, 2, 1000)  # the end is 4 mV above the beginning
    found = aligned(x, beats, target)
    usual = np.abs(np.diff(spikes(target))).max()
    assert np.abs(np.diff(found)).max() < usual + 0.15


@pytest.mark.parametrize(
    ("beats", "target"), [([], [5.0]), ([7.0], [5.0, 20]), ([10.0, 30.0], [7.0]), ([], [])]
)
def test_without_beats_there_is_nothing_to_align(beats, target):
    x = np.random.default_rng(0).normal(size=(2, 40))
    np.testing.assert_array_equal(aligned(x, np.array(beats), np.array(target)), x)


def test_beats_of_records_are_found_where_they_were_brought():
    ecg = make_ecg(
        40, classes=["normal", "afib", "av_block"], leads=["II", "V1", "V5"], sampling_rate=100,
        random_state=0,
    )  # fmt: skip
    beats = [100 * at for at in detect_qrs(ecg.data)]
    pairs = np.random.default_rng(0).integers(40, size=(100, 2))
    new = np.stack([aligned(ecg.data[b], beats[b], beats[a]) for a, b in pairs])
    assert new.dtype == ecg.data.dtype
    assert np.isfinite(new).all()
    found = [100 * at for at in detect_qrs(new)]
    right = [
        len(found[i]) == len(beats[a]) and np.abs(found[i] - beats[a]).max() <= 3
        for i, (a, _) in enumerate(pairs)
    ]
    assert np.mean(right) > 0.9
