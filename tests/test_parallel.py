"""Searches with caching, and cross-validation on a cluster."""

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


def make(encoder=ResNet1d, **params):
    bell = BELLPretrainer(encoder, max_epochs=1, head_width=16, random_state=0)
    return make_pipeline(bell, StandardScaler(), LogisticRegression(), **params)


def predict(ecg, n_jobs):
    return cross_val_predict(
        make(), ecg.data, ecg.target, cv=2, n_jobs=n_jobs, method="predict_proba"
    )


class CountedEncoder(ResNet1d):
    """Encoder that counts its instances."""

    n_instances = 0

    def __init__(self, in_channels):
        super().__init__(in_channels)
        CountedEncoder.n_instances += 1


def test_pipeline_memory_pretrains_once_per_fold(ecg, tmp_path):
    n_leads, n_folds = 2, 3
    grid = {
        "logisticregression__C": [0.01, 0.1, 1.0, 10.0],
        "standardscaler__with_mean": [False, True],
    }
    # the first cached fit of a process has another hash, of parameters that scikit-learn adds
    make(memory=str(tmp_path / "first")).fit(ecg.data, ecg.target)
    cached = make(CountedEncoder, memory=str(tmp_path))
    cached = GridSearchCV(cached, grid, cv=n_folds, refit=False).fit(ecg.data, ecg.target)
    assert CountedEncoder.n_instances == n_leads * n_folds
    plain = GridSearchCV(make(), grid, cv=n_folds, refit=False).fit(ecg.data, ecg.target)
    np.testing.assert_array_equal(
        cached.cv_results_["mean_test_score"], plain.cv_results_["mean_test_score"]
    )


@pytest.mark.parametrize("backend", ["threading", pytest.param("loky", marks=pytest.mark.slow)])
def test_joblib_backend_gives_the_same_bits(backend, ecg):
    with parallel_config(backend):
        np.testing.assert_array_equal(predict(ecg, 2), predict(ecg, 1))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of distributed
def test_dask_cluster_gives_the_same_results(ecg):
    expected = predict(ecg, n_jobs=1)
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
        ) as cluster,
        Client(cluster),
        parallel_config(backend="dask"),
    ):
        observed = predict(ecg, n_jobs=2)
    np.testing.assert_allclose(observed, expected, atol=1e-5)
