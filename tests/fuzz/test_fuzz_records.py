"""Fuzz tests of WFDB records: mutated files are read correctly or rejected."""

import os
import re

import numpy as np
import pytest
import wfdb
from hypothesis import strategies as st

from sklearn_bell.datasets import read_wfdb
from sklearn_bell.exceptions import InvalidECGError
from tests.fuzz._fuzzing import Outcomes, fuzz, mutated, watched

pytestmark = pytest.mark.filterwarnings("ignore:.* were padded with zeros")

N = 120
KINDS = {  # format, whether the header has checksums
    "a": ("16", True),
    "b": ("212", False),
    "c": ("516", True),
    "d": ("24", False),
}
FILES = [b"link.dat", b"pipe.dat", b"../outside.dat", b"/etc/passwd", b"..", b"none.dat", b"b.dat",
         b"a.hea", b"s3://bucket/a.dat", b"http://127.0.0.1:9/a.dat"]  # fmt: skip
AIMS = [  # declarations of a header
    (rb"\w+\.dat", FILES),
    (
        rb"(?<=\.dat )\d+",
        [b"8", b"16", b"24", b"32", b"61", b"80", b"160", b"212", b"310", b"311", b"508", b"516",
         b"0", b"16x2", b"212x1000000000000", b"16:3", b"16:900000000000", b"16+1", b"16+2",
         b"516+7"],
    ),
    (rb"(?<=100 )\d+", [b"0", b"1", b"60", b"119", b"121", b"240", b"1000000000000"]),
    (rb"(?<=^\w )\d+", [b"0", b"1", b"2", b"4", b"1000000"]),
    (rb"(?<= )100(?= )", [b"0", b"1", b"99.5", b"1e9", b"1e-9", b"1e300", b"100/5(3)"]),
]  # fmt: skip
NAMES = [(rb"[a-d]", [b"../outside", b"link", b"sub/../a", b"/etc/passwd", b"a\0", b"s3://b/a",
                      b"x::a", b"a.dat", b"none"])]  # fmt: skip
outcomes = Outcomes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder of records, with a link out of it and a pipe."""
    home = tmp_path_factory.mktemp("home")
    folder = home / "records"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, (fmt, checksums) in KINDS.items():
        digital = rng.integers(-900, 900, (N, 3))
        wfdb.wrsamp(
            name, fs=100, units=["mV", "uV", "mV"], sig_name=["I", "II", "V1"], d_signal=digital,
            fmt=[fmt] * 3, adc_gain=[1000.0, 1.0, 200.0], baseline=[0, 3, -5],
            write_dir=str(folder), comments=["a comment"],
        )  # fmt: skip
        if not checksums:
            lines = (folder / f"{name}.hea").read_text().splitlines()
            lines = [" ".join(line.split()[:3]) if ".dat" in line else line for line in lines]
            (folder / f"{name}.hea").write_text("\n".join(lines))
    (home / "outside.dat").write_bytes((folder / "a.dat").read_bytes())
    (home / "outside.hea").write_bytes((folder / "a.hea").read_bytes())
    (folder / "link.dat").symlink_to("../outside.dat")
    (folder / "link.hea").symlink_to("../outside.hea")
    os.mkfifo(folder / "pipe.dat")
    for name in KINDS:  # before any watching: the first read imports modules
        read_wfdb([folder / name])
    yield folder
    outcomes.report("records")


def plain_read(folder, name):
    """Read a record of formats 16, 61 and 212 in plain Python.

    Return the leads as a dict of lists of mV, and the rate; or None for other formats.
    """
    header = (folder / f"{name}.hea").read_bytes()
    try:
        text = header.decode("utf-8")
    except UnicodeDecodeError:
        text = header.decode("latin-1")
    lines = [
        line.split()
        for line in text.splitlines()
        if line.strip() and not line.strip().startswith("#")
    ]
    record, signals = lines[0], lines[1:]
    rate = float(record[2].split("/")[0]) if len(record) > 2 else 250.0
    n = int(record[3]) if len(record) > 3 else 0
    if {re.match(r"\d+", fields[1])[0] for fields in signals} - {"16", "61", "212"}:
        return None
    if any(mark in fields[1] for fields in signals for mark in ":x"):
        return None  # skewed, or several rates
    leads, of_file = {}, {}
    for fields in signals:
        of_file.setdefault(fields[0], []).append(fields)
    for file, fields_of_file in of_file.items():
        fmt, _, offset = fields_of_file[0][1].partition("+")
        content = (folder / file).read_bytes()[int(offset or 0) :]
        if fmt == "212":
            digital = []
            for a, b, c in zip(content[::3], content[1::3], content[2::3], strict=False):
                digital += [a + 256 * (b % 16), c + 256 * (b // 16)]
            if len(content) % 3 == 2:  # an odd number of samples
                digital.append(content[-2] + 256 * (content[-1] % 16))
            digital = [value - 4096 if value >= 2048 else value for value in digital]
        else:
            order = "<i2" if fmt == "16" else ">i2"
            assert len(content) % 2 == 0
            digital = np.frombuffer(content, order).tolist()
        # surplus samples raise, except for the padding of a pair
        frames = n or len(digital) // len(fields_of_file)
        left = len(digital) - frames * len(fields_of_file)
        assert left <= (fmt == "212" and left % 2), f"{left} left over"
        for place, fields in enumerate(fields_of_file):
            match = re.fullmatch(r"([^(/]+)(?:\((.+?)\))?(?:/(.+))?", (fields[2:3] or ["0"])[0])
            gain, baseline, unit = match.groups()
            if baseline is None:
                baseline = fields[4] if len(fields) > 4 else 0
            unit = (unit or "mV").lower().replace("\u00b5", "u").replace("\u03bc", "u")
            scale = {"mv": 1, "uv": 1e-3, "v": 1e3}[unit] / (float(gain) or 200)
            values = digital[place :: len(fields_of_file)]
            values = values[: n or len(digital) // len(fields_of_file)]  # whole frames
            leads[len(leads)] = [(value - int(baseline)) * scale for value in values]
    return leads, rate


@fuzz
def test_record_is_read_correctly_or_rejected(folder, data):
    name = data.draw(st.sampled_from(sorted(KINDS)))
    path = folder / (name + data.draw(st.sampled_from([".hea", ".hea", ".dat"])))
    options = data.draw(st.sampled_from([{}, {}, {"sampling_rate": 100}, {"duration": 1.5}]))
    original = path.read_bytes()
    is_header = path.suffix == ".hea"
    changed = data.draw(mutated(original, text=is_header, aims=AIMS if is_header else ()))
    path.write_bytes(changed)
    try:
        try:
            with watched(folder):
                bunch = read_wfdb([folder / name], **options)
        except InvalidECGError as error:
            assert str(folder / name) in str(error)  # noqa: PT017
            outcomes["rejected"] += 1
            return
        outcomes["read"] += 1
        assert np.isfinite(bunch.data).all()
        if options:
            return
        expected = plain_read(folder, name)
        if expected is None:
            return
        leads, rate = expected
        assert bunch.sampling_rate == pytest.approx(rate)
        assert bunch.data.shape[1:] == (len(leads), len(leads[0]))
        # sorted by values: names, and with them the order, may have changed
        observed = sorted(map(tuple, bunch.data[0].tolist()))
        expected = sorted(tuple(np.float32(values).tolist()) for values in leads.values())
        np.testing.assert_allclose(observed, expected, rtol=1e-5, atol=1e-30)
    finally:
        path.write_bytes(original)


@fuzz
def test_checksum_detects_wrong_samples(folder, data):
    path = folder / data.draw(st.sampled_from(["a.dat", "c.dat"]))
    expected = read_wfdb([path]).data
    original = path.read_bytes()
    path.write_bytes(data.draw(mutated(original, text=False)))
    try:
        with watched(folder):
            observed = read_wfdb([path]).data
    except InvalidECGError as error:
        assert str(folder / path.stem) in str(error)  # noqa: PT017
        outcomes["rejected"] += 1
        return
    finally:
        path.write_bytes(original)
    outcomes["read"] += 1
    # two changes may cancel in the sum of all samples
    changed = (observed != expected).any(axis=-1)[0]
    for lead in np.flatnonzero(changed):
        scale = [1000.0, 1000.0, 200.0][lead]
        difference = ((observed - expected)[0, lead].astype(float) * scale).round()
        assert difference.sum() % 2**16 == 0


@fuzz
def test_index_stays_inside_folder(folder, data):
    (folder / "RECORDS").write_bytes(data.draw(mutated(b"a\nb\n\nc\nd\n", text=True, aims=NAMES)))
    try:
        with watched(folder):
            bunch = read_wfdb(folder)
    except InvalidECGError:
        outcomes["rejected"] += 1
        return
    outcomes["read"] += 1
    for name, record in zip(bunch.record_names, bunch.data, strict=True):
        np.testing.assert_array_equal(record, read_wfdb([folder / name]).data[0])
