"""Reader of WFDB records into one array, and of those of data sets."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePath

import numpy as np
from sklearn.utils import Bunch
from sklearn.utils._param_validation import validate_params

from sklearn_bell.datasets._base import warn_about_records
from sklearn_bell.datasets._files import ReadPolicy, resolve_inside
from sklearn_bell.datasets._header import read_comments
from sklearn_bell.datasets._reading import (
    CONSTRAINTS,
    local_paths,
    make_target,
    read_parallel,
    read_records,
)
from sklearn_bell.datasets._wfdb_record import open_wfdb, parse_header
from sklearn_bell.exceptions import InvalidECGError

_MAX_DEPTH = 4  # of lists of records in folders


@validate_params(CONSTRAINTS, prefer_skip_nested_validation=True)
def read_wfdb(
    records: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    leads: Sequence[str] | None = None,
    sampling_rate: float | None = None,
    duration: float | None = None,
    step: float | None = None,
    max_gap: float = 0.0,
    rename: Mapping[str, str] | None = None,
    n_jobs: int | None = None,
    out: str | os.PathLike[str] | None = None,
    on_error: str = "raise",
    verify: bool = True,
    allow_links: bool = False,
) -> Bunch:
    """Read WFDB records into one array of millivolts.

    Leads, sampling rate and length default to those of the first record that can be read. Only
    local files are read, from the folders of the records' own headers.

    Parameters
    ----------
    records : str, path-like or iterable of str or path-like
        Paths of the records, or of one, with or without extension; or a folder with a list
        ``RECORDS``.
    leads : sequence of str of length n_leads, default=None
        Names of the leads to read, in this order; case does not matter. Limb leads that a record
        lacks are computed from two others, and II from MLII. By default those of the first record:
        I, II, III, aVR, aVL, aVF, V1-V6 first if it has these, else in its order.
    sampling_rate : float, default=None
        In Hz. Records with another rate are resampled by :func:`scipy.signal.resample_poly`.
    duration : float, default=None
        Length in seconds. Longer records are cropped and shorter ones padded with zeros, at their
        end. By default another length than that of the first record is an error even with
        ``on_error="skip"``: the first record may be the wrong one.
    step : float, default=None
        Seconds from one window of `duration` to the next, for long recordings. Windows become
        records; an incomplete one at the end is dropped. None reads one window, the beginning.
    max_gap : float, default=0.0
        Longest gap of invalid samples, in seconds, that is interpolated linearly. Longer ones, and
        leads without samples, are errors.
    rename : mapping of str to str, default=None
        Leads of names in the files that are not usual, such as ``{"CH1": "II"}``. Names such as
        ``Lead II``, ``ECG II``, ``II (mV)`` and ``MDC_ECG_LEAD_II`` need none.
    n_jobs : int, default=None
        Number of records read in parallel: None is 1 unless in a :func:`joblib.parallel_config`
        context, -1 all processors. The result is the same.
    out : str or path-like, default=None
        A ``.npy`` file to write the array to, record by record, so that it need not fit into
        memory. It appears, or replaces an older one, only when it is complete.
    on_error : {"raise", "skip"}, default="raise"
        Raise an error if a record cannot be read, or leave it out. Records left out or padded are
        named in a :class:`~sklearn_bell.exceptions.RecordWarning`.
    verify : bool, default=True
        Compare samples with their number and checksums in the header. If False, surplus samples
        are ignored; missing ones are always an error.
    allow_links : bool, default=False
        Follow symbolic links out of the folder of the record, or out of the folder `records`, as
        in data sets managed by git-annex or DataLad.

    Returns
    -------
    bunch : :class:`~sklearn.utils.Bunch`
        data : ndarray of shape (n_records, n_leads, n_samples)
            The records in mV, float32, in order; with `out` a read-only memory map.
        lead_names : list of str of length n_leads
            The leads; the twelve standard ones in their usual spelling.
        sampling_rate : float
            In Hz.
        units : str
            ``"mV"``.
        record_names : ndarray of shape (n_records,)
            The records read, as passed but without extension; with `step` that of each window.
        start : ndarray of shape (n_records,)
            With `step`, the beginning of each window in s.
        derived_leads : dict
            Formulas of leads that records do not have themselves, such as ``{"III": "II - I"}``.
        filled : dict
            The number of samples that were interpolated, by the name of the record.
        skipped : dict
            The reason for each record left out, by its name.
        padded : list of str
            Names of the records that were padded with zeros.

    Raises
    ------
    InvalidECGError
        If a record cannot be read and `on_error` is ``"raise"``, if none can be read, or if
        `records` is empty or has duplicates. Causes: a file that is missing, truncated or too long,
        a header that violates its specification or points outside its folder, a wrong checksum, a
        missing lead, a unit other than mV, uV and V, several segments, leads of different rates,
        invalid or infinite samples, another length, or more than 2**28 samples.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np, wfdb
    >>> from sklearn_bell.datasets import read_wfdb
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     wfdb.wrsamp("rest", fs=500, units=["mV", "uV"], sig_name=["i", "avr"], fmt=["16", "16"],
    ...                 p_signal=np.random.randn(5000, 2), write_dir=folder)
    ...     bunch = read_wfdb([f"{folder}/rest.hea"], sampling_rate=100)
    >>> bunch.data.shape, bunch.lead_names, bunch.sampling_rate
    ((1, 2, 1000), ['I', 'aVR'], 100.0)
    """
    names, folder = _list_records(records, allow_links)
    target = make_target(leads, sampling_rate, duration, step, max_gap, rename)
    options = {"n_jobs": n_jobs, "out": out, "skip": on_error == "skip"}
    return _read(names, target, ReadPolicy(folder, verify, allow_links), **options)


def read_labelled(names, labelled, rows, target, policy, *, task, unlabelled, **options) -> Bunch:
    """Read the records that are `labelled` for the task, or all, and select their `rows`.

    `rows` are entries of the Bunch with a row for each of `names`, such as target and groups.
    """
    mask = labelled | unlabelled
    left_out = {str(name): f"no label of the task {task!r}" for name in names[~mask]}
    if left_out:
        problem = f"of {len(names)} records have no label of the task {task!r} and are left out"
        warn_about_records(problem, left_out, "Pass unlabelled=True to keep them.")
    bunch = _read(names[mask], target, policy, **options)
    mask[mask] = np.isin(names[mask], bunch.record_names)
    bunch.update({entry: values[mask] for entry, values in rows.items()})
    bunch.skipped = left_out | bunch.skipped
    return bunch


def _read(names, target, policy, *, adc_gain=None, **options) -> Bunch:
    """Read WFDB records, relative to the root of the policy."""
    open_record = partial(open_wfdb, policy=policy, adc_gain=adc_gain)
    return read_records(names, local_paths(names, policy.root), target, open_record, **options)


def read_all_comments(names, policy, *, n_jobs=None) -> list[dict[str, str] | Exception]:
    """Return the named comments of each record, or the error if its header cannot be read."""
    paths = local_paths(names, policy.root)
    return list(read_parallel(parse_header, paths, n_jobs, len(paths), read_comments, policy))


def _list_records(records, allow_links: bool) -> tuple[list[str], Path | None]:
    """Return the names of the records, and their folder if `records` is one."""
    folder = None
    extensions = (".hea", ".dat", ".mat")
    if isinstance(records, str | os.PathLike) and not Path(records, "RECORDS").exists():
        stem, end = os.path.splitext(os.fsdecode(records))
        name = stem if end.lower() in extensions else stem + end
        records = [name] if os.path.isfile(f"{name}.hea") else records
    if isinstance(records, str | os.PathLike):
        folder = Path(records)
        try:
            names = _read_list(folder, "", ReadPolicy(folder, allow_links=allow_links))
        except (OSError, ValueError) as error:
            problem = f"Expected a folder with a file RECORDS, got {records} ({error})"
            remedy = "Pass such a folder, or a list of the paths of records"
            raise InvalidECGError(f"{problem}. {remedy}.") from error
    else:
        names = [os.fsdecode(record) for record in records]
    stems = [os.path.splitext(name) for name in names]
    return [stem if end.lower() in extensions else stem + end for stem, end in stems], folder


def _read_list(folder: Path, place: str, policy: ReadPolicy, depth: int = 0) -> list[str]:
    """Return the records listed in RECORDS, and those of folders that it lists."""
    index = resolve_inside(folder / place, "RECORDS", policy)
    lines = map(str.strip, Path(index).read_text("utf-8-sig").splitlines())
    names = []
    for line in filter(None, lines):
        name = f"{place}{line}"
        if not line.endswith("/"):
            names.append(name)
        elif depth < _MAX_DEPTH and not PurePath(line).is_absolute() and ".." not in line:
            names += _read_list(folder, name, policy, depth + 1)
        else:
            raise ValueError(f"RECORDS lists {name}, which is too deep or outside")
    return names
