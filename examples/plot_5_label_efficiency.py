"""
Label efficiency
================

Plot a score against the number of labels, with several draws of labels and their spread.
"""

# %%
# Fit the features once without labels, then draw labels five times for each number:

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_bell import BELLPretrainer, ECGFeatures
from sklearn_bell.datasets import make_ecg

ecg = make_ecg(
    400, classes=["normal", "lbbb", "rbbb", "lvh"], leads=["II", "V1", "V5"], duration=5,
    sampling_rate=100, random_state=0,
)  # fmt: skip
X, X_test, y, y_test = train_test_split(
    ecg.data, ecg.target, test_size=100, stratify=ecg.target, random_state=0
)
methods = {
    "BELL": BELLPretrainer(max_epochs=10, random_state=0),
    "untrained encoder": BELLPretrainer(max_epochs=0, random_state=0),
    "hand-made features": ECGFeatures(sampling_rate=ecg.sampling_rate),
}
n_labels, n_repeats = [12, 36, 100, 300], 5
scores = {}
for name, transformer in methods.items():
    features, test = transformer.fit(X).transform(X), transformer.transform(X_test)
    scores[name] = np.empty((len(n_labels), n_repeats))
    for i, seed in np.ndindex(len(n_labels), n_repeats):
        rows = np.arange(len(y))
        if n_labels[i] < len(y):
            rows, _ = train_test_split(rows, train_size=n_labels[i], stratify=y, random_state=seed)
        classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
        scores[name][i, seed] = classifier.fit(features[rows], y[rows]).score(test, y_test)

# %%

from sklearn_bell.plotting import LabelEfficiencyDisplay

LabelEfficiencyDisplay.from_scores(n_labels, scores, metric="accuracy")
