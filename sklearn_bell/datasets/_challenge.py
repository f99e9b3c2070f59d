"""Data of the PhysioNet/CinC Challenges 2020 and 2021: loader, downloads and source."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils._param_validation import StrOptions, validate_params

from sklearn_bell.datasets._base import Loaded, Source, binarize, get_data_home, warn_about_records
from sklearn_bell.datasets._download import download_if_absent
from sklearn_bell.datasets._files import ReadPolicy
from sklearn_bell.datasets._reading import CONSTRAINTS, check_leads
from sklearn_bell.datasets._record import TargetFormat
from sklearn_bell.datasets._wfdb import read_all_comments, read_labelled
from sklearn_bell.exceptions import InvalidECGError

CHALLENGE_2021 = Source(
    name="the PhysioNet/CinC Challenge 2021",
    marker="RECORDS",
    folders=("challenge-2021",),
    url="https://physionet.org/content/challenge-2021/1.0.3/",
    files="https://physionet.org/files/challenge-2021/1.0.3/",
    size="about 10 GB unpacked",
    licence="CC BY 4.0",
    citation="""\
Perez Alday et al., Classification of 12-lead ECGs: the PhysioNet/Computing in Cardiology Challenge
2020. Physiological Measurement 41(12), 124003 (2020), doi:10.1088/1361-6579/abc960
Reyna et al., Will Two Do? Varying Dimensions in Electrocardiography: the PhysioNet/Computing in
Cardiology Challenge 2021. Computing in Cardiology 48 (2021), doi:10.23919/CinC53138.2021.9662687,
doi:10.13026/34va-7q14
""",
    fetcher="fetch_chapman, fetch_cpsc2018 or fetch_georgia",
    about="""\
12-lead ECGs in the layout of the PhysioNet/CinC Challenges 2020 and 2021: WFDB records whose
headers list the findings in a comment Dx, as codes of SNOMED CT. Sources: CPSC2018 and CPSC-Extra,
Georgia, Chapman-Shaoxing, Ningbo, PTB, PTB-XL and St Petersburg INCART. The headers name no
patients: each record counts as one, although PTB, PTB-XL and St Petersburg (74 records of 32) have
several of a patient, which a split may separate. load_ptbxl knows the patients of PTB-XL.
""",
)

# abbreviations and codes of the Challenge 2021; codes of one class are scored as one diagnosis
_CODES = """
AF 164889003, AFL 164890007, BBB 6374002, Brady 426627000, CLBBB|LBBB 733534002 164909002,
CRBBB|RBBB 713427006 59118001, IAVB 270492004, IRBBB 713426002, LAD 39732003, LAnFB 445118002,
LPR 164947007, LQRSV 251146004, LQT 111975006, NSIVCB 698252002, NSR 426783006,
PAC|SVPB 284470004 63593006, PR 10370003, PRWP 365413008, PVC|VPB 427172004 17338001,
QAb 164917005, RAD 47665007, SA 427393009, SB 426177001, STach 427084000, TAb 164934002,
TInv 59931005
"""
_CLASSES = {code: name for name, *codes in map(str.split, _CODES.split(",")) for code in codes}
_CLASSES_2020 = {
    code: name for code, name in _CLASSES.items() if name not in ("BBB", "CLBBB|LBBB", "PRWP")
} | {"164909002": "LBBB"}
_CODE = re.compile(r"(?<![\d.])(\d{6,18})(?:\.0+)?(?!\d)")  # of SNOMED CT
_TASKS = {"challenge2020": _CLASSES_2020, "challenge2021": _CLASSES, "all": None}


@validate_params(
    CONSTRAINTS | {"sources": ["array-like", None], "task": [StrOptions(set(_TASKS))]},
    prefer_skip_nested_validation=True,
)
def load_challenge(
    folder: str | os.PathLike[str] | None = None,
    *,
    sources: Sequence[str] | None = None,
    task: str = "challenge2021",
    sampling_rate: float | None = None,
    duration: float | None = 10.0,
    max_gap: float = 0.0,
    leads: Sequence[str] | None = None,
    unlabelled: bool = False,
    n_jobs: int | None = None,
    out: str | os.PathLike[str] | None = None,
    on_error: str = "raise",
    verify: bool = True,
    allow_links: bool = False,
    download_if_missing: bool = False,
    n_connections: int = 4,
    verbose: bool = True,
    return_X_y: bool = False,
) -> Loaded:
    """Load ECGs in the layout of the PhysioNet/CinC Challenges 2020 and 2021 (multi-label).

    CPSC2018, Georgia, Chapman-Shaoxing, Ningbo, PTB, PTB-XL and St Petersburg are published so:
    WFDB records with a comment ``Dx`` in the header, which has the codes of the findings.

    Parameters
    ----------
    folder : str or path-like, default=None
        A folder with records at any depth, or the folder around ``challenge-2021/training``,
        where downloads go. By default that of :func:`get_data_home`.
    sources : sequence of str, default=None
        Folders in that folder to load, such as ``["georgia", "ningbo"]``. By default all.
    task : {"challenge2020", "challenge2021", "all"}, default="challenge2021"
        The classes: the 24 scored in 2020 [1]_ or the 26 of 2021 [2]_, in which some codes count
        as the same; or every code that appears in a record.
    sampling_rate : float, default=None
        In Hz. By default that of the first record: most have 500, PTB 1000, St Petersburg 257.
    duration, max_gap, on_error, verify : default=10.0, 0.0, "raise", True
        As in :func:`read_wfdb`, in seconds. Some records, such as E04603 of Georgia, have R peaks
        that are cut off: ``max_gap=0.1`` interpolates them.
    leads, unlabelled, n_jobs, out, allow_links, download_if_missing, n_connections, verbose, \
            return_X_y
        As in :func:`load_ptbxl`. All sources of the Challenge 2021 have about 10 GB.

    Returns
    -------
    bunch : :class:`~sklearn.utils.Bunch`
        As from :func:`load_ptbxl`, but without `fold`, and with:

        target_names : ndarray of shape (n_classes,)
            All abbreviations of the Challenge, such as ``"CLBBB|LBBB"``, or all codes, sorted.
        groups : ndarray of shape (n_records,)
            A number for each record, as the headers name no patients (see `DESCR`).
        record_names : ndarray of shape (n_records,)
            The paths inside the folder, sorted within each source.
        metadata : DataFrame of n_records rows
            The comments in the headers, such as ``Age``, ``Sex`` and ``Dx``, as text.

    Raises
    ------
    FileNotFoundError
        If the folder, or that of a source, is missing.
    InvalidECGError, OSError, ImportError
        As from :func:`read_wfdb` and :func:`load_ptbxl`, like warnings; or if there are no records.

    References
    ----------
    .. [1] Perez Alday et al., Physiol Meas 41(12), 124003 (2020), doi:10.1088/1361-6579/abc960
    .. [2] Reyna et al., Computing in Cardiology 48 (2021), doi:10.23919/CinC53138.2021.9662687

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np, wfdb
    >>> from sklearn_bell.datasets import load_challenge
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     wfdb.wrsamp("A0001", fs=500, units=["mV"] * 2, sig_name=["I", "II"], fmt=["16"] * 2,
    ...                 p_signal=np.random.randn(5000, 2), write_dir=folder,
    ...                 comments=["Age: 74", "Sex: Male", "Dx: 59118001,426783006"])
    ...     bunch = load_challenge(folder)
    >>> bunch.data.shape, bunch.target_names[bunch.target[0] == 1].tolist()
    ((1, 2, 5000), ['CRBBB|RBBB', 'NSR'])
    """
    target_format = TargetFormat(check_leads(leads), sampling_rate, duration, max_gap=max_gap)
    home = get_data_home(folder)
    training = home / CHALLENGE_2021.folders[0] / "training"
    if download_if_missing:
        prefixes = tuple(f"training/{source}/" for source in sources or ()) or ("training/",)
        download_if_absent(CHALLENGE_2021, home, prefixes, n_connections, verbose)
    root = training if training.is_dir() else home
    policy = ReadPolicy(root, verify, allow_links)
    names = _list_records(root, sources)
    results = read_all_comments(names, policy, n_jobs=n_jobs)
    is_readable = np.array([isinstance(result, dict) for result in results])
    comments = [result if isinstance(result, dict) else {} for result in results]
    metadata = pd.DataFrame(comments, index=names, dtype=str).fillna("")
    findings = [entry.get("Dx", "") for entry in comments]
    codes = [_CODE.findall(text) for text in findings]
    _warn_about_text(names, findings)
    target, target_names = binarize(codes, _TASKS[task])

    labelled = target.any(axis=1) | ~is_readable  # read_records reports the unreadable ones
    rows = {"target": target, "metadata": metadata}
    options = {"task": task, "unlabelled": unlabelled, "n_jobs": n_jobs, "out": out}
    options["skip"] = on_error == "skip"
    bunch = read_labelled(names, labelled, rows, target_format, policy, **options)
    bunch.update(target_names=target_names, DESCR=CHALLENGE_2021.description)
    bunch.groups = np.arange(len(bunch.data))
    return (bunch.data, bunch.target) if return_X_y else bunch


def fetch_cpsc2018(data_home: str | os.PathLike[str] | None = None, **options: Any) -> Loaded:
    """Download CPSC2018 if missing, and load it with the options of :func:`load_challenge`.

    6,877 records of 6 to 60 s at 500 Hz, in the version of the Challenge 2021: 1.3 GB. See Liu
    et al., J Med Imaging Health Inform 8(7), 1368-1373 (2018), doi:10.1166/jmihi.2018.2442.

    Examples
    --------
    >>> from sklearn_bell.datasets import fetch_cpsc2018
    >>> ecg = fetch_cpsc2018(sampling_rate=100, duration=10)  # doctest: +SKIP
    """
    return load_challenge(data_home, sources=["cpsc_2018"], download_if_missing=True, **options)


def fetch_chapman(data_home: str | os.PathLike[str] | None = None, **options: Any) -> Loaded:
    """Download Chapman-Shaoxing and Ningbo if missing, and load them as :func:`fetch_cpsc2018`.

    45,152 records of 10 s at 500 Hz, of as many patients of two hospitals: about 5.4 GB. See Zheng
    et al., Scientific Data 7, 48 (2020), doi:10.1038/s41597-020-0386-x.

    Examples
    --------
    >>> from sklearn_bell.datasets import fetch_chapman
    >>> ecg = fetch_chapman(on_error="skip", out="chapman.npy")  # doctest: +SKIP
    """
    sources = ["chapman_shaoxing", "ningbo"]
    return load_challenge(data_home, sources=sources, download_if_missing=True, **options)


def fetch_georgia(data_home: str | os.PathLike[str] | None = None, **options: Any) -> Loaded:
    """Download the Georgia 12-lead database if missing, and load it as :func:`fetch_cpsc2018`.

    10,344 records of up to 10 s at 500 Hz, from the southeast of the United States: about 1.2 GB.

    Examples
    --------
    >>> from sklearn_bell.datasets import fetch_georgia
    >>> ecg = fetch_georgia(sampling_rate=100)  # doctest: +SKIP
    """
    return load_challenge(data_home, sources=["georgia"], download_if_missing=True, **options)


def _warn_about_text(names, findings):
    """Warn about parts of the comment Dx that are neither codes nor "Unknown"."""
    texts = (" ".join(re.findall(r"[\w.+-]+", _CODE.sub(" ", text))) for text in findings)
    with_text = [f"{name} ({text})" for name, text in zip(names, texts, strict=True)
             if text.strip(".+-").lower() not in ("", "unknown", "none", "nan")]  # fmt: skip
    if with_text:
        problem = "records have text in Dx that is no code of SNOMED CT, and is ignored"
        warn_about_records(problem, with_text, "Correct their headers, or give labels of your own.")


def _list_records(root: Path, sources: Sequence[str] | None) -> np.ndarray:
    """Return the paths of all records inside `root`, sorted within each source."""
    records: list[str] = []
    for folder in [root] if sources is None else [root / source for source in sources]:
        if not folder.is_dir():
            remedy = f"download {CHALLENGE_2021.name} with {CHALLENGE_2021.fetcher}"
            raise FileNotFoundError(f"There is no folder {folder}. Check its name, or {remedy}.")
        names = [path.relative_to(root).as_posix()[:-4] for path in folder.rglob("*.hea")]
        if not names:
            raise InvalidECGError(f"There is no record (*.hea) in {folder}. Pass another folder.")
        records += sorted(names)
    return np.array(records, dtype=str)
