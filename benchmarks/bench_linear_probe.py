"""Measure the features of BELL by linear probes, against features without pretraining.

    python benchmarks/bench_linear_probe.py --data DIR [--jobs 2] [--records N]

``DIR`` is the folder made by ``make data``, or that of PTB-XL. The five superclasses at 100 Hz,
multi-label, leads II, III, V1-V6. By default a random subset of 2,400 records of whole patients
(about an hour on two cores); ``--records 0`` takes all 17,418 and seven times as long. For each of
three seeds:

- cross-validation inside folds 1-7 (parts 1-2, 3-4 and 5-7 are predicted by models trained on the
  others): the figures for tuning;
- fold 8, predicted by models trained on folds 1-7.

Patients do not cross folds. Pretraining sees the training records only, and no label. Classifiers
see the labels of 1 %, 10 % and 100 % of the training patients, drawn at random until every class is
present. Figures are macro AUROCs of the scores of all held-out records, averaged over seeds, with
bootstrap 95 % intervals over patients. Settings are the defaults of BELLPretrainer, with bfloat16
where the processor supports it. The defaults were chosen by explore.py on folds 1-7, so only fold 8
is an independent test.

``--float32`` adds rows of BELL in float32 and paired differences: same records, labels and
bootstrap samples.

Features are cached in ``--out``, by settings, machine and commit, so that an interrupted run
resumes. The script exits with an error where the interval of BELL's features overlaps that of the
untrained encoder.
"""

import argparse
import sys
from pathlib import Path

import joblib
import numpy as np
import torch
from _common import (
    add_records_option,
    bootstrap_auroc,
    cache_array,
    describe_machine,
    draw_patients,
    format_difference,
    format_interval,
    linear_probe,
    load_ptbxl_subset,
    predict_scores,
    settings_key,
    trees,
    vote,
)

from sklearn_bell import BELLPretrainer, ECGFeatures
from sklearn_bell.preprocessing import INDEPENDENT_LEADS

SEEDS = (0, 1, 2)
SHARES = (0.01, 0.1, 1.0)
PARTS = ((1, 2), (3, 4), (5, 6, 7))
ROWS = {  # name: features, classifier
    "untrained encoder, linear": ("untrained", linear_probe),
    "BELL, linear": ("BELL", linear_probe),
    "BELL, linear and trees vote": ("BELL", vote),
    "hand-made features, linear": ("hand-made", linear_probe),
    "hand-made features, 300 extra trees": ("hand-made", trees),
    "hand-made features, linear and trees vote": ("hand-made", vote),
}
FLOAT32_ROWS = {
    "BELL in float32, linear": ("BELL float32", linear_probe),
    "BELL in float32, linear and trees vote": ("BELL float32", vote),
}


def make_transformer(name, seed, options):
    """Return the transformer of a name."""
    if name == "hand-made":
        return ECGFeatures()
    precision = "float32" if name == "BELL float32" else "auto"
    bell = BELLPretrainer(random_state=seed, precision=precision)
    if name == "untrained":
        return bell.set_params(max_epochs=0)
    return bell if options.max_epochs is None else bell.set_params(max_epochs=options.max_epochs)


def make_splits(fold):
    """Yield a name, and masks of the records for training and for testing."""
    inside = fold <= 7
    for part in PARTS:
        held_out = np.isin(fold, part)
        yield "cv" + "".join(map(str, part)), inside & ~held_out, held_out
    yield "fold8", inside, fold == 8


def compute_features(name, seed, split, data, train, options):
    """Return features of all records, from a transformer fitted on the training records."""
    transformer = make_transformer(name, seed, options)
    key = settings_key(str(transformer.get_params()), data.shape, options.machine)

    def fit_and_transform():
        if options.jobs > 1:
            torch.set_num_threads(1)
        return transformer.fit(data[train]).transform(data)

    path = options.out / f"{name.replace(' ', '_')}-{split}-{seed}-{key}.npy"
    return cache_array(path, fit_and_transform)


def read_options():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", metavar="DIR", default=None)
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--max-epochs", type=int, default=None)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--float32", action="store_true")
    parser.add_argument("--jobs", type=int, default=1)
    add_records_option(parser, default=2400)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    options.machine = describe_machine()
    options.rows = ROWS | (FLOAT32_ROWS if options.float32 else {})
    return options


def predict(row, share, seed, ptbxl, options):
    """Return the scores of all records, each from models that did not see it."""
    name, make_classifier = options.rows[row]
    y, scores = ptbxl.target, np.full(ptbxl.target.shape, np.nan)
    for split, train, test in make_splits(ptbxl.fold):
        features = compute_features(name, seed, split, ptbxl.data, train, options)
        rows = np.flatnonzero(train & y.any(axis=1))
        drawn = draw_patients(rows, share, y, ptbxl.groups, seed)
        model = make_classifier(seed).fit(features[drawn], y[drawn])
        scores[test] = predict_scores(model, features[test])
    return scores


def main():
    """Print the table, and return the missed marks."""
    options = read_options()
    ptbxl = load_ptbxl_subset(options.data, options.records, leads=INDEPENDENT_LEADS)
    y, groups, fold = ptbxl.target, ptbxl.groups, ptbxl.fold
    labelled = y.any(axis=1)

    jobs = [
        (name, seed, split, ptbxl.data, train, options)
        for seed in options.seeds
        for split, train, _ in make_splits(fold)
        for name in dict.fromkeys(name for name, _ in options.rows.values())
    ]
    joblib.Parallel(options.jobs)(joblib.delayed(compute_features)(*job) for job in jobs)

    print(f"\n{options.machine}; seeds {tuple(options.seeds)}")
    bell = make_transformer("BELL", None, options)
    print(f"{len(y)} records of {len(np.unique(groups))} patients; BELL: {bell.get_params()}\n")
    print("| features, classifier | labels | folds 1-7, cross-validated | fold 8 |")
    print("|---|---|---|---|")
    cross_validated, every = {}, {}
    for row in options.rows:
        for share in SHARES:
            scores = [predict(row, share, seed, ptbxl, options) for seed in options.seeds]
            figures = [
                bootstrap_auroc(y[rows], [of_seed[rows] for of_seed in scores], groups[rows])
                for rows in (labelled & (fold <= 7), labelled & (fold == 8), labelled)
            ]
            cross_validated[row, share], _, every[row, share] = figures
            cells = [format_interval(*figure) for figure in figures[:2]]
            print(f"| {row} | {share:.0%} | {cells[0]} | {cells[1]} |", flush=True)
    for row in FLOAT32_ROWS if options.float32 else ():
        for share in SHARES:
            first, second = every[row.replace(" in float32", ""), share], every[row, share]
            difference = format_difference(first[0] - second[0], first[1] - second[1])
            print(f"bfloat16 - {row}, {share:.0%}: {difference} points")
    return [
        f"BELL at {share:.0%} of labels"
        for share in SHARES
        if np.quantile(cross_validated["BELL, linear", share][1], 0.025)
        <= np.quantile(cross_validated["untrained encoder, linear", share][1], 0.975)
    ]


if __name__ == "__main__":
    missed = main()
    sys.exit("not above the untrained encoder: " + "; ".join(missed) if missed else 0)
