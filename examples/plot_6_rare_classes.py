"""
Synthetic records of a rare class
=================================

:class:`~sklearn_bell.VQVAEOverSampler` trains a VQ-VAE and synthesises records of rare classes: by
interpolation between two records in latent space, by sampling near one record, or from a prior.
"""

# %%

import numpy as np
from imblearn.pipeline import make_pipeline
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from sklearn_bell import ECGFeatures, VQVAEOverSampler, VQVAETransformer
from sklearn_bell.datasets import make_ecg

ecg = make_ecg(
    200, classes=["normal", "lbbb"], leads=["II", "V1"], duration=5, sampling_rate=100,
    random_state=0,
)  # fmt: skip
rows = np.concatenate([np.flatnonzero(ecg.target == 0)[:80], np.flatnonzero(ecg.target == 1)[:12]])
X, y = ecg.data[rows], ecg.target[rows]
vqvae = VQVAETransformer(n_codes=64, width=32, max_epochs=20)
sampler = VQVAEOverSampler(vqvae=vqvae, random_state=0)
X_new, y_new = sampler.fit_resample(X, y)
print(np.bincount(y), np.bincount(y_new))

# %%
# Plot a synthetic record and the source record that contributes most:

from sklearn_bell.plotting import ECGDisplay

first = len(X)
source = sampler.parents_[0, 0]
ECGDisplay.from_record(
    np.stack([X[source], X_new[first]]), ecg.sampling_rate, lead_names=ecg.lead_names,
    labels=["source", "synthetic"],
)  # fmt: skip

# %%
# The pipeline of imbalanced-learn resamples only in ``fit``, so scores use real records:

pipeline = make_pipeline(
    sampler, ECGFeatures(sampling_rate=ecg.sampling_rate), StandardScaler(), LogisticRegression()
)
test = np.setdiff1d(np.arange(len(ecg.data)), rows)
print(pipeline.fit(X, y).score(ecg.data[test], ecg.target[test]))
