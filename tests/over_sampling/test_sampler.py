import pickle

import numpy as np
import pandas as pd
import pytest
from imblearn.pipeline import make_pipeline
from imblearn.utils.estimator_checks import estimator_checks_generator
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_validate
from sklearn.preprocessing import StandardScaler

from sklearn_bell import BELLPretrainer, ECGClassifier, VQVAEOverSampler, VQVAETransformer
from sklearn_bell.exceptions import InvalidECGError
from tests.over_sampling.conftest import METHODS, count, make_multilabel, small

EXPECTED_TO_FAIL = {
    "check_target_type": "expects an error for multi-label y, which is supported",
    "check_samplers_pandas_sparse": "passes a sparse dataframe, and ECGs are not sparse",
}


@pytest.mark.parametrize(
    ("estimator", "check"),
    list(
        estimator_checks_generator(small(), expected_failed_checks=EXPECTED_TO_FAIL, mark="xfail")
    ),
    ids=lambda value: getattr(getattr(value, "func", None), "__name__", "sampler"),
)
def test_sampler_passes_imbalanced_learn_checks(estimator, check):
    check(estimator)


@METHODS
def test_sampler_appends_exact_number_of_records(ecg, vqvae, method):
    X, y, groups = ecg
    sampler = small(vqvae=vqvae, method=method, prior_epochs=1)
    X_new, y_new = sampler.fit_resample(X, y, groups=groups)
    assert count(y_new) == {"normal": 30, "lbbb": 30, "afib": 30}
    np.testing.assert_array_equal(X_new[:48], X)
    np.testing.assert_array_equal(y_new[:48], y)
    assert X_new.dtype == X.dtype
    assert np.isfinite(X_new).all()
    assert len(np.unique(X_new[48:], axis=0)) == 42  # all differ
    assert sampler.sampling_strategy_ == {"afib": 24, "lbbb": 18}


def test_sampler_indicator_of_single_labels_equals_classes(ecg, vqvae):
    X, y, _ = ecg
    names = np.unique(y)
    X_classes, y_classes = small(vqvae=vqvae).fit_resample(X, y)
    X_labels, y_labels = small(vqvae=vqvae).fit_resample(X, (y[:, None] == names).astype(int))
    np.testing.assert_array_equal(X_labels, X_classes)
    np.testing.assert_array_equal(names[y_labels.argmax(axis=1)], y_classes)


def test_sampler_returns_labels_as_dataframe(ecg, vqvae):
    frame = pd.DataFrame(make_multilabel(), columns=["a", "b", "c"])
    _, y_new = small(vqvae=vqvae).fit_resample(ecg[0], frame)
    assert y_new.columns.tolist() == ["a", "b", "c"]
    pd.testing.assert_frame_equal(y_new[:48], frame)


def test_sampler_does_not_refit_frozen_vqvae(ecg, vqvae):
    X, y, _ = ecg
    sampler = small(vqvae=vqvae)
    sampler.fit_resample(X, y)
    assert sampler.vqvae_ is vqvae.estimator


def test_sampler_fits_clone_of_vqvae(ecg):
    X, y, _ = ecg
    sampler = small()
    sampler.fit_resample(X, y)
    assert sampler.vqvae_.__sklearn_is_fitted__()
    assert not sampler.vqvae.__sklearn_is_fitted__()


@METHODS
def test_sampler_records_depend_on_seed_only(ecg, method):
    X, y, _ = ecg
    sampler = small(method=method, prior_epochs=1)
    expected, repeated = (sampler.fit_resample(X, y)[0] for _ in range(2))
    np.testing.assert_array_equal(repeated, expected)
    other, _ = sampler.set_params(random_state=1).fit_resample(X, y)
    assert (other[48:] != expected[48:]).any()


class RecordingSampler(VQVAEOverSampler):
    """Records the patients of the pairs."""

    def fit_resample(self, X, y, groups=None):
        resampled = super().fit_resample(X, y, groups=groups)
        self.patients_ = None if groups is None else np.asarray(groups)[self.parents_]
        return resampled


def test_sampler_in_pipeline_gets_groups_of_training_fold(ecg, vqvae):
    X, y, groups = ecg
    with config_context(enable_metadata_routing=True):
        sampler = RecordingSampler(vqvae=vqvae, random_state=0)
        sampler.set_fit_resample_request(groups=True)
        bell = BELLPretrainer(max_epochs=0, random_state=0)
        pipeline = make_pipeline(sampler, bell, StandardScaler(), LogisticRegression())
        search = GridSearchCV(
            pipeline, {"recordingsampler__alpha": [0.1, 0.5]}, cv=GroupKFold(3), error_score="raise"
        )
        search.fit(X, y, groups=groups)
        scores = cross_validate(
            pipeline, X, y, params={"groups": groups}, cv=GroupKFold(3), error_score="raise",
            return_estimator=True, return_indices=True,
        )  # fmt: skip
    folds = [groups, *(groups[rows] for rows in scores["indices"]["train"])]
    for pipeline, patients in zip(
        [search.best_estimator_, *scores["estimator"]], folds, strict=True
    ):
        assert len(pipeline[0].patients_) > 0
        assert (pipeline[0].patients_[:, 0] != pipeline[0].patients_[:, 1]).all()
        assert np.isin(pipeline[0].patients_, patients).all()


def test_sampler_works_within_and_before_classifier(ecg, vqvae):
    X, y, _ = ecg
    classifier = ECGClassifier(
        BELLPretrainer(max_epochs=1), sampler=small(vqvae=vqvae), max_epochs=1, random_state=0
    )
    assert set(classifier.fit(X, y).predict(X)) <= set(y)
    one_patient = np.where(y == "afib", -1, np.arange(48))
    with pytest.raises(InvalidECGError, match="of 1 patient"):  # groups reach the sampler
        classifier.fit(X, y, groups=one_patient)
    pipeline = make_pipeline(small(vqvae=vqvae), clone(classifier).set_params(sampler=None))
    assert set(pipeline.fit(X, y).predict(X)) <= set(y)


@pytest.mark.parametrize(
    ("params", "rows", "message"),
    [
        ({}, [*range(12), 42], "Class afib has 1 record.* method='sample'"),
        ({"n_neighbors": 6}, slice(None), "n_neighbors is 6, .* afib has only 5 possible"),
        ({"sampling_strategy": {"pvc": 9}}, slice(None), "'pvc'.* afib: 6, lbbb: 12, normal: 30"),
        ({"sampling_strategy": {"afib": 2}}, slice(None), "greater or equal"),
        ({"alpha": 0.0}, slice(None), "alpha"),
        ({"method": "smote"}, slice(None), "method"),
    ],
)
def test_sampler_invalid_parameters_raise(ecg, vqvae, params, rows, message):
    X, y, _ = ecg
    with pytest.raises(ValueError, match=message):
        small(vqvae=vqvae, **params).fit_resample(X[rows], y[rows])


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([*range(42), *[42] * 6], r"Class afib has 6 record\(s\) of 1 patient"),
        (np.arange(47), r"groups has shape .47,., but there are 48 records"),
        ([np.nan] * 48, "are missing"),
        ([None, *range(47)], "are missing"),
        (["a", *[np.nan] * 47], "are missing"),
    ],
)
def test_sampler_invalid_groups_raise(ecg, vqvae, groups, message):
    X, y, _ = ecg
    with pytest.raises(InvalidECGError, match=message):
        small(vqvae=vqvae).fit_resample(X, y, groups=groups)


def test_sampler_nan_error_names_position(ecg, vqvae):
    X, y, _ = ecg
    X = X.copy()
    X[7, 1, 3] = np.nan
    with pytest.raises(InvalidECGError, match="record 7, lead 1, sample 3"):
        small(vqvae=vqvae).fit_resample(X, y)


def test_sampler_frozen_vqvae_of_other_shape_raises(ecg, vqvae):
    X, y, _ = ecg
    with pytest.raises(
        InvalidECGError,
        match=r"shape \(2, 200\), but the frozen VQVAETransformer was fitted on \(2, 300\)",
    ):
        small(vqvae=vqvae).fit_resample(X[:, :, :200], y)


@METHODS
@pytest.mark.parametrize("is_multilabel", [False, True])
def test_sampler_returns_unlabelled_records_unchanged(ecg, vqvae, method, is_multilabel):
    X, y, _ = ecg
    y = make_multilabel() if is_multilabel else np.unique(y, return_inverse=True)[1]
    y[::4] = -1
    _, y_new = small(vqvae=vqvae, method=method, prior_epochs=1).fit_resample(X, y)
    np.testing.assert_array_equal(y_new[:48], y)
    assert (y_new[48:] >= 0).all()
    if not is_multilabel:
        assert len(set(np.bincount(y_new[y_new >= 0]))) == 1


@pytest.mark.parametrize("transformer", [BELLPretrainer(max_epochs=0), StandardScaler()])
def test_sampler_vqvae_of_other_type_raises(ecg, transformer):
    X, y, _ = ecg
    with pytest.raises(InvalidECGError, match="vqvae to be a VQVAETransformer"):
        small(vqvae=transformer).fit_resample(X, y)


def test_sampler_returns_sparse_indicator(ecg, vqvae):
    y = make_multilabel()
    _, expected = small(vqvae=vqvae).fit_resample(ecg[0], y)
    _, y_new = small(vqvae=vqvae).fit_resample(ecg[0], sparse.csr_array(y))
    assert isinstance(y_new, sparse.csr_array)
    np.testing.assert_array_equal(y_new.toarray(), expected)


@pytest.mark.parametrize("dtype", ["Int64", "boolean", object])
def test_sampler_accepts_nullable_indicator(ecg, vqvae, dtype):
    y = make_multilabel()
    _, expected = small(vqvae=vqvae).fit_resample(ecg[0], y)
    _, y_new = small(vqvae=vqvae).fit_resample(ecg[0], pd.DataFrame(y).astype(dtype))
    np.testing.assert_array_equal(y_new.to_numpy(dtype=int), expected)


def test_sampler_accepts_frozen_vqvae_of_dataframe():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(20, 30))).rename(columns=str)
    vqvae = FrozenEstimator(clone(small().vqvae).fit(frame))
    X_new, _ = small(vqvae=vqvae).fit_resample(frame, np.arange(20) < 5)
    assert X_new.columns.tolist() == frame.columns.tolist()


def test_sampler_pickles_after_fit_resample(ecg):
    X, y, _ = ecg
    sampler = small()
    sampler.fit_resample(X, y)
    loaded = pickle.loads(pickle.dumps(sampler))
    np.testing.assert_array_equal(loaded.parents_, sampler.parents_)
    np.testing.assert_array_equal(loaded.vqvae_.transform(X), sampler.vqvae_.transform(X))


def test_sampler_adds_no_records_to_balanced_classes(ecg, vqvae):
    X, y, _ = ecg
    rows = np.flatnonzero((y == "normal") | (y == "lbbb"))[18:]  # 12 of each
    sampler = small(vqvae=vqvae)
    X_new, y_new = sampler.fit_resample(X[rows], y[rows])
    np.testing.assert_array_equal(X_new, X[rows])
    np.testing.assert_array_equal(y_new, y[rows])
    assert (sampler.parents_.shape, sampler.alpha_.shape) == ((0, 2), (0,))


def test_sampler_errors_precede_vqvae_fit(ecg):
    X, y, _ = ecg

    class Unwilling(VQVAETransformer):
        def fit(self, X, y=None):
            raise AssertionError("is fitted")

    with pytest.raises(InvalidECGError, match="n_neighbors is 6"):
        small(vqvae=Unwilling(), n_neighbors=6).fit_resample(X, y)
