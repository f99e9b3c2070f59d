"""Vote of the network and forests."""

from functools import partial

import numpy as np
import pytest
from scipy.special import expit, logit, softmax
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.random_projection import GaussianRandomProjection

import sklearn_bell
from sklearn_bell import BELLPretrainer, ECGClassifier, ECGFeatures
from sklearn_bell.datasets import make_ecg
from sklearn_bell.exceptions import InvalidECGError, InvalidFileError
from sklearn_bell.preprocessing import STANDARD_LEADS
from tests.classification._cases import TinyEncoder, tiny_classifier

ECG = make_ecg(60, classes=["normal", "lbbb"], leads=["II", "V1"], random_state=0)
X, Y = ECG.data, ECG.target
X_NEW = make_ecg(40, classes=["normal", "lbbb"], leads=["II", "V1"], noise=4, random_state=1).data
INDICATOR = np.stack([Y, 1 - Y, np.arange(60) % 2], axis=1)
RATE = 100


class Means(TransformerMixin, BaseEstimator):
    """Mean of each lead."""

    def fit(self, X, y=None):
        self.n_fitted_ = len(X)
        return self

    def transform(self, X):
        assert hasattr(self, "n_fitted_")
        return X.mean(axis=-1)


def make_classifier(**params):
    return tiny_classifier(**{"features": "hand-made", "max_epochs": 1, "n_trees": 30} | params)


def network_alone(classifier, X=X):
    logits = classifier._forward("logits", X).astype(float)
    return expit(logits) if classifier._multilabel else softmax(logits, axis=1)


@pytest.mark.parametrize("y", [Y, INDICATOR], ids=["classes", "indicator"])
def test_probability_is_the_mean_of_network_and_forests(y):
    classifier = make_classifier(max_epochs=3).fit(X, y)
    expected = [network_alone(classifier, X_NEW)]
    features = ECGFeatures(RATE, lead_names=["lead0", "lead1"]).fit(X)
    latents = partial(classifier._forward, "latents")
    for inputs in (features.transform, lambda x: np.hstack([latents(x), features.transform(x)])):
        forest = ExtraTreesClassifier(30, random_state=classifier._net.seed).fit(inputs(X), y)
        votes = forest.predict_proba(inputs(X_NEW))  # not of X, where every forest is right
        expected.append(np.stack([p[:, 1] for p in votes], axis=1) if y.ndim == 2 else votes)
    expected = np.mean(expected, axis=0)
    np.testing.assert_allclose(classifier.predict_proba(X_NEW), expected, atol=0.003)


def test_logits_are_those_of_the_probabilities():
    binary, multilabel = make_classifier().fit(X, Y), make_classifier().fit(X, INDICATOR)
    p = binary.predict_proba(X)
    np.testing.assert_allclose(binary.decision_function(X), logit(p[:, 1]), rtol=1e-6)
    np.testing.assert_array_equal(binary.predict(X), p.argmax(axis=1))
    p = multilabel.predict_proba(X)
    np.testing.assert_allclose(expit(multilabel.decision_function(X)), p)
    np.testing.assert_array_equal(multilabel.predict(X), p > 0.5)


def test_logits_are_finite_where_network_and_forest_are_certain():
    classifier = make_classifier().fit(X, np.ones((60, 2), int))
    classifier._net.module_.linear.bias.data += 1000
    assert np.isfinite(classifier.decision_function(X)).all()


def test_record_does_not_depend_on_others():
    classifier = make_classifier().fit(X, Y)
    alone = np.concatenate([classifier.predict_proba(x[None]) for x in X[:5]])
    np.testing.assert_allclose(alone, classifier.predict_proba(X)[:5], atol=1e-6)


def test_features_know_rate_and_leads_of_the_pretrainer():
    names = ["II", "V1"]
    bell = BELLPretrainer(TinyEncoder, max_epochs=0, sampling_rate=200, lead_names=names)
    records = make_ecg(60, leads=names, sampling_rate=200, random_state=0).data
    features = make_classifier(pretrainer=bell).fit(records, Y).features_
    assert (features.sampling_rate, list(features.lead_names)) == (200, names)


@pytest.mark.parametrize("params", [{"features": None}, {"n_trees": 0}], ids=str)
def test_without_forest_the_network_predicts_alone(params):
    classifier = make_classifier(**params).fit(X, Y)
    assert classifier.features_ is None
    np.testing.assert_allclose(classifier.predict_proba(X), network_alone(classifier), rtol=1e-5)


def test_classes_that_forests_have_not_seen_are_left_to_the_network():
    y = np.where(np.arange(60) < 30, Y, 2)
    classifier = make_classifier(warm_start=True).fit(X, y)
    classifier.fit(X[:30], y[:30])  # without class 2
    network, probabilities = network_alone(classifier), classifier.predict_proba(X)
    np.testing.assert_allclose(probabilities[:, 2], network[:, 2], rtol=1e-5)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert np.abs(probabilities - network)[:, 0].max() > 0.1

    labels = np.stack([Y, 0 * Y, 0 * Y + 1], axis=1)
    classifier = make_classifier().fit(X, labels)
    unseen, network = classifier.predict_proba(X)[:, 1:], network_alone(classifier)[:, 1:]
    np.testing.assert_allclose(unseen, network, rtol=1e-5)


def test_without_fit_before_it_partial_fit_trains_the_network_alone():
    classifier = make_classifier().partial_fit(X, Y, classes=[0, 1, 2])
    assert classifier.features_ is None
    np.testing.assert_allclose(classifier.predict_proba(X), network_alone(classifier), rtol=1e-5)


def test_partial_fit_keeps_the_forest_on_features_alone():
    classifier = make_classifier().fit(X, Y)
    forest = classifier._feature_forest.predict_proba(classifier._measure(X))
    classifier.partial_fit(X, Y)
    expected = (network_alone(classifier) + forest) / 2
    np.testing.assert_allclose(classifier.predict_proba(X), expected, rtol=1e-5)


@pytest.mark.parametrize("params", [{"features": None}, {"n_trees": 0}], ids=str)
def test_warm_start_can_leave_the_forest_out(params):
    classifier = make_classifier(warm_start=True).fit(X, Y)
    classifier.set_params(**params).fit(X, Y)
    np.testing.assert_allclose(classifier.predict_proba(X), network_alone(classifier), rtol=1e-5)


def test_twelve_unnamed_leads_are_the_standard_ones():
    ecg = make_ecg(20, classes=["normal", "lbbb"], random_state=0)
    classifier = make_classifier(n_trees=5).fit(ecg.data, ecg.target)
    expected = ECGFeatures().fit(ecg.data).get_feature_names_out()
    np.testing.assert_array_equal(classifier.features_.get_feature_names_out(), expected)


def test_features_that_are_not_finite_raise_and_leave_it_unfitted():
    class Missing(Means):
        def transform(self, X):
            return np.where(X.mean(axis=-1) > 0, np.nan, 1)

    classifier = make_classifier(features=Missing())
    with pytest.raises(InvalidECGError, match="SimpleImputer"):
        classifier.fit(X, Y)
    with pytest.raises(NotFittedError):
        classifier.predict(X)
    imputed = make_pipeline(Missing(), SimpleImputer())
    assert make_classifier(features=imputed).fit(X, Y).predict_proba(X).shape == (60, 2)


def test_seed_reaches_the_features():
    class Projection(GaussianRandomProjection):
        def fit(self, X, y=None):
            return super().fit(X[:, 0])

        def transform(self, X):
            return super().transform(X[:, 0])

    classifier = make_classifier(features=Projection(3), random_state=0)
    first, second = (clone(classifier).fit(X, Y).predict_proba(X) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_transformer_is_cloned_and_fitted_on_labelled_records():
    features = Means()
    y = np.where(np.arange(60) < 20, Y, -1)
    classifier = make_classifier(features=features).fit(X, y)
    assert classifier.features_.n_fitted_ == 20
    assert not hasattr(features, "n_fitted_")


def test_pretrainer_without_rate_raises_with_the_remedy():
    class Encoder(BaseEstimator):
        def __init__(self):
            bell = BELLPretrainer(TinyEncoder, max_epochs=0).fit(X)
            self.encoder_ = bell.encoder_
            self.n_leads_in_, self.n_samples_in_ = bell.n_leads_in_, bell.n_samples_in_

        def fit(self, X):
            return self

        def transform(self, X):
            return X

    frozen = FrozenEstimator(Encoder())
    with pytest.raises(InvalidECGError, match=r"Pass features=ECGFeatures\(sampling_rate"):
        make_classifier(pretrainer=frozen).fit(X, Y)
    make_classifier(pretrainer=frozen, features=ECGFeatures()).fit(X, Y)


@pytest.mark.parametrize("y", [Y, INDICATOR], ids=["classes", "indicator"])
def test_saved_classifier_predicts_the_same(tmp_path, y):
    classifier = ECGClassifier(max_epochs=1, n_trees=10, random_state=0).fit(X, y)
    classifier.save(tmp_path / "model")
    loaded = sklearn_bell.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(X), classifier.predict_proba(X))


def test_own_transformer_is_passed_fitted_to_load(tmp_path):
    params = {"max_epochs": 1, "n_trees": 10, "random_state": 0}
    classifier = ECGClassifier(features=Means(), **params).fit(X, Y)
    classifier.save(tmp_path / "model")
    with pytest.raises(InvalidFileError, match="features"):
        sklearn_bell.load(tmp_path / "model")
    for unfitted in (Means, Means()):
        with pytest.raises(InvalidFileError, match="features must be a fitted transformer, got"):
            sklearn_bell.load(tmp_path / "model", features=unfitted)
    loaded = sklearn_bell.load(tmp_path / "model", features=classifier.features_)
    np.testing.assert_array_equal(loaded.predict_proba(X), classifier.predict_proba(X))


def test_single_lead_without_axis_votes():
    classifier = make_classifier().fit(X[:, 0], Y)
    expected = make_classifier().fit(X[:, :1], Y).predict_proba(X[:, :1])
    np.testing.assert_array_equal(classifier.predict_proba(X[:, 0]), expected)
    assert classifier._feature_forest is not None


@pytest.mark.parametrize("params", [{"n_trees": 0}, {"features": None}], ids=str)
def test_saved_without_forest(tmp_path, params):
    classifier = ECGClassifier(max_epochs=1, random_state=0, **params).fit(X, Y)
    classifier.save(tmp_path / "model")
    loaded = sklearn_bell.load(tmp_path / "model")
    assert loaded.features_ is None
    np.testing.assert_array_equal(loaded.predict_proba(X), classifier.predict_proba(X))


def test_pretrainer_as_features_is_passed_fitted_to_load(tmp_path):
    bell = BELLPretrainer(max_epochs=0)
    classifier = ECGClassifier(features=bell, max_epochs=1, n_trees=10, random_state=0).fit(X, Y)
    classifier.save(tmp_path / "model")
    loaded = sklearn_bell.load(tmp_path / "model", features=classifier.features_)
    np.testing.assert_array_equal(loaded.predict_proba(X), classifier.predict_proba(X))


@pytest.mark.parametrize("leads", [None, ["V1", "II"]], ids=["twelve", "two"])
def test_pretrained_classifier_learns_from_twenty_labels(leads):
    names = STANDARD_LEADS if leads is None else leads
    ecg = make_ecg(60, classes=["normal", "lbbb"], leads=names, random_state=1)
    y = np.where(np.arange(60) < 20, ecg.target, -1)
    classifier = ECGClassifier.from_pretrained(leads, max_epochs=1, random_state=0, device="cpu")
    assert classifier.pretrainer.device == "cpu"
    probabilities = clone(classifier).fit(ecg.data, y).predict_proba(ecg.data[20:])
    assert roc_auc_score(ecg.target[20:], probabilities[:, 1]) > 0.95
