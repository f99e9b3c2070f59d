"""
Explain a prediction
====================

Importance of leads, of parts of the beat and of samples, and similar training records.
"""

# %%
# Train a classifier of left bundle branch block, which widens the QRS complex:

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import train_test_split

from sklearn_bell import BELLPretrainer, ECGClassifier
from sklearn_bell.datasets import make_ecg

ecg = make_ecg(
    160, classes=["normal", "lbbb"], leads=["II", "V1", "V5"], duration=4, sampling_rate=100,
    random_state=0,
)  # fmt: skip
X, X_test, y, y_test = train_test_split(
    ecg.data, ecg.target, test_size=40, stratify=ecg.target, random_state=0
)
bell = BELLPretrainer(max_epochs=6, lead_names=ecg.lead_names)
classifier = ECGClassifier(bell, max_epochs=8, n_trees=0, random_state=0).fit(X, y)

# %%
# Permute one lead between patients. The increase of the log-loss is the importance of the lead:

from sklearn_bell.inspection import lead_importance

leads = lead_importance(
    classifier, X_test, y_test, lead_names=ecg.lead_names, scoring="neg_log_loss", random_state=0
)
_, ax = plt.subplots(figsize=(4, 2.4), layout="constrained")
ax.barh(leads.lead_names, leads.importances_mean, xerr=leads.importances_std, color="#0072B2")
ax.set_xlabel("increase of the log-loss")

# %%
# Mask a part of every beat:

from sklearn_bell.inspection import time_importance

parts = time_importance(
    classifier, X_test, y_test, sampling_rate=ecg.sampling_rate, scoring="neg_log_loss"
)
_, ax = plt.subplots(figsize=(4, 2.4), layout="constrained")
ax.bar(parts.starts, parts.importances, width=0.05, align="edge", color="#0072B2")
ax.set(xlabel="time from the QRS complex, s", ylabel="increase of the log-loss")

# %%
# Colour the samples of a record that increase (orange) or decrease (blue) the probability of a block:

from sklearn_bell.inspection import attribution
from sklearn_bell.plotting import ECGDisplay

block = X_test[y_test == 1][:1]
maps = attribution(classifier, block, target=1)
ECGDisplay.from_record(block[0], ecg.sampling_rate, lead_names=ecg.lead_names, attribution=maps[0])

# %%
# Plot the nearest training record in latent space:

from sklearn_bell.inspection import nearest_records

nearest = nearest_records(classifier, block, X, n_neighbors=1).indices[0, 0]
ECGDisplay.from_record(
    np.stack([block[0], X[nearest]]), ecg.sampling_rate, lead_names=ecg.lead_names,
    labels=["explained record", "nearest training record"],
)  # fmt: skip
