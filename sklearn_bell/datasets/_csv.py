"""Read CSV files of one record each: a column for each lead, a row for each sample."""

from __future__ import annotations

import csv
import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np
from sklearn.utils import Bunch

from sklearn_bell._utils.leads import lead_positions, standard_name
from sklearn_bell.exceptions import InvalidECGError

_NO_LEADS = {"", "index", "time", "t"}  # names of columns that other programs write beside leads
_EXPECTED = (
    "expected cells that are separated by commas: a header of lead names, and under it a line of "
    "numbers in mV for each sample"
)


def read_csv(paths: Iterable[Path], leads: Sequence[str] | None = None) -> Bunch:
    """Read a record in mV from each of the files, which have the same leads and length.

    Columns that are named as an index or a time are left out. Errors name the file.

    Parameters
    ----------
    paths : iterable of Path
    leads : sequence of str, default=None
        Names of the leads to read, in this order, whatever their case. By default all, in the order
        of the first file, and then no file may have others.

    Returns
    -------
    bunch : Bunch
        ``data`` (n_records, n_leads, n_samples), float32; ``lead_names``; ``record_names``, which
        are the paths without extension; and ``left_out``, names of columns.
    """
    records, left_out, paths, wanted = [], set(), list(paths), leads
    for path in paths:
        names, values, others = _read_one(path)
        left_out |= others
        if wanted is None:
            wanted = [standard_name(name) for name in names]
        if leads is None and len(names) != len(wanted):
            raise InvalidECGError(
                f"{path} has the leads {', '.join(names)}, but {paths[0]} has {', '.join(wanted)}: "
                "choose those of all files by --leads."
            )
        try:
            positions = lead_positions(wanted, names)
        except InvalidECGError as error:
            raise InvalidECGError(f"{path}: {error}") from error
        records.append(values[:, positions].T.astype(np.float32))
        if records[-1].shape != records[0].shape:
            raise InvalidECGError(
                f"{path} has {len(values)} samples, but {paths[0]} has {records[0].shape[1]}: all "
                "records must be of one length."
            )
    return Bunch(
        data=np.stack(records),
        lead_names=wanted,
        record_names=[str(path.with_suffix("")) for path in paths],
        left_out=sorted(left_out),
    )


def _read_one(path: Path) -> tuple[list[str], np.ndarray, set[str]]:
    """Return the names of leads, their values, and the names of what is no lead."""
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
        header = [cell.strip() for cell in next(csv.reader(file), [])]
        others = {name for name in header if name.lower() in _NO_LEADS}
        kept = [i for i, name in enumerate(header) if name not in others]
        names = [header[i] for i in kept]
        _check_header(path, header, names)
        not_read: dict[int | str, Callable[[str], float]] = {
            i: lambda _: 0.0 for i, name in enumerate(header) if name in others
        }
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "loadtxt: input contained no data")
            try:
                values = np.loadtxt(
                    file, delimiter=",", quotechar='"', comments=None, ndmin=2, converters=not_read
                )  # fmt: skip
            except ValueError as error:
                _explain(path, header, others, error)
    # a lead that is NaN as a whole is missing: what is fitted has to say what it does with it
    fits = values.shape[1] == len(header) and len(values)
    if not fits or (~np.isfinite(values) & ~np.isnan(values).all(axis=0)).any():
        _explain(path, header, others, "it has no samples")
    return names, values[:, kept], others


def _check_header(path: Path, header: list[str], leads: list[str]) -> None:
    if len(header) < 2 and any(sign in "".join(header) for sign in ";\t"):
        raise InvalidECGError(
            f"{path}, line 1: cells are separated by semicolons or tabs; {_EXPECTED}."
        )
    if not leads or all(map(_is_number, leads)):
        found = f"numbers, {', '.join(leads[:3])}, " if leads else "no names "
        raise InvalidECGError(f"{path}, line 1: found {found}where lead names stand; {_EXPECTED}.")
    twice = [name for name in leads if [x.lower() for x in leads].count(name.lower()) > 1]
    if twice:
        raise InvalidECGError(f"{path}, line 1: lead {twice[0]} is named twice; {_EXPECTED}.")


def _explain(path: Path, header: list[str], others: set[str], cause: object) -> NoReturn:
    """Raise an error that names the first line which is not as it should be."""
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
        rows = csv.reader(file)
        next(rows)
        for row in filter(None, rows):
            where = f"{path}, line {rows.line_num}"
            if len(row) != len(header):
                raise InvalidECGError(
                    f"{where}: found {len(row)} cells under a header of {len(header)}; {_EXPECTED}."
                )
            for name, cell in zip(header, row, strict=True):
                if name not in others and not (_is_number(cell) and math.isfinite(float(cell))):
                    raise InvalidECGError(f"{where}: found {cell!r} in column {name}; {_EXPECTED}.")
    raise InvalidECGError(f"{path}: {cause}; {_EXPECTED}.")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
