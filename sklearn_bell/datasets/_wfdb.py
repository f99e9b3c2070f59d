"""Read WFDB records into one array, in memory or on disk."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from numbers import Integral, Real
from pathlib import Path, PurePath
from typing import BinaryIO, cast

import numpy as np
from joblib import effective_n_jobs
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Interval, StrOptions, validate_params
from sklearn.utils.parallel import Parallel, delayed

from sklearn_bell._utils.leads import standard_name
from sklearn_bell.datasets._base import warn_of_records
from sklearn_bell.datasets._record import (
    Layout,
    LengthMismatch,
    Reading,
    ReadPolicy,
    resolve_inside,
    try_comments,
    try_read,
    try_read_all,
)
from sklearn_bell.exceptions import InvalidECGError

_BYTES_AT_ONCE = 2**26  # of records, at most, held in memory when writing is slower than reading
_RECORDS_PER_TASK = 16  # a task costs some milliseconds, and a record takes two
_IDLE = 30  # s until workers end that have nothing more to read
_EXTENSIONS = (".hea", ".dat", ".mat")


@validate_params(
    {
        "records": "no_validation",
        "leads": ["array-like", None],
        "sampling_rate": [Interval(Real, 0, None, closed="neither"), None],
        "duration": [Interval(Real, 0, None, closed="neither"), None],
        "n_jobs": [Integral, None],
        "out": [str, os.PathLike, None],
        "on_error": [StrOptions({"raise", "skip"})],
        "verify": ["boolean"],
        "allow_links": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
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

    What is not given (leads, sampling rate, length) is taken from the first record that can be
    read. Only local files are read, and only from the folders of the records' own headers.

    Parameters
    ----------
    records : str, path-like or iterable of str or path-like
        The paths of the records, with or without extension; or one folder, whose file ``RECORDS``
        names its records.
    leads : sequence of str of length n_leads, default=None
        Names of the leads to read, in this order, whatever their case. By default those of the
        first record: in the order I, II, III, aVR, aVL, aVF, V1-V6 if it has all of these
        (others follow), else in its own order.
    sampling_rate : float, default=None
        Sampling rate of the array in Hz. Records with another rate are resampled with
        :func:`scipy.signal.resample_poly`. By default the rate of the first record.
    duration : float, default=None
        Length of the records in seconds. What is longer is cropped at its end; what is shorter is
        padded with zeros at its end, and a warning says which. By default nothing is cropped or
        padded, and a record whose length differs from that of the first is an error, whatever
        `on_error`: it may be the first that is wrong.
    n_jobs : int, default=None
        Number of records read at the same time, as in scikit-learn: None is 1 unless in a
        :func:`joblib.parallel_config` context, -1 all processors. It changes nothing but the time.
    out : str or path-like, default=None
        Path of a ``.npy`` file that the array is written to, record by record, so that it need not
        fit into memory. It appears, or replaces the one that is there, only when all is read.
    on_error : {"raise", "skip"}, default="raise"
        What to do with a record that cannot be read: raise an error, or leave it out and warn.
    verify : bool, default=True
        Whether samples are held against what the header says of them: their number, and the
        checksums where it has any. Without, a signal file may have more samples, which are not
        read; fewer are always an error.
    allow_links : bool, default=False
        Whether files may be symbolic links to elsewhere, as in data sets that are managed by
        git-annex or DataLad. By default all files of a record have to lie in its folder, or in the
        one folder that is given as `records`.

    Returns
    -------
    bunch : :class:`~sklearn.utils.Bunch`
        data : ndarray of shape (n_records, n_leads, n_samples)
            The records in mV, float32, in the order given; with `out` a read-only memory map.
        lead_names : list of str of length n_leads
            The leads; the twelve standard ones in their usual spelling.
        sampling_rate : float
            In Hz.
        units : str
            ``"mV"``.
        record_names : ndarray of shape (n_records,)
            The records read, as given but without extension.
        skipped : dict
            Why a record was left out, by its name.
        padded : list of str
            Names of the records that were padded with zeros.

    Raises
    ------
    InvalidECGError
        If a record cannot be read and `on_error` is ``"raise"``, if none can be read, if none or
        one of them twice is given, or if a parameter makes no sense. The error names the record and
        the cause: a file that is missing, truncated or too long, a header that does not follow its
        specification or points outside its own folder, checksums that do not fit, a missing lead,
        a unit other than mV, uV and V, several segments, leads of different rates, samples that
        are not finite (invalid ones are NaN), a differing length, or more than 2**28 samples.

    Warns
    -----
    RecordWarning
        If records are left out or padded.

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
    layout = Layout(check_leads(leads), sampling_rate, duration)
    trust = read_policy(folder, verify=verify, allow_links=allow_links)
    skip = on_error == "skip"
    return read_records(names, folder, layout, trust, n_jobs=n_jobs, out=out, skip=skip)


def read_policy(
    folder: Path | None, *, verify: bool = True, allow_links: bool = False
) -> ReadPolicy:
    """Return what is believed of the files in a folder."""
    root = None if folder is None else str(folder)
    return ReadPolicy(os.sep if allow_links else root, verify)


def read_records(
    names: Sequence[str],
    folder: Path | None,
    layout: Layout,
    trust: ReadPolicy,
    *,
    n_jobs: int | None = None,
    out: str | os.PathLike[str] | None = None,
    skip: bool = False,
) -> Bunch:
    """Read the records `names`, which lie in `folder` if that is given. See :func:`read_wfdb`."""
    paths = _local_paths(names, folder)
    reader = _Reader(names, paths, trust, skip)
    layout = reader.first_layout(layout)
    lead_names = list(cast("tuple[str, ...]", layout.leads))
    shape = (len(lead_names), cast("int", layout.n_samples))
    signals = reader.signals(layout, n_jobs)
    data = _stack(signals, len(paths), shape) if out is None else _write(signals, shape, out)
    if reader.skipped:
        warn_of_records(
            f"of {len(names)} records could not be read and are left out",
            (f"{name} ({cause.rstrip('.')})" for name, cause in reader.skipped.items()),
            "See skipped.",
        )
    if reader.padded:
        warn_of_records(
            f"of {len(reader.kept)} records are too short and were padded with zeros",
            reader.padded,
            "See padded.",
        )
    return Bunch(
        data=data,
        lead_names=lead_names,
        sampling_rate=layout.sampling_rate,
        units="mV",
        record_names=np.array(reader.kept, dtype=str),
        skipped=reader.skipped,
        padded=reader.padded,
    )


def comments_of(
    names: Sequence[str], folder: Path, trust: ReadPolicy, *, n_jobs: int | None = None
) -> list[dict[str, str] | str]:
    """Return the comments in the headers of records, by name, or what is wrong with a header."""
    paths = _local_paths(names, folder)
    with Parallel(n_jobs=n_jobs, idle_worker_timeout=_IDLE) as parallel:
        return list(parallel(delayed(try_comments)(path, trust) for path in paths))


class _Reader:
    """Read records in order, and keep account of what became of each."""

    def __init__(
        self, names: Sequence[str], paths: Sequence[str], trust: ReadPolicy, skip: bool
    ) -> None:
        self.names, self.paths, self.trust, self.skip = names, paths, trust, skip
        self.kept: list[str] = []
        self.padded: list[str] = []
        self.skipped: dict[str, str] = {}

    def first_layout(self, layout: Layout) -> Layout:
        """Return the layout that the first good record gives to all."""
        for name, path in zip(self.names, self.paths, strict=True):
            reading = try_read(path, layout, self.trust)
            if isinstance(reading, Reading):
                return reading.layout
            self._refuse(name, reading)
        name, cause = next(iter(self.skipped.items()))
        raise InvalidECGError(
            f"None of the {len(self.names)} records could be read; the first, {name}: {cause}"
        )

    def signals(self, layout: Layout, n_jobs: int | None) -> Iterator[np.ndarray]:
        """Yield the signals of the good records, (n_leads, n_samples), a chunk read at a time."""
        size = 4 * len(cast("tuple[str, ...]", layout.leads)) * cast("int", layout.n_samples)
        chunk = max(2 * _RECORDS_PER_TASK * effective_n_jobs(n_jobs), _BYTES_AT_ONCE // size)
        # workers of their own, by another timeout: those that have read without PyTorch would seem
        # to joblib to leak memory once they fit, and it would warn and end them
        with Parallel(
            n_jobs=n_jobs, batch_size=1, idle_worker_timeout=_IDLE, return_as="generator"
        ) as parallel:
            for start in range(0, len(self.paths), chunk):
                names, paths = (x[start : start + chunk] for x in (self.names, self.paths))
                readings = parallel(
                    delayed(try_read_all)(
                        paths[first : first + _RECORDS_PER_TASK], layout, self.trust
                    )
                    for first in range(0, len(paths), _RECORDS_PER_TASK)
                )
                try:
                    for name, reading in zip(names, chain.from_iterable(readings), strict=True):
                        if isinstance(reading, str):
                            self._refuse(name, reading)
                            continue
                        self.kept.append(name)
                        if reading.padded:
                            self.padded.append(name)
                        yield reading.signal
                finally:  # joblib warns of what was read and is not wanted after an error
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore", UserWarning)
                        readings.close()

    def _refuse(self, name: str, cause: str) -> None:
        if not self.skip or isinstance(cause, LengthMismatch):
            raise InvalidECGError(f"Record {name}: {cause}")
        self.skipped[name] = cause


def _list_records(
    records: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], allow_links: bool
) -> tuple[list[str], Path | None]:
    """Return the names of the records, and the folder that they are in if one is given."""
    if not isinstance(records, str | os.PathLike):
        return [_without_extension(os.fsdecode(record)) for record in records], None
    folder = os.fsdecode(records)
    try:
        listed = resolve_inside(
            folder, "RECORDS", os.sep if allow_links else os.path.realpath(folder)
        )
        lines = Path(listed).read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise InvalidECGError(
            f"{records} is not a folder with a file RECORDS ({error}). Give such a folder, or a "
            "list of the paths of records."
        ) from error
    return [_without_extension(line.strip()) for line in lines if line.strip()], Path(records)


def _without_extension(path: str) -> str:
    stem, extension = os.path.splitext(path)
    return stem if extension.lower() in _EXTENSIONS else path


def _local_paths(names: Sequence[str], folder: Path | None) -> list[str]:
    """Return the absolute paths of the records, each of which must be local and given once."""
    if not len(names):
        raise InvalidECGError("There are no records to read.")
    for name in names:
        if folder is not None and (os.path.isabs(name) or ".." in PurePath(name).parts):
            raise InvalidECGError(f"Record {name} is outside its folder {folder}; this is refused.")
    paths = [os.path.abspath(os.path.join(folder or "", name)) for name in names]
    for name, path in zip(names, paths, strict=True):
        if "://" in name or "::" in path:  # wfdb would fetch it
            raise InvalidECGError(f"Record {name}: only local files are read; download it first.")
        if "\0" in name:
            raise InvalidECGError(f"Record {str(name)!r}: there can be no such file.")
    path, n = Counter(paths).most_common(1)[0]
    if n > 1:
        name = names[paths.index(path)]
        raise InvalidECGError(f"Record {name} is given {n} times; give each record once.")
    return paths


def check_leads(leads: Sequence[str] | None) -> tuple[str, ...] | None:
    """Return the names of the wanted leads in their usual spelling, each once."""
    if leads is None:
        return None
    names = tuple(standard_name(lead) for lead in leads)
    if not names or len({name.lower() for name in names}) < len(names):
        raise InvalidECGError(f"leads must be a list of different names, but got {leads!r}.")
    return names


def _stack(signals: Iterator[np.ndarray], n_max: int, shape: tuple[int, int]) -> np.ndarray:
    """Put up to `n_max` signals into one array."""
    data = np.empty((n_max, *shape), dtype=np.float32)
    n = 0
    for signal in signals:
        data[n] = signal
        n += 1
    return data[:n]


def _write(
    signals: Iterator[np.ndarray], shape: tuple[int, int], out: str | os.PathLike[str]
) -> np.ndarray:
    """Write the signals one by one to a file that appears as `out` when it is complete."""
    unfinished = f"{os.fspath(out)}.{os.getpid()}.part"
    try:
        with open(unfinished, "wb") as file:
            _write_header(file, (0, *shape))
            start, n = file.tell(), 0
            for signal in signals:
                file.write(signal.astype("<f4", copy=False).tobytes())
                n += 1
            file.seek(0)
            _write_header(file, (n, *shape))  # numpy leaves room for the first axis to grow
            if file.tell() != start:
                raise RuntimeError("The header of the .npy file has changed its size.")
        os.replace(unfinished, out)
    except BaseException:
        Path(unfinished).unlink(missing_ok=True)
        raise
    return np.load(out, mmap_mode="r")


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(
        file, {"descr": "<f4", "fortran_order": False, "shape": shape}
    )
