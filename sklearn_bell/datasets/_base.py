"""What the loaders share: the folder of data sets, and records that a task leaves out."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sklearn_bell.datasets._record import resolve_inside
from sklearn_bell.datasets._sources import Source
from sklearn_bell.exceptions import InvalidECGError, RecordWarning

_N_NAMED = 5  # records that a warning names; the Bunch names all


def get_data_home(data_home: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder where the loaders look for data sets.

    It is `data_home` where given, else the environment variable ``SKLEARN_BELL_DATA``, else
    ``~/sklearn_bell_data``. The folder is not created.

    Parameters
    ----------
    data_home : str or path-like, default=None
        The folder, if not the default one. A leading ``~`` is the user's home.

    Returns
    -------
    data_home : pathlib.Path
        The folder, which may not exist.

    Examples
    --------
    >>> from sklearn_bell.datasets import get_data_home
    >>> get_data_home("ecg_archive").name
    'ecg_archive'
    """
    if data_home is None:
        data_home = os.environ.get("SKLEARN_BELL_DATA") or "~/sklearn_bell_data"
    return Path(data_home).expanduser()


def find_dataset(source: Source, data_home: str | os.PathLike[str] | None) -> Path:
    """Return the folder of a data set: the home itself, or one with a usual name inside it.

    Raises
    ------
    FileNotFoundError
        If there is none; it says where to get the data set, its size and its licence.
    """
    home = get_data_home(data_home)
    for folder in (home, *(home / name for name in source.folders)):
        if (folder / source.marker).is_file():
            return folder
    raise FileNotFoundError(
        f"{source.name} is not in {home}: neither there nor in its folder {source.folders[0]!r} is "
        f"there a file {source.marker}. Get it from {source.url} ({source.size}, licence "
        f"{source.licence}), unpack it as it is, and give its folder as data_home or the folder "
        "around it as the environment variable SKLEARN_BELL_DATA."
    )


def read_table(
    path: Path, columns: Iterable[str], *, allow_links: bool = False, **options: Any
) -> pd.DataFrame:
    """Read a CSV file that has these columns, and a first one that tells the rows apart.

    Raises
    ------
    InvalidECGError
        If it is not so, or a link out of its folder; it names the file.
    """
    with naming(path):
        root = os.sep if allow_links else os.path.realpath(path.parent)
        resolve_inside(str(path.parent), path.name, root)
        table = pd.read_csv(path, **options)
        if not isinstance(table.index, pd.RangeIndex):  # pandas would move the columns over
            raise ValueError("its rows have more fields than its header")
        table = table.set_index(table.columns[0])
        missing = [name for name in columns if name not in table.columns]
        if missing:
            raise ValueError(f"it has no column {', '.join(missing)}")
        if table.index.hasnans or not table.index.is_unique:
            raise ValueError("its first column does not tell all rows apart")
        return table


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Raise an error that names the file, where its content makes no sense."""
    try:
        yield
    except (AttributeError, LookupError, MemoryError, OSError, OverflowError, RecursionError,
            TypeError, ValueError) as error:  # fmt: skip
        raise InvalidECGError(
            f"{path} is not as its publisher has made it: {error} ({type(error).__name__})."
        ) from error


def warn_of_records(what: str, names: Iterable[str], advice: str) -> None:
    """Warn with a :class:`RecordWarning` that names the first of the records."""
    names = list(names)
    more = f" and {len(names) - _N_NAMED} more" if len(names) > _N_NAMED else ""
    # stacklevel: to the user's line, past this, its caller, the loader and validate_params
    warnings.warn(
        f"{len(names)} {what}: {'; '.join(names[:_N_NAMED])}{more}. {advice}",
        RecordWarning,
        stacklevel=5,
    )


def select_labelled(
    names: np.ndarray, labelled: np.ndarray, task: str, unlabelled: bool
) -> tuple[np.ndarray, dict[str, str]]:
    """Return which records to read, and those left out, which are warned about, with the reason."""
    if unlabelled or labelled.all():
        return np.ones(len(names), dtype=bool), {}
    left_out = {str(name): f"no label of the task {task!r}" for name in names[~labelled]}
    warn_of_records(
        f"of {len(names)} records have no label of the task {task!r} and are left out",
        left_out,
        "Pass unlabelled=True to keep them.",
    )
    return labelled, left_out
