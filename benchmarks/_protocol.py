"""Protocol of the comparisons: tasks, draws of labels, and figures that later runs add to.

A task has records, several classes per record, and splits: rows whose labels may be drawn, and rows
to predict. Every row of a table uses the same draws of labels. Figures are macro AUROCs of the
predicted records, averaged over draws. Bootstrap 95 % intervals resample draws and patients
together; differences are paired: same draws, same bootstrap samples.
"""

import argparse
import json
import sys
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from inspect import signature
from pathlib import Path

import numpy as np
from _common import (
    N_BOOTSTRAPS,
    auroc_by_repetition,
    cache_array,
    describe_machine,
    draw_stratified,
    format_difference,
    format_interval,
    load_ludb_indicator,
    predict_scores,
    settings_key,
    source_key,
    split_parts,
    write_whole,
)

from sklearn_bell.datasets import load_ptbxl
from sklearn_bell.exceptions import RecordWarning

N_RECORDS = 17_418  # folds 1-8 of PTB-XL 1.0.3
FIGURES = Path(__file__).parent / "figures"
PTBXL_TASKS = ("superdiagnostic", "subdiagnostic", "form", "rhythm")
TASKS = (*PTBXL_TASKS, "ludb")
FEWEST = 20, 5  # records of a class to draw labels from, and to predict
# share of the labels, or their number: number of draws
SUPERCLASS_DRAWS = {20: 20, 150: 10, 1495: 3, "all": 1}
OTHER_DRAWS = {"10 %": 3, "all": 1}
LUDB_DRAWS = {"10 %": 10, "all": 1}


@dataclass
class Task:
    """Records ``X``, an indicator ``y``, patients, and what may be seen of them."""

    name: str
    X: np.ndarray
    y: np.ndarray
    groups: np.ndarray
    pretraining: np.ndarray  # mask of the records that methods may see without labels
    splits: list[tuple[np.ndarray, np.ndarray]]
    draws: dict[int | str, int]

    def __post_init__(self):
        counts = [[self.y[rows].sum(axis=0) for rows in split] for split in self.splits]
        of_train, of_test = np.min(counts, axis=0)
        enough = FEWEST if self.name != "ludb" else (8, 1)
        self.y = self.y[:, (of_train >= enough[0]) & (of_test >= enough[1])]
        self.tested = np.sort(np.concatenate([test for _, test in self.splits]))

    def draw(self, train, size, seed):
        """Return a stratified draw of the rows: a number of them, 10 %, or all."""
        if size == "all":
            return train
        fraction = 0.1 if size == "10 %" else size / len(train)
        return draw_stratified(train, fraction, self.y, np.arange(len(self.y)), seed)


def load_task(name, path):
    """Return a task: complete folds 1-8 of PTB-XL at 100 Hz, or LUDB in five parts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecordWarning)
        if name == "ludb":
            return _load_ludb(path)
        data = load_ptbxl(path, task=name, folds=range(1, 9), unlabelled=True)
    if len(data.data) != N_RECORDS:
        raise SystemExit(
            f"Expected {N_RECORDS} records of folds 1-8, got {len(data.data)}. Unpack complete "
            "PTB-XL with `make data`, then pass --data data."
        )
    labelled = data.target.any(axis=1)
    split = tuple(np.flatnonzero(labelled & rows) for rows in (data.fold <= 7, data.fold == 8))
    draws = SUPERCLASS_DRAWS if name == "superdiagnostic" else OTHER_DRAWS
    return Task(name, data.data, data.target, data.groups, data.fold <= 7, [split], draws)


def _load_ludb(path):
    X, y, _, groups = load_ludb_indicator(path)
    parts, rows = split_parts(groups), np.arange(len(y))
    splits = [(rows[parts != part], rows[parts == part]) for part in range(5)]
    return Task("ludb", X, y, groups, np.zeros(len(y), bool), splits, LUDB_DRAWS)


class Probe:
    """A row: a classifier on features, which are computed once for all records of a task."""

    def __init__(self, features, make_classifier):
        self.features, self.make_classifier = features, make_classifier

    def key(self, seed):
        """Return the settings, for the cache."""
        return self.features.name, str(self.make_classifier(seed))

    def predict(self, task, drawn, test, seed, options):
        """Return the scores of the test rows."""
        X = self.features.compute(task, options)
        classifier = self.make_classifier(seed)
        with warnings.catch_warnings():  # few labels: a class may be in no record, or in all
            warnings.filterwarnings("ignore", message="Label .* is present in all training")
            warnings.filterwarnings("ignore", message="Label not .* is present in all training")
            return predict_scores(classifier.fit(X[drawn], task.y[drawn]), X[test])


class Features:
    """Features of a name, by a transformer that is fitted without labels unless it is ready."""

    def __init__(self, name, make_transformer, leads=None, is_fitted=False):
        self.name, self.make_transformer = name, make_transformer
        self.leads, self.is_fitted = leads, is_fitted

    def compute(self, task, options):
        """Return the features of all records, cached."""
        leads = slice(None) if self.leads is None else list(self.leads)

        def fit_and_transform():
            transformer, X = self.make_transformer(), task.X[:, leads]
            if not self.is_fitted:
                seen = task.pretraining if task.pretraining.any() else slice(None)
                takes_groups = "groups" in signature(transformer.fit).parameters
                params = {"groups": task.groups[seen]} if takes_groups else {}
                transformer.fit(X[seen], **params)
            return np.asarray(transformer.transform(X), np.float32)

        source = "ludb" if task.name == "ludb" else "ptbxl"
        key = settings_key(self.name, str(self.make_transformer()), options.key)
        return cache_array(options.out / f"features-{source}-{key}.npy", fit_and_transform)


class Average:
    """A row: the mean of the scores of other rows."""

    def __init__(self, *rows):
        self.rows = rows

    def key(self, seed):
        """Return the settings, for the cache."""
        return [row.key(seed) for row in self.rows]

    def predict(self, *args):
        """Return the scores of the test rows."""
        return np.mean([row.predict(*args) for row in self.rows], axis=0)


class Classifier:
    """A row: a classifier of records."""

    def __init__(self, make_classifier, with_unlabelled=False):
        self.make_classifier, self.with_unlabelled = make_classifier, with_unlabelled

    def key(self, seed):
        """Return the settings, for the cache."""
        return self.with_unlabelled, str(self.make_classifier(seed).get_params())

    def predict(self, task, drawn, test, seed, options):
        """Return the scores of the test rows."""
        rows = drawn
        if self.with_unlabelled:
            rows = np.concatenate([drawn, np.setdiff1d(np.flatnonzero(task.pretraining), drawn)])
        y = task.y[rows]
        y[len(drawn) :] = -1
        classifier = self.make_classifier(seed).fit(task.X[rows], y)
        return predict_scores(classifier, task.X[test])


def predict(name, row, size, seed, task, options):
    """Return the scores of all predicted records, cached for each draw and split."""
    scores = np.full(task.y.shape, np.nan)
    for number, (train, test) in enumerate(task.splits):
        key = settings_key(name, task.name, row.key(seed), options.key)
        path = options.out / f"scores-{task.name}-{size}-{seed}-{number}-{key}.npy"
        drawn = task.draw(train, size, seed)
        scores[test] = cache_array(path, partial(row.predict, task, drawn, test, seed, options))
    return scores[task.tested]


def bootstrap_auroc(y, scores, groups):
    """Return macro AUROC: by draw, and means of bootstrap samples of draws and patients.

    Parameters
    ----------
    y : ndarray of shape (n_records, n_classes)
    scores : ndarray of shape (n_draws, n_records, n_classes)
    groups : ndarray of shape (n_records,)

    Returns
    -------
    by_draw : ndarray of shape (n_draws,)
    samples : ndarray of shape (N_BOOTSTRAPS,)
        The same samples for every row of a number of draws.
    """
    values = auroc_by_repetition(y, scores, groups)
    n_draws = len(scores)
    chosen = np.random.default_rng(0).integers(n_draws, size=(N_BOOTSTRAPS, n_draws))
    return values[0], np.take_along_axis(values[1:], chosen, axis=1).mean(axis=1)


def measure(rows, task, path, options):
    """Measure rows, and add each figure to the file of figures once it is known."""
    figures = read_figures(path)
    y, groups = task.y[task.tested], task.groups[task.tested]
    for name, row in rows.items():
        for size in options.sizes or task.draws:
            scores = np.array(
                [predict(name, row, size, k, task, options) for k in range(task.draws[size])]
            )
            by_draw, samples = bootstrap_auroc(y, scores, groups)
            figures.setdefault(name, {})[str(size)] = {
                "auroc": round(by_draw.mean(), 5),
                "by_draw": by_draw.round(5).tolist(),
                "samples": samples.round(5).tolist(),
                "run": f"{datetime.now(UTC):%Y-%m-%d}, {options.machine}",
            }
            write_figures(figures, path)
            print(f"{task.name}, {name}, {size} labels: {by_draw.mean():.4f}", flush=True)


def read_figures(path):
    """Return the figures measured so far, by row and labels."""
    return json.loads(path.read_text()) if path.exists() else {}


def write_figures(figures, path):
    """Write the figures, one line for each row and labels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = []
    for row, cells in figures.items():
        lines = ",\n".join(f"  {json.dumps(n)}: {json.dumps(cell)}" for n, cell in cells.items())
        rows.append(f"{json.dumps(row)}: {{\n{lines}\n}}")
    text = "{\n" + ",\n".join(rows) + "\n}\n"
    write_whole(lambda unfinished: unfinished.write_text(text), path)


def compare(first, second):
    """Return the difference of two figures and of their bootstrap samples."""
    samples = np.array(first["samples"]) - np.array(second["samples"])
    return first["auroc"] - second["auroc"], samples


def print_tables(figures, names, baseline):
    """Print the figures of rows, and their differences to the baseline, as Markdown."""
    figures = {name: figures[name] for name in names if name in figures}
    columns = list(dict.fromkeys(size for cells in figures.values() for size in cells))
    heads = " | ".join(f"{n} of labels" if "%" in n else f"{n} labels" for n in columns)
    rule = "|---" * (1 + len(columns)) + "|"

    def print_table(title, of_cell, rows):
        print(f"\n| {title} | {heads} |\n{rule}")
        for row in rows:
            texts = [of_cell(row, n) if n in figures[row] else "" for n in columns]
            print(f"| {row} | {' | '.join(texts)} |")

    def difference(row, n):
        cells = figures[baseline]
        return format_difference(*compare(figures[row][n], cells[n])) if n in cells else ""

    print_table(
        "features, classifier",
        lambda row, n: format_interval(figures[row][n]["auroc"], figures[row][n]["samples"]),
        figures,
    )
    if baseline in figures:
        rows = [row for row in figures if row != baseline]
        print_table(f"difference to {baseline}, in points", difference, rows)
    print()
    for run in dict.fromkeys(cell["run"] for cells in figures.values() for cell in cells.values()):
        print(run)


def missed_marks(figures, marks):
    """Return the marks (better, worse, labels) whose difference is not above zero."""
    missed = []
    for better, worse, sizes in marks:
        first, second = figures.get(better, {}), figures.get(worse, {})
        for n in map(str, sizes):
            if n in first and n in second:
                value, samples = compare(first[n], second[n])
                if np.quantile(samples, 0.025) <= 0:
                    missed.append(f"{better} - {worse}, {n}: {format_difference(value, samples)}")
    return missed


def run(doc, rows, baseline, marks, file="{}", tasks=TASKS, on_request=()):
    """Measure the rows, print the tables, and exit with an error if a mark is missed.

    Rows `on_request` run only when they are named. ``file`` names the file of figures of a task.
    """
    options = read_options(doc, rows, baseline, on_request, tasks)
    path = options.figures / f"{file.format(options.task)}.json"
    if not options.only_table:
        chosen = {name: rows[name] for name in options.rows}
        measure(chosen, load_task(options.task, options.data), path, options)
    figures = read_figures(path)
    print_tables(figures, rows, options.baseline)
    missed = missed_marks(figures, marks)
    sys.exit("not above zero: " + "; ".join(missed) if missed else 0)


def read_options(doc, rows, baseline, on_request, tasks):
    """Read the command line of a comparison."""
    usual = [name for name in rows if name not in on_request]
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--data", metavar="DIR", default=None)
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--figures", metavar="DIR", type=Path, default=FIGURES)
    parser.add_argument("--rows", nargs="+", choices=rows, default=usual, metavar="NAME")
    parser.add_argument("--task", choices=tasks, default=tasks[0])
    parser.add_argument("--sizes", nargs="+", type=read_size, metavar="N")
    parser.add_argument("--baseline", choices=rows, default=baseline, metavar="NAME")
    parser.add_argument("--only-table", action="store_true", help="compute nothing")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    options.machine, options.key = describe_machine(), source_key()
    return options


def read_size(text):
    """Return a number of labels, or a share as text."""
    return int(text) if text.isdigit() else text
