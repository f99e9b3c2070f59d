"""LUDB, the Lobachevsky University Database, from the files of its publisher."""

from __future__ import annotations

import os
from collections.abc import Sequence
from numbers import Integral, Real

import numpy as np
from sklearn.preprocessing import MultiLabelBinarizer
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from sklearn_bell.datasets._base import (
    find_dataset,
    naming,
    read_table,
    select_labelled,
)
from sklearn_bell.datasets._record import Layout
from sklearn_bell.datasets._sources import LUDB
from sklearn_bell.datasets._wfdb import check_leads, read_policy, read_records

_DESCR = f"""\
LUDB: 200 12-lead ECGs of 10 s at 500 Hz, one of each of 200 patients and healthy volunteers,
recorded 2017-2018 in Nizhny Novgorod, with the diagnoses of cardiologists.

The gains in its headers scale every lead to a peak-to-peak amplitude of 1 and are not used: the
digital values are taken as microvolts. They obey Einthoven's law (III = II - I), and are of the
size that ECGs are.

Source: {LUDB.url} ({LUDB.licence})
{LUDB.citation}"""

_COLUMNS = {
    "rhythm": "Rhythms",
    "axis": "Electric axis of the heart",
    "conduction": "Conduction abnormalities",
    "hypertrophy": "Hypertrophies",
}
_MULTI_LABEL = {"conduction", "hypertrophy"}
_UNITS_PER_MV = 1000.0  # the digital values are microvolts


@validate_params(
    {
        "data_home": [str, os.PathLike, None],
        "task": [StrOptions(set(_COLUMNS))],
        "sampling_rate": [Interval(Real, 0, None, closed="neither")],
        "leads": ["array-like", None],
        "unlabelled": ["boolean"],
        "n_jobs": [Integral, None],
        "out": [str, os.PathLike, None],
        "allow_links": ["boolean"],
        "return_X_y": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def load_ludb(
    data_home: str | os.PathLike[str] | None = None,
    *,
    task: str = "rhythm",
    sampling_rate: float = 500,
    leads: Sequence[str] | None = None,
    unlabelled: bool = False,
    n_jobs: int | None = None,
    out: str | os.PathLike[str] | None = None,
    allow_links: bool = False,
    return_X_y: bool = False,
) -> Bunch | tuple[np.ndarray, np.ndarray]:
    """Load LUDB, 200 12-lead ECGs with rhythm, axis, conduction and hypertrophy.

    The files are those of the publisher: ``ludb.csv`` and the folder ``data``. Nothing is
    downloaded.

    Parameters
    ----------
    data_home : str or path-like, default=None
        The folder of LUDB, or the one around its folder ``ludb``. By default that of
        :func:`get_data_home`.
    task : {"rhythm", "axis", "conduction", "hypertrophy"}, default="rhythm"
        What the target is. ``"rhythm"`` and ``"axis"`` have one class for each record (where the
        publisher adds a second rhythm, as to 4 records, the first counts); the 10 records with a
        pacemaker have no axis. ``"conduction"`` and ``"hypertrophy"`` are multi-label: a record
        may have several abnormalities, or none.
    sampling_rate : float, default=500
        Sampling rate in Hz; the records have 500 and are resampled to any other.
    leads : sequence of str of length n_leads, default=None
        Names of the leads to load, in this order. By default all twelve.
    unlabelled : bool, default=False
        Whether to keep records without an axis, with the target -1. By default they are left out,
        and a warning says how many. Of the other tasks every record has a label.
    n_jobs : int, default=None
        Number of records read at the same time; see :func:`read_wfdb`.
    out : str or path-like, default=None
        Path of a ``.npy`` file to write the records to instead of holding them in memory; see
        :func:`read_wfdb`.
    allow_links : bool, default=False
        Whether files may be symbolic links out of the folder of the data set.
    return_X_y : bool, default=False
        Whether to return ``(data, target)`` instead of the Bunch.

    Returns
    -------
    bunch : :class:`~sklearn.utils.Bunch`
        data : ndarray of shape (n_records, n_leads, n_samples)
            The records in mV, float32; with `out` a read-only memory map.
        target : ndarray of shape (n_records,) or (n_records, n_classes)
            Class indices for ``"rhythm"`` and ``"axis"``; for the others 1 where the record has
            the abnormality, else 0.
        target_names : ndarray of shape (n_classes,)
            The classes in the publisher's words, sorted.
        groups : ndarray of shape (n_records,)
            The patients, of whom each has one record.
        lead_names : list of str of length n_leads
            By default I, II, III, aVR, aVL, aVF, V1-V6.
        sampling_rate : float
            In Hz.
        units : str
            ``"mV"``.
        record_names : ndarray of shape (n_records,)
            The publisher's file names, such as ``data/1``.
        metadata : DataFrame of n_records rows
            The publisher's table, with age, sex and all findings, as text, indexed by ``ID``. A
            cell has one finding on each line, and is empty if there is none.
        skipped : dict
            Why a record was left out, by its name.
        DESCR : str
            What the data set is, and what to cite.

    Raises
    ------
    FileNotFoundError
        If the data set is not there; it says where to get it.
    InvalidECGError
        If a record cannot be read, or if the table is not as the publisher has made it. It names
        the record or the table.

    Warns
    -----
    RecordWarning
        If records without a label of the task are left out.

    Notes
    -----
    The gains in the headers scale every lead to a peak-to-peak amplitude of 1, so what other
    readers return is not millivolts. Here the digital values are taken as microvolts: they obey
    Einthoven's law, and are of the size that ECGs are.

    References
    ----------
    .. [1] Kalyakulina et al., "LUDB: A New Open-Access Validation Tool for Electrocardiogram
       Delineation Algorithms", IEEE Access 8, 186181-186190 (2020),
       doi:10.1109/ACCESS.2020.3029211

    Examples
    --------
    >>> from sklearn_bell.datasets import load_ludb
    >>> X, y = load_ludb(task="hypertrophy", return_X_y=True)  # doctest: +SKIP
    >>> load_ludb("an_empty_folder")
    Traceback (most recent call last):
        ...
    FileNotFoundError: LUDB is not in an_empty_folder: ... Get it from https://physionet.org/...
    """
    wanted_leads = check_leads(leads)
    folder = find_dataset(LUDB, data_home)
    path = folder / LUDB.marker
    table = read_table(
        path, _COLUMNS.values(), allow_links=allow_links, dtype=str, keep_default_na=False
    )
    with naming(path):
        table.index = table.index.astype(int)
    table = table.apply(lambda column: column.str.strip())  # cells end in line breaks
    findings = [cell.splitlines() for cell in table[_COLUMNS[task]]]
    target, target_names = (_indicator if task in _MULTI_LABEL else _class_indices)(findings)

    names = np.array([f"data/{number}" for number in table.index])
    labelled = np.ones(len(names), dtype=bool) if task in _MULTI_LABEL else target >= 0
    keep, skipped = select_labelled(names, labelled, task, unlabelled)
    table, target, names = table[keep], target[keep], names[keep]
    layout = Layout(wanted_leads, sampling_rate, adc_gain=_UNITS_PER_MV)
    trust = read_policy(folder, allow_links=allow_links)
    bunch = read_records(names, folder, layout, trust, n_jobs=n_jobs, out=out)
    if return_X_y:
        return bunch.data, target
    del bunch["padded"]  # no duration is asked for
    bunch.update(
        target=target,
        target_names=target_names,
        groups=table.index.to_numpy(),
        metadata=table,
        skipped=skipped,
        DESCR=_DESCR,
    )
    return bunch


def _class_indices(findings: list[list[str]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the class of the first finding of each record, -1 where there is none."""
    # "Electric axis of the heart: normal"
    first = [lines[0].split(": ")[-1] if lines else "" for lines in findings]
    target_names = sorted(set(first) - {""})
    index_of = {"": -1, **{name: index for index, name in enumerate(target_names)}}
    return np.array([index_of[name] for name in first]), np.array(target_names)


def _indicator(findings: list[list[str]]) -> tuple[np.ndarray, np.ndarray]:
    """Return which findings each record has, (n_records, n_classes)."""
    binarizer = MultiLabelBinarizer()
    target = binarizer.fit_transform([[line.strip() for line in lines] for lines in findings])
    return target.astype(np.int64, copy=False), binarizer.classes_.astype(str)
