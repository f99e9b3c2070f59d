"""Headers of WFDB records: read as the manual has them, and refused where they are not so."""

import numpy as np
import pytest
import wfdb

from sklearn_bell.datasets import read_wfdb
from sklearn_bell.datasets._header import read_header
from sklearn_bell.exceptions import InvalidECGError


def read(tmp_path, text):
    (tmp_path / "a.hea").write_text(text)
    return read_header(tmp_path / "a.hea")


def test_all_fields_are_read(tmp_path):
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
    # the baseline and the first value are the ADC's zero where they are not given
    assert second == ("100.dat", "212", 1, 0, 0, 100, 1024, "mV", 1024, None, "signal 1")


@pytest.mark.parametrize(
    "signal",
    [
        "a.dat 16",
        "a.dat 16 0",  # a gain of 0 is none
        "a.dat 16 200/mV 12 0 5 7 0",
        "a.dat 16 1e3(5)/mV 12 0 0 0 0 II",
        "a.dat 16 .5 12 -3 0 0 0 II",
        "a.dat 16 200 12 0 1 2 0 2nd lead",
    ],
)
def test_fields_are_those_of_wfdb(tmp_path, signal):
    header = read(tmp_path, f"a 1 100 10\n{signal}\n")
    expected = wfdb.rdheader(str(tmp_path / "a"))
    (found,) = header.signals
    assert (header.rate, header.n_frames) == (expected.fs, expected.sig_len)
    assert found.file == expected.file_name[0]
    assert found.gain == (expected.adc_gain[0] or 200)
    assert found.baseline == (expected.baseline[0] or 0)
    assert found.unit == (expected.units[0] or "mV")
    if expected.checksum[0] is not None:
        assert found.checksum == expected.checksum[0] % 2**16
    if expected.sig_name[0] is not None:
        assert found.name == expected.sig_name[0]


def test_what_is_left_out_is_as_the_manual_has_it(tmp_path):
    header = read(tmp_path, "a 1\na.dat 16\n")
    assert (header.rate, header.n_frames) == (250, None)
    assert header.signals[0].gain == 200


@pytest.mark.parametrize(
    "rest", ["12-May-2020 12:33:59", "12:33", "12:33:59.25 12/05/2020", "yesterday"]
)
def test_dates_in_any_form_are_passed_over(tmp_path, rest):
    """Those of the PhysioNet/CinC Challenge 2020 cannot be read by wfdb."""
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
def test_a_field_that_makes_no_sense_is_told(tmp_path, old, new):
    text = "a 2 500 10\na.dat 16 1000/mV 16 0 20 30 0 I\na.dat 16 1000/mV 16 0 20 30 0 II\n"
    read(tmp_path, text)
    assert old in text
    with pytest.raises(InvalidECGError, match=r"makes no sense: |sampling rate is "):
        read(tmp_path, text.replace(old, new, 1))


def packed(digital, fmt):
    """Return the bytes of samples, slowly, as signal(5) of the WFDB manual has them."""
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
def test_samples_are_those_that_were_written_in_every_format(tmp_path, fmt, n):
    digital = np.random.default_rng(0).integers(-50, 50, (n, 3))
    by_wfdb = fmt if fmt not in ("8", "61", "160", "310", "311") else "16"
    wfdb.wrsamp(
        "a", fs=100, units=["mV"] * 3, sig_name=["I", "II", "III"], d_signal=digital,
        fmt=[by_wfdb] * 3, adc_gain=[100.0] * 3, baseline=[7] * 3, write_dir=str(tmp_path),
    )  # fmt: skip
    if by_wfdb != fmt:
        header = (tmp_path / "a.hea").read_text()
        (tmp_path / "a.hea").write_text(
            header.replace(" 16 ", f" {fmt} ").replace(f" {fmt} 0 ", " 16 0 ")
        )
        (tmp_path / "a.dat").write_bytes(packed(digital, fmt))
    np.testing.assert_allclose(
        read_wfdb([tmp_path / "a"]).data[0], (digital.T - 7) / 100, rtol=1e-6
    )
    # one of three signals, the last in its file
    one = read_wfdb([tmp_path / "a"], leads=["III"]).data[0]
    np.testing.assert_allclose(one, (digital.T[2:] - 7) / 100, rtol=1e-6)


@pytest.mark.parametrize(  # of 212 the last sample may only fill the last pair up
    ("fmt", "n"), [("16", 199), ("16", 100), ("212", 198), ("212", 197), ("516", 199), ("516", 100)]
)
def test_no_samples_are_left_out_in_silence(tmp_path, fmt, n):
    """A header without checksums that promises fewer samples than there are."""
    digital = np.random.default_rng(0).integers(-100, 100, (200, 1))
    wfdb.wrsamp(
        "a", fs=100, units=["mV"], sig_name=["I"], d_signal=digital, fmt=[fmt],
        adc_gain=[100.0], baseline=[0], write_dir=str(tmp_path),
    )  # fmt: skip
    header = (tmp_path / "a.hea").read_text().splitlines()[1].split()
    (tmp_path / "a.hea").write_text(f"a 1 100 {n}\n{' '.join(header[:3])}\n")
    with pytest.raises(InvalidECGError, match=f"has 200 samples, but its header promises {n}"):
        read_wfdb([tmp_path / "a"])
    trusted = read_wfdb([tmp_path / "a"], verify=False).data[0]
    np.testing.assert_allclose(trusted, digital[:n].T / 100, rtol=1e-6)
    # without a number of samples all are read
    (tmp_path / "a.hea").write_text(f"a 1 100\n{' '.join(header[:3])}\n")
    np.testing.assert_allclose(read_wfdb([tmp_path / "a"]).data[0], digital.T / 100, rtol=1e-6)


def test_signals_in_several_files_and_formats(tmp_path):
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


def test_checksums_are_verified_only_where_they_are_wanted(tmp_path):
    digital = np.random.default_rng(0).integers(-2000, 2000, (50, 2))
    wfdb.wrsamp(
        "a", fs=100, units=["mV"] * 2, sig_name=["I", "II"], d_signal=digital, fmt=["16"] * 2,
        adc_gain=[1000.0] * 2, baseline=[0] * 2, write_dir=str(tmp_path),
    )  # fmt: skip
    content = bytearray((tmp_path / "a.dat").read_bytes())
    content[2] ^= 1  # of II
    (tmp_path / "a.dat").write_bytes(content)
    with pytest.raises(InvalidECGError, match="its lead II is not what was recorded"):
        read_wfdb([tmp_path / "a"])
    changed = digital.copy()
    changed[0, 1] ^= 1
    trusted = read_wfdb([tmp_path / "a"], verify=False).data[0]
    np.testing.assert_allclose(trusted, changed.T / 1000, rtol=1e-6)
    assert read_wfdb([tmp_path / "a"], leads=["I"]).data.shape == (1, 1, 50)


def test_a_small_compressed_file_cannot_ask_for_much_memory(tmp_path):
    """Equal samples are compressed to nearly nothing."""
    import soundfile

    header = "a 1 100 400000000\na.dat 516 100 16 0 0 0 0 I\n"
    (tmp_path / "a.hea").write_text(header)
    with soundfile.SoundFile(
        tmp_path / "a.dat", "w", samplerate=96000, channels=1, format="FLAC", subtype="PCM_16"
    ) as file:
        for _ in range(400):
            file.write(np.zeros(1_000_000, dtype=np.int16))
    assert (tmp_path / "a.dat").stat().st_size < 10e6
    with pytest.raises(InvalidECGError, match="400000000 samples in all leads, more than the 268"):
        read_wfdb([tmp_path / "a"])


@pytest.mark.parametrize(
    ("rate", "options"),
    [("1e9", {"duration": 10}), ("100", {"sampling_rate": 1e6}), ("1e9", {"sampling_rate": 1e5})],
)
def test_neither_rate_nor_duration_can_ask_for_much_memory(tmp_path, rate, options):
    digital = np.zeros((100, 1), dtype=int)
    wfdb.wrsamp(
        "a", fs=100, units=["mV"], sig_name=["I"], d_signal=digital, fmt=["16"],
        adc_gain=[100.0], baseline=[0], write_dir=str(tmp_path),
    )  # fmt: skip
    text = (tmp_path / "a.hea").read_text()
    (tmp_path / "a.hea").write_text(text.replace(" 100 ", f" {rate} ", 1))
    with pytest.raises(InvalidECGError, match=r"in all leads, more than|not to be resampled"):
        read_wfdb([tmp_path / "a"], **options)
