"""Tests of synthetic ECGs: laws between leads, textbook criteria, noise."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.signal import find_peaks
from sklearn.utils import Bunch

from sklearn_bell.datasets import make_ecg
from sklearn_bell.datasets._heart_models import _f_waves
from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.preprocessing import STANDARD_LEADS

RATE = 500  # Hz, of the measured records
MS = RATE / 1000  # samples per ms


def by_name(data):
    """Return the leads of (n_records, 12, n_samples) or (12, n_samples) by name."""
    return dict(zip(STANDARD_LEADS, np.moveaxis(data, -2, 0), strict=True))


# -- Result ---------------------------------------------------------------------------------------


def test_make_ecg_returns_bunch():
    ecg = make_ecg(22, random_state=0)
    assert isinstance(ecg, Bunch)
    assert ecg.data.shape == (22, 12, 1000)
    assert ecg.data.dtype == np.float32
    assert_array_equal(np.bincount(ecg.target), np.full(11, 2))
    assert list(ecg.target_names[:2]) == ["normal", "sinus_tachycardia"]
    assert_array_equal(ecg.groups, np.arange(22))
    assert ecg.lead_names == list(STANDARD_LEADS)
    assert (ecg.sampling_rate, ecg.units) == (100.0, "mV")
    assert ecg.record_names[21] == "ecg00021"
    assert "no evidence" in ecg.DESCR


def test_duration_and_rate_set_n_samples():
    assert make_ecg(2, duration=2.5, sampling_rate=250).data.shape == (2, 12, 625)
    assert make_ecg(2, duration=0.02).data.shape == (2, 12, 2)


def test_leads_obey_einthoven_and_goldberger():
    lead = by_name(make_ecg(33, noise=2.0, random_state=0).data)
    tolerance = {"rtol": 0, "atol": 2e-6}  # float32, a few mV
    assert_allclose(lead["I"] + lead["III"], lead["II"], **tolerance)
    assert_allclose(lead["aVR"], -(lead["I"] + lead["II"]) / 2, **tolerance)
    assert_allclose(lead["aVL"], (lead["I"] - lead["III"]) / 2, **tolerance)
    assert_allclose(lead["aVF"], (lead["II"] + lead["III"]) / 2, **tolerance)


def test_leads_are_selected_by_name():
    twelve = make_ecg(12, random_state=0).data
    three = make_ecg(12, leads=["v1", "AVR", "II"], random_state=0)
    assert three.lead_names == ["V1", "aVR", "II"]
    assert_array_equal(three.data, twelve[:, [6, 3, 1]])


def test_random_state_reproduces_bits():
    before = np.random.get_state()[1].copy()
    first, again, other = (make_ecg(12, random_state=seed) for seed in (0, 0, 1))
    assert_array_equal(first.data, again.data)
    assert_array_equal(first.target, again.target)
    assert not np.array_equal(first.data, other.data)
    make_ecg(12, random_state=np.random.RandomState(0))
    assert_array_equal(np.random.get_state()[1], before)


def test_sampling_rate_does_not_change_heart_models():
    coarse = make_ecg(33, noise=0, sampling_rate=100, random_state=0)
    fine = make_ecg(33, noise=0, sampling_rate=500, random_state=0)
    assert_array_equal(fine.target, coarse.target)
    assert_allclose(fine.data[:, :, ::5], coarse.data, rtol=0, atol=0.005)


def test_records_start_at_random_phase():
    lead = by_name(make_ecg(100, classes=["normal"], noise=0, random_state=0).data)
    first_beat = np.argmax(lead["V5"][:, :70] > 0.6, axis=1)
    assert np.ptp(first_beat) > 50
    assert len(np.unique(first_beat)) > 30


def test_patients_have_different_heart_models():
    data = make_ecg(70, classes=["normal"], noise=0, random_state=0).data  # more than one batch
    assert len(np.unique(data.max(axis=(1, 2)))) == 70


# -- Classes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", [None, [0.7, 0.2, 0.1], [3, 1, 0]])
def test_weights_set_class_proportions(weights):
    ecg = make_ecg(101, classes=["normal", "afib", "lbbb"], weights=weights, random_state=0)
    weights = np.ones(3) if weights is None else np.array(weights)
    counts = np.bincount(ecg.target, minlength=3)
    assert_allclose(counts, 101 * weights / weights.sum(), rtol=0, atol=1)
    assert not np.array_equal(ecg.target, np.sort(ecg.target))


def test_combinations_return_indicator():
    ecg = make_ecg(9, classes=["normal", "afib+lbbb", "lbbb"], weights=[1, 1, 1], random_state=0)
    assert list(ecg.target_names) == ["normal", "afib", "lbbb"]
    assert ecg.target.shape == (9, 3)
    rows, counts = np.unique(ecg.target, axis=0, return_counts=True)
    assert_array_equal(rows, [[0, 0, 1], [0, 1, 1], [1, 0, 0]])
    assert_array_equal(counts, [3, 3, 3])


def test_combined_conditions_show_all_changes():
    ecg = make_ecg(10, classes=["afib+rbbb+pvc"], noise=0, sampling_rate=RATE, random_state=0)
    measured = [measure(record) for record in ecg.data]
    assert np.mean([m["rr_variation"] > 0.1 for m in measured]) >= 0.9
    assert np.mean([m["qrs"] >= 115 for m in measured]) >= 0.9


# -- The textbook, measured on records without noise ----------------------------------------------


def find_beats(record):
    """Return onset and end of every QRS, in samples: where the potentials move fast."""
    speed = np.linalg.norm(np.gradient(record, axis=1), axis=0)
    smooth = np.convolve(speed, np.ones(20) / 20, mode="same")
    peaks, _ = find_peaks(smooth, height=0.25 * smooth.max(), distance=int(280 * MS))
    beats = []
    for peak in peaks[(peaks > 300) & (peaks < len(speed) - 300)]:
        start = peak - int(150 * MS)
        near = speed[start : peak + int(180 * MS)]
        fast = np.flatnonzero(near > 0.18 * near.max())
        beats.append((start + fast[0], start + fast[-1] + 1))
    return np.array(beats).T


def measure(record):
    """Measure one record (12, n_samples): ms, mV, beats/min, degrees."""
    onset, end = find_beats(record)
    rr = np.diff(onset) / MS
    measures = {"rate": 60_000 / rr.mean(), "rr_variation": rr.std() / rr.mean()}
    measures["qrs"] = np.median(end - onset) / MS
    measures["rr"], measures["widths"] = rr, (end - onset) / MS

    before = np.array([record[1, beat - int(360 * MS) : beat - 10] for beat in onset])
    p_peaks = [find_peaks(lead_ii, prominence=0.02)[0] for lead_ii in before]
    to_qrs = [before.shape[1] + 10 - peaks[-1] for peaks in p_peaks if len(peaks)]
    measures["pr"] = (
        np.median(to_qrs) / MS + 45 if to_qrs else np.nan
    )  # P peaks 45 ms from its onset
    atria = before[:, -int(200 * MS) :] - before.mean(axis=1, keepdims=True)
    measures["p_in_step"] = atria.mean(axis=0).var() / atria.var()  # 1: the same before every QRS

    for name, lead in by_name(record).items():
        lead = lead - np.median([lead[beat - 12 : beat - 4] for beat in onset])
        qrs = [lead[a:b] for a, b in zip(onset, end, strict=True)]
        measures["R", name] = np.median([wave.max() for wave in qrs])
        measures["S", name] = -np.median([wave.min() for wave in qrs])
        measures["ST", name] = np.median(lead[end + int(60 * MS)])  # J + 60 ms
        t_wave = np.median([lead[b + int(60 * MS) : b + int(260 * MS)] for b in end], axis=0)
        measures["T", name] = t_wave[np.abs(t_wave).argmax()]
        measures["T peak"] = np.median(end - onset) / MS + 60 + np.abs(t_wave).argmax() / MS
    measures["sokolow"] = measures["S", "V1"] + max(measures["R", "V5"], measures["R", "V6"])
    net_i, net_avf = (measures["R", name] - measures["S", name] for name in ("I", "aVF"))
    measures["axis"] = np.degrees(np.arctan2(2 / np.sqrt(3) * net_avf, net_i))
    return measures


@pytest.fixture(scope="module")
def textbook():
    """Return the measurements of 30 patients of every class, by its name."""
    ecg = make_ecg(330, noise=0, sampling_rate=RATE, random_state=0)
    return {
        name: [measure(record) for record in ecg.data[ecg.target == code]]
        for code, name in enumerate(ecg.target_names)
    }


CRITERIA = {
    "normal": {
        "60 to 100 beats/min": lambda m: 60 <= m["rate"] <= 100,
        "regular": lambda m: m["rr_variation"] < 0.07,
        "PR 120 to 200 ms": lambda m: 120 <= m["pr"] <= 200,
        "QRS 70 to 110 ms": lambda m: 70 <= m["qrs"] <= 110,
        "axis -30 to 90 degrees": lambda m: -30 <= m["axis"] <= 90,
        "R grows from V1 to V4": lambda m: m["R", "V1"] < m["R", "V3"] < m["R", "V4"],
        "S shrinks from V2 to V6": lambda m: m["S", "V2"] > m["S", "V4"] > m["S", "V6"],
        "T upright in II, V3 to V6": lambda m: (
            min(m["T", lead] for lead in ("II", "V3", "V4", "V5", "V6")) > 0
        ),
        "ST level": lambda m: max(abs(m["ST", lead]) for lead in STANDARD_LEADS) < 0.08,
        "Sokolow-Lyon below 3.5 mV": lambda m: m["sokolow"] < 3.5,
        "P in step with QRS": lambda m: m["p_in_step"] > 0.8,
    },
    "sinus_tachycardia": {"above 100 beats/min": lambda m: m["rate"] > 100},
    "sinus_bradycardia": {"below 60 beats/min": lambda m: m["rate"] < 60},
    "afib": {
        "irregular": lambda m: m["rr_variation"] > 0.1,
        "no P in step with QRS": lambda m: m["p_in_step"] < 0.5,
    },
    "av_block": {
        "PR above 200 ms": lambda m: m["pr"] > 200,
        "narrow QRS": lambda m: m["qrs"] < 110,
    },
    "lbbb": {
        "QRS above 120 ms": lambda m: m["qrs"] >= 120,
        "QS or rS in V1": lambda m: m["S", "V1"] > 2 * m["R", "V1"],
        "no q in I and V6": lambda m: max(m["S", "I"], m["S", "V6"]) < 0.25 * m["R", "V6"],
        "T opposite to QRS": lambda m: m["T", "V6"] < 0 < m["T", "V1"],
    },
    "rbbb": {
        "QRS above 115 ms": lambda m: m["qrs"] >= 115,
        "R' in V1": lambda m: m["R", "V1"] > 0.4,
        "S in I and V6": lambda m: min(m["S", "I"], m["S", "V6"]) > 0.15,
        "T inverted in V1": lambda m: m["T", "V1"] < 0,
    },
    "pvc": {
        "early beats": lambda m: m["rr"].min() < 0.8 * np.median(m["rr"]),
        "wide beats": lambda m: m["widths"].max() > 120 > np.median(m["widths"]),
    },
    "st_elevation": {
        "0.2 mV in V2 and V3": lambda m: min(m["ST", "V2"], m["ST", "V3"]) >= 0.2,
        "reciprocal in III": lambda m: m["ST", "III"] < 0,
    },
    "st_depression": {"0.1 mV in V4 and V5": lambda m: max(m["ST", "V4"], m["ST", "V5"]) <= -0.1},
    "lvh": {
        "Sokolow-Lyon above 3.5 mV": lambda m: m["sokolow"] >= 3.5,
        "strain in V6": lambda m: m["ST", "V6"] < -0.03 and m["T", "V6"] < 0,
    },
}


@pytest.mark.parametrize(
    ("name", "criterion"), [(name, text) for name, tests in CRITERIA.items() for text in tests]
)
def test_class_meets_its_criteria(textbook, name, criterion):
    met = np.mean([CRITERIA[name][criterion](patient) for patient in textbook[name]])
    assert met >= 0.9


@pytest.mark.parametrize("name", [name for name in CRITERIA if name != "normal"])
def test_normal_patients_fail_criteria_of_other_classes(textbook, name):
    tests = CRITERIA[name].values()
    met = np.mean([all(test(patient) for test in tests) for patient in textbook["normal"]])
    assert met <= 0.05


def test_bundle_branch_blocks_have_two_peaks():
    ecg = make_ecg(40, classes=["rbbb", "lbbb"], noise=0, sampling_rate=RATE, random_state=0)
    n_peaks = []
    for record, code in zip(ecg.data, ecg.target, strict=True):
        onset, end = find_beats(record)
        qrs = record[[6, 10][code], onset[2] - 5 : end[2] + 5]  # V1, V5
        n_peaks.append(len(find_peaks(qrs, prominence=0.02)[0]))
    n_peaks = np.array(n_peaks)
    assert np.mean(n_peaks[ecg.target == 0] == 2) >= 0.9
    assert np.mean(n_peaks[ecg.target == 1] == 2) >= 0.8


def test_pause_after_pvc_is_compensatory(textbook):
    for patient in textbook["pvc"]:
        rr, sinus = patient["rr"], np.median(patient["rr"])
        early = np.flatnonzero(rr[:-1] < 0.75 * sinus)
        both = rr[early] + rr[early + 1]
        assert_allclose(both, 2 * sinus, rtol=0.2)


def test_f_waves_are_largest_in_v1():
    ecg = make_ecg(30, classes=["afib"], noise=0, sampling_rate=RATE, random_state=0)
    larger = []
    for record in ecg.data:
        onset, _ = find_beats(record)
        rr = np.diff(onset)
        late = onset[1:][rr >= np.median(rr)]  # when T has ended
        before = by_name(np.array([record[:, beat - int(200 * MS) : beat - 10] for beat in late]))
        larger.append(before["V1"].std() > max(before[lead].std() for lead in ("I", "V4", "V6")))
    assert np.mean(larger) >= 0.9


def test_f_waves_have_4_to_9_hz():
    time = np.arange(2000) / 100
    z = _f_waves((0, 0, 1), 50, time, np.random.default_rng(0))[:, 2]
    strongest = np.abs(np.fft.rfft(z)).argmax(axis=1) / 20
    assert strongest.min() >= 4
    assert strongest.max() <= 9
    assert np.ptp(strongest) > 1


def test_qt_lengthens_with_rr(textbook):
    fast, slow = (
        np.median([patient["T peak"] for patient in textbook[f"sinus_{rhythm}cardia"]])
        for rhythm in ("tachy", "brady")
    )
    assert slow - fast > 50


def test_measurements_vary_within_class(textbook):
    for quantity, least in {"rate": 5, "pr": 8, "qrs": 3, "axis": 10, "sokolow": 0.3}.items():
        assert np.std([patient[quantity] for patient in textbook["normal"]]) > least


# -- Noise ----------------------------------------------------------------------------------------


def electrode_noise(**noise):
    """Return V1 - V2, that is electrode V1 - electrode V2, of the noise alone, in microvolts."""
    noisy, clean = (
        make_ecg(200, leads=["V1", "V2"], sampling_rate=250, noise=level, random_state=0).data
        for level in (noise, 0)
    )
    difference = (noisy - clean).astype(float) * 1000
    return difference[:, 0] - difference[:, 1]


@pytest.mark.parametrize("kind", ["wander", "hum", "muscle"])
def test_noise_has_documented_rms(kind):
    rms = np.sqrt(np.mean(electrode_noise(**{kind: 50}) ** 2) / 2)  # of two electrodes
    assert_allclose(rms, 50, rtol=0.12)


def test_steps_have_documented_height_and_rate():
    jumps = np.diff(electrode_noise(steps=1000), axis=1)
    steps = jumps[np.abs(jumps) > 50]
    assert_allclose(len(steps), 200 * 2 * 10 / 100, rtol=0.4)
    assert_allclose(np.sqrt(np.mean(steps**2)), 1000, rtol=0.4)


def test_noise_has_documented_frequencies():
    frequency = np.fft.rfftfreq(2500, 1 / 250)
    for kind, low, high in [("hum", 49, 51), ("wander", 0, 1)]:
        power = np.abs(np.fft.rfft(electrode_noise(**{kind: 50}))) ** 2
        inside = (frequency >= low) & (frequency <= high)
        assert power[:, inside].sum() > 0.98 * power.sum()


def test_noise_factor_scales_noise():
    clean, normal, double = (make_ecg(11, noise=level, random_state=0).data for level in (0, 1, 2))
    assert_allclose(double - clean, 2 * (normal - clean), rtol=0, atol=1e-5)
    documented = {"wander": 60, "hum": 10, "muscle": 15, "steps": 150}
    assert_array_equal(make_ecg(11, noise=documented, random_state=0).data, normal)


# -- Limits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_records": 0}, "'n_records' parameter"),
        ({"sampling_rate": 0}, "'sampling_rate' parameter"),
        ({"duration": -1}, "'duration' parameter"),
        ({"duration": 0.01}, "at least 2 samples, got 1"),
        ({"noise": -1}, "'noise' parameter"),
        ({"noise": {"music": 1}}, "No noise named music among wander"),
        ({"noise": {"hum": -1}}, "noise in microvolts"),
        ({"noise": {"hum": "loud"}}, "noise in microvolts"),
        ({"classes": "afib"}, "'classes' parameter"),
        ({"classes": []}, "at least one"),
        ({"classes": ["afib", 3]}, "sequence of names"),
        ({"classes": ["flutter"]}, "No class named flutter among normal, sinus_tachycardia"),
        ({"classes": ["lbbb+afib", "afib+lbbb"]}, "to be different"),
        ({"classes": ["lbbb+rbbb"]}, "several of them change .*'qrs'"),
        ({"classes": ["afib+sinus_tachycardia"]}, "several of them change .*'rate'"),
        ({"classes": ["afib+afib"]}, "several of them change"),
        ({"classes": ["normal+afib"]}, "leave out normal"),
        ({"weights": [1, 2]}, "11 proportions"),
        ({"weights": [-1] + [1] * 10}, "none negative"),
        ({"weights": [0] * 11}, "11 proportions"),
        ({"random_state": "seed"}, "'random_state' parameter"),
    ],
)
def test_invalid_parameter_raises(parameters, message):
    with pytest.raises(ValueError, match=message):
        make_ecg(**{"n_records": 2, **parameters})


def test_unknown_lead_raises():
    with pytest.raises(InvalidECGError, match="No lead named V7"):
        make_ecg(2, leads=["V7"])
