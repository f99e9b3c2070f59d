"""
Pretrain without labels, classify with few labels
=================================================

:class:`~sklearn_bell.BELLPretrainer` is a transformer that learns a latent for each lead from
unlabelled records. Any scikit-learn classifier can use the latents as features.
"""

# %%
# Generate 340 records. Forty are for testing, and only 24 of the other 300 have a label:

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
# Pretrain on all training records, without labels:

from sklearn_bell import BELLPretrainer

bell = BELLPretrainer(max_epochs=12, lead_names=ecg.lead_names, random_state=0).fit(X)

# %%
# Classify with 24 labels, and compare with an untrained encoder:

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
untrained = BELLPretrainer(max_epochs=0, lead_names=ecg.lead_names, random_state=0).fit(X)
for name, transformer in {"BELL": bell, "untrained encoder": untrained}.items():
    classifier.fit(transformer.transform(X_few), y_few)
    print(name, classifier.score(transformer.transform(X_test), y_test))

# %%
# Plot the training history. The deviation of the latents stays far above 0 and their rank above 1, so
# there is no collapse:

from sklearn_bell.plotting import PretrainingDisplay

PretrainingDisplay.from_estimator(bell)

# %%
# A pipeline pretrains within each fold, so the test records are not used for pretraining:

from sklearn.model_selection import cross_val_score

pipeline = make_pipeline(
    BELLPretrainer(max_epochs=2, random_state=0), StandardScaler(), LogisticRegression(C=0.01)
)
print(cross_val_score(pipeline, X[:120], y[:120], cv=3))
