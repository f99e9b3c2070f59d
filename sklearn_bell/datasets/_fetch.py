"""Download data sets where they are not there yet, and load them."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable
from numbers import Integral
from typing import Any, TypeAlias

import numpy as np
from sklearn.utils import Bunch
from sklearn.utils._param_validation import (
    Interval,
    validate_parameter_constraints,
    validate_params,
)

from sklearn_bell.datasets._base import get_data_home
from sklearn_bell.datasets._challenge import load_challenge
from sklearn_bell.datasets._download import download, is_there
from sklearn_bell.datasets._ludb import load_ludb
from sklearn_bell.datasets._ptbxl import load_ptbxl
from sklearn_bell.datasets._sources import CHALLENGE_2021, LUDB, PTB_XL
from sklearn_bell.datasets._wfdb import check_leads
from sklearn_bell.exceptions import InvalidECGError

_FOLDS = set(range(1, 11))  # of PTB-XL

_VALID = {
    "data_home": [str, os.PathLike, None],
    "n_connections": [Interval(Integral, 1, None, closed="left")],
    "verbose": ["boolean"],
}
Loaded: TypeAlias = Bunch | tuple[np.ndarray, np.ndarray]


@validate_params(_VALID, prefer_skip_nested_validation=True)
def fetch_ptbxl(
    data_home: str | os.PathLike[str] | None = None,
    *,
    n_connections: int = 4,
    verbose: bool = True,
    **options: Any,
) -> Loaded:
    """Download PTB-XL where it is not there yet, and load it.

    Only the records of the sampling rate that is asked for are downloaded: 0.6 GB at 100 Hz, 2.6 GB
    at 500 Hz. See Notes for how.

    Parameters
    ----------
    data_home : str or path-like, default=None
        The folder around that of the data set, ``ptb-xl``. By default that of
        :func:`get_data_home`. A copy that is there already, from wherever, is loaded as it is.
    n_connections : int, default=4
        How many files are downloaded at the same time.
    verbose : bool, default=True
        Whether to tell source, licence and citation when there is something to download, and to
        show a bar of progress.
    **options
        Of :func:`load_ptbxl`, such as `sampling_rate` or `task`.

    Returns
    -------
    bunch : :class:`~sklearn.utils.Bunch`
        That of :func:`load_ptbxl`.

    Raises
    ------
    OSError
        If a file cannot be downloaded, or is not as its checksum says, in five attempts. Whatever
        was downloaded is kept, and the next call goes on from there.
    ImportError
        If pooch is not installed.
    TypeError, ValueError
        If an option is none of the loader's, or has a value that makes no sense; nothing is
        downloaded then.

    Notes
    -----
    Each file is held against the checksum that the publisher gives, and appears under its name only
    then. To start from the beginning, remove the folder.

    Examples
    --------
    >>> from sklearn_bell.datasets import fetch_ptbxl
    >>> ecg = fetch_ptbxl(sampling_rate=100, folds=[1, 2])  # doctest: +SKIP
    """
    _check_options(fetch_ptbxl, load_ptbxl, options)
    rate = options.get("sampling_rate", 100)
    home = get_data_home(data_home)
    if not is_there(PTB_XL, home):
        options["folds"] = _check_folds(options.get("folds"))
        wanted = ("ptbxl_database.csv", "scp_statements.csv", "LICENSE.txt", f"records{rate}/")
        download(PTB_XL, home, wanted, n_connections, verbose)
    return load_ptbxl(home, **options)


@validate_params(_VALID, prefer_skip_nested_validation=True)
def fetch_ludb(
    data_home: str | os.PathLike[str] | None = None,
    *,
    n_connections: int = 4,
    verbose: bool = True,
    **options: Any,
) -> Loaded:
    """Download LUDB where it is not there yet, and load it.

    Its 200 records, with the marks of waves in each lead, take about 25 MB.

    Parameters
    ----------
    data_home : str or path-like, default=None
        The folder around that of the data set, ``ludb``; see :func:`get_data_home`.
    n_connections : int, default=4
        How many files are downloaded at the same time.
    verbose : bool, default=True
        Whether to tell source, licence and citation, and to show a bar of progress.
    **options
        Of :func:`load_ludb`, such as `task`.

    Returns
    -------
    bunch : :class:`~sklearn.utils.Bunch`
        That of :func:`load_ludb`.

    Raises
    ------
    OSError
        If a file cannot be downloaded whole; the next call goes on from there.
    ImportError
        If pooch is not installed.
    TypeError, ValueError
        If an option is none of the loader's, or has a value that makes no sense; nothing is
        downloaded then.

    Examples
    --------
    >>> from sklearn_bell.datasets import fetch_ludb
    >>> ecg = fetch_ludb(task="axis")  # doctest: +SKIP
    """
    _check_options(fetch_ludb, load_ludb, options)
    home = get_data_home(data_home)
    if not is_there(LUDB, home):
        download(LUDB, home, ("",), n_connections, verbose)
    return load_ludb(home, **options)


@validate_params(_VALID, prefer_skip_nested_validation=True)
def fetch_cpsc2018(
    data_home: str | os.PathLike[str] | None = None,
    *,
    n_connections: int = 4,
    verbose: bool = True,
    **options: Any,
) -> Loaded:
    """Download CPSC2018 where it is not there yet, and load it.

    6,877 records of 6 to 60 s at 500 Hz, of which the first nine classes were to be found in the
    China Physiological Signal Challenge 2018, in the version of the Challenge 2021: about 1.3 GB.

    Parameters
    ----------
    data_home : str or path-like, default=None
        The folder around ``challenge-2021``, where those of all its sources are; see
        :func:`get_data_home`.
    n_connections : int, default=4
        How many files are downloaded at the same time.
    verbose : bool, default=True
        Whether to tell source, licence and citation, and to show a bar of progress.
    **options
        Of :func:`load_challenge`, such as `duration`; all but `folder` and `sources`.

    Returns
    -------
    bunch : :class:`~sklearn.utils.Bunch`
        That of :func:`load_challenge`.

    Raises
    ------
    OSError
        If a file cannot be downloaded whole; the next call goes on from there.
    ImportError
        If pooch is not installed.
    TypeError, ValueError
        If an option is none of the loader's, or has a value that makes no sense; nothing is
        downloaded then.

    References
    ----------
    .. [1] Liu et al., "An Open Access Database for Evaluating the Algorithms of Electrocardiogram
       Rhythm and Morphology Abnormality Detection", Journal of Medical Imaging and Health
       Informatics 8(7), 1368-1373 (2018), doi:10.1166/jmihi.2018.2442

    Examples
    --------
    >>> from sklearn_bell.datasets import fetch_cpsc2018
    >>> ecg = fetch_cpsc2018(sampling_rate=100, duration=10)  # doctest: +SKIP
    """
    _check_options(fetch_cpsc2018, load_challenge, options)
    return _fetch_challenge(["cpsc_2018"], data_home, n_connections, verbose, options)


@validate_params(_VALID, prefer_skip_nested_validation=True)
def fetch_chapman(
    data_home: str | os.PathLike[str] | None = None,
    *,
    n_connections: int = 4,
    verbose: bool = True,
    **options: Any,
) -> Loaded:
    """Download the records of Chapman-Shaoxing and Ningbo where they are not there yet.

    45,152 records of 10 s at 500 Hz, of as many patients of two hospitals, in the version of the
    Challenge 2021: about 5.4 GB.

    Parameters
    ----------
    data_home : str or path-like, default=None
        The folder around ``challenge-2021``, where those of all its sources are; see
        :func:`get_data_home`.
    n_connections : int, default=4
        How many files are downloaded at the same time.
    verbose : bool, default=True
        Whether to tell source, licence and citation, and to show a bar of progress.
    **options
        Of :func:`load_challenge`, such as `out` for an array on disk; all but `folder` and
        `sources`.

    Returns
    -------
    bunch : :class:`~sklearn.utils.Bunch`
        That of :func:`load_challenge`.

    Raises
    ------
    OSError
        If a file cannot be downloaded whole; the next call goes on from there.
    ImportError
        If pooch is not installed.
    TypeError, ValueError
        If an option is none of the loader's, or has a value that makes no sense; nothing is
        downloaded then.

    References
    ----------
    .. [1] Zheng et al., "A 12-lead electrocardiogram database for arrhythmia research covering more
       than 10,000 patients", Scientific Data 7, 48 (2020), doi:10.1038/s41597-020-0386-x

    Examples
    --------
    >>> from sklearn_bell.datasets import fetch_chapman
    >>> ecg = fetch_chapman(on_error="skip", out="chapman.npy")  # doctest: +SKIP
    """
    _check_options(fetch_chapman, load_challenge, options)
    folders = ["chapman_shaoxing", "ningbo"]
    return _fetch_challenge(folders, data_home, n_connections, verbose, options)


@validate_params(_VALID, prefer_skip_nested_validation=True)
def fetch_georgia(
    data_home: str | os.PathLike[str] | None = None,
    *,
    n_connections: int = 4,
    verbose: bool = True,
    **options: Any,
) -> Loaded:
    """Download the Georgia 12-lead ECG Challenge Database where it is not there yet, and load it.

    10,344 records of up to 10 s at 500 Hz, from the southeast of the United States: about 1.2 GB.

    Parameters
    ----------
    data_home : str or path-like, default=None
        The folder around ``challenge-2021``, where those of all its sources are; see
        :func:`get_data_home`.
    n_connections : int, default=4
        How many files are downloaded at the same time.
    verbose : bool, default=True
        Whether to tell source, licence and citation, and to show a bar of progress.
    **options
        Of :func:`load_challenge`; all but `folder` and `sources`.

    Returns
    -------
    bunch : :class:`~sklearn.utils.Bunch`
        That of :func:`load_challenge`.

    Raises
    ------
    OSError
        If a file cannot be downloaded whole; the next call goes on from there.
    ImportError
        If pooch is not installed.
    TypeError, ValueError
        If an option is none of the loader's, or has a value that makes no sense; nothing is
        downloaded then.

    Examples
    --------
    >>> from sklearn_bell.datasets import fetch_georgia
    >>> ecg = fetch_georgia(sampling_rate=100)  # doctest: +SKIP
    """
    _check_options(fetch_georgia, load_challenge, options)
    return _fetch_challenge(["georgia"], data_home, n_connections, verbose, options)


def _fetch_challenge(
    sources: list[str],
    data_home: str | os.PathLike[str] | None,
    n_connections: int,
    verbose: bool,
    options: dict[str, Any],
) -> Loaded:
    home = get_data_home(data_home)
    wanted = tuple(f"training/{source}/" for source in sources)
    download(CHALLENGE_2021, home, wanted, n_connections, verbose)
    training = home / CHALLENGE_2021.folders[0] / "training"
    return load_challenge(training, sources=sources, **options)


def _check_options(fetch: Callable[..., Loaded], load: Any, options: dict[str, Any]) -> None:
    """Say what is wrong with options of a loader, before anything is downloaded for it."""
    own = "data_home", "folder", "sources"  # which are for the fetcher to say
    allowed = [name for name in inspect.signature(load).parameters if name not in own]
    unknown = [name for name in options if name not in allowed]
    if unknown:
        raise TypeError(
            f"{fetch.__name__} has no option {', '.join(unknown)}; those of {load.__name__} that "
            f"it takes are {', '.join(allowed)}."
        )
    validate_parameter_constraints(load._skl_parameter_constraints, options, fetch.__name__)
    check_leads(options.get("leads"))


def _check_folds(folds: Any) -> list[int] | None:
    """Return folds that PTB-XL has, before its table is there."""
    if folds is None:
        return None
    found = list(folds) if isinstance(folds, Iterable) else []
    if not found or not set(found) <= _FOLDS:
        raise InvalidECGError(f"folds must be some of {sorted(_FOLDS)}, but got {folds!r}.")
    return found
