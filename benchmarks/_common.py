"""What the benchmarks share: draws of labels, intervals, and the line that says where they ran."""

import os
import platform
import subprocess
from pathlib import Path

import numpy as np
import sklearn
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

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


def linear_probe():
    """Return one logistic regression per class on scaled features."""
    return OneVsRestClassifier(
        make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    )


def scores_of(model, X):
    """Return the probability of every class (n_records, n_classes)."""
    probabilities = model.predict_proba(X)
    if isinstance(probabilities, list):  # trees give one array (n_records, 2) for every class
        return np.stack([of_class[:, -1] for of_class in probabilities], axis=1)
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
