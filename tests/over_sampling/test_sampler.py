import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from imblearn.pipeline import make_pipeline
from imblearn.utils.estimator_checks import estimator_checks_generator
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_validate
from sklearn.preprocessing import StandardScaler

from sklearn_bell import BELLPretrainer, ECGClassifier, VQVAEOverSampler, VQVAETransformer
from sklearn_bell.datasets import make_ecg
from sklearn_bell.exceptions import InvalidECGError, RecordWarning
from sklearn_bell.feature_extraction import detect_qrs
from sklearn_bell.over_sampling._beat_alignment import align_beats


def small(**params):
    vqvae = VQVAETransformer(width=8, n_codes=16, n_features=8, max_epochs=1)
    return VQVAEOverSampler(vqvae=vqvae, random_state=0).set_params(**params)


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


@pytest.fixture(scope="module")
def ecg():
    """Records, classes (30 normal, 12 lbbb, 6 afib) and patients of two records each."""
    ecg = make_ecg(
        120, classes=["normal", "lbbb", "afib"], leads=["II", "V1"], duration=3, sampling_rate=100,
        random_state=0,
    )  # fmt: skip
    rows = np.concatenate([np.flatnonzero(ecg.target == c)[:n] for c, n in enumerate((30, 12, 6))])
    names = np.array(["normal", "lbbb", "afib"])
    return ecg.data[rows], names[ecg.target[rows]], np.arange(48) // 2


@pytest.fixture(scope="module")
def vqvae(ecg):
    """Frozen VQ-VAE, fitted once."""
    vqvae = VQVAETransformer(
        n_codes=64, n_features=8, width=16, max_epochs=60, lr=4e-3, random_state=0
    )
    return FrozenEstimator(vqvae.fit(ecg[0]))


def count(y):
    return dict(zip(*np.unique(y, return_counts=True), strict=True))


METHODS = pytest.mark.parametrize("method", ["interpolate", "sample", "prior"])
ALIGNED = pytest.mark.parametrize("sampling_rate", [None, 100])


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


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("minority", {"afib": 30, "lbbb": 12, "normal": 30}),
        ("not minority", {"afib": 6, "lbbb": 30, "normal": 30}),
        ({"afib": 20}, {"afib": 20, "lbbb": 12, "normal": 30}),
        (lambda y: {"lbbb": 2 * (y == "lbbb").sum()}, {"afib": 6, "lbbb": 24, "normal": 30}),
    ],
)
def test_sampler_follows_sampling_strategy(ecg, vqvae, strategy, expected):
    X, y, _ = ecg
    _, y_new = small(vqvae=vqvae, sampling_strategy=strategy).fit_resample(X, y)
    assert count(y_new) == expected


def test_sampler_float_strategy_is_ratio_of_two_classes(ecg, vqvae):
    X, y, _ = ecg
    rows = y != "afib"
    sampler = small(vqvae=vqvae, sampling_strategy=0.8)
    _, y_new = sampler.fit_resample(X[rows], y[rows])
    assert (y_new == "lbbb").sum() == 24


def test_sampler_pairs_share_class_but_not_patient(ecg, vqvae):
    X, y, groups = ecg
    sampler = small(vqvae=vqvae)
    _, y_new = sampler.fit_resample(X, y, groups=groups)
    assert sampler.parents_.shape == (42, 2)
    np.testing.assert_array_equal(y[sampler.parents_], np.stack([y_new[48:]] * 2, axis=1))
    first, second = groups[sampler.parents_].T
    assert (first != second).all()
    assert ((sampler.alpha_ >= 0) & (sampler.alpha_ <= 0.5)).all()


@ALIGNED
def test_sampler_interpolation_matches_network(ecg, vqvae, sampling_rate):
    X, y, _ = ecg
    sampler = small(vqvae=vqvae, alpha=1.0, sampling_rate=sampling_rate)
    X_new, _ = sampler.fit_resample(X, y)
    first, second = (X[rows] for rows in sampler.parents_.T)
    if sampling_rate is not None:
        beats = [[sampling_rate * times for times in detect_qrs(x, 100)] for x in (first, second)]
        second = np.stack([align_beats(x, b, a) for x, a, b in zip(second, *beats, strict=True)])
    network = vqvae.estimator.vqvae_
    with torch.no_grad():
        first, second = (network.encode(torch.tensor(x)) for x in (first, second))
        alpha = torch.tensor(sampler.alpha_, dtype=torch.float32)[:, None, None]
        mixed = network.quantizer((1 - alpha) * first + alpha * second)[0]
        expected = network.decode(mixed, X.shape[2:])
    # rounding may change codes of latents between two vectors
    is_close = np.isclose(X_new[48:], expected, atol=1e-4).all(axis=(1, 2))
    assert is_close.mean() > 0.9


def test_sampler_alignment_keeps_beats_of_first_record(ecg, vqvae):
    X, y, _ = ecg

    def fraction_with_beats_of_first(sampling_rate):
        sampler = small(vqvae=vqvae, sampling_strategy={"lbbb": 60}, alpha=1.0)
        X_new, _ = sampler.set_params(sampling_rate=sampling_rate).fit_resample(X, y)
        beats = zip(detect_qrs(X[sampler.parents_[:, 0]]), detect_qrs(X_new[48:]), strict=True)
        return np.mean([len(a) == len(b) and np.abs(a - b).max() < 0.05 for a, b in beats])

    assert fraction_with_beats_of_first(100) > 0.9
    assert fraction_with_beats_of_first(None) < 0.7


def test_sampler_temperature_sets_distance_from_reconstruction(ecg, vqvae):
    X, y, _ = ecg
    sampler = small(vqvae=vqvae, method="sample", temperature=1e-6)
    cold, _ = sampler.fit_resample(X, y)
    rows, second_rows = sampler.parents_.T
    np.testing.assert_array_equal(rows, second_rows)
    expected = vqvae.estimator.inverse_transform(vqvae.transform(X[rows]))
    assert np.isclose(cold[48:], expected, atol=1e-4).all(axis=(1, 2)).mean() > 0.9
    warm, _ = sampler.set_params(temperature=3.0).fit_resample(X, y)
    assert np.abs(warm[48:] - expected).mean() > np.abs(cold[48:] - expected).mean()


def test_sampler_verbose_prints_epochs_of_prior(ecg, vqvae, tmp_path, capsys):
    X, y, _ = ecg
    sampler = small(vqvae=vqvae, method="prior", prior_epochs=2, checkpoint=tmp_path)
    expected, _ = sampler.fit_resample(X, y)
    assert capsys.readouterr().out == ""
    verbose = clone(sampler).set_params(verbose=True)
    np.testing.assert_array_equal(verbose.fit_resample(X, y)[0], expected)
    assert capsys.readouterr().out == ""  # the checkpoint is complete
    X_new, _ = verbose.set_params(checkpoint=None).fit_resample(X, y)
    np.testing.assert_array_equal(X_new, expected)
    lines = [line.split(": loss")[0] for line in capsys.readouterr().out.splitlines()]
    assert lines == [f"[VQVAEOverSampler] epoch {number} of 2" for number in (1, 2)]


def test_sampler_prior_has_no_source_rows(ecg, vqvae):
    X, y, _ = ecg
    sampler = small(vqvae=vqvae, method="prior", prior_epochs=1)
    sampler.fit_resample(X, y)
    assert (sampler.parents_ == -1).all()
    assert (sampler.alpha_ == 0).all()


@ALIGNED
def test_sampler_neighbors_are_nearest_of_other_patients(ecg, vqvae, sampling_rate):
    X, y, groups = ecg
    sampler = small(vqvae=vqvae, n_neighbors=2, sampling_strategy={"lbbb": 60})
    sampler.set_params(sampling_rate=sampling_rate).fit_resample(X, y, groups=groups)
    z = vqvae.estimator.vqvae_.encode(torch.tensor(X)).detach().numpy()
    z = z.reshape(48, -1) if sampling_rate is None else pool(z)
    rows = np.flatnonzero(y == "lbbb")
    for first, second in sampler.parents_:
        candidates = rows[groups[rows] != groups[first]]
        distances = np.linalg.norm(z[candidates] - z[first], axis=1)
        assert second in candidates[np.argsort(distances)[:2]]


def pool(z):
    return np.concatenate([z.mean(axis=1), z.std(axis=1)], axis=1)


def make_multilabel():
    """Return an indicator: label 0 always co-occurs with the frequent label 2, label 1 often."""
    y = np.zeros((48, 3), int)
    y[:8, 0] = y[30:46, 1] = y[:40, 2] = 1
    return y


@METHODS
def test_sampler_multilabel_adds_no_avoidable_labels(ecg, vqvae, method):
    X, y = ecg[0], make_multilabel()
    sampler = small(vqvae=vqvae, method=method, prior_epochs=1)
    X_new, y_new = sampler.fit_resample(X, y)
    counts, labels = y_new.sum(axis=0), y_new[48:]
    assert counts[0] == counts[1] == 40
    assert counts[2] == 40 + (labels[:, 0] == 1).sum()  # co-occurs always
    assert (labels[:, 1] * labels[:, 2] == 0).all()  # co-occurs in half of the records
    assert len(X_new) == len(y_new) == 48 + 32 + 24
    if method == "interpolate":
        np.testing.assert_array_equal(labels, y[sampler.parents_].all(axis=1))


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


def test_sampler_latent_filter_accepts_records_near_class_mean(ecg, vqvae):
    X, y, _ = ecg
    unfiltered = small(vqvae=vqvae, method="sample", temperature=2.0)
    unfiltered.set_params(sampling_strategy={"lbbb": 60})
    filtered = clone(unfiltered).set_params(filter="latent", max_redraws=50)
    reconstructed = vqvae.estimator.inverse_transform(vqvae.transform(X))

    def is_near(X_new):
        x = torch.tensor(np.concatenate([reconstructed, X_new]))
        z = pool(vqvae.estimator.vqvae_.encode(x).detach().numpy())
        z /= z[:48].std(axis=0)
        members = z[:48][y == "lbbb"]
        distances = np.linalg.norm(z - members.mean(axis=0), axis=1)
        return distances[48:] <= 1.001 * np.quantile(distances[:48][y == "lbbb"], 0.95)

    assert not is_near(unfiltered.fit_resample(X, y)[0][48:]).all()
    assert is_near(filtered.fit_resample(X, y)[0][48:]).all()


class RejectingFilter(LogisticRegression):
    """Predicts normal always, and records the batch sizes."""

    def fit(self, X, y):
        self.batch_sizes_ = []
        RejectingFilter.last = self
        return self

    def predict(self, X):
        self.batch_sizes_.append(len(X))
        return np.full(len(X), "normal")


def test_sampler_stops_redrawing_after_max_redraws(ecg, vqvae):
    X, y, _ = ecg
    sampler = small(vqvae=vqvae, filter=RejectingFilter(), max_redraws=3)
    sampler.set_params(sampling_strategy={"afib": 10})
    with pytest.warns(RecordWarning, match=r"4 of 4 synthetic records, .*max_redraws=3") as warned:
        _, y_new = sampler.fit_resample(X, y)
    assert warned[0].filename == __file__
    assert RejectingFilter.last.batch_sizes_ == [4, 4, 4, 4]
    assert (y_new == "afib").sum() == 10


def test_sampler_classifier_filter_predicts_labels_of_accepted_records(ecg, vqvae):
    X, y, _ = ecg
    model = make_pipeline(BELLPretrainer(max_epochs=0), StandardScaler(), LogisticRegression())
    model.set_params(bellpretrainer__random_state=0)
    sampler = small(vqvae=vqvae, filter=model, max_redraws=30)
    X_new, y_new = sampler.fit_resample(X, y)
    again = clone(model).fit(X, y)
    np.testing.assert_array_equal(again.predict(X_new[48:]), y_new[48:])


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


def test_errors_come_before_the_vqvae_is_fitted(ecg):
    X, y, _ = ecg

    class Unwilling(VQVAETransformer):
        def fit(self, X, y=None):
            raise AssertionError("is fitted")

    with pytest.raises(InvalidECGError, match="n_neighbors is 6"):
        small(vqvae=Unwilling(), n_neighbors=6).fit_resample(X, y)


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


@pytest.mark.parametrize("method", ["interpolate", "sample"])
def test_sampler_multilabel_counts_are_exact_if_possible(ecg, vqvae, method):
    X, _, _ = ecg
    y = np.zeros((48, 2), int)
    y[:12, 0], y[6:40, 1] = 1, 1  # half of the records of label 0 have label 1
    sampler = small(vqvae=vqvae, method=method, sampling_strategy={0: 40, 1: 36})
    assert sampler.fit_resample(X, y)[1].sum(axis=0).tolist() == [40, 36]


@pytest.mark.parametrize("is_multilabel", [False, True])
def test_sampler_filter_gets_2d_x_and_seed(ecg, vqvae, is_multilabel):
    X, y, _ = ecg
    y = np.stack([y == "afib", y == "lbbb"], axis=1).astype(int) if is_multilabel else y
    model = make_pipeline(StandardScaler(), RandomForestClassifier(n_estimators=5))
    sampler = small(filter=model, method="sample", max_redraws=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecordWarning)
        expected, repeated = (sampler.fit_resample(X[:, 0], y)[0] for _ in range(2))
    np.testing.assert_array_equal(repeated, expected)


def test_sampler_latent_filter_accepts_all_of_single_record_class(ecg, vqvae):
    X, y, _ = ecg
    rows = [*range(30), 42]
    sampler = small(vqvae=vqvae, method="sample", filter="latent", sampling_strategy={"afib": 9})
    _, y_new = sampler.fit_resample(X[rows], y[rows])
    assert (y_new == "afib").sum() == 9


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


def test_sampler_prefers_pairs_with_equal_labels(ecg, vqvae):
    X, _, _ = ecg
    y = np.zeros((48, 2), int)
    y[:12, 0], y[6:24, 1] = 1, 1  # half of the records of label 0 have label 1
    sampler = small(vqvae=vqvae, sampling_strategy={0: 30, 1: 40})
    sampler.fit_resample(X, y)
    np.testing.assert_array_equal(*(y[rows] for rows in sampler.parents_.T))


def test_sampler_combines_rare_labels_that_add_a_frequent_one(ecg, vqvae):
    X, _, _ = ecg
    y = np.zeros((48, 3), int)
    y[:40, 2] = 1
    y[:16, 0], y[8:24, 1] = 1, 1  # always with label 2, half of them with each other
    _, y_new = small(vqvae=vqvae).fit_resample(X, y)
    assert y_new[:, 0].sum() == y_new[:, 1].sum() == 40
    assert y_new[:, 2].sum() <= 40 + 30  # instead of 24 for each rare label


@pytest.mark.parametrize("method", ["sample", "prior"])
def test_sampler_lowest_temperature_is_finite(ecg, vqvae, method):
    sampler = small(vqvae=vqvae, method=method, prior_epochs=1, temperature=1e-300)
    X_new, _ = sampler.fit_resample(ecg[0], np.arange(48) < 3)
    assert np.isfinite(X_new).all()
    if method == "sample":  # all are reconstructions of three records
        assert len(np.unique(np.round(X_new[48:], 3), axis=0)) == 3


def test_sampler_filter_of_other_classes_raises(ecg, vqvae):
    X, y, _ = ecg
    model = FrozenEstimator(LogisticRegression().fit(X[:, 0], np.arange(48) % 3))
    with pytest.raises(InvalidECGError, match=r"filter predicts the classes .* but y has"):
        small(vqvae=vqvae, filter=model).fit_resample(X, y)


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
