"""Reader of WFDB records into one array, in memory or on disk."""

from __future__ import annotations

import math
import os
from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain
from numbers import Integral, Real
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Interval, StrOptions, validate_params
from sklearn.utils.parallel import Parallel, delayed

from sklearn_bell._utils.leads import standard_name
from sklearn_bell.datasets._base import warn_about_records
from sklearn_bell.datasets._header import read_comments
from sklearn_bell.datasets._record import (
    DecodedRecord,
    LengthMismatch,
    ReadPolicy,
    TargetFormat,
    parse_header,
    read_record,
    resolve_inside,
    try_read,
)
from sklearn_bell.exceptions import InvalidECGError

_BYTES_AT_ONCE = 2**26  # of records held in memory, at most, when writing is slower than reading
_RECORDS_PER_TASK = 16  # a task costs some milliseconds, and a record takes less than one
_IDLE = 30  # s until idle workers end

CONSTRAINTS: dict[str, list] = {  # of parameters of read_wfdb and the loaders
    **{name: [str, os.PathLike, None] for name in ("data_home", "folder", "out")},
    **{name: ["boolean"] for name in ("unlabelled", "verify", "allow_links", "return_X_y")},
    **{name: ["boolean"] for name in ("download_if_missing", "verbose")},
    "leads": ["array-like", None],
    "sampling_rate": [Interval(Real, 0, None, closed="neither"), None],
    "duration": [Interval(Real, 0, None, closed="neither"), None],
    "n_jobs": [Integral, None],
    "on_error": [StrOptions({"raise", "skip"})],
    "n_connections": [Interval(Integral, 1, None, closed="left")],
}


@validate_params(CONSTRAINTS, prefer_skip_nested_validation=True)
def read_wfdb(
    records: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    leads: Sequence[str] | None = None,
    sampling_rate: float | None = None,
    duration: float | None = None,
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
        Paths of the records, with or without extension; or a folder with a list ``RECORDS``.
    leads : sequence of str of length n_leads, default=None
        Names of the leads to read, in this order; case does not matter. By default those of the
        first record: I, II, III, aVR, aVL, aVF, V1-V6 first if it has these, else in its order.
    sampling_rate : float, default=None
        In Hz. Records with another rate are resampled by :func:`scipy.signal.resample_poly`.
    duration : float, default=None
        Length in seconds. Longer records are cropped and shorter ones padded with zeros, at their
        end. By default another length than that of the first record is an error even with
        ``on_error="skip"``: the first record may be the wrong one.
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
            The records read, as passed but without extension.
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
    target = TargetFormat(check_leads(leads), sampling_rate, duration)
    policy = ReadPolicy(folder, verify, allow_links)
    return read_records(names, target, policy, n_jobs=n_jobs, out=out, skip=on_error == "skip")


def read_labelled(names, labelled, rows, target, policy, *, task, unlabelled, **options) -> Bunch:
    """Read the records that are `labelled` for the task, or all, and select their `rows`.

    `rows` are entries of the Bunch with a row for each of `names`, such as target and groups.
    """
    mask = labelled | unlabelled
    left_out = {str(name): f"no label of the task {task!r}" for name in names[~mask]}
    if left_out:
        problem = f"of {len(names)} records have no label of the task {task!r} and are left out"
        warn_about_records(problem, left_out, "Pass unlabelled=True to keep them.")
    bunch = read_records(names[mask], target, policy, **options)
    mask[mask] = np.isin(names[mask], bunch.record_names)
    bunch.update({entry: values[mask] for entry, values in rows.items()})
    bunch.skipped = left_out | bunch.skipped
    return bunch


def read_records(names, target, policy, *, n_jobs=None, out=None, skip=False) -> Bunch:
    """Read the records `names`, relative to the root of the policy. See :func:`read_wfdb`."""
    paths = _local_paths(names, policy.root)
    padded: dict[str, bool] = {}
    skipped: dict[str, str] = {}

    def valid(results: Iterable[DecodedRecord | Exception]) -> Iterator[DecodedRecord]:
        """Yield the records; skip or raise errors."""
        for name, result in zip(names, results, strict=True):
            if isinstance(result, DecodedRecord):
                padded[name] = result.padded
                yield result
            elif not skip or isinstance(result, LengthMismatch):
                raise InvalidECGError(f"Record {name}: {result}") from result
            else:
                skipped[name] = str(result)

    first = next(valid(try_read(read_record, path, target, policy) for path in paths), None)
    if first is None:
        name, cause = next(iter(skipped.items()))
        problem = f"None of the {len(names)} records could be read; the first, {name}: {cause}"
        raise InvalidECGError(problem)
    target = first.format  # of all records
    shape = first.signal.shape
    chunk = _BYTES_AT_ONCE // (4 * math.prod(shape))
    with closing(_read_parallel(read_record, paths, n_jobs, chunk, target, policy)) as results:
        signals = (record.signal for record in valid(results))
        if out:
            data = _write(signals, shape, out)
        else:
            data = np.empty((len(paths), *shape), np.float32)
            for row, signal in zip(data, signals, strict=False):  # skipped records leave rows
                row[:] = signal
            data = data[: len(paths) - len(skipped)]
    if skipped:
        causes = (f"{name} ({cause.rstrip('.')})" for name, cause in skipped.items())
        problem = f"of {len(names)} records could not be read and are left out"
        warn_about_records(problem, causes, "See skipped.")
    if too_short := [name for name in names if padded.get(name)]:
        problem = f"of {len(data)} records are too short and were padded with zeros"
        warn_about_records(problem, too_short, "See padded.")
    return Bunch(
        data=data,
        lead_names=list(target.leads or ()),
        sampling_rate=target.sampling_rate,
        units="mV",
        record_names=np.array([name for name in names if name not in skipped], dtype=str),
        skipped=skipped,
        padded=too_short,
    )


def read_all_comments(names, policy, *, n_jobs=None) -> list[dict[str, str] | Exception]:
    """Return the named comments of each record, or the error if its header cannot be read."""
    paths = _local_paths(names, policy.root)
    return list(_read_parallel(parse_header, paths, n_jobs, len(paths), read_comments, policy))


def _read_parallel(read, paths, n_jobs, chunk, *args) -> Generator[Any, None, None]:
    """Yield the result of each path in order, or its error; at most a chunk waits in memory."""
    chunk = max(2 * _RECORDS_PER_TASK * effective_n_jobs(n_jobs), chunk)
    # separate workers, by another timeout: workers without PyTorch grow once they fit, which
    # joblib takes for a memory leak: it would warn and end them
    options = {"batch_size": _RECORDS_PER_TASK, "idle_worker_timeout": _IDLE}
    with Parallel(n_jobs=n_jobs, return_as="generator", **options) as parallel:
        for start in range(0, len(paths), chunk):
            tasks = iter(paths[start : start + chunk])
            results = parallel(delayed(try_read)(read, path, *args) for path in tasks)
            try:
                yield from chain(results)  # a chain does not pass close() on
            finally:  # after an error: joblib would kill its workers, and warn
                deque(tasks, maxlen=0)  # so that no more are started
                deque(results, maxlen=0)


def _list_records(records, allow_links: bool) -> tuple[list[str], Path | None]:
    """Return the names of the records, and their folder if `records` is one."""
    folder = None
    if isinstance(records, str | os.PathLike):
        folder = Path(records)
        try:
            index = resolve_inside(folder, "RECORDS", ReadPolicy(allow_links=allow_links))
            lines = Path(index).read_text("utf-8").splitlines()
        except (OSError, ValueError) as error:
            problem = f"Expected a folder with a file RECORDS, got {records} ({error})"
            remedy = "Pass such a folder, or a list of the paths of records"
            raise InvalidECGError(f"{problem}. {remedy}.") from error
        names = [line.strip() for line in lines if line.strip()]
    else:
        names = [os.fsdecode(record) for record in records]
    extensions = (".hea", ".dat", ".mat")
    stems = [os.path.splitext(name) for name in names]
    return [stem if end.lower() in extensions else stem + end for stem, end in stems], folder


def _local_paths(names: Sequence[str], folder: Path | None) -> list[str]:
    """Return the absolute paths of the records, which must be local and different."""
    if not len(names):
        raise InvalidECGError("There are no records to read. Pass at least one.")
    paths = [os.path.abspath(os.path.join(folder or "", name)) for name in names]
    for name, path in zip(names, paths, strict=True):
        if folder is not None and (os.path.isabs(name) or ".." in PurePath(name).parts):
            raise InvalidECGError(f"Record {name} is outside its folder {folder}.")
        if "://" in name or "::" in path:  # wfdb would download it
            raise InvalidECGError(f"Record {name}: only local files are read. Download it first.")
        if "\0" in name:
            raise InvalidECGError(f"Record {str(name)!r}: a file name has no null character.")
    path, n = Counter(paths).most_common(1)[0]
    if n > 1:
        name = names[paths.index(path)]
        raise InvalidECGError(f"Record {name} is listed {n} times. Pass each record once.")
    return paths


def check_leads(leads: Sequence[str] | None) -> tuple[str, ...] | None:
    """Return the lead names in their usual spelling; they must be different."""
    if leads is None:
        return None
    names = tuple(standard_name(lead) for lead in leads)
    if not names or len({name.lower() for name in names}) < len(names):
        raise InvalidECGError(f"Expected leads to be a list of different names, got {leads!r}.")
    return names


def _write(signals: Iterator[np.ndarray], shape: tuple[int, int], out) -> np.ndarray:
    """Write the signals one by one to a file, which is renamed to `out` when complete."""
    unfinished = f"{os.fspath(out)}.{os.getpid()}.part"
    header = {"descr": "<f4", "fortran_order": False}
    n = 0
    try:
        with open(unfinished, "wb") as file:
            np.lib.format.write_array_header_1_0(file, header | {"shape": (n, *shape)})
            for signal in signals:
                file.write(signal.astype("<f4", copy=False).tobytes())
                n += 1
            file.seek(0)  # numpy leaves room for the first axis to grow
            np.lib.format.write_array_header_1_0(file, header | {"shape": (n, *shape)})
        os.replace(unfinished, out)
    except BaseException:
        Path(unfinished).unlink(missing_ok=True)
        raise
    return np.load(out, mmap_mode="r")
