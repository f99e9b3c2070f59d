"""What the benchmarks share: draws of labels, intervals, and the line that says where they ran."""

import hashlib
import json
import os
import platform
import subprocess
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

from sklearn_bell.evaluation._bootstrap import bootstrap, ranking, rates

N_BOOTSTRAPS = 500


def machine():
    """Return the processor, the versions that matter, and the commit."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    commit = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return (
        f"{os.cpu_count()} cores {platform.machine()} ({torch.backends.cpu.get_cpu_capability()}), "
        f"{gpu}, Python {platform.python_version()}, torch {torch.__version__}, scikit-learn "
        f"{sklearn.__version__}, commit {commit or 'unknown'}"
    )


def settings_key(*settings):
    """Return a short name for what results depend on."""
    return hashlib.sha256(json.dumps(settings, default=str).encode()).hexdigest()[:8]


def params_of(pretrainer):
    """Return parameters, but for those that came later, where they are what was before."""
    params = pretrainer.get_params()
    if params["epoch_size"] is None:
        del params["epoch_size"]
    return params


def linear():
    """Return a logistic regression on scaled features."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.005, max_iter=1000))


def trees(seed=0):
    """Return 300 extra trees."""
    return ExtraTreesClassifier(n_estimators=300, random_state=seed)


def linear_probe():
    """Return one logistic regression per class on scaled features."""
    return OneVsRestClassifier(linear())


def vote(seed=0):
    """Return a logistic regression and trees that vote, for each class by itself."""
    both = VotingClassifier([("linear", linear()), ("trees", trees(seed))], voting="soft")
    return OneVsRestClassifier(both)


def scores_of(model, X):
    """Return the probability of every class (n_records, n_classes)."""
    probabilities = model.predict_proba(X)
    if isinstance(probabilities, list):  # trees give one array (n_records, 2) for every class, or
        presence = [list(found).index(1) if 1 in found else None for found in model.classes_]
        columns = [
            np.zeros(len(X)) if column is None else of_class[:, column]  # (n_records, 1) without
            for of_class, column in zip(probabilities, presence, strict=True)
        ]
        return np.stack(columns, axis=1)
    return probabilities


def draw_labels(rows, share, y, groups, seed):
    """Return the rows of a random share of the patients, with every class among them."""
    rng = np.random.default_rng(seed)
    patients = np.unique(groups[rows])
    n_drawn = round(share * len(patients))
    while True:
        drawn = rows[np.isin(groups[rows], rng.permutation(patients)[:n_drawn])]
        if y[drawn].any(axis=0).all():
            return drawn


def draw_alike(rows, fraction, y, groups, seed, n_tries=50):
    """Return the rows of a fraction of the patients: the draw whose classes are most like all."""
    rng = np.random.default_rng(seed)
    patients, of_row = np.unique(groups[rows], return_inverse=True)
    n_drawn = max(2, round(fraction * len(patients)))
    shares, best = y[rows].mean(axis=0), (np.inf, np.inf)
    for _ in range(n_tries):
        drawn = np.zeros(len(patients), bool)
        drawn[rng.permutation(len(patients))[:n_drawn]] = True
        here = y[rows[drawn[of_row]]].mean(axis=0)
        unlikeness = np.sum((here == 0) & (shares > 0)), np.abs(here - shares).sum()
        if unlikeness < best:
            best, found = unlikeness, rows[drawn[of_row]]
    return found


def fit_linear(X, y, groups):
    """Fit a logistic regression per class, C chosen by cross-validation over patients.

    The scaled features are rotated first, which changes nothing for a penalty on the length of the
    weights, but leaves no more of them than there are records.
    """
    rotation = make_pipeline(StandardScaler(), PCA(svd_solver="full")).fit(X)
    X = rotation.transform(X)
    classifier = OneVsRestClassifier(LogisticRegression(max_iter=1000))
    grid = {"estimator__C": [1e-4, 1e-3, 3e-3, 1e-2, 3e-2]}
    cv = GroupKFold(min(3, len(np.unique(groups))))
    search = GridSearchCV(classifier, grid, scoring=auroc_of_present, cv=cv)
    with warnings.catch_warnings():  # few labels: some class may be missing from a part
        warnings.simplefilter("ignore")
        search.fit(X, y, groups=groups)
    return make_pipeline(rotation, search.best_estimator_)


def auroc_of_present(model, X, y):
    """Return the mean AUROC of the classes that are present, and absent, in y; or one half."""
    scores = scores_of(model, X)
    each = [roc_auc_score(a, b) for a, b in zip(y.T, scores.T, strict=True) if 0 < a.mean() < 1]
    return np.mean(each) if each else 0.5


def best_thresholds(y, scores):
    """Return for each class the threshold of the greatest F1, or one half if it is missing."""
    thresholds = []
    for truth, score in zip(y.T, scores.T, strict=True):
        if not truth.any():
            thresholds.append(0.5)
            continue
        precision, recall, at = precision_recall_curve(truth, score)
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
        thresholds.append(at[f1[:-1].argmax()])
    return np.array(thresholds)


def metrics_by_bootstrap(y, several, groups, of_predictions=("f1",)):
    """Return macro metrics over repetitions, as (value, values of bootstrap draws of patients).

    They are AUROC and AUPRC of scores, and those of predictions that are named. `several` has
    scores and predictions (n_records, n_classes) of each repetition. The draws are always the same,
    so that two methods may be compared draw by draw. A class that is missing from a draw is left
    out of its mean.
    """

    def metrics(weights):
        found = {name: [] for name in ("auroc", "auprc", *of_predictions)}
        for scores, above in several:
            for truth, score in zip(y.T, scores.T, strict=True):
                auroc, auprc = ranking(truth, score, weights)
                found["auroc"].append(auroc)
                found["auprc"].append(auprc)
            counts = weights @ (y * above), weights @ y, weights @ above
            of_classes = rates(*counts, weights.sum(1, keepdims=True))
            for name in of_predictions:
                found[name] += list(of_classes[name].T)
        return {name: np.nanmean(values, axis=0) for name, values in found.items()}

    drawn = bootstrap(metrics, groups, len(y), N_BOOTSTRAPS, random_state=0)
    return {name: (values[0], values[1:]) for name, values in drawn.items()}


def mean_auroc(y, several_scores):
    """Return the macro AUROC, averaged over the repetitions."""
    return np.mean([roc_auc_score(y, scores, average="macro") for scores in several_scores])


def interval(y, several_scores, groups):
    """Return the bootstrap 95 % interval of the mean macro AUROC, drawing patients."""
    rng = np.random.default_rng(0)
    patients, of_record = np.unique(groups, return_inverse=True)
    drawn = []
    for _ in range(N_BOOTSTRAPS):
        chosen = rng.integers(len(patients), size=len(patients))
        times = np.bincount(chosen, minlength=len(patients))
        rows = np.repeat(np.arange(len(y)), times[of_record])
        drawn.append(mean_auroc(y[rows], [scores[rows] for scores in several_scores]))
    return np.quantile(drawn, (0.025, 0.975))
