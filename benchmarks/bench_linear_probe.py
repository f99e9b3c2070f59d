"""Measure what BELL's features are worth to a classifier of scikit-learn, against doing without.

    python benchmarks/bench_linear_probe.py --data DIR [--jobs 2]

``DIR`` is the folder of PTB-XL or the one around it. The five superclasses at 100 Hz, multi-label,
leads II, III, V1-V6, for each of three seeds:

- cross-validation inside folds 1-7 (parts 1-2, 3-4 and 5-7 are predicted by what was trained on the
  others): the figures to tune by;
- fold 8, predicted by what was trained on folds 1-7: looked at twice while defaults were chosen.

Patients do not cross folds. Pretraining sees the training records only, and no label. The
classifier sees the labels of 1 %, 10 % and 100 % of the training patients, drawn at random until
every class is among them. Figures are macro AUROCs over the scores of all held-out records,
averaged over seeds, with bootstrap 95 % intervals over patients. Settings of BELL are the defaults
of BELLPretrainer, but bfloat16 where the processor can. These were chosen by explore.py on folds
1-7, of which the cross-validated figures are no independent test; fold 8 is.

With ``--float32`` there are rows of BELL in float32, too, and their differences to bfloat16, paired
by records, labels and bootstrap draws.

Features are kept in the folder ``--out``, by settings, machine and commit, so that a run that was
ended goes on. The script exits with an error when BELL's features are not clearly better than those
of the untrained encoder.
"""

import argparse
import os
import sys
import time
from pathlib import Path

import joblib
import numpy as np
import torch
from _common import (
    draw_labels,
    interval,
    linear_probe,
    machine,
    mean_auroc,
    metrics_by_bootstrap,
    scores_of,
    settings_key,
    trees,
    vote,
)

from sklearn_bell import BELLPretrainer, ECGFeatures
from sklearn_bell.datasets import load_ptbxl
from sklearn_bell.preprocessing import INDEPENDENT_LEADS

SEEDS = (0, 1, 2)
SHARES = (0.01, 0.1, 1.0)
PARTS = ((1, 2), (3, 4), (5, 6, 7))
ROWS = {  # name: features, classifier
    "untrained encoder, linear": ("untrained", lambda seed: linear_probe()),
    "BELL, linear": ("BELL", lambda seed: linear_probe()),
    "BELL, linear and trees vote": ("BELL", vote),
    "hand-made features, linear": ("hand-made", lambda seed: linear_probe()),
    "hand-made features, 300 extra trees": ("hand-made", trees),
    "hand-made features, linear and trees vote": ("hand-made", vote),
}
IN_FLOAT32 = {
    "BELL in float32, linear": ("BELL float32", lambda seed: linear_probe()),
    "BELL in float32, linear and trees vote": ("BELL float32", vote),
}


def make_transformer(name, seed, options):
    """Return what makes the features of that name."""
    if name == "hand-made":
        return ECGFeatures()
    precision = "float32" if name == "BELL float32" else "auto"
    bell = BELLPretrainer(random_state=seed, precision=precision)
    if name == "untrained":
        return bell.set_params(max_epochs=0)
    return bell if options.max_epochs is None else bell.set_params(max_epochs=options.max_epochs)


def splits(fold):
    """Yield a name, and the rows to train on and to predict."""
    inside = fold <= 7
    for part in PARTS:
        held_out = np.isin(fold, part)
        yield "cv" + "".join(map(str, part)), inside & ~held_out, held_out
    yield "fold8", inside, fold == 8


def features_of(name, seed, split, data, train, options):
    """Return the features of all records by what was fitted on the training records, or kept."""
    transformer = make_transformer(name, seed, options)
    key = settings_key(str(transformer.get_params()), data.shape, options.machine)
    path = options.out / f"{name.replace(' ', '_')}-{split}-{seed}-{key}.npy"
    if not path.exists():
        if options.jobs > 1:
            torch.set_num_threads(1)
        start = time.perf_counter()
        features = transformer.fit(data[train]).transform(data)
        print(f"{path.stem}: {time.perf_counter() - start:.0f} s", flush=True)
        partial = path.with_suffix(f".{os.getpid()}.tmp")
        with open(partial, "wb") as file:
            np.save(file, features)
        partial.replace(path)
    return np.load(path)


def read_options():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", metavar="DIR", default=None)
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--max-epochs", type=int, default=None)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--float32", action="store_true")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    options.machine = machine()
    options.rows = ROWS | (IN_FLOAT32 if options.float32 else {})
    return options


def tell_difference(row, predicted, y, groups, labelled):
    """Print by how much bfloat16 is better, over all records."""
    for share in SHARES:
        drawn = []
        for name in (row.replace(" in float32", ""), row):
            scores = [of_seed[labelled] for of_seed in predicted[name, share]]
            several = [(of_seed, of_seed > 0.5) for of_seed in scores]
            value, draws = metrics_by_bootstrap(y, several, groups)["auroc"]
            drawn.append(np.array([value, *draws]))
        value, *draws = 100 * (drawn[0] - drawn[1])
        low, high = np.quantile(draws, (0.025, 0.975))
        print(f"bfloat16 - {row}, {share:.0%}: {value:+.1f} ({low:+.1f} to {high:+.1f}) points")


def main():
    """Print the table, and return what is missed."""
    options = read_options()
    ptbxl = load_ptbxl(options.data, leads=INDEPENDENT_LEADS, folds=range(1, 9), unlabelled=True)
    y, groups, fold = ptbxl.target, ptbxl.groups, ptbxl.fold
    labelled = y.any(axis=1)

    todo = [
        (name, seed, split, ptbxl.data, train, options)
        for seed in options.seeds
        for split, train, _ in splits(fold)
        for name in dict.fromkeys(name for name, _ in options.rows.values())
    ]
    joblib.Parallel(options.jobs)(joblib.delayed(features_of)(*one) for one in todo)

    print(f"\n{options.machine}; seeds {tuple(options.seeds)}")
    bell = make_transformer("BELL", None, options)
    print(f"{len(y)} records of {len(np.unique(groups))} patients; BELL: {bell.get_params()}\n")
    print("| features, classifier | labels | folds 1-7, cross-validated | fold 8 |")
    print("|---|---|---|---|")
    intervals, predicted = {}, {}
    for row, (name, classifier) in options.rows.items():
        for share in SHARES:
            scores = [np.full(y.shape, np.nan) for _ in options.seeds]
            for seed, out in zip(options.seeds, scores, strict=True):
                for split, train, test in splits(fold):
                    features = features_of(name, seed, split, ptbxl.data, train, options)
                    rows = np.flatnonzero(train & labelled)
                    drawn = draw_labels(rows, share, y, groups, seed)
                    model = classifier(seed).fit(features[drawn], y[drawn])
                    out[test] = scores_of(model, features[test])
            predicted[row, share] = scores
            cells = []
            for which in (fold <= 7, fold == 8):
                rows = which & labelled
                held_out = [out[rows] for out in scores]
                low, high = interval(y[rows], held_out, groups[rows])
                intervals.setdefault((name, share), []).append((low, high))
                cells.append(f"{mean_auroc(y[rows], held_out):.3f} ({low:.3f} to {high:.3f})")
            print(f"| {row} | {share:.0%} | {cells[0]} | {cells[1]} |", flush=True)
    for row in IN_FLOAT32 if options.float32 else ():
        tell_difference(row, predicted, y[labelled], groups[labelled], labelled)
    return [
        f"BELL at {share:.0%} of labels: {intervals['BELL', share][0][0]:.3f}"
        for share in SHARES
        if intervals["BELL", share][0][0] <= intervals["untrained", share][0][1]
    ]


if __name__ == "__main__":
    missed = main()
    sys.exit("not above the untrained encoder: " + "; ".join(missed) if missed else 0)
