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

from sklearn_bell.exceptions import InvalidECGError

_DELIMITERS = ",;\t|"
_EXTENSION = re.compile(r"\.[A-Za-z]\w{0,7}$")
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

    Names match with or without folder, extension, leading zeros and blanks. Cells are separated by
    commas, semicolons, tabs or vertical bars.

    Parameters
    ----------
    path : str or path-like
        A table with a header and a line for each record.
    record_names : array-like of str of shape (n_records,)
        Names of the records, such as ``record_names`` of :func:`read_ecg`.
    record : str, default=None
        Column of the names of records. None is the first one.
    label : str or sequence of str, default=None
        Column of the class, or columns of 0 and 1 for several labels. None is all other columns.
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
        If a column is missing, if a record has different labels, if a name fits several records, if
        no label has a record, or if one of several columns is neither 0 nor 1.

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
    record = table.columns[0] if record is None else record
    not_record = [name for name in table.columns if name != record]
    labels = not_record if label is None else [label] if isinstance(label, str) else list(label)
    missing = [name for name in (record, *labels) if name not in table.columns]
    if missing or not labels:
        raise InvalidECGError(
            f"{path} has the columns {', '.join(table.columns)}; expected a column of records and "
            f"one or more of labels{f', but not {missing[0]!r}' if missing else ''}. Pass record= "
            "and label=."
        )
    table = table[table[record].notna()]
    names = [str(name) for name in np.asarray(record_names, dtype=object)]
    rows = _match(names, table[record].tolist(), path)
    values = _encode(table[labels], path)
    y = np.full((len(names), values.shape[1]), None, dtype=object)
    for row, value in zip(rows, values, strict=True):
        if row is None:
            continue
        is_new = pd.isna(y[row]).all()
        if not is_new and not _equal(y[row], value):
            raise InvalidECGError(
                f"{path} has different labels of record {names[row]}: {y[row].tolist()} and "
                f"{value.tolist()}. Leave one of them."
            )
        y[row] = value
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
    if len(labels) == 1:
        return y[:, 0]
    return np.where(is_labelled[:, None], y, -1).astype(np.int64)


def _equal(first, second):
    return all(a == b or (pd.isna(a) and pd.isna(b)) for a, b in zip(first, second, strict=True))


def _read_table(path: Path) -> pd.DataFrame:
    """Return a table of text, with NaN for missing cells."""
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(_DELIMITERS, key=first.count)
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
    table = table.apply(lambda column: column.str.strip().str.strip("'\"").str.strip())
    if table.columns.duplicated().any() or not len(table):
        raise InvalidECGError(f"{path} needs a header of different names, and lines after it.")
    return table.mask(table.apply(lambda column: column.str.lower().isin(_MISSING)))


def _encode(table, path):
    """Return labels (n_lines, n_columns) as numbers or text, None where they are missing."""
    values = table.astype(object).where(table.notna(), None).to_numpy()
    present = [value for value in values.ravel() if value is not None]
    numbers = pd.to_numeric(pd.Series(present, dtype=object), errors="coerce").to_numpy(float)
    is_indicator = np.isin(numbers, (0, 1))
    if table.shape[1] > 1 and not is_indicator.all():
        raise InvalidECGError(
            f"{path} has several columns of labels ({', '.join(table.columns[:5])}), so they "
            f"must be 0 or 1, got {present[np.argmin(is_indicator)]!r}. Pass label= with one "
            "column."
        )
    if len(present) and (np.abs(numbers) < _MOST_EXACT).all():  # not NaN
        kind = int if (numbers == numbers.round()).all() else float
        values = np.array([[None if v is None else kind(float(v)) for v in row] for row in values],
                          dtype=object)  # fmt: skip
    return values


def _match(names, labels, path):
    """Return the row in `names` of each label, None where there is none."""
    rows: list[int | None] = [None] * len(labels)
    for normalize in (_of_path, _of_file, _of_number):
        known: dict[str, list[int]] = {}
        for row, name in enumerate(names):
            known.setdefault(normalize(name), []).append(row)
        for i, label in enumerate(labels):
            matches = known.get(normalize(label), []) if rows[i] is None else []
            if len(matches) > 1:
                raise InvalidECGError(
                    f"{path}: the name {label} fits {len(matches)} records, such as "
                    f"{names[matches[0]]} and {names[matches[1]]}. Use names with their folders."
                )
            if matches:
                rows[i] = matches[0]
    return rows


def _of_path(name):
    return _EXTENSION.sub("", str(name).strip().replace("\\", "/")).removeprefix("./")


def _of_file(name):
    return _of_path(name).rpartition("/")[2]


def _of_number(name):
    return _of_file(name).lstrip("0") or "0"
