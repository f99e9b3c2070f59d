"""Measure what new records of rare classes are worth to a classifier, against plain alternatives.

    python benchmarks/bench_rare_classes.py --data DIR [--jobs 2]

``DIR`` is the folder around those of PTB-XL and LUDB. Classes are the rare ones (RARE) among the
subclasses and rhythms of PTB-XL, folds 1-8; or with ``--records ludb`` among all of LUDB, in five
parts. All records are kept, also those of no such class. Leads II, III, V1-V6 at 100 Hz, 10 s.
Each fold is predicted by what was trained on the others but the next one, which tells thresholds,
and which alternative is taken (validation). Features are those of BELL with its defaults,
pretrained on PTB-XL without the fold that is predicted, and the classifier is one logistic
regression for each class, on scaled features. Before it comes one of

- ``nothing``; ``class weights``: balanced, for each class;
- ``random``: records of rare classes again;
- ``jitter``: the same, each lead scaled by 0.8 to 1.25, with noise of 0.02 mV;
- ``mixup``: the mean, weighted evenly from 0 to 0.5, of the signals of two records of a class;
- ``SMOTE``: the same, weighted evenly from 0 to 1, of a record and one of its 5 nearest, by
  signals (of 3 in LUDB, where a class may have no more);
- ``interpolate``, ``sample``, ``prior``: VQVAEOverSampler, whose VQ-VAE has learnt from all records
  of PTB-XL in the other folds; ``unaligned`` interpolates without bringing beats together. The
  prior of a fold is fitted for the first seed, and then draws for all.

Each raises the rare classes to as many records, as VQVAEOverSampler counts those of several labels;
parents are of different patients, and the same in all methods of two parents but SMOTE. BELL and
the VQ-VAE have seen the validation fold, too, without labels. Scores are pooled over folds; AUPRC,
F1 and sensitivity at the threshold of the greatest F1 in validation are averaged over classes and
seeds, with bootstrap 95 % intervals over patients. Differences are paired.

Scores, weights and VQ-VAEs are kept in ``--out``, so that a run goes on where it was ended. The
script ends with an error where the method of VQVAEOverSampler that validation chooses does not beat
the alternative that it chooses, by macro AUPRC and macro F1 with an interval above zero, and by
BEST points of F1 in the class that gains most; or where a class has lost AUPRC for certain.
"""

import argparse
import sys
import time
import warnings
from pathlib import Path
from types import SimpleNamespace

import joblib
import numpy as np
import torch
from _common import best_thresholds, machine, metrics_by_bootstrap, settings_key
from bench_label_efficiency import LUDB_TASKS, RESULTS, learn_features
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_bell import VQVAEOverSampler, VQVAETransformer
from sklearn_bell.datasets import load_ludb, load_ptbxl
from sklearn_bell.exceptions import RecordWarning
from sklearn_bell.over_sampling._synthesis import Children, fit_prior
from sklearn_bell.preprocessing import INDEPENDENT_LEADS

RARE = {"ptbxl": (30, 150, 200), "ludb": (10, 60, 100)}  # from, to, and raised to, records
N_NEIGHBORS = {"ptbxl": 5, "ludb": 3}  # of SMOTE
BEST = 6.0
C = 0.005  # of logistic regression
VERSION = 3  # one more when code changes what comes out: then old results do not count
PLAIN = ("nothing", "class weights", "random", "jitter", "mixup", "SMOTE")
OURS = ("interpolate", "unaligned", "sample", "prior")


def load_rare_of_ptbxl(options, leads=INDEPENDENT_LEADS):
    """Return PTB-XL with an indicator of its rare subclasses and rhythms; parts are folds."""
    settings = {"leads": leads, "folds": range(1, 9), "unlabelled": True}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecordWarning)
        found = [
            load_ptbxl(options.data, task=task, **settings) for task in ("subdiagnostic", "rhythm")
        ]
    one, y = found[0], np.concatenate([one.target for one in found], axis=1)
    names = np.concatenate([one.target_names for one in found])
    return rare_of("ptbxl", one.data, y, names, one.groups, one.fold)


def load_rare_of_ludb(options):
    """Return LUDB with an indicator of the rare classes of its four tasks, in five parts."""
    settings = {"leads": INDEPENDENT_LEADS, "sampling_rate": 100}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecordWarning)
        found = [load_ludb(options.data, task=task, **settings) for task in LUDB_TASKS]
    every = max(found, key=lambda one: len(one.data))  # some tasks leave records out
    rows = {name: row for row, name in enumerate(every.record_names)}
    y, names = [], []
    for task, one in zip(LUDB_TASKS, found, strict=True):
        y.append(np.zeros((len(rows), len(one.target_names)), int))
        of_task = one.target
        if of_task.ndim == 1:
            of_task = of_task[:, None] == np.arange(len(one.target_names))
        y[-1][[rows[name] for name in one.record_names]] = of_task
        names += [f"{task}: {name}" for name in one.target_names]
    y, part = np.concatenate(y, axis=1), np.zeros(len(rows), int)
    splitter = GroupKFold(5, shuffle=True, random_state=0)
    for number, (_, test) in enumerate(splitter.split(y, groups=every.groups), 1):
        part[test] = number
    return rare_of("ludb", every.data, y, np.array(names), every.groups, part)


def rare_of(name, X, y, names, groups, fold):
    """Return what is known of records, with the classes that are rare and not too rare."""
    fewest, most, _ = RARE[name]
    rare = (y.sum(axis=0) >= fewest) & (y.sum(axis=0) <= most)
    return SimpleNamespace(
        name=name, X=X, y=y[:, rare], names=names[rare], groups=groups, fold=fold
    )


class Signals(Children):
    """Makes records of signals themselves instead of their latents."""

    def interpolate(self, pairs, alpha):
        """Return the mixture of the signals of each pair."""
        share = alpha.astype(np.float32)[:, None, None]
        return (1 - share) * self.X[pairs[:, 0]] + share * self.X[pairs[:, 1]]

    def sample(self, rows, temperature):
        """Return the records again."""
        return self.X[rows]

    def latents(self, rows):
        """Return signals, of which those near to each other are neighbours."""
        return self.X[rows].reshape(len(rows), -1)


class Jittered(Signals):
    """Makes records again with other gains, and noise."""

    def __init__(self, vqvae, X, seed, sampling_rate):
        super().__init__(vqvae, X, seed, sampling_rate)
        self.rng = np.random.default_rng(seed)

    def sample(self, rows, temperature):
        """Return the records, each lead scaled, with noise."""
        x = self.X[rows]
        gain = np.exp(self.rng.uniform(np.log(0.8), np.log(1.25), (*x.shape[:2], 1)))
        return (gain * x + self.rng.normal(0, 0.02, x.shape)).astype(np.float32)


def sampler_of(method, vqvae, y, n_raised, seed, n_neighbors=5, fit_prior=fit_prior):
    """Return what raises the rare classes."""
    plain = {
        "random": (Signals, {"method": "sample"}),
        "jitter": (Jittered, {"method": "sample"}),
        "mixup": (Signals, {}),
        "SMOTE": (Signals, {"n_neighbors": n_neighbors, "alpha": 1.0}),
        "unaligned": (Children, {"sampling_rate": None}),
    }
    children, params = plain.get(method, (Children, {"method": method}))
    wanted = dict.fromkeys(np.flatnonzero(y.sum(axis=0) < n_raised), n_raised)
    sampler = VQVAEOverSampler(
        sampling_strategy=wanted, vqvae=FrozenEstimator(vqvae), random_state=seed, **params
    )
    sampler._children, sampler._fit_prior = children, fit_prior
    return sampler


def once(function):
    """Return a function that does its work when it is called first, and gives that again."""
    found = []

    def first(*args):
        if not found:
            found.append(function(*args))
        return found[0]

    return first


def vqvae_of(part, options):
    """Return the VQ-VAE that has learnt from all folds of PTB-XL but one, or is kept."""
    X, fold = options.ptbxl.X, options.ptbxl.fold
    vqvae = VQVAETransformer(max_epochs=options.vqvae_epochs, random_state=0, precision="auto")
    path = (
        options.out / f"rare-vqvae-{settings_key(str(vqvae.get_params()), X.shape)}-{part}.joblib"
    )
    if not path.exists():
        keep(vqvae.fit(X if part == "all" else X[fold != part]), path)
    return joblib.load(path)


def keep(what, path):
    """Write a file that is whole or not there."""
    unfinished = path.with_suffix(".unfinished")
    joblib.dump(what, unfinished)
    unfinished.replace(path)


def run_part(part, data, options):
    """Keep, for every method and seed, scores of a fold, and thresholds by the next one."""
    if options.jobs > 1:
        torch.set_num_threads(1)
    next_part = part % len(np.unique(data.fold)) + 1
    test, valid = (np.flatnonzero(data.fold == one) for one in (part, next_part))
    train = np.flatnonzero(~np.isin(data.fold, (part, next_part)))
    fit_prior_once = once(fit_prior)
    vqvae = bell = features = None
    for method in (*PLAIN, *OURS):
        for seed in options.seeds if method not in PLAIN[:2] else (0,):
            path = path_of(method, seed, part, data, options)
            if path.exists():
                continue
            if bell is None:
                learnt = part if data.name == "ptbxl" else "all"
                bell, _ = learn_features("BELL", 0, learnt, options)
                features, vqvae = bell.transform(data.X), vqvae_of(learnt, options)
            start, X, y = time.perf_counter(), features[train], data.y[train]
            if method not in PLAIN[:2]:
                n_raised, n_neighbors = RARE[data.name][2], N_NEIGHBORS[data.name]
                sampler = sampler_of(method, vqvae, y, n_raised, seed, n_neighbors, fit_prior_once)
                new, y = sampler.fit_resample(data.X[train], y, groups=data.groups[train])
                X = np.concatenate([X, bell.transform(new[len(train) :])])
            weight = "balanced" if method == "class weights" else None
            logistic = LogisticRegression(C=C, max_iter=1000, class_weight=weight)
            model = OneVsRestClassifier(make_pipeline(StandardScaler(), logistic)).fit(X, y)
            scores = {name: model.predict_proba(features[rows]) for name, rows in
                      (("test", test), ("valid", valid))}  # fmt: skip
            thresholds = best_thresholds(data.y[valid], scores["valid"])
            keep({**scores, "thresholds": thresholds}, path)
            print(f"{path.stem}: {time.perf_counter() - start:.0f} s", flush=True)


def path_of(method, seed, part, data, options):
    """Return where the scores are kept."""
    settings = [VQVAEOverSampler().get_params(), VQVAETransformer().get_params(), C, RARE]
    key = settings_key(VERSION, options.vqvae_epochs, data.X.shape, list(data.names), str(settings))
    return options.out / f"rare-{key}-{method.replace(' ', '_')}-{seed}-{part}.joblib"


def gather(method, data, options):
    """Return, for each seed, pooled scores of test folds and which are above the thresholds.

    The same follows for the validation folds, each predicted without the fold before it.
    """
    several = {"test": [], "valid": []}
    parts = np.unique(data.fold)
    for seed in options.seeds:
        for which, found in several.items():
            scores, above = np.full(data.y.shape, np.nan), np.zeros(data.y.shape, bool)
            for part in parts:
                of_seed = seed if method not in PLAIN[:2] else 0
                kept = joblib.load(path_of(method, of_seed, part, data, options))
                rows = data.fold == (part if which == "test" else part % len(parts) + 1)
                scores[rows] = kept[which]
                above[rows] = kept[which] >= kept["thresholds"]
            found.append((scores, above))
    return several


def cell(value, samples, digits):
    """Return a figure and its interval, in points."""
    low, high = 100 * np.quantile(samples, (0.025, 0.975))
    return f"{100 * value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def report(data, options, ran_on):
    """Print the tables, and return which promises are missed."""
    metrics = ("auprc", "f1", "sensitivity")

    def figures(several, columns):
        y = data.y[:, columns]
        some = [(scores[:, columns], above[:, columns]) for scores, above in several]
        return metrics_by_bootstrap(y, some, data.groups, metrics[1:])

    several = {method: gather(method, data, options) for method in (*PLAIN, *OURS)}
    every = np.arange(len(data.names))
    macro = {method: figures(found["test"], every) for method, found in several.items()}
    valid = {method: figures(several[method]["valid"], every)["auprc"][0] for method in several}
    chosen, ours = (max(some, key=valid.get) for some in (PLAIN, OURS))
    print(f"\n{ran_on}; seeds {tuple(options.seeds)}; classes raised to {RARE[data.name][2]}")
    print(
        "| macro, in points | AUPRC in validation | AUPRC | F1 | sensitivity |\n"
        "|---|---|---|---|---|"
    )
    for method, found in macro.items():
        cells = " | ".join(cell(*found[metric], 1) for metric in metrics)
        print(f"| {method} | {100 * valid[method]:.1f} | {cells} |")

    def difference(method, other, metric):
        return [a - b for a, b in zip(macro[method][metric], macro[other][metric], strict=True)]

    default = VQVAEOverSampler().method
    for other, why, methods in (
        (chosen, "which validation chooses", several),
        (default, "the default of VQVAEOverSampler", [one for one in OURS if one != default]),
    ):
        print(f"\n| difference to {other}, {why} | AUPRC | F1 | sensitivity |")
        print("|---|---|---|---|")
        for method in methods:
            cells = " | ".join(cell(*difference(method, other, one), 1) for one in metrics)
            print(f"| {method} | {cells} |")
    missed = [
        f"{ours}: macro {metric} above {chosen}"
        for metric in metrics[:2]
        if np.quantile(difference(ours, chosen, metric)[1], 0.025) <= 0
    ]
    print(f"\n| class | records | AUPRC, {chosen} | {ours} | difference | difference of F1 |")
    print("|---|---|---|---|---|---|")
    gains = []
    for column, name in enumerate(data.names):
        one, other = (figures(several[method]["test"], [column]) for method in (ours, chosen))
        differences = [
            [a - b for a, b in zip(one[metric], other[metric], strict=True)]
            for metric in metrics[:2]
        ]
        cells = (
            cell(*other["auprc"], 0), cell(*one["auprc"], 0), *(cell(*d, 1) for d in differences)
        )  # fmt: skip
        print(f"| {name} | {data.y[:, column].sum()} | {' | '.join(cells)} |")
        gains.append(100 * differences[1][0])
        if np.quantile(differences[0][1], 0.975) < 0:
            missed.append(f"{name} has lost")
    if max(gains) < BEST:
        missed.append(f"{BEST:.0f} points of F1 in any class")
    return missed


def main():
    """Print the tables, and return what is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", metavar="DIR", default=None)
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--records", choices=RARE, default="ptbxl")
    parser.add_argument("--seeds", nargs="+", type=int, default=range(5))
    parser.add_argument("--vqvae-epochs", type=int, default=VQVAETransformer().max_epochs)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    (options.out / f"label_efficiency-{RESULTS}").mkdir(parents=True, exist_ok=True)
    ran_on, ptbxl = machine(), load_rare_of_ptbxl(options)
    data = ptbxl if options.records == "ptbxl" else load_rare_of_ludb(options)
    # as bench_label_efficiency.py pretrains and keeps its BELL
    options.folds, options.pretrainings, options.ptbxl = range(1, 9), 1, ptbxl
    options.device = options.precision = "auto"
    options.max_epochs = None
    joblib.Parallel(options.jobs)(
        joblib.delayed(run_part)(part, data, options) for part in np.unique(data.fold)
    )
    return report(data, options, ran_on)


if __name__ == "__main__":
    missed = main()
    sys.exit("not better, or not surely: " + "; ".join(missed) if missed else 0)
