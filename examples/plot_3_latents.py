"""
A map of latents
================

Records whose latents are alike lie near each other on a map. Labels, which the pretrainer has never
seen, colour it.
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
# Each lead has latents of its own, and shows other things:

LatentDisplay.from_estimator(bell, ecg.data, labels, per_lead=True)

# %%
# BELL lets each lead predict the others. How far it is off, for each pair, is the loss before its
# two terms are taken from it: the mean of the diagonal, and that of the rest.

LeadSimilarityDisplay.from_estimator(bell, ecg.data)
