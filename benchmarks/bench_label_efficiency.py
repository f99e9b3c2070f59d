"""Measure the accuracy of a method with few labels, against the usual alternatives.

    python benchmarks/bench_label_efficiency.py --data DIR [--out FOLDER] [--jobs 2] [--records N]

``DIR`` is the folder made by ``make data``, or the one around PTB-XL and LUDB. Methods (rows) learn
without labels from the training folds of PTB-XL, then from the labels of 1 to 100 % of the training
patients. By default PTB-XL is a random subset of 2,400 records of whole patients (a day for all
rows); ``--records 0`` takes all 17,418 and seven times as long. Scores are out of fold: every fold
of PTB-XL is predicted by models trained on the others. LUDB has no folds: methods pretrain on all
of PTB-XL, and five parts of LUDB are predicted from the labels of the other four. Leads II, III,
V1-V6 at 100 Hz, 10 s. Protocols:

- ``linear``: logistic regression per class on scaled features, C chosen out of five by
  cross-validation over patients inside the drawn labels;
- ``trees``: 300 extra trees on the same features;
- ``vote``: the average of a logistic regression and 300 extra trees;
- ``finetune``: ECGClassifier with its defaults; the other training records are unlabelled ones. For
  the untrained encoder this is "from scratch": a larger learning rate and more epochs, the best of
  five trials, and no pseudo-labels.

Label draws depend on the seed and are the same for every method: of 50 random draws of patients,
the one with class frequencies nearest to all. With ``--pretrainings N`` only the first N seeds
pretrain, and the others use their weights. Figures are macro AUROC, AUPRC and F1 over the classes
with at least three positives in the training labels of every part, with bootstrap 95 % intervals
over patients; differences to BELL are paired. Thresholds for F1 are chosen on the drawn labels by
cross-validation; for fine-tuning, on a third that is held out. No row sees the test fold. But the
settings of BELL were chosen by explore.py on folds 1-7, and the other methods share them where they
have such a parameter.

MiniRocket runs only when it is named: it needs the extra ``bench``, in an environment of its own
(``python -m venv .venv-bench; .venv-bench/bin/pip install torch==2.13.0 -e .[bench]``).

An interrupted run resumes: scores and weights lie in ``--out`` by method, settings, seed and fold.
When all folds of a seed are complete, its figures go to ``--figures`` with those of every bootstrap
sample. Samples are always the same, so a later run can add a method or a seed and compare sample by
sample. ``--only-table`` prints the table and computes nothing. The table is also written to
``label_efficiency.csv`` in ``--figures``, and plotted. The script exits with an error where the
interval of a difference of ``MARKS`` reaches zero.
"""

import argparse
import sys
import warnings
from functools import partial
from pathlib import Path

import joblib
import matplotlib
from joblib.externals.loky import get_reusable_executor

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from _common import (
    add_records_option,
    best_thresholds,
    bootstrap_metrics,
    draw_stratified,
    fit_linear,
    load_ptbxl_subset,
    predict_scores,
    settings_key,
    trees,
    vote,
    write_whole,
)
from _pretrained import MACHINE, METHODS, NOT_TRAINED, RESULTS, pretrain, result_path
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import label_binarize

from sklearn_bell import ECGClassifier
from sklearn_bell.datasets import load_ludb
from sklearn_bell.exceptions import RecordWarning
from sklearn_bell.preprocessing import INDEPENDENT_LEADS

PTBXL_TASKS = ("superdiagnostic", "subdiagnostic", "rhythm")
LUDB_TASKS = ("rhythm", "axis", "hypertrophy", "conduction")
FRACTIONS = (0.01, 0.05, 0.1, 0.2, 0.5, 1.0)
FIGURES = Path(__file__).parent / "label_efficiency"
MARKS = (  # pairs of which the first is better
    (("BELL", "linear"), ("BELL intra", "linear")),
    (("BELL", "linear"), ("BELL inter", "linear")),
    (("BELL", "finetune"), ("hand-made", "trees")),
    (("BELL", "finetune"), ("untrained", "finetune")),
    (("BELL", "vote"), ("hand-made", "trees")),
    (("BELL", "vote"), ("hand-made", "vote")),
    (("BELL", "vote"), ("MiniRocket", "linear")),
)
FEWEST_PATIENTS = 10  # fractions with fewer are left out
PROTOCOLS = ("linear", "trees", "vote", "finetune")
FROM_SCRATCH = {"encoder_lr": 2e-3, "max_epochs": 30, "n_trees": 0}


class Task:
    """Labels of a set of records: an indicator, and a mask of the labelled records."""

    def __init__(self, name, X, target, groups, fold):
        self.name, self.X, self.groups, self.fold = name, X, groups, fold
        self.y = np.where(target > 0, 1, 0)
        self.labelled = (target >= 0).all(axis=1)
        if name.startswith("ptbxl"):  # there no statement means unlabelled; in LUDB, healthy
            self.labelled &= self.y.any(axis=1)
        parts = np.unique(fold)
        counts = [self.y[self.labelled & (fold != part)].sum(axis=0) for part in parts]
        self.classes = np.flatnonzero(np.min(counts, axis=0) >= 3)
        self.n_patients = min(len(np.unique(groups[fold != part])) for part in parts)

    def usable_fractions(self, fractions):
        """Return the fractions that draw enough patients."""
        return [share for share in fractions if round(share * self.n_patients) >= FEWEST_PATIENTS]


def load_tasks(options):
    """Return the tasks of PTB-XL (at least one), and those of LUDB."""
    ptbxl, ludb = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecordWarning)
        for name in PTBXL_TASKS:
            if f"ptbxl-{name}" in options.tasks or not ptbxl:
                data = load_ptbxl_subset(
                    options.data, options.records, options.folds, task=name, leads=INDEPENDENT_LEADS
                )
                ptbxl.append(Task(f"ptbxl-{name}", data.data, data.target, data.groups, data.fold))
        for name in LUDB_TASKS:
            if f"ludb-{name}" in options.tasks:
                settings = {"task": name, "leads": INDEPENDENT_LEADS, "sampling_rate": 100}
                data = load_ludb(options.data, **settings)
                y = data.target
                y = label_binarize(y, classes=range(len(data.target_names))) if y.ndim == 1 else y
                parts = split_parts(data.groups)
                ludb.append(Task(f"ludb-{name}", data.data, y, data.groups, parts))
    return ptbxl, ludb


def split_parts(groups, first=0):
    """Return one of five parts for each record, by patients, counted from `first`."""
    parts = np.zeros(len(groups), dtype=int)
    splitter = GroupKFold(5, shuffle=True, random_state=0)
    for number, (_, rows) in enumerate(splitter.split(groups, groups=groups), first):
        parts[rows] = number
    return parts


def fit_classifier(protocol, X, y, groups, seed, method, options):
    """Return a classifier fitted on features; for fine-tuning, on records."""
    if protocol == "linear":
        return fit_linear(X, y, groups)
    if protocol != "finetune":
        return {"trees": trees, "vote": vote}[protocol](seed).fit(X, y)
    classifier = ECGClassifier(FrozenEstimator(method), random_state=seed, device=options.device)
    if not method.max_epochs:
        classifier.set_params(**FROM_SCRATCH)
    return classifier.fit(X, y)


def predict_part(task, part, inputs, protocol, fit, seed, fraction):
    """Return scores of the held-out part with a fraction of the labels, and thresholds."""
    train = np.flatnonzero(task.labelled & (task.fold != part))
    test = np.flatnonzero(task.labelled & (task.fold == part))
    drawn = draw_stratified(train, fraction, task.y, task.groups, seed)
    unlabelled = np.setdiff1d(np.flatnonzero(task.fold != part), drawn)

    def select(rows):
        y = task.y[rows][:, task.classes]
        if protocol != "finetune":
            return inputs[rows], y
        unknown = np.full((len(unlabelled), len(task.classes)), -1)
        return inputs[np.concatenate([rows, unlabelled])], np.concatenate([y, unknown])

    model = fit(*select(drawn), groups=task.groups[drawn])
    scores = predict_scores(model, inputs[test])
    splits = list(GroupKFold(3).split(drawn, groups=task.groups[drawn]))
    inner_rows, inner_scores = [], []
    for inner_train, inner_test in splits[:1] if protocol == "finetune" else splits:
        inner_model = clone(model).fit(*select(drawn[inner_train]))
        inner_rows.append(drawn[inner_test])
        inner_scores.append(predict_scores(inner_model, inputs[drawn[inner_test]]))
    y = task.y[np.concatenate(inner_rows)][:, task.classes]
    return scores, best_thresholds(y, np.concatenate(inner_scores))


def protocol_key(protocol):
    """Return the name of a protocol, with a digest of its settings if it has any."""
    if protocol != "finetune":
        return protocol
    return f"finetune-{settings_key(str(ECGClassifier().get_params()), FROM_SCRATCH)}"


def run_part(name, seed, part, tasks, options):
    """Pretrain without the held-out part, predict every task, and cache the scores."""
    path = result_path(name, seed, part, options)
    results = joblib.load(path) if path.exists() else {"scores": {}}
    jobs = [
        (task, protocol, fraction)
        for task, protocol, fraction, _ in figure_keys(name, tasks, options)
        if (task.name, protocol_key(protocol), fraction) not in results["scores"]
    ]
    if not jobs:
        return
    if options.jobs > 1:
        torch.set_num_threads(1)
    # with few labels a class may be present in all records, or in none
    warnings.filterwarnings("ignore", message="Label not .* is present in all training examples")
    method, cost = pretrain(name, seed, part, options)
    results.update(cost)
    features = {}
    for task, protocol, fraction in jobs:
        if id(task.X) not in features:
            features[id(task.X)] = np.asarray(method.transform(task.X))
        inputs = task.X if protocol == "finetune" else features[id(task.X)]
        fit = partial(fit_classifier, protocol, seed=seed, method=method, options=options)
        results["scores"][task.name, protocol_key(protocol), fraction] = {
            held_out: predict_part(task, held_out, inputs, protocol, fit, seed, fraction)
            for held_out in (np.unique(task.fold) if part == "all" else [part])
        }
        write_whole(partial(joblib.dump, results), path)
    print(f"{path.stem}: {cost['seconds']:.0f} s of pretraining", flush=True)


def figures_path(name, seed, options):
    """Return the path of the figures of a seed."""
    path = result_path(name, seed, "figures", options)
    return options.figures / f"{RESULTS}-{path.with_suffix('.npz').name}"


def load_figures(name, seed, options):
    """Return the stored arrays of a seed by name: figures, their bootstrap samples, costs."""
    path = figures_path(name, seed, options)
    if not path.exists():
        return {}
    with np.load(path) as arrays:
        return dict(arrays)


def figure_keys(name, tasks, options):
    """Yield task, protocol and fraction of all figures of a method, and their key."""
    for task in tasks:
        for protocol in options.protocols:
            if protocol == "finetune" and name in NOT_TRAINED:
                continue
            for fraction in task.usable_fractions(options.fractions):
                yield task, protocol, fraction, f"{task.name}/{protocol_key(protocol)}/{fraction:g}"


def gather(name, seed, task, protocol, fraction, options):
    """Return the scores of all parts, and the predictions at the thresholds."""
    scores, predictions = (np.full((len(task.y), len(task.classes)), np.nan) for _ in range(2))
    for part in np.unique(options.ptbxl.fold) if task.name.startswith("ptbxl") else ["all"]:
        results = joblib.load(result_path(name, seed, part, options))["scores"]
        by_part = results[task.name, protocol_key(protocol), fraction]
        for held_out, (part_scores, thresholds) in by_part.items():
            rows = task.labelled & (task.fold == held_out)
            scores[rows], predictions[rows] = part_scores, part_scores >= thresholds
    return scores[task.labelled], predictions[task.labelled]


def store_figures(name, seed, tasks, parts, options):
    """Add the figures of a seed with all parts complete to the stored ones."""
    figures = load_figures(name, seed, options)
    for task, protocol, fraction, key in figure_keys(name, tasks, options):
        if f"{key}/auroc" in figures:
            continue
        y, groups = task.y[task.labelled][:, task.classes], task.groups[task.labelled]
        scores = gather(name, seed, task, protocol, fraction, options)
        for metric, (value, samples) in bootstrap_metrics(y, [scores], groups).items():
            figures[f"{key}/{metric}"] = np.float64(value)
            figures[f"{key}/{metric}/draws"] = (samples - value).astype(np.float16)
    runs = [joblib.load(result_path(name, seed, part, options)) for part in parts]
    figures["epochs"] = np.int64(runs[0]["epochs"])
    figures["seconds"] = np.mean([run["seconds"] for run in runs])
    figures["megabytes"] = np.max([run["megabytes"] for run in runs])
    figures["machine"] = np.array(runs[0]["machine"])
    options.figures.mkdir(parents=True, exist_ok=True)

    def save(path):
        with open(path, "wb") as file:
            np.savez_compressed(file, **figures)

    write_whole(save, figures_path(name, seed, options))


def tabulate(tasks, options):
    """Return one line for each task, protocol, method, fraction and metric: means over seeds."""
    figures = {
        name: {seed: load_figures(name, seed, options) for seed in options.seeds}
        for name in {*options.methods, "BELL"}
    }
    lines = []
    for name in options.methods:
        for task, protocol, fraction, key in figure_keys(name, tasks, options):
            for metric in ("auroc", "auprc", "f1"):
                full_key = f"{key}/{metric}"
                seeds = [seed for seed in options.seeds if full_key in figures[name][seed]]
                if not seeds:
                    continue
                line = {"task": task.name, "protocol": protocol, "fraction": fraction}
                line.update(method=name, metric=metric, seeds=len(seeds))
                line["value"], samples = average_figure(figures[name], seeds, full_key)
                line["low"], line["high"] = np.quantile(samples, (0.025, 0.975))
                common = [seed for seed in seeds if full_key in figures["BELL"][seed]]
                if common:  # the same seeds, hence the same draws of labels
                    value, samples = average_figure(figures[name], common, full_key)
                    bell, bell_samples = average_figure(figures["BELL"], common, full_key)
                    line["minus_bell"] = value - bell
                    ends = np.quantile(samples - bell_samples, (0.025, 0.975))
                    line["minus_bell_low"], line["minus_bell_high"] = ends
                lines.append(line)
    return pd.DataFrame(lines)


def missed_marks(options):
    """Print the differences of MARKS in macro AUROC, and return the missed ones."""
    missed = []
    for fraction in (0.1, 1.0):
        for pair in MARKS:
            sides = []  # of each method: its key, and its figures by seed
            for method, protocol in pair:
                key = f"ptbxl-superdiagnostic/{protocol_key(protocol)}/{fraction:g}/auroc"
                figures = {seed: load_figures(method, seed, options) for seed in options.seeds}
                sides.append((key, figures))
            seeds = [s for s in options.seeds if all(key in figures[s] for key, figures in sides)]
            if not seeds:
                continue
            (value, samples), (other_value, other_samples) = (
                average_figure(figures, seeds, key) for key, figures in sides
            )
            low, high = 100 * np.quantile(samples - other_samples, (0.025, 0.975))
            title = " - ".join(" ".join(side) for side in pair) + f", {fraction:.0%} of labels"
            difference = f"{100 * (value - other_value):+.1f} points ({low:+.1f} to {high:+.1f})"
            print(f"{title}: {difference}, {len(seeds)} seed(s)")
            if low <= 0:
                missed.append(title)
    return missed


def average_figure(figures, seeds, key):
    """Return a figure and its bootstrap samples, averaged over seeds."""
    values = np.array([figures[seed][key] for seed in seeds])
    draws = np.array([figures[seed][f"{key}/draws"] for seed in seeds], dtype=float)
    return values.mean(), (values[:, None] + draws).mean(axis=0)


def tabulate_costs(options):
    """Return the mean time of `fit` of each method, and the peak memory of its process."""
    lines = []
    for name in options.methods:
        runs = [load_figures(name, seed, options) for seed in options.seeds]
        runs = [run for run in runs if run]
        if not runs:
            continue
        epochs, seconds = int(runs[0]["epochs"]), np.mean([run["seconds"] for run in runs])
        line = {"method": name, "epochs": epochs, "seconds": seconds}
        line["seconds_per_epoch"] = seconds / epochs if epochs else np.nan
        line["peak_megabytes"] = np.max([run["megabytes"] for run in runs])
        lines.append({**line, "machine": str(runs[0]["machine"])})
    return pd.DataFrame(lines)


def plot(table, path):
    """Plot macro AUROC against the fraction of labels, one panel for each task and protocol."""
    table = table[table.metric == "auroc"]
    panels = list(table.groupby(["task", "protocol"], sort=False))
    figure, axes = plt.subplots(
        1, len(panels), figsize=(2 + 3 * len(panels), 4), squeeze=False, sharey=True,
        layout="constrained",
    )  # fmt: skip
    colours = dict(zip(METHODS, plt.get_cmap("tab20").colors, strict=False))
    curves = {}
    for ax, (title, panel) in zip(axes[0], panels, strict=True):
        for name, curve in panel.groupby("method", sort=False):
            error = [curve.value - curve.low, curve.high - curve.value]
            curves[name] = ax.errorbar(
                curve.fraction, curve.value, error, marker="o", capsize=2, color=colours[name]
            )
        ax.set(xscale="log", xlabel="labels", title="\n".join(title))
        ax.set_xticks(fractions := sorted(table.fraction.unique()), [])
        ax.set_xticklabels([f"{fraction:.0%}" for fraction in fractions])
        ax.minorticks_off()
    axes[0, 0].set_ylabel("macro AUROC, 95 % intervals")
    figure.legend(curves.values(), curves, loc="outside right upper")
    figure.savefig(path, dpi=100)


def read_options():
    """Read the command line."""
    tasks = [f"ptbxl-{name}" for name in PTBXL_TASKS] + [f"ludb-{name}" for name in LUDB_TASKS]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", metavar="DIR", default=None)
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--figures", metavar="DIR", type=Path, default=FIGURES)
    parser.add_argument("--tasks", nargs="+", choices=tasks, default=tasks[:1])
    usual = [name for name in METHODS if name != "MiniRocket"]
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=usual)
    parser.add_argument("--fractions", nargs="+", type=float, default=FRACTIONS)
    parser.add_argument("--seeds", nargs="+", type=int, default=(0, 1, 2))
    parser.add_argument("--pretrainings", metavar="N", type=int, default=None)
    parser.add_argument("--folds", nargs="+", type=int, default=range(1, 9))
    parser.add_argument("--protocols", nargs="+", choices=PROTOCOLS, default=PROTOCOLS)
    parser.add_argument("--max-epochs", type=int, default=None, help="of pretraining")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto", help="of pretraining")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only-table", action="store_true", help="compute nothing")
    add_records_option(parser, default=2400)
    options = parser.parse_args()
    options.pretrainings = options.pretrainings or max(options.seeds) + 1
    return options


def main():
    """Compute missing figures, print the table, and return the missed marks."""
    options = read_options()
    ptbxl, ludb = load_tasks(options)
    options.ptbxl = ptbxl[0]
    ptbxl = [task for task in ptbxl if task.name in options.tasks]
    (options.out / f"label_efficiency-{RESULTS}").mkdir(parents=True, exist_ok=True)

    tasks = ptbxl + ludb
    parts = dict.fromkeys(np.unique(options.ptbxl.fold), ptbxl) | {"all": ludb}
    parts = {part: part_tasks for part, part_tasks in parts.items() if part_tasks}
    for seed in options.seeds:
        for name in options.methods:
            keys = {f"{key}/auroc" for *_, key in figure_keys(name, tasks, options)}
            if options.only_table or keys <= load_figures(name, seed, options).keys():
                continue
            joblib.Parallel(options.jobs)(
                joblib.delayed(run_part)(name, seed, part, part_tasks, options)
                for part, part_tasks in parts.items()
            )
            # new processes: peak memory is that of one method
            get_reusable_executor().shutdown()
            store_figures(name, seed, tasks, parts, options)

    print(f"\n{MACHINE}; seeds {tuple(options.seeds)}")
    table = tabulate(tasks, options)
    table.to_csv(options.figures / "label_efficiency.csv", index=False, float_format="%.4f")
    plot(table, options.figures / "label_efficiency.png")
    with pd.option_context("display.width", 200, "display.max_rows", None):
        print(table.round(3).to_string(index=False))
        print(tabulate_costs(options).round(1).to_string(index=False))
    return missed_marks(options)


if __name__ == "__main__":
    missed = main()
    sys.exit("not above zero: " + "; ".join(missed) if missed else 0)
