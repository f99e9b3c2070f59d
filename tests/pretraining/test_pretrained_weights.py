"""Pretrained weights that come with the library."""

import re
import socket
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils._param_validation import InvalidParameterError

from sklearn_bell import BELLPretrainer, ECGClassifier, load
from sklearn_bell.datasets import load_ludb, make_ecg
from sklearn_bell.exceptions import InvalidFileError
from sklearn_bell.nn.encoders import VGG1d
from sklearn_bell.plotting import LeadSimilarityDisplay
from sklearn_bell.preprocessing import STANDARD_LEADS
from sklearn_bell.pretraining._bell import _WEIGHTS

NAMES = sorted(path.stem for path in _WEIGHTS.glob("*.safetensors"))


@pytest.fixture(scope="module")
def ecg():
    return make_ecg(
        40, classes=["normal", "lbbb"], duration=10, sampling_rate=100, noise=2, random_state=0
    )


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_small_and_have_a_card(name):
    assert (_WEIGHTS / f"{name}.safetensors").stat().st_size < 8e6
    card = (_WEIGHTS / f"{name}.md").read_text()
    assert card.startswith(f"# {name}\n")
    words = ["Data", "Licence", "Leads", "Hz", "python benchmarks/pretrain_weights.py"]
    assert [word for word in words if word not in card] == []


def test_latents_are_reproducible_and_separate_classes(ecg):
    bell = BELLPretrainer.from_pretrained()
    latents = bell.transform(ecg.data)
    assert latents.shape == (40, len(bell.get_feature_names_out()))
    assert bell.lead_names_ == list(STANDARD_LEADS)
    classifier = make_pipeline(StandardScaler(), LogisticRegression())
    assert cross_val_score(classifier, latents, ecg.target).mean() > 0.95
    np.testing.assert_array_equal(BELLPretrainer.from_pretrained().transform(ecg.data), latents)


def test_latents_beat_an_untrained_encoder_on_ludb():
    # these records were pretrained on, without labels
    try:
        ludb = load_ludb(task="conduction", sampling_rate=100)
    except FileNotFoundError:
        pytest.skip("LUDB is not installed")
    frequent = np.argsort(-ludb.target.sum(axis=0))[:3]
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.005))
    means = []
    for bell in (
        BELLPretrainer.from_pretrained(),
        BELLPretrainer(max_epochs=0, random_state=0).fit(ludb.data),
    ):
        latents = bell.transform(ludb.data)
        scores = [
            cross_val_score(classifier, latents, ludb.target[:, i], cv=5, scoring="roc_auc")
            for i in frequent
        ]
        means.append(np.mean(scores))
    pretrained, untrained = means
    assert pretrained > untrained


def test_parameters_are_replaced(ecg):
    bell = BELLPretrainer.from_pretrained(missing="zero", device="cpu", batch_size=7)
    assert (bell.missing, bell.batch_size) == ("zero", 7)
    X = ecg.data.copy()
    X[:, 3] = np.nan
    assert np.isfinite(bell.transform(X)).all()


def test_partial_fit_continues_with_a_target_equal_to_the_encoder(ecg):
    bell = BELLPretrainer.from_pretrained(batch_size=20)
    before = bell.transform(ecg.data)
    objective = bell._net.module_.objective
    target = objective.target[0].state_dict()
    for name, weight in objective.encoder.state_dict().items():
        assert torch.equal(weight, target[name])
    n_epochs = len(bell.history_)
    bell.partial_fit(ecg.data)
    assert len(bell.history_) == n_epochs + 1
    assert not np.array_equal(bell.transform(ecg.data), before)


@pytest.mark.parametrize("is_saved", [False, True])
def test_new_heads_raise_until_they_are_trained(ecg, tmp_path, figures, is_saved):
    bell = BELLPretrainer.from_pretrained()
    if is_saved:
        bell.save(tmp_path / "again")
        bell = load(tmp_path / "again")
    for method in (bell.lead_distances, partial(LeadSimilarityDisplay.from_estimator, bell)):
        with pytest.raises(NotFittedError, match=r"heads=False.*Call partial_fit or fit, or load"):
            method(ecg.data)


def test_trained_heads_are_saved_unless_left_out(ecg, tmp_path):
    bell = BELLPretrainer.from_pretrained(batch_size=20).partial_fit(ecg.data)
    distances = bell.lead_distances(ecg.data, random_state=0)
    assert distances.shape == (12, 12)
    bell.save(tmp_path / "with_heads")
    np.testing.assert_array_equal(
        load(tmp_path / "with_heads").lead_distances(ecg.data, random_state=0), distances
    )
    bell.save(tmp_path / "without_heads", heads=False)
    with pytest.raises(NotFittedError, match="are not trained"):
        load(tmp_path / "without_heads").lead_distances(ecg.data)


@pytest.mark.parametrize(
    "params",
    [
        {"lead_names": ["a"] * 12},
        {"sampling_rate": 500},
        {"encoder": VGG1d},
        {"shared_encoder": True},
        {"head_width": 16},
    ],
    ids=lambda params: next(iter(params)),
)
def test_parameters_of_the_weights_cannot_be_replaced(params):
    (name,) = params
    message = rf"^{name} belongs to the pretrained weights.*augmentation, .*batch_size, .*missing"
    with pytest.raises(ValueError, match=message):
        BELLPretrainer.from_pretrained(device="cpu", **params)


def test_all_other_parameters_can_be_replaced():
    fixed = {"encoder", "shared_encoder", "head_width", "lead_names", "sampling_rate"}
    params = {k: v for k, v in BELLPretrainer().get_params().items() if k not in fixed}
    params |= {"max_epochs": 3, "lr": 0.1, "gamma": 0.5, "checkpoint": "folder", "random_state": 1}
    bell = BELLPretrainer.from_pretrained(**params)
    assert {name: getattr(bell, name) for name in params} == params


def test_unknown_parameter_raises_with_the_known_ones():
    with pytest.raises(TypeError, match=r"no parameter foo\. .*batch_size, .*device"):
        BELLPretrainer.from_pretrained(foo=1)


def test_invalid_parameter_raises():
    with pytest.raises(InvalidParameterError, match=r"^The 'batch_size' parameter"):
        BELLPretrainer.from_pretrained(batch_size=0)


def test_frozen_weights_stay_in_a_pipeline(ecg):
    bell = BELLPretrainer.from_pretrained()
    pipeline = make_pipeline(FrozenEstimator(bell), StandardScaler(), LogisticRegression())
    before = bell.transform(ecg.data)
    assert cross_val_score(pipeline, ecg.data, ecg.target, cv=2).mean() > 0.9
    pipeline.fit(ecg.data, ecg.target)
    np.testing.assert_array_equal(pipeline[0].transform(ecg.data), before)


def test_classifier_starts_from_frozen_weights(ecg):
    pretrained = FrozenEstimator(BELLPretrainer.from_pretrained())
    classifier = ECGClassifier(pretrained, max_epochs=1, n_trees=10, random_state=0)
    assert classifier.fit(ecg.data[:20], ecg.target[:20]).score(ecg.data, ecg.target) > 0.9


@pytest.mark.parametrize("name", ["nothing", "../exceptions"])
def test_unknown_weights_raise_with_the_known_names(name):
    message = f"Expected pretrained weights 'bell-12-leads-100hz', got '{re.escape(name)}'"
    with pytest.raises(InvalidFileError, match=message):
        BELLPretrainer.from_pretrained(name)
