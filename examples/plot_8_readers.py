"""
Compare a model with human readers
==================================

ROC and precision-recall curves of a model, with one point per human reader, and a table with intervals.
"""

# %%
# Simulate a reference, a model and two readers:

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
# The intervals are from a bootstrap over patients. Here each record belongs to another patient.

from sklearn_bell.evaluation import compare_readers

model = (scores > 0.5).astype(int)
table, pairs = compare_readers(truth, model, readers, n_bootstraps=200, random_state=0)
table[["sensitivity", "sensitivity_low", "sensitivity_high", "f1"]].round(2)

# %%
# Paired differences between the model and each reader:

pairs[["f1_difference", "f1_difference_low", "f1_difference_high", "mcnemar_exact"]].round(3)
