"""No estimator sees the records that it predicts."""

import numpy as np
import pytest
from imblearn.pipeline import make_pipeline as make_sampling_pipeline
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, StratifiedKFold, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_bell import BELLPretrainer, ECGClassifier, VQVAEOverSampler, VQVAETransformer
from sklearn_bell.datasets import make_ecg

ECG = make_ecg(
    90, classes=["normal", "lbbb"], leads=["II", "V1"], duration=4, sampling_rate=100,
    random_state=0,
)  # fmt: skip
SMALL = {"head_width": 16, "max_epochs": 1, "batch_size": 16, "random_state": 0}
PATIENTS = np.arange(90) // 3


def rows_of(records):
    """Return the rows of ECG that are among records."""
    return {
        row
        for row, x in enumerate(ECG.data)
        if any(np.array_equal(x, record) for record in records)
    }


class Pretrainer(BELLPretrainer):
    """Stores the records of fit."""

    def fit(self, X, y=None):
        self.seen_ = np.array(X)
        return super().fit(X)


class Sampler(VQVAEOverSampler):
    """Stores the records of fit, and the synthetic ones."""

    def _fit_resample(self, x, y, indicator, groups):
        self.seen_ = x.copy()
        x, y = super()._fit_resample(x, y, indicator, groups)
        self.made_ = x[len(self.seen_) :]
        return x, y


def sampler():
    vqvae = VQVAETransformer(
        n_codes=8, n_codebooks=2, n_features=4, width=8, max_epochs=1, random_state=0
    )
    return Sampler(vqvae=vqvae, random_state=0)


def test_pipeline_steps_see_the_training_fold_only():
    rare = np.flatnonzero((ECG.target == 0) | (np.arange(90) % 4 == 0))
    pipeline = make_sampling_pipeline(
        sampler(), Pretrainer(**SMALL), StandardScaler(), LogisticRegression()
    )
    results = cross_validate(
        pipeline, ECG.data[rare], ECG.target[rare], groups=PATIENTS[rare], cv=GroupKFold(3),
        return_estimator=True, return_indices=True,
    )  # fmt: skip
    for fitted, train, test in zip(
        results["estimator"], results["indices"]["train"], results["indices"]["test"], strict=True
    ):
        assert not set(PATIENTS[rare[train]]) & set(PATIENTS[rare[test]])
        assert rows_of(fitted[0].seen_) == set(rare[train])
        assert rows_of(fitted[1].seen_) == set(rare[train])  # beside synthetic records
        assert len(fitted[1].seen_) == len(train) + len(fitted[0].made_)
        assert len(fitted[0].made_) > 0
        assert (fitted[0].parents_ < len(train)).all()


PREDICTORS = {
    "pretrained": make_pipeline(BELLPretrainer(**SMALL), StandardScaler(), LogisticRegression()),
    "fine-tuned": ECGClassifier(max_epochs=1, n_trees=20, random_state=0),
    "sampled": make_sampling_pipeline(
        sampler(), BELLPretrainer(**SMALL), StandardScaler(), LogisticRegression()
    ),
}


@pytest.mark.parametrize("name", PREDICTORS)
def test_random_labels_are_predicted_at_chance_level(name):
    cv = StratifiedKFold(3)

    def auroc(y):
        return cross_val_score(PREDICTORS[name], ECG.data, y, cv=cv, scoring="roc_auc").mean()

    rng = np.random.default_rng(0)
    at_random = np.mean([auroc(rng.permutation(ECG.target)) for _ in range(3)])
    assert abs(at_random - 0.5) < 0.12  # three standard deviations of the mean of three draws
    assert auroc(ECG.target) > 0.8
