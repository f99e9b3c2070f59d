"""Tests of read_wfdb: values, selection, resampling, invalid records, parallel reads."""

import gc
import os
import re
import tempfile
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
import wfdb
from joblib import Parallel, delayed
from joblib.externals.loky import reusable_executor

from sklearn_bell.datasets import _reading, read_wfdb
from sklearn_bell.exceptions import InvalidECGError, RecordWarning

TWELVE = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]
N = 200  # default number of samples: 2 s at 100 Hz


def write(folder, name, leads=("I", "II"), *, n=N, fs=100, units="mV", seed=0, fmt="16", **kwargs):
    """Write a record of random digital values, 1000 per unit, and return the values."""
    digital = np.random.default_rng(seed).integers(-2000, 2000, (n, len(leads)))
    digital = kwargs.pop("digital", digital)
    wfdb.wrsamp(
        name,
        fs=fs,
        units=[units] * len(leads),
        sig_name=list(leads),
        d_signal=digital,
        fmt=[fmt] * len(leads),
        adc_gain=[1000.0] * len(leads),
        baseline=[0] * len(leads),
        write_dir=str(folder),
        **kwargs,
    )
    return digital


def edit(path, old, new):
    text = Path(path).read_text(encoding="utf-8")
    assert old in text
    Path(path).write_text(text.replace(old, new), encoding="utf-8")


# Values -----------------------------------------------------------------------------------------


def test_read_wfdb_values_match_rdsamp(tmp_path):
    paths = [tmp_path / f"r{seed}" for seed in range(5)]
    for seed, path in enumerate(paths):
        write(tmp_path, path.name, seed=seed)
    bunch = read_wfdb(paths)
    expected = np.stack([wfdb.rdsamp(str(path))[0].T for path in paths])
    assert bunch.data.dtype == np.float32
    np.testing.assert_allclose(bunch.data, expected, rtol=1e-6)
    assert bunch.lead_names == ["I", "II"]
    assert (bunch.sampling_rate, bunch.units) == (100.0, "mV")
    assert bunch.record_names.tolist() == [str(path) for path in paths]
    assert (bunch.skipped, bunch.padded) == ({}, [])


def test_read_wfdb_accepts_folder_and_paths(tmp_path):
    for seed in range(3):
        write(tmp_path, f"r{seed}", seed=seed)
    (tmp_path / "RECORDS").write_text("r0\nr1\n\nr2\n")
    expected = read_wfdb([str(tmp_path / f"r{i}") for i in range(3)])
    arguments = [
        tmp_path,
        str(tmp_path),
        (tmp_path / f"r{i}.hea" for i in range(3)),
        [tmp_path / "r0.dat", str(tmp_path / "r1.hea"), tmp_path / "r2"],
    ]
    for argument in arguments:
        np.testing.assert_array_equal(read_wfdb(argument).data, expected.data)
    assert read_wfdb(tmp_path).record_names.tolist() == ["r0", "r1", "r2"]
    assert read_wfdb(arguments[-1]).record_names.tolist() == expected.record_names.tolist()


def test_read_wfdb_accepts_relative_paths(tmp_path, monkeypatch):
    digital = write(tmp_path, "a")
    monkeypatch.chdir(tmp_path.parent)
    bunch = read_wfdb([f"{tmp_path.name}/a"])
    np.testing.assert_allclose(bunch.data[0], digital.T / 1000, rtol=1e-6)
    assert bunch.record_names.tolist() == [f"{tmp_path.name}/a"]


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_index_must_be_file_inside_folder(tmp_path, kind):
    folder = tmp_path / "folder"
    folder.mkdir()
    digital = write(folder, "a")
    if kind == "pipe":
        os.mkfifo(folder / "RECORDS")
        with pytest.raises(InvalidECGError, match="RECORDS is not a regular file"):
            read_wfdb(folder, allow_links=True)
        return
    (tmp_path / "list").write_text("a")
    (folder / "RECORDS").symlink_to("../list")
    with pytest.raises(InvalidECGError, match=r"RECORDS is a link out of .*folder"):
        read_wfdb(folder)
    data = read_wfdb(folder, allow_links=True).data[0]
    np.testing.assert_allclose(data, digital.T / 1000, rtol=1e-6)


def test_resampling_overshoot_beyond_float32_raises(tmp_path):
    digital = np.repeat([[32767, 0], [0, 0]], [50, 150], axis=0)
    write(tmp_path, "a", digital=digital)
    edit(tmp_path / "a.hea", "1000.0(0)", "1e-34(0)")
    assert np.isfinite(read_wfdb([tmp_path / "a"]).data).all()  # 3.3e38, just below the greatest
    with pytest.raises(InvalidECGError, match="not finite"):
        read_wfdb([tmp_path / "a"], sampling_rate=50)


@pytest.mark.parametrize("skew", [1, 30])
@pytest.mark.parametrize("per_frame", [1, 2])
def test_skewed_lead_is_shifted_after_checksum(tmp_path, skew, per_frame):
    digital = write(tmp_path, "a", ["I"], n=600)
    edit(tmp_path / "a.hea", "a.dat 16", f"a.dat 16x{per_frame}:{skew}")
    edit(tmp_path / "a.hea", "100 600", f"100 {600 // per_frame}")
    data = read_wfdb([tmp_path / "a"], duration=0.5).data[0, 0]
    begin = skew * per_frame
    expected = digital[begin : begin + 50 * per_frame, 0] / 1000
    np.testing.assert_allclose(data, expected, rtol=1e-6)
    assert read_wfdb([tmp_path / "a"]).data.shape[-1] == 600 - begin  # the end is missing


# Leads, gaps, windows ---------------------------------------------------------------------------


def test_limb_leads_are_computed_when_asked_for(tmp_path):
    i, ii = write(tmp_path, "a").T / 1000
    bunch = read_wfdb([tmp_path / "a"], leads=["aVF", "III", "I", "avr", "aVL"])
    expected = [ii - i / 2, ii - i, i, -(i + ii) / 2, i - ii / 2]
    np.testing.assert_allclose(bunch.data[0], expected, atol=1e-6)
    assert bunch.lead_names == ["aVF", "III", "I", "aVR", "aVL"]
    assert bunch.derived_leads == {
        "aVF": "II - 0.5 I",
        "III": "II - I",
        "aVR": "-0.5 I - 0.5 II",
        "aVL": "I - 0.5 II",
    }
    assert read_wfdb([tmp_path / "a"]).derived_leads == {}
    assert read_wfdb([tmp_path / "a"]).lead_names == ["I", "II"]


def test_leads_of_a_record_are_not_replaced_by_computed_ones(tmp_path):
    digital = write(tmp_path, "a", ["I", "II", "III"])
    bunch = read_wfdb([tmp_path / "a"], leads=["III"])
    np.testing.assert_allclose(bunch.data[0, 0], digital[:, 2] / 1000, rtol=1e-6)
    assert bunch.derived_leads == {}


def test_one_limb_lead_gives_no_other(tmp_path):
    write(tmp_path, "a", ["I", "V1"])
    with pytest.raises(InvalidECGError, match="No lead named III among I, V1"):
        read_wfdb([tmp_path / "a"], leads=["III"])


@pytest.mark.parametrize(
    "name", ["Lead II", "ECG II", "ekg ii", "MDC_ECG_LEAD_II", "'II'", "II (mV)"]
)
def test_usual_names_of_leads_are_known(tmp_path, name):
    digital = write(tmp_path, "a", [name])
    bunch = read_wfdb([tmp_path / "a"], leads=["II"])
    np.testing.assert_allclose(bunch.data[0, 0], digital[:, 0] / 1000, rtol=1e-6)
    assert read_wfdb([tmp_path / "a"]).lead_names == ["II"]


def test_mlii_is_read_as_ii_and_told(tmp_path):
    digital = write(tmp_path, "a", ["MLII", "V5"])
    bunch = read_wfdb([tmp_path / "a"], leads=["II"])
    np.testing.assert_allclose(bunch.data[0, 0], digital[:, 0] / 1000, rtol=1e-6)
    assert bunch.derived_leads == {"II": "MLII"}
    assert read_wfdb([tmp_path / "a"]).lead_names == ["MLII", "V5"]


def test_rename_gives_leads_their_names(tmp_path):
    digital = write(tmp_path, "a", ["CH1", "ch2"])
    bunch = read_wfdb([tmp_path / "a"], leads=["V1", "II"], rename={"ch1": "II", "CH2": "v1"})
    np.testing.assert_allclose(bunch.data[0], digital.T[::-1] / 1000, rtol=1e-6)


def test_short_gaps_are_interpolated_and_counted(tmp_path):
    digital = np.repeat(np.arange(200)[:, None], 2, axis=1)
    digital[[50, 51], 0] = digital[[0, 199], 1] = -32768  # invalid samples
    write(tmp_path, "a", digital=digital)
    write(tmp_path, "b")
    with pytest.raises(InvalidECGError, match=r"not finite.*max_gap=0.02 "):
        read_wfdb([tmp_path / "a"])
    with pytest.raises(InvalidECGError, match="not finite"):
        read_wfdb([tmp_path / "a"], max_gap=0.01)
    bunch = read_wfdb([tmp_path / "a", tmp_path / "b"], max_gap=0.02)
    expected = np.arange(200.0)
    np.testing.assert_allclose(bunch.data[0, 0], expected / 1000, rtol=1e-6)
    np.testing.assert_allclose(bunch.data[0, 1], np.clip(expected, 1, 198) / 1000, rtol=1e-6)
    assert bunch.filled == {str(tmp_path / "a"): 4}


def test_windows_cover_long_records(tmp_path):
    long = write(tmp_path, "long", ["I"], n=1050)
    short = write(tmp_path, "short", ["I"], n=300, seed=1)
    paths = [tmp_path / "long", tmp_path / "short"]
    bunch = read_wfdb(paths, duration=3, step=2.5)
    expected = [long[start : start + 300, 0] for start in (0, 250, 500, 750)] + [short[:, 0]]
    np.testing.assert_allclose(bunch.data[:, 0], np.array(expected) / 1000, rtol=1e-6)
    np.testing.assert_array_equal(bunch.start, [0, 2.5, 5, 7.5, 0])
    assert bunch.record_names.tolist() == [str(paths[0])] * 4 + [str(paths[1])]
    on_disk = read_wfdb(paths, duration=3, step=2.5, out=tmp_path / "windows.npy")
    np.testing.assert_array_equal(on_disk.data, bunch.data)
    with pytest.raises(InvalidECGError, match="Pass duration="):
        read_wfdb(paths, step=2.5)


# Files ------------------------------------------------------------------------------------------


def test_list_of_folders_is_followed(tmp_path):
    (tmp_path / "part/inner").mkdir(parents=True)
    write(tmp_path / "part", "a")
    write(tmp_path / "part/inner", "b")
    (tmp_path / "RECORDS").write_text("part/\n")
    (tmp_path / "part/RECORDS").write_text("a\ninner/\n")
    (tmp_path / "part/inner/RECORDS").write_bytes(b"\xef\xbb\xbfb\n")  # a byte order mark
    assert read_wfdb(tmp_path).record_names.tolist() == ["part/a", "part/inner/b"]


@pytest.mark.parametrize("line", ["/", "../", "part/../../", "./"])
def test_list_of_folders_outside_or_without_end_raises(tmp_path, line):
    (tmp_path / "RECORDS").write_text(f"{line}\n")
    with pytest.raises(InvalidECGError, match="RECORDS"):
        read_wfdb(tmp_path)


def test_headers_with_byte_order_mark_or_in_latin_1_are_read(tmp_path):
    expected = write(tmp_path, "a").T / 1000
    content = (tmp_path / "a.hea").read_bytes()
    for changed in (b"\xef\xbb\xbf" + content, content + "# M\xfcller\n".encode("latin-1")):
        (tmp_path / "a.hea").write_bytes(changed)
        np.testing.assert_allclose(read_wfdb([tmp_path / "a"]).data[0], expected, rtol=1e-6)


def test_record_line_may_have_a_folder(tmp_path):
    write(tmp_path, "a")
    edit(tmp_path / "a.hea", "a 2 100", "00000/a 2 100")
    assert read_wfdb([tmp_path / "a"]).data.shape == (1, 2, 200)


@pytest.mark.parametrize("linked", [["a.hea"], ["a.dat"], ["a.hea", "a.dat"]])
def test_link_out_of_folder_needs_allow_links(tmp_path, linked):
    """git-annex and DataLad store files so."""
    store, folder = tmp_path / "store", tmp_path / "folder"
    store.mkdir()
    folder.mkdir()
    digital = write(folder, "a")
    for file in linked:
        (folder / file).rename(store / file)
        (folder / file).symlink_to(store / file)
    (folder / "RECORDS").write_text("a")
    for records in ([folder / "a"], folder):
        with pytest.raises(
            InvalidECGError, match=f"its file {linked[0]} is a link out of .*folder"
        ):
            read_wfdb(records)
        bunch = read_wfdb(records, allow_links=True)
        np.testing.assert_allclose(bunch.data[0], digital.T / 1000, rtol=1e-6)


def test_link_inside_folder_is_followed(tmp_path):
    (tmp_path / "annex").mkdir()
    (tmp_path / "data").mkdir()
    digital = write(tmp_path / "annex", "a")
    for file in ("a.hea", "a.dat"):
        (tmp_path / "data" / file).symlink_to(f"../annex/{file}")
    (tmp_path / "RECORDS").write_text("data/a")
    np.testing.assert_allclose(read_wfdb(tmp_path).data[0], digital.T / 1000, rtol=1e-6)
    with pytest.raises(InvalidECGError, match="is a link out of"):
        read_wfdb([tmp_path / "data" / "a"])


def test_link_to_whole_folder_is_followed(tmp_path):
    (tmp_path / "store").mkdir()
    digital = write(tmp_path / "store", "a")
    (tmp_path / "link").symlink_to("store")
    np.testing.assert_allclose(
        read_wfdb([tmp_path / "link" / "a"]).data[0], digital.T / 1000, rtol=1e-6
    )


@pytest.mark.parametrize("file", ["a.hea", "a.dat"])
def test_pipe_raises_without_blocking(tmp_path, file):
    write(tmp_path, "a")
    (tmp_path / file).unlink()
    os.mkfifo(tmp_path / file)
    with pytest.raises(InvalidECGError, match=f"its file {file} is not a regular file"):
        read_wfdb([tmp_path / "a"])


def test_leads_are_selected_by_name(tmp_path):
    digital = write(tmp_path, "a", ["i", "AVR", "v6", "x"])
    bunch = read_wfdb([tmp_path / "a"], leads=["V6", "avr"])
    np.testing.assert_allclose(bunch.data[0], digital[:, [2, 1]].T / 1000, rtol=1e-6)
    assert bunch.lead_names == ["V6", "aVR"]


def test_twelve_leads_are_sorted_first(tmp_path):
    leads = ["vx", *(lead.lower() for lead in reversed(TWELVE)), "vy"]
    digital = write(tmp_path, "a", leads)
    bunch = read_wfdb([tmp_path / "a"])
    assert bunch.lead_names == [*TWELVE, "vx", "vy"]
    order = [*range(12, 0, -1), 0, 13]
    np.testing.assert_allclose(bunch.data[0], digital[:, order].T / 1000, rtol=1e-6)


def test_later_records_follow_lead_order_of_first(tmp_path):
    write(tmp_path, "a", ["II", "V1"])
    digital = write(tmp_path, "b", ["V1", "I", "II"], seed=1)
    bunch = read_wfdb([tmp_path / "a", tmp_path / "b"])
    assert bunch.lead_names == ["II", "V1"]
    np.testing.assert_allclose(bunch.data[1], digital[:, [2, 0]].T / 1000, rtol=1e-6)


@pytest.mark.parametrize(
    ("unit", "millivolts"),
    [("V", 1e3), ("mV", 1), ("uV", 1e-3), ("UV", 1e-3), ("\u00b5V", 1e-3), ("\u03bcV", 1e-3)],
)
def test_units_are_converted_to_millivolts(tmp_path, unit, millivolts):
    digital = write(tmp_path, "a", units="unit")
    edit(tmp_path / "a.hea", "/unit", f"/{unit}")
    data = read_wfdb([tmp_path / "a"]).data
    np.testing.assert_allclose(data[0], digital.T / 1000 * millivolts, rtol=1e-6)


def test_unit_of_unread_lead_is_ignored(tmp_path):
    write(tmp_path, "a", ["I", "resp"])
    lines = (tmp_path / "a.hea").read_text().splitlines()
    lines[2] = lines[2].replace("mV", "mmHg")
    (tmp_path / "a.hea").write_text("\n".join(lines))
    assert read_wfdb([tmp_path / "a"], leads=["I"]).data.shape == (1, 1, N)
    with pytest.raises(InvalidECGError, match="lead resp has the unknown unit 'mmHg'"):
        read_wfdb([tmp_path / "a"])


# Sampling rate and length -----------------------------------------------------------------------


@pytest.mark.parametrize("fs", [62.5, 250, 360, 500])
def test_resampling_preserves_sine_wave(tmp_path, fs):
    wave = 1000 * np.sin(2 * np.pi * 3 * np.arange(2 * fs) / fs)
    write(tmp_path, "a", fs=fs, digital=np.stack([wave, -wave], axis=1).round().astype(int))
    bunch = read_wfdb([tmp_path / "a"], sampling_rate=100)
    expected = np.sin(2 * np.pi * 3 * np.arange(200) / 100)
    assert (bunch.data.shape, bunch.sampling_rate) == ((1, 2, 200), 100)
    inside = slice(20, -20)  # unaffected by the edges
    np.testing.assert_allclose(bunch.data[0, 0, inside], expected[inside], atol=0.01)
    np.testing.assert_allclose(bunch.data[0, 1], -bunch.data[0, 0], atol=1e-6)


def test_resampling_preserves_constant(tmp_path):
    write(tmp_path, "a", fs=500, n=1000, digital=np.full((1000, 2), 1500))
    data = read_wfdb([tmp_path / "a"], sampling_rate=100).data
    np.testing.assert_allclose(data, 1.5, rtol=1e-6)


def test_sampling_rate_defaults_to_first_record(tmp_path):
    write(tmp_path, "a", fs=100, n=200)
    write(tmp_path, "b", fs=500, n=1000)
    assert read_wfdb([tmp_path / "a", tmp_path / "b"]).data.shape == (2, 2, 200)
    bunch = read_wfdb([tmp_path / "b", tmp_path / "a"])
    assert (bunch.data.shape, bunch.sampling_rate) == ((2, 2, 1000), 500.0)


def test_duration_crops_longer_records(tmp_path):
    digital = write(tmp_path, "a", n=1000)
    write(tmp_path, "b", n=150)
    bunch = read_wfdb([tmp_path / "a", tmp_path / "b"], duration=1.5)
    np.testing.assert_allclose(bunch.data[0], digital[:150].T / 1000, rtol=1e-6)
    assert bunch.data.shape == (2, 2, 150)


def test_cropping_commutes_with_resampling(tmp_path):
    write(tmp_path, "a", fs=500, n=5000)
    cropped = read_wfdb([tmp_path / "a"], sampling_rate=100, duration=3).data
    whole = read_wfdb([tmp_path / "a"], sampling_rate=100).data
    np.testing.assert_allclose(cropped, whole[:, :, :300], atol=1e-5)


def test_duration_pads_shorter_records(tmp_path):
    write(tmp_path, "a", n=300)
    digital = write(tmp_path, "b", n=100)
    with pytest.warns(RecordWarning, match=r"1 of 2 records are too short .* zeros: .*b\.") as seen:
        bunch = read_wfdb([tmp_path / "a", tmp_path / "b"], duration=2)
    np.testing.assert_allclose(bunch.data[1, :, :100], digital.T / 1000, rtol=1e-6)
    np.testing.assert_array_equal(bunch.data[1, :, 100:], 0)
    assert bunch.padded == [str(tmp_path / "b")]
    assert seen[0].filename == __file__


def test_duration_below_one_sample_raises(tmp_path):
    write(tmp_path, "a")
    with pytest.raises(InvalidECGError, match=r"0\.001 s hold no sample at 100 Hz"):
        read_wfdb([tmp_path / "a"], duration=0.001)


def test_several_samples_per_frame_are_not_averaged(tmp_path):
    """wfdb averages the samples of a frame by default."""
    fast, slow = np.arange(800), np.arange(200)
    wfdb.wrsamp(
        "a",
        fs=125,
        units=["mV"] * 3,
        sig_name=["I", "II", "resp"],
        e_d_signal=[fast, -fast, slow],
        samps_per_frame=[4, 4, 1],
        fmt=["16"] * 3,
        adc_gain=[1000.0] * 3,
        baseline=[0] * 3,
        write_dir=str(tmp_path),
    )
    bunch = read_wfdb([tmp_path / "a"], leads=["II", "I"])
    assert bunch.sampling_rate == 500
    np.testing.assert_allclose(bunch.data[0], np.stack([-fast, fast]) / 1000, rtol=1e-6)
    with pytest.raises(InvalidECGError, match=r"leads differ in sampling rate \(125, 500 Hz\)"):
        read_wfdb([tmp_path / "a"])


# Invalid records --------------------------------------------------------------------------------


def truncated(folder, keep, fmt="16"):
    write(folder, "bad", fmt=fmt, digital=np.ones((N, 2), dtype=int))
    with open(folder / "bad.dat", "rb+") as file:
        file.truncate(keep)


def with_header(folder, old, new):
    write(folder, "bad")
    edit(folder / "bad.hea", old, new)


def not_finite(folder):
    digital = write(folder, "bad")
    digital[7, 1] = -32768  # marks an invalid sample in format 16
    write(folder, "bad", digital=digital)


def several_segments(folder):
    write(folder, "part")
    (folder / "bad.hea").write_text(f"bad/2 2 100 {2 * N}\npart {N}\npart {N}\n")


def wrong_sample(folder):
    write(folder, "bad")
    content = bytearray((folder / "bad.dat").read_bytes())
    content[6] += 1
    (folder / "bad.dat").write_bytes(content)


def several_formats(folder):
    write(folder, "bad")
    lines = (folder / "bad.hea").read_text().splitlines()
    (folder / "bad.hea").write_text("\n".join([*lines[:2], lines[2].replace(" 16 ", " 61 ", 1)]))


def files_by_turns(folder):
    write(folder, "bad", ["I", "II", "III"])
    lines = (folder / "bad.hea").read_text().splitlines()
    lines[2] = lines[2].replace("bad.dat", "other.dat")
    (folder / "bad.hea").write_text("\n".join(lines))


def changed(folder, change):
    """Write a record whose header has no checksums, and change its samples."""
    write(folder, "bad")
    lines = (folder / "bad.hea").read_text().splitlines()
    lines[1:3] = [" ".join(line.split()[:3]) for line in lines[1:3]]
    (folder / "bad.hea").write_text("\n".join(lines))
    (folder / "bad.dat").write_bytes(change((folder / "bad.dat").read_bytes()))


def many_samples(folder):
    """Write a sparse file of a gigabyte."""
    with_header(folder, f"100 {N}", f"100 {2**28 + 1}")
    os.truncate(folder / "bad.dat", 4 * (2**28 + 1))


BAD = {
    "missing header": (lambda f: None, r"header bad\.hea cannot be read \(No such file"),
    "empty header": (lambda f: (f / "bad.hea").write_text(""), "header has no signals"),
    "missing file": (
        lambda f: (write(f, "bad"), (f / "bad.dat").unlink()),
        r"file bad\.dat is missing",
    ),
    "empty": (lambda f: truncated(f, 0), r"bad\.dat is truncated: expected 400 samples, got 0"),
    "one byte": (
        lambda f: truncated(f, 799),
        r"bad\.dat is truncated: expected 400 samples, got 399",
    ),
    "half": (lambda f: truncated(f, 400), r"bad\.dat is truncated: expected 400 samples, got 200"),
    "half a frame": (
        lambda f: truncated(f, 402),
        r"bad\.dat is truncated: expected 400 samples, got 201",
    ),
    "one pair of format 212": (
        lambda f: truncated(f, 3, "212"),  # wfdb repeats it without a word
        r"bad\.dat is truncated: expected 400 samples, got 2",
    ),
    "too much promised": (
        lambda f: with_header(f, f"100 {N}", "100 900000000000"),
        r"bad\.dat is truncated: expected 1800000000000 samples, got 400",
    ),
    "missing lead": (lambda f: write(f, "bad", ["I", "V1"]), "No lead named II among I, V1"),
    "lead twice": (lambda f: write(f, "bad", ["I", "II", "ii"]), "more than one lead named ii"),
    "unit": (lambda f: write(f, "bad", units="mmHg"), "the unknown unit 'mmHg'"),
    "folder above": (lambda f: with_header(f, "bad.dat", "../bad.dat"), r"outside .* \.\./bad"),
    "absolute": (lambda f: with_header(f, "bad.dat", str(f / "bad.dat")), "outside its own folder"),
    "Windows": (lambda f: with_header(f, "bad.dat", "..\\bad.dat"), "outside its own folder"),
    "behind a form feed": (
        lambda f: with_header(f, "bad.dat", "#\x0c../bad.dat"),
        "header has no signals",
    ),
    "address": (lambda f: with_header(f, "bad.dat", "s3://b/bad.dat"), "outside its own folder"),
    "not finite": (not_finite, r"1 samples that are not finite .* first in lead II at sample 7"),
    "length": (
        lambda f: write(f, "bad", n=N - 1),
        "expected 200 samples at 100 Hz .*, got 199. Pass duration=",
    ),
    "segments": (several_segments, "several segments"),
    "nonsense": (
        lambda f: (f / "bad.hea").write_text("no header\nat all"),
        "an invalid line",
    ),
    "no text": (lambda f: (f / "bad.hea").write_bytes(b"\xff\xfe"), "its header has no signals"),
    "layout": (
        lambda f: (f / "bad.hea").write_text(
            "bad 2 100 0\n~ 0 1 16 0 0 0 0 I\n~ 0 1 16 0 0 0 0 II"
        ),
        "layout of a record of several segments, as in MIMIC",
    ),
    "endless header": (lambda f: (f / "bad.hea").write_text("#\n" * 2**20), "larger than 1048576"),
    "endless line": (lambda f: with_header(f, "/mV", "/m" + "V" * 2000), "an invalid line"),
    "many signals": (
        lambda f: (f / "bad.hea").write_text("bad 1025 100 1\n" + "a.dat 16\n" * 1025),
        "at most 1024 signals, got 1025",
    ),
    "other number of signals": (
        lambda f: with_header(f, "bad 2", "bad 1000000"),
        "declares 1000000 signals, but describes 2",
    ),
    "digit gone wrong": (lambda f: with_header(f, "1000.0(0)", "10o0.0(0)"), "an invalid line"),
    "unknown format": (
        lambda f: with_header(f, " 16 ", " 17 "),
        r"bad\.dat has the unknown format",
    ),
    "several formats": (several_formats, r"several formats for its file bad\.dat"),
    "files by turns": (files_by_turns, "lists the signals of one file in several places"),
    "skew": (
        lambda f: with_header(f, "bad.dat 16", "bad.dat 16:900000000000"),
        "skew of a lead exceeds",
    ),
    "frames of a million": (
        lambda f: with_header(f, "bad.dat 16", "bad.dat 16x1000000"),
        r"bad\.dat is truncated: expected 400000000 samples, got 400",
    ),
    "frames of nothing": (
        lambda f: with_header(f, "bad.dat 16", "bad.dat 16x0"),
        "expected 0 samples",
    ),
    "endless gain": (lambda f: with_header(f, "1000.0(0)", "1e400(0)"), "an invalid line"),
    "no gain": (lambda f: with_header(f, "1000.0(0)", "1e-400(0)"), "an invalid line"),
    "hardly any gain": (lambda f: with_header(f, "1000.0(0)", "1e-38(0)"), "are not finite"),
    "byte slipped in": (
        lambda f: changed(f, lambda content: content[:7] + b"x" + content[7:]),
        r"bad\.dat is too long: expected 400 samples, got 400 \(1 bytes too many",
    ),
    "sample slipped in": (
        lambda f: changed(f, lambda content: b"xx" + content),
        r"bad\.dat is too long: expected 400 samples, got 401 \(2 bytes too many",
    ),
    "many samples": (many_samples, "at most 268435456 samples in all leads, got 536870914"),
    "wrong sample behind a skew": (
        lambda f: (wrong_sample(f), edit(f / "bad.hea", "bad.dat 16", "bad.dat 16:1")),
        "its lead II is corrupt",
    ),
    "less promised": (
        lambda f: with_header(f, f"100 {N}", f"100 {N - 1}"),
        r"bad\.dat is too long: expected 398 samples, got 400",
    ),
    "wrong sample": (wrong_sample, r"its lead II is corrupt: expected the checksum \d+, got \d+"),
    "rate of zero": (
        lambda f: with_header(f, "bad 2 100", "bad 2 0"),
        "sampling rate of .*, got 0 Hz",
    ),
    "absurd rate": (
        lambda f: with_header(f, f"bad 2 100 {N}", f"bad 2 0.0001 {N}"),
        "resampling from 0.0001 to 100 Hz is not supported",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_record_raises_name_and_cause(tmp_path, kind):
    make, cause = BAD[kind]
    make(tmp_path)
    write(tmp_path, "good")
    bad = tmp_path / "bad"
    with pytest.raises(InvalidECGError, match=rf"Record {re.escape(str(bad))}: .*{cause}"):
        read_wfdb([tmp_path / "good", bad])


@pytest.mark.parametrize("kind", sorted(BAD.keys() - {"length"}))
def test_bad_record_is_skipped(tmp_path, kind):
    make, cause = BAD[kind]
    make(tmp_path)
    for seed in range(3):
        write(tmp_path, f"good{seed}", seed=seed)
    good = [tmp_path / f"good{seed}" for seed in range(3)]
    bad = str(tmp_path / "bad")
    with pytest.warns(RecordWarning, match=f"1 of 4 records .*{cause}") as seen:
        bunch = read_wfdb([good[0], bad, *good[1:]], on_error="skip", sampling_rate=100)
    np.testing.assert_array_equal(bunch.data, read_wfdb(good).data)
    assert bunch.record_names.tolist() == [str(path) for path in good]
    assert list(bunch.skipped) == [bad]
    assert re.search(cause, bunch.skipped[bad])
    assert seen[0].filename == __file__


def test_length_mismatch_raises_despite_skip(tmp_path):
    write(tmp_path, "short", n=N - 1)
    write(tmp_path, "good")
    paths = [tmp_path / "short", tmp_path / "good"]
    with pytest.raises(InvalidECGError, match=r"good: expected 199 samples .* Pass duration="):
        read_wfdb(paths, on_error="skip")


def test_format_comes_from_first_valid_record(tmp_path):
    truncated(tmp_path, 10)
    write(tmp_path, "good", ["V1"], n=77)
    with pytest.warns(RecordWarning, match="1 of 2 records could not be read"):
        bunch = read_wfdb([tmp_path / "bad", tmp_path / "good"], on_error="skip")
    assert (bunch.data.shape, bunch.lead_names) == ((1, 1, 77), ["V1"])


def test_invalid_sample_after_crop_is_ignored(tmp_path):
    digital = write(tmp_path, "a", n=1000)
    digital[900] = -32768
    write(tmp_path, "a", digital=digital)
    assert np.isfinite(read_wfdb([tmp_path / "a"], duration=2).data).all()


def test_all_records_bad_raises_despite_skip(tmp_path):
    truncated(tmp_path, 10)
    with pytest.raises(
        InvalidECGError, match=r"None of the 2 records .* first, .*bad: .* truncated"
    ):
        read_wfdb([tmp_path / "bad", tmp_path / "absent"], on_error="skip")


@pytest.mark.parametrize("records", [[], iter(())])
def test_empty_records_raise(records):
    with pytest.raises(InvalidECGError, match="no records"):
        read_wfdb(records)


def test_folder_without_index_raises(tmp_path):
    write(tmp_path, "a")
    for place in (tmp_path, tmp_path / "none", tmp_path / "none.hea"):
        with pytest.raises(InvalidECGError, match="Expected a folder with a file RECORDS"):
            read_wfdb(place)


@pytest.mark.parametrize("name", ["../a", "/etc/a"])
def test_index_pointing_outside_raises(tmp_path, name):
    (tmp_path / "RECORDS").write_text(name)
    with pytest.raises(InvalidECGError, match=f"{name} is outside its folder"):
        read_wfdb(tmp_path)


def test_duplicate_record_raises(tmp_path):
    write(tmp_path, "a")
    with pytest.raises(InvalidECGError, match="a is listed 2 times"):
        read_wfdb([tmp_path / "a", tmp_path / "." / "a.hea"], on_error="skip")


@pytest.mark.parametrize("name", ["http://x/a", "s3://b/a", "simplecache::http://x/a", "a::http"])
def test_remote_records_raise(name):
    with pytest.raises(InvalidECGError, match="only local files"):
        read_wfdb([name])


@pytest.mark.parametrize(
    "parameters",
    [
        {"leads": "II"},
        {"leads": []},
        {"leads": ["II", "ii"]},
        {"sampling_rate": 0},
        {"duration": -1},
        {"on_error": "warn"},
    ],
)
def test_invalid_parameter_raises(tmp_path, parameters):
    write(tmp_path, "a")
    with pytest.raises(ValueError, match=next(iter(parameters))):
        read_wfdb([tmp_path / "a"], **parameters)


# Many records -----------------------------------------------------------------------------------


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """Return a folder of 11 records; the first, one in the middle and the last are invalid."""
    monkeypatch.setattr(_reading, "_BYTES_AT_ONCE", 0)  # several chunks
    monkeypatch.setattr(_reading, "_RECORDS_PER_TASK", 1)
    folder = tmp_path / "archive"
    folder.mkdir()
    for i in range(11):
        write(folder, f"r{i}", seed=i)
    for i in (0, 5, 10):
        (folder / f"r{i}.dat").unlink()
    (folder / "RECORDS").write_text("\n".join(f"r{i}" for i in range(11)))
    return folder


def read_archive(archive, **parameters):
    with pytest.warns(RecordWarning, match="3 of 11"):
        return read_wfdb(archive, on_error="skip", **parameters)


def test_n_jobs_does_not_change_result(archive, tmp_path):
    serial = read_archive(archive)
    parallel = read_archive(archive, n_jobs=2, out=tmp_path / "parallel.npy")
    assert serial.record_names.tolist() == [f"r{i}" for i in (1, 2, 3, 4, 6, 7, 8, 9)]
    np.testing.assert_array_equal(serial.data, parallel.data)
    assert serial.record_names.tolist() == parallel.record_names.tolist()
    assert serial.skipped == parallel.skipped


def test_workers_find_a_folder_after_a_change_of_folder(tmp_path, monkeypatch):
    for home in ("a", "b"):
        (tmp_path / home).mkdir()
        monkeypatch.chdir(tmp_path / home)
        (tmp_path / home / "ecgs").mkdir()
        names = [f"r{number}" for number in range(40)]
        for name in names:
            write(tmp_path / home / "ecgs", name)
        (tmp_path / home / "ecgs" / "RECORDS").write_text("\n".join(names))
        assert len(read_wfdb("ecgs", n_jobs=2).data) == 40


@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_first_bad_record_is_reported(archive, n_jobs):
    records = [archive / f"r{i}" for i in range(1, 11)]
    with pytest.raises(InvalidECGError, match=r"r5: its file r5\.dat is missing"):
        read_wfdb(records, n_jobs=n_jobs)


@pytest.mark.slow
def test_error_in_parallel_read_warns_nothing(tmp_path):
    for i in range(96):
        write(tmp_path, f"r{i}")
    (tmp_path / "r5.dat").unlink()
    for _ in range(2):
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            with pytest.raises(InvalidECGError, match=r"r5: its file r5\.dat is missing"):
                read_wfdb([tmp_path / f"r{i}" for i in range(96)], n_jobs=2)
            gc.collect()
        assert not seen


def test_out_file_holds_valid_records_only(archive, tmp_path):
    out = tmp_path / "ecg.npy"
    bunch = read_archive(archive, out=str(out))
    assert isinstance(bunch.data, np.memmap)
    assert not bunch.data.flags.writeable
    np.testing.assert_array_equal(np.load(out), read_archive(archive).data)
    assert out.stat().st_size == 128 + bunch.data.nbytes


def test_failure_leaves_out_file_untouched(archive, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    out = folder / "ecg.npy"
    records = [archive / f"r{i}" for i in range(1, 11)]
    with pytest.raises(InvalidECGError, match="r5"):
        read_wfdb(records, out=out)
    assert os.listdir(folder) == []
    np.save(out, np.arange(3))
    with pytest.raises(InvalidECGError, match="r5"):
        read_wfdb(records, out=out)
    assert os.listdir(folder) == ["ecg.npy"]
    np.testing.assert_array_equal(np.load(out), np.arange(3))


def test_out_bounds_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(_reading, "_BYTES_AT_ONCE", 2**18)
    monkeypatch.setattr(_reading, "_RECORDS_PER_TASK", 1)
    for i in range(30):
        write(tmp_path, f"r{i}", ["I"], n=50_000, digital=np.full((50_000, 1), i))
    records = [tmp_path / f"r{i}" for i in range(30)]

    def peak(**parameters):
        tracemalloc.start()
        bunch = read_wfdb(records, **parameters)
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size, bunch

    in_memory, bunch = peak()
    on_disk, _ = peak(out=tmp_path / "ecg.npy")
    assert in_memory > bunch.data.nbytes
    assert on_disk < bunch.data.nbytes / 2


def test_warning_names_five_records(tmp_path):
    write(tmp_path, "good")
    absent = [tmp_path / f"absent{i}" for i in range(9)]
    with pytest.warns(RecordWarning, match="9 of 10 .* and 4 more"):
        bunch = read_wfdb([tmp_path / "good", *absent], on_error="skip")
    assert list(bunch.skipped) == [str(path) for path in absent]


def test_bunch_entries_match_docstring(tmp_path):
    write(tmp_path, "a")
    returns = read_wfdb.__doc__.split("Returns\n")[1].split("Raises\n")[0]
    documented = re.findall(r"^ +(\w+) : ", returns, flags=re.MULTILINE)[1:]
    assert sorted(documented) == sorted(read_wfdb([tmp_path / "a"], duration=1, step=1))


@pytest.mark.slow
def test_reading_workers_differ_from_fitting_workers(tmp_path):
    # joblib ends workers that grow much, as those without PyTorch would once they fit
    for seed in range(4):
        write(tmp_path, f"r{seed}", seed=seed)
    read_wfdb([tmp_path / f"r{seed}" for seed in range(4)], n_jobs=2)
    readers = set(reusable_executor._executor._processes)
    assert len(readers) == 2
    assert not readers & set(Parallel(n_jobs=2)(delayed(os.getpid)() for _ in range(8)))


@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_scratch_files_are_removed(archive, tmp_path, monkeypatch, n_jobs):
    for i in range(11):  # wfdb decodes this format
        write(archive, f"r{i}", seed=i, fmt="212")
    edit(archive / "r5.hea", "r5.dat", "none.dat")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    if reusable_executor._executor is not None:  # new workers see the new environment
        reusable_executor._executor.shutdown()
    read_wfdb([archive / "r1", archive / "r2"], n_jobs=n_jobs)
    with pytest.raises(InvalidECGError, match="r5"):
        read_wfdb([archive / f"r{i}" for i in range(1, 11)], n_jobs=n_jobs)
    assert list((tmp_path / "temporary").glob("sklearn_bell-*")) == []


@pytest.mark.parametrize("extension", ["", ".hea", ".dat"])
def test_read_wfdb_takes_the_path_of_one_record(tmp_path, extension):
    signal = np.random.default_rng(0).normal(size=(100, 2))
    wfdb.wrsamp("a", fs=100, units=["mV"] * 2, sig_name=["I", "II"], fmt=["16"] * 2,
                p_signal=signal, write_dir=str(tmp_path))  # fmt: skip
    ecg = read_wfdb(f"{tmp_path}/a{extension}")
    np.testing.assert_allclose(ecg.data[0], signal.T, atol=1e-3)
