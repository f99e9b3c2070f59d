"""Tests of load_ludb, on small files and on LUDB itself."""

import os
from pathlib import Path

import numpy as np
import pytest
import wfdb

from sklearn_bell.datasets import load_ludb
from sklearn_bell.exceptions import RecordWarning

TWELVE = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]

# As in the publisher's table: cells end in line breaks, and hold several lines.
TABLE = """\
ID,Sex,Age,Rhythms,Electric axis of the heart,Conduction abnormalities,Extrasystolies,Hypertrophies
2,"F
","51
",Sinus bradycardia,Electric axis of the heart: left axis deviation,,,"Left ventricular overload
Left ventricular hypertrophy"
3,"M
",">89
",Sinus rhythm,Electric axis of the heart: normal,I degree av block,,
10,"M
","64
","Atrial fibrillation
Aberrant conduction",,"Left anterior hemiblock
I degree av block
",,"Left ventricular hypertrophy
"
11,"M
","64
",Sinus rhythm,Electric axis of the heart: normal,,,
"""


def make_folder(home):
    """Write a folder like LUDB: 2 s at 500 Hz, with gains unrelated to the signals."""
    folder = home / "ludb"
    (folder / "data").mkdir(parents=True)
    (folder / "ludb.csv").write_text(TABLE)
    for number in (2, 3, 10, 11):
        wfdb.wrsamp(
            str(number),
            fs=500,
            units=["mV"] * 12,
            sig_name=[lead.lower() for lead in TWELVE],
            d_signal=microvolts(number),
            fmt=["16"] * 12,
            adc_gain=[float(gain) for gain in range(700, 1900, 100)],
            baseline=list(range(-6, 6)),
            write_dir=str(folder / "data"),
        )
    return folder


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path / "home")


def microvolts(number):
    return np.random.default_rng(number).integers(-3000, 3000, (1000, 12))


@pytest.fixture(scope="module")
def real_home():
    home = os.environ.get("SKLEARN_BELL_DATA")
    if not home or not Path(home, "ludb").is_dir():
        pytest.skip("needs LUDB: SKLEARN_BELL_DATA is not set to a folder that holds ludb")
    return Path(home)


# Small files ------------------------------------------------------------------------------------


def test_digital_values_are_microvolts(folder):
    bunch = load_ludb(folder)
    expected = np.stack([microvolts(number).T for number in (2, 3, 10, 11)]) / 1000
    np.testing.assert_allclose(bunch.data, expected, atol=1e-6)
    assert bunch.data.dtype == np.float32
    assert (bunch.lead_names, bunch.sampling_rate, bunch.units) == (TWELVE, 500, "mV")
    assert bunch.record_names.tolist() == ["data/2", "data/3", "data/10", "data/11"]
    assert bunch.groups.tolist() == [2, 3, 10, 11]


def test_task_rhythm_uses_first_rhythm(folder):
    bunch = load_ludb(folder)
    names = bunch.target_names[bunch.target].tolist()
    assert names == ["Sinus bradycardia", "Sinus rhythm", "Atrial fibrillation", "Sinus rhythm"]
    assert bunch.target_names.tolist() == sorted(set(names))


def test_missing_axis_is_skipped_or_minus_one(folder):
    with pytest.warns(RecordWarning, match=r"1 of 4 records .* 'axis' .*: data/10\.") as seen:
        bunch = load_ludb(folder, task="axis")
    assert seen[0].filename == __file__
    names = bunch.target_names[bunch.target].tolist()
    assert names == ["left axis deviation", "normal", "normal"]
    assert bunch.groups.tolist() == [2, 3, 11]
    assert list(bunch.skipped) == ["data/10"]
    np.testing.assert_allclose(bunch.data[2], microvolts(11).T / 1000, atol=1e-6)
    labelled = load_ludb(folder, task="axis", unlabelled=True)
    assert labelled.target.tolist() == [0, 1, -1, 1]
    assert labelled.skipped == {}


@pytest.mark.parametrize(
    ("task", "names", "target"),
    [
        (
            "conduction",
            ["I degree av block", "Left anterior hemiblock"],
            [[0, 0], [1, 0], [1, 1], [0, 0]],
        ),
        (
            "hypertrophy",
            ["Left ventricular hypertrophy", "Left ventricular overload"],
            [[1, 1], [0, 0], [1, 0], [0, 0]],
        ),
    ],
)
def test_multi_label_tasks_split_lines(folder, task, names, target):
    bunch = load_ludb(folder, task=task)
    assert bunch.target_names.tolist() == names
    assert bunch.target.tolist() == target


def test_metadata_is_stripped(folder):
    metadata = load_ludb(folder).metadata
    assert metadata["Sex"].tolist() == ["F", "M", "M", "M"]
    assert metadata["Age"].tolist() == ["51", ">89", "64", "64"]
    assert metadata.index.tolist() == [2, 3, 10, 11]


def test_sampling_rate_resamples(folder):
    bunch = load_ludb(folder, sampling_rate=100, leads=["V6", "I"])
    assert (bunch.sampling_rate, bunch.lead_names) == (100, ["V6", "I"])
    assert bunch.data.shape == (4, 2, 200)


def test_missing_data_set_names_size_and_licence(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent.*fetch_ludb.*physionet.*25 MB.*ODC-By"):
        load_ludb(tmp_path / "absent")


@pytest.mark.parametrize("parameters", [{"task": "Rhythms"}, {"sampling_rate": 0}, {"leads": []}])
def test_invalid_parameter_raises(folder, parameters):
    with pytest.raises(ValueError, match=next(iter(parameters))):
        load_ludb(folder, **parameters)


# Real files -------------------------------------------------------------------------------------

# counts of the publisher's README, in the words of the publisher's table
REAL = {
    "rhythm": {
        "Sinus rhythm": 143,
        "Sinus tachycardia": 4,
        "Sinus bradycardia": 25,
        "Sinus arrhythmia": 8,
        "Irregular sinus rhythm": 2,
        "Atrial fibrillation": 15,
        "Atrial flutter, typical": 3,
    },
    "axis": {
        "normal": 75,
        "left axis deviation": 66,
        "vertical": 26,
        "horizontal": 20,
        "right axis deviation": 3,
    },
    "conduction": {
        "Sinoatrial blockade, undefined": 1,
        "I degree av block": 10,
        "Iii degree av-block": 5,
        "Incomplete right bundle branch block": 29,
        "Incomplete left bundle branch block": 6,
        "Left anterior hemiblock": 16,
        "Complete right bundle branch block": 4,
        "Complete left bundle branch block": 4,
        "Non-specific intravintricular conduction delay": 4,
    },
    "hypertrophy": {
        "Right atrial hypertrophy": 1,
        "Left atrial hypertrophy": 102,
        "Right atrial overload": 17,
        "Left atrial overload": 11,
        "Left ventricular hypertrophy": 108,
        "Right ventricular hypertrophy": 3,
        "Left ventricular overload": 11,
    },
}


@pytest.mark.parametrize("task", REAL)
def test_real_class_counts_match_publisher(real_home, task):
    bunch = load_ludb(real_home, task=task, unlabelled=True, leads=["II"])
    classes = np.arange(len(bunch.target_names))
    indicator = bunch.target if bunch.target.ndim == 2 else bunch.target[:, None] == classes
    counts = indicator.sum(axis=0).tolist()
    assert dict(zip(bunch.target_names.tolist(), counts, strict=True)) == REAL[task]
    assert len(bunch.data) == 200


def test_real_signals_obey_einthoven(real_home):
    data = load_ludb(real_home).data
    np.testing.assert_allclose(data[:, 2], data[:, 1] - data[:, 0], atol=1e-5)
    assert 0.05 < data.std() < 1
