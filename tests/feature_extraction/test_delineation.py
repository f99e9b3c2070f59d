"""Boundaries of P, QRS and T, compared with known waves and with cardiologists."""

import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from sklearn_bell.datasets import load_ludb, make_ecg
from sklearn_bell.feature_extraction import ECGFeatures
from tests.feature_extraction._records import LUDB, REGULAR, waves

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
GAINS = ((0.15, 1.0, 0.3), (-0.1, -0.8, 0.2), (0.1, 0.4, -0.2))


def delineate(X, sampling_rate=100):
    return ECGFeatures(sampling_rate).fit(X).delineate(X)


def boundaries(X, sampling_rate=100):
    """Return the boundaries of the first record (6,) in ms."""
    return delineate(X, sampling_rate).boundaries.to_numpy()[0]


def from_qrs(X, sampling_rate=100):
    """Return the boundaries from the onset of QRS, which do not depend on its summit."""
    bounds = boundaries(X, sampling_rate)
    return bounds - bounds[2]


# Known waves


@pytest.mark.parametrize("gains", [GAINS[:1], GAINS], ids=["one lead", "three leads"])
@pytest.mark.parametrize(
    "intervals",
    [
        {},
        {"pr": 130},
        {"pr": 240},
        {"qrs": 80},
        {"qrs": 140},
        {"qt": 340},
        {"qt": 460},
    ],
    ids=str,
)
def test_boundaries_are_near_known_waves(intervals, gains):
    pr, qrs, qt = ({"pr": 160, "qrs": 100, "qt": 400} | intervals).values()
    actual = from_qrs(waves(np.arange(0.55, 9.5, 0.9), pr, qrs, qt, gains))
    # the smooth ends of sin^2 are slower than the thresholds for up to 30 ms
    np.testing.assert_allclose(actual, [-pr, 100 - pr, 0, qrs, qt - 180, qt], atol=30)


@pytest.mark.parametrize("name", ["pr", "qrs", "qt"])
def test_intervals_change_as_much_as_the_waves(name):
    column = {"pr": 0, "qrs": 3, "qt": 5}[name]
    default = {"pr": 160, "qrs": 100, "qt": 400}[name]
    for change in (-20, 20, 40):
        base, changed = (
            abs(from_qrs(waves(**{name: value}, gains=GAINS))[column])
            for value in (default, default + change)
        )
        assert changed - base == pytest.approx(change, abs=12)


def test_boundaries_of_conditions_are_those_of_textbooks():
    classes = ["normal", "av_block", "lbbb", "afib"]
    ecg = make_ecg(80, classes=classes, random_state=0)
    bounds = delineate(ecg.data).boundaries.to_numpy().T
    pr, qrs, has_p = bounds[2] - bounds[0], bounds[3] - bounds[2], np.isfinite(bounds[0])
    normal, av_block, lbbb, afib = (ecg.target == code for code in range(4))
    assert has_p[~afib].mean() >= 0.95
    assert has_p[afib].mean() <= 0.2
    assert np.nanmedian(pr[normal]) == pytest.approx(160, abs=20)
    assert np.nanmedian(pr[av_block]) == pytest.approx(255, abs=20)
    assert (qrs[normal] < 120).mean() >= 0.95
    assert (qrs[lbbb] > 120).mean() >= 0.95


def test_boundaries_are_in_order():
    bounds = delineate(make_ecg(44, random_state=1).data).boundaries.to_numpy()
    with_p = bounds[np.isfinite(bounds).all(axis=1)]
    assert len(with_p) >= 30
    assert (np.diff(with_p) >= 0).all()
    assert (np.diff(bounds[:, 2:]) >= 0).all()


@pytest.mark.parametrize("rate", [40, 120, 180, 210, 230])
@pytest.mark.filterwarnings("ignore:Most records have about .* beats")
def test_boundaries_are_in_order_at_any_heart_rate(rate):
    qt = 400 * (60 / rate) ** (1 / 3)
    X = waves(np.arange(0.6, 9.5, 60 / rate), pr=120, qrs=60, qt=qt, gains=((0.05, 1.0, 0.1),))
    bounds = boundaries(X)
    assert (np.diff(bounds[2:]) >= 0).all()
    assert (np.diff(bounds[:3]) >= 0).all() or np.isnan(bounds[0])


def test_qrs_boundaries_equal_a_slow_version():
    bunch = delineate(make_ecg(6, random_state=0).data)
    for beat, bounds in zip(bunch.typical_beats, bunch.boundaries.to_numpy(), strict=True):
        # derivative of a Gaussian of 8 ms, which is 2 samples
        offsets = np.arange(-8, 9)
        gaussian = np.exp(-0.5 * (offsets / 2) ** 2) / np.exp(-0.5 * (offsets / 2) ** 2).sum()
        kernel = -offsets / 4 * gaussian
        speed = np.sqrt(sum(np.convolve(lead, kernel, mode="same") ** 2 for lead in beat))
        near = np.flatnonzero(np.abs(bunch.times) <= 100)
        steepest = near[speed[near].argmax()]
        onset = steepest
        while max(speed[onset - 4 : onset + 1]) >= 0.05 * speed[steepest]:
            onset -= 1
        offset = steepest
        while max(speed[offset : offset + 5]) >= 0.08 * speed[steepest]:
            offset += 1
        assert bounds[2:4] == pytest.approx(bunch.times[[onset, offset]], abs=4)


# Invariance


@pytest.mark.parametrize(
    "change",
    [
        lambda X: X + 5,
        lambda X: 2 * X,
        lambda X: -X,
        lambda X: X[:, ::-1],
        lambda X: np.concatenate([X, np.full_like(X[:, :1], 3)], axis=1),
    ],
    ids=["offset", "scale", "sign", "order of leads", "flat lead"],
)
@pytest.mark.filterwarnings("ignore:In most records the limb leads")
def test_boundaries_are_invariant(change):
    X = make_ecg(4, classes=["normal", "lbbb"], noise=0.5, random_state=0).data
    actual, expected = (delineate(x).boundaries.to_numpy() for x in (change(X), X))
    np.testing.assert_allclose(actual, expected, atol=4)  # one sample of the typical beat


def test_boundaries_do_not_depend_on_the_time_of_beats():
    for shift in (0.003, 0.005, 0.1, 0.317):
        actual, expected = (
            from_qrs(waves(beats, gains=GAINS)) for beats in (REGULAR + shift, REGULAR)
        )
        np.testing.assert_allclose(actual, expected, atol=8)


@pytest.mark.parametrize("sampling_rate", [250, 360, 500])
def test_boundaries_agree_at_other_sampling_rates(sampling_rate):
    high = from_qrs(waves(gains=GAINS, sampling_rate=sampling_rate), sampling_rate)
    np.testing.assert_allclose(high, from_qrs(waves(gains=GAINS)), atol=10)


def test_boundaries_are_near_the_truth_in_noise():
    noisy = from_qrs(waves(gains=GAINS, noise=0.02))
    np.testing.assert_allclose(noisy, from_qrs(waves(gains=GAINS)), atol=20)


def test_boundaries_ignore_ectopic_beats():
    X = waves(gains=GAINS)
    expected = from_qrs(X)
    X[..., 300:330] += 2 * np.hanning(30)
    np.testing.assert_allclose(from_qrs(X), expected, atol=8)


# Without waves


def test_records_without_beats_have_no_boundaries():
    X = np.zeros((3, 2, 1000))
    X[1] = np.random.default_rng(0).normal(size=X[1].shape)
    X[2] = waves(gains=GAINS[:2])[0]
    bunch = delineate(X)
    assert bunch.boundaries[:2].isna().all(axis=None)
    assert not bunch.typical_beats[:2].any()
    assert np.isfinite(bunch.boundaries.to_numpy()[2]).all()


def test_p_that_does_not_repeat_is_absent():
    rng = np.random.default_rng(0)
    X = waves(gains=((0.0, 1.0, 0.3),))
    phase = np.cumsum(rng.normal(6, 1.5, 1000)) / 100  # f waves of about 6 Hz
    X = X + 0.1 * np.sin(2 * np.pi * phase)
    assert np.isnan(boundaries(X)[:2]).all()
    assert np.isfinite(boundaries(X)[2:]).all()


@pytest.mark.parametrize("noise", [0, 0.02, 0.05])
@pytest.mark.parametrize("rate", [50, 75, 110])
def test_low_t_is_absent(noise, rate):
    beats = np.arange(0.6, 9.5, 60 / rate)
    absent, present = (
        boundaries(waves(beats, qt=340, gains=[(0.15, 1, t), (-0.1, -0.8, t)], noise=noise))
        for t in (0, 0.25)
    )
    assert np.isnan(absent[4:]).all()
    assert np.isfinite(present[4:]).all()
    np.testing.assert_allclose(absent[:4], present[:4], atol=20)


@pytest.mark.parametrize("n_beats", [1, 2])
def test_few_beats_have_boundaries(n_beats):
    X = waves(REGULAR[4 : 4 + n_beats], gains=GAINS)[..., 350 : 450 + 80 * (n_beats - 1)]
    assert np.isfinite(boundaries(X)[2:]).all()


def test_delineate_before_fit_raises():
    with pytest.raises(NotFittedError):
        ECGFeatures().delineate(waves())


def test_delineate_accepts_one_lead_in_two_dimensions():
    X = waves()
    np.testing.assert_array_equal(boundaries(X[:, 0]), boundaries(X))


# LUDB


@pytest.mark.skipif(not LUDB.is_dir(), reason="SKLEARN_BELL_DATA does not lead to LUDB")
def test_t_is_present_in_ludb():
    ludb = load_ludb(sampling_rate=100, unlabelled=True)
    X = ludb.data[ludb.groups <= 100]  # the cardiologists marked T in all of them
    assert delineate(X).boundaries.t_onset_ms.isna().sum() <= 1


@pytest.mark.skipif(not LUDB.is_dir(), reason="SKLEARN_BELL_DATA does not lead to LUDB")
def test_intervals_agree_with_the_cardiologists_of_ludb(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import bench_delineation

    numbers = np.arange(1, 101, 2)  # of the records that the method was developed on
    ludb = load_ludb(sampling_rate=100, unlabelled=True)
    X = np.stack([ludb.data[ludb.groups == number][0] for number in numbers])
    leads = np.stack([bench_delineation.boundaries_of_leads(LUDB / str(n)) for n in numbers])
    actual = bench_delineation.intervals(delineate(X).boundaries.to_numpy())
    for rule, limits in {
        "extreme": (20, 10, 20),
        "third": (10, 10, 10),
        "median": (15, 10, 15),
    }.items():
        true = bench_delineation.intervals(bench_delineation.join_leads(leads, rule))
        assert (np.nanmedian(np.abs(actual - true), axis=0) <= limits).all(), rule
    for name in ("bench_delineation", "_common"):
        del sys.modules[name]
