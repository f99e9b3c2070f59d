"""Readers of records from files of several formats: WFDB, CSV and .npy."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from sklearn_bell._utils.leads import lead_positions, standard_name
from sklearn_bell.datasets._wfdb import read_wfdb
from sklearn_bell.exceptions import InvalidECGError

_NOT_LEADS = {"", "index", "time", "t"}  # columns that other programs write beside leads
_EXPECTED = "expected cells separated by commas: a header of leads, then a line in mV per sample"


def load_records(path: Path, leads, sampling_rate, duration, out: Path | None = None) -> Bunch:
    """Read records in mV from a folder of WFDB or CSV files, or from one file or ``.npy`` array.

    `sampling_rate` and `duration` convert WFDB records; other files require their rate and keep
    their length. `leads` name those of ``.npy``.
    """
    is_record = path.with_name(f"{path.name}.hea").exists()  # named without its extension
    if not is_record and not path.exists():
        raise InvalidECGError(f"there is no folder or file {path}")
    files = [path]
    if path.is_dir() and not is_record:
        files = sorted(path.rglob("*.hea")) or sorted(path.rglob("*.csv"))
        if not files:
            raise InvalidECGError(f"{path} has no WFDB records (files *.hea) and no .csv files")
    kind = files[0].suffix
    if kind not in (".npy", ".csv"):
        options = {"leads": leads, "sampling_rate": sampling_rate, "duration": duration}
        return read_wfdb(files, on_error="skip", n_jobs=-1, out=out, **options)
    if sampling_rate is None:
        raise InvalidECGError(f"{path} has no sampling rate: give --sampling-rate")
    ecg = read_csv(files, leads) if kind == ".csv" else _read_npy(path, leads)
    ecg.sampling_rate = sampling_rate
    return ecg


def _read_npy(path: Path, leads: Sequence[str] | None) -> Bunch:
    try:
        data = np.load(path, mmap_mode="r")
    except (ValueError, EOFError) as error:
        raise InvalidECGError(f"{path} is not a .npy file of numbers ({error})") from error
    if data.ndim != 3:
        shape = "(n_records, n_leads, n_samples)"
        raise InvalidECGError(f"{path} must be of shape {shape}, got {data.shape}")
    return Bunch(data=data, lead_names=leads, record_names=[*map(str, range(len(data)))])


def read_csv(paths: Iterable[Path], leads: Sequence[str] | None = None) -> Bunch:
    """Read one record in mV from each CSV file: a column for each lead, a row for each sample.

    `leads` default to all of the first file, and then no file may have others. The entry
    ``left_out`` names columns of an index or of times.
    """
    records, left_out, paths, lead_names = [], set(), list(paths), leads
    for path in paths:
        names, values, other_columns = _read_record(path)
        left_out |= other_columns
        if lead_names is None:
            lead_names = [standard_name(name) for name in names]
        if leads is None and len(names) != len(lead_names):
            first = f"{paths[0]} has {', '.join(lead_names)}: choose leads of all files by --leads"
            raise InvalidECGError(f"{path} has the leads {', '.join(names)}, but {first}.")
        try:
            positions = lead_positions(lead_names, names)
        except InvalidECGError as error:
            raise InvalidECGError(f"{path}: {error}") from error
        records.append(values[:, positions].T.astype(np.float32))
        if records[-1].shape != records[0].shape:
            first = f"{paths[0]} has {records[0].shape[1]}: crop all records to one length"
            raise InvalidECGError(f"{path} has {len(values)} samples, but {first}.")
    return Bunch(
        data=np.stack(records),
        lead_names=lead_names,
        record_names=[str(path.with_suffix("")) for path in paths],
        left_out=sorted(left_out),
    )


def _read_record(path: Path) -> tuple[list[str], np.ndarray, set[str]]:
    """Return lead names, values (n_samples, n_leads), and the names of other columns."""
    header = _check_header(path, _read_cells(path, nrows=1).iloc[0])
    table = _read_cells(path)
    leads = [i for i, name in enumerate(header) if name.lower() not in _NOT_LEADS]
    names = [header[i] for i in leads]
    cells = table.iloc[1:, leads][(table.iloc[1:] != "").any(axis=1)]  # without blank lines
    if cells.empty:
        raise InvalidECGError(f"{path} has no samples; {_EXPECTED}.")
    values = cells.apply(pd.to_numeric, errors="coerce").to_numpy(float)
    # a lead that is NaN as a whole is missing: the estimator decides about it
    is_missing = (cells.apply(lambda column: column.str.strip().str.lower()) == "nan").all()
    bad = np.argwhere(~np.isfinite(values) & ~is_missing.to_numpy())
    if len(bad):
        row, column = bad[0]
        problem = f"found {cells.iloc[row, column]!r} in column {names[column]}"
        raise InvalidECGError(f"{path}, line {cells.index[row] + 1}: {problem}; {_EXPECTED}.")
    return names, values, set(header) - set(names)


def _read_cells(path: Path, **options: Any) -> pd.DataFrame:
    """Read all cells as text. The header is a row like the others, so that none may be longer."""
    try:
        return pd.read_csv(
            path, header=None, dtype=str, keep_default_na=False, skipinitialspace=True,
            skip_blank_lines=False, encoding="utf-8-sig", encoding_errors="replace", **options,
        )  # fmt: skip
    except pd.errors.EmptyDataError:
        return pd.DataFrame([[""]])
    except pd.errors.ParserError as error:
        pattern = r".*Expected (\d+) fields in line (\d+), saw (\d+).*"
        cause = re.sub(pattern, r"line \2: found \3 cells, not \1", str(error), flags=re.DOTALL)
        raise InvalidECGError(f"{path}, {cause}; {_EXPECTED}.") from error


def _check_header(path: Path, cells: Iterable[str]) -> list[str]:
    header = [cell.strip() for cell in cells]
    names = [name for name in header if name.lower() not in _NOT_LEADS]
    lower = [name.lower() for name in names]
    repeated = [name for name in names if lower.count(name.lower()) > 1]
    if len(header) < 2 and any(sign in "".join(header) for sign in ";\t"):
        problem = "cells are separated by semicolons or tabs"
    elif not names:
        problem = "found no lead names"
    elif pd.to_numeric(pd.Series(names), errors="coerce").notna().all():
        problem = f"found the numbers {', '.join(names[:3])} instead of lead names"
    elif repeated:
        problem = f"lead {repeated[0]} is named twice"
    else:
        return header
    raise InvalidECGError(f"{path}, line 1: {problem}; {_EXPECTED}.")
