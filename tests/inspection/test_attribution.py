"""Tests of attribution: completeness, localisation, and sensitivity to the weights."""

import copy
import sys

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_bell import BELLPretrainer, ECGClassifier, ECGFeatures
from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.inspection import attribution
from sklearn_bell.nn.encoders import VGG1d
from sklearn_bell.preprocessing import BandpassFilter, Cropper
from tests.inspection._planted import LEAD, RATE, TIME, make_model

METHODS = ["integrated_gradients", "grad_cam"]


@pytest.fixture(scope="module")
def linear_model(planted, bell):
    return make_model(bell, LogisticRegression(), planted)


@pytest.fixture(params=["classifier", "pipeline"])
def model(request, classifier, linear_model):
    return classifier if request.param == "classifier" else linear_model


def planted_share(maps):
    """Return the share of the map at the planted signal, and the share of its area."""
    magnitude = np.abs(maps)
    window = slice(TIME.start - 20, TIME.stop + 20)  # the filter widens the signal
    share = magnitude[:, LEAD, window].sum() / magnitude.sum()
    return share, (window.stop - window.start) / magnitude[0].size


def strongest_lead(maps):
    return np.abs(maps).sum(axis=(0, 2)).argmax()


def test_integrated_gradients_add_up_to_the_score(planted, model):
    X, _ = planted
    maps = attribution(model, X[80:84], target=1, n_steps=200)
    flat = model.decision_function(np.zeros_like(X[:1]))
    expected = model.decision_function(X[80:84]) - flat
    np.testing.assert_allclose(maps.sum(axis=(1, 2)), expected, rtol=0.05, atol=0.1)


def test_integrated_gradients_of_two_classes_are_opposite(planted, model):
    X, _ = planted
    maps = [attribution(model, X[80:84], target=target) for target in (0, 1)]
    np.testing.assert_allclose(maps[0], -maps[1], atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_classifier_attribution_finds_the_planted_signal(planted, classifier, method):
    X, y = planted
    share, area = planted_share(attribution(classifier, X[80:][y[80:] == 1], 1, method=method))
    assert share > 2.5 * area


@pytest.mark.parametrize(
    "final",
    [LogisticRegression(), ExtraTreesClassifier(50, random_state=0)],
    ids=["linear", "trees"],
)
@pytest.mark.parametrize("method", METHODS)
def test_pipeline_attribution_finds_the_planted_signal(planted, bell, final, method):
    X, y = planted
    maps = attribution(make_model(bell, final, planted), X[80:][y[80:] == 1], 1, method=method)
    share, area = planted_share(maps)
    assert share > 1.5 * area
    if method == "integrated_gradients":  # Grad-CAM does not compare leads
        assert strongest_lead(maps) == LEAD


NESTED = {  # pipelines equal to that of a pretrainer and fitted final steps
    "frozen pretrainer": lambda bell, final: make_pipeline(FrozenEstimator(bell), *final),
    "frozen pipeline": lambda bell, final: FrozenEstimator(make_pipeline(bell, *final)),
    "nested pipelines": lambda bell, final: make_pipeline(
        "passthrough", make_pipeline(bell), make_pipeline(*final)
    ),
}


@pytest.mark.parametrize("nest", NESTED.values(), ids=NESTED)
def test_attribution_sees_through_frozen_and_nested_steps(planted, bell, linear_model, nest):
    X, y = planted
    X = X[80:][y[80:] == 1]
    maps = attribution(nest(bell, [step for _, step in linear_model.steps[1:]]), X, 1)
    np.testing.assert_array_equal(maps, attribution(linear_model, X, 1))


def test_attribution_explains_preprocessed_records(planted, model):
    X, _ = planted
    band = BandpassFilter(sampling_rate=RATE).fit(X)
    expected = attribution(model, band.transform(X[80:84]), 1)
    for pipeline in (make_pipeline(band, model), FrozenEstimator(make_pipeline(band, model))):
        np.testing.assert_array_equal(attribution(pipeline, X[80:84], 1), expected)
    assert not np.array_equal(attribution(model, X[80:84], 1), expected)


def test_preprocessing_of_another_shape_raises(planted, bell):
    X, y = planted
    model = make_pipeline(Cropper(200), clone(bell).set_params(max_epochs=1), LogisticRegression())
    model.fit(X[:40], y[:40])
    message = r"shape \(2, 3, 300\) of records, but Cropper makes \(2, 3, 200\)"
    with pytest.raises(InvalidECGError, match=message):
        attribution(model, X[:2])


@pytest.mark.parametrize("target", ["lbbb", [0, 1], 2])
def test_unknown_target_raises(planted, model, target):
    with pytest.raises(InvalidECGError, match=r"target must be one of \[0, 1\], but is"):
        attribution(model, planted[0][:2], target)


def test_unknown_class_name_raises(planted, bell):
    X, y = planted
    model = make_pipeline(FrozenEstimator(bell), LogisticRegression())
    model.fit(X[:40], np.array(["normal", "lbbb"])[y[:40]])
    with pytest.raises(InvalidECGError, match=r"one of \['lbbb', 'normal'\], but is 'wpw'"):
        attribution(model, X[:2], "wpw")


@pytest.mark.parametrize("method", METHODS)
def test_random_weights_change_the_map(planted, classifier, method):
    """Adebayo et al. 2018: a map that stays the same does not depend on the model."""
    X, y = planted
    X = X[80:][y[80:] == 1]
    maps = attribution(classifier, X, 1, method=method)
    randomised = copy.deepcopy(classifier)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in randomised._net.module_.parameters():
            parameter.copy_(parameter.std() * torch.randn(parameter.shape, generator=generator))
    random_maps = attribution(randomised, X, 1, method=method)
    pairs = zip(maps, random_maps, strict=True)
    correlations = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairs]
    assert np.nan_to_num(np.mean(correlations)) < 0.5
    assert planted_share(random_maps)[0] < planted_share(maps)[0]


def test_default_target_is_the_predicted_class(planted, classifier):
    X, _ = planted
    maps = attribution(classifier, X[80:84])
    labels = classifier.predict(X[80:84])
    single = [attribution(classifier, X[80 + i : 81 + i], label) for i, label in enumerate(labels)]
    np.testing.assert_allclose(maps, np.concatenate(single), atol=1e-4)


@pytest.mark.parametrize(
    "final", [None, MultiOutputClassifier(LogisticRegression()),
              OneVsRestClassifier(LogisticRegression())],
    ids=["ECGClassifier", "MultiOutputClassifier", "OneVsRestClassifier"],
)  # fmt: skip
def test_multilabel_attribution_explains_each_label(planted, bell, final):
    X, y = planted
    Y = np.stack([y, 1 - y, np.arange(120) // 2 % 2], axis=1)
    if final is None:
        model = ECGClassifier(bell, max_epochs=2, n_trees=0, random_state=0)
    else:
        model = make_pipeline(copy.deepcopy(bell), StandardScaler(), final)
    model.fit(X[:80], Y[:80])
    first, second = (attribution(model, X[80:84], label) for label in (0, 1))
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] < -0.5
    with pytest.raises(InvalidECGError, match=r"target must be one of \[0, 1, 2\]"):
        attribution(model, X[80:84], 3)


@pytest.mark.parametrize("shared_encoder", [False, True])
def test_grad_cam_explains_vgg(planted, shared_encoder):
    X, y = planted
    bell = BELLPretrainer(
        VGG1d, shared_encoder=shared_encoder, max_epochs=1, head_width=8, random_state=0
    )
    model = make_pipeline(bell, LogisticRegression(max_iter=5000)).fit(X[:40], y[:40])
    assert attribution(model, X[:3], method="grad_cam").shape == (3, 3, 300)


def test_model_without_encoder_raises(planted):
    X, y = planted
    model = make_pipeline(ECGFeatures(), StandardScaler(), LogisticRegression()).fit(X, y)
    with pytest.raises(InvalidECGError, match="Expected an ECGClassifier, or a Pipeline"):
        attribution(model, X)


def test_missing_captum_names_the_extra(planted, classifier, monkeypatch):
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(ImportError, match=r"sklearn_bell\[inspect\]"):
        attribution(classifier, planted[0][:2])
