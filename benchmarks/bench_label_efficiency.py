"""Measure what a method makes of few labels, against what a user would try instead.

    python benchmarks/bench_label_efficiency.py --data DIR --out FOLDER [--jobs 2]

``DIR`` is the folder around those of PTB-XL and LUDB. Methods (rows) learn without labels from the
training folds of PTB-XL, then from the labels of 1 to 100 % of the training patients. The scores
are out of fold: every fold of PTB-XL is predicted by what was trained on the others. LUDB has no
folds: methods pretrain on all of PTB-XL, and five parts of LUDB are predicted by the labels of the
other four. Leads II, III, V1-V6 at 100 Hz, 10 s. Protocols:

- ``linear``: logistic regression on scaled features, one per class, C chosen of five by
  cross-validation over patients inside the drawn labels;
- ``trees``: 300 extra trees on the same features;
- ``vote``: a logistic regression and 300 extra trees, of which the probabilities are averaged;
- ``finetune``: ECGClassifier with its defaults, which has the other training records too, as
  unlabelled ones. Of the untrained encoder, this is "from scratch", with a larger learning rate and
  more epochs, which were the best for it of five trials, and without a vote on unlabelled records.

Label draws are those of a seed, the same for every method: of 50 random draws of patients the one
whose classes are most like those of all. With ``--pretrainings N`` only the first N seeds pretrain,
and the others take their weights: of eight folds there are eight pretrainings all the same. Figures
are macro AUROC, AUPRC and F1 over the classes with three positives at least in the training labels
of every part, with bootstrap 95 % intervals over patients; differences to BELL are paired.
Thresholds for F1 are chosen on the drawn labels by cross-validation; of fine-tuning, on a third
that is held out. No row looks at the test fold; but BELL's settings were chosen by explore.py on
folds 1-7, and the other methods have them too, where they have such a parameter.

MiniRocket is left out unless it is named: it needs the extra ``bench``, in an environment of its
own (``python -m venv .venv-bench; .venv-bench/bin/pip install torch==2.13.0 -e .[bench]``).

A run goes on where it was ended: scores and weights lie in ``--out`` by method, settings, seed and
fold. When all folds of a seed are done its figures are kept in ``--figures``, with those of every
bootstrap draw of patients; the draws are always the same. These small files are kept with the
source, so that a method can be compared draw by draw, or a seed be added, on another day and on
another machine, without running the others again (``--only-table`` runs none). The table is written
to ``label_efficiency.csv`` there, and drawn. The script ends with an error where the interval of a
promised difference (``MARKS``) reaches zero.
"""

import argparse
import resource
import sys
import time
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
    best_thresholds,
    draw_alike,
    fit_linear,
    machine,
    metrics_by_bootstrap,
    params_of,
    scores_of,
    settings_key,
    trees,
    vote,
)
from sklearn.base import BaseEstimator, clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import label_binarize

from sklearn_bell import BELLPretrainer, ECGClassifier, ECGFeatures
from sklearn_bell.datasets import load_ludb, load_ptbxl
from sklearn_bell.exceptions import RecordWarning
from sklearn_bell.preprocessing import INDEPENDENT_LEADS
from sklearn_bell.pretraining import (
    BarlowTwinsPretrainer,
    BYOLPretrainer,
    CLOCSPretrainer,
    LFBTPretrainer,
    SimCLRPretrainer,
)

PTBXL_TASKS = ("superdiagnostic", "subdiagnostic", "rhythm")
LUDB_TASKS = ("rhythm", "axis", "hypertrophy", "conduction")
FRACTIONS = (0.01, 0.05, 0.1, 0.2, 0.5, 1.0)


class HandMade(BaseEstimator):
    """ECGFeatures of all twelve leads, four of which follow from II and III."""

    def fit(self, X):
        """Do nothing."""
        return self

    def transform(self, X):
        """Return hand-made features (n_records, n_features)."""
        two, three = X[:, 0], X[:, 1]
        one = two - three
        limb = [one, two, three, -(one + two) / 2, (one - three) / 2, (two + three) / 2]
        X = np.concatenate([np.stack(limb, axis=1), X[:, 2:]], axis=1)
        return ECGFeatures().fit_transform(X)


def minirocket():
    """Return aeon's MiniRocket (extra ``bench``)."""
    from aeon.transformations.collection.convolution_based import MiniRocket

    return MiniRocket(random_state=0)


METHODS = {
    "BELL": BELLPretrainer,
    "BELL intra": partial(BELLPretrainer, gamma=1.0),
    "BELL inter": partial(BELLPretrainer, gamma=0.0),
    "BELL shared": partial(BELLPretrainer, shared_encoder=True),
    "untrained": partial(BELLPretrainer, max_epochs=0),
    "BYOL": BYOLPretrainer,
    "SimCLR": SimCLRPretrainer,
    "Barlow Twins": BarlowTwinsPretrainer,
    "LFBT": LFBTPretrainer,
    "CLOCS": CLOCSPretrainer,
    "hand-made": HandMade,
    "MiniRocket": minirocket,
}
MACHINE = machine()  # when the code was read, not when it has run
FIGURES = Path(__file__).parent / "label_efficiency"
MARKS = (  # what is to be better, and than what
    (("BELL", "linear"), ("BELL intra", "linear")),
    (("BELL", "linear"), ("BELL inter", "linear")),
    (("BELL", "finetune"), ("hand-made", "trees")),
    (("BELL", "finetune"), ("untrained", "finetune")),
    (("BELL", "vote"), ("hand-made", "trees")),
    (("BELL", "vote"), ("hand-made", "vote")),
    (("BELL", "vote"), ("MiniRocket", "linear")),
)
FEWEST_PATIENTS = 10  # with fewer, the table has no line
NOT_TRAINED = {"hand-made", "MiniRocket"}
PROTOCOLS = ("linear", "trees", "vote", "finetune")
RESULTS = 3  # one more when code changes what comes out: then old results do not count
FROM_SCRATCH = {"encoder_lr": 2e-3, "max_epochs": 30, "n_trees": 0}


class Task:
    """What is to be told from the records: an indicator, and which records are labelled."""

    def __init__(self, name, X, target, groups, fold):
        self.name, self.X, self.groups, self.fold = name, X, groups, fold
        self.y = np.where(target > 0, 1, 0)
        self.labelled = (target >= 0).all(axis=1)
        if name.startswith("ptbxl"):  # records without any statement of the task; in LUDB, healthy
            self.labelled &= self.y.any(axis=1)
        of_fold = [self.y[self.labelled & (fold != one)].sum(axis=0) for one in np.unique(fold)]
        self.classes = np.flatnonzero(np.min(of_fold, axis=0) >= 3)
        self.n_patients = min(len(np.unique(groups[fold != one])) for one in np.unique(fold))

    def fractions(self, asked):
        """Return those of the fractions that draw enough patients."""
        return [one for one in asked if round(one * self.n_patients) >= FEWEST_PATIENTS]


def load_tasks(options):
    """Return the tasks of PTB-XL, and those of LUDB, where they are asked for."""
    ptbxl, ludb = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecordWarning)
        for name in PTBXL_TASKS:
            if f"ptbxl-{name}" in options.tasks or not ptbxl:
                one = load_ptbxl(
                    options.data, task=name, leads=INDEPENDENT_LEADS, unlabelled=True,
                    folds=options.folds,
                )  # fmt: skip
                ptbxl.append(Task(f"ptbxl-{name}", one.data, one.target, one.groups, one.fold))
        for name in LUDB_TASKS:
            if f"ludb-{name}" in options.tasks:
                one = load_ludb(options.data, task=name, leads=INDEPENDENT_LEADS, sampling_rate=100)
                y = one.target
                y = label_binarize(y, classes=range(len(one.target_names))) if y.ndim == 1 else y
                part = np.zeros(len(y), dtype=int)
                splitter = GroupKFold(5, shuffle=True, random_state=0)
                for number, (_, rows) in enumerate(splitter.split(y, groups=one.groups)):
                    part[rows] = number
                ludb.append(Task(f"ludb-{name}", one.data, y, one.groups, part))
    return ptbxl, ludb


def make_method(name, seed, options):
    """Return what makes features, or is fine-tuned, of the seed of its pretraining."""
    if name in NOT_TRAINED:
        return METHODS[name]()
    method = METHODS[name](random_state=seed, device=options.device, precision=options.precision)
    if options.max_epochs is not None and method.max_epochs:
        method.set_params(max_epochs=options.max_epochs)
    return method


def fit(protocol, X, y, groups, seed, method, options):
    """Return a classifier fitted on features; or on records, for fine-tuning."""
    if protocol == "linear":
        return fit_linear(X, y, groups)
    if protocol != "finetune":
        return {"trees": trees, "vote": vote}[protocol](seed).fit(X, y)
    classifier = ECGClassifier(FrozenEstimator(method), random_state=seed, device=options.device)
    if not method.max_epochs:
        classifier.set_params(**FROM_SCRATCH)
    return classifier.fit(X, y)


def learn(task, part, inputs, protocol, fit, seed, fraction):
    """Return, for a fraction of the labels, scores of the held-out part and thresholds."""
    train = np.flatnonzero(task.labelled & (task.fold != part))
    test = np.flatnonzero(task.labelled & (task.fold == part))
    rows = draw_alike(train, fraction, task.y, task.groups, seed)
    others = np.setdiff1d(np.flatnonzero(task.fold != part), rows)

    def data(rows):
        y = task.y[rows][:, task.classes]
        if protocol != "finetune":
            return inputs[rows], y
        unknown = np.full((len(others), len(task.classes)), -1)
        return inputs[np.concatenate([rows, others])], np.concatenate([y, unknown])

    model = fit(*data(rows), groups=task.groups[rows])
    scores = scores_of(model, inputs[test])
    splits = list(GroupKFold(3).split(rows, groups=task.groups[rows]))
    inner = [
        (rows[there], scores_of(clone(model).fit(*data(rows[here])), inputs[rows[there]]))
        for here, there in (splits[:1] if protocol == "finetune" else splits)
    ]
    there, found = (np.concatenate(both) for both in zip(*inner, strict=True))
    return scores, best_thresholds(task.y[there][:, task.classes], found)


def file_of(name, seed, part, options):
    """Return where the scores of a method are kept, and what depends on its settings."""
    params = {} if name in NOT_TRAINED else params_of(make_method(name, None, options))
    key = settings_key(name, str((params, options.ptbxl.X.shape, [*options.folds])))
    file = f"{name.replace(' ', '_')}-{key}-{seed % options.pretrainings}-{seed}-{part}.joblib"
    return options.out / f"label_efficiency-{RESULTS}" / file


def kind(protocol):
    """Return the name of a protocol with that of its settings, where it has any."""
    if protocol != "finetune":
        return protocol
    return f"finetune-{settings_key(str(ECGClassifier().get_params()), FROM_SCRATCH)}"


def learn_features(name, seed, part, options):
    """Return the method, fitted without the held-out part or as it is kept, and what that cost."""
    source, seed = options.ptbxl, seed % options.pretrainings
    train = np.ones(len(source.X), bool) if part == "all" else source.fold != part
    method = make_method(name, seed, options)
    path = file_of(name, seed, part, options).with_suffix(".pt")
    if path.exists():
        kept = torch.load(path, map_location="cpu", weights_only=True)
        method.set_params(max_epochs=0).fit(source.X[train][:2])
        method.encoder_.load_state_dict(kept["encoder"])
        return method.set_params(max_epochs=kept["cost"]["epochs"]), kept["cost"]
    start = time.perf_counter()
    if isinstance(method, CLOCSPretrainer):
        method.fit(source.X[train], groups=source.groups[train])
    else:
        method.fit(source.X[train])
    cost = {
        "epochs": len(getattr(method, "history_", [])),
        "seconds": time.perf_counter() - start,
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "machine": MACHINE,
    }
    if name not in NOT_TRAINED:
        weights = {"encoder": method.encoder_.state_dict(), "cost": cost}
        keep(lambda file: torch.save(weights, file), path)
    return method, cost


def keep(save, path):
    """Save to a file that is whole or not there."""
    unfinished = path.with_suffix(".unfinished")
    save(unfinished)
    unfinished.replace(path)


def run_one(name, seed, part, tasks, options):
    """Pretrain without the held-out part, learn every task, and keep the scores."""
    path = file_of(name, seed, part, options)
    done = joblib.load(path) if path.exists() else {"scores": {}}
    wanted = [
        (task, protocol, fraction)
        for task in tasks
        for protocol in options.protocols
        for fraction in task.fractions(options.fractions)
        if not (protocol == "finetune" and name in NOT_TRAINED)
        and (task.name, kind(protocol), fraction) not in done["scores"]
    ]
    if not wanted:
        return
    if options.jobs > 1:
        torch.set_num_threads(1)
    # with few labels all, or none, may have some class
    warnings.filterwarnings("ignore", message="Label not .* is present in all training examples")
    method, cost = learn_features(name, seed, part, options)
    done.update(cost)
    features = {}
    for task, protocol, fraction in wanted:
        if id(task.X) not in features:
            features[id(task.X)] = np.asarray(method.transform(task.X))
        inputs = task.X if protocol == "finetune" else features[id(task.X)]
        this = partial(fit, protocol, seed=seed, method=method, options=options)
        done["scores"][task.name, kind(protocol), fraction] = {
            one: learn(task, one, inputs, protocol, this, seed, fraction)
            for one in (np.unique(task.fold) if part == "all" else [part])
        }
        keep(partial(joblib.dump, done), path)
    print(f"{path.stem}: {cost['seconds']:.0f} s of pretraining", flush=True)


def figures_file(name, seed, options):
    """Return where the figures of a seed are kept."""
    path = file_of(name, seed, "figures", options)
    return options.figures / f"{RESULTS}-{path.with_suffix('.npz').name}"


def load_figures(name, seed, options):
    """Return what is kept of a seed: by name, a figure and those of the draws, or a cost."""
    path = figures_file(name, seed, options)
    if not path.exists():
        return {}
    with np.load(path) as kept:
        return {key: kept[key] for key in kept.files}


def figure_keys(name, tasks, options):
    """Yield task, protocol and fraction of all figures of a method, and the name they go by."""
    for task in tasks:
        for protocol in options.protocols:
            if protocol == "finetune" and name in NOT_TRAINED:
                continue
            for fraction in task.fractions(options.fractions):
                yield task, protocol, fraction, f"{task.name}/{kind(protocol)}/{fraction:g}"


def gather(name, seed, task, protocol, fraction, options):
    """Return the scores of all parts, and whether they are above the thresholds."""
    scores, above = (np.full((len(task.y), len(task.classes)), np.nan) for _ in range(2))
    for part in np.unique(options.ptbxl.fold) if task.name.startswith("ptbxl") else ["all"]:
        path = file_of(name, seed, part, options)
        found = joblib.load(path)["scores"][task.name, kind(protocol), fraction]
        for one, (of_part, thresholds) in found.items():
            rows = task.labelled & (task.fold == one)
            scores[rows], above[rows] = of_part, of_part >= thresholds
    return scores[task.labelled], above[task.labelled]


def keep_figures(name, seed, tasks, parts, options):
    """Keep the figures of a seed, of which all parts are done, beside those kept before."""
    figures = load_figures(name, seed, options)
    for task, protocol, fraction, key in figure_keys(name, tasks, options):
        if f"{key}/auroc" in figures:
            continue
        y, groups = task.y[task.labelled][:, task.classes], task.groups[task.labelled]
        scores = gather(name, seed, task, protocol, fraction, options)
        for metric, (value, samples) in metrics_by_bootstrap(y, [scores], groups).items():
            figures[f"{key}/{metric}"] = np.float64(value)
            figures[f"{key}/{metric}/draws"] = (samples - value).astype(np.float16)
    runs = [joblib.load(file_of(name, seed, part, options)) for part in parts]
    figures["epochs"] = np.int64(runs[0]["epochs"])
    figures["seconds"] = np.mean([run["seconds"] for run in runs])
    figures["megabytes"] = np.max([run["megabytes"] for run in runs])
    figures["machine"] = np.array(runs[0]["machine"])
    options.figures.mkdir(parents=True, exist_ok=True)
    path = figures_file(name, seed, options)
    with open(unfinished := path.with_suffix(".unfinished"), "wb") as file:
        np.savez_compressed(file, **figures)
    unfinished.replace(path)


def tabulate(tasks, options):
    """Return one line for each task, protocol, method, fraction and metric: means over seeds."""
    kept = {
        name: {seed: load_figures(name, seed, options) for seed in options.seeds}
        for name in {*options.methods, "BELL"}
    }
    lines = []
    for name in options.methods:
        for task, protocol, fraction, key in figure_keys(name, tasks, options):
            for metric in ("auroc", "auprc", "f1"):
                seeds = [seed for seed in options.seeds if f"{key}/{metric}" in kept[name][seed]]
                if not seeds:
                    continue
                line = {"task": task.name, "protocol": protocol, "fraction": fraction}
                line.update(method=name, metric=metric, seeds=len(seeds))
                line["value"], samples = mean_figure(kept[name], seeds, f"{key}/{metric}")
                line["low"], line["high"] = np.quantile(samples, (0.025, 0.975))
                both = [seed for seed in seeds if f"{key}/{metric}" in kept["BELL"][seed]]
                if both:  # the same seeds, so that the draws of labels are the same
                    value, samples = mean_figure(kept[name], both, f"{key}/{metric}")
                    best, of_best = mean_figure(kept["BELL"], both, f"{key}/{metric}")
                    line["minus_bell"] = value - best
                    ends = np.quantile(samples - of_best, (0.025, 0.975))
                    line["minus_bell_low"], line["minus_bell_high"] = ends
                lines.append(line)
    return pd.DataFrame(lines)


def compare(options):
    """Print the differences that are promised, of macro AUROC, and return those that are missed."""
    missed = []
    for fraction in (0.1, 1.0):
        for pair in MARKS:
            names = [f"ptbxl-superdiagnostic/{kind(one)}/{fraction:g}/auroc" for _, one in pair]
            kept = [
                {seed: load_figures(method, seed, options) for seed in options.seeds}
                for method, _ in pair
            ]
            seeds = [
                seed
                for seed in options.seeds
                if all(name in of[seed] for name, of in zip(names, kept, strict=True))
            ]
            if not seeds:
                continue
            (value, samples), (less, of_less) = (
                mean_figure(of, seeds, name) for name, of in zip(names, kept, strict=True)
            )
            low, high = 100 * np.quantile(samples - of_less, (0.025, 0.975))
            what = " - ".join(" ".join(one) for one in pair) + f", {fraction:.0%} of labels"
            found = f"{100 * (value - less):+.1f} points ({low:+.1f} to {high:+.1f})"
            print(f"{what}: {found}, {len(seeds)} seed(s)")
            if low <= 0:
                missed.append(what)
    return missed


def mean_figure(kept, seeds, key):
    """Return a figure and those of the bootstrap draws, averaged over seeds."""
    values = np.array([kept[seed][key] for seed in seeds])
    draws = np.array([kept[seed][f"{key}/draws"] for seed in seeds], dtype=float)
    return values.mean(), (values[:, None] + draws).mean(axis=0)


def costs(options):
    """Return what `fit` took, on average, and the most memory that its process ever had."""
    lines = []
    for name in options.methods:
        seeds = [load_figures(name, seed, options) for seed in options.seeds]
        seeds = [kept for kept in seeds if kept]
        if not seeds:
            continue
        epochs, seconds = int(seeds[0]["epochs"]), np.mean([kept["seconds"] for kept in seeds])
        line = {"method": name, "epochs": epochs, "seconds": seconds}
        line["seconds_per_epoch"] = seconds / epochs if epochs else np.nan
        line["peak_megabytes"] = np.max([kept["megabytes"] for kept in seeds])
        lines.append({**line, "machine": str(seeds[0]["machine"])})
    return pd.DataFrame(lines)


def draw(table, path):
    """Draw macro AUROC against the fraction of labels, one panel for each task and protocol."""
    table = table[table.metric == "auroc"]
    panels = list(table.groupby(["task", "protocol"], sort=False))
    figure, axes = plt.subplots(
        1, len(panels), figsize=(2 + 3 * len(panels), 4), squeeze=False, sharey=True,
        layout="constrained",
    )  # fmt: skip
    colours = dict(zip(METHODS, plt.get_cmap("tab20").colors, strict=False))
    drawn = {}
    for ax, (title, panel) in zip(axes[0], panels, strict=True):
        for name, curve in panel.groupby("method", sort=False):
            error = [curve.value - curve.low, curve.high - curve.value]
            drawn[name] = ax.errorbar(
                curve.fraction, curve.value, error, marker="o", capsize=2, color=colours[name]
            )
        ax.set(xscale="log", xlabel="labels", title="\n".join(title))
        ax.set_xticks(fractions := sorted(table.fraction.unique()), [])
        ax.set_xticklabels([f"{one:.0%}" for one in fractions])
        ax.minorticks_off()
    axes[0, 0].set_ylabel("macro AUROC, 95 % intervals")
    figure.legend(drawn.values(), drawn, loc="outside right upper")
    figure.savefig(path, dpi=100)


def read_options():
    """Read the command line."""
    every = [f"ptbxl-{name}" for name in PTBXL_TASKS] + [f"ludb-{name}" for name in LUDB_TASKS]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", metavar="DIR", default=None)
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--figures", metavar="DIR", type=Path, default=FIGURES)
    parser.add_argument("--tasks", nargs="+", choices=every, default=every[:1])
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
    parser.add_argument(
        "--only-table", action="store_true", help="of the figures kept; run nothing"
    )
    options = parser.parse_args()
    options.pretrainings = options.pretrainings or max(options.seeds) + 1
    return options


def main():
    """Run what is missing, print the table, and return which promises are missed."""
    options = read_options()
    ptbxl, ludb = load_tasks(options)
    options.ptbxl = ptbxl[0]
    ptbxl = [task for task in ptbxl if task.name in options.tasks]
    (options.out / f"label_efficiency-{RESULTS}").mkdir(parents=True, exist_ok=True)

    tasks = ptbxl + ludb
    parts = dict.fromkeys(np.unique(options.ptbxl.fold), ptbxl) | {"all": ludb}
    parts = {part: of_part for part, of_part in parts.items() if of_part}
    todo = [
        (name, seed)
        for seed in options.seeds
        for name in options.methods
        if not options.only_table
        and not {f"{key}/auroc" for *_, key in figure_keys(name, tasks, options)}
        <= set(load_figures(name, seed, options))
    ]
    for name, seed in todo:
        joblib.Parallel(options.jobs)(
            joblib.delayed(run_one)(name, seed, part, of_part, options)
            for part, of_part in parts.items()
        )
        get_reusable_executor().shutdown()  # new processes: their peak memory is of one method
        keep_figures(name, seed, tasks, parts, options)

    print(f"\n{MACHINE}; seeds {tuple(options.seeds)}")
    table = tabulate(tasks, options)
    table.to_csv(options.figures / "label_efficiency.csv", index=False, float_format="%.4f")
    draw(table, options.figures / "label_efficiency.png")
    with pd.option_context("display.width", 200, "display.max_rows", None):
        print(table.round(3).to_string(index=False))
        print(costs(options).round(1).to_string(index=False))
    return compare(options)


if __name__ == "__main__":
    missed = main()
    sys.exit("not better, or not surely: " + "; ".join(missed) if missed else 0)
