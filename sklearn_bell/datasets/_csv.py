"""Reader of CSV files: a record each, with a column for each lead and a row for each sample."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from numbers import Integral, Real
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from sklearn_bell._utils.leads import is_known_lead
from sklearn_bell.datasets._files import SEPARATOR_LINE, find_encoding
from sklearn_bell.datasets._reading import CONSTRAINTS, local_paths, make_target, read_records
from sklearn_bell.datasets._record import MILLIVOLTS, Recording, check_size
from sklearn_bell.exceptions import InvalidECGError

_NOT_LEADS = re.compile(  # columns that other programs write beside leads
    r"|#|index|idx|row|frame|unnamed: \d+|samples?(?:[ _]?(?:#|number|no|index))?"
    r"|t|ts|zeit|date|(?:(?:date|elapsed)[ _]?)?time(?:[ _]?stamps?)?"
    r"|(?:t|zeit|(?:elapsed[ _]?)?time(?:[ _]?stamps?)?)?[ _,/]*[\[(]?"
    r"(?P<second>(?:m|u|µ|μ|milli|micro)?s(?:ec(?:ond)?s?)?|hh:mm:ss(?:\.m+)?)[\])]?",
    re.IGNORECASE,
)
_NUMBERED = re.compile(r"|#|index|idx|row|frame|unnamed.*|sample.*", re.IGNORECASE)
_SECONDS = {"s": 1.0, "m": 1e-3, "u": 1e-6, "µ": 1e-6, "μ": 1e-6, "milli": 1e-3, "micro": 1e-6}
_VOLT = r"(?P<{}>m|u|µ|μ|n|milli|micro|nano)?v(?:olts?)?"
_UNIT = re.compile(rf"[\[(]?\s*{_VOLT.format('prefix')}\s*[\])]?", re.IGNORECASE)
_UNIT_OF_COLUMN = re.compile(
    rf".*[\[(]\s*{_VOLT.format('inside')}\s*[\])]"
    rf"|.*[ _/,]\s*{_VOLT.format('after').replace('?v', 'v')}",
    re.IGNORECASE,
)
_MISSING = {"", "nan", "na", "n/a", "<na>", "null", "none", "-32768", "-32768.0"}  # of 16 bits
_GROUPED = r"([+-]?[1-9]\d{0,2})((?:\.\d{3})+)(,\d+)?"  # 1.234,5
_N_SNIFFED = 2**16  # bytes
_MOST_ERROR = 0.01  # of the sampling rate that a column of times tells
UNITS = {"mV", "uV", "V", "nV"}


class CSVFormat(NamedTuple):
    """Format of the files."""

    sampling_rate: float  # Hz
    units: str = "mV"
    delimiter: str | None = ","  # None: as in the file
    decimal: str | None = "."
    skip_lines: int = 0
    encoding: str = "utf-8-sig"

    @property
    def expected(self):
        """Expected content of the files, for errors."""
        name = {",": "commas", ";": "semicolons", "\t": "tabs"}.get(
            str(self.delimiter), self.delimiter
        )
        return (
            f"expected cells separated by {name}: a header of leads, then a line in {self.units} "
            "per sample"
        )


@validate_params(
    CONSTRAINTS
    | {
        "sampling_rate_in": [Interval(Real, 0, None, closed="neither")],
        "units": [StrOptions(UNITS)],
        "delimiter": [str],
        "decimal": [StrOptions({".", ","})],
        "skip_lines": [Interval(Integral, 0, None, closed="left")],
    },
    prefer_skip_nested_validation=True,
)
def read_csv(
    records: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    sampling_rate_in: float,
    *,
    units: str = "mV",
    delimiter: str = ",",
    decimal: str = ".",
    skip_lines: int = 0,
    leads: Sequence[str] | None = None,
    sampling_rate: float | None = None,
    duration: float | None = None,
    step: float | None = None,
    max_gap: float = 0.0,
    rename: Mapping[str, str] | None = None,
    n_jobs: int | None = None,
    out: str | os.PathLike[str] | None = None,
    on_error: str = "raise",
) -> Bunch:
    r"""Read CSV files, one record each, into one array of millivolts.

    The first line names the columns. Leads are columns of a usual name (``II``, ``Lead II``, ``II
    (uV)``), or those in `leads` and `rename`. Columns of times or numbers of samples are left out,
    but must agree with the sampling rate and have no jumps. Any other column is an error unless
    `leads` are given: it could be a label. Empty cells, ``nan``, ``NA`` and -32768 are missing
    samples, for `max_gap`.

    Parameters
    ----------
    records : str, path-like or iterable of str or path-like
        A file, or files.
    sampling_rate_in : float
        Sampling rate of the files in Hz.
    units : {"mV", "uV", "V", "nV"}, default="mV"
        Unit of columns whose name, or second line, does not tell it.
    delimiter : str, default=","
        Separator of the cells, unless a first line such as ``sep=;`` tells it.
    decimal : {".", ","}, default="."
        Decimal sign. With commas, points may group thousands.
    skip_lines : int, default=0
        Number of lines before the names.
    leads, sampling_rate, duration, step, max_gap, rename, n_jobs, out, on_error
        As in :func:`read_wfdb`. A lead that is NaN as a whole remains NaN.

    Returns
    -------
    bunch : :class:`~sklearn.utils.Bunch`
        As from :func:`read_wfdb`, and:

        left_out : list of str
            Names of columns that are no leads.

    Raises
    ------
    InvalidECGError
        If a file is not as described, with the line, and for the causes of :func:`read_wfdb`.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn_bell.datasets import read_csv
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "a.csv")
    ...     _ = path.write_text("time;II;V1\n0;0,1;0,2\n0,01;0,3;0,4\n")
    ...     ecg = read_csv(path, 100, delimiter=";", decimal=",")
    >>> ecg.lead_names, ecg.left_out
    (['II', 'V1'], ['time'])
    """
    paths = [records] if isinstance(records, str | os.PathLike) else list(records)
    names = [os.fsdecode(path) for path in paths]
    csv_format = CSVFormat(sampling_rate_in, units, delimiter, decimal, skip_lines)
    target = make_target(leads, sampling_rate, duration, step, max_gap, rename)
    open_record = partial(open_csv, csv_format=csv_format, target=target)
    return read_records(
        stems_of(names), local_paths(names, None), target, open_record,
        n_jobs=n_jobs, out=out, skip=on_error == "skip",
    )  # fmt: skip


def stems_of(names: Sequence[str]) -> list[str]:
    """Return names without the extension of tables, where they remain different."""
    stems = [re.sub(r"\.(?:csv|tsv|txt)$", "", name, flags=re.IGNORECASE) for name in names]
    counts = Counter([*stems, *names])
    pairs = zip(stems, names, strict=True)
    return [stem if counts[stem] == 1 + (stem == name) else name for stem, name in pairs]


def _complete_format(path: str, csv_format: CSVFormat) -> CSVFormat:
    """Return the format with encoding, separator and decimal sign of the file."""
    with open(path, "rb") as file:
        start = file.read(_N_SNIFFED)
    encoding = find_encoding(start)
    text = start.decode(encoding, "replace")
    skip_lines, delimiter = csv_format.skip_lines, csv_format.delimiter
    if excel := SEPARATOR_LINE.match(text):
        skip_lines, delimiter = skip_lines + 1, excel[1]
    header, *lines = [*text.splitlines()[skip_lines:], ""]
    delimiter = delimiter or max(";\t|,", key=header.count)
    has_comma = delimiter != "," and any(re.search(r"\d,\d", line) for line in lines)
    decimal = csv_format.decimal or ("," if has_comma else ".")
    return CSVFormat(*csv_format[:2], delimiter, decimal, skip_lines, encoding)


def _read_header(path: str, csv_format: CSVFormat, target) -> tuple[list[str], list[bool]]:
    """Return the names of the columns, and the mask of leads."""
    header = _check_header(_read_cells(path, csv_format, nrows=1).iloc[0], csv_format, target)
    named = {key.strip().lower() for key in (*(target.leads or ()), *(target.rename or ()))}
    return header, [is_known_lead(name) or name.lower() in named for name in header]


def is_other_table(path: str, target) -> bool:
    """Return True for a table of words without lead names, such as one of labels."""
    try:
        csv_format = _complete_format(path, CSVFormat(1.0, "mV", None, None))
        header, is_lead = _read_header(path, csv_format, target)
    except (InvalidECGError, OSError):  # the error follows when it is read
        return False
    numbers = pd.to_numeric(pd.Series(header), errors="coerce")
    return not any(is_lead) and bool(numbers.isna().any())


def open_csv(path: str, csv_format: CSVFormat, target) -> Recording:
    """Open a CSV file. Errors state line and cause only."""
    check_size(os.path.getsize(path) / 2)  # a cell has a digit and a separator
    csv_format = _complete_format(path, csv_format)
    header, is_lead = _read_header(path, csv_format, target)
    not_leads = [name for name, known in zip(header, is_lead, strict=True) if not known]
    if not any(is_lead):
        raise InvalidECGError(_no_leads(header, csv_format))
    unknown = [name for name in not_leads if not _NOT_LEADS.fullmatch(name)]
    if unknown and target.leads is None:
        raise InvalidECGError(
            f"line {csv_format.skip_lines + 1}: column {unknown[0]!r} is no known lead. Pass "
            "leads= with the columns to read, or rename= if it is a lead."
        )
    columns = np.flatnonzero(is_lead)
    names = [header[i] for i in columns]
    table = _read_cells(path, csv_format).iloc[1:]
    filled_rows = np.flatnonzero((table != "").any(axis=1))
    table = table.iloc[: filled_rows[-1] + 1 if len(filled_rows) else 0]
    units, cells = _read_units(names, table.iloc[:, columns], csv_format.units)
    if cells.empty:
        raise InvalidECGError(f"it has no samples; {csv_format.expected}.")
    values = _to_numbers(cells, names, csv_format) * [MILLIVOLTS[unit] for unit in units]
    for i in set(range(len(header))) - set(columns):
        if _NOT_LEADS.fullmatch(header[i]):
            _check_times(header[i], table.iloc[-len(cells) :, i], csv_format)

    def read(positions):
        return [values[:, i] for i in positions]

    rates = [csv_format.sampling_rate] * len(names)
    states_units = all(map(_UNIT_OF_COLUMN.fullmatch, names)) or len(cells) < len(table)
    return Recording(names, rates, read, tuple(not_leads), True, states_units)


def _read_units(names, cells, default):
    """Return the unit of each column, and the cells without a line of units."""
    first = cells.iloc[0] if len(cells) else [""]
    matches = [_UNIT.fullmatch(cell.strip("' ")) for cell in first]
    if all(matches):
        return [_unit(match) for match in matches], cells.iloc[1:]
    matches = [_UNIT_OF_COLUMN.fullmatch(name) for name in names]
    return [_unit(match) if match else default.lower() for match in matches], cells


def _unit(match):
    prefix = next(filter(None, match.groups()), "").lower()
    return f"{'u' if prefix == 'micro' else prefix[:1]}v"


def _to_numbers(cells, names, csv_format):
    """Return values (n_samples, n_leads), NaN where cells are missing."""
    cells = cells.apply(lambda column: column.str.strip())
    is_missing = cells.apply(lambda column: column.str.lower().isin(_MISSING)).to_numpy()
    text = cells.mask(is_missing, "nan")
    if csv_format.decimal == ",":
        text = text.apply(_with_point)
    values = text.apply(pd.to_numeric, errors="coerce").to_numpy(float)
    bad = np.argwhere(~np.isfinite(values) & ~is_missing)
    if len(bad):
        row, column = bad[0]
        problem = f"found {cells.iloc[row, column]!r} in column {names[column]}"
        line = cells.index[row] + 1 + csv_format.skip_lines
        raise InvalidECGError(f"line {line}: {problem}; {csv_format.expected}.")
    return values


def _with_point(column):
    """Return numbers with a decimal comma as text that pandas reads; others become invalid."""
    plain = column.mask(column.str.fullmatch(_GROUPED), column.str.replace(".", ""))
    return plain.str.replace(".", "?").str.replace(",", ".")


@np.errstate(over="ignore", invalid="ignore")
def _check_times(name, column, csv_format):
    """Raise if a column of numbers tells another sampling rate, or jumps."""
    text = column.str.replace(",", ".") if csv_format.decimal == "," else column
    times = pd.to_numeric(text, errors="coerce").dropna()
    if len(times) < 2:
        return
    rounding = 10.0 ** -text.str.strip().str.partition(".")[2].str.len().max()
    jumps = times.index[~np.isfinite(times)]
    if not len(jumps):
        steps = np.diff(times) / np.diff(times.index)
        jumps = times.index[1:][(steps > 1.5 * np.median(steps) + rounding) | (steps < 0)]
    if len(jumps):
        raise InvalidECGError(
            f"line {jumps[0] + 1 + csv_format.skip_lines}: column {name!r} jumps to "
            f"{times[jumps[0]]:g}. Read continuous parts as records, or remove this column."
        )
    match = _NOT_LEADS.fullmatch(name)
    unit = ((match and match["second"]) or "").lower()
    seconds = [_SECONDS.get(unit.partition("s")[0], 1.0)] if unit else _SECONDS.values()
    expected = [1 / csv_format.sampling_rate / second for second in seconds]
    expected += [] if unit else [1.0]  # counts samples
    span = times.index[-1] - times.index[0]
    step = (times.iloc[-1] - times.iloc[0]) / span
    is_other = all(abs(step - e) > _MOST_ERROR * e + rounding / span for e in expected)
    if step > 0 and is_other and not _NUMBERED.fullmatch(name):
        raise InvalidECGError(
            f"its column {name!r} has steps of {step:g}, which is not the sampling rate of "
            f"{csv_format.sampling_rate:g} Hz. Pass the rate of the file as sampling_rate_in=, or "
            "remove this column."
        )


def _read_cells(path: str, csv_format: CSVFormat, **options: Any) -> pd.DataFrame:
    """Read all cells as text. The header is a row like the others, so that none may be longer."""
    try:
        return pd.read_csv(
            path, header=None, dtype=str, keep_default_na=False, skipinitialspace=True,
            skip_blank_lines=False, encoding=csv_format.encoding, encoding_errors="replace",
            sep=csv_format.delimiter, skiprows=csv_format.skip_lines, **options,
        )  # fmt: skip
    except pd.errors.EmptyDataError:
        return pd.DataFrame([[""]])
    except (pd.errors.ParserError, ValueError) as error:
        pattern = r".*Expected (\d+) fields in line (\d+), saw (\d+).*"
        cause = re.sub(pattern, r"line \2: found \3 cells, not \1", str(error), flags=re.DOTALL)
        raise InvalidECGError(f"{cause}; {csv_format.expected}.") from error


def _check_header(cells: Iterable[str], csv_format: CSVFormat, target) -> list[str]:
    header = [str(cell).strip().strip("'\"").strip() for cell in cells]
    joined = "".join(header)
    sign = next((sign for sign in ";\t," if sign in joined and sign != csv_format.delimiter), None)
    lower = [name.lower() for name in header if not _NOT_LEADS.fullmatch(name)]
    repeated = [name for name in header if lower.count(name.lower()) > 1]
    if len(header) < 2 and sign:
        problem = f"found one column, {joined[:40]!r}. Pass delimiter={sign!r} if it separates them"
    elif repeated:
        problem = f"lead {repeated[0]} is named twice"
    else:
        return header
    raise InvalidECGError(f"line {csv_format.skip_lines + 1}: {problem}; {csv_format.expected}.")


def _no_leads(header: Sequence[str], csv_format: CSVFormat) -> str:
    """Return the error for a header without leads."""
    problem = "found no lead names"
    if (numbers := pd.to_numeric(pd.Series(header), errors="coerce")).notna().any():
        listed = ", ".join(name for name, n in zip(header, numbers, strict=True) if n == n)
        problem = f"found the numbers {listed[:40]} instead of lead names"
    elif unknown := [name for name in header if not _NOT_LEADS.fullmatch(name)]:
        problem = f"found no known lead in {', '.join(unknown[:5])}. Pass leads= or rename="
    return f"line {csv_format.skip_lines + 1}: {problem}; {csv_format.expected}."


def read_npy(path: Path) -> np.ndarray:
    """Return a memory map of shape (n_records, n_leads, n_samples)."""
    try:
        data = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise InvalidECGError(f"{path} is not a .npy file of numbers ({error}).") from error
    if data.ndim != 3 or data.dtype.kind not in "iuf":
        problem = f"got {data.dtype} of shape {data.shape}"
        raise InvalidECGError(
            f"{path}: expected numbers of shape (n_records, n_leads, n_samples), {problem}."
        )
    return data
