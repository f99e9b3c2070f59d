"""Tests of headers and samples of single WFDB records: parsing, formats, checks, size limits."""

import numpy as np
import pytest
import wfdb

from sklearn_bell.datasets import _record, read_wfdb
from sklearn_bell.datasets._header import read_header
from sklearn_bell.exceptions import InvalidECGError


def read(tmp_path, text):
    (tmp_path / "a.hea").write_text(text)
    return read_header(tmp_path / "a.hea")


def test_read_header_parses_all_fields(tmp_path):
    header = read(
        tmp_path,
        "# before\n100 2 360/500(10) 650000 0:0:0 1/2/1999\n"
        "100.dat 212x2:3+4 200.5(-7)/uV 11 1024 995 -22131 0 a lead  of mine\n"
        "\t100.dat  212x1\t100 11 1024\r\n# after\n",
    )
    assert (header.rate, header.n_frames) == (360, 650000)
    first, second = header.signals
    assert first == (
        "100.dat", "212", 2, 3, 4, 200.5, -7, "uV", 995, 65536 - 22131, "a lead  of mine"
    )  # fmt: skip
    # baseline and first value default to the zero of the ADC
    assert second == ("100.dat", "212", 1, 0, 0, 100, 1024, "mV", 1024, None, "signal 1")


@pytest.mark.parametrize(
    "line",
    [
        "a.dat 16",
        "a.dat 16 0",  # a gain of 0 means the default
        "a.dat 16 200/mV 12 0 5 7 0",
        "a.dat 16 1e3(5)/mV 12 0 0 0 0 II",
        "a.dat 16 .5 12 -3 0 0 0 II",
        "a.dat 16 200 12 0 1 2 0 2nd lead",
    ],
)
def test_read_header_agrees_with_wfdb(tmp_path, line):
    header = read(tmp_path, f"a 1 100 10\n{line}\n")
    expected = wfdb.rdheader(str(tmp_path / "a"))
    (signal,) = header.signals
    assert (header.rate, header.n_frames) == (expected.fs, expected.sig_len)
    assert signal.file == expected.file_name[0]
    assert signal.gain == (expected.adc_gain[0] or 200)
    assert signal.baseline == (expected.baseline[0] or 0)
    assert signal.unit == (expected.units[0] or "mV")
    if expected.checksum[0] is not None:
        assert signal.checksum == expected.checksum[0] % 2**16
    if expected.sig_name[0] is not None:
        assert signal.name == expected.sig_name[0]


def test_read_header_uses_defaults_of_manual(tmp_path):
    header = read(tmp_path, "a 1\na.dat 16\n")
    assert (header.rate, header.n_frames) == (250, None)
    assert header.signals[0].gain == 200


@pytest.mark.parametrize(
    "rest", ["12-May-2020 12:33:59", "12:33", "12:33:59.25 12/05/2020", "yesterday"]
)
def test_read_header_ignores_dates(tmp_path, rest):
    """wfdb rejects the dates of the PhysioNet/CinC Challenge 2020."""
    assert read(tmp_path, f"A0001 1 500 7500 {rest}\nA0001.mat 16+24 1000/mV\n").n_frames == 7500


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a 2", "a two"),
        ("a 2", "a x2"),
        ("a 2", "a -2"),
        ("500", "5oo"),
        ("500", "-500"),
        ("500", "nan"),
        ("500", "1e99"),
        (" 10\n", " -10\n"),
        (" 10\n", " 1e1\n"),
        (" 10\n", f" {'9' * 16}\n"),
        (" 16 ", " 16y2 "),
        (" 16 ", " 16x "),
        (" 16 ", " 16+-24 "),
        ("1000/mV", "1,000/mV"),
        ("1000/mV", "10x0/mV"),
        ("1000/mV", "1000(0/mV"),
        ("1000/mV", "1000(0.5)/mV"),
        ("1000/mV", "inf/mV"),
        ("1000/mV", "1000/"),
        (" 16 0 ", " 16 zero "),
        (" 16 0 ", " 16 0. "),
        (" 30 ", " 3O "),
        (" I\n", " I\0\n"),
    ],
)
def test_read_header_rejects_invalid_field(tmp_path, old, new):
    text = "a 2 500 10\na.dat 16 1000/mV 16 0 20 30 0 I\na.dat 16 1000/mV 16 0 20 30 0 II\n"
    read(tmp_path, text)
    assert old in text
    with pytest.raises(InvalidECGError, match=r"an invalid line: |expected a sampling rate"):
        read(tmp_path, text.replace(old, new, 1))


def packed(digital, fmt):
    """Encode samples by signal(5) of the WFDB manual, slowly."""
    values = digital.ravel().tolist()
    if fmt == "8":  # differences to the sample before
        return np.diff(digital, axis=0, prepend=digital[:1]).astype("i1").tobytes()
    if fmt == "61":
        return digital.astype(">i2").tobytes()
    if fmt == "160":
        return (digital + 2**15).astype("<u2").tobytes()
    values += [0] * (-len(values) % 3)
    words = []
    for a, b, c in zip(values[::3], values[1::3], values[2::3], strict=True):
        a, b, c = a % 1024, b % 1024, c % 1024
        if fmt == "310":
            words += [a << 1 | c % 32 << 11, b << 1 | c >> 5 << 11]
        else:
            words += [(a | b << 10 | c << 20) % 2**16, (a | b << 10 | c << 20) >> 16]
    return np.array(words, dtype="<u2").tobytes()


@pytest.mark.parametrize(
    "fmt", ["8", "16", "24", "32", "61", "80", "160", "212", "310", "311", "508", "516", "524"]
)
@pytest.mark.parametrize("n", [200, 201, 202])
def test_every_format_is_decoded(tmp_path, fmt, n):
    digital = np.random.default_rng(0).integers(-50, 50, (n, 3))
    written = fmt if fmt not in ("8", "61", "160", "310", "311") else "16"
    wfdb.wrsamp(
        "a", fs=100, units=["mV"] * 3, sig_name=["I", "II", "III"], d_signal=digital,
        fmt=[written] * 3, adc_gain=[100.0] * 3, baseline=[7] * 3, write_dir=str(tmp_path),
    )  # fmt: skip
    if written != fmt:
        header = (tmp_path / "a.hea").read_text()
        (tmp_path / "a.hea").write_text(
            header.replace(" 16 ", f" {fmt} ").replace(f" {fmt} 0 ", " 16 0 ")
        )
        (tmp_path / "a.dat").write_bytes(packed(digital, fmt))
    np.testing.assert_allclose(
        read_wfdb([tmp_path / "a"]).data[0], (digital.T - 7) / 100, rtol=1e-6
    )
    last = read_wfdb([tmp_path / "a"], leads=["III"]).data[0]
    np.testing.assert_allclose(last, (digital.T[2:] - 7) / 100, rtol=1e-6)


@pytest.mark.parametrize(  # in format 212 the last sample may be padding
    ("fmt", "n"), [("16", 199), ("16", 100), ("212", 198), ("212", 197), ("516", 199), ("516", 100)]
)
def test_surplus_samples_raise(tmp_path, fmt, n):
    """Headers may have no checksums and declare too few samples."""
    digital = np.random.default_rng(0).integers(-100, 100, (200, 1))
    wfdb.wrsamp(
        "a", fs=100, units=["mV"], sig_name=["I"], d_signal=digital, fmt=[fmt],
        adc_gain=[100.0], baseline=[0], write_dir=str(tmp_path),
    )  # fmt: skip
    header = (tmp_path / "a.hea").read_text().splitlines()[1].split()
    (tmp_path / "a.hea").write_text(f"a 1 100 {n}\n{' '.join(header[:3])}\n")
    with pytest.raises(InvalidECGError, match=f"expected {n} samples, got 200"):
        read_wfdb([tmp_path / "a"])
    unverified = read_wfdb([tmp_path / "a"], verify=False).data[0]
    np.testing.assert_allclose(unverified, digital[:n].T / 100, rtol=1e-6)
    (tmp_path / "a.hea").write_text(f"a 1 100\n{' '.join(header[:3])}\n")
    np.testing.assert_allclose(read_wfdb([tmp_path / "a"]).data[0], digital.T / 100, rtol=1e-6)


def test_signals_of_several_files_are_read(tmp_path):
    rng = np.random.default_rng(0)
    first, second = rng.integers(-100, 100, (2, 50, 2))
    for name, digital, fmt in (("b", first, "212"), ("c", second, "16")):
        wfdb.wrsamp(
            name, fs=100, units=["mV"] * 2, sig_name=[f"{name}1", f"{name}2"], d_signal=digital,
            fmt=[fmt] * 2, adc_gain=[100.0] * 2, baseline=[0] * 2, write_dir=str(tmp_path),
        )  # fmt: skip
    lines = [(tmp_path / f"{name}.hea").read_text().splitlines()[1:] for name in "bc"]
    (tmp_path / "a.hea").write_text("\n".join(["a 4 100 50", *lines[0], *lines[1]]))
    data = read_wfdb([tmp_path / "a"], leads=["c2", "b1"]).data[0]
    np.testing.assert_allclose(data, np.stack([second[:, 1], first[:, 0]]) / 100, rtol=1e-6)


def test_verify_checks_checksums(tmp_path):
    digital = np.random.default_rng(0).integers(-2000, 2000, (50, 2))
    wfdb.wrsamp(
        "a", fs=100, units=["mV"] * 2, sig_name=["I", "II"], d_signal=digital, fmt=["16"] * 2,
        adc_gain=[1000.0] * 2, baseline=[0] * 2, write_dir=str(tmp_path),
    )  # fmt: skip
    content = bytearray((tmp_path / "a.dat").read_bytes())
    content[2] ^= 1  # of II
    (tmp_path / "a.dat").write_bytes(content)
    with pytest.raises(InvalidECGError, match="its lead II is corrupt"):
        read_wfdb([tmp_path / "a"])
    changed = digital.copy()
    changed[0, 1] ^= 1
    unverified = read_wfdb([tmp_path / "a"], verify=False).data[0]
    np.testing.assert_allclose(unverified, changed.T / 1000, rtol=1e-6)
    assert read_wfdb([tmp_path / "a"], leads=["I"]).data.shape == (1, 1, 50)


def test_compressed_size_is_capped(tmp_path, monkeypatch):
    """Constant samples are compressed to nearly nothing."""
    import soundfile

    monkeypatch.setattr(_record, "_MAX_SAMPLES", 2**20)
    (tmp_path / "a.hea").write_text("a 1 100 2000000\na.dat 516 100 16 0 0 0 0 I\n")
    soundfile.write(
        tmp_path / "a.dat", np.zeros(2_000_000, dtype=np.int16), 96000, "PCM_16", format="FLAC"
    )
    assert (tmp_path / "a.dat").stat().st_size < 1e5
    with pytest.raises(InvalidECGError, match="at most 1048576 samples in all leads, got 2000000"):
        read_wfdb([tmp_path / "a"])


@pytest.mark.parametrize(
    ("rate", "options"),
    [("1e9", {"duration": 10}), ("100", {"sampling_rate": 1e6}), ("1e9", {"sampling_rate": 1e5})],
)
def test_resampled_size_is_capped(tmp_path, rate, options):
    digital = np.zeros((100, 1), dtype=int)
    wfdb.wrsamp(
        "a", fs=100, units=["mV"], sig_name=["I"], d_signal=digital, fmt=["16"],
        adc_gain=[100.0], baseline=[0], write_dir=str(tmp_path),
    )  # fmt: skip
    text = (tmp_path / "a.hea").read_text()
    (tmp_path / "a.hea").write_text(text.replace(" 100 ", f" {rate} ", 1))
    with pytest.raises(InvalidECGError, match=r"at most \d+ samples in all leads|is not supported"):
        read_wfdb([tmp_path / "a"], **options)


@pytest.mark.parametrize("name", ["a.b.dat", "a+b.dat", "\u00e4.dat"])
def test_signal_file_names_that_wfdb_rejects_are_read(tmp_path, name):
    digital = np.arange(20, dtype="<i2")
    (tmp_path / name).write_bytes(digital.tobytes())
    (tmp_path / "r.1.hea").write_text(f"r.1 1 1e2 20 yesterday\n{name} 16 1E1\n", "utf-8")
    bunch = read_wfdb([tmp_path / "r.1.hea"])
    np.testing.assert_allclose(bunch.data[0, 0], digital / 10, rtol=1e-6)
    assert bunch.sampling_rate == 100


@pytest.mark.parametrize(
    ("fmt", "invalid"),
    [("16", -(2**15)), ("61", -(2**15)), ("24", -(2**23)), ("32", -(2**31)), ("212", -(2**11))],
)
def test_invalid_samples_are_not_finite_but_count_in_checksum(tmp_path, fmt, invalid):
    digital = np.array([[3], [invalid], [5], [7]])
    if fmt == "61":
        (tmp_path / "a.dat").write_bytes(packed(digital, fmt))
        checksum = int(digital.sum()) % 2**16
        (tmp_path / "a.hea").write_text(f"a 1 100 4\na.dat 61 1 16 0 3 {checksum} 0 I\n")
    else:
        wfdb.wrsamp(
            "a", fs=100, units=["mV"], sig_name=["I"], d_signal=digital, fmt=[fmt], adc_gain=[1.0],
            baseline=[0], write_dir=str(tmp_path),
        )  # fmt: skip
    with pytest.raises(InvalidECGError, match=r"1 samples that are not finite .* at sample 1"):
        read_wfdb([tmp_path / "a"])
