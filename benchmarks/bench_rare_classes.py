"""Measure what synthetic records of rare classes add to a classifier, against plain alternatives.

    python benchmarks/bench_rare_classes.py --data DIR [--jobs 2] [--records N]

``DIR`` is the folder made by ``make data``, or the one around PTB-XL and LUDB. Classes are the rare
ones (RARE) among the subclasses and rhythms of PTB-XL, folds 1-8; or with ``--source ludb`` among
all of LUDB, in five parts. Other records are kept, too. By default PTB-XL is a random subset of
2,400 records of whole patients (about a day on two cores); ``--records 0`` takes all 17,418 and
seven times as long. Leads II, III, V1-V6 at 100 Hz, 10 s. Each fold is predicted by models trained
on the others but the next one. The next one chooses thresholds, and the best alternative
(validation). Features are those of BELL with its defaults, pretrained on PTB-XL without the
predicted fold. The classifier is one logistic regression per class on scaled features. Before it
comes one of

- ``nothing``; ``class weights``: balanced, for each class;
- ``random``: copies of records of rare classes;
- ``jitter``: copies, each lead scaled by 0.8 to 1.25, with noise of 0.02 mV;
- ``mixup``: a weighted mean, second weight uniform in 0 to 0.5, of the signals of two records of a
  class;
- ``SMOTE``: the same, with a weight from 0 to 1, of a record and one of its 5 nearest by signals
  (of 3 in LUDB, where a class may have no more);
- ``interpolate``, ``sample``, ``prior``: VQVAEOverSampler, with a VQ-VAE trained on all records of
  PTB-XL in the other folds; ``unaligned`` interpolates without aligning beats. The prior of a fold
  is fitted for the first seed, and then used for all.

Each raises the rare classes to the same number of records, as VQVAEOverSampler counts records of
several labels. Sources are of different patients, and equal in all methods of two sources but
SMOTE. BELL and the VQ-VAE have also seen the validation fold, without labels. Scores are pooled
over folds. AUPRC, and F1 and sensitivity at the threshold of the greatest F1 in validation, are
averaged over classes and seeds, with bootstrap 95 % intervals over patients. Differences are
paired.

Scores, weights and VQ-VAEs are cached in ``--out``, so that an interrupted run resumes. The script
exits with an error unless the method of VQVAEOverSampler chosen in validation beats the chosen
alternative: by macro AUPRC and macro F1 with an interval above zero, and by BEST points of F1 in
the class that gains most; and where a class loses AUPRC with an interval below zero.
"""

import argparse
import sys
import time
import warnings
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace

import joblib
import numpy as np
import torch
from _common import (
    add_records_option,
    best_thresholds,
    bootstrap_metrics,
    describe_machine,
    load_ludb_indicator,
    load_ptbxl_subset,
    settings_key,
    split_parts,
    write_whole,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_bell import BELLPretrainer, VQVAEOverSampler, VQVAETransformer
from sklearn_bell.exceptions import RecordWarning
from sklearn_bell.over_sampling._synthesis import LatentSynthesizer, fit_prior
from sklearn_bell.preprocessing import INDEPENDENT_LEADS

RARE = {"ptbxl": (30, 150, 200), "ludb": (10, 60, 100)}  # records: least, most, raised to
N_NEIGHBORS = {"ptbxl": 5, "ludb": 3}  # of SMOTE
BEST = 6.0
C = 0.005  # of logistic regression
MODEL = {"random_state": 0, "precision": "auto"}
VERSION = 4  # increment when code changes results: then cached results do not count
PLAIN = ("nothing", "class weights", "random", "jitter", "mixup", "SMOTE")
OURS = ("interpolate", "unaligned", "sample", "prior")
METRICS = ("auprc", "f1", "sensitivity")


def load_rare_ptbxl(options, leads=INDEPENDENT_LEADS):
    """Return PTB-XL with an indicator of its rare subclasses and rhythms; parts are folds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecordWarning)
        data, rhythm = (
            load_ptbxl_subset(options.data, options.records, task=task, leads=leads)
            for task in ("subdiagnostic", "rhythm")
        )
    y = np.concatenate([data.target, rhythm.target], axis=1)
    names = np.concatenate([data.target_names, rhythm.target_names])
    return select_rare("ptbxl", data.data, y, names, data.groups, data.fold)


def load_rare_ludb(options):
    """Return LUDB with an indicator of the rare classes of its four tasks, in five parts."""
    X, y, names, groups = load_ludb_indicator(options.data, INDEPENDENT_LEADS)
    return select_rare("ludb", X, y, names, groups, split_parts(groups, first=1))


def select_rare(name, X, y, names, groups, fold):
    """Return all records, with the classes that are rare but not too rare."""
    fewest, most, _ = RARE[name]
    rare = (y.sum(axis=0) >= fewest) & (y.sum(axis=0) <= most)
    return SimpleNamespace(
        name=name, X=X, y=y[:, rare], names=names[rare], groups=groups, fold=fold
    )


class SignalSynthesizer(LatentSynthesizer):
    """Synthetic records from signals instead of latents."""

    def interpolate(self, pairs, alpha):
        """Return the mixture of the signals of each pair."""
        share = alpha.astype(np.float32)[:, None, None]
        return (1 - share) * self.X[pairs[:, 0]] + share * self.X[pairs[:, 1]]

    def sample(self, rows, temperature):
        """Return copies of records."""
        return self.X[rows]

    def latents(self, rows):
        """Return signals, for the distances between records."""
        return self.X[rows].reshape(len(rows), -1)


class JitterSynthesizer(SignalSynthesizer):
    """Copies of records with other gains, and noise."""

    def __init__(self, vqvae, X, seed, sampling_rate):
        super().__init__(vqvae, X, seed, sampling_rate)
        self.rng = np.random.default_rng(seed)

    def sample(self, rows, temperature):
        """Return copies of records, each lead scaled, with noise."""
        x = self.X[rows]
        gain = np.exp(self.rng.uniform(np.log(0.8), np.log(1.25), (*x.shape[:2], 1)))
        return (gain * x + self.rng.normal(0, 0.02, x.shape)).astype(np.float32)


def make_sampler(method, vqvae, y, n_raised, seed, n_neighbors=5, fit_prior=fit_prior):
    """Return the sampler that raises the rare classes to `n_raised` records."""
    alternatives = {
        "random": (SignalSynthesizer, {"method": "sample"}),
        "jitter": (JitterSynthesizer, {"method": "sample"}),
        "mixup": (SignalSynthesizer, {}),
        "SMOTE": (SignalSynthesizer, {"n_neighbors": n_neighbors, "alpha": 1.0}),
        "unaligned": (LatentSynthesizer, {"sampling_rate": None}),
    }
    synthesizer, params = alternatives.get(method, (LatentSynthesizer, {"method": method}))
    strategy = dict.fromkeys(np.flatnonzero(y.sum(axis=0) < n_raised), n_raised)
    sampler = VQVAEOverSampler(
        sampling_strategy=strategy, vqvae=FrozenEstimator(vqvae), random_state=seed, **params
    )
    sampler._synthesizer_class, sampler._prior_fitter = synthesizer, fit_prior
    return sampler


def fit_once(fit):
    """Return a function that fits in its first call, and returns that model in every call."""
    models = []

    def fit_first(*args):
        if not models:
            models.append(fit(*args))
        return models[0]

    return fit_first


def load_fitted(model, part, options):
    """Return the model fitted on all folds of PTB-XL but one, cached."""
    X, fold = options.ptbxl.X, options.ptbxl.fold
    key = settings_key(str(model), str(model.get_params()), X.shape)
    path = options.out / f"rare-{key}-{part}.joblib"
    if not path.exists():
        model.fit(X if part == "all" else X[fold != part])
        write_whole(partial(joblib.dump, model), path)
    return joblib.load(path)


def run_part(part, data, options):
    """Cache, for every method and seed, scores of a fold, and thresholds of the next one."""
    if options.jobs > 1:
        torch.set_num_threads(1)
    validation_part = part % len(np.unique(data.fold)) + 1
    rows = {"test": np.flatnonzero(data.fold == part)}
    rows["validation"] = np.flatnonzero(data.fold == validation_part)
    train = np.flatnonzero(~np.isin(data.fold, (part, validation_part)))
    fit_prior_once = fit_once(fit_prior)

    @cache
    def load_models():
        left_out = part if data.name == "ptbxl" else "all"
        bell = load_fitted(BELLPretrainer(**MODEL), left_out, options)
        vqvae = VQVAETransformer(max_epochs=options.vqvae_epochs, **MODEL)
        return bell, bell.transform(data.X), load_fitted(vqvae, left_out, options)

    for method in (*PLAIN, *OURS):
        for seed in options.seeds if method not in PLAIN[:2] else (0,):
            path = scores_path(method, seed, part, data, options)
            if path.exists():
                continue
            bell, features, vqvae = load_models()
            start, X, y = time.perf_counter(), features[train], data.y[train]
            if method not in PLAIN[:2]:
                n_raised, n_neighbors = RARE[data.name][2], N_NEIGHBORS[data.name]
                sampler = make_sampler(
                    method, vqvae, y, n_raised, seed, n_neighbors, fit_prior_once
                )
                resampled, y = sampler.fit_resample(data.X[train], y, groups=data.groups[train])
                X = np.concatenate([X, bell.transform(resampled[len(train) :])])
            weight = "balanced" if method == "class weights" else None
            logistic = LogisticRegression(C=C, max_iter=1000, class_weight=weight)
            model = OneVsRestClassifier(make_pipeline(StandardScaler(), logistic)).fit(X, y)
            scores = {name: model.predict_proba(features[at]) for name, at in rows.items()}
            thresholds = best_thresholds(data.y[rows["validation"]], scores["validation"])
            write_whole(partial(joblib.dump, {**scores, "thresholds": thresholds}), path)
            print(f"{path.stem}: {time.perf_counter() - start:.0f} s", flush=True)


def scores_path(method, seed, part, data, options):
    """Return the path of cached scores."""
    settings = [VQVAEOverSampler().get_params(), VQVAETransformer().get_params(), C, RARE]
    key = settings_key(VERSION, options.vqvae_epochs, data.X.shape, list(data.names), str(settings))
    return options.out / f"rare-{key}-{method.replace(' ', '_')}-{seed}-{part}.joblib"


def gather(method, subset, data, options):
    """Return pooled scores and predictions of each seed, in test or validation folds."""
    repetitions, parts = [], np.unique(data.fold)
    for seed in options.seeds if method not in PLAIN[:2] else [0] * len(options.seeds):
        scores, predictions = np.full(data.y.shape, np.nan), np.zeros(data.y.shape, bool)
        for part in parts:
            cached = joblib.load(scores_path(method, seed, part, data, options))
            rows = data.fold == (part if subset == "test" else part % len(parts) + 1)
            scores[rows] = cached[subset]
            predictions[rows] = cached[subset] >= cached["thresholds"]
        repetitions.append((scores, predictions))
    return repetitions


def format_points(value, samples, digits=1):
    """Return a figure and its interval, in points."""
    low, high = 100 * np.quantile(samples, (0.025, 0.975))
    return f"{100 * value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def subtract(first, second):
    """Return the difference of two pairs of a value and its bootstrap samples."""
    return first[0] - second[0], first[1] - second[1]


class Report:
    """Tables of all methods, from cached scores."""

    def __init__(self, data, options):
        self.data, self.options = data, options
        methods, columns = (*PLAIN, *OURS), np.arange(len(data.names))
        self.scores = {method: gather(method, "test", data, options) for method in methods}
        self.macro = {method: self.figures(self.scores[method], columns) for method in methods}
        self.validation = {
            method: self.figures(gather(method, "validation", data, options), columns)["auprc"][0]
            for method in methods
        }
        self.plain, self.ours = (max(names, key=self.validation.get) for names in (PLAIN, OURS))
        self.missed = []

    def figures(self, repetitions, columns):
        """Return the metrics of some classes, averaged over these and seeds."""
        columns = np.asarray(columns)
        selected = [(scores[:, columns], above[:, columns]) for scores, above in repetitions]
        y = self.data.y[:, columns]
        return bootstrap_metrics(y, selected, self.data.groups, METRICS[1:])

    def print_macro(self):
        """Print the figures of every method."""
        print("| macro, in points | AUPRC in validation | AUPRC | F1 | sensitivity |")
        print("|---|---|---|---|---|")
        for method, figures in self.macro.items():
            cells = " | ".join(format_points(*figures[metric]) for metric in METRICS)
            print(f"| {method} | {100 * self.validation[method]:.1f} | {cells} |")

    def print_differences(self, baseline, reason, methods):
        """Print the differences of methods to a baseline."""
        print(f"\n| difference to {baseline}, {reason} | AUPRC | F1 | sensitivity |")
        print("|---|---|---|---|")
        for method in methods:
            cells = [
                format_points(*subtract(self.macro[method][metric], self.macro[baseline][metric]))
                for metric in METRICS
            ]
            print(f"| {method} | {' | '.join(cells)} |")

    def print_classes(self):
        """Print the two chosen methods, class by class; add missed marks."""
        print(f"\n| class | records | AUPRC, {self.plain} | {self.ours} | difference | of F1 |")
        print("|---|---|---|---|---|---|")
        gains = []
        for column, name in enumerate(self.data.names):
            ours, plain = (self.figures(self.scores[m], [column]) for m in (self.ours, self.plain))
            auprc, f1 = (subtract(ours[metric], plain[metric]) for metric in METRICS[:2])
            cells = [format_points(*pair, digits=0) for pair in (plain["auprc"], ours["auprc"])]
            cells += [format_points(*auprc), format_points(*f1)]
            print(f"| {name} | {self.data.y[:, column].sum()} | {' | '.join(cells)} |")
            gains.append(100 * f1[0])
            if np.quantile(auprc[1], 0.975) < 0:
                self.missed.append(f"{name} loses AUPRC")
        if max(gains) < BEST:
            self.missed.append(f"{BEST:.0f} points of F1 in any class")

    def print_all(self):
        """Print the tables, and return the missed marks."""
        self.print_macro()
        self.print_differences(self.plain, "chosen in validation", self.macro)
        default = VQVAEOverSampler().method
        methods = [method for method in OURS if method != default]
        self.print_differences(default, "the default of VQVAEOverSampler", methods)
        for metric in METRICS[:2]:
            _, samples = subtract(self.macro[self.ours][metric], self.macro[self.plain][metric])
            if np.quantile(samples, 0.025) <= 0:
                self.missed.append(f"{self.ours}: macro {metric} above {self.plain}")
        self.print_classes()
        return self.missed


def main():
    """Print the tables, and return the missed marks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", metavar="DIR", default=None)
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--source", choices=RARE, default="ptbxl")
    parser.add_argument("--seeds", nargs="+", type=int, default=range(5))
    parser.add_argument("--vqvae-epochs", type=int, default=VQVAETransformer().max_epochs)
    parser.add_argument("--jobs", type=int, default=1)
    add_records_option(parser, default=2400)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    machine, ptbxl = describe_machine(), load_rare_ptbxl(options)
    data = ptbxl if options.source == "ptbxl" else load_rare_ludb(options)
    options.ptbxl = ptbxl
    joblib.Parallel(options.jobs)(
        joblib.delayed(run_part)(part, data, options) for part in np.unique(data.fold)
    )
    print(f"\n{machine}; seeds {tuple(options.seeds)}; classes raised to {RARE[data.name][2]}")
    return Report(data, options).print_all()


if __name__ == "__main__":
    missed = main()
    sys.exit("not above zero: " + "; ".join(missed) if missed else 0)
