"""Reader of a table of labels, in the order of records."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.utils._param_validation import validate_params

from sklearn_bell.datasets._files import SEPARATOR_LINE, find_encoding
from sklearn_bell.exceptions import InvalidECGError

_DELIMITERS = ",;\t|"
_EXTENSION = re.compile(  # of ECG files and tables; any other point is part of a name
    r"(?:\.(?:hea|dat|mat|xml|csv|tsv|txt|npy|dcm|dicom|scp|ecg|edf|bdf|gz|zip))+$", re.IGNORECASE
)
_INDEX = re.compile(r"|index|unnamed: [\d.]+", re.IGNORECASE)  # columns that pandas adds
_TRUTH = {"true": "1", "yes": "1", "false": "0", "no": "0"}
_N_NAMED = 5
_MOST_EXACT = 2**53  # of whole numbers as floats; larger labels remain text
_MISSING = {"", "na", "n/a", "nan", "none", "null", "<na>", "-", "?"}


@validate_params(
    {
        "path": [str, os.PathLike],
        "record_names": ["array-like"],
        "record": [str, None],
        "label": [str, "array-like", None],
        "verbose": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def read_labels(
    path: str | os.PathLike[str],
    record_names: ArrayLike,
    *,
    record: str | None = None,
    label: str | Sequence[str] | None = None,
    verbose: bool = True,
) -> np.ndarray:
    r"""Read the labels of records from a CSV file, in the order of the records.

    Names match with or without the outer folders, the extension of ECG files, leading zeros and
    blanks. A record that a line names exactly has the label of this line alone. Cells are separated
    by commas, semicolons, tabs or vertical bars.

    Parameters
    ----------
    path : str or path-like
        A table with a header and a line for each record.
    record_names : array-like of str of shape (n_records,)
        Names of the records, such as ``record_names`` of :func:`read_ecg`. A repeated name, as of
        windows, has the label of its record each time.
    record : str, default=None
        Column of the names of records. None is the first one, except for an index of pandas
        (without a name, or ``index``).
    label : str or sequence of str, default=None
        Column of the class, or columns of 0 and 1 (no and yes, false and true) for several labels.
        None is all other columns with a name.
    verbose : bool, default=True
        Print how many records have a label, and how many labels have no record.

    Returns
    -------
    y : ndarray of shape (n_records,) or (n_records, n_classes)
        Classes as numbers or text, None where there is no label; or with several columns an
        indicator, with rows of -1. :class:`sklearn_bell.ECGClassifier` takes both as unlabelled.

    Raises
    ------
    InvalidECGError
        If a column is missing, if the header is that of no table but names a record, if a record
        has different labels, if a name fits several records, if no label has a record, or if one of
        several columns is neither 0 nor 1.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn_bell.datasets import read_labels
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "labels.csv")
    ...     _ = path.write_text("record;diagnosis\n0007;AF\n12.xml;normal\n99;AF\n")
    ...     y = read_labels(path, ["ecgs/7", "ecgs/12", "ecgs/13"])
    2 of 3 records labelled; 1 label without a record: 99
    >>> y
    array(['AF', 'normal', None], dtype=object)
    """
    table = _read_table(Path(path))
    columns = [name for name in table.columns if not _INDEX.fullmatch(name)]
    record = (columns or table.columns)[0] if record is None else record
    not_record = [name for name in columns if name != record]
    labels = not_record if label is None else [label] if isinstance(label, str) else list(label)
    missing = [name for name in (record, *labels) if name not in table.columns]
    if missing or not labels:
        raise InvalidECGError(
            f"{path} has the columns {', '.join(table.columns)}; expected a column of records and "
            f"one or more of labels{f', but not {missing[0]!r}' if missing else ''}. Pass record= "
            "and label=."
        )
    cells = table[[record, *labels]].stack()
    if (is_broken := cells.str.contains(r"[\n\r\0]")).any():
        raise InvalidECGError(
            f"{path} has the cell {cells[is_broken].iloc[0]!r}, which is more than a line of text. "
            "Is a quote not closed?"
        )
    table = table[table[record].notna()]
    all_names = [str(name) for name in np.asarray(record_names, dtype=object)]
    names = list(dict.fromkeys(all_names))  # windows of a record have one name
    if re.search(r"\d", record) and _match(names, [record], path) != [None]:
        problem = f"{path} has no header: its first line names the record {record}"
        raise InvalidECGError(f"{problem}. Add a line with the names of the columns.")
    rows = _match(names, table[record].tolist(), path)
    values = _encode(table[labels], path)
    y = np.full((len(names), values.shape[1]), None, dtype=object)
    for row, value in zip(rows, values, strict=True):
        if row is None:
            continue
        before, is_new = y[row], pd.isna(y[row])
        if ((before != value) & ~is_new & ~pd.isna(value)).any():
            raise InvalidECGError(
                f"{path} has different labels of record {names[row]}: {before.tolist()} and "
                f"{value.tolist()}. Leave one of them."
            )
        y[row] = np.where(is_new, value, before)
    is_labelled = pd.DataFrame(y).notna().all(axis=1).to_numpy()
    without = [name for name, row in zip(table[record], rows, strict=True) if row is None]
    if verbose:
        more = ", ..." if len(without) > _N_NAMED else ""
        named = f": {', '.join(without[:_N_NAMED])}{more}" if without else ""
        text = f"{len(without)} label{'s' * (len(without) != 1)} without a record{named}"
        print(f"{is_labelled.sum()} of {len(names)} records labelled; {text}")
    if not is_labelled.any():
        raise InvalidECGError(
            f"No label of {path} has a record: it names {', '.join(table[record][:3])}, and the "
            f"records are {', '.join(names[:3])}. Pass record= if names are in another column."
        )
    repeats = pd.Index(names).get_indexer(pd.Index(all_names))
    if len(labels) == 1:
        return y[repeats, 0]
    return np.where(is_labelled[:, None], y, -1).astype(np.int64)[repeats]


def _read_table(path: Path) -> pd.DataFrame:
    """Return a table of text, with NaN for missing cells."""
    content = path.read_bytes()
    text = content.decode(find_encoding(content), "replace").lstrip()
    if excel := SEPARATOR_LINE.match(text):
        text = text[excel.end() :].lstrip()
    first = (text.splitlines() or [""])[0]
    delimiter = excel[1] if excel else max(_DELIMITERS, key=first.count)
    try:
        table = pd.read_csv(
            io.StringIO(text), sep=delimiter, dtype=str, keep_default_na=False,
            skipinitialspace=True,
        )  # fmt: skip
        if not isinstance(table.index, pd.RangeIndex):  # pandas would shift the columns
            raise ValueError("its rows have more fields than its header")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        raise InvalidECGError(f"{path} is not a table of text: {error}.") from error
    table = table.rename(columns=lambda name: str(name).strip().strip("'\""))
    table = table.apply(lambda column: column.str.strip().str.strip("='\"").str.strip())
    if table.columns.duplicated().any() or not len(table):
        raise InvalidECGError(f"{path} needs a header of different names, and lines after it.")
    return table.mask(table.apply(lambda column: column.str.lower().isin(_MISSING)))


def _encode(table, path):
    """Return labels (n_lines, n_columns) as numbers or text, None where they are missing."""
    values = table.astype(object).where(table.notna(), None).to_numpy()
    if table.shape[1] > 1:
        values = np.vectorize(lambda v: _TRUTH.get(str(v).lower(), v), otypes="O")(values)
    present = [value for value in values.ravel() if value is not None]
    numbers = pd.to_numeric(pd.Series(present, dtype=object), errors="coerce").to_numpy(float)
    is_indicator = np.isin(numbers, (0, 1))
    if table.shape[1] > 1 and not is_indicator.all():
        raise InvalidECGError(
            f"{path} has several columns of labels ({', '.join(table.columns[:5])}), so they "
            f"must be 0 or 1, got {present[np.argmin(is_indicator)]!r}. Pass label= with one "
            "column."
        )
    is_code = any(re.match(r"0\d", value) for value in present)  # such as 001
    if len(present) and not is_code and (np.abs(numbers) < _MOST_EXACT).all():  # not NaN
        kind = int if (numbers == numbers.round()).all() else float
        values = np.array([[None if v is None else kind(float(v)) for v in row] for row in values],
                          dtype=object)  # fmt: skip
    return values


def _match(names, labels, path):
    """Return the row in `names` of each label, None where there is none.

    A row that matches is closed to the looser comparisons that follow.
    """
    rows: list[int | None] = [None] * len(labels)
    for normalize in (str, _without_extension, _as_number):
        equal: dict[tuple, list[int]] = {}
        inner: dict[tuple, list[int]] = {}  # without some of the outer folders
        for row, name in enumerate(names):
            parts = _split(name, normalize)
            equal.setdefault(parts, []).append(row)
            for i in range(1, len(parts)):
                inner.setdefault(parts[i:], []).append(row)
        for is_inner in (False, True):
            closed = set(rows)
            for i in [i for i, row in enumerate(rows) if row is None]:
                parts = _split(labels[i], normalize)
                outer = [equal.get(parts[k:], []) for k in range(1, len(parts))]
                matches = equal.get(parts, [])
                if is_inner:
                    matches = inner.get(parts) or next(filter(None, outer), [])
                if len(matches) > 1:
                    raise InvalidECGError(
                        f"{path}: the name {labels[i]} fits {len(matches)} records, such as "
                        f"{names[matches[0]]} and {names[matches[1]]}. Use names with folders."
                    )
                if matches and matches[0] not in closed:
                    rows[i] = matches[0]
    return rows


def _split(name, normalize):
    """Return the folders and the normalized file of a name."""
    parts = [part for part in str(name).strip().replace("\\", "/").split("/") if part != "."]
    return (*filter(None, parts[:-1]), normalize(parts[-1] if parts else ""))


def _without_extension(file):
    return _EXTENSION.sub("", file)


def _as_number(file):
    """Return a file name without leading zeros, and without the decimals of Excel."""
    return re.sub(r"^(\d+)\.0+$", r"\1", _without_extension(file)).lstrip("0") or "0"
