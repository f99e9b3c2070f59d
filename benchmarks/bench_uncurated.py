"""Measure what is lost downstream when BELL is pretrained on records that nobody has sorted out.

    python benchmarks/bench_uncurated.py --data DIR [--jobs 2]

``DIR`` is the folder around those of PTB-XL and of set A of the CinC Challenge 2011: ten seconds
recorded by lay people with a mobile device, of which 22 % were judged unacceptable. Leads II, III,
V1-V6 at 100 Hz. BELL pretrains on

- ``curated``: the training records of PTB-XL as they were published;
- ``spoiled``: the same, as a hospital's archive might have them. Rates, of records drawn at random:
  DUPLICATED are copies of another; all others get electrode noise of NOISE times the usual level of
  `make_ecg` (wander, hum, muscle, steps); of SWAPPED two leads are exchanged; of OFF a lead is
  flat, and of ALL_OFF all are;
- ``curated-1000`` and ``cinc2011``: as many records of PTB-XL as CinC 2011 has, and those;
- ``untrained``: on none.

Within each pair but the last the number of records and of steps is the same. Then a linear probe
learns from the labels of the training records of PTB-XL, which are as they were published: logistic
regression, C chosen by cross-validation over patients. Parts 1-2, 3-4, 5-6 and 7-8 of the folds are
predicted by what was trained on the others. Figures are macro AUROCs over the five superclasses,
out of fold, mean over seeds; drops are paired, with bootstrap 95 % intervals over patients.

Features are kept in ``--out``, so that a run that was ended goes on. The script ends with an error
where the interval of a drop reaches a point.
"""

import argparse
import sys
import time
from pathlib import Path

import joblib
import numpy as np
import torch
from _common import (
    draw_alike,
    fit_linear,
    machine,
    metrics_by_bootstrap,
    params_of,
    scores_of,
    settings_key,
)
from threadpoolctl import threadpool_limits

from sklearn_bell import BELLPretrainer
from sklearn_bell.datasets import get_data_home, load_ptbxl, make_ecg
from sklearn_bell.preprocessing import INDEPENDENT_LEADS, STANDARD_LEADS

PARTS = ((1, 2), (3, 4), (5, 6), (7, 8))
FRACTIONS = (0.1, 1.0)
DUPLICATED, SWAPPED, OFF, ALL_OFF, NOISE = 0.1, 0.05, 0.1, 0.01, 3.0
CINC_MICROVOLTS = 5  # per unit, by the look of the amplitudes: the publisher does not say
PAIRS = (("curated", "spoiled"), ("curated-1000", "cinc2011"), ("curated", "untrained"))
MOST_POINTS = 1.0  # of macro AUROC, that uncurated records may cost
ARMS = ("untrained", "curated", "spoiled", "curated-1000", "cinc2011")


def spoil(X, rng):
    """Return records as a hospital's archive might have them."""
    n_records, n_leads, n_samples = X.shape
    seed = int(rng.integers(2**31))
    noisy, clean = (
        make_ecg(
            n_records, leads=list(INDEPENDENT_LEADS), duration=n_samples / 100, sampling_rate=100,
            noise=noise, random_state=seed,
        ).data
        for noise in (NOISE, 0)
    )  # fmt: skip
    X = X + (noisy - clean)  # the same hearts
    for row in np.flatnonzero(rng.random(n_records) < SWAPPED):
        one, other = rng.choice(n_leads, 2, replace=False)
        X[row, [one, other]] = X[row, [other, one]]
    for row in np.flatnonzero(rng.random(n_records) < OFF):
        X[row, rng.integers(n_leads)] = 0
    X[rng.random(n_records) < ALL_OFF] = 0
    copies = np.flatnonzero(rng.random(n_records) < DUPLICATED)
    X[copies] = X[rng.integers(n_records, size=len(copies))]
    return X


def load_cinc2011(path):
    """Return the records of set A in mV, (1000, 8, 1000)."""
    X = np.load(get_data_home(path) / "cinc2011-set-a" / "signals_100hz_int16.npy")
    X = X[:, [STANDARD_LEADS.index(name) for name in INDEPENDENT_LEADS]]
    return X.astype(np.float32) * (CINC_MICROVOLTS / 1000)


def load_records(arm, X, cinc, seed):
    """Return what an arm pretrains on."""
    rng = np.random.default_rng(seed)
    if arm == "spoiled":
        return spoil(X, rng)
    if arm == "curated-1000":
        return X[rng.choice(len(X), len(cinc), replace=False)]
    return cinc if arm == "cinc2011" else X


def features_of(arm, seed, part, data, cinc, options):
    """Return the features of all records of PTB-XL by what was pretrained, or kept."""
    bell = BELLPretrainer(random_state=seed, max_epochs=options.max_epochs, precision="auto")
    if arm == "untrained":
        bell.set_params(max_epochs=0)
    settings = [params_of(bell), data.data.shape, DUPLICATED, SWAPPED, OFF, ALL_OFF, NOISE]
    settings += [CINC_MICROVOLTS, options.machine]
    path = options.out / f"uncurated-{settings_key(*settings)}-{arm}-{seed}-{part[0]}.npy"
    if not path.exists():
        if options.jobs > 1:
            torch.set_num_threads(1)
        start = time.perf_counter()
        train = ~np.isin(data.fold, part)
        features = bell.fit(load_records(arm, data.data[train], cinc, seed)).transform(data.data)
        print(f"{path.stem}: {time.perf_counter() - start:.0f} s", flush=True)
        unfinished = path.with_suffix(".part.npy")
        np.save(unfinished, features)
        unfinished.replace(path)
    return np.load(path)


def read_options():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", metavar="DIR", default=None)
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path("benchmarks/results"))
    epochs = BELLPretrainer().max_epochs
    parser.add_argument("--max-epochs", type=int, default=epochs, help="of pretraining")
    parser.add_argument("--seeds", nargs="+", type=int, default=(0, 1, 2))
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    options.machine = machine()
    return options


def main():
    """Print the tables, and return where the drop may reach a point."""
    options = read_options()
    data = load_ptbxl(options.data, leads=INDEPENDENT_LEADS, folds=range(1, 9), unlabelled=True)
    cinc, labelled = load_cinc2011(options.data), data.target.any(axis=1)
    todo = [(arm, seed, part) for seed in options.seeds for part in PARTS for arm in ARMS]
    joblib.Parallel(options.jobs)(
        joblib.delayed(features_of)(*one, data, cinc, options) for one in todo
    )

    print(f"\n{options.machine}; seeds {tuple(options.seeds)}; {options.max_epochs} epochs\n")
    found = {}
    for arm in ARMS:
        for fraction in FRACTIONS:
            several = []
            for seed in options.seeds:
                scores = np.full(data.target.shape, np.nan)
                for part in PARTS:
                    features = features_of(arm, seed, part, data, cinc, options)
                    test = np.isin(data.fold, part)
                    rows = np.flatnonzero(~test & labelled)
                    rows = draw_alike(rows, fraction, data.target, data.groups, seed)
                    with threadpool_limits(1):  # small: threads would wait for each other
                        model = fit_linear(features[rows], data.target[rows], data.groups[rows])
                    scores[test] = scores_of(model, features[test])
                several.append((scores[labelled], scores[labelled] > 0.5))
            y, groups = data.target[labelled], data.groups[labelled]
            found[arm, fraction] = metrics_by_bootstrap(y, several, groups)["auroc"]
    heads = " | ".join(f"{fraction:.0%} of labels" for fraction in FRACTIONS)
    print(f"| pretrained on | {heads} |\n|---|---|---|")
    for arm in ARMS:
        cells = []
        for fraction in FRACTIONS:
            value, samples = found[arm, fraction]
            low, high = np.quantile(samples, (0.025, 0.975))
            cells.append(f"{value:.3f} ({low:.3f} to {high:.3f})")
        print(f"| {arm} |", " | ".join(cells), "|")
    print(f"\n| drop, in points | {heads} |\n|---|---|---|")
    missed = []
    for one, other in PAIRS:
        cells = []
        for fraction in FRACTIONS:
            (value, samples), (less, of_less) = found[one, fraction], found[other, fraction]
            low, high = 100 * np.quantile(samples - of_less, (0.025, 0.975))
            cells.append(f"{100 * (value - less):.2f} ({low:.2f} to {high:.2f})")
            if other != "untrained" and high >= MOST_POINTS:
                missed.append(f"{one} to {other}, {fraction:.0%} of labels")
        print(f"| {one} to {other} |", " | ".join(cells), "|")
    return missed


if __name__ == "__main__":
    missed = main()
    sys.exit("the drop may be a point: " + "; ".join(missed) if missed else 0)
