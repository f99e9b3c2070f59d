"""Reading of many records into one array, in memory or on disk, in parallel."""

from __future__ import annotations

import math
import os
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import chain
from numbers import Integral, Real
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.parallel import Parallel, delayed

from sklearn_bell._utils.leads import standard_name
from sklearn_bell.datasets._base import warn_about_records
from sklearn_bell.datasets._record import (
    DecodedRecord,
    LengthMismatch,
    Recording,
    TargetFormat,
    read_record,
    try_read,
)
from sklearn_bell.exceptions import InvalidECGError

_BYTES_AT_ONCE = 2**26  # of records held in memory, at most, when writing is slower than reading
_RECORDS_PER_TASK = 16  # a task costs some milliseconds, and a record takes less than one
_IDLE = 30  # s until idle workers end

CONSTRAINTS: dict[str, list] = {  # of parameters of the readers and loaders
    **{name: [str, os.PathLike, None] for name in ("data_home", "folder", "out")},
    **{name: ["boolean"] for name in ("unlabelled", "verify", "allow_links", "return_X_y")},
    **{name: ["boolean"] for name in ("download_if_missing", "verbose")},
    "leads": ["array-like", None],
    "sampling_rate": [Interval(Real, 0, None, closed="neither"), None],
    "duration": [Interval(Real, 0, None, closed="neither"), None],
    "step": [Interval(Real, 0, None, closed="neither"), None],
    "max_gap": [Interval(Real, 0, None, closed="left")],
    "rename": [Mapping, None],
    "n_jobs": [Integral, None],
    "on_error": [StrOptions({"raise", "skip"})],
    "n_connections": [Interval(Integral, 1, None, closed="left")],
}


def read_records(
    names: Sequence[str],
    paths: Sequence[Any],
    target: TargetFormat,
    open_record: Callable[[Any], Recording],
    *,
    n_jobs: int | None = None,
    out: str | os.PathLike[str] | None = None,
    skip: bool = False,
) -> Bunch:
    """Read the records `names` at `paths` with `open_record`. See :func:`read_wfdb`.

    Names must be different.
    """
    decoded: dict[str, DecodedRecord] = {}  # without their windows
    skipped: dict[str, str] = {}

    def valid(results: Iterable[DecodedRecord | Exception]) -> Iterator[np.ndarray]:
        """Yield the windows of the records; skip or raise errors."""
        for name, result in zip(names, results, strict=True):
            if isinstance(result, DecodedRecord):
                decoded[name] = result._replace(windows=np.empty((len(result.windows), 0, 0)))
                yield result.windows
            elif not skip or isinstance(result, LengthMismatch):
                raise InvalidECGError(f"Record {name}: {result}") from result
            else:
                skipped[name] = str(result)

    first = (try_read(read_record, path, target, open_record) for path in paths)
    windows = next(valid(first), None)
    if windows is None:
        name, cause = next(iter(skipped.items()))
        problem = f"None of the {len(names)} records could be read; the first, {name}: {cause}"
        raise InvalidECGError(problem)
    target = next(iter(decoded.values())).format  # of all records
    shape = windows.shape[1:]
    chunk = _BYTES_AT_ONCE // (4 * math.prod(windows.shape))
    with closing(read_parallel(read_record, paths, n_jobs, chunk, target, open_record)) as results:
        signals = chain.from_iterable(valid(results))
        if out:
            data = _write(signals, shape, out)
        elif target.step is None:  # the length is known
            data = np.empty((len(paths), *shape), np.float32)
            for row, signal in zip(data, signals, strict=False):  # skipped records leave rows
                row[:] = signal
            data = data[: len(paths) - len(skipped)]
        else:
            data = np.stack([*signals])
    return _bunch(data, target, decoded, skipped)


def _bunch(data, target, decoded, skipped):
    """Return the Bunch of :func:`read_wfdb`, and warn about records left out or changed."""
    n_records = len(decoded) + len(skipped)
    if skipped:
        causes = (f"{name} ({cause.rstrip('.')})" for name, cause in skipped.items())
        problem = f"of {n_records} records could not be read and are left out"
        warn_about_records(problem, causes, "See skipped.")
    if padded := [name for name, record in decoded.items() if record.padded]:
        problem = f"of {len(decoded)} records are too short and were padded with zeros"
        warn_about_records(problem, padded, "See padded.")
    if cautions := [(n, text) for n, record in decoded.items() for text in record.cautions]:
        problem = f"of {len(decoded)} records may be wrong"
        warn_about_records(problem, (f"{n} ({text})" for n, text in cautions), "Check them.")
    n_windows = [len(record.windows) for record in decoded.values()]
    bunch = Bunch(
        data=data,
        lead_names=list(target.leads or ()),
        sampling_rate=target.sampling_rate,
        units="mV",
        record_names=np.repeat(np.array([*decoded], dtype=str), n_windows),
        derived_leads={k: v for record in decoded.values() for k, v in record.derived.items()},
        filled={name: record.n_filled for name, record in decoded.items() if record.n_filled},
        skipped=skipped,
        padded=padded,
    )
    left_out = [record.left_out for record in decoded.values() if record.left_out is not None]
    if left_out:
        bunch.left_out = sorted({*chain.from_iterable(left_out)})
    if target.step is not None:
        starts = [target.step * np.arange(n) for n in n_windows]
        bunch.start = np.concatenate(starts)
    return bunch


def read_parallel(read, paths, n_jobs, chunk, *args) -> Generator[Any, None, None]:
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


def local_paths(names: Sequence[str], folder: Path | None) -> list[str]:
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


def make_target(leads, sampling_rate, duration, step, max_gap, rename) -> TargetFormat:
    """Return the target format of the options of a reader."""
    if step is not None and duration is None:
        raise InvalidECGError("step needs the length of the windows. Pass duration= (seconds).")
    rename = dict(rename) if rename else None
    return TargetFormat(check_leads(leads), sampling_rate, duration, None, step, max_gap, rename)


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
