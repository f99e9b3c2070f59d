"""
A map of latents
================

Records with similar latents are close to each other on the map. The colours show the labels, which
pretraining does not use.
"""

# %%

from sklearn_bell import BELLPretrainer
from sklearn_bell.datasets import make_ecg
from sklearn_bell.plotting import LatentDisplay, LeadSimilarityDisplay

ecg = make_ecg(
    240, classes=["normal", "afib", "lbbb", "st_elevation"], leads=["II", "V1", "V5"], duration=5,
    sampling_rate=100, random_state=0,
)  # fmt: skip
bell = BELLPretrainer(max_epochs=12, lead_names=ecg.lead_names, random_state=0).fit(ecg.data)
labels = ecg.target_names[ecg.target]
LatentDisplay.from_estimator(bell, ecg.data, labels, method="tsne")

# %%
# Each lead has its own latents and separates the classes differently:

LatentDisplay.from_estimator(bell, ecg.data, labels, per_lead=True)

# %%
# In BELL, each lead predicts all leads. The matrix shows the prediction error of each pair: the
# intra-lead term on its diagonal, and the inter-lead term elsewhere. Batch normalisation uses its
# running statistics here, so the errors exceed those in ``history_`` after a training of few steps.

LeadSimilarityDisplay.from_estimator(bell, ecg.data)
