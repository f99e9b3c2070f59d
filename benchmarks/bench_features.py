"""Measure how well hand-made features diagnose, with all labels and with a tenth of them.

    python benchmarks/bench_features.py --data DIR

``DIR`` is the folder of PTB-XL or the one around it; by default what ``SKLEARN_BELL_DATA`` names.
The five superclasses of PTB-XL at 100 Hz, folds 1-8, multi-label. Every fold is predicted by models
that were trained on the other seven (patients do not cross folds), with all of their labels, and
with those of a random tenth of their patients, three times. Figures are macro AUROCs of the
out-of-fold scores with bootstrap 95 % intervals over patients. Extra trees on ECGFeatures keep a
promise, stated in ``PROMISES``; logistic regression on the same features is there to compare. The
script exits with an error when the promise is missed, or when a record takes more than 5 ms.
"""

import argparse
import sys
import time

import numpy as np
from _common import draw_labels, interval, linear_probe, machine, mean_auroc, scores_of
from sklearn.ensemble import ExtraTreesClassifier

from sklearn_bell.datasets import load_ptbxl
from sklearn_bell.feature_extraction import ECGFeatures

PROMISES = {1.0: 0.885, 0.1: 0.85}  # share of the labels: least macro AUROC of the extra trees
MOST_MS_PER_RECORD = 5.0
SEEDS = (0, 1, 2)  # of the tenth, and of the trees


def make_models(seed):
    """Return the models by name."""
    return {
        "300 extra trees": ExtraTreesClassifier(n_estimators=300, random_state=seed),
        "logistic regression": linear_probe(),
    }


def out_of_fold(name, share, seed, X, y, groups, fold):
    """Return out-of-fold scores of models that saw the labels of a share of the patients."""
    scores = np.empty(y.shape)
    for held_out in np.unique(fold):
        drawn = draw_labels(np.flatnonzero(fold != held_out), share, y, groups, seed)
        model = make_models(seed)[name].fit(X[drawn], y[drawn])
        scores[fold == held_out] = scores_of(model, X[fold == held_out])
    return scores


def main():
    """Print the figures, and return what promises were missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", metavar="DIR", default=None)
    data = load_ptbxl(parser.parse_args().data, task="superdiagnostic", folds=range(1, 9))
    y, groups, fold = data.target, data.groups, data.fold

    start = time.perf_counter()
    X = ECGFeatures(sampling_rate=data.sampling_rate).fit_transform(data.data)
    ms_per_record = 1000 * (time.perf_counter() - start) / len(X)

    print(f"{machine()}; seeds {SEEDS}")
    print(f"{len(X)} records of {len(np.unique(groups))} patients, {X.shape[1]} features")
    print(f"{ms_per_record:.2f} ms per record")
    missed = [] if ms_per_record <= MOST_MS_PER_RECORD else [f"{ms_per_record:.2f} ms per record"]
    for name in make_models(0):
        for share, promise in PROMISES.items():
            seeds = SEEDS if share < 1 else SEEDS[:1]
            scores = [out_of_fold(name, share, seed, X, y, groups, fold) for seed in seeds]
            figure = mean_auroc(y, scores)
            low, high = interval(y, scores, groups)
            print(f"{name:20} {share:5.0%} of labels: {figure:.3f} ({low:.3f} to {high:.3f})")
            if len(seeds) > 1:
                print("    by seed:", *(f"{mean_auroc(y, [one]):.3f}" for one in scores))
            if "trees" in name and figure < promise:
                missed.append(f"{name}, {share:.0%} of labels: {figure:.4f} < {promise}")
    return missed


if __name__ == "__main__":
    broken = main()
    sys.exit("missed: " + "; ".join(broken) if broken else 0)
