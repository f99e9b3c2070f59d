"""Measure the shipped weights and hand-made features on complete PTB-XL with few labels.

    python benchmarks/bench_fold8.py --data DIR [--rows NAME ...] [--only-table]

``DIR`` is the folder made by ``make data``, or that of PTB-XL; folds 1-8 must be complete. Twelve
leads at 100 Hz, 10 s; five superclasses, multi-label. Classifiers learn from labels of folds 1-7
and predict fold 8. Each of ``DRAWS`` gives a number of labelled records and of random draws of
them. A draw is stratified: of 50 random draws, the one whose class frequencies are nearest to
those of all records, with every class present. Every row uses the same draws.

Figures are macro AUROCs on fold 8, averaged over draws. Bootstrap 95 % intervals resample draws
and patients together. Differences to extra trees on hand-made features are paired: same draws, same
bootstrap samples.

**Two warnings.** The shipped weights have seen 315 records of fold 8, without labels. Fold 8 is
easier than fold 10: never set a figure of this script beside a published figure for fold 10.

Features and scores are cached in ``--out``, by the source and weights of the package. Figures are
added to ``--figures``, with the values of all bootstrap samples, so that a later run can add a row
and compare it. ``--only-table`` prints the stored figures and computes nothing. The script
exits with an error where a difference of ``MARKS`` is not above zero by its interval.
"""

import argparse
import hashlib
import json
import sys
from datetime import UTC, datetime
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
    linear_probe,
    predict_scores,
    settings_key,
    trees,
    write_whole,
)

import sklearn_bell
from sklearn_bell import BELLPretrainer, ECGFeatures
from sklearn_bell.datasets import load_ptbxl

N_RECORDS = 17_418  # folds 1-8 of PTB-XL 1.0.3
DRAWS = {20: 20, 150: 10, 1495: 3, None: 1}  # number of labelled records (None: all): of draws
FIGURES = Path(__file__).parent / "fold8" / "figures.json"

FEATURES = {
    "shipped": BELLPretrainer.from_pretrained,
    "untrained": lambda: BELLPretrainer(max_epochs=0, random_state=0),
    "hand-made": ECGFeatures,
}
BASELINE = "hand-made features, 300 extra trees"
AVERAGE = "shipped weights, linear, and hand-made features, 300 extra trees: average"
ROWS = {  # name: pairs of features and classifier, whose probabilities are averaged
    "shipped weights, linear": [("shipped", linear_probe)],
    "untrained encoder, linear": [("untrained", linear_probe)],
    BASELINE: [("hand-made", trees)],
    "hand-made features, linear": [("hand-made", linear_probe)],
    AVERAGE: [
        ("shipped", linear_probe),
        ("hand-made", trees),
    ],
}
MARKS = (  # rows of which the first is better than the second, for these numbers of labels
    ("shipped weights, linear", "untrained encoder, linear", ("20", "150", "1495", "all")),
    (AVERAGE, BASELINE, ("150", "1495", "all")),
)


def source_key():
    """Return a digest of the package: its source and its weights."""
    package = Path(sklearn_bell.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*")):
        if path.suffix in (".py", ".safetensors"):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def compute_features(name, ptbxl, options):
    """Return features of all records, fitted on folds 1-7 (shipped weights: not fitted)."""
    transformer = FEATURES[name]()
    if name != "shipped":
        transformer.fit(ptbxl.data[ptbxl.fold <= 7])
    return cache_array(
        options.out / f"fold8-{name}-{options.key}.npy",
        lambda: np.asarray(transformer.transform(ptbxl.data), np.float32),
    )


def draw_rows(rows, n_labelled, draw, y):
    """Return a stratified draw of labelled records, or all of them."""
    if n_labelled is None:
        return rows
    return draw_stratified(rows, n_labelled / len(rows), y, np.arange(len(y)), seed=draw)


def predict(row, n_labelled, draw, features, ptbxl, options):
    """Return the probabilities of the labelled records of fold 8 (n_records, n_classes)."""
    y, labelled = ptbxl.target, ptbxl.target.any(axis=1)
    train = draw_rows(np.flatnonzero(labelled & (ptbxl.fold <= 7)), n_labelled, draw, y)
    test = labelled & (ptbxl.fold == 8)
    scores = []
    for name, make_classifier in ROWS[row]:
        classifier = make_classifier(draw)
        key = settings_key(name, str(classifier), options.key)
        X = features[name]

        def fit_and_predict(classifier=classifier, X=X):
            return predict_scores(classifier.fit(X[train], y[train]), X[test])

        path = options.out / f"fold8-scores-{n_labelled}-{draw}-{key}.npy"
        scores.append(cache_array(path, fit_and_predict))
    return np.mean(scores, axis=0)


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


def measure(ptbxl, options):
    """Measure the rows, and add each figure to the file of figures once it is known."""
    figures = read_figures(options.figures)
    for title, rows in (("trained on", ptbxl.fold <= 7), ("tested on", ptbxl.fold == 8)):
        rows = rows & ptbxl.target.any(axis=1)
        n_patients = len(np.unique(ptbxl.groups[rows]))
        print(f"{title} {rows.sum()} labelled records of {n_patients} patients")
    names = {name for row in options.rows for name, _ in ROWS[row]}
    features = {name: compute_features(name, ptbxl, options) for name in sorted(names)}
    test = ptbxl.target.any(axis=1) & (ptbxl.fold == 8)
    y, groups = ptbxl.target[test], ptbxl.groups[test]
    for row in options.rows:
        for n_labelled, n_draws in DRAWS.items():
            scores = np.array(
                [predict(row, n_labelled, k, features, ptbxl, options) for k in range(n_draws)]
            )
            by_draw, samples = bootstrap_auroc(y, scores, groups)
            figures.setdefault(row, {})[str(n_labelled or "all")] = {
                "auroc": round(by_draw.mean(), 5),
                "by_draw": by_draw.round(5).tolist(),
                "samples": samples.round(5).tolist(),
                "run": f"{datetime.now(UTC):%Y-%m-%d}, {options.machine}",
            }
            write_figures(figures, options.figures)


def read_figures(path):
    """Return the figures measured so far, by row and number of labelled records."""
    return json.loads(path.read_text()) if path.exists() else {}


def write_figures(figures, path):
    """Write the figures, one line for each row and number of labelled records."""
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


def print_tables(figures):
    """Print the figures, and their differences to the baseline, as Markdown."""
    columns = [str(n_labelled or "all") for n_labelled in DRAWS]
    heads = " | ".join(f"{n} labels" for n in columns)
    rule = "|---" * (1 + len(columns)) + "|"
    print(f"| features, classifier | {heads} |\n{rule}")
    for row, cells in figures.items():
        texts = [
            format_interval(cells[n]["auroc"], cells[n]["samples"]) if n in cells else ""
            for n in columns
        ]
        print(f"| {row} | {' | '.join(texts)} |")
    print(f"\n| difference to {BASELINE}, in points | {heads} |\n{rule}")
    baseline = figures.get(BASELINE, {})
    for row, cells in figures.items():
        texts = [
            format_difference(*compare(cells[n], baseline[n]))
            if n in cells.keys() & baseline
            else ""
            for n in columns
        ]
        if row != BASELINE:
            print(f"| {row} | {' | '.join(texts)} |")
    print()
    for run in dict.fromkeys(cell["run"] for cells in figures.values() for cell in cells.values()):
        print(run)


def missed_marks(figures):
    """Return the differences of MARKS that are not above zero by their intervals."""
    missed = []
    for better, worse, counts in MARKS:
        first, second = figures.get(better, {}), figures.get(worse, {})
        for n in first.keys() & second.keys() & set(counts):
            value, samples = compare(first[n], second[n])
            if np.quantile(samples, 0.025) <= 0:
                missed.append(f"{better} - {worse}, {n}: {format_difference(value, samples)}")
    return missed


def read_options():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", metavar="DIR", default=None)
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--figures", metavar="FILE", type=Path, default=FIGURES)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), metavar="NAME")
    parser.add_argument("--only-table", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    options.machine, options.key = describe_machine(), settings_key(source_key())
    return options


def main():
    """Measure what is missing, print the tables, and return the missed marks."""
    options = read_options()
    if not options.only_table:
        ptbxl = load_ptbxl(options.data, folds=range(1, 9), unlabelled=True)
        if len(ptbxl.data) != N_RECORDS:
            raise SystemExit(
                f"Expected {N_RECORDS} records of folds 1-8, got {len(ptbxl.data)}. Unpack "
                "complete PTB-XL with `make data`, then pass --data data."
            )
        measure(ptbxl, options)
    figures = read_figures(options.figures)
    print_tables(figures)
    return missed_marks(figures)


if __name__ == "__main__":
    missed = main()
    sys.exit("not above zero: " + "; ".join(missed) if missed else 0)
