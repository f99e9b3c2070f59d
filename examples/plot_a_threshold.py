"""
Choose a threshold
==================

A screening test needs a high sensitivity, so the default threshold of 0.5 may not suit it.
scikit-learn chooses a threshold by cross-validation over patients.
"""

# %%
# A quarter of the records show left ventricular hypertrophy (LVH):

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import make_scorer, recall_score, roc_curve
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    TunedThresholdClassifierCV,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_bell import ECGFeatures
from sklearn_bell.datasets import make_ecg
from sklearn_bell.evaluation import classification_report_ci

ecg = make_ecg(
    600, classes=["normal", "lvh"], leads=["II"], duration=5, sampling_rate=100, noise=5,
    random_state=0,
)  # fmt: skip
rows = np.concatenate([np.flatnonzero(ecg.target == 0), np.flatnonzero(ecg.target == 1)[:100]])
X, y, patients = ecg.data[rows], ecg.target[rows], ecg.groups[rows]
train, test = next(GroupShuffleSplit(1, test_size=0.5, random_state=0).split(X, groups=patients))

# %%
# Of all thresholds with a sensitivity of at least 95 %, choose the one with the best specificity:


def specificity_if_sensitive(y_true, y_pred):
    """Return the specificity, or a negative number if the sensitivity is below 95 %."""
    sensitivity = recall_score(y_true, y_pred)
    specificity = recall_score(y_true, y_pred, pos_label=0)
    return specificity if sensitivity >= 0.95 else sensitivity - 1


pipeline = make_pipeline(
    ECGFeatures(sampling_rate=ecg.sampling_rate), StandardScaler(), LogisticRegression(C=0.01)
)
folds = list(GroupKFold(4).split(X[train], groups=patients[train]))
tuned = TunedThresholdClassifierCV(
    pipeline, scoring=make_scorer(specificity_if_sensitive), cv=folds
).fit(X[train], y[train])
print(f"threshold {tuned.best_threshold_:.2f}")

# %%
# Evaluate on the test patients, with intervals. The default threshold has a much lower sensitivity.
# The sensitivity of new patients may be below the 95 % of the training patients:

default = tuned.estimator_.predict(X[test])
print(f"sensitivity with the default threshold: {recall_score(y[test], default):.2f}")
report = classification_report_ci(
    y[test], tuned.predict(X[test]), groups=patients[test], class_names=ecg.target_names,
    random_state=0,
)  # fmt: skip
report.loc[["lvh"], [c for c in report if c.startswith(("sens", "spec"))]].astype(float).round(2)

# %%
# Plot sensitivity and specificity of the test patients. The dashed line is the chosen threshold:

scores = tuned.estimator_.predict_proba(X[test])[:, 1]
false_alarms, sensitivity, thresholds = roc_curve(y[test], scores, drop_intermediate=False)
_, ax = plt.subplots(figsize=(4, 2.8), layout="constrained")
ax.step(thresholds, sensitivity, where="post", color="#0072B2", label="sensitivity")
ax.step(thresholds, 1 - false_alarms, where="post", color="#D55E00", label="specificity")
ax.axvline(tuned.best_threshold_, color="black", linestyle="--")
ax.set(xlabel="threshold", xlim=(0, 1))
ax.legend(frameon=False, loc="lower center")
