"""Pretrain on ECGs without labels, then classify with few: the library's main job, end to end."""

from importlib.util import find_spec

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.base import clone
from sklearn.callback import ProgressBar
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupShuffleSplit, train_test_split
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, label_binarize

from sklearn_bell import BELLPretrainer, ECGFeatures
from sklearn_bell.datasets import load_ptbxl, make_ecg
from sklearn_bell.preprocessing import INDEPENDENT_LEADS

__all__ = ["main"]


def load(data):
    """Load labelled records from a PTB-XL folder, or make synthetic ones."""
    if data is not None:
        return load_ptbxl(data, leads=INDEPENDENT_LEADS)
    classes = ["normal", "afib", "av_block", "lbbb", "rbbb", "st_elevation", "st_depression", "lvh"]
    ecg = make_ecg(800, classes=classes, leads=["II", "V1"], random_state=0)
    ecg.target = label_binarize(ecg.target, classes=range(len(classes)))
    return ecg


def draw(rows, target, fraction, seed):
    """Draw the labelled rows, with records of every class among them."""
    if fraction == 1:
        return rows
    n_labels = max(round(fraction * len(rows)), target.shape[1])
    rarest_first = target[:, target.sum(axis=0).argsort()]
    strata = rarest_first[rows].argmax(axis=1)
    return train_test_split(rows, train_size=n_labels, stratify=strata, random_state=seed)[0]


def main(data=None, picture="demo.png", max_epochs=40, n_seeds=3):
    """Print macro AUROC for each fraction of the labels, and draw it."""
    ecg = load(data)
    linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    trees = ExtraTreesClassifier(n_estimators=100, random_state=0)
    progress = [ProgressBar()] if find_spec("rich") else []
    scores = []
    for seed in range(n_seeds):
        # patients never cross the split, and the test records are not pretrained on
        split = GroupShuffleSplit(n_splits=1, test_size=0.4, random_state=seed)
        train, test = next(split.split(ecg.data, groups=ecg.groups))
        bell = BELLPretrainer(max_epochs=max_epochs, random_state=seed)
        methods = {
            "BELL": (clone(bell).set_callbacks(*progress), linear),
            "untrained encoder": (clone(bell).set_params(max_epochs=0), linear),
            "hand-made features": (ECGFeatures(sampling_rate=ecg.sampling_rate), trees),
        }
        for name, (transformer, classifier) in methods.items():
            features = transformer.fit(ecg.data[train]).transform(ecg.data)
            for fraction in (0.01, 0.1, 1):
                few = draw(train, ecg.target, fraction, seed)
                model = OneVsRestClassifier(classifier).fit(features[few], ecg.target[few])
                auroc = roc_auc_score(ecg.target[test], model.predict_proba(features[test]))
                scores.append((f"{fraction:.0%}", name, len(few), auroc))

    frame = pd.DataFrame(scores, columns=["labels", "method", "n_labels", "auroc"])
    aurocs = frame.groupby(["labels", "method"], sort=False)["auroc"]
    mean, deviation = (table.unstack()[list(methods)] for table in (aurocs.mean(), aurocs.std()))
    print(f"\nMacro AUROC on {len(test)} test records: mean and deviation over {n_seeds} seeds")
    print((mean.map("{:.3f}".format) + deviation.map(" ± {:.3f}".format)).to_string())

    mean.index = deviation.index = frame.groupby("labels", sort=False)["n_labels"].mean()
    figure, axes = plt.subplots(layout="constrained")
    mean.plot(ax=axes, yerr=deviation, logx=True, marker="o", capsize=3)
    axes.set(xlabel="records with a label", ylabel="macro AUROC")
    figure.savefig(picture, dpi=150)
    print(f"\nThe picture is in {picture}")
