"""LUDB, the Lobachevsky University Database: loader, download and source."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils._param_validation import StrOptions, validate_params

from sklearn_bell.datasets._base import Loaded, Source, binarize, read_table
from sklearn_bell.datasets._download import download_if_absent
from sklearn_bell.datasets._files import ReadPolicy
from sklearn_bell.datasets._reading import CONSTRAINTS, check_leads
from sklearn_bell.datasets._record import TargetFormat
from sklearn_bell.datasets._wfdb import read_labelled

LUDB = Source(
    name="LUDB",
    marker="ludb.csv",
    folders=("ludb", "lobachevsky-university-electrocardiography-database-1.0.1"),
    url="https://physionet.org/content/ludb/1.0.1/",
    files="https://physionet.org/files/ludb/1.0.1/",
    size="about 25 MB unpacked",
    licence="ODC-By 1.0",
    citation="""\
Kalyakulina et al., LUDB: A New Open-Access Validation Tool for Electrocardiogram Delineation
Algorithms. IEEE Access 8, 186181-186190 (2020), doi:10.1109/ACCESS.2020.3029211,
doi:10.13026/eegm-h675
""",
    fetcher="fetch_ludb",
    about="""\
LUDB: 200 12-lead ECGs of 10 s at 500 Hz, one of each of 200 patients and healthy volunteers,
recorded 2017-2018 in Nizhny Novgorod, with the diagnoses of cardiologists. The gains in its headers
scale every lead to a peak-to-peak amplitude of 1 and are not used: the digital values are taken as
microvolts. They obey Einthoven's law (III = II - I), and have the usual amplitudes of ECGs.
""",
)

_COLUMNS = {
    "rhythm": "Rhythms",
    "axis": "Electric axis of the heart",
    "conduction": "Conduction abnormalities",
    "hypertrophy": "Hypertrophies",
}
_CONSTRAINTS = CONSTRAINTS | {"task": [StrOptions(set(_COLUMNS))]}


@validate_params(_CONSTRAINTS, prefer_skip_nested_validation=True)
def load_ludb(
    data_home: str | os.PathLike[str] | None = None,
    *,
    task: str = "rhythm",
    sampling_rate: float | None = 500,
    leads: Sequence[str] | None = None,
    unlabelled: bool = False,
    n_jobs: int | None = None,
    out: str | os.PathLike[str] | None = None,
    allow_links: bool = False,
    download_if_missing: bool = False,
    n_connections: int = 4,
    verbose: bool = True,
    return_X_y: bool = False,
) -> Loaded:
    """Load LUDB, 200 12-lead ECGs with rhythm, axis, conduction and hypertrophy.

    The files are those of the publisher [1]_: ``ludb.csv`` and the folder ``data``. Their digital
    values are microvolts; header gains, which scale leads to 1 from peak to peak, are not used.

    Parameters
    ----------
    data_home : str or path-like, default=None
        The folder of LUDB, or the one around ``ludb``, by default :func:`get_data_home`.
    task : {"rhythm", "axis", "conduction", "hypertrophy"}, default="rhythm"
        The target. ``"rhythm"`` and ``"axis"`` have one class for each record (4 records have two
        rhythms, of which the first counts; the 10 with a pacemaker have no axis). ``"conduction"``
        and ``"hypertrophy"`` are multi-label: a record may have several abnormalities, or none.
    sampling_rate : float, default=500
        In Hz; the records have 500, as with None, and are resampled to any other.
    unlabelled : bool, default=False
        Keep records without an axis, with the target -1. By default they are left out.
    leads, n_jobs, out, allow_links, download_if_missing, n_connections, verbose, return_X_y
        As in :func:`load_ptbxl`. The download has about 25 MB.

    Returns
    -------
    bunch : :class:`~sklearn.utils.Bunch`
        As from :func:`load_ptbxl`, but without `fold`, and with:

        target : ndarray of shape (n_records,) or (n_records, n_classes)
            Class indices for ``"rhythm"`` and ``"axis"``, else 1 for each abnormality.
        target_names : ndarray of shape (n_classes,)
            The classes in the publisher's words, sorted.
        metadata : DataFrame of n_records rows
            The publisher's table as text, indexed by ``ID``. A cell has one finding on each line.

    Raises
    ------
    FileNotFoundError, InvalidECGError, OSError, ImportError
        As from :func:`load_ptbxl`.

    References
    ----------
    .. [1] Kalyakulina et al., IEEE Access 8, 186181 (2020), doi:10.1109/ACCESS.2020.3029211

    Examples
    --------
    >>> from sklearn_bell.datasets import load_ludb
    >>> X, y = load_ludb(task="hypertrophy", return_X_y=True)  # doctest: +SKIP
    """
    target_format = TargetFormat(check_leads(leads), sampling_rate)
    if download_if_missing:
        download_if_absent(LUDB, data_home, ("",), n_connections, verbose)
    folder = LUDB.find(data_home)
    columns, as_text = _COLUMNS.values(), {"dtype": str, "keep_default_na": False}
    to_numbers = partial(pd.DataFrame.rename, index=int)
    table = read_table(folder / LUDB.marker, columns, allow_links, to_numbers, **as_text)
    table = table.apply(lambda column: column.str.strip())  # cells end in line breaks
    findings = [cell.splitlines() for cell in table[_COLUMNS[task]]]
    if task in ("conduction", "hypertrophy"):
        target, target_names = binarize([[*map(str.strip, lines)] for lines in findings])
        labelled = np.ones(len(table), dtype=bool)
    else:
        # of "Electric axis of the heart: normal" the last part; -1 for no finding
        first = [lines[0].split(": ")[-1] or None if lines else None for lines in findings]
        target, target_names = pd.factorize(np.array(first, dtype=object), sort=True)
        target_names, labelled = target_names.astype(str), target >= 0

    names = np.array([f"data/{number}" for number in table.index])
    rows = {"target": target, "groups": table.index.to_numpy(), "metadata": table}
    policy = ReadPolicy(folder, allow_links=allow_links)
    options = {"task": task, "unlabelled": unlabelled, "n_jobs": n_jobs, "out": out}
    options["adc_gain"] = 1000.0  # microvolts; the headers have others
    bunch = read_labelled(names, labelled, rows, target_format, policy, **options)
    bunch.update(target_names=target_names, DESCR=LUDB.description)
    return (bunch.data, bunch.target) if return_X_y else bunch


def fetch_ludb(data_home: str | os.PathLike[str] | None = None, **options: Any) -> Loaded:
    """Download LUDB (25 MB) if missing, and load it with the options of :func:`load_ludb`.

    Downloads go to the folder ``ludb`` in `data_home`.

    Examples
    --------
    >>> from sklearn_bell.datasets import fetch_ludb
    >>> ecg = fetch_ludb(task="axis")  # doctest: +SKIP
    """
    return load_ludb(data_home, download_if_missing=True, **options)
