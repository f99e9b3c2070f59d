"""A record has its beats where another has them, and each beat keeps its shape."""

import numpy as np
import pytest

from sklearn_bell._alignment import aligned
from sklearn_bell.datasets import make_ecg
from sklearn_bell.feature_extraction import detect_qrs


def spikes(beats, n_samples=1000):
    """A narrow wave at each beat, and a wide one 30 samples after."""
    time = np.arange(n_samples)
    narrow = sum(np.exp(-(((time - beat) / 2) ** 2)) for beat in beats)
    return np.stack([narrow, sum(0.3 * np.exp(-(((time - beat - 30) / 8) ** 2)) for beat in beats)])


REGULAR = np.arange(50.0, 1000, 100)
FASTER = np.arange(20.0, 1000, 80)
IRREGULAR = np.array([90.0, 160, 300, 375, 480, 600, 690, 770, 905, 980])


@pytest.mark.parametrize("beats", [REGULAR, FASTER, IRREGULAR])
@pytest.mark.parametrize("target", [REGULAR, FASTER, IRREGULAR])
def test_beats_come_when_they_are_to_and_keep_their_shape(beats, target):
    found = aligned(spikes(beats), beats, target)
    # what is wide may be cut by the next beat
    np.testing.assert_allclose(found[0], spikes(target)[0], atol=0.02)
    for beat in target[(target > 40) & (target < 960)].astype(int):
        np.testing.assert_allclose(
            found[1, beat + 20 : beat + 35], spikes([beat])[1, beat + 20 : beat + 35], atol=0.05
        )


def test_a_record_aligned_with_itself_stays_as_it_is():
    x = spikes(IRREGULAR)
    inside = slice(int(IRREGULAR[0]), int(IRREGULAR[-1]) - 30)  # the last may not be whole
    np.testing.assert_allclose(
        aligned(x, IRREGULAR, IRREGULAR)[:, inside], x[:, inside], atol=1e-12
    )


@pytest.mark.parametrize(
    ("beats", "target"), [([], [5.0]), ([7.0], [5.0]), ([10.0, 30.0], []), ([], [])]
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
