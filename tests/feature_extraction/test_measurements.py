"""Measurements of rhythm, axes, voltages and waves, compared with known values."""

import numpy as np
import pytest

from sklearn_bell.datasets import make_ecg
from sklearn_bell.feature_extraction import ECGFeatures
from tests.feature_extraction._records import IRREGULAR, REGULAR, ecg, waves

ECTOPIC = np.delete(REGULAR, 5)  # with place for another beat


def measure(X, lead_names=None, sampling_rate=100):
    """Return the features of the first record by name."""
    features = ECGFeatures(sampling_rate, lead_names).set_output(transform="pandas")
    return features.fit_transform(X).iloc[0]


# Rhythm


def test_rhythm_equals_that_of_known_beats():
    actual = measure(ecg(IRREGULAR))
    rr = 1000 * np.diff(IRREGULAR)
    change = np.abs(np.diff(rr))
    expected = {
        "heart_rate_bpm": 60_000 / np.median(rr),
        "rr_sd_ms": rr.std(),
        "rr_rmssd_ms": np.sqrt(np.mean(change**2)),
        "rr_min_ms": rr.min(),
        "rr_max_ms": rr.max(),
        "rr_cv": rr.std() / rr.mean(),
        "rr_irregularity": np.median(change) / np.median(rr),
        "rr_pnn50": np.mean(change > 50.01),  # to 10 ms
        "n_beats": len(IRREGULAR),
        "n_premature": np.sum(rr < 0.8 * np.median(rr[1:] + rr[:-1]) / 2),
        "n_aberrant": 0,
        "n_premature_aberrant": 0,
    }
    for name, value in expected.items():
        assert actual[name] == pytest.approx(value, rel=0.03, abs=0.15 if name == "rr_pnn50" else 0)


@pytest.mark.parametrize("n_beats", [0, 1, 2])
def test_rhythm_of_few_beats_is_zero_where_undefined(n_beats):
    X = ecg(REGULAR[4 : 4 + n_beats], noise=0.001)[..., 350 : 450 + 80 * max(0, n_beats - 1)]
    actual = measure(X)
    assert actual["n_beats"] == n_beats
    assert (actual["heart_rate_bpm"] > 0) == (n_beats > 1)
    assert actual["rr_rmssd_ms"] == actual["rr_irregularity"] == actual["rr_pnn50"] == 0


@pytest.mark.parametrize(
    ("early", "wide", "expected"),
    [(False, False, (0, 0, 0)), (True, False, (1, 0, 0)), (False, True, (0, 1, 0)),
     (True, True, (1, 1, 1))],
)  # fmt: skip
def test_ectopic_beats_are_counted(early, wide, expected):
    beat = REGULAR[5] - 0.3 * early
    if wide:
        X = waves(ECTOPIC)
        start = round(100 * beat)
        X[..., start - 6 : start + 14] -= 1.2 * np.hanning(20)
    else:
        X = waves(np.sort(np.append(ECTOPIC, beat)))
    actual = measure(X)
    counts = actual[["n_premature", "n_aberrant", "n_premature_aberrant"]]
    assert tuple(counts) == expected
    assert actual["n_beats"] == len(REGULAR)


@pytest.mark.parametrize(
    ("rr", "expected"),
    [
        (np.full(11, 0.8), 0),
        ([0.8] * 4 + [0.5, 1.1] + [0.8] * 4, 1),
        ([0.5, 1.1] + [0.8] * 8, 1),
        ([0.8] * 4 + [0.5] + [0.8] * 5, 1),
        ([0.8, 0.8, 0.5, 0.5, 1.4] + [0.8] * 4, 2),
        ([0.55, 1.05] * 4 + [0.55], 5),
        ([1.05, 0.55] * 4 + [1.05], 4),
        ([0.55, 1.05] * 4, 4),
        ([0.55, 1.05, 0.55], 2),
        ([0.8, 0.5, 1.1] * 3, 3),
        ([0.5, 1.1, 0.8] * 3, 3),
        ([0.5, 0.5, 1.1] * 4, 8),
        (0.85 + 0.15 * np.sin(2 * np.pi * np.arange(10) / 5), 0),
        ([0.8] * 4 + [1.6] + [0.8] * 4, 0),
    ],
    ids=[
        "regular",
        "single",
        "single at the start",
        "single without pause",
        "couplet",
        "bigeminy, most short",
        "bigeminy, most long",
        "bigeminy, equally many",
        "bigeminy, short record",
        "trigeminy",
        "trigeminy from a premature beat",
        "couplets in trigeminy",
        "sinus arrhythmia",
        "missed beat",
    ],
)
def test_premature_beats_are_counted_in_patterns(rr, expected):
    beats = 0.45 + np.cumsum([0, *rr])
    assert measure(ecg(beats, seconds=beats[-1] + 0.45))["n_premature"] == expected


def test_beats_cut_off_by_the_record_are_not_aberrant():
    X = waves(REGULAR)
    for start in range(45, 58, 2):
        assert measure(X[..., start : start + 800])["n_aberrant"] == 0


def test_rhythm_separates_atrial_fibrillation_and_ectopic_beats():
    ecg = make_ecg(60, classes=["normal", "afib", "pvc"], random_state=0)
    features = ECGFeatures().set_output(transform="pandas").fit_transform(ecg.data)
    normal, afib, pvc = (features[ecg.target == code] for code in range(3))
    assert afib["rr_irregularity"].median() > 3 * normal["rr_irregularity"].median()
    assert afib["p_consistency"].median() < 0.5 < normal["p_consistency"].median()
    # detect_qrs misses some of the slow, synthetic complexes, which leaves a pause
    assert (pvc["n_aberrant"] > 0).mean() >= 0.6
    assert (pvc["rr_cv"] > 0.1).mean() >= 0.9
    assert (normal["n_aberrant"] == 0).all()


# Intervals


def test_intervals_are_differences_of_boundaries():
    X = make_ecg(8, random_state=0).data
    features = ECGFeatures().set_output(transform="pandas")
    actual = features.fit_transform(X)
    bounds = features.delineate(X).boundaries
    np.testing.assert_allclose(actual["qrs_ms"], bounds.qrs_offset_ms - bounds.qrs_onset_ms)
    np.testing.assert_allclose(actual["qt_ms"], bounds.t_offset_ms - bounds.qrs_onset_ms)
    rr = 60 / actual["heart_rate_bpm"]
    np.testing.assert_allclose(
        actual["qtc_fridericia_ms"], actual["qt_ms"] / rr ** (1 / 3), rtol=1e-5
    )
    pr = bounds.qrs_onset_ms - bounds.p_onset_ms
    np.testing.assert_array_equal(actual["p_present"], pr.notna())
    np.testing.assert_allclose(actual["pr_ms"], pr.fillna(160))
    assert 0 < pr.isna().sum() < len(pr)


# Waves


@pytest.mark.parametrize("sign", [1, -1])
def test_amplitudes_equal_those_of_known_waves(sign):
    actual = measure(waves(gains=((0.15, 1.0, 0.3 * sign),)))
    assert actual["lead0_p_mv"] == pytest.approx(0.15, abs=0.03)
    assert actual["lead0_r_mv"] == pytest.approx(1.0, abs=0.1)
    assert actual["lead0_t_mv"] == pytest.approx(0.3 * sign, abs=0.05)
    assert actual["lead0_t_polarity"] == sign
    assert abs(actual["lead0_st_mv"]) < 0.05


def test_flat_t_has_no_polarity():
    actual = measure(waves(gains=((0.15, 1.0, 0.3), (0.15, 1.0, 0.02))))
    assert actual["lead0_t_polarity"] == 1
    assert actual["lead1_t_polarity"] == 0


def test_features_of_an_absent_t_are_typical_or_zero():
    actual = measure(waves(gains=((0.15, 1.0, 0), (0.1, 0.6, 0)), noise=0.01), ["I", "II"])
    assert actual["qt_ms"] == 400
    assert actual["qtc_fridericia_ms"] == 420
    assert actual["qrs_axis_deg"] != 0
    zero = ["t_axis_deg", "qrs_t_angle_deg", "I_t_mv", "II_t_mv", "I_t_polarity", "II_t_polarity"]
    assert not actual[zero].any()


def test_q_and_s_waves_have_amplitude_and_time():
    X = waves(gains=((0.15, 1.0, 0.3),), sampling_rate=500)
    for beat in REGULAR:
        start = round(500 * beat)
        X[..., start - 20 : start] -= 0.4 * np.hanning(20)  # 40 ms
        X[..., start + 50 : start + 65] -= 0.6 * np.hanning(15)  # 30 ms
    actual = measure(X, sampling_rate=500)
    assert actual["lead0_q_mv"] == pytest.approx(-0.35, abs=0.1)
    assert actual["lead0_s_mv"] == pytest.approx(-0.5, abs=0.15)
    assert actual["lead0_q_ms"] == pytest.approx(40, abs=12)
    plain = measure(waves(sampling_rate=500), sampling_rate=500)
    assert plain["lead0_q_ms"] <= 12


def complexes(*heights):
    """Return a record whose QRS complexes have waves of 40 ms, 30 ms apart, in mV."""
    time = np.arange(5000) / 500
    record = 0.3 * np.exp(-(((time[:, None] - REGULAR - 0.3) / 0.05) ** 2)).sum(axis=1)  # T
    for i, height in enumerate(heights):
        phase = (time[:, None] - REGULAR - 0.03 * i) / 0.04
        hump = np.where((phase > 0) & (phase < 1), np.sin(np.pi * phase) ** 2, 0)
        record += height * hump.sum(axis=1)
    # a second lead makes the complex equally long in all cases
    phase = (time[:, None] - REGULAR) / 0.1
    second = np.where((phase > 0) & (phase < 1), np.sin(np.pi * phase) ** 2, 0).sum(axis=1)
    return np.stack([record, second])[None]


@pytest.mark.parametrize(
    ("heights", "q", "r", "s"),
    [
        ((-0.9, -0.9, -0.9), -0.9, 0, 0),
        ((0, -1, 0), -1, 0, 0),
        ((-0.6, 1), -0.6, 1, 0),
        ((0.3, -1), 0, 0.3, -1),
        ((1, -0.5), 0, 1, -0.5),
        ((-0.3, 1, -0.6), -0.3, 1, -0.6),
        ((0.4, -0.6, 0.8), 0, 0.8, -0.6),
        ((0, 1, 0), 0, 1, 0),
    ],
    ids=["QS", "narrow QS", "QR", "rS", "RS", "qRS", "rSR'", "R"],
)
@pytest.mark.parametrize("t_sign", [1, -1])
def test_waves_of_qrs_have_the_order_q_r_s(heights, q, r, s, t_sign):
    X = t_sign * complexes(*(t_sign * height for height in heights))
    actual = measure(X, sampling_rate=500)[["lead0_q_mv", "lead0_r_mv", "lead0_s_mv"]]
    # the filters spread waves of 40 ms, and shift their level
    np.testing.assert_allclose(actual, [q, r, s], atol=0.2)
    for value, expected in zip(actual, (q, r, s), strict=True):
        assert abs(value) < 0.09 or expected


@pytest.mark.parametrize("t_sign", [1, -1])
def test_q_of_a_qs_complex_lasts_as_long_as_the_complex(t_sign):
    X = waves(gains=((0.15, -1.0, 0.3 * t_sign), (0.15, 1.0, 0.3)))
    actual = measure(X)
    assert actual["lead0_q_mv"] == pytest.approx(-1, abs=0.1)
    assert actual["lead0_q_ms"] == pytest.approx(90, abs=12)
    assert actual["lead0_r_mv"] == actual["lead0_s_mv"] == 0


@pytest.mark.parametrize("level", [0.2, -0.2])
def test_st_level_and_slope_follow_the_segment(level):
    X, flat = waves(), waves()
    for beat in REGULAR:
        start = round(100 * beat) + 10  # the end of QRS
        X[..., start : start + 12] += level  # a plateau of 120 ms
        flat[..., start : start + 12] += level * np.linspace(
            0, 1, 12
        )  # a slope of 0.2 mV in 0.12 s
    assert measure(X)["lead0_st_mv"] == pytest.approx(level, abs=0.06)
    slope = measure(flat)["lead0_st_slope_mv_per_s"] - measure(waves())["lead0_st_slope_mv_per_s"]
    assert slope == pytest.approx(level / 0.12, rel=0.4)


# Named leads


def frontal(degrees, t_degrees, names):
    """Return a record of limb leads whose QRS and T point to angles in the frontal plane."""
    axes = {"I": 0, "II": 60, "III": 120, "aVR": -150, "aVL": -30, "aVF": 90}
    scale = {"aVR": np.sqrt(3) / 2, "aVL": np.sqrt(3) / 2, "aVF": np.sqrt(3) / 2}
    gains = [
        [scale.get(name, 1) * height * np.cos(np.radians(angle - axes[name]))
         for height, angle in ((0.15, degrees), (1.0, degrees), (0.3, t_degrees))]
        for name in names
    ]  # fmt: skip
    return waves(gains=gains)


@pytest.mark.parametrize("names", [["I", "II"], ["aVF", "i"], ["III", "aVL"], ["aVR", "II", "III"]])
@pytest.mark.parametrize(
    ("axis", "t_axis"), [(50, 40), (-50, 110), (165, -170), (10, 170), (-100, -20)]
)
def test_axes_equal_those_of_a_known_dipole(axis, t_axis, names):
    X = frontal(axis, t_axis, [{"i": "I"}.get(name, name) for name in names])
    actual = measure(X, names)
    # T changes the level of the record, hence that of the waves a little
    for name, expected in (("p", axis), ("qrs", axis), ("t", t_axis)):
        difference = (actual[f"{name}_axis_deg"] - expected + 180) % 360 - 180
        assert abs(difference) <= 6, name
    angle = abs((axis - t_axis + 180) % 360 - 180)
    assert actual["qrs_t_angle_deg"] == pytest.approx(angle, abs=6)


def test_voltages_equal_those_of_known_waves():
    heights = {"V1": -1.2, "V3": -0.7, "V5": 1.5, "V6": 1.8, "aVL": 0.6}
    actual = measure(waves(gains=[(0.1, r, 0.2) for r in heights.values()]), [*heights])
    assert actual["sokolow_lyon_mv"] == pytest.approx(3.0, rel=0.1)
    assert actual["cornell_mv"] == pytest.approx(1.3, rel=0.1)


def test_voltages_use_a_derived_avl():
    ecg = make_ecg(4, classes=["lvh"], noise=0, random_state=0)
    names = [*ecg.lead_names]
    columns = [names.index(lead) for lead in ("I", "II", "V3")]
    with_avl = ECGFeatures().set_output(transform="pandas").fit_transform(ecg.data)
    derived = ECGFeatures(lead_names=["I", "II", "V3"]).set_output(transform="pandas")
    derived = derived.fit_transform(ecg.data[:, columns])
    np.testing.assert_allclose(derived["cornell_mv"], with_avl["cornell_mv"], rtol=0.05)


AXES = ["p_axis_deg", "qrs_axis_deg", "t_axis_deg", "qrs_t_angle_deg"]


@pytest.mark.parametrize("flat", [["I"], ["II"], ["aVL"], ["I", "aVF"], ["I", "II", "aVR", "V1"]])
def test_flat_limb_leads_count_as_missing(flat):
    ecg = make_ecg(6, noise=0.5, random_state=0)
    names = np.array(ecg.lead_names)
    is_flat = np.isin(names, flat)
    # a record without flat leads and one without beats are beside it
    X = np.concatenate([ecg.data, ecg.data[:1], 0 * ecg.data[:1]])
    X[:6, is_flat] = 0
    features = ECGFeatures(lead_names=names).set_output(transform="pandas")
    without = ECGFeatures(lead_names=names[~is_flat]).set_output(transform="pandas")
    columns = [*AXES, "cornell_mv"]
    actual = features.fit_transform(X)[columns]
    expected = without.fit_transform(ecg.data[:, ~is_flat])[columns]
    np.testing.assert_allclose(actual[:6], expected, rtol=1e-3, atol=0.01)
    full = features.fit_transform(ecg.data[:1])[columns]
    np.testing.assert_allclose(actual[6:7], full, rtol=1e-3, atol=0.01)
    assert not actual[7:].any(axis=None)


def test_axes_are_zero_without_two_independent_limb_leads():
    ecg = make_ecg(3, random_state=0)
    X = ecg.data.copy()
    X[:, 1:6] = 0  # all limb leads but I
    features = ECGFeatures().set_output(transform="pandas").fit_transform(X)
    assert not features[AXES].any(axis=None)


@pytest.mark.parametrize(
    ("lead_names", "axes", "sokolow", "cornell"),
    [
        (["I", "II"], True, False, False),
        (["I", "I2"], False, False, False),
        (["V1", "V5"], False, True, False),
        (["V1", "V3", "V6"], False, True, False),
        (["aVL", "V3"], False, False, True),
        (["I", "III", "V3"], True, False, True),
        (["a", "b"], False, False, False),
    ],
)  # fmt: skip
def test_axes_and_voltages_need_their_leads(lead_names, axes, sokolow, cornell):
    names = set(measure(np.zeros((1, len(lead_names), 200)), lead_names).index)
    assert ("qrs_axis_deg" in names) == axes
    assert ("sokolow_lyon_mv" in names) == sokolow
    assert ("cornell_mv" in names) == cornell
