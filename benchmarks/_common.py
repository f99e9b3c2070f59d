"""Parts shared by the benchmarks: records, draws of labels, intervals, the machine."""

import hashlib
import json
import os
import platform
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import sklearn
import torch
from sklearn.decomposition import PCA
from sklearn.ensemble import ExtraTreesClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import precision_recall_curve, roc_auc_score
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sklearn_bell
from sklearn_bell.datasets import load_ludb, load_ptbxl
from sklearn_bell.evaluation._bootstrap import bootstrap, ranking, rates
from sklearn_bell.exceptions import RecordWarning

N_BOOTSTRAPS = 500
LUDB_TASKS = ("rhythm", "axis", "hypertrophy", "conduction")


def describe_machine():
    """Return the processor, the versions that matter, and the commit."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    commit = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return (
        f"{os.cpu_count()} cores {platform.machine()} ({torch.backends.cpu.get_cpu_capability()}), "
        f"{gpu}, Python {platform.python_version()}, torch {torch.__version__}, scikit-learn "
        f"{sklearn.__version__}, commit {commit or 'unknown'}"
    )


def add_records_option(parser, default):
    """Add ``--records N``, the size of the subset of PTB-XL, to a command line."""
    parser.add_argument(
        "--records", metavar="N", type=int, default=default,
        help=f"records of PTB-XL to use, of whole patients drawn at random (default {default}; "
        "0 uses all)",
    )  # fmt: skip


def load_ptbxl_subset(path, n_records, folds=range(1, 9), **params):
    """Load PTB-XL, unlabelled records included; of a random subset of patients, or 0 for all.

    The subset has at most `n_records` records and is always the same.
    """
    ptbxl = load_ptbxl(path, folds=folds, unlabelled=True, **params)
    rows = draw_subset(ptbxl.groups, n_records)
    for name in ("data", "target", "groups", "fold"):
        ptbxl[name] = ptbxl[name][rows]
    return ptbxl


def load_ludb_indicator(path, leads=None):
    """Return LUDB at 100 Hz: records, indicator of the classes of its tasks, names, patients."""
    settings = {"leads": leads, "sampling_rate": 100}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecordWarning)  # a task may leave records out
        tasks = [load_ludb(path, task=task, **settings) for task in LUDB_TASKS]
    largest = max(tasks, key=lambda data: len(data.data))
    rows = {name: row for row, name in enumerate(largest.record_names)}
    y, names = [], []
    for task, data in zip(LUDB_TASKS, tasks, strict=True):
        y.append(np.zeros((len(rows), len(data.target_names)), int))
        target = data.target
        if target.ndim == 1:
            target = target[:, None] == np.arange(len(data.target_names))
        y[-1][[rows[name] for name in data.record_names]] = target
        names += [f"{task}: {name}" for name in data.target_names]
    return largest.data, np.concatenate(y, axis=1), np.array(names), largest.groups


def split_parts(groups, first=0):
    """Return one of five parts for each record, by patients, counted from `first`."""
    parts = np.zeros(len(groups), dtype=int)
    splitter = GroupKFold(5, shuffle=True, random_state=0)
    for number, (_, rows) in enumerate(splitter.split(groups, groups=groups), first):
        parts[rows] = number
    return parts


def draw_subset(groups, n_records):
    """Return the rows of random patients, of at most `n_records` records; 0 returns all rows."""
    _, codes, counts = np.unique(groups, return_inverse=True, return_counts=True)
    if not n_records or n_records >= len(groups):
        return np.arange(len(groups))
    order = np.random.default_rng(0).permutation(len(counts))
    n_patients = np.searchsorted(np.cumsum(counts[order]), n_records, side="right")
    return np.flatnonzero(np.isin(codes, order[:n_patients]))


def source_key():
    """Return a digest of the package: its source and its weights."""
    package = Path(sklearn_bell.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*")):
        if path.suffix in (".py", ".safetensors"):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


def settings_key(*settings):
    """Return a digest of settings, for names of files."""
    return hashlib.sha256(json.dumps(settings, default=str).encode()).hexdigest()[:8]


def write_whole(write, path):
    """Call ``write(path)`` so that the file is complete or absent."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.unfinished")
    write(unfinished)
    unfinished.replace(path)


def cache_array(path, compute):
    """Return the array stored at a path; compute and store it first if it is absent."""
    if not path.exists():
        start = time.perf_counter()
        values = compute()
        print(f"{path.stem}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
        write_whole(lambda unfinished: save_array(unfinished, values), path)
    return np.load(path)


def save_array(path, values):
    """Write an array to a path of any extension."""
    with open(path, "wb") as file:
        np.save(file, values)


def linear():
    """Return a logistic regression on scaled features."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.005, max_iter=1000))


def trees(seed=0):
    """Return 300 extra trees."""
    return ExtraTreesClassifier(n_estimators=300, random_state=seed)


def linear_probe(seed=0):
    """Return one logistic regression per class on scaled features; the seed has no effect."""
    return OneVsRestClassifier(linear())


def vote(seed=0):
    """Return the average of a logistic regression and extra trees, for each class separately."""
    voting = VotingClassifier([("linear", linear()), ("trees", trees(seed))], voting="soft")
    return OneVsRestClassifier(voting)


def predict_scores(model, X):
    """Return the probability of every class (n_records, n_classes)."""
    probabilities = model.predict_proba(X)
    if not isinstance(probabilities, list):
        return probabilities
    columns = []  # trees: for every class an array (n_records, n_values), of the values in y
    for values, of_class in zip(model.classes_, probabilities, strict=True):
        column = list(values).index(1) if 1 in values else None
        columns.append(np.zeros(len(X)) if column is None else of_class[:, column])
    return np.stack(columns, axis=1)


def draw_patients(rows, share, y, groups, seed, n_tries=10_000):
    """Return the rows of a random share of the patients, with every class present."""
    rng = np.random.default_rng(seed)
    patients = np.unique(groups[rows])
    n_drawn = round(share * len(patients))
    for _ in range(n_tries):
        drawn = rows[np.isin(groups[rows], rng.permutation(patients)[:n_drawn])]
        if y[drawn].any(axis=0).all():
            return drawn
    raise SystemExit(
        f"Expected every class among {n_drawn} of {len(patients)} patients, got none in {n_tries} "
        "draws. Use more records."
    )


def draw_stratified(rows, fraction, y, groups, seed, n_tries=50):
    """Return the rows of a fraction of the patients, with class frequencies nearest to all rows.

    Of `n_tries` random draws, the best has the fewest missing classes, then the least sum of
    absolute differences of class frequencies.
    """
    rng = np.random.default_rng(seed)
    patients, codes = np.unique(groups[rows], return_inverse=True)
    n_drawn = max(2, round(fraction * len(patients)))
    frequencies, least, best = y[rows].mean(axis=0), (np.inf, np.inf), rows
    for _ in range(n_tries):
        drawn = np.zeros(len(patients), bool)
        drawn[rng.permutation(len(patients))[:n_drawn]] = True
        observed = y[rows[drawn[codes]]].mean(axis=0)
        n_missing = np.sum((observed == 0) & (frequencies > 0))
        distance = n_missing, np.abs(observed - frequencies).sum()
        if distance < least:
            least, best = distance, rows[drawn[codes]]
    return best


def fit_linear(X, y, groups):
    """Fit a logistic regression per class, with C chosen by cross-validation over patients.

    Scaled features are rotated first. A penalty on the norm of the weights does not depend on the
    rotation, but no more features remain than records.
    """
    rotation = make_pipeline(StandardScaler(), PCA(svd_solver="full")).fit(X)
    X = rotation.transform(X)
    classifier = OneVsRestClassifier(LogisticRegression(max_iter=1000))
    grid = {"estimator__C": [1e-4, 1e-3, 3e-3, 1e-2, 3e-2]}
    cv = GroupKFold(min(3, len(np.unique(groups))))
    search = GridSearchCV(classifier, grid, scoring=auroc_of_present, cv=cv)
    with warnings.catch_warnings():  # few labels: a class may be missing from a part
        warnings.simplefilter("ignore")
        search.fit(X, y, groups=groups)
    return make_pipeline(rotation, search.best_estimator_)


def auroc_of_present(model, X, y):
    """Return the mean AUROC of the classes with positives and negatives in y, or one half."""
    scores = predict_scores(model, X)
    values = [roc_auc_score(a, b) for a, b in zip(y.T, scores.T, strict=True) if 0 < a.mean() < 1]
    return np.mean(values) if values else 0.5


def best_thresholds(y, scores):
    """Return the threshold of the greatest F1 for each class, or one half for a missing class."""
    thresholds = []
    for truth, score in zip(y.T, scores.T, strict=True):
        if not truth.any():
            thresholds.append(0.5)
            continue
        precision, recall, candidates = precision_recall_curve(truth, score)
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
        thresholds.append(candidates[f1[:-1].argmax()])
    return np.array(thresholds)


def macro_auroc(y, repetitions):
    """Return the macro AUROC, averaged over the scores of repetitions."""
    return np.mean([roc_auc_score(y, scores, average="macro") for scores in repetitions])


def bootstrap_auroc(y, repetitions, groups):
    """Return macro AUROC over repetitions, as (value, values of bootstrap samples of patients).

    The samples are always the same, so that two methods can be compared sample by sample.
    """
    values = auroc_by_repetition(y, repetitions, groups).mean(axis=1)
    return values[0], values[1:]


def auroc_by_repetition(y, repetitions, groups):
    """Return macro AUROC of bootstrap samples of patients (1 + N_BOOTSTRAPS, n_repetitions).

    The first row is of all records. A class that is missing from a sample does not count.
    """

    def compute(weights):
        values = [
            [ranking(*pair, weights)[0] for pair in zip(y.T, scores.T, strict=True)]
            for scores in repetitions
        ]  # (n_repetitions, n_classes, n_samples)
        return {"auroc": np.nanmean(values, axis=1).T}

    return bootstrap(compute, groups, len(y), N_BOOTSTRAPS, random_state=0)["auroc"]


def bootstrap_metrics(y, repetitions, groups, of_predictions=("f1",)):
    """Return macro metrics over repetitions, as (value, values of bootstrap samples of patients).

    Parameters
    ----------
    y : ndarray of shape (n_records, n_classes)
    repetitions : list of pairs of ndarrays of shape (n_records, n_classes)
        Scores and predictions of each repetition.
    groups : ndarray of shape (n_records,)
        Patients.
    of_predictions : sequence of str
        Metrics of the predictions, beside AUROC and AUPRC of the scores.

    Returns
    -------
    metrics : dict of (float, ndarray of shape (N_BOOTSTRAPS,))
        The samples are always the same, so that two methods can be compared sample by sample. A
        class that is missing from a sample does not count.
    """

    def compute(weights):
        values = {name: [] for name in ("auroc", "auprc", *of_predictions)}
        for scores, predictions in repetitions:
            for truth, score in zip(y.T, scores.T, strict=True):
                auroc, auprc = ranking(truth, score, weights)
                values["auroc"].append(auroc)
                values["auprc"].append(auprc)
            counts = weights @ (y * predictions), weights @ y, weights @ predictions
            by_class = rates(*counts, weights.sum(1, keepdims=True))
            for name in of_predictions:
                values[name] += list(by_class[name].T)
        return {name: np.nanmean(columns, axis=0) for name, columns in values.items()}

    samples = bootstrap(compute, groups, len(y), N_BOOTSTRAPS, random_state=0)
    return {name: (values[0], values[1:]) for name, values in samples.items()}


def format_interval(value, samples, digits=3):
    """Return a value with the 95 % interval of its bootstrap samples."""
    low, high = np.quantile(samples, (0.025, 0.975))
    text = f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
    return text.replace("0.", ".") if low >= 0 and high < 1 and digits == 3 else text


def format_difference(value, samples):
    """Return a difference with its 95 % interval, in points and with signs."""
    low, high = 100 * np.quantile(samples, (0.025, 0.975))
    return f"{100 * value:+.1f} ({low:+.1f} to {high:+.1f})"
