"""
Pretrain without labels, classify with few
==========================================

:class:`~sklearn_bell.BELLPretrainer` is a transformer: it learns a latent for each lead from records
without labels, and whatever classifier of scikit-learn learns the rest.
"""

# %%
# Three hundred records, of which forty are for testing, and of which few have a label:

from sklearn.model_selection import train_test_split

from sklearn_bell.datasets import make_ecg

ecg = make_ecg(
    340, classes=["normal", "lbbb", "rbbb", "st_elevation"], leads=["II", "V1", "V5"], duration=5,
    sampling_rate=100, random_state=0,
)  # fmt: skip
X, X_test, y, y_test = train_test_split(
    ecg.data, ecg.target, test_size=40, stratify=ecg.target, random_state=0
)
X_few, _, y_few, _ = train_test_split(X, y, train_size=24, stratify=y, random_state=0)

# %%
# Pretrain on all records of the training part. No label is needed.

from sklearn_bell import BELLPretrainer

bell = BELLPretrainer(max_epochs=12, lead_names=ecg.lead_names, random_state=0).fit(X)

# %%
# Then classify with twenty-four labels, and compare with an encoder that has not been trained:

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
untrained = BELLPretrainer(max_epochs=0, lead_names=ecg.lead_names, random_state=0).fit(X)
for name, transformer in {"BELL": bell, "untrained encoder": untrained}.items():
    classifier.fit(transformer.transform(X_few), y_few)
    print(name, classifier.score(transformer.transform(X_test), y_test))

# %%
# How pretraining went: the latents keep their variety, or else it would have collapsed.

from sklearn_bell.plotting import PretrainingDisplay

PretrainingDisplay.from_estimator(bell)

# %%
# In a pipeline everything happens inside of each fold, so that no test record is pretrained on:

from sklearn.model_selection import cross_val_score

pipeline = make_pipeline(
    BELLPretrainer(max_epochs=2, random_state=0), StandardScaler(), LogisticRegression(C=0.01)
)
print(cross_val_score(pipeline, X[:120], y[:120], cv=3))
