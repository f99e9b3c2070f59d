"""The records that a path on the command line stands for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

from sklearn_bell.datasets import read_wfdb
from sklearn_bell.datasets._csv import read_csv
from sklearn_bell.exceptions import InvalidECGError


def load_records(path: Path, leads, sampling_rate, duration, out=None) -> Bunch:
    """Return records in mV: ``data``, ``lead_names``, ``sampling_rate`` and ``record_names``.

    Parameters
    ----------
    path : Path
        A folder, of WFDB records or else of CSV files; or a file, of these kinds or ``.npy``.
    leads : sequence of str or None
        Which to read; of ``.npy``, their names. None reads all.
    sampling_rate, duration : float or None
        Of WFDB records, as in :func:`sklearn_bell.datasets.read_wfdb`. Files of other kinds have
        this rate, which must be given, and the length that they have.
    out : Path, default=None
        A file that WFDB records are read into, so that they need not fit into memory.
    """
    is_record = path.with_name(f"{path.name}.hea").exists()  # named without its extension
    if not is_record and not path.exists():
        raise InvalidECGError(f"there is no folder or file {path}")
    files = [path]
    if path.is_dir() and not is_record:
        files = sorted(path.rglob("*.hea")) or sorted(path.rglob("*.csv"))
    if not files:
        raise InvalidECGError(
            f"{path} has no WFDB records, files with the extension .hea, and no .csv files"
        )
    kind = files[0].suffix
    if kind not in (".npy", ".csv"):
        return read_wfdb(
            files, leads=leads, sampling_rate=sampling_rate, duration=duration,
            on_error="skip", n_jobs=-1, out=out,
        )  # fmt: skip
    if sampling_rate is None:
        raise InvalidECGError(f"{path} does not tell its sampling rate: give --sampling-rate")
    ecg = read_csv(files, leads) if kind == ".csv" else _read_npy(path, leads)
    ecg.sampling_rate = sampling_rate
    return ecg


def _read_npy(path, leads):
    try:
        data = np.load(path, mmap_mode="r")
    except (ValueError, EOFError) as error:
        raise InvalidECGError(f"{path} is no .npy file of numbers ({error})") from error
    if data.ndim != 3:
        raise InvalidECGError(
            f"{path} must be of shape (n_records, n_leads, n_samples), but is {data.shape}"
        )
    names = [str(i) for i in range(len(data))]
    return Bunch(data=data, lead_names=leads, record_names=names)
