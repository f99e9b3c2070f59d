"""
Fine-tune a pretrained encoder
==============================

:class:`~sklearn_bell.ECGClassifier` trains encoder and head together on the labelled records. The
label -1 marks unlabelled records, which take part in pretraining and get pseudo-labels.
"""

# %%

import numpy as np
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import train_test_split

from sklearn_bell import BELLPretrainer, ECGClassifier
from sklearn_bell.datasets import make_ecg

ecg = make_ecg(
    260, classes=["normal", "lbbb", "rbbb"], leads=["II", "V1", "V5"], duration=5,
    sampling_rate=100, random_state=0,
)  # fmt: skip
X, X_test, y, y_test = train_test_split(
    ecg.data, ecg.target, test_size=60, stratify=ecg.target, random_state=0
)
y_few = y.copy()
y_few[np.random.default_rng(0).permutation(len(y))[30:]] = -1  # 30 labels remain
classifier = ECGClassifier(
    BELLPretrainer(max_epochs=8), max_epochs=10, n_trees=50, random_state=0
).fit(X, y_few)
print("accuracy", classifier.score(X_test, y_test))

# %%

ConfusionMatrixDisplay.from_estimator(
    classifier, X_test, y_test, display_labels=ecg.target_names, colorbar=False
)
