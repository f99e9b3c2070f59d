"""CSV files are read as what they are written of, or refused by file and line."""

import numpy as np
import pandas as pd
import pytest

from sklearn_bell.datasets._csv import read_csv
from sklearn_bell.exceptions import InvalidECGError

SIGNALS = np.random.default_rng(0).normal(size=(3, 2, 20)).astype(np.float32)


def written(path, signal, leads, **kwargs):
    pd.DataFrame(signal.T, columns=leads).to_csv(path, **{"index": False, **kwargs})
    return path


def test_records_come_back_as_they_were_written(tmp_path):
    paths = [written(tmp_path / f"{i}.csv", x, ["ii", "V1"]) for i, x in enumerate(SIGNALS)]
    found = read_csv(paths)
    np.testing.assert_array_equal(found.data, SIGNALS)
    assert found.data.dtype == np.float32
    assert found.lead_names == ["II", "V1"]
    assert found.record_names == [str(tmp_path / name) for name in "012"]
    assert found.left_out == []


def test_leads_are_found_by_their_names_in_any_order(tmp_path):
    first = written(tmp_path / "a.csv", SIGNALS[0], ["II", "V1"])
    second = written(tmp_path / "b.csv", SIGNALS[1, ::-1], ["v1", "ii"])
    np.testing.assert_array_equal(read_csv([first, second]).data, SIGNALS[:2])
    chosen = read_csv([first, second], ["V1"])
    np.testing.assert_array_equal(chosen.data, SIGNALS[:2, 1:])
    assert chosen.lead_names == ["V1"]


@pytest.mark.parametrize("name", ["", "index", "Time", "T"])
def test_a_time_or_an_index_is_no_lead(tmp_path, name):
    times = pd.Index([f"12:00:{i:02}" for i in range(20)], name=name)
    table = pd.DataFrame(SIGNALS[0].T, columns=["II", "V1"], index=times)
    table.to_csv(tmp_path / "a.csv")
    found = read_csv([tmp_path / "a.csv"])
    np.testing.assert_array_equal(found.data, SIGNALS[:1])
    assert (found.lead_names, found.left_out) == (["II", "V1"], [name])


def test_quotes_blanks_and_a_mark_of_byte_order_are_no_fault(tmp_path):
    (tmp_path / "a.csv").write_text('\ufeff"II", V1\r\n"1.5", 2\r\n-3e-1,4\r\n\r\n', "utf-8")
    np.testing.assert_allclose(read_csv([tmp_path / "a.csv"]).data, [[[1.5, -0.3], [2, 4]]])


def test_a_lead_that_is_missing_as_a_whole_is_left_to_the_estimator(tmp_path):
    (tmp_path / "a.csv").write_text("II,V1\n1,nan\n2,nan\n")
    np.testing.assert_array_equal(read_csv([tmp_path / "a.csv"]).data, [[[1, 2], [np.nan] * 2]])


@pytest.mark.parametrize(
    ("text", "message"),
    {
        "0.1,0.2\n0.3,0.4\n": "line 1: found numbers, 0.1, 0.2, where lead names stand",
        ",0,1\n0,0.3,0.4\n": "line 1: found numbers, 0, 1, where lead names stand",
        "": "line 1: found no names where lead names stand",
        "time\n1\n": "line 1: found no names where lead names stand",
        "II;V1\n0,1;0,2\n": "line 1: cells are separated by semicolons or tabs",
        "II,ii\n1,2\n": "line 1: lead II is named twice",
        "II,V1\n1,2\n\n3,oops\n": "line 4: found 'oops' in column V1",
        "II,V1\n1,2\n3,\n": "line 3: found '' in column V1",
        "II,V1\n1,inf\n": "line 2: found 'inf' in column V1",
        "II,V1\n1,2\nnan,4\n": "line 3: found 'nan' in column II",
        "II,V1\n1,2\n3\n": "line 3: found 1 cells under a header of 2",
        "II,V1\n0,1,0,2\n": "line 2: found 4 cells under a header of 2",
        "II,V1\n1;2\n": "line 2: found 1 cells under a header of 2",
        "II,V1\n": ": it has no samples",
        "II,V1\n1_0,2\n": ": could not convert string '1_0'",  # a number to Python alone
    }.items(),
)
def test_what_is_wrong_is_told_by_file_and_line_and_what_was_expected(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(InvalidECGError) as caught:
        read_csv([tmp_path / "a.csv"])
    assert str(tmp_path / "a.csv") in str(caught.value)
    assert message in str(caught.value)
    assert "expected cells that are separated by commas" in str(caught.value)


def test_a_file_that_is_not_like_the_first_is_named(tmp_path):
    first = written(tmp_path / "a.csv", SIGNALS[0], ["II", "V1"])
    other = written(tmp_path / "b.csv", SIGNALS[1], ["II", "V2"])
    more = written(tmp_path / "c.csv", SIGNALS[:2, 0], ["II", "V1"])
    pd.read_csv(more).assign(V2=0.0).to_csv(more, index=False)
    short = written(tmp_path / "d.csv", SIGNALS[1, :, :19], ["II", "V1"])
    for second, message in {
        other: "b.csv: No lead named V1 among II, V2",
        more: "c.csv has the leads II, V1, V2, but .*a.csv has II, V1",
        short: "d.csv has 19 samples, but .*a.csv has 20",
    }.items():
        with pytest.raises(InvalidECGError, match=message):
            read_csv([first, second])
    with pytest.raises(InvalidECGError, match=r"a.csv: No lead named V9 among II, V1"):
        read_csv([first], ["II", "V9"])
