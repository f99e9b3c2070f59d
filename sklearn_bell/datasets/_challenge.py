"""The data of the PhysioNet/CinC Challenges 2020 and 2021, and what others publish like them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from numbers import Integral, Real
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.preprocessing import MultiLabelBinarizer
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from sklearn_bell.datasets._base import select_labelled
from sklearn_bell.datasets._record import Layout
from sklearn_bell.datasets._sources import CHALLENGE_2021
from sklearn_bell.datasets._wfdb import check_leads, comments_of, read_policy, read_records
from sklearn_bell.exceptions import InvalidECGError

_DESCR = f"""\
12-lead ECGs in the layout of the PhysioNet/CinC Challenges 2020 and 2021: WFDB records, in whose
headers a comment Dx lists what was found, as codes of SNOMED CT. Sources that are published so:
CPSC2018 and CPSC-Extra, Georgia, Chapman-Shaoxing, Ningbo, PTB, PTB-XL and St Petersburg INCART.
The headers tell no patients: each record counts as one, although some sources have several records
of a patient (St Petersburg has 74 of 32, and PTB and PTB-XL too), which a split may part. Load
PTB-XL by load_ptbxl, which knows its patients.

Source: {CHALLENGE_2021.url} ({CHALLENGE_2021.licence})
{CHALLENGE_2021.citation}"""

# abbreviations and codes of the Challenge 2021; those in one class are scored as the same diagnosis
_SCORED_2021 = {
    "AF": ("164889003",),
    "AFL": ("164890007",),
    "BBB": ("6374002",),
    "Brady": ("426627000",),
    "CLBBB|LBBB": ("733534002", "164909002"),
    "CRBBB|RBBB": ("713427006", "59118001"),
    "IAVB": ("270492004",),
    "IRBBB": ("713426002",),
    "LAD": ("39732003",),
    "LAnFB": ("445118002",),
    "LPR": ("164947007",),
    "LQRSV": ("251146004",),
    "LQT": ("111975006",),
    "NSIVCB": ("698252002",),
    "NSR": ("426783006",),
    "PAC|SVPB": ("284470004", "63593006"),
    "PR": ("10370003",),
    "PRWP": ("365413008",),
    "PVC|VPB": ("427172004", "17338001"),
    "QAb": ("164917005",),
    "RAD": ("47665007",),
    "SA": ("427393009",),
    "SB": ("426177001",),
    "STach": ("427084000",),
    "TAb": ("164934002",),
    "TInv": ("59931005",),
}
_SCORED_2020 = {
    name: codes for name, codes in _SCORED_2021.items() if name not in ("BBB", "CLBBB|LBBB", "PRWP")
} | {"LBBB": ("164909002",)}
_TASKS = {"challenge2020": _SCORED_2020, "challenge2021": _SCORED_2021, "all": None}


@validate_params(
    {
        "folder": [str, os.PathLike],
        "sources": ["array-like", None],
        "task": [StrOptions(set(_TASKS))],
        "sampling_rate": [Interval(Real, 0, None, closed="neither"), None],
        "duration": [Interval(Real, 0, None, closed="neither"), None],
        "leads": ["array-like", None],
        "unlabelled": ["boolean"],
        "n_jobs": [Integral, None],
        "out": [str, os.PathLike, None],
        "on_error": [StrOptions({"raise", "skip"})],
        "verify": ["boolean"],
        "allow_links": ["boolean"],
        "return_X_y": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def load_challenge(
    folder: str | os.PathLike[str],
    *,
    sources: Sequence[str] | None = None,
    task: str = "challenge2021",
    sampling_rate: float | None = None,
    duration: float | None = 10.0,
    leads: Sequence[str] | None = None,
    unlabelled: bool = False,
    n_jobs: int | None = None,
    out: str | os.PathLike[str] | None = None,
    on_error: str = "raise",
    verify: bool = True,
    allow_links: bool = False,
    return_X_y: bool = False,
) -> Bunch | tuple[np.ndarray, np.ndarray]:
    """Load ECGs in the layout of the PhysioNet/CinC Challenges 2020 and 2021 (multi-label).

    CPSC2018, Georgia, Chapman-Shaoxing, Ningbo, PTB, PTB-XL and St Petersburg are published so: a
    ``.hea`` file for each record, whose comment ``Dx`` has the codes of what was found, and a
    ``.mat`` or ``.dat`` file. Headers of the first Challenge, whose dates wfdb refuses, are read.

    Parameters
    ----------
    folder : str or path-like
        The folder of the records, at whatever depth: that of a source, or the one around several.
    sources : sequence of str, default=None
        Names of folders inside that folder, such as ``["georgia", "ningbo"]``, of which alone the
        records are loaded. By default all are.
    task : {"challenge2020", "challenge2021", "all"}, default="challenge2021"
        Which findings are the classes: the 26 scored in 2021, or the 24 of 2020, in both of which
        some codes count as the same; or every code that appears in a record, by itself.
    sampling_rate : float, default=None
        Sampling rate in Hz; records of another one are resampled. By default that of the first
        record: most have 500, PTB 1000 and St Petersburg 257.
    duration : float, default=10.0
        Length in seconds: longer records are cropped, and shorter ones padded with zeros, at their
        end. None leaves them as they are; all have to have the same length then.
    leads : sequence of str of length n_leads, default=None
        Names of the leads to load, in this order. By default all twelve.
    unlabelled : bool, default=False
        Whether to keep records that have no finding of the task; their row of `target` is zero. By
        default they are left out, and a warning says how many.
    n_jobs : int, default=None
        Number of records read at the same time; see :func:`read_wfdb`.
    out : str or path-like, default=None
        Path of a ``.npy`` file to write the records to instead of holding them in memory; see
        :func:`read_wfdb`.
    on_error : {"raise", "skip"}, default="raise"
        What to do with a record that cannot be read: raise an error, or leave it out and warn.
    verify : bool, default=True
        Whether samples are held against their number and checksums in the headers; see
        :func:`read_wfdb`.
    allow_links : bool, default=False
        Whether files may be symbolic links out of the folder.
    return_X_y : bool, default=False
        Whether to return ``(data, target)`` instead of the Bunch.

    Returns
    -------
    bunch : :class:`~sklearn.utils.Bunch`
        data : ndarray of shape (n_records, n_leads, n_samples)
            The records in mV, float32, sorted by name within each source; with `out` a read-only
            memory map.
        target : ndarray of shape (n_records, n_classes)
            1 where the record has the class, else 0.
        target_names : ndarray of shape (n_classes,)
            The classes, sorted: abbreviations of the Challenge, such as ``"CLBBB|LBBB"``, every one
            of them whatever the folder holds; or the codes of the task ``"all"``.
        groups : ndarray of shape (n_records,)
            A number for each record, as the headers tell no patients. Some sources have several
            records of a patient, as `DESCR` says.
        lead_names : list of str of length n_leads
            By default I, II, III, aVR, aVL, aVF, V1-V6.
        sampling_rate : float
            In Hz.
        units : str
            ``"mV"``.
        record_names : ndarray of shape (n_records,)
            The paths inside the folder, without extension.
        metadata : DataFrame of n_records rows
            The comments in the headers, such as ``Age``, ``Sex`` and ``Dx``, as text, indexed by
            record.
        skipped : dict
            Why a record was left out, by its name.
        padded : list of str
            Names of the records that were padded with zeros.
        DESCR : str
            What the data are, and what to cite.

    Raises
    ------
    InvalidECGError
        If the folder has no records, or none to read, or if a record cannot be read and `on_error`
        is ``"raise"``. It names the record and the cause.

    Warns
    -----
    RecordWarning
        If records are left out or padded.

    Notes
    -----
    The scored classes are those of the Challenges' own evaluation [1]_ [2]_: complete and other
    right bundle branch block are one, as are left bundle branch blocks (in 2021), premature atrial
    and supraventricular beats, and premature ventricular contractions and beats.

    References
    ----------
    .. [1] Perez Alday et al., "Classification of 12-lead ECGs: the PhysioNet/Computing in
       Cardiology Challenge 2020", Physiological Measurement 41(12), 124003 (2020),
       doi:10.1088/1361-6579/abc960
    .. [2] Reyna et al., "Will Two Do? Varying Dimensions in Electrocardiography: the
       PhysioNet/Computing in Cardiology Challenge 2021", Computing in Cardiology 48 (2021),
       doi:10.23919/CinC53138.2021.9662687

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
    >>> bunch.data.shape
    (1, 2, 5000)
    >>> bunch.target_names[bunch.target[0] == 1].tolist()
    ['CRBBB|RBBB', 'NSR']
    """
    folder = Path(folder)
    wanted_leads, trust = check_leads(leads), read_policy(folder, verify=verify,
                                                       allow_links=allow_links)  # fmt: skip
    listed: list[str] = []
    for place in [folder] if sources is None else [folder / source for source in sources]:
        there = [path.relative_to(folder).as_posix()[:-4] for path in place.rglob("*.hea")]
        if not there:
            raise InvalidECGError(
                f"There is no record, a file with the extension .hea, in {place}."
            )
        listed += sorted(there)
    found = comments_of(listed, folder, trust, n_jobs=n_jobs)
    readable = np.array([isinstance(one, dict) for one in found])
    comments = [one if isinstance(one, dict) else {} for one in found]
    target, target_names = _encode([_codes(one) for one in comments], task)

    names = np.array(listed, dtype=str)
    labelled = target.any(axis=1) | ~readable  # what is wrong with these, reading them tells
    keep, without = select_labelled(names, labelled, task, unlabelled)
    metadata = pd.DataFrame(comments, index=names, dtype=str).fillna("")
    target, names = target[keep], names[keep]
    layout = Layout(wanted_leads, sampling_rate, duration)
    bunch = read_records(
        names, folder, layout, trust, n_jobs=n_jobs, out=out, skip=on_error == "skip"
    )
    read = ~np.isin(names, [*bunch.skipped])
    if return_X_y:
        return bunch.data, target[read]
    bunch.update(
        target=target[read],
        target_names=target_names,
        groups=np.arange(read.sum()),
        metadata=metadata.loc[names[read]],
        skipped=without | bunch.skipped,
        DESCR=_DESCR,
    )
    return bunch


def _codes(comments: dict[str, str]) -> list[str]:
    return [code for code in map(str.strip, comments.get("Dx", "").split(",")) if code]


def _encode(codes: list[list[str]], task: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the indicator (n_records, n_classes) of a task, and the names of its classes."""
    classes = _TASKS[task]
    if classes is None:
        target_names = sorted({code for found in codes for code in found})
    else:
        class_of = {code: name for name, same in classes.items() for code in same}
        codes = [[class_of[code] for code in found if code in class_of] for found in codes]
        target_names = sorted(classes)
    target = MultiLabelBinarizer(classes=target_names).fit_transform(codes)
    return target.astype(np.int64, copy=False), np.array(target_names, dtype=str)
