"""load_ludb: the publisher's files, in millivolts in spite of their gains."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
import wfdb

from sklearn_bell.datasets import load_ludb
from sklearn_bell.exceptions import InvalidECGError, RecordWarning

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


@pytest.fixture
def folder(tmp_path):
    """Return a folder like LUDB: 2 s at 500 Hz, with gains that are not those of the signals."""
    folder = tmp_path / "home" / "ludb"
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


def microvolts(number):
    return np.random.default_rng(number).integers(-3000, 3000, (1000, 12))


@pytest.fixture(scope="module")
def real_home():
    home = os.environ.get("SKLEARN_BELL_DATA")
    if not home or not Path(home, "ludb").is_dir():
        pytest.skip("needs LUDB: SKLEARN_BELL_DATA is not set to a folder that holds ludb")
    return Path(home)


# Small files ------------------------------------------------------------------------------------


def test_digital_values_are_microvolts_whatever_the_gains(folder):
    bunch = load_ludb(folder)
    expected = np.stack([microvolts(number).T for number in (2, 3, 10, 11)]) / 1000
    np.testing.assert_allclose(bunch.data, expected, atol=1e-6)
    assert bunch.data.dtype == np.float32
    assert (bunch.lead_names, bunch.sampling_rate, bunch.units) == (TWELVE, 500, "mV")
    assert bunch.record_names.tolist() == ["data/2", "data/3", "data/10", "data/11"]
    assert bunch.groups.tolist() == [2, 3, 10, 11]


def test_rhythm_is_the_first_one_of_each_record(folder):
    bunch = load_ludb(folder)
    names = bunch.target_names[bunch.target].tolist()
    assert names == ["Sinus bradycardia", "Sinus rhythm", "Atrial fibrillation", "Sinus rhythm"]
    assert bunch.target_names.tolist() == sorted(set(names))


def test_records_without_an_axis_are_left_out_or_minus_one(folder):
    with pytest.warns(RecordWarning, match=r"1 of 4 records .* 'axis' .*: data/10\.") as seen:
        bunch = load_ludb(folder, task="axis")
    assert seen[0].filename == __file__
    names = bunch.target_names[bunch.target].tolist()
    assert names == ["left axis deviation", "normal", "normal"]
    assert bunch.groups.tolist() == [2, 3, 11]
    assert list(bunch.skipped) == ["data/10"]
    np.testing.assert_allclose(bunch.data[2], microvolts(11).T / 1000, atol=1e-6)
    kept = load_ludb(folder, task="axis", unlabelled=True)
    assert kept.target.tolist() == [0, 1, -1, 1]
    assert kept.skipped == {}


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
def test_findings_are_one_for_each_line_of_a_cell(folder, task, names, target):
    bunch = load_ludb(folder, task=task)
    assert bunch.target_names.tolist() == names
    assert bunch.target.tolist() == target


def test_metadata_has_no_stray_line_breaks(folder):
    metadata = load_ludb(folder).metadata
    assert metadata["Sex"].tolist() == ["F", "M", "M", "M"]
    assert metadata["Age"].tolist() == ["51", ">89", "64", "64"]
    assert metadata.index.tolist() == [2, 3, 10, 11]


def test_other_rates_leads_out_and_n_jobs_are_those_of_read_wfdb(folder, tmp_path):
    out = tmp_path / "ludb.npy"
    bunch = load_ludb(folder, sampling_rate=100, leads=["V6", "I"], out=out, n_jobs=2)
    assert (bunch.sampling_rate, bunch.lead_names) == (100, ["V6", "I"])
    assert isinstance(bunch.data, np.memmap)
    assert np.load(out).shape == (4, 2, 200)


def test_records_on_another_disk_are_read_only_where_links_are_allowed(folder, tmp_path):
    expected = load_ludb(folder, task="rhythm").data
    (folder / "data").rename(tmp_path / "disk")
    (folder / "data").symlink_to(tmp_path / "disk")
    with pytest.raises(InvalidECGError, match=r"is a link out of .*unless allow_links=True"):
        load_ludb(folder, task="rhythm")
    np.testing.assert_array_equal(load_ludb(folder, task="rhythm", allow_links=True).data, expected)


def test_return_X_y(folder):
    X, y = load_ludb(folder, task="conduction", return_X_y=True)
    bunch = load_ludb(folder, task="conduction")
    np.testing.assert_array_equal(X, bunch.data)
    np.testing.assert_array_equal(y, bunch.target)


def test_the_folder_its_parent_and_the_environment_are_looked_at(folder, monkeypatch):
    monkeypatch.setenv("SKLEARN_BELL_DATA", str(folder.parent))
    for home in (folder, str(folder.parent), None):
        assert len(load_ludb(home).data) == 4


def test_a_missing_data_set_says_where_to_get_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent.*physionet.*25 MB.*ODC-By"):
        load_ludb(tmp_path / "absent")


@pytest.mark.parametrize("parameters", [{"task": "Rhythms"}, {"sampling_rate": 0}, {"leads": []}])
def test_parameters_without_sense_are_refused(folder, parameters):
    with pytest.raises(ValueError, match=next(iter(parameters))):
        load_ludb(folder, **parameters)


def test_the_bunch_holds_what_the_docstring_says(folder):
    returns = load_ludb.__doc__.split("Returns\n")[1].split("Raises\n")[0]
    documented = re.findall(r"^ +(\w+) : ", returns, flags=re.MULTILINE)[1:]
    assert sorted(documented) == sorted(load_ludb(folder))


# Real files -------------------------------------------------------------------------------------

# The counts of the publisher's README, and the wordings of the publisher's table.
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
def test_real_classes_are_counted_as_the_publisher_does(real_home, task):
    bunch = load_ludb(real_home, task=task, unlabelled=True, leads=["II"])
    classes = np.arange(len(bunch.target_names))
    indicator = bunch.target if bunch.target.ndim == 2 else bunch.target[:, None] == classes
    counts = indicator.sum(axis=0).tolist()
    assert dict(zip(bunch.target_names.tolist(), counts, strict=True)) == REAL[task]
    assert len(bunch.data) == 200


def test_real_signals_obey_einthoven_in_millivolts(real_home):
    data = load_ludb(real_home).data
    np.testing.assert_allclose(data[:, 2], data[:, 1] - data[:, 0], atol=1e-5)
    assert 0.05 < data.std() < 1
