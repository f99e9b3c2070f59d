"""
A model beside its readers
==========================

Curves of a model, points of people, and the figures with intervals beside them.
"""

# %%
# Reference, model and readers are made up here:

import numpy as np
import pandas as pd

from sklearn_bell.plotting import ReaderDisplay

rng = np.random.default_rng(0)
classes = ["AF", "LBBB", "RBBB"]
truth = pd.DataFrame(rng.random((400, 3)) < [0.2, 0.15, 0.25], columns=classes).astype(int)
scores = truth + rng.normal(0, 0.45, truth.shape)
readers = {
    "cardiologist": (truth + rng.normal(0, 0.3, truth.shape) > 0.5).astype(int),
    "student": (truth + rng.normal(0, 0.5, truth.shape) > 0.6).astype(int),
}
ReaderDisplay.from_predictions(truth, scores, readers)

# %%
# Intervals are of a bootstrap over patients. Each record is of another patient here.

from sklearn_bell.evaluation import compare_readers

model = (scores > 0.5).astype(int)
table, pairs = compare_readers(truth, model, readers, n_bootstraps=200, random_state=0)
table[["sensitivity", "sensitivity_low", "sensitivity_high", "f1"]].round(2)

# %%
# The model against each of them:

pairs[["f1_difference", "f1_difference_low", "f1_difference_high", "mcnemar_exact"]].round(3)
