"""Data home, table reader and warnings, shared by the loaders."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import pandas as pd
from sklearn.preprocessing import MultiLabelBinarizer
from sklearn.utils import Bunch

from sklearn_bell._utils.warn import warn_caller
from sklearn_bell.datasets._files import ReadPolicy, resolve_inside
from sklearn_bell.exceptions import InvalidECGError, RecordWarning

Loaded: TypeAlias = Bunch | tuple[np.ndarray, np.ndarray]
_N_NAMED = 5  # records named in a warning; the Bunch names all


class Source(NamedTuple):
    """Publisher of a data set."""

    name: str
    marker: str  # a file that identifies its folder
    folders: tuple[str, ...]  # usual names of its folder; downloads go to the first
    url: str  # of its page
    files: str  # address of its files
    size: str
    licence: str
    citation: str
    fetcher: str  # name of the function that downloads it
    about: str  # of the data

    @property
    def description(self) -> str:
        """Text about the data, with address, licence and citation, for the entry DESCR."""
        return f"{self.about}\nSource: {self.url} ({self.licence})\n{self.citation}"

    def find(self, data_home: str | os.PathLike[str] | None) -> Path:
        """Return the folder of the data set: the home itself, or a usual folder inside it."""
        home = get_data_home(data_home)
        mirror = self.files.partition("://")[2]  # folder of wget -r
        for folder in (home, *(home / name for name in (*self.folders, mirror))):
            if (folder / self.marker).is_file():
                return folder
        raise FileNotFoundError(
            f"Expected {self.name} in {home} or its folder {self.folders[0]!r}, but neither has a "
            f"file {self.marker}. Download it with {self.fetcher}, or from {self.url} "
            f"({self.size}, licence {self.licence}), and pass its folder as data_home."
        )


def get_data_home(data_home: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder where the loaders look for data sets.

    Parameters
    ----------
    data_home : str or path-like, default=None
        The folder; a leading ``~`` is the user's home. By default the environment variable
        ``SKLEARN_BELL_DATA``, or else ``~/sklearn_bell_data``.

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


def read_table(path: Path, columns, allow_links, check=None, **options) -> pd.DataFrame:
    """Read a CSV file with these columns, indexed by its first column, which must be unique.

    `check` returns the table. Errors on the content name the file.
    """
    try:
        resolve_inside(path.parent, path.name, ReadPolicy(allow_links=allow_links))
        table = pd.read_csv(path, **options)
        if not isinstance(table.index, pd.RangeIndex):  # pandas would shift the columns
            raise ValueError("its rows have more fields than its header")
        table = table.set_index(table.columns[0])
        missing = [name for name in columns if name not in table.columns]
        if missing:
            raise ValueError(f"it has no column {', '.join(missing)}")
        if table.index.hasnans or not table.index.is_unique:
            raise ValueError("the values in its first column are not unique")
        return check(table) if check else table
    except (AttributeError, LookupError, MemoryError, OSError, OverflowError, RecursionError,
            TypeError, ValueError) as error:  # fmt: skip
        raise InvalidECGError(
            f"{path} differs from the published file: {error} ({type(error).__name__}). Restore it."
        ) from error


def binarize(codes, class_of=None) -> tuple[np.ndarray, np.ndarray]:
    """Return an indicator (n_records, n_classes) and the classes, sorted.

    `class_of` maps codes to classes, and other codes are ignored. By default each code is a class.
    """
    if class_of is None:
        class_of = {code: code for record in codes for code in record}
    labels = [[class_of[code] for code in record if code in class_of] for record in codes]
    binarizer = MultiLabelBinarizer(classes=sorted(set(class_of.values())))
    indicator = binarizer.fit_transform(labels)
    return indicator.astype(np.int64, copy=False), binarizer.classes_.astype(str)


def warn_about_records(problem: str, names: Iterable[str], remedy: str) -> None:
    """Issue a :class:`RecordWarning` that names the first of the records."""
    names = list(names)
    more = f" and {len(names) - _N_NAMED} more" if len(names) > _N_NAMED else ""
    text = f"{len(names)} {problem}: {'; '.join(names[:_N_NAMED])}{more}. {remedy}"
    warn_caller(text, RecordWarning)
