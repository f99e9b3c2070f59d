import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
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
from sklearn_bell.over_sampling._beat_alignment import aligned


def small(**params):
    vqvae = VQVAETransformer(width=8, n_codes=16, n_features=8, max_epochs=1)
    return VQVAEOverSampler(vqvae=vqvae, random_state=0).set_params(**params)


EXPECTED_TO_FAIL = {
    "check_target_type": "wants a multi-label y to be refused, which is taken here",
    "check_samplers_pandas_sparse": "wants sparse dataframes, and there are no sparse ECGs",
}


@pytest.mark.parametrize(
    ("estimator", "check"),
    list(
        estimator_checks_generator(small(), expected_failed_checks=EXPECTED_TO_FAIL, mark="xfail")
    ),
    ids=lambda one: getattr(getattr(one, "func", None), "__name__", "sampler"),
)
def test_imbalanced_learn_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def ecg():
    """Thirty normal records, twelve with a block, six fibrillating; patients of two records."""
    ecg = make_ecg(
        120, classes=["normal", "lbbb", "afib"], leads=["II", "V1"], duration=3, sampling_rate=100,
        random_state=0,
    )  # fmt: skip
    rows = np.concatenate(
        [np.flatnonzero(ecg.target == c)[:n] for c, n in ((0, 30), (1, 12), (2, 6))]
    )
    names = np.array(["normal", "lbbb", "afib"])
    return ecg.data[rows], names[ecg.target[rows]], np.arange(48) // 2


@pytest.fixture(scope="module")
def vqvae(ecg):
    """Fitted once for all tests that do not ask how."""
    vqvae = VQVAETransformer(
        n_codes=64, n_features=8, width=16, max_epochs=60, lr=4e-3, random_state=0
    )
    return FrozenEstimator(vqvae.fit(ecg[0]))


METHODS = pytest.mark.parametrize("method", ["interpolate", "sample", "prior"])
ALIGNED = pytest.mark.parametrize("sampling_rate", [None, 100])


@METHODS
def test_counts_are_exact_and_originals_come_first(ecg, vqvae, method):
    X, y, groups = ecg
    sampler = small(vqvae=vqvae, method=method, prior_epochs=1)
    X_new, y_new = sampler.fit_resample(X, y, groups=groups)
    assert dict(zip(*np.unique(y_new, return_counts=True), strict=True)) == dict.fromkeys(
        ["normal", "lbbb", "afib"], 30
    )
    np.testing.assert_array_equal(X_new[:48], X)
    np.testing.assert_array_equal(y_new[:48], y)
    assert X_new.dtype == X.dtype
    assert np.isfinite(X_new).all()
    assert len(np.unique(X_new[48:], axis=0)) == 42  # none made twice
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
def test_strategies_are_those_of_imbalanced_learn(ecg, vqvae, strategy, expected):
    X, y, _ = ecg
    _, y_new = small(vqvae=vqvae, sampling_strategy=strategy).fit_resample(X, y)
    assert dict(zip(*np.unique(y_new, return_counts=True), strict=True)) == expected


def test_a_float_is_the_ratio_of_two_classes(ecg, vqvae):
    X, y, _ = ecg
    two = y != "afib"
    sampler = small(vqvae=vqvae, sampling_strategy=0.8)
    _, y_new = sampler.fit_resample(X[two], y[two])
    assert (y_new == "lbbb").sum() == 24


def test_parents_are_of_the_class_and_of_different_patients(ecg, vqvae):
    X, y, groups = ecg
    sampler = small(vqvae=vqvae)
    _, y_new = sampler.fit_resample(X, y, groups=groups)
    assert sampler.parents_.shape == (42, 2)
    for parent in sampler.parents_.T:
        np.testing.assert_array_equal(y[parent], y_new[48:])
    first, second = groups[sampler.parents_].T
    assert (first != second).all()
    assert ((sampler.alpha_ >= 0) & (sampler.alpha_ <= 0.5)).all()


@ALIGNED
def test_a_child_is_decoded_from_the_mixed_latents_of_its_parents(ecg, vqvae, sampling_rate):
    import torch

    X, y, _ = ecg
    sampler = small(vqvae=vqvae, alpha=1.0, sampling_rate=sampling_rate)
    X_new, _ = sampler.fit_resample(X, y)
    first, second = (X[rows] for rows in sampler.parents_.T)
    if sampling_rate is not None:
        beats = [[sampling_rate * at for at in detect_qrs(x, 100)] for x in (first, second)]
        second = np.stack([aligned(x, b, a) for x, a, b in zip(second, *beats, strict=True)])
    network = vqvae.estimator.vqvae_
    with torch.no_grad():
        one, other = (network.encode(torch.tensor(x)) for x in (first, second))
        alpha = torch.tensor(sampler.alpha_, dtype=torch.float32)[:, None, None]
        mixed = network.quantizer((1 - alpha) * one + alpha * other)[0]
        expected = network.decode(mixed, X.shape[2:])
    # where two vectors are equally near, either is right
    close = np.isclose(X_new[48:], expected, atol=1e-4).all(axis=(1, 2))
    assert close.mean() > 0.9


def test_beats_of_a_child_are_those_of_its_first_parent(ecg, vqvae):
    X, y, _ = ecg

    def share_with_beats_of_first(sampling_rate):
        sampler = small(vqvae=vqvae, sampling_strategy={"lbbb": 60}, alpha=1.0)
        X_new, _ = sampler.set_params(sampling_rate=sampling_rate).fit_resample(X, y)
        both = zip(detect_qrs(X[sampler.parents_[:, 0]]), detect_qrs(X_new[48:]), strict=True)
        return np.mean([len(a) == len(b) and np.abs(a - b).max() < 0.05 for a, b in both])

    assert share_with_beats_of_first(100) > 0.9
    assert share_with_beats_of_first(None) < 0.7


def test_sampling_coldly_gives_the_record_as_it_comes_back(ecg, vqvae):
    X, y, _ = ecg
    sampler = small(vqvae=vqvae, method="sample", temperature=1e-6)
    X_new, _ = sampler.fit_resample(X, y)
    parents, twice = sampler.parents_.T
    np.testing.assert_array_equal(parents, twice)
    transformer = vqvae.estimator
    expected = transformer.inverse_transform(transformer.transform(X[parents]))
    assert np.isclose(X_new[48:], expected, atol=1e-4).all(axis=(1, 2)).mean() > 0.9
    warm, _ = sampler.set_params(temperature=3.0).fit_resample(X, y)
    assert np.abs(warm[48:] - expected).mean() > np.abs(X_new[48:] - expected).mean()


def test_epochs_of_a_prior_are_told_when_asked_for_and_change_nothing(ecg, vqvae, tmp_path, capsys):
    sampler = small(vqvae=vqvae, method="prior", prior_epochs=2, checkpoint=tmp_path)
    expected, _ = sampler.fit_resample(*ecg[:2])
    assert capsys.readouterr().out == ""
    loud = clone(sampler).set_params(verbose=True)
    np.testing.assert_array_equal(loud.fit_resample(*ecg[:2])[0], expected)
    assert capsys.readouterr().out == ""  # nothing was left to do
    found, _ = loud.set_params(checkpoint=None).fit_resample(*ecg[:2])
    np.testing.assert_array_equal(found, expected)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": loss")[0] for line in lines] == [
        f"[VQVAEOverSampler] epoch {number} of 2" for number in (1, 2)
    ]


def test_a_prior_has_no_parents(ecg, vqvae):
    X, y, _ = ecg
    sampler = small(vqvae=vqvae, method="prior", prior_epochs=1)
    sampler.fit_resample(X, y)
    assert (sampler.parents_ == -1).all()
    assert (sampler.alpha_ == 0).all()


@ALIGNED
def test_neighbours_are_the_nearest_of_other_patients(ecg, vqvae, sampling_rate):
    X, y, groups = ecg
    sampler = small(vqvae=vqvae, n_neighbors=2, sampling_strategy={"lbbb": 60})
    sampler.set_params(sampling_rate=sampling_rate).fit_resample(X, y, groups=groups)
    latents = vqvae.estimator.vqvae_.encode(_tensor(X)).detach().numpy()
    if sampling_rate is None:
        latents = latents.reshape(48, -1)
    else:  # whenever beats come
        latents = np.concatenate([latents.mean(axis=1), latents.std(axis=1)], axis=1)
    rows = np.flatnonzero(y == "lbbb")
    for one, other in sampler.parents_:
        others = rows[groups[rows] != groups[one]]
        distances = np.linalg.norm(latents[others] - latents[one], axis=1)
        assert other in others[np.argsort(distances)[:2]]


def _tensor(X):
    import torch

    return torch.tensor(X)


def several_labels(ecg):
    """The last column is of nearly all, the first always with it, the second alone, too."""
    X, _, _ = ecg
    y = np.zeros((48, 3), int)
    y[:40, 2] = 1
    y[:8, 0] = 1
    y[30:46, 1] = 1
    return X, y


@METHODS
def test_rare_labels_are_raised_and_common_ones_no_more_than_they_must(ecg, vqvae, method):
    X, y = several_labels(ecg)
    sampler = small(vqvae=vqvae, method=method, prior_epochs=1)
    X_new, y_new = sampler.fit_resample(X, y)
    counts, new = y_new.sum(axis=0), y_new[48:]
    assert counts[0] == counts[1] == 40
    assert counts[2] == 40 + (new[:, 0] == 1).sum()  # which always come along
    assert (new[:, 1] * new[:, 2] == 0).all()  # though half of the second have the last, too
    assert len(X_new) == len(y_new) == 48 + 32 + 24
    if method == "interpolate":
        np.testing.assert_array_equal(new, y[sampler.parents_].all(axis=1))


def test_an_indicator_of_one_label_each_gives_the_same_as_classes(ecg, vqvae):
    X, y, _ = ecg
    names = np.unique(y)
    X_one, y_one = small(vqvae=vqvae).fit_resample(X, y)
    X_two, y_two = small(vqvae=vqvae).fit_resample(X, (y[:, None] == names).astype(int))
    np.testing.assert_array_equal(X_one, X_two)
    np.testing.assert_array_equal(y_one, names[y_two.argmax(axis=1)])


def test_dataframes_of_labels_stay_dataframes(ecg, vqvae):
    X, y = several_labels(ecg)
    frame = pd.DataFrame(y, columns=["a", "b", "c"])
    _, y_new = small(vqvae=vqvae).fit_resample(X, frame)
    assert y_new.columns.tolist() == ["a", "b", "c"]
    pd.testing.assert_frame_equal(y_new[:48], frame)


def test_the_filter_in_latent_space_keeps_what_is_near_its_class(ecg, vqvae):
    X, y, _ = ecg
    strategy = {"lbbb": 60}
    free = small(vqvae=vqvae, method="sample", temperature=2.0, sampling_strategy=strategy)
    kept = clone(free).set_params(filter="latent", max_redraws=50)

    def distances(X_new):
        back = vqvae.estimator.inverse_transform(vqvae.transform(X))
        z = vqvae.estimator.vqvae_.encode(_tensor(np.concatenate([back, X_new])))
        z = z.detach().numpy()
        places = np.concatenate([z.mean(axis=1), z.std(axis=1)], axis=1)
        places /= places[:48].std(axis=0)
        its = places[:48][y == "lbbb"]
        limit = np.quantile(np.linalg.norm(its - its.mean(axis=0), axis=1), 0.95)
        return np.linalg.norm(places[48:] - its.mean(axis=0), axis=1), limit

    found, limit = distances(free.fit_resample(X, y)[0][48:])
    assert (found > limit).any()
    found, limit = distances(kept.fit_resample(X, y)[0][48:])
    assert (found <= limit * 1.001).all()


class Never(LogisticRegression):
    """Finds everything normal, and counts how often it is asked."""

    def fit(self, X, y):
        self.asked_ = []
        Never.last = self
        return self

    def predict(self, X):
        self.asked_.append(len(X))
        return np.full(len(X), "normal")


def test_a_filter_that_refuses_all_is_not_asked_for_ever(ecg, vqvae):
    X, y, _ = ecg
    sampler = small(vqvae=vqvae, filter=Never(), max_redraws=3, sampling_strategy={"afib": 10})
    with pytest.warns(RecordWarning, match=r"4 of 4 new records .* 3 made in their place"):
        _, y_new = sampler.fit_resample(X, y)
    assert Never.last.asked_ == [4, 4, 4, 4]
    assert (y_new == "afib").sum() == 10


def test_a_classifier_as_filter_finds_what_is_kept(ecg, vqvae):
    X, y, _ = ecg
    model = make_pipeline(BELLPretrainer(max_epochs=0), StandardScaler(), LogisticRegression())
    model.set_params(bellpretrainer__random_state=0)
    sampler = small(vqvae=vqvae, filter=model, max_redraws=30)
    X_new, y_new = sampler.fit_resample(X, y)
    again = clone(model).fit(X, y)
    np.testing.assert_array_equal(again.predict(X_new[48:]), y_new[48:])


def test_a_frozen_vqvae_is_used_as_it_is_and_another_is_fitted(ecg, vqvae):
    X, y, _ = ecg
    sampler = small(vqvae=vqvae)
    sampler.fit_resample(X, y)
    assert sampler.vqvae_ is vqvae.estimator
    given = small().vqvae
    sampler = small(vqvae=given)
    sampler.fit_resample(X, y)
    assert sampler.vqvae_ is not given
    assert not given.__sklearn_is_fitted__()


@METHODS
def test_the_same_seed_makes_the_same_records(ecg, method):
    X, y, _ = ecg
    sampler = small(method=method, prior_epochs=1)
    one, other = (sampler.fit_resample(X, y)[0] for _ in range(2))
    np.testing.assert_array_equal(one, other)
    different, _ = sampler.set_params(random_state=1).fit_resample(X, y)
    assert (different[48:] != one[48:]).any()


class Spy(VQVAEOverSampler):
    """Remembers the patients of parents."""

    def fit_resample(self, X, y, groups=None):
        found = super().fit_resample(X, y, groups=groups)
        self.patients_ = None if groups is None else np.asarray(groups)[self.parents_]
        return found


def test_works_in_a_pipeline_under_a_grid_search_and_gets_patients_by_routing(ecg, vqvae):
    X, y, groups = ecg
    with config_context(enable_metadata_routing=True):
        sampler = Spy(vqvae=vqvae, random_state=0).set_fit_resample_request(groups=True)
        bell = BELLPretrainer(max_epochs=1, random_state=0)
        pipeline = make_pipeline(sampler, bell, StandardScaler(), LogisticRegression())
        search = GridSearchCV(
            pipeline, {"spy__alpha": [0.1, 0.5]}, cv=GroupKFold(3), error_score="raise"
        )
        search.fit(X, y, groups=groups)
        found = cross_validate(
            pipeline, X, y, params={"groups": groups}, cv=GroupKFold(3), error_score="raise",
            return_estimator=True, return_indices=True,
        )  # fmt: skip
    fitted = [(search.best_estimator_[0], groups)]
    for one, rows in zip(found["estimator"], found["indices"]["train"], strict=True):
        fitted.append((one[0], groups[rows]))
    for sampler, patients in fitted:
        assert len(sampler.patients_) > 0
        assert (sampler.patients_[:, 0] != sampler.patients_[:, 1]).all()
        assert np.isin(sampler.patients_, patients).all()  # never from outside the fold


def test_works_within_and_before_the_classifier(ecg, vqvae):
    X, y, _ = ecg
    classifier = ECGClassifier(
        BELLPretrainer(max_epochs=1), sampler=small(vqvae=vqvae), max_epochs=1, random_state=0
    )
    assert set(classifier.fit(X, y).predict(X)) <= set(y)
    one_patient = np.where(y == "afib", -1, np.arange(48))
    with pytest.raises(InvalidECGError, match="of 1 patient"):  # it is given the patients
        classifier.fit(X, y, groups=one_patient)
    pipeline = make_pipeline(small(vqvae=vqvae), clone(classifier).set_params(sampler=None))
    assert set(pipeline.fit(X, y).predict(X)) <= set(y)


@pytest.mark.parametrize(
    ("params", "rows", "message"),
    [
        ({}, [*range(12), 42], "Class afib has 1 record.* method='sample'"),
        ({"n_neighbors": 6}, slice(None), "n_neighbors is 6, but class afib .* 5 possible"),
        ({"sampling_strategy": {"pvc": 9}}, slice(None), "'pvc'"),
        ({"sampling_strategy": {"afib": 2}}, slice(None), "greater or equal"),
        ({"alpha": 0.0}, slice(None), "alpha"),
        ({"method": "smote"}, slice(None), "method"),
    ],
)
def test_what_cannot_be_made_says_why(ecg, vqvae, params, rows, message):
    X, y, _ = ecg
    with pytest.raises(ValueError, match=message):
        small(vqvae=vqvae, **params).fit_resample(X[rows], y[rows])


def test_records_of_one_patient_are_not_mixed(ecg, vqvae):
    X, y, _ = ecg
    with pytest.raises(InvalidECGError, match=r"Class afib has 6 record\(s\) of 1 patient"):
        small(vqvae=vqvae).fit_resample(X, y, groups=np.where(y == "afib", -1, np.arange(48)))
    with pytest.raises(InvalidECGError, match=r"groups has shape .47,., but there are 48 records"):
        small(vqvae=vqvae).fit_resample(X, y, groups=np.arange(47))


def test_a_gap_is_named(ecg, vqvae):
    X, y, _ = ecg
    X = X.copy()
    X[7, 1, 3] = np.nan
    with pytest.raises(InvalidECGError, match="record 7, lead 1, sample 3"):
        small(vqvae=vqvae).fit_resample(X, y)


def test_a_frozen_vqvae_of_other_records_is_refused(ecg, vqvae):
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
def test_unlabelled_records_stay_as_they_are(ecg, vqvae, method):
    X, y, _ = ecg
    y = np.unique(y, return_inverse=True)[1]
    y[::4] = -1
    n_unlabelled = (y == -1).sum()
    sampler = small(vqvae=vqvae, method=method, prior_epochs=1, n_neighbors=None)
    _, y_new = sampler.fit_resample(X, y)
    np.testing.assert_array_equal(y_new[:48], y)
    assert (y_new == -1).sum() == n_unlabelled
    assert len(set(np.bincount(y_new[y_new >= 0]))) == 1
    X_two, y_two = several_labels(ecg)
    y_two[::4] = -1
    _, y_new = small(vqvae=vqvae, method=method, prior_epochs=1).fit_resample(X_two, y_two)
    np.testing.assert_array_equal(y_new[:48], y_two)
    assert (y_new[48:] >= 0).all()


@pytest.mark.parametrize("groups", [[np.nan] * 48, [None, *range(47)], ["a", *[np.nan] * 47]])
def test_missing_patients_are_refused(ecg, vqvae, groups):
    X, y, _ = ecg
    with pytest.raises(InvalidECGError, match="are missing"):
        small(vqvae=vqvae).fit_resample(X, y, groups=groups)


@pytest.mark.parametrize("method", ["interpolate", "sample"])
def test_a_label_with_little_left_is_not_raised_too_far_where_it_need_not(ecg, vqvae, method):
    X, _, _ = ecg
    y = np.zeros((48, 2), int)
    y[:12, 0], y[6:40, 1] = 1, 1  # half of the first have the second, too
    sampler = small(vqvae=vqvae, method=method, sampling_strategy={0: 40, 1: 36})
    assert sampler.fit_resample(X, y)[1].sum(axis=0).tolist() == [40, 36]


@pytest.mark.parametrize("several", [False, True])
def test_a_filter_sees_records_as_they_were_given_and_has_a_seed(ecg, vqvae, several):
    X, y, _ = ecg
    y = np.stack([y == "afib", y == "lbbb"], axis=1).astype(int) if several else y
    model = make_pipeline(StandardScaler(), RandomForestClassifier(n_estimators=5))
    sampler = small(filter=model, method="sample", max_redraws=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecordWarning)
        one, other = (sampler.fit_resample(X[:, 0], y)[0] for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_a_class_of_one_record_is_not_filtered_in_latent_space(ecg, vqvae):
    X, y, _ = ecg
    rows = [*range(30), 42]
    sampler = small(vqvae=vqvae, method="sample", filter="latent", sampling_strategy={"afib": 9})
    _, y_new = sampler.fit_resample(X[rows], y[rows])
    assert (y_new == "afib").sum() == 9


@pytest.mark.parametrize("other", [BELLPretrainer(max_epochs=0), StandardScaler()])
def test_what_is_no_vqvae_is_refused(ecg, other):
    X, y, _ = ecg
    with pytest.raises(InvalidECGError, match="vqvae must be a VQVAETransformer"):
        small(vqvae=other).fit_resample(X, y)


def test_a_sparse_indicator_is_taken(ecg, vqvae):
    X, y = several_labels(ecg)
    _, dense = small(vqvae=vqvae).fit_resample(X, y)
    _, found = small(vqvae=vqvae).fit_resample(X, sparse.csr_array(y))
    assert isinstance(found, sparse.csr_array)
    np.testing.assert_array_equal(found.toarray(), dense)


@pytest.mark.parametrize("dtype", ["Int64", "boolean", object])
def test_an_indicator_of_nullable_columns_is_taken(ecg, vqvae, dtype):
    X, y = several_labels(ecg)
    _, expected = small(vqvae=vqvae).fit_resample(X, y)
    _, found = small(vqvae=vqvae).fit_resample(X, pd.DataFrame(y).astype(dtype))
    np.testing.assert_array_equal(found.to_numpy(dtype=int), expected)


def test_parents_have_the_same_labels_where_such_are_to_be_had(ecg, vqvae):
    X, _, _ = ecg
    y = np.zeros((48, 2), int)
    y[:12, 0], y[6:24, 1] = 1, 1  # half of the first have the second, too
    sampler = small(vqvae=vqvae, sampling_strategy={0: 30, 1: 40})
    sampler.fit_resample(X, y)
    np.testing.assert_array_equal(*(y[rows] for rows in sampler.parents_.T))


def test_where_a_common_label_always_comes_along_children_have_several_rare_ones(ecg, vqvae):
    X, _, _ = ecg
    y = np.zeros((48, 3), int)
    y[:40, 2] = 1
    y[:16, 0], y[8:24, 1] = 1, 1  # always with the last, and half of them with each other
    _, y_new = small(vqvae=vqvae).fit_resample(X, y)
    assert y_new[:, 0].sum() == y_new[:, 1].sum() == 40
    assert y_new[:, 2].sum() <= 40 + 30  # rather than 24 for each of them


@pytest.mark.parametrize("method", ["sample", "prior"])
def test_the_lowest_temperature_gives_the_likeliest_codes(ecg, vqvae, method):
    X, _, _ = ecg
    sampler = small(vqvae=vqvae, method=method, prior_epochs=1, temperature=1e-300)
    one, other = (
        sampler.set_params(random_state=seed).fit_resample(X, np.arange(48) < 3)[0]
        for seed in ((0, 1) if method == "sample" else (0, 0))
    )
    assert np.isfinite(one).all()
    if method == "sample":  # all are of three records as they come back
        assert len(np.unique(np.round(np.concatenate([one[48:], other[48:]]), 3), axis=0)) == 3


def test_a_filter_that_knows_other_classes_is_refused(ecg, vqvae):
    X, y, _ = ecg
    model = FrozenEstimator(LogisticRegression().fit(X[:, 0], np.arange(48) % 3))
    with pytest.raises(InvalidECGError, match=r"filter knows the classes .* but y has"):
        small(vqvae=vqvae, filter=model).fit_resample(X, y)


def test_a_vqvae_of_a_dataframe_may_be_frozen():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(20, 30))).rename(columns=str)
    vqvae = FrozenEstimator(clone(small().vqvae).fit(frame))
    found, _ = small(vqvae=vqvae).fit_resample(frame, np.arange(20) < 5)
    assert found.columns.tolist() == frame.columns.tolist()


def test_a_sampler_pickles_once_it_has_made_records(ecg):
    X, y, _ = ecg
    sampler = small()
    sampler.fit_resample(X, y)
    again = pickle.loads(pickle.dumps(sampler))
    np.testing.assert_array_equal(again.parents_, sampler.parents_)
    np.testing.assert_array_equal(again.vqvae_.transform(X), sampler.vqvae_.transform(X))


def test_a_class_that_is_missing_is_named_beside_those_that_are_not(ecg, vqvae):
    X, y, _ = ecg
    with pytest.raises(InvalidECGError, match=r"'pvc'.* afib: 6, lbbb: 12, normal: 30"):
        small(vqvae=vqvae, sampling_strategy={"pvc": 9}).fit_resample(X, y)
