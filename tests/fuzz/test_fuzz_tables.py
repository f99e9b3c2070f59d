"""Fuzz tests of tables: each record has the labels of its row, or the table is rejected."""

import ast
import csv
import io
import re

import numpy as np
import pytest
import wfdb
from hypothesis import strategies as st

from sklearn_bell.datasets import load_ludb, load_ptbxl
from sklearn_bell.exceptions import InvalidECGError
from tests.fuzz._fuzzing import Outcomes, fuzz, mutated, watched

pytestmark = pytest.mark.filterwarnings("ignore:.* have no label of the task")

TWELVE = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]
STATEMENTS = """\
,description,diagnostic,form,rhythm,diagnostic_class,diagnostic_subclass
NORM,normal ECG,1.0,,,NORM,NORM
IMI,inferior myocardial infarction,1.0,,,MI,IMI
LVH,"hypertrophy, left",1.0,,,HYP,LVH
SR,sinus rhythm,,,1.0,,
"""
DATABASE = """\
ecg_id,patient_id,age,report,scp_codes,strat_fold,filename_lr,filename_hr
1,70.0,51.0,"two
lines","{'NORM': 100.0, 'SR': 0.0}",1,records100/1,records500/1
2,71.0,,fine,"{'IMI': 15.0, 'LVH': 50.0}",2,records100/2,records500/2
3,70.0,300.0,,{'SR': 0.0},8,records100/3,records500/3
"""
LUDB = """\
ID,Sex,Age,Rhythms,Electric axis of the heart,Conduction abnormalities,Hypertrophies
1,"F
","51
",Sinus rhythm,Electric axis of the heart: normal,,
2,M,64,"Sinus bradycardia
Sinus arrhythmia",Electric axis of the heart: left axis deviation,"Left bundle
Right bundle",Left ventricle
3,M,7,Atrial fibrillation,,,
"""
AIMS = [
    (rb"records100/\d", [b"../outside", b"records100/../../outside", b"/etc/passwd",
                         b"records100/2", b"records100/4", b"s3://b/a", b"records100/1.hea", b""]),
    (rb"(?m)^\d+(?=,)", [b"1", b"2", b"-1", b"1.5", b"", b"nan", b"1e400"]),
    (rb"(?<=,)\d\d?\.?\d*(?=,)", [b"1.5", b"", b"nan", b"inf", b"-3", b"9" * 30, b"one"]),
    (rb"\{.*?\}", [b"{}", b"[]", b"1", b"{'NORM'}", b"{'NORM': 1", b"{'LVH': [1]}", b"__import__",
                   b"{'a': " * 3000]),
]  # fmt: skip
# errors on a record or on the list of records, instead of the table
REJECTED = (
    r"Record .+(: | is outside its folder | is listed \d times)|None of the \d records could|"
    "There are no records to read"
)
outcomes = Outcomes()


def write(folder, name, number):
    """Write a record with its number as samples."""
    folder.mkdir(exist_ok=True)
    wfdb.wrsamp(
        name, fs=100, units=["mV"] * 12, sig_name=TWELVE, fmt=["16"] * 12, adc_gain=[1000.0] * 12,
        d_signal=np.full((10, 12), number), baseline=[0] * 12, write_dir=str(folder),
    )  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    for data_set in ("ptb-xl", "ludb"):
        (home / data_set).mkdir()
    for number in (1, 2, 3):
        write(home / "ptb-xl" / "records100", str(number), number)
        write(home / "ludb" / "data", str(number), number)
    write(home, "outside", 4)
    (home / "ptb-xl" / "ptbxl_database.csv").write_text(DATABASE)
    (home / "ptb-xl" / "scp_statements.csv").write_text(STATEMENTS)
    (home / "ludb" / "ludb.csv").write_text(LUDB)
    load_ptbxl(home)
    load_ludb(home)
    yield home
    outcomes.report("tables")


def load_mutated(load, home, file, data, **options):
    """Return the Bunch and the text of the mutated file, or None if it is rejected."""
    original = file.read_bytes()
    file.write_bytes(data.draw(mutated(original, text=True, aims=AIMS)))
    try:
        with watched(home):
            bunch = load(home, **options)
        # the samples of a record are its number
        numbers = [int(name.split("/")[-1]) for name in bunch.record_names]
        np.testing.assert_allclose(bunch.data[:, 0, 0], np.array(numbers) / 1000, rtol=1e-6)
        n = len(bunch.data)
        assert len(bunch.target) == len(bunch.groups) == len(bunch.metadata) == n
        outcomes["loaded"] += 1
        return bunch, file.read_bytes().decode("utf-8", "replace")
    except InvalidECGError as error:
        assert str(file) in str(error) or re.match(REJECTED, str(error), re.DOTALL)  # noqa: PT017
        outcomes["rejected"] += 1
        return None
    finally:
        file.write_bytes(original)


@fuzz
def test_ptbxl_records_keep_their_labels(home, data):
    file = home / "ptb-xl" / "ptbxl_database.csv"
    result = load_mutated(load_ptbxl, home, file, data, unlabelled=True)
    if result is None:
        return
    bunch, text = result
    classes = {"NORM": "NORM", "IMI": "MI", "LVH": "HYP"}
    header, *lines = csv.reader(io.StringIO(text, newline=""))
    # the first of two columns of one name counts
    rows = [dict(reversed([*zip(header, line, strict=False)])) for line in lines if any(line)]
    assert len(rows) == len(bunch.data)
    for row, name, labels, patient in zip(
        rows, bunch.record_names, bunch.target, bunch.groups, strict=True
    ):
        assert row["filename_lr"] == name
        assert float(row["patient_id"]) == patient
        codes = ast.literal_eval(row["scp_codes"])
        expected = {classes[code] for code in codes if code in classes}
        assert set(bunch.target_names[labels == 1]) == expected


@fuzz
def test_ptbxl_statements_are_encoded_or_rejected(home, data):
    file = home / "ptb-xl" / "scp_statements.csv"
    task = data.draw(st.sampled_from(["superdiagnostic", "subdiagnostic", "rhythm", "all"]))
    result = load_mutated(load_ptbxl, home, file, data, unlabelled=True, task=task)
    if result is not None:
        assert result[0].target.shape == (3, len(result[0].target_names))


@fuzz
def test_ludb_records_keep_their_findings(home, data):
    file = home / "ludb" / "ludb.csv"
    task = data.draw(st.sampled_from(["rhythm", "axis", "conduction", "hypertrophy"]))
    result = load_mutated(load_ludb, home, file, data, unlabelled=True, task=task)
    if result is not None:
        bunch = result[0]
        columns = bunch.target.ndim == 2 and bunch.target.shape[1]
        assert columns is False or columns == len(bunch.target_names)
        assert bunch.groups.tolist() == [int(name[5:]) for name in bunch.record_names]
