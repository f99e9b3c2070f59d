"""Fuzz tests of read_csv and read_labels: a value or label is that of its cell, or it raises."""

import csv
import io
import math
import re

import numpy as np
import pytest
from hypothesis import strategies as st

from sklearn_bell.datasets import read_csv, read_labels
from sklearn_bell.exceptions import InvalidECGError
from tests.fuzz._fuzzing import Outcomes, fuzz, mutated, watched

pytestmark = [
    pytest.mark.filterwarnings("ignore:.* were padded with zeros"),
    pytest.mark.filterwarnings("ignore:.* may be wrong"),
]

UNIT = re.compile(r"[\[(]?\s*([mun]?v)\s*[\])]?$", re.IGNORECASE)
MILLIVOLTS = {"mv": 1.0, "uv": 1e-3, "v": 1e3, "nv": 1e-6}
CELLS = [b"", b"nan", b"NaN", b"inf", b"-inf", b"1e400", b"1e-400", b"0,5", b"0x10", b"1_000",
         b"one", b'"', b"'0.5'", b" 0.5 ", b"TRUE", b"\0", b"mV", b"0.5;0.7"]  # fmt: skip
NAMES = [b"", b"I", b"II", b"Lead V1", b"II (uV)", b"V1 [mV]", b"time", b"t", b"label", b"target",
         b"'I'", b"Unnamed: 0", b"aVR", b"1.5", b"x", b"MLII", b"I (mmHg)"]  # fmt: skip
SAMPLES = "".join(f"{i / 100},{i % 7 / 10},{-i % 5 / 10},{i / 50}\n" for i in range(50)).encode()
FILES = {
    "comma": (b"time,I,II,V1\n" + SAMPLES, {}),
    "semicolon": (
        b"t;I;II;V1\n" + SAMPLES.replace(b",", b";").replace(b".", b","),
        {"delimiter": ";", "decimal": ","},
    ),
    "units": (b"time,I,II,V1\ns,mV,uV,mV\n" + SAMPLES, {}),
    "quotes": (b"\xef\xbb\xbf'Elapsed time','I (uV)','II','V1 [mV]'\r\n" + SAMPLES, {}),
    "preamble": (b"made by a program\n\ntime,I,II,label\n" + SAMPLES, {"skip_lines": 2}),
}
CSV_AIMS = [
    (rb"(?m)(?<=[,;])[\d.]+$", CELLS),
    (rb"(?<=[,;])[\d.]+(?=[,;])", CELLS),
    (rb"(?<=[,;])[A-Za-z][^,;\n]*(?=[,;\n])", NAMES),
    (rb"\n", [b"\r\n", b"\r", b"\n\n", b",", b"\n;;\n", b"\n,,,\n", b"\0\n"]),
]  # fmt: skip
RECORDS = ["ecgs/0007", "ecgs/12", "ecgs/13", "old/13", "ecgs/a.b", "x"]
TABLES = {
    "text": b"record,diagnosis\n0007,AF\necgs/13,normal\nx.xml,\n12.hea,AF\n99,other\n",
    "numbers": b"\xef\xbb\xbfrecord;y\n7;0\necgs/13;1\n12;0\nold/13.dat;\n",
    "several": b"record\taf\tpvc\n7\t0\t1\nx\t1\t0\n12\t\t\na.b\t1\t1\n",
}
LABEL_AIMS = [
    (rb"(?m)^[^,;\t\n]+", [b"7", b"13", b"12", b"x", b"./x", b"ecgs\\12", b"nan", b"", b"0",
                           b"000", b"ecgs/ecgs/12", b"../x", b" 12 ", b"'12'", b"1e400"]),
    (rb"(?m)(?<=[,;\t])[^,;\t\n]*$", [b"", b"nan", b"AF", b"0", b"1", b"2", b"1.0", b"0.5",
                                      b"1e400", b"inf", b"-inf", b"1e300", b"9" * 30, b"TRUE",
                                      b'"A,F"',
                                      b"?", b"<NA>", b"\0"]),
    (rb"[,;\t]", [b",", b";", b"\t", b"|", b",,", b" , "]),
]  # fmt: skip
outcomes = Outcomes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    for content, options in FILES.values():  # before any watching: the first read imports modules
        (folder / "a.csv").write_bytes(content)
        read_csv(folder / "a.csv", 100, leads=["I", "II"], **options)
    yield folder
    outcomes.report("tables of users")


def plain_cells(content, delimiter, skip_lines):
    """Return the cells of a CSV file, line by line, without blank lines and quotes."""
    content = content.removeprefix(b"sep=,\n")
    try:
        text = content.decode(
            "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        )
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    cells = [[cell.strip() for cell in line] for line in lines][skip_lines:]
    while len(cells) > 1 and not any(cells[-1]):
        del cells[-1]
    return [line + [""] * (len(cells[0]) - len(line)) for line in cells]


def find_column(names, lead):
    """Return the first column of a lead, without `Lead` before its name and a unit after it."""
    fits = [re.sub(r"^lead |\s*[\[(].*$", "", name.lower()) for name in names]
    return fits.index(lead.lower() if lead.lower() in fits else "mlii")


def plain_number(cell, decimal):
    value = cell.strip().replace(".", "").replace(",", ".") if decimal == "," else cell
    return math.nan if value.lower() in ("nan", "") else float(value)


@fuzz
def test_csv_is_read_correctly_or_rejected(folder, data):
    kind = data.draw(st.sampled_from(sorted(FILES)))
    content, options = FILES[kind]
    leads = data.draw(st.sampled_from([None, ["I", "II"], ["V1"]]))
    content = data.draw(mutated(content, text=True, aims=CSV_AIMS))
    path = folder / "a.csv"
    path.write_bytes(content)
    try:
        with watched(folder):
            ecg = read_csv(path, 100, leads=leads, **options)
    except InvalidECGError as error:
        assert str(folder / "a") in str(error)  # noqa: PT017
        outcomes["CSV rejected"] += 1
        return
    outcomes["CSV read"] += 1
    decimal, skip_lines = options.get("decimal", "."), options.get("skip_lines", 0)
    header, *lines = plain_cells(content, options.get("delimiter", ","), skip_lines)
    names = [name.strip("'\" ") for name in header]
    measured = [lead for lead in ecg.lead_names if lead not in ecg.derived_leads]
    columns = [find_column(names, lead) for lead in measured]
    units = [UNIT.fullmatch(lines[0][i].strip("' ")) for i in columns]
    if all(units):
        lines = lines[1:]
    else:
        units = [UNIT.search(names[i][1:]) for i in columns]
    assert ecg.data.shape == (1, len(ecg.lead_names), len(lines))
    signals = [ecg.data[0, ecg.lead_names.index(lead)] for lead in measured]
    for column, unit, observed in zip(columns, units, signals, strict=True):
        expected = [plain_number(line[column], decimal) for line in lines]
        scaled = np.array(expected) * MILLIVOLTS[unit[1].lower() if unit else "mv"]
        np.testing.assert_allclose(observed, np.float32(scaled), rtol=1e-5, atol=1e-12)


@fuzz
def test_labels_are_those_of_the_lines_or_rejected(folder, data):
    path = folder / "labels.csv"
    path.write_bytes(data.draw(mutated(TABLES[data.draw(st.sampled_from(sorted(TABLES)))],
                                       text=True, aims=LABEL_AIMS)))  # fmt: skip
    try:
        with watched(folder):
            y = read_labels(path, RECORDS, verbose=False)
    except InvalidECGError as error:
        assert str(path) in str(error)  # noqa: PT017
        outcomes["labels rejected"] += 1
        return
    outcomes["labels read"] += 1
    assert y.shape[0] == len(RECORDS)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        text = path.read_bytes().decode("latin-1")
    if y.ndim == 2:
        assert set(np.unique(y)) <= {-1, 0, 1}
        return
    # every label is in the text on a line that names its record
    lines = re.split(r"\r\n|\r|\n", text)
    for record, label in zip(RECORDS, y, strict=True):
        if label is None or label != label:
            continue
        stem = re.split(r"[/.]", record)[1 if "/" in record else 0].lstrip("0")
        shown = {str(label), f"{label}.0"} if isinstance(label, int) else {str(label)}
        on_lines = [line for line in lines if stem in line]
        assert any(word in line for line in on_lines for word in shown) or _number_in(
            label, on_lines
        )


def _number_in(label, lines):
    """Return True for a number that a line has in another spelling."""
    cells = [cell.strip("'\" ") for line in lines for cell in re.split(r"[,;\t|]", line)]
    numbers = []
    for cell in cells:
        try:
            numbers.append(float(cell))
        except ValueError:
            continue
    return not isinstance(label, str) and label in numbers
