"""Reasons: what was planted is found, and what was not learnt explains nothing."""

import copy

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklearn_bell import BELLPretrainer, ECGClassifier, ECGFeatures
from sklearn_bell.datasets import make_ecg
from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.inspection import attribution, lead_importance, nearest_records, time_importance
from sklearn_bell.nn.encoders import VGG1d
from sklearn_bell.preprocessing import BandpassFilter, Cropper

RATE, LEAD, WHEN = 100, 1, slice(120, 150)  # where and when the second class has a spike


@pytest.fixture(scope="module")
def planted():
    """Return records of one kind, of which half have something at one time in one lead."""
    ecg = make_ecg(120, leads=["II", "V1", "V5"], duration=3, sampling_rate=RATE, random_state=0)
    y = np.arange(120) % 2
    X = ecg.data.copy()
    time = np.arange(WHEN.stop - WHEN.start)
    X[y == 1, LEAD, WHEN] += np.float32(0.6) * np.sin(2 * np.pi * time / 10).astype(np.float32)
    return X, y


@pytest.fixture(scope="module")
def bell(planted):
    bell = BELLPretrainer(max_epochs=4, head_width=32, batch_size=32, random_state=0)
    return bell.fit(planted[0][:80])


@pytest.fixture(scope="module")
def classifier(planted, bell):
    X, y = planted
    classifier = ECGClassifier(bell, max_epochs=12, batch_size=16, n_trees=0, random_state=0)
    return classifier.fit(X[:80], y[:80])


def pipeline(bell, classifier, planted):
    X, y = planted
    return make_pipeline(copy.deepcopy(bell), StandardScaler(), classifier).fit(X[:80], y[:80])


def share_at_the_plant(maps):
    """Return how much of a map lies where something was planted, and how large that part is."""
    size = np.abs(maps)
    wide = slice(WHEN.start - 20, WHEN.stop + 20)  # the filter spreads it a little
    part = size[:, LEAD, wide].sum() / size.sum()
    return part, (wide.stop - wide.start) / size[0].size


# Leads --------------------------------------------------------------------------------------------


def test_the_lead_that_tells_is_found(planted, classifier):
    X, y = planted
    result = lead_importance(
        classifier, X[80:], y[80:], lead_names=["II", "V1", "V5"], random_state=0, n_repeats=4
    )
    assert classifier.score(X[80:], y[80:]) > 0.9
    assert result.importances.shape == (3, 4)
    assert result.lead_names[result.importances_mean.argmax()] == "V1"
    assert result.importances_mean[LEAD] > 0.3
    assert np.abs(np.delete(result.importances_mean, LEAD)).max() < 0.15
    np.testing.assert_allclose(result.importances_std, result.importances.std(axis=1))


def test_importance_is_that_of_scikit_learn_where_that_can_be_had():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3, 1)).astype(np.float32)
    y = (X[:, 0, 0] + 0.5 * X[:, 1, 0] > 0).astype(int)
    flat = LogisticRegression().fit(X[:, :, 0], y)
    model = make_pipeline(FunctionTransformer(lambda X: X[:, :, 0]), flat).fit(X, y)
    ours = lead_importance(model, X, y, n_repeats=20, scoring="roc_auc", random_state=0)
    theirs = permutation_importance(
        flat, X[:, :, 0], y, n_repeats=20, scoring="roc_auc", random_state=0
    )
    np.testing.assert_allclose(ours.importances_mean, theirs.importances_mean, atol=0.02)


def test_leads_are_exchanged_between_patients():
    """Records of a patient are equal, so that exchanging within changes nothing."""
    patients = np.repeat(np.arange(10), 3)
    X = patients[:, None, None] * np.ones((1, 1, 4), dtype=np.float32)

    class Same:
        def fit(self, X, y):
            return self

        def score(self, X, y):
            return np.mean(X[:, 0, 0] == y)

    result = lead_importance(Same(), X, patients, groups=patients, n_repeats=10, random_state=0)
    np.testing.assert_array_equal(result.importances, 1)
    within = lead_importance(Same(), X, patients, n_repeats=10, random_state=0)
    assert within.importances.min() < 1


def test_importance_does_not_depend_on_n_jobs_and_leaves_X_alone(planted):
    X, y = planted
    model = make_pipeline(ECGFeatures(), StandardScaler(), LogisticRegression()).fit(X, y)
    before = X.copy()
    one, two = (lead_importance(model, X, y, n_jobs=n, random_state=0) for n in (1, 2))
    np.testing.assert_array_equal(one.importances, two.importances)
    one, two = (time_importance(model, X, y, n_jobs=n) for n in (1, 2))
    np.testing.assert_array_equal(one.importances, two.importances)
    np.testing.assert_array_equal(X, before)


# Times --------------------------------------------------------------------------------------------


def test_the_window_that_tells_is_found(planted, classifier):
    X, y = planted
    result = time_importance(classifier, X[80:], y[80:], by="windows", width=0.3)
    middle = (WHEN.start + WHEN.stop) / 2 / RATE
    found = result.importances.argmax()
    assert result.starts[found] <= middle <= result.stops[found]
    assert result.importances[found] > 0.3
    assert result.stops[-1] == 3


def test_the_part_of_the_beat_that_tells_is_found():
    ecg = make_ecg(
        160, classes=["normal", "st_elevation"], leads=["II", "V2", "V3"], duration=5,
        sampling_rate=RATE, random_state=0,
    )  # fmt: skip
    X, y = ecg.data, ecg.target
    model = make_pipeline(ECGFeatures(), StandardScaler(), LogisticRegression(C=0.01))
    model.fit(X[:100], y[:100])
    result = time_importance(model, X[100:], y[100:], width=0.1, scoring="neg_log_loss")
    at = result.starts[result.importances.argmax()]
    assert 0 <= at <= 0.35  # the ST segment and the T wave come after the QRS complex


def test_hidden_parts_are_straight_lines():
    seen = []

    class Spy:
        def fit(self, X, y):
            return self

        def score(self, X, y):
            seen.append(X)
            return 0.0

    X = np.random.default_rng(0).normal(size=(2, 1, 100)).astype(np.float32)
    time_importance(Spy(), X, [0, 1], by="windows", width=0.25)
    *hidden, whole = seen
    np.testing.assert_array_equal(whole, X)
    for part, one in enumerate(hidden):
        inside = slice(25 * part, 25 * part + 25)
        outside = np.delete(np.arange(100), np.arange(100)[inside])
        np.testing.assert_array_equal(one[..., outside], X[..., outside])
        slopes = np.diff(one[..., inside], n=2)
        np.testing.assert_allclose(slopes, 0, atol=1e-6)


# Attribution --------------------------------------------------------------------------------------

CLASSIFIERS = {
    "logistic regression": LogisticRegression(),
    "trees": ExtraTreesClassifier(50, random_state=0),
}


def test_integrated_gradients_add_up_to_the_score(planted, classifier):
    X, _ = planted
    maps = attribution(classifier, X[80:84], target=1, n_steps=200)
    flat = classifier.decision_function(np.zeros_like(X[:1]))
    expected = classifier.decision_function(X[80:84]) - flat
    np.testing.assert_allclose(maps.sum(axis=(1, 2)), expected, rtol=0.05, atol=0.1)
    against = attribution(classifier, X[80:84], target=0, n_steps=200)
    np.testing.assert_allclose(against, -maps, atol=1e-5)


def test_integrated_gradients_of_a_pipeline_add_up_too(planted, bell):
    X, _ = planted
    model = pipeline(bell, LogisticRegression(), planted)
    maps = attribution(model, X[80:84], target=1, n_steps=200)
    flat = model.decision_function(np.zeros_like(X[:1]))
    expected = model.decision_function(X[80:84]) - flat
    np.testing.assert_allclose(maps.sum(axis=(1, 2)), expected, rtol=0.05, atol=0.1)


@pytest.mark.parametrize("method", ["integrated_gradients", "grad_cam"])
def test_what_was_planted_is_found(planted, classifier, method):
    X, y = planted
    part, size = share_at_the_plant(attribution(classifier, X[80:][y[80:] == 1], 1, method=method))
    assert part > 2.5 * size


@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize("method", ["integrated_gradients", "grad_cam"])
def test_what_was_planted_is_found_through_any_classifier(planted, bell, name, method):
    X, y = planted
    model = pipeline(bell, CLASSIFIERS[name], planted)
    maps = attribution(model, X[80:][y[80:] == 1], 1, method=method)
    part, size = share_at_the_plant(maps)
    of_lead = np.abs(maps).sum(axis=(0, 2))
    assert part > 1.5 * size
    if method == "integrated_gradients":  # the maps of Grad-CAM do not compare leads
        assert of_lead.argmax() == LEAD


def wrapped(bell, X, y):
    """Return pipelines that all do the same but for the filter, by the name of what is special."""
    band = BandpassFilter(sampling_rate=RATE)
    end = StandardScaler(), LogisticRegression()
    plain = make_pipeline(bell, *end)
    plain[1:].fit(bell.transform(X), y)
    filtered = make_pipeline(band, FrozenEstimator(bell), *end).fit(X, y)
    return {
        "plain": plain,
        "a frozen pretrainer": make_pipeline(FrozenEstimator(bell), *plain[1:]),
        "a frozen whole": FrozenEstimator(plain),
        "a pipeline in a pipeline": make_pipeline("passthrough", make_pipeline(bell), plain[1:]),
        "a filter": filtered,
        "a filter, and a frozen whole": FrozenEstimator(filtered),
    }


def test_what_was_planted_is_found_whatever_is_frozen_or_comes_first(planted, bell):
    X, y = planted
    models = wrapped(bell, X[:80], y[:80])
    some = X[80:][y[80:] == 1]
    maps = {name: attribution(model, some, 1) for name, model in models.items()}
    for name, found in maps.items():
        part, size = share_at_the_plant(found)
        assert part > 1.5 * size, name
        assert np.abs(found).sum(axis=(0, 2)).argmax() == LEAD
        same = "a filter" if "filter" in name else "plain"
        np.testing.assert_array_equal(found, maps[same])
    assert not np.array_equal(maps["plain"], maps["a filter"])


def test_attribution_is_of_the_records_after_preprocessing(planted, bell, classifier):
    X, y = planted
    band = BandpassFilter(sampling_rate=RATE).fit(X)
    for model in (classifier, pipeline(bell, LogisticRegression(), planted)):
        np.testing.assert_array_equal(
            attribution(make_pipeline(band, model), X[80:84], 1),
            attribution(model, band.transform(X[80:84]), 1),
        )
    shorter = make_pipeline(Cropper(200), clone(bell), LogisticRegression())
    shorter.set_params(bellpretrainer__max_epochs=1).fit(X[:40], y[:40])
    expected = r"keep the shape.* Cropper makes \(2, 3, 200\) of \(2, 3, 300\)"
    with pytest.raises(InvalidECGError, match=expected):
        attribution(shorter, X[:2])


def test_a_class_that_there_is_not_is_told_in_plain_words(planted, bell, classifier):
    X, y = planted
    for target in ("lbbb", [0, 1]):
        with pytest.raises(InvalidECGError, match=r"target must be one of \[0, 1\], but is"):
            attribution(classifier, X[:2], target)
    model = make_pipeline(FrozenEstimator(bell), LogisticRegression())
    model.fit(X[:40], np.array(["normal", "lbbb"])[y[:40]])
    with pytest.raises(InvalidECGError, match=r"one of \['lbbb', 'normal'\], but is 'wpw'"):
        attribution(model, X[:2], "wpw")


@pytest.mark.parametrize("method", ["integrated_gradients", "grad_cam"])
def test_randomised_weights_change_the_map(planted, classifier, method):
    """Adebayo et al. 2018: an explanation that stays the same has not looked at the model."""
    X, y = planted
    X = X[80:][y[80:] == 1]
    maps = attribution(classifier, X, 1, method=method)
    randomised = copy.deepcopy(classifier)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in randomised._net.module_.parameters():
            parameter.copy_(parameter.std() * torch.randn(parameter.shape, generator=generator))
    others = attribution(randomised, X, 1, method=method)
    alike = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(maps, others, strict=True)]
    assert np.nan_to_num(np.mean(alike)) < 0.5
    assert share_at_the_plant(others)[0] < share_at_the_plant(maps)[0]


def test_the_class_predicted_is_explained_unless_told(planted, classifier):
    X, _ = planted
    maps = attribution(classifier, X[80:84])
    for row, label in enumerate(classifier.predict(X[80:84])):
        alone = attribution(classifier, X[80 + row : 81 + row], label)
        np.testing.assert_allclose(maps[row], alone[0], atol=1e-4)


def test_labels_of_a_multilabel_problem_are_explained_one_by_one(planted, bell):
    X, y = planted
    Y = np.stack([y, 1 - y, np.arange(120) // 2 % 2], axis=1)
    settings = {"max_epochs": 2, "n_trees": 0, "random_state": 0}
    models = [
        ECGClassifier(bell, **settings).fit(X[:80], Y[:80]),
        make_pipeline(
            copy.deepcopy(bell), StandardScaler(), MultiOutputClassifier(LogisticRegression())
        ).fit(X[:80], Y[:80]),
    ]
    for model in models:
        first, second = (attribution(model, X[80:84], label) for label in (0, 1))
        assert np.corrcoef(first.ravel(), second.ravel())[0, 1] < -0.5
        with pytest.raises(InvalidECGError, match=r"target must be one of \[0, 1, 2\]"):
            attribution(model, X[80:84], 3)


def test_other_encoders_are_explained_or_named(planted):
    X, y = planted
    for shared in (False, True):
        bell = BELLPretrainer(
            VGG1d, shared_encoder=shared, max_epochs=1, head_width=8, random_state=0
        )
        model = make_pipeline(bell, LogisticRegression(max_iter=5000)).fit(X[:40], y[:40])
        assert attribution(model, X[:3], method="grad_cam").shape == (3, 3, 300)
    with pytest.raises(InvalidECGError, match="estimator must be an ECGClassifier, or a Pipeline"):
        attribution(
            make_pipeline(ECGFeatures(), StandardScaler(), LogisticRegression()).fit(X, y), X
        )


def test_attribution_says_what_to_install(planted, classifier, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "captum.attr", None)
    with pytest.raises(ImportError, match=r"sklearn_bell\[inspect\]"):
        attribution(classifier, planted[0][:2])


# Neighbours ---------------------------------------------------------------------------------------


def test_neighbours_are_those_of_the_latents(planted, bell, classifier):
    X, y = planted
    whole = pipeline(bell, LogisticRegression(), planted)
    for model, encode in (
        (bell, bell.transform),
        (whole, whole[:-1].transform),
        (whole[:-1], whole[:-1].transform),
    ):
        result = nearest_records(model, X[80:85], X[:80], n_neighbors=3, metric="euclidean")
        latents, reference = encode(X[80:85]), encode(X[:80])
        scale = reference.std(axis=0)
        scale[scale == 0] = 1
        for row, latent in enumerate(latents):
            distances = np.sqrt((((reference - latent) / scale) ** 2).sum(axis=1))
            np.testing.assert_array_equal(result.indices[row], distances.argsort()[:3])
            np.testing.assert_allclose(result.distances[row], np.sort(distances)[:3], rtol=1e-3)
    assert nearest_records.__annotations__["return"] == type(result).__name__
    # a record is nearest to itself, and a classifier's neighbours are mostly of its class
    own = nearest_records(classifier, X[:5], X[:80], n_neighbors=1)
    np.testing.assert_array_equal(own.indices[:, 0], np.arange(5))
    found = nearest_records(classifier, X[80:], X[:80]).indices
    assert roc_auc_score(y[80:], y[found].mean(axis=1)) > 0.8


# Errors -------------------------------------------------------------------------------------------


def test_bad_input_is_named(planted, bell):
    X, y = planted
    model = make_pipeline(ECGFeatures(), StandardScaler(), LogisticRegression()).fit(X, y)
    with pytest.raises(InvalidECGError, match="shape"):
        lead_importance(model, X[:, 0], y)
    with pytest.raises(InvalidECGError, match="one patient"):
        lead_importance(model, X, y, groups=np.zeros(120))
    with pytest.raises(InvalidECGError, match="groups has 3 entries"):
        lead_importance(model, X, y, groups=[1, 2, 3])
    with pytest.raises(InvalidECGError, match="lead_names has 1"):
        lead_importance(model, X, y, lead_names=["II"])
    with pytest.raises(InvalidECGError, match=r"A window of 3 s would hide all of 3 s"):
        time_importance(model, X, y, by="windows", width=3)
    with pytest.raises(InvalidECGError, match="No beat was found"):
        time_importance(model, np.zeros_like(X), y)
    with pytest.raises(InvalidECGError, match="n_neighbors is 9, but X_reference has 2"):
        nearest_records(bell, X[:2], X[:2], n_neighbors=9)
