"""PTB-XL, from the files in which its publisher distributes it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from numbers import Integral
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.preprocessing import MultiLabelBinarizer
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Options, StrOptions, validate_params

from sklearn_bell.datasets._base import (
    find_dataset,
    naming,
    read_table,
    select_labelled,
)
from sklearn_bell.datasets._record import Layout
from sklearn_bell.datasets._sources import PTB_XL
from sklearn_bell.datasets._wfdb import check_leads, read_policy, read_records
from sklearn_bell.exceptions import InvalidECGError

_DESCR = f"""\
PTB-XL: clinical 12-lead ECGs of 10 s, recorded 1989-1996, with the statements (SCP-ECG codes) of
one or two cardiologists. The whole of version 1.0.3 has 21,799 records of 18,869 patients, at
100 Hz and 500 Hz. Folds 1-8 are meant for training, 9 for validation, 10 for the final test;
patients do not cross folds, and folds 9 and 10 hold labels of the highest quality.

Labels are aggregated from the codes as in the benchmark of Strodthoff et al.: a code counts
whatever its likelihood, even 0 (unknown).

Source: {PTB_XL.url} ({PTB_XL.licence})
{PTB_XL.citation}Strodthoff et al., Deep Learning for ECG Analysis: Benchmarks and
Insights from PTB-XL. IEEE Journal of Biomedical and Health Informatics 25(5), 1519-1528 (2021),
doi:10.1109/JBHI.2020.3022989
"""

_FILE_COLUMNS = {100: "filename_lr", 500: "filename_hr"}
# the columns of scp_statements.csv that say which codes count, and their class if not the code
_TASKS: dict[str, tuple[str | None, str | None]] = {
    "all": (None, None),
    "diagnostic": ("diagnostic", None),
    "subdiagnostic": ("diagnostic", "diagnostic_subclass"),
    "superdiagnostic": ("diagnostic", "diagnostic_class"),
    "form": ("form", None),
    "rhythm": ("rhythm", None),
}


@validate_params(
    {
        "data_home": [str, os.PathLike, None],
        "task": [StrOptions(set(_TASKS))],
        "sampling_rate": [Options(Integral, set(_FILE_COLUMNS))],
        "folds": "no_validation",
        "leads": ["array-like", None],
        "unlabelled": ["boolean"],
        "n_jobs": [Integral, None],
        "out": [str, os.PathLike, None],
        "allow_links": ["boolean"],
        "return_X_y": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def load_ptbxl(
    data_home: str | os.PathLike[str] | None = None,
    *,
    task: str = "superdiagnostic",
    sampling_rate: int = 100,
    folds: Iterable[int] | None = None,
    leads: Sequence[str] | None = None,
    unlabelled: bool = False,
    n_jobs: int | None = None,
    out: str | os.PathLike[str] | None = None,
    allow_links: bool = False,
    return_X_y: bool = False,
) -> Bunch | tuple[np.ndarray, np.ndarray]:
    """Load PTB-XL, 12-lead ECGs with the statements of cardiologists (multi-label).

    The files are those of the publisher: ``ptbxl_database.csv``, ``scp_statements.csv`` and the
    folders ``records100`` and ``records500``, of which one is enough. Nothing is downloaded. A
    part of the data set loads if its ``ptbxl_database.csv`` lists the records of that part.

    Parameters
    ----------
    data_home : str or path-like, default=None
        The folder of PTB-XL, or the one around its folder ``ptb-xl``. By default that of
        :func:`get_data_home`.
    task : {"all", "diagnostic", "subdiagnostic", "superdiagnostic", "form", "rhythm"}, \
            default="superdiagnostic"
        Which statements are the classes: all 71, the 44 diagnostic ones, their 23 subclasses,
        their 5 superclasses (CD, HYP, MI, NORM, STTC), the 19 of form or the 12 of rhythm.
    sampling_rate : {100, 500}, default=100
        Which of the publisher's files to read, in Hz.
    folds : iterable of int, default=None
        The folds to load, of 1 to 10. By default all.
    leads : sequence of str of length n_leads, default=None
        Names of the leads to load, in this order. By default all twelve.
    unlabelled : bool, default=False
        Whether to keep records that have no label of the task; their row of `target` is zero. By
        default they are left out, as in the benchmark, and a warning says how many.
    n_jobs : int, default=None
        Number of records read at the same time; see :func:`read_wfdb`.
    out : str or path-like, default=None
        Path of a ``.npy`` file to write the records to instead of holding them in memory; see
        :func:`read_wfdb`. At 500 Hz the whole data set takes 5.2 GB.
    allow_links : bool, default=False
        Whether files may be symbolic links out of the folder of the data set.
    return_X_y : bool, default=False
        Whether to return ``(data, target)`` instead of the Bunch.

    Returns
    -------
    bunch : :class:`~sklearn.utils.Bunch`
        data : ndarray of shape (n_records, n_leads, n_samples)
            The records in mV, float32; with `out` a read-only memory map.
        target : ndarray of shape (n_records, n_classes)
            1 where the record has the class, else 0.
        target_names : ndarray of shape (n_classes,)
            The classes, sorted: every one that the task has, whatever the folds, so that all
            parts of the data set have the same columns.
        groups : ndarray of shape (n_records,)
            The patients.
        fold : ndarray of shape (n_records,)
            The publisher's fold.
        lead_names : list of str of length n_leads
            By default I, II, III, aVR, aVL, aVF, V1-V6.
        sampling_rate : float
            In Hz.
        units : str
            ``"mV"``.
        record_names : ndarray of shape (n_records,)
            The publisher's file names, such as ``records100/00000/00001_lr``.
        metadata : DataFrame of n_records rows
            The publisher's table, with age, sex and the rest, indexed by ``ecg_id``.
        skipped : dict
            Why a record was left out, by its name.
        DESCR : str
            What the data set is, and what to cite.

    Raises
    ------
    FileNotFoundError
        If the data set, or the part of it with this sampling rate, is not there; it says where to
        get it.
    InvalidECGError
        If a record cannot be read, if there is none to read, or if a table is not as the publisher
        has made it. It names the record or the table.

    Warns
    -----
    RecordWarning
        If records without a label of the task are left out.

    Notes
    -----
    Statements become labels as in ``compute_label_aggregations`` of the benchmark [2]_
    (https://github.com/helme/ecg_ptbxl_benchmarking): every code that a record lists counts,
    whatever its likelihood, even 0, which stands for unknown.

    References
    ----------
    .. [1] Wagner et al., "PTB-XL, a large publicly available electrocardiography dataset",
       Scientific Data 7, 154 (2020), doi:10.1038/s41597-020-0495-6
    .. [2] Strodthoff et al., "Deep Learning for ECG Analysis: Benchmarks and Insights from
       PTB-XL", IEEE JBHI 25(5), 1519-1528 (2021), doi:10.1109/JBHI.2020.3022989

    Examples
    --------
    >>> from sklearn_bell.datasets import load_ptbxl
    >>> train = load_ptbxl(folds=range(1, 9), unlabelled=True)  # doctest: +SKIP
    >>> load_ptbxl("an_empty_folder")
    Traceback (most recent call last):
        ...
    FileNotFoundError: PTB-XL is not in an_empty_folder: ... Get it from https://physionet.org/...
    """
    wanted_leads = check_leads(leads)
    folder = find_dataset(PTB_XL, data_home)
    if not (folder / f"records{sampling_rate}").is_dir():
        raise FileNotFoundError(
            f"{folder} has no folder records{sampling_rate}, where the records of {sampling_rate} "
            f"Hz are. Get it from {PTB_XL.url}, or load the records of the other sampling_rate."
        )
    table = _read_records(folder, _FILE_COLUMNS[sampling_rate], allow_links)
    if folds is not None:
        table = _select_folds(table, folds)
    target, target_names = _encode(table["scp_codes"], folder, task, allow_links)

    names = np.array(table[_FILE_COLUMNS[sampling_rate]], dtype=str)
    keep, skipped = select_labelled(names, np.asarray(target.any(axis=1)), task, unlabelled)
    table, target, names = table[keep], target[keep], names[keep]
    trust = read_policy(folder, allow_links=allow_links)
    bunch = read_records(names, folder, Layout(wanted_leads), trust, n_jobs=n_jobs, out=out)
    if return_X_y:
        return bunch.data, target
    del bunch["padded"]  # no duration is asked for
    bunch.update(
        target=target,
        target_names=target_names,
        groups=table["patient_id"].to_numpy(dtype=np.int64),
        fold=table["strat_fold"].to_numpy(dtype=np.int64),
        metadata=table,
        skipped=skipped,
        DESCR=_DESCR,
    )
    return bunch


def _select_folds(table: pd.DataFrame, folds: Iterable[int]) -> pd.DataFrame:
    """Return the rows of the folds, each of which must be there."""
    folds, there = set(folds), set(table["strat_fold"])
    if not folds or not folds <= there:
        raise InvalidECGError(
            f"folds must be some of {sorted(map(int, there))}, but got {sorted(folds)}."
        )
    return table[table["strat_fold"].isin(folds)]


def _read_records(folder: Path, file_column: str, allow_links: bool) -> pd.DataFrame:
    """Return the table of records, in which what is used makes sense."""
    path = folder / PTB_XL.marker
    columns = ["patient_id", "strat_fold", "scp_codes", file_column]
    table = read_table(path, columns, allow_links=allow_links)
    with naming(path):
        for column in ("patient_id", "strat_fold"):
            if (table[column].astype(np.int64) != table[column]).any():
                raise ValueError(f"its column {column} is not of whole numbers")
        for column in ("scp_codes", file_column):
            if not table[column].map(lambda cell: isinstance(cell, str)).all():
                raise ValueError(f"its column {column} is not of text")
        for cell in table["scp_codes"]:
            _codes(cell)
    return table


def _codes(cell: str) -> dict[str, float]:
    """Return codes and their likelihoods, as of ``{'NORM': 100.0, 'SR': 0.0}``."""
    codes = json.loads(cell.replace("'", '"'))
    if not isinstance(codes, dict):
        raise ValueError(f"{cell!r} has no codes")
    return codes


def _encode(
    codes: pd.Series, folder: Path, task: str, allow_links: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the indicator (n_records, n_classes) of a task, and the names of its classes."""
    kind, column = _TASKS[task]
    path = folder / "scp_statements.csv"
    columns = [name for name in (kind, column) if name is not None]
    statements = read_table(path, columns, allow_links=allow_links)
    if kind is not None:
        statements = statements[statements[kind] == 1]
    classes = statements.index.to_series() if column is None else statements[column].dropna()
    class_of = {
        # some excerpts of PTB-XL write NT for NT_
        **{str(code).rstrip("_"): name for code, name in classes.items()},
        **classes,
    }
    labels = [[class_of[code] for code in _codes(cell) if code in class_of] for cell in codes]
    target_names = sorted(set(classes))
    target = MultiLabelBinarizer(classes=target_names).fit_transform(labels)
    return target.astype(np.int64, copy=False), np.array(target_names, dtype=str)
