"""Searches and cross-validation in parallel, on a cluster, and with what was pretrained kept."""

import numpy as np
import pytest
from distributed import Client, LocalCluster
from joblib import parallel_config
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_bell import BELLPretrainer
from sklearn_bell.datasets import make_ecg
from sklearn_bell.nn.encoders import ResNet1d


@pytest.fixture(scope="module")
def ecg():
    return make_ecg(
        30, classes=["normal", "lbbb"], leads=["II", "V1"], duration=3, sampling_rate=100,
        random_state=0,
    )  # fmt: skip


def pipeline(encoder=ResNet1d, **params):
    bell = BELLPretrainer(encoder, max_epochs=1, head_width=16, random_state=0)
    return make_pipeline(bell, StandardScaler(), LogisticRegression(), **params)


class Counted(ResNet1d):
    """Counts how often an encoder is made."""

    made = 0

    def __init__(self, in_channels):
        super().__init__(in_channels)
        Counted.made += 1


def test_a_pipeline_with_memory_pretrains_once_a_fold(ecg, tmp_path):
    n_leads, n_folds = 2, 3
    grid = {
        "logisticregression__C": [0.01, 0.1, 1.0, 10.0],
        "standardscaler__with_mean": [False, True],
    }
    search = GridSearchCV(pipeline(Counted, memory=str(tmp_path)), grid, cv=n_folds, refit=False)
    search.fit(ecg.data, ecg.target)
    assert Counted.made == n_leads * n_folds
    kept = search.cv_results_["mean_test_score"]
    search.set_params(estimator=pipeline()).fit(ecg.data, ecg.target)
    np.testing.assert_array_equal(kept, search.cv_results_["mean_test_score"])


@pytest.mark.filterwarnings("ignore")  # of distributed
def test_a_dask_cluster_gives_the_same(ecg):
    def predict(n_jobs):
        return cross_val_predict(
            pipeline(), ecg.data, ecg.target, cv=2, n_jobs=n_jobs, method="predict_proba"
        )

    expected = predict(n_jobs=1)
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
        ) as cluster,
        Client(cluster),
        parallel_config(backend="dask"),
    ):
        found = predict(n_jobs=2)
    np.testing.assert_allclose(found, expected, atol=1e-5)
