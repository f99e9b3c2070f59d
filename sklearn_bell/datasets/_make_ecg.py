"""Synthetic labelled ECGs: a moving dipole, recorded by nine electrodes with noise."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from numbers import Integral, Real
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import Bunch, check_random_state, gen_batches
from sklearn.utils._param_validation import Interval, validate_params

from sklearn_bell._utils.leads import STANDARD_LEADS, lead_positions
from sklearn_bell.datasets._heart_models import CONDITIONS, NORMAL, simulate_dipoles
from sklearn_bell.exceptions import InvalidECGError

if TYPE_CHECKING:
    from sklearn_bell._utils import types

# potentials of dipoles of 1 mV to the left (x), feet (y) and back (z), by Dower et al. (1980)
_DOWER = np.array(
    [  # I, II, V1-V6
        [0.632, 0.235, -0.515, 0.044, 0.882, 1.213, 1.125, 0.831],
        [-0.235, 1.066, 0.157, 0.164, 0.098, 0.127, 0.127, 0.076],
        [0.059, -0.132, -0.917, -1.387, -1.277, -0.601, -0.086, 0.230],
    ]
).T.copy()
# potentials of RA, LA, LL and V1-V6; those of the limb electrodes average to zero (Wilson)
_LIMBS_FROM_LEADS = np.array([[-1, -1], [2, -1], [-1, 2]]) / 3
_ELECTRODES_FROM_DIPOLE = np.vstack([_LIMBS_FROM_LEADS @ _DOWER[:2], _DOWER[2:]])
_LEADS_FROM_ELECTRODES = np.eye(12, 9, k=-3)
_LEADS_FROM_ELECTRODES[:6, :3] = [
    [-1.0, 1, 0],  # I = LA - RA
    [-1.0, 0, 1],  # II = LL - RA
    [0.0, -1, 1],  # III = LL - LA
    [1, -0.5, -0.5],  # aVR = RA - (LA + LL) / 2
    [-0.5, 1, -0.5],  # aVL
    [-0.5, -0.5, 1],  # aVF
]
_LEADS_FROM_ELECTRODES[6:, :3] = -1 / 3  # V1-V6: against the mean of RA, LA and LL

# microvolts at each electrode: root mean square, or for steps the standard deviation of height
_NOISE = {"wander": 60.0, "hum": 10.0, "muscle": 15.0, "steps": 150.0}
_SECONDS_PER_STEP = 100.0  # mean time between two steps of one electrode

_BATCH = 64  # records made together, which bounds the memory used beyond the result


@validate_params(
    {
        "n_records": [Interval(Integral, 1, None, closed="left")],
        "classes": ["array-like"],
        "leads": ["array-like"],
        "sampling_rate": [Interval(Real, 0, None, closed="neither")],
        "duration": [Interval(Real, 0, None, closed="neither")],
        "noise": [Interval(Real, 0, None, closed="left"), Mapping],
        "weights": ["array-like", None],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_ecg(
    n_records: int = 100,
    *,
    classes: types.Names = tuple(CONDITIONS),
    leads: types.Names = STANDARD_LEADS,
    sampling_rate: float = 100,
    duration: float = 10,
    noise: float = 1.0,
    weights: ArrayLike | None = None,
    random_state: types.RandomState = None,
) -> Bunch:
    """Make synthetic 12-lead ECGs of known classes, for teaching and tests.

    A heart model is a moving dipole: a sum of Gaussians in each of three axes, beat by beat [1]_
    [2]_. Nine electrodes record it through Dower's matrix [3]_ and add noise, and the leads are
    differences of electrodes; so Einthoven's and Goldberger's laws hold. **These are textbook
    drawings, not patients: they give no evidence about any method.**

    Parameters
    ----------
    n_records : int, default=100
        The number of records, each of another patient.
    classes : sequence of str, default=all eleven
        Classes of the list in the notes, or combinations such as ``"afib+lbbb"`` of conditions
        that change different things: not two rhythms, nor two forms of QRS, ST or T.
    leads : sequence of str of length n_leads, default=all twelve
        Names of the leads, in this order; case does not matter.
    sampling_rate, duration : float, default=100, 10
        In Hz and seconds. The heart models depend on neither rate nor noise.
    noise : float or mapping of str to float, default=1.0
        A factor on the default noise, 0 for none; or the microvolts at each electrode of
        ``"wander"`` (60), ``"hum"`` (10), ``"muscle"`` (15) and ``"steps"`` (150), or else zero.
    weights : array-like of shape (n_classes,), default=None
        Proportions of the `classes`, rounded to records, whatever their sum. None makes them equal.
    random_state : int, RandomState instance or None, default=None
        Seed of heart models and noise.

    Returns
    -------
    bunch : :class:`~sklearn.utils.Bunch`
        data : ndarray of shape (n_records, n_leads, n_samples)
            The records in mV, float32.
        target : ndarray of shape (n_records,) or (n_records, n_conditions)
            The position in `classes`; or an indicator of conditions, if a class combines some.
        target_names : ndarray of shape (n_classes,) or (n_conditions,)
            The classes; or the conditions, in the order in which `classes` name them.
        groups, lead_names, sampling_rate, units, record_names, DESCR
            As from :func:`load_ptbxl`.

    Raises
    ------
    InvalidECGError
        If there is no lead of that name, or another parameter is invalid.

    Notes
    -----
    Axis, amplitudes and intervals vary between patients and overlap between classes:

    - ``normal``: 60 to 95 beats/min, PR 130 to 190 ms, QRS 90 ms, QTc below 450 ms, axis -30 to 90
      degrees; ``sinus_tachycardia``: 102 to 138 and ``sinus_bradycardia``: 42 to 58 beats/min;
    - ``afib``, atrial fibrillation: irregular RR, no P, f waves of 4 to 8.5 Hz in V1;
    - ``av_block``, first-degree atrioventricular block: PR above 200 ms;
    - ``lbbb``, left bundle branch block: QRS above 120 ms, notched R in I, V5 and V6, QS or rS in
      V1, ST and T opposite to QRS;
    - ``rbbb``, right bundle branch block: QRS above 120 ms, rSR' in V1, broad S in I and V6;
    - ``pvc``, premature ventricular complexes, one at least: early, wide, no P, a pause after them;
    - ``st_elevation``, anterior: 0.2 mV or more in V2 and V3, ST depression in III;
    - ``st_depression``: 0.1 mV or more in V4 and V5;
    - ``lvh``, left ventricular hypertrophy: S in V1 plus R in V5 or V6 above 3.5 mV, with ST
      depression and inverted T in V5 and V6.

    The microvolts of baseline wander (0.05 to 0.5 Hz), mains hum (50 Hz) and muscle noise (white)
    are root mean squares over many records, of which some are noisier. Those of electrode steps,
    each 100 s at each electrode, are the standard deviation of their height; they decay within
    seconds. No filter precedes sampling: at 100 Hz the hum alternates from sample to sample.

    References
    ----------
    .. [1] McSharry et al., IEEE Trans Biomed Eng 50, 289 (2003), doi:10.1109/TBME.2003.808805
    .. [2] Sameni et al., EURASIP J Adv Signal Process 2007, 043407, doi:10.1155/2007/43407
    .. [3] Dower et al., Clin Cardiol 3, 87-95 (1980)

    Examples
    --------
    >>> from sklearn_bell.datasets import make_ecg
    >>> ecg = make_ecg(6, classes=["normal", "lbbb"], random_state=2)
    >>> ecg.data.shape, ecg.target.tolist()
    ((6, 12, 1000), [0, 0, 1, 0, 1, 1])
    >>> ecg = make_ecg(3, classes=["normal", "afib", "afib+lbbb"], random_state=2)
    >>> ecg.target_names.tolist(), ecg.target.tolist()
    (['normal', 'afib', 'lbbb'], [[0, 1, 1], [0, 1, 0], [1, 0, 0]])
    """
    models, target_names, target_of_class = _combine_conditions(classes)
    positions = lead_positions(leads, STANDARD_LEADS)
    microvolts = _noise_levels(noise)
    time = np.arange(round(duration * sampling_rate)) / sampling_rate
    if len(time) < 2:
        actual = f"{len(time)} in duration={duration} s at sampling_rate={sampling_rate} Hz"
        raise InvalidECGError(f"Expected at least 2 samples, got {actual}. Increase either.")
    # two streams, so that the heart models do not depend on the noise
    seeds = check_random_state(random_state).randint(np.iinfo(np.int32).max, size=2)
    heart_rng, noise_rng = map(np.random.default_rng, seeds)
    code = heart_rng.permutation(_allocate_classes(n_records, weights, len(models)))

    data = np.empty((n_records, len(positions), len(time)), dtype=np.float32)
    for index, model in enumerate(models):
        members = np.flatnonzero(code == index)
        for batch in gen_batches(len(members), _BATCH):
            rows = members[batch]
            dipole = simulate_dipoles(model, len(rows), duration, time, heart_rng)
            potentials = _ELECTRODES_FROM_DIPOLE @ dipole  # (len(rows), 9, n_samples)
            potentials += _simulate_noise(microvolts, len(rows), time, noise_rng)
            data[rows] = (_LEADS_FROM_ELECTRODES @ potentials)[:, positions]

    return Bunch(
        data=data,
        target=target_of_class[code],
        target_names=np.array(target_names),
        groups=np.arange(n_records),
        lead_names=[STANDARD_LEADS[position] for position in positions],
        sampling_rate=float(sampling_rate),
        units="mV",
        record_names=np.array([f"ecg{number:05d}" for number in range(n_records)]),
        DESCR=f"Synthetic ECGs of make_ecg: {n_records} records of {duration} s at {sampling_rate} "
        f"Hz; classes {', '.join(classes)}; electrode noise in microvolts {microvolts}. For "
        "teaching and tests: they are no evidence about patients.",
    )


def _combine_conditions(classes):
    """Return the heart model of each class, the names of the targets, and each class's target."""
    if not all(isinstance(name, str) for name in classes):
        raise InvalidECGError(f"Expected classes to be a sequence of names, got {classes!r}.")
    combinations = [[name.strip() for name in entry.split("+")] for entry in classes]
    if not combinations or len(set(map(frozenset, combinations))) < len(combinations):
        raise InvalidECGError(f"Expected classes to be different, at least one, got {classes!r}.")
    names = list(dict.fromkeys(name for combination in combinations for name in combination))
    if unknown := [name for name in names if name not in CONDITIONS]:
        raise InvalidECGError(f"No class named {', '.join(unknown)} among {', '.join(CONDITIONS)}.")

    models = []
    for combination in combinations:
        changes = [key for name in combination for key in CONDITIONS[name]]
        conflicts = sorted({key for key in changes if changes.count(key) > 1})
        if conflicts or ("normal" in combination and len(combination) > 1):
            raise InvalidECGError(
                f"{'+'.join(combination)} do not combine: several of them change "
                f"{conflicts or 'nothing'}. Combine conditions that change different things, and "
                "leave out normal."
            )
        models.append(dict(ChainMap(*(CONDITIONS[name] for name in combination), NORMAL)))
    indicator = np.array([[int(name in group) for name in names] for group in combinations])
    is_multi_label = any(len(combination) > 1 for combination in combinations)
    return models, names, indicator if is_multi_label else np.arange(len(models))


def _noise_levels(noise):
    """Return the microvolts of each kind of noise."""
    if isinstance(noise, Real):
        return {kind: noise * microvolts for kind, microvolts in _NOISE.items()}
    if unknown := [str(kind) for kind in noise if kind not in _NOISE]:
        raise InvalidECGError(f"No noise named {', '.join(unknown)} among {', '.join(_NOISE)}.")
    if not all(isinstance(level, Real) and 0 <= float(level) < np.inf for level in noise.values()):
        raise InvalidECGError(f"Expected noise in microvolts, zero or more, got {noise}.")
    return {kind: noise.get(kind, 0.0) for kind in _NOISE}


def _allocate_classes(n_records, weights, n_classes):
    """Return class indices in proportion to their weights, sorted: (n_records,)."""
    weights = np.ones(n_classes) if weights is None else np.asarray(weights, dtype=float)
    if weights.shape != (n_classes,) or not (weights >= 0).all() or not 0 < weights.sum() < np.inf:
        expected = f"{n_classes} proportions, none negative, as weights"
        raise InvalidECGError(f"Expected {expected}, got {weights.tolist()}.")
    rank = (np.arange(n_records) + 0.5) / n_records
    return np.searchsorted(np.cumsum(weights) / weights.sum(), rank)


def _sinusoids(frequency, time, rng):
    """Mix sinusoids (n_records, n_frequencies) of random amplitudes, to a mean square of 1."""
    angle = 2 * np.pi * frequency[:, :, None] * time
    basis = np.concatenate([np.sin(angle), np.cos(angle)], axis=1)
    amplitude = rng.standard_normal((len(frequency), 9, basis.shape[1]))
    return amplitude / np.sqrt(frequency.shape[1]) @ basis


def _steps(n_records, time, rng):
    count = rng.poisson(time[-1] / _SECONDS_PER_STEP, n_records * 9)
    electrode = np.repeat(np.arange(len(count)), count)
    since = time - rng.uniform(0, time[-1], (len(electrode), 1))
    height = rng.standard_normal((len(electrode), 1))
    steps = np.zeros((len(count), len(time)))
    # the amplifier's high-pass filter has a time constant of 1 s
    np.add.at(steps, electrode, height * (since >= 0) * np.exp(-np.abs(since)))
    return steps.reshape(n_records, 9, len(time))


def _simulate_noise(microvolts, n_records, time, rng):
    """Return the noise of the electrodes: (n_records, 9, n_samples) in mV."""
    shape = (n_records, 9, len(time))
    simulators = {  # each of mean square 1
        "wander": lambda: _sinusoids(rng.uniform(0.05, 0.5, (n_records, 3)), time, rng),
        "hum": lambda: _sinusoids(rng.normal(50, 0.05, (n_records, 1)), time, rng),
        "muscle": lambda: rng.standard_normal(shape, dtype=np.float32),
        "steps": lambda: _steps(n_records, time, rng),
    }
    noise = np.zeros(shape)
    for kind, simulate in simulators.items():
        if level := microvolts[kind]:
            quality = rng.lognormal(-0.25, 0.5, (n_records, 1, 1))  # of the record
            noise += quality * level / 1000 * simulate()
    return noise
