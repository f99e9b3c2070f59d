"""Measure how well hand-made features diagnose, with all labels and with a tenth of them.

    python benchmarks/bench_features.py --data DIR [--records N]

``DIR`` is the folder made by ``make data``, or that of PTB-XL; by default ``SKLEARN_BELL_DATA``.
The five superclasses of PTB-XL at 100 Hz, folds 1-8, multi-label. ``--records`` takes a random
subset of the patients; by default all 17,418 records, five minutes in one thread. Every fold is
predicted by models trained on the other seven, with all of their labels, and with those of a
random tenth of their patients, three times. Patients do not cross folds. Figures are macro AUROCs
of the out-of-fold scores with bootstrap 95 % intervals over patients.

``PROMISES`` has the least AUROC of extra trees on ECGFeatures; logistic regression on the same
features is the plain baseline. The script exits with an error when a promise is missed, or when a
record takes more than 5 ms of one core.
"""

import argparse
import sys
import time

import numpy as np
from _common import (
    add_records_option,
    bootstrap_auroc,
    describe_machine,
    draw_patients,
    format_interval,
    linear_probe,
    load_ptbxl_subset,
    macro_auroc,
    predict_scores,
    trees,
)

from sklearn_bell.feature_extraction import ECGFeatures

PROMISES = {1.0: 0.92, 0.1: 0.90}  # share of the labels: least macro AUROC of the extra trees
MOST_MS_PER_RECORD = 5.0
SEEDS = (0, 1, 2)  # of the tenth, and of the trees
CLASSIFIERS = {"300 extra trees": trees, "logistic regression": linear_probe}


def predict_out_of_fold(name, share, seed, X, y, groups, fold):
    """Return out-of-fold scores of models trained on the labels of a share of the patients."""
    scores = np.empty(y.shape)
    for held_out in np.unique(fold):
        drawn = draw_patients(np.flatnonzero(fold != held_out), share, y, groups, seed)
        model = CLASSIFIERS[name](seed).fit(X[drawn], y[drawn])
        scores[fold == held_out] = predict_scores(model, X[fold == held_out])
    return scores


def main():
    """Print the figures, and return the missed promises."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", metavar="DIR", default=None)
    add_records_option(parser, default=0)
    options = parser.parse_args()
    data = load_ptbxl_subset(options.data, options.records)
    labelled = data.target.any(axis=1)
    y, groups, fold = (values[labelled] for values in (data.target, data.groups, data.fold))

    start = time.process_time()
    X = ECGFeatures(sampling_rate=data.sampling_rate).fit_transform(data.data)[labelled]
    ms_per_record = 1000 * (time.process_time() - start) / len(data.data)

    print(f"{describe_machine()}; seeds {SEEDS}")
    print(f"{len(X)} records of {len(np.unique(groups))} patients, {X.shape[1]} features")
    print(f"{ms_per_record:.2f} ms of one core per record")
    missed = [] if ms_per_record <= MOST_MS_PER_RECORD else [f"{ms_per_record:.2f} ms per record"]
    for name in CLASSIFIERS:
        for share, promise in PROMISES.items():
            seeds = SEEDS if share < 1 else SEEDS[:1]
            scores = [predict_out_of_fold(name, share, s, X, y, groups, fold) for s in seeds]
            figure, samples = bootstrap_auroc(y, scores, groups)
            print(f"{name:20} {share:5.0%} of labels: {format_interval(figure, samples)}")
            if len(seeds) > 1:
                print("    by seed:", *(f"{macro_auroc(y, [of_seed]):.3f}" for of_seed in scores))
            if "trees" in name and figure < promise:
                missed.append(f"{name}, {share:.0%} of labels: {figure:.4f} < {promise}")
    return missed


if __name__ == "__main__":
    broken = main()
    sys.exit("missed: " + "; ".join(broken) if broken else 0)
