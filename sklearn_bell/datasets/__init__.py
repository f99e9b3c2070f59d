"""Where records come from: one source, one file."""

from sklearn_bell.datasets._base import get_data_home
from sklearn_bell.datasets._challenge import load_challenge
from sklearn_bell.datasets._fetch import (
    fetch_chapman,
    fetch_cpsc2018,
    fetch_georgia,
    fetch_ludb,
    fetch_ptbxl,
)
from sklearn_bell.datasets._ludb import load_ludb
from sklearn_bell.datasets._make_ecg import make_ecg
from sklearn_bell.datasets._ptbxl import load_ptbxl
from sklearn_bell.datasets._wfdb import read_wfdb

__all__ = [
    "fetch_chapman",
    "fetch_cpsc2018",
    "fetch_georgia",
    "fetch_ludb",
    "fetch_ptbxl",
    "get_data_home",
    "load_challenge",
    "load_ludb",
    "load_ptbxl",
    "make_ecg",
    "read_wfdb",
]
