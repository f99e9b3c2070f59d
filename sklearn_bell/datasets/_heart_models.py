"""Heart models: parameters of the cardiac dipole per diagnosis, and the simulated dipole.

Each axis x (to the left), y (to the feet), z (to the back) is a sum of Gaussians, see `make_ecg`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

# Rates in beats/min and intervals in ms are (mean, standard deviation) over patients. A wave is a
# sum of Gaussians: (centre in ms, standard deviation in ms, and the dipole x, y, z in mV). P is
# timed from its own onset; QRS, ST and ectopic beats from the onset of QRS; T from its end.
NORMAL: dict[str, Any] = {
    "rate": (78, 8),
    "irregularity": 0.015,  # standard deviation of RR over its mean, breathing apart
    "pr": (160, 15),  # onset of P to onset of QRS
    "qt": (405, 12),  # onset of QRS to end of T, at 60 beats/min
    # right atrium, then left: biphasic in V1
    "p": [(35, 15, 0.03, 0.08, -0.05), (65, 17, 0.07, 0.06, 0.03)],
    "qrs": [
        (16, 6, -0.15, -0.05, -0.28),  # septum: r in V1, q in I and V6
        (42, 10, 1.10, 0.72, 0.10),  # apex and free wall: R in I, II and V4-V6
        (54, 9, 0.20, 0.20, 0.78),  # free wall, backwards: S in V1-V3
        (73, 7, -0.25, -0.15, 0.20),  # base: s in II and V5
    ],
    "st": [],
    "t": [(-125, 42, 0.17, 0.12, -0.08), (-75, 28, 0.25, 0.16, -0.13)],  # slow up, fast down
    "ectopic": [],  # QRS, ST and T of premature beats
    "f_waves": None,  # dipole x, y, z of the fibrillating atria, mV
}

# Changes to the normal model, per condition.
CONDITIONS: dict[str, dict[str, Any]] = {
    "normal": {},
    "sinus_tachycardia": {"rate": (120, 9)},
    "sinus_bradycardia": {"rate": (50, 4)},
    "afib": {
        "rate": (92, 13),
        "irregularity": 0.2,
        "pr": (0, 0),
        "p": [],
        "f_waves": (-0.02, 0.04, -0.06),  # best seen in V1 and II
    },
    "av_block": {"pr": (255, 22)},
    "lbbb": {
        "qt": (440, 12),
        "qrs": [
            (18, 11, 0.18, 0.10, -0.10),  # no q in I and V6; a small r, or none, in V1
            (50, 18, 0.80, 0.35, 0.60),
            (78, 18, 0.00, 0.00, 0.60),
            (104, 18, 0.85, 0.15, 0.60),  # late left wall: the notch in I, aVL, V5 and V6
        ],
        "st": [(190, 35, -0.08, -0.02, -0.12)],  # ST and T opposite to QRS
        "t": [(-130, 45, -0.16, -0.05, -0.14), (-80, 36, -0.20, -0.05, -0.15)],
    },
    "rbbb": {
        "qt": (425, 12),
        "qrs": [
            *NORMAL["qrs"][:2],
            (54, 9, 0.20, 0.20, 0.50),
            (100, 18, -0.60, -0.05, -0.55),  # late right ventricle: R' in V1, broad S in I and V6
        ],
        # inverted in V1 and V2
        "t": [(-125, 42, 0.20, 0.12, 0.12), (-75, 28, 0.28, 0.15, 0.15)],
    },
    "pvc": {
        "ectopic": [
            (52, 21, 0.55, 0.90, 0.80),  # from the right ventricle: like left bundle branch block
            (95, 24, 0.80, 0.80, 1.00),
            (270, 50, -0.25, -0.30, -0.35),
            (330, 36, -0.25, -0.25, -0.30),
        ]
    },
    "st_elevation": {  # anterior; depressed in III and aVF
        "st": [
            (125, 30, 0.07, -0.10, -0.17),
            (190, 45, 0.07, -0.09, -0.18),
            (265, 45, 0.05, -0.06, -0.14),  # a tall T
        ],
    },
    # subendocardial: V4-V6, with elevation in aVR
    "st_depression": {"st": [(120, 28, -0.12, -0.05, 0.02), (185, 38, -0.14, -0.06, 0.02)]},
    "lvh": {
        "qrs": [
            (17, 7, -0.15, -0.05, -0.25),
            (46, 12, 2.10, 0.70, 0.35),
            (61, 10, 0.45, 0.10, 1.90),
            (80, 7, -0.10, -0.15, 0.25),
        ],
        "st": [(150, 35, -0.10, -0.03, 0.00)],  # strain: ST down and T inverted in V5 and V6
        "t": [(-125, 42, -0.16, 0.00, -0.16), (-75, 28, -0.20, 0.02, -0.18)],
    },
}


def _vary(rng, n_records, mean, deviation):
    """Draw a value per patient within two standard deviations: (n_records, n_means)."""
    size = (n_records, np.size(mean))
    return mean + deviation * np.clip(rng.standard_normal(size), -2, 2)


def _rhythm(model, n_records, duration, rng):
    """Return onsets of QRS and RR before them in s, and ectopy: (n_records, n_beats) each."""
    mean_rr = 60 / _vary(rng, n_records, *model["rate"])
    beat = np.arange(int((duration + 2) / (0.7 * mean_rr.min())) + 4)
    shape = (n_records, len(beat))
    breaths = rng.uniform(0.15, 0.35, (n_records, 1)) * mean_rr * beat + rng.random((n_records, 1))
    breathing = rng.uniform(0.01, 0.05, (n_records, 1)) * np.sin(2 * np.pi * breaths)
    jitter = model["irregularity"] * np.clip(rng.standard_normal(shape), -2, 2)
    rr = mean_rr * (1 + breathing + jitter)
    # the first beat is at random before the record, so that records begin anywhere in a beat
    onset = np.cumsum(rr, axis=1) - rr[:, :1] - mean_rr * rng.uniform(1, 2, (n_records, 1))
    ectopic = np.zeros(shape, dtype=bool)
    if model["ectopic"]:
        middle = rng.uniform(0.2, 0.8, (n_records, 1)) * duration
        nearest = np.abs(onset - middle).argmin(axis=1, keepdims=True)
        ectopic = (rng.random(shape) < 0.15) | (beat == nearest)  # at least one
        ectopic[:, 1:] &= ~ectopic[:, :-1]  # never two in a row
        # early, in place of a sinus beat: a compensatory pause follows
        onset -= ectopic * rr * rng.uniform(0.3, 0.42, (n_records, 1))
    return onset, rr, ectopic


def _pulses(centre, width, height, time):
    """Sum one Gaussian per beat: (n_records, n_beats) to (n_records, n_samples)."""
    n_records, n_samples, step = len(centre), len(time), time[1]
    reach = int(np.ceil(4 * width.max() / step))  # beyond, a Gaussian is below 0.04 %
    sample = np.rint(centre / step).astype(int)[..., None] + np.arange(-reach, reach + 1)
    deviation = (sample * step - centre[..., None]) / width[..., None]
    value = height[..., None] * np.exp(-0.5 * deviation**2)  # (n_records, n_beats, 2 reach + 1)
    inside = (sample >= 0) & (sample < n_samples)
    place = sample + n_samples * np.arange(n_records)[:, None, None]
    total = np.bincount(place[inside], value[inside], minlength=n_records * n_samples)
    return total.reshape(n_records, n_samples)


def simulate_dipoles(model, n_records, duration, time, rng):
    """Return the dipoles of patients with a heart model: (n_records, 3, n_samples) in mV."""
    onset, rr, ectopic = _rhythm(model, n_records, duration, rng)
    pr = _vary(rng, n_records, *model["pr"]) / 1000
    qt = _vary(rng, n_records, *model["qt"]) / 1000
    # repolarisation follows the rate by a cube root (Fridericia), half of it from beat to beat
    stretch = np.cbrt((rr + rr.mean(axis=1, keepdims=True)) / 2)
    even = np.ones_like(rr)
    qrs_stretch = _vary(rng, n_records, 1, 0.05) * even

    dipole = np.zeros((n_records, 3, len(time)))
    for wave, origin, scale, present in [
        ("p", onset - pr, even, ~ectopic),
        ("qrs", onset, qrs_stretch, ~ectopic),
        ("st", onset, even, ~ectopic),
        ("t", onset + qt * stretch, stretch, ~ectopic),
        ("ectopic", onset, qrs_stretch, ectopic),
    ]:
        gain = np.exp(_vary(rng, n_records, 0, 0.15))
        for centre, width, *vector in model[wave]:
            moment = vector * gain * np.exp(_vary(rng, n_records, np.zeros(3), 0.12))
            pulses = _pulses(origin + centre / 1000 * scale, width / 1000 * scale, present, time)
            dipole += moment[:, :, None] * pulses[:, None, :]
    if model["f_waves"]:
        dipole += _f_waves(model["f_waves"], n_records, time, rng)

    # rotations of the heart differ between patients; those about z turn the frontal axis
    angles = np.hstack([_vary(rng, n_records, 0, degrees) for degrees in (16, 10, 6)])
    return Rotation.from_euler("zyx", angles, degrees=True).as_matrix() @ dipole


def _f_waves(vector, n_records, time, rng):
    """Return the dipole of fibrillating atria, 4 to 8.5 Hz: (n_records, 3, n_samples) in mV."""
    turn = rng.random((4, n_records, 1))
    drift = 0.25 * np.sin(2 * np.pi * (0.35 * time + turn[0]))  # of the frequency, by half a hertz
    angle = 2 * np.pi * (_vary(rng, n_records, 6, 0.75) * time + drift + turn[1])
    wave = np.sin(angle) + 0.35 * np.sin(2 * (angle + np.pi * turn[2]))
    wave *= 1 + 0.4 * np.sin(2 * np.pi * (0.2 * time + turn[3]))
    moment = vector * np.exp(_vary(rng, n_records, 0, 0.25))
    return moment[:, :, None] * wave[:, None, :]
