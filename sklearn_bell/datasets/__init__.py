"""Loaders of ECG data sets, the WFDB reader and synthetic ECGs."""

from sklearn_bell.datasets._base import get_data_home
from sklearn_bell.datasets._challenge import (
    fetch_chapman,
    fetch_cpsc2018,
    fetch_georgia,
    load_challenge,
)
from sklearn_bell.datasets._csv import read_csv
from sklearn_bell.datasets._labels import read_labels
from sklearn_bell.datasets._ludb import fetch_ludb, load_ludb
from sklearn_bell.datasets._make_ecg import make_ecg
from sklearn_bell.datasets._ptbxl import fetch_ptbxl, load_ptbxl
from sklearn_bell.datasets._read_ecg import read_ecg
from sklearn_bell.datasets._wfdb import read_wfdb

__all__ = ["fetch_chapman", "fetch_cpsc2018", "fetch_georgia", "fetch_ludb", "fetch_ptbxl"]
__all__ += ["get_data_home", "load_challenge", "load_ludb", "load_ptbxl", "make_ecg"]
__all__ += ["read_csv", "read_ecg", "read_labels", "read_wfdb"]
