"""Tests of load_ptbxl, on small files and on PTB-XL itself."""

import ast
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import wfdb

from sklearn_bell.datasets import load_ptbxl
from sklearn_bell.exceptions import InvalidECGError, RecordWarning

TWELVE = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]
TASKS = ["all", "diagnostic", "subdiagnostic", "superdiagnostic", "form", "rhythm"]

STATEMENTS = """\
,description,diagnostic,form,rhythm,diagnostic_class,diagnostic_subclass
NDT,non-diagnostic T abnormalities,1.0,1.0,,STTC,STTC
NORM,normal ECG,1.0,,,NORM,NORM
IMI,inferior myocardial infarction,1.0,,,MI,IMI
ILMI,inferolateral myocardial infarction,1.0,,,MI,IMI
LVH,left ventricular hypertrophy,1.0,,,HYP,LVH
1AVB,first degree AV block,1.0,,,CD,_AVB
NT_,non-specific T-wave changes,,1.0,,,
PVC,ventricular premature complex,,1.0,,,
SR,sinus rhythm,,,1.0,,
AFIB,atrial fibrillation,,,1.0,,
"""
# ecg_id, patient, fold, codes
RECORDS = [
    (3, 70, 1, {"NORM": 100.0, "SR": 0.0}),
    (4, 71, 1, {"IMI": 0.0, "ILMI": 35.0, "AFIB": 0.0}),  # a repeated superclass, likelihood 0
    (7, 70, 1, {"SR": 0.0}),  # nothing diagnostic
    (9, 72, 2, {"NDT": 100.0, "LVH": 50.0, "PVC": 100.0}),
    (12, 73, 9, {"1AVB": 15.0, "NT_": 0.0, "XYZ": 100.0, "SR": 0.0}),  # with an unknown code
]


def make_folder(home):
    """Write a folder like PTB-XL, where lead k of record r is constant r + k / 100 mV."""
    folder = home / "ptb-xl"
    rows = []
    for ecg_id, patient, fold, codes in RECORDS:
        names = {}
        for rate, suffix, column in [(100, "lr", "filename_lr"), (500, "hr", "filename_hr")]:
            names[column] = f"records{rate}/00000/{ecg_id:05d}_{suffix}"
            path = folder / names[column]
            path.parent.mkdir(parents=True, exist_ok=True)
            wfdb.wrsamp(
                path.name,
                fs=rate,
                units=["mV"] * 12,
                sig_name=[lead.upper() for lead in TWELVE],
                d_signal=np.tile(1000 * ecg_id + 10 * np.arange(12), (10 * rate, 1)),
                fmt=["16"] * 12,
                adc_gain=[1000.0] * 12,
                baseline=[0] * 12,
                write_dir=str(path.parent),
            )
        rows.append(
            {
                "ecg_id": ecg_id,
                "patient_id": float(patient),
                "age": 300.0,
                "scp_codes": str(codes),
                "strat_fold": fold,
                **names,
            }
        )
    pd.DataFrame(rows).to_csv(folder / "ptbxl_database.csv", index=False)
    (folder / "scp_statements.csv").write_text(STATEMENTS)
    return folder


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path / "home")


@pytest.fixture(scope="module")
def real_home():
    home = os.environ.get("SKLEARN_BELL_DATA")
    if not home or not Path(home, "ptb-xl").is_dir():
        pytest.skip("needs PTB-XL: SKLEARN_BELL_DATA is not set to a folder that holds ptb-xl")
    return Path(home)


def benchmark_labels(codes, statements, task):
    """Aggregate the labels of one record code by code, as the benchmark does."""
    labels = set()
    for code in codes:
        if code not in statements.index:
            continue
        row = statements.loc[code]
        if task == "all":
            labels.add(code)
        elif task in ("form", "rhythm", "diagnostic"):
            if row[task] == 1:
                labels.add(code)
        elif row["diagnostic"] == 1:
            column = {"subdiagnostic": "diagnostic_subclass", "superdiagnostic": "diagnostic_class"}
            if str(row[column[task]]) != "nan":
                labels.add(row[column[task]])
    return labels


def labels_of(bunch):
    return [set(bunch.target_names[row == 1]) for row in bunch.target]


# Small files ------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
def test_labels_match_benchmark(folder, task):
    statements = pd.read_csv(folder / "scp_statements.csv", index_col=0)
    bunch = load_ptbxl(folder, task=task, unlabelled=True)
    assert labels_of(bunch) == [benchmark_labels(codes, statements, task) for *_, codes in RECORDS]
    assert bunch.target_names.tolist() == sorted(bunch.target_names)


def test_default_task_is_superclasses(folder):
    bunch = load_ptbxl(folder, unlabelled=True)
    assert bunch.target_names.tolist() == ["CD", "HYP", "MI", "NORM", "STTC"]
    np.testing.assert_array_equal(
        bunch.target,
        [[0, 0, 0, 1, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0], [0, 1, 0, 0, 1], [1, 0, 0, 0, 0]],
    )
    assert bunch.target.dtype == np.int64


def test_code_without_underscore_is_recognised(folder):
    database = folder / "ptbxl_database.csv"
    expected = load_ptbxl(folder, task="form", unlabelled=True).target
    database.write_text(database.read_text().replace("NT_", "NT"))
    np.testing.assert_array_equal(load_ptbxl(folder, task="form", unlabelled=True).target, expected)


def test_unlabelled_records_are_skipped(folder):
    with pytest.warns(RecordWarning, match=r"1 of 5 records .*'superdiag.*00007_lr") as seen:
        bunch = load_ptbxl(folder)
    assert seen[0].filename == __file__
    assert bunch.metadata.index.tolist() == [3, 4, 9, 12]
    assert list(bunch.skipped) == ["records100/00000/00007_lr"]
    assert bunch.target.any(axis=1).all()
    assert load_ptbxl(folder, unlabelled=True).skipped == {}


@pytest.mark.parametrize("sampling_rate", [100, 500])
def test_entries_follow_record_order(folder, sampling_rate):
    with pytest.warns(RecordWarning, match="1 of 5"):
        bunch = load_ptbxl(folder, sampling_rate=sampling_rate)
    labelled = [row for row in RECORDS if row[0] != 7]
    assert bunch.data.shape == (4, 12, 10 * sampling_rate)
    assert bunch.data.dtype == np.float32
    np.testing.assert_allclose(bunch.data[:, 0, 0], [row[0] for row in labelled], rtol=1e-6)
    np.testing.assert_allclose(bunch.data[0, :, 0], 3 + np.arange(12) / 100, rtol=1e-6)
    assert bunch.groups.tolist() == [row[1] for row in labelled]
    assert bunch.fold.tolist() == [row[2] for row in labelled]
    assert bunch.metadata["patient_id"].tolist() == bunch.groups.tolist()
    suffix = {100: "lr", 500: "hr"}[sampling_rate]
    assert bunch.record_names.tolist() == [
        f"records{sampling_rate}/00000/{row[0]:05d}_{suffix}" for row in labelled
    ]
    assert (bunch.lead_names, bunch.sampling_rate, bunch.units) == (TWELVE, sampling_rate, "mV")


@pytest.mark.parametrize("folds", [[1], (2, 9), range(1, 3), np.array([9]), iter([1, 9])])
def test_folds_select_records_not_classes(folder, folds):
    selected = list(folds)
    bunch = load_ptbxl(folder, folds=iter(selected), unlabelled=True)
    assert bunch.metadata.index.tolist() == [row[0] for row in RECORDS if row[2] in selected]
    assert bunch.target_names.tolist() == ["CD", "HYP", "MI", "NORM", "STTC"]
    assert set(bunch.fold) == set(selected)


@pytest.mark.parametrize(
    ("folds", "available"),
    [([], "1, 2, 3"), ([1, 3], r"1, 2, 9\]"), ([0], "1, 2, 3"), (3, "1, 2, 3")],
)
def test_missing_fold_raises(folder, folds, available):
    with pytest.raises(InvalidECGError, match=rf"Expected folds out of \[{available}"):
        load_ptbxl(folder, folds=folds)


@pytest.mark.parametrize("table", ["ptbxl_database.csv", "scp_statements.csv"])
def test_table_link_needs_allow_links(folder, tmp_path, table):
    expected = load_ptbxl(folder, unlabelled=True).target
    (folder / table).rename(tmp_path / "elsewhere")
    (folder / table).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidECGError, match=rf"{table} is a link out of .*Pass allow_links"):
        load_ptbxl(folder, unlabelled=True)
    target = load_ptbxl(folder, unlabelled=True, allow_links=True).target
    np.testing.assert_array_equal(target, expected)


def test_table_pipe_raises_without_blocking(folder):
    (folder / "scp_statements.csv").unlink()
    os.mkfifo(folder / "scp_statements.csv")
    with pytest.raises(InvalidECGError, match=r"scp_statements.csv is not a regular file"):
        load_ptbxl(folder, unlabelled=True)


def test_data_home_defaults_to_user_home(folder, monkeypatch):
    monkeypatch.delenv("SKLEARN_BELL_DATA", raising=False)
    monkeypatch.setenv("HOME", str(folder.parent))
    folder.parent.joinpath("sklearn_bell_data").symlink_to(folder.parent)
    assert len(load_ptbxl(unlabelled=True).data) == 5


def test_missing_data_set_names_size_and_licence(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"absent.*fetch_ptbxl.*physionet.*3 GB.*CC BY 4\.0"
    ):
        load_ptbxl(tmp_path / "absent")


def test_missing_rate_names_folder(folder):
    folder.joinpath("records500").rename(folder / "elsewhere")
    with pytest.raises(FileNotFoundError, match=r"a folder records500 .*fetch_ptbxl.*physionet"):
        load_ptbxl(folder, sampling_rate=500)
    assert load_ptbxl(folder, unlabelled=True).sampling_rate == 100


def test_missing_record_is_named(folder):
    folder.joinpath("records100/00000/00009_lr.dat").unlink()
    with pytest.raises(InvalidECGError, match=r"records100/00000/00009_lr: .*missing"):
        load_ptbxl(folder, unlabelled=True)


def test_table_pointing_outside_raises(folder):
    database = folder / "ptbxl_database.csv"
    database.write_text(database.read_text().replace("records100/00000/00009", "../x/00009"))
    with pytest.raises(InvalidECGError, match=r"\.\./x/00009_lr is outside its folder"):
        load_ptbxl(folder, unlabelled=True)


@pytest.mark.parametrize("parameters", [{"task": "stage"}, {"sampling_rate": 250}, {"leads": "II"}])
def test_invalid_parameter_raises(folder, parameters):
    with pytest.raises(ValueError, match=next(iter(parameters))):
        load_ptbxl(folder, **parameters)


# Real files -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(real_home):
    with pytest.warns(RecordWarning, match="16 of 450 records have no label"):
        return load_ptbxl(real_home)


def test_real_superclass_counts(real):
    counts = dict(zip(real.target_names.tolist(), real.target.sum(axis=0).tolist(), strict=True))
    assert counts == {"CD": 132, "HYP": 105, "MI": 131, "NORM": 135, "STTC": 175}
    assert len(real.skipped) == 16


def test_real_patients_do_not_cross_folds(real):
    assert set(real.fold) == set(range(1, 9))
    assert pd.Series(real.fold).groupby(real.groups).nunique().max() == 1


def test_real_signals_are_millivolts(real):
    assert real.data.shape == (434, 12, 1000)
    assert real.lead_names == TWELVE
    lead_i, lead_ii, lead_iii = real.data[:, 0], real.data[:, 1], real.data[:, 2]
    assert np.median(np.abs(lead_iii - lead_ii + lead_i)) < 2e-3
    assert 0.05 < real.data.std() < 1


@pytest.mark.parametrize("task", TASKS)
def test_real_labels_match_benchmark(real_home, task):
    folder = real_home / "ptb-xl-500hz"
    if not folder.is_dir():
        pytest.skip("needs ptb-xl-500hz in SKLEARN_BELL_DATA")
    statements = pd.read_csv(folder / "scp_statements.csv", index_col=0)
    bunch = load_ptbxl(folder, task=task, unlabelled=True, leads=["I"], folds=range(1, 5))
    assert len(bunch.target_names) == dict(zip(TASKS, [71, 44, 23, 5, 19, 12], strict=True))[task]
    expected = [
        benchmark_labels(ast.literal_eval(codes), statements, task)
        for codes in bunch.metadata["scp_codes"]
    ]
    assert labels_of(bunch) == expected


def test_real_missing_rate_raises(real_home):
    with pytest.raises(FileNotFoundError, match="Expected a folder records500"):
        load_ptbxl(real_home, sampling_rate=500)


def test_rows_longer_than_header_raise(folder):
    """pandas would use the first field as index and shift the others."""
    database = folder / "ptbxl_database.csv"
    header, *rows = database.read_text().splitlines()
    database.write_text("\n".join([header, *(f"0,{row}" for row in rows)]))
    with pytest.raises(InvalidECGError, match=r"ptbxl_database.*more fields than its header"):
        load_ptbxl(folder)
