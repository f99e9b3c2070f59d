"""Tests of CSV records."""

import numpy as np
import pandas as pd
import pytest

from sklearn_bell.datasets._formats import read_csv
from sklearn_bell.exceptions import InvalidECGError

SIGNALS = np.random.default_rng(0).normal(size=(3, 2, 20)).astype(np.float32)


def write(path, signal, leads, **kwargs):
    pd.DataFrame(signal.T, columns=leads).to_csv(path, **{"index": False, **kwargs})
    return path


def test_read_csv_restores_written_records(tmp_path):
    paths = [write(tmp_path / f"{i}.csv", x, ["ii", "V1"]) for i, x in enumerate(SIGNALS)]
    ecg = read_csv(paths)
    np.testing.assert_array_equal(ecg.data, SIGNALS)
    assert ecg.data.dtype == np.float32
    assert ecg.lead_names == ["II", "V1"]
    assert ecg.record_names == [str(tmp_path / name) for name in "012"]
    assert ecg.left_out == []


def test_read_csv_selects_leads_by_name(tmp_path):
    first = write(tmp_path / "a.csv", SIGNALS[0], ["II", "V1"])
    second = write(tmp_path / "b.csv", SIGNALS[1, ::-1], ["v1", "ii"])
    np.testing.assert_array_equal(read_csv([first, second]).data, SIGNALS[:2])
    selected = read_csv([first, second], ["V1"])
    np.testing.assert_array_equal(selected.data, SIGNALS[:2, 1:])
    assert selected.lead_names == ["V1"]


@pytest.mark.parametrize("name", ["", "index", "Time", "T"])
def test_read_csv_leaves_out_time_and_index(tmp_path, name):
    times = pd.Index([f"12:00:{i:02}" for i in range(20)], name=name)
    table = pd.DataFrame(SIGNALS[0].T, columns=["II", "V1"], index=times)
    table.to_csv(tmp_path / "a.csv")
    ecg = read_csv([tmp_path / "a.csv"])
    np.testing.assert_array_equal(ecg.data, SIGNALS[:1])
    assert (ecg.lead_names, ecg.left_out) == (["II", "V1"], [name])


def test_read_csv_accepts_quotes_blanks_and_bom(tmp_path):
    (tmp_path / "a.csv").write_text('\ufeff"II", V1\r\n"1.5", 2\r\n-3e-1,4\r\n\r\n', "utf-8")
    np.testing.assert_allclose(read_csv([tmp_path / "a.csv"]).data, [[[1.5, -0.3], [2, 4]]])


def test_read_csv_keeps_missing_lead(tmp_path):
    (tmp_path / "a.csv").write_text("II,V1\n1,nan\n2,nan\n")
    np.testing.assert_array_equal(read_csv([tmp_path / "a.csv"]).data, [[[1, 2], [np.nan] * 2]])


@pytest.mark.parametrize(
    ("text", "message"),
    {
        "0.1,0.2\n0.3,0.4\n": "line 1: found the numbers 0.1, 0.2 instead of lead names",
        ",0,1\n0,0.3,0.4\n": "line 1: found the numbers 0, 1 instead of lead names",
        "": "line 1: found no lead names",
        "time\n1\n": "line 1: found no lead names",
        "II;V1\n0,1;0,2\n": "line 1: cells are separated by semicolons or tabs",
        "II,ii\n1,2\n": "line 1: lead II is named twice",
        "II,V1\n1,2\n\n3,oops\n": "line 4: found 'oops' in column V1",
        "II,V1\n1,2\n3,\n": "line 3: found '' in column V1",
        "II,V1\n1,inf\n": "line 2: found 'inf' in column V1",
        "II,V1\n1,2\nnan,4\n": "line 3: found 'nan' in column II",
        "II,V1\n1,2\n3\n": "line 3: found '' in column V1",
        "II,V1\n0,1,0,2\n": "line 2: found 4 cells, not 2",
        "II,V1\n1;2\n": "line 2: found '1;2' in column II",
        "II,V1\n": " has no samples",
        "II,V1\n1_0,2\n": "line 2: found '1_0' in column II",  # a number to Python alone
    }.items(),
)
def test_read_csv_error_names_line(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(InvalidECGError) as caught:
        read_csv([tmp_path / "a.csv"])
    assert str(tmp_path / "a.csv") in str(caught.value)
    assert message in str(caught.value)
    assert "expected cells separated by commas" in str(caught.value)


def test_read_csv_rejects_file_unlike_first(tmp_path):
    first = write(tmp_path / "a.csv", SIGNALS[0], ["II", "V1"])
    other = write(tmp_path / "b.csv", SIGNALS[1], ["II", "V2"])
    more = write(tmp_path / "c.csv", SIGNALS[:2, 0], ["II", "V1"])
    pd.read_csv(more).assign(V2=0.0).to_csv(more, index=False)
    short = write(tmp_path / "d.csv", SIGNALS[1, :, :19], ["II", "V1"])
    cases = {
        other: "b.csv: No lead named V1 among II, V2",
        more: "c.csv has the leads II, V1, V2, but .*a.csv has II, V1",
        short: "d.csv has 19 samples, but .*a.csv has 20",
    }
    for second, message in cases.items():
        with pytest.raises(InvalidECGError, match=message):
            read_csv([first, second])
    with pytest.raises(InvalidECGError, match=r"a.csv: No lead named V9 among II, V1"):
        read_csv([first], ["II", "V9"])
