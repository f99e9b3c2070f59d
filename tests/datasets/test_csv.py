"""Tests of read_csv."""

import re

import numpy as np
import pandas as pd
import pytest

from sklearn_bell.datasets import read_csv
from sklearn_bell.exceptions import InvalidECGError, RecordWarning

SIGNALS = np.random.default_rng(0).normal(size=(3, 2, 20)).astype(np.float32)


def write(path, signal, leads, **kwargs):
    pd.DataFrame(signal.T, columns=leads).to_csv(path, **{"index": False, **kwargs})
    return path


def test_read_csv_restores_written_records(tmp_path):
    paths = [write(tmp_path / f"{i}.csv", x, ["ii", "V1"]) for i, x in enumerate(SIGNALS)]
    ecg = read_csv(paths, 100)
    np.testing.assert_array_equal(ecg.data, SIGNALS)
    assert ecg.data.dtype == np.float32
    assert ecg.lead_names == ["II", "V1"]
    assert ecg.record_names.tolist() == [str(tmp_path / name) for name in "012"]
    assert (ecg.left_out, ecg.sampling_rate, ecg.units) == ([], 100.0, "mV")


def test_read_csv_selects_leads_by_name(tmp_path):
    first = write(tmp_path / "a.csv", SIGNALS[0], ["II", "V1"])
    second = write(tmp_path / "b.csv", SIGNALS[1, ::-1], ["v1", "ii"])
    np.testing.assert_array_equal(read_csv([first, second], 100).data, SIGNALS[:2])
    selected = read_csv([first, second], 100, leads=["V1"])
    np.testing.assert_array_equal(selected.data, SIGNALS[:2, 1:])
    assert selected.lead_names == ["V1"]


@pytest.mark.parametrize(
    "name", ["", "index", "Time", "T", "time_s", "time (ms)", "Unnamed: 0", "sample", "timestamp"]
)
def test_read_csv_leaves_out_time_and_index(tmp_path, name):
    times = pd.Index([f"12:00:{i:02}" for i in range(20)], name=name)
    table = pd.DataFrame(SIGNALS[0].T, columns=["II", "V1"], index=times)
    table.to_csv(tmp_path / "a.csv")
    ecg = read_csv(tmp_path / "a.csv", 100)
    np.testing.assert_array_equal(ecg.data, SIGNALS[:1])
    assert (ecg.lead_names, ecg.left_out) == (["II", "V1"], [name])


@pytest.mark.parametrize("name", ["label", "target", "y", "age", "patient", "x", "Lead", "V10"])
def test_read_csv_learns_from_no_other_column(tmp_path, name):
    path = write(tmp_path / "a.csv", np.vstack([SIGNALS[0], np.ones(20)]), ["II", "V1", name])
    with pytest.raises(InvalidECGError, match=f"line 1: column '{name}' is no known lead.*leads="):
        read_csv(path, 100)
    chosen = read_csv(path, 100, leads=["II", "V1"])
    assert (chosen.lead_names, chosen.left_out) == (["II", "V1"], [name])
    assert read_csv(path, 100, leads=[name]).lead_names == [name]
    assert read_csv(path, 100, rename={name: "V6"}).lead_names == ["II", "V1", "V6"]


@pytest.mark.parametrize(
    ("header", "factor"),
    [
        *[(f"II{unit},V1{unit}", 1e-3) for unit in (" (uV)", "_uV", " µV", "/uv", " (microvolts)")],
        ("II [mV],V1 [mV]", 1),
        ("II_(V),V1_(V)", 1e3),
        ("II,V1", 1e-6),
    ],
)
@pytest.mark.filterwarnings("ignore:.*typical deviation")
def test_read_csv_takes_the_unit_of_a_column_before_that_of_the_option(tmp_path, header, factor):
    path = write(tmp_path / "a.csv", SIGNALS[0], header.split(","))
    rename = dict(zip(header.split(","), ["II", "V1"], strict=True))
    ecg = read_csv(path, 100, units="nV", rename=rename)
    np.testing.assert_allclose(ecg.data[0], factor * SIGNALS[0], rtol=1e-6)
    assert ecg.lead_names == ["II", "V1"]


@pytest.mark.parametrize(
    "name",
    ["LeadII", "ECG Lead II", "12-lead II", "EKGII", "II_mV", "II mV", "II/mV", "II (millivolts)",
     "DII", "Lead: II", "ecg.II"],
)  # fmt: skip
def test_read_csv_knows_names_of_leads(tmp_path, name):
    path = write(
        tmp_path / "a.csv", SIGNALS[0], [name, name.replace("DII", "II").replace("II", "V 1")]
    )
    assert read_csv(path, 100).lead_names == ["II", "V1"]


def test_read_csv_takes_units_of_the_second_line(tmp_path):
    (tmp_path / "a.csv").write_text("time,II,V1\ns,mV,microvolts\n0,1,2000\n1,3,4000\n")
    np.testing.assert_allclose(read_csv(tmp_path / "a.csv", 100).data, [[[1, 3], [2, 4]]])


def test_read_csv_reads_other_signs_and_preambles(tmp_path):
    text = "device X\n\nII;V1\n0,5;-1,25\n1e-1;2\n"
    (tmp_path / "a.csv").write_text(text)
    ecg = read_csv(tmp_path / "a.csv", 100, delimiter=";", decimal=",", skip_lines=2)
    np.testing.assert_allclose(ecg.data, [[[0.5, 0.1], [-1.25, 2]]])
    (tmp_path / "b.csv").write_text("'II'\t'V1'\n1\t2\n")
    np.testing.assert_allclose(read_csv(tmp_path / "b.csv", 100, delimiter="\t").data, [[[1], [2]]])


def test_read_csv_resamples_and_crops_as_read_wfdb(tmp_path):
    time = np.arange(500) / 250
    path = write(tmp_path / "a.csv", np.sin(2 * np.pi * time)[None], ["II"])
    ecg = read_csv(path, 250, sampling_rate=100, duration=1)
    np.testing.assert_allclose(ecg.data[0, 0], np.sin(2 * np.pi * np.arange(100) / 100), atol=0.02)


def test_read_csv_accepts_quotes_blanks_and_bom(tmp_path):
    (tmp_path / "a.csv").write_text('\ufeff"II", V1\r\n"1.5", 2\r\n-3e-1,4\r\n\r\n', "utf-8")
    np.testing.assert_allclose(read_csv(tmp_path / "a.csv", 100).data, [[[1.5, -0.3], [2, 4]]])


def test_read_csv_keeps_missing_lead(tmp_path):
    (tmp_path / "a.csv").write_text("II,V1\n1,nan\n2,nan\n")
    np.testing.assert_array_equal(read_csv(tmp_path / "a.csv", 100).data, [[[1, 2], [np.nan] * 2]])


@pytest.mark.parametrize(
    ("text", "message"),
    {
        "0.1,0.2\n0.3,0.4\n": "line 1: found the numbers 0.1, 0.2 instead of lead names",
        ",0,1\n0,0.3,0.4\n": "line 1: found the numbers 0, 1 instead of lead names",
        "": "line 1: found no lead names",
        "time\n1\n": "line 1: found no lead names",
        "II;V1\n0,1;0,2\n": "line 1: found one column, 'II;V1'. Pass delimiter=';'",
        "II,ii\n1,2\n": "line 1: lead II is named twice",
        "II,V1\n1,2\n\n3,oops\n": "line 4: found 'oops' in column V1",
        "II,V1\n1,inf\n": "line 2: found 'inf' in column V1",
        "II,V1\n0,1,0,2\n": "line 2: found 4 cells, not 2",
        "II,V1\n1;2\n": "line 2: found '1;2' in column II",
        "II,V1\n": " has no samples",
        "II,V1\n1_0,2\n": "line 2: found '1_0' in column II",  # a number to Python alone
    }.items(),
)
def test_read_csv_error_names_line(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(InvalidECGError) as caught:
        read_csv(tmp_path / "a.csv", 100)
    assert str(caught.value).startswith(f"Record {tmp_path / 'a'}: ")
    assert message in str(caught.value)
    assert "expected cells separated by commas" in str(caught.value)


MISSING = ["3,", "3", "3,nan", "3,NA", "3,-32768", "", ",", "\n"]


@pytest.mark.parametrize("line", MISSING)
@pytest.mark.parametrize("lead", [[], ["V1"]])
def test_read_csv_interpolates_missing_samples(tmp_path, line, lead):
    (tmp_path / "a.csv").write_text(f"II,V1\n1,2\n{line}\n5,6\n,\n\n")  # the end is no gap
    n_missing = 2 if line == "\n" else 1
    with pytest.raises(InvalidECGError, match=rf"not finite.*max_gap=0\.0{n_missing} \(seconds\)"):
        read_csv(tmp_path / "a.csv", 100, leads=lead or None)
    ecg = read_csv(tmp_path / "a.csv", 100, leads=lead or None, max_gap=0.02)
    np.testing.assert_allclose(ecg.data[0, -1], np.linspace(2, 6, 2 + n_missing))


@pytest.mark.parametrize(
    ("name", "times", "rate", "message"),
    [
        ("time", [0, 0.002, 0.004], 100, "steps of 0.002, which is not the sampling rate of 100"),
        ("time", [0, 2, 4], 500, None),  # ms
        ("time", [0, 2000, 4000], 500, None),  # us
        ("time", [0, 1, 2], 500, None),  # number of the sample
        ("time (s)", [0, 1, 2], 500, "steps of 1"),
        ("t_ms", [0, 0.002, 0.004], 500, "steps of 0.002"),
        ("seconds", [7.13, 7.132, 7.134], 500, None),
        ("timestamp", [0, 0.003, 0.006, 0.008, 0.011], 360, None),  # rounded to ms
        ("Time (ms)", [0, 1, 2, 4, 5, 6], 900, None),
        ("time", [0, 0.01, 0.5, 0.51], 100, "line 4: column 'time' jumps to 0.5"),
        ("index", [0, 1, 0, 1], 100, "line 4: column 'index' jumps to 0"),
        ("time", [0, 0.01, "inf", "inf"], 100, "line 4: column 'time' jumps to inf"),
        ("time", [0, 1.7e308, -1.7e308, 0], 100, "line 4: column 'time' jumps to"),
        ("sample", [5, 10, 15], 100, None),
        ("", [3, 3, 3], 100, None),
    ],
)
def test_read_csv_compares_times_with_the_rate(tmp_path, name, times, rate, message):
    lines = [f"{name},II", *(f"{time},0" for time in times)]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    if message is None:
        assert read_csv(tmp_path / "a.csv", rate).left_out == [name]
    else:
        with pytest.raises(InvalidECGError, match=re.escape(message)):
            read_csv(tmp_path / "a.csv", rate)


def test_read_csv_warns_of_values_that_are_no_millivolts(tmp_path):
    paths = [write(tmp_path / f"{i}.csv", 300 * x, ["II", "V1"]) for i, x in enumerate(SIGNALS)]
    with pytest.warns(RecordWarning, match=r"3 of 3 records may be wrong.*pass units=") as caught:
        read_csv(paths, 100)
    assert len(caught) == 1
    read_csv(paths, 100, units="uV")


def test_read_csv_reads_points_that_group_thousands(tmp_path):
    options = {"delimiter": ";", "decimal": ",", "units": "uV"}
    (tmp_path / "a.csv").write_text("II;V1\n1.234;-2.345,5\n12;987\n")
    ecg = read_csv(tmp_path / "a.csv", 100, **options)
    np.testing.assert_allclose(ecg.data[0], [[1.234, 0.012], [-2.3455, 0.987]])
    for cell in ("0.250", "1.5", "1.2345"):
        (tmp_path / "a.csv").write_text(f"II;V1\n{cell};1\n")
        with pytest.raises(InvalidECGError, match=f"line 2: found '{cell}'"):
            read_csv(tmp_path / "a.csv", 100, **options)


def test_read_csv_rejects_file_unlike_first(tmp_path):
    first = write(tmp_path / "a.csv", SIGNALS[0], ["II", "V1"])
    other = write(tmp_path / "b.csv", SIGNALS[1], ["II", "V2"])
    short = write(tmp_path / "d.csv", SIGNALS[1, :, :19], ["II", "V1"])
    cases = {
        other: "b: No lead named V1 among II, V2",
        short: "d: expected 20 samples at 100 Hz as in the first record, got 19",
    }
    for second, message in cases.items():
        with pytest.raises(InvalidECGError, match=message):
            read_csv([first, second], 100)
    with pytest.raises(InvalidECGError, match=r"a: No lead named V9 among II, V1"):
        read_csv([first], 100, leads=["II", "V9"])


def test_read_csv_derives_leads(tmp_path):
    path = write(tmp_path / "a.csv", SIGNALS[0], ["I", "Lead II"])
    ecg = read_csv(path, 100, leads=["III"])
    np.testing.assert_allclose(ecg.data[0, 0], SIGNALS[0, 1] - SIGNALS[0, 0], atol=1e-6)
    assert ecg.derived_leads == {"III": "II - I"}
