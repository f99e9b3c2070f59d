"""The weights that come with the library are ready to use, for whoever has twelve leads."""

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
        raise AssertionError("the network is asked for")

    monkeypatch.setattr(socket, "socket", refuse)


def test_a_few_megabytes_with_a_card_each():
    assert NAMES
    for name in NAMES:
        assert (_WEIGHTS / f"{name}.safetensors").stat().st_size < 8e6
        card = (_WEIGHTS / f"{name}.md").read_text()
        assert card.startswith(f"# {name}\n")
        for word in ("Data", "Licence", "Leads", "Hz", "python benchmarks/pretrain_weights.py"):
            assert word in card, (name, word)


def test_three_lines_do(ecg):
    bell = BELLPretrainer.from_pretrained()
    features = bell.transform(ecg.data)
    assert features.shape == (40, len(bell.get_feature_names_out()))
    assert bell.lead_names_ == list(STANDARD_LEADS)
    classifier = make_pipeline(StandardScaler(), LogisticRegression())
    assert cross_val_score(classifier, features, ecg.target).mean() > 0.95
    np.testing.assert_array_equal(BELLPretrainer.from_pretrained().transform(ecg.data), features)


def test_features_of_another_hospital_are_worth_more_than_those_of_no_pretraining():
    # of these records it has seen the signals, but no label
    try:
        ludb = load_ludb(task="conduction", sampling_rate=100)
    except FileNotFoundError:
        pytest.skip("no LUDB")
    common = min(ludb.target.shape[1], 3)
    frequent = np.argsort(-ludb.target.sum(axis=0))[:common]
    scores = {}
    bell = BELLPretrainer.from_pretrained()
    for name, one in (
        ("pretrained", bell),
        ("untrained", BELLPretrainer(max_epochs=0, random_state=0).fit(ludb.data)),
    ):
        features = one.transform(ludb.data)
        classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.005))
        scores[name] = np.mean(
            [
                cross_val_score(classifier, features, ludb.target[:, i], cv=5, scoring="roc_auc")
                for i in frequent
            ]
        )
    assert scores["pretrained"] > scores["untrained"]


def test_parameters_can_be_replaced(ecg):
    bell = BELLPretrainer.from_pretrained(missing="zero", device="cpu", batch_size=7)
    assert (bell.missing, bell.batch_size) == ("zero", 7)
    X = ecg.data.copy()
    X[:, 3] = np.nan
    assert np.isfinite(bell.transform(X)).all()


def test_pretraining_goes_on(ecg):
    bell = BELLPretrainer.from_pretrained(batch_size=20)
    before = bell.transform(ecg.data)
    target = bell._net.module_.method.target[0].state_dict()
    for name, weight in bell._net.module_.method.encoder.state_dict().items():
        assert torch.equal(weight, target[name])
    n_epochs = len(bell.history_)
    bell.partial_fit(ecg.data)
    assert len(bell.history_) == n_epochs + 1
    assert not np.array_equal(bell.transform(ecg.data), before)


def test_new_heads_predict_nothing_until_they_are_trained(ecg, tmp_path, figures):
    bell = BELLPretrainer.from_pretrained(batch_size=20)
    bell.save(tmp_path / "again")
    for one in (bell, load(tmp_path / "again")):
        for distances in (one.lead_distances, partial(LeadSimilarityDisplay.from_estimator, one)):
            with pytest.raises(
                NotFittedError, match=r"heads=False.*by partial_fit or fit, or load"
            ):
                distances(ecg.data)
    bell.partial_fit(ecg.data)
    distances = bell.lead_distances(ecg.data, random_state=0)
    assert distances.shape == (12, 12)
    bell.save(tmp_path / "trained")
    np.testing.assert_array_equal(
        load(tmp_path / "trained").lead_distances(ecg.data, random_state=0), distances
    )
    bell.save(tmp_path / "trained", heads=False)
    with pytest.raises(NotFittedError, match="are new"):
        load(tmp_path / "trained").lead_distances(ecg.data)


@pytest.mark.parametrize(
    "params",
    [
        {"lead_names": ["a"] * 12},
        {"sampling_rate": 500},
        {"encoder": VGG1d},
        {"shared_encoder": True},
        {"head_width": 16},
    ],
)
def test_what_the_weights_are_cannot_be_replaced(params):
    (name,) = params
    expected = rf"^{name} cannot be set.*augmentation, .*batch_size, .*device, .*missing, .*can\."
    with pytest.raises(ValueError, match=expected):
        BELLPretrainer.from_pretrained(device="cpu", **params)


def test_every_other_parameter_can_be_replaced():
    fixed = {"encoder", "shared_encoder", "head_width", "lead_names", "sampling_rate"}
    params = {k: v for k, v in BELLPretrainer().get_params().items() if k not in fixed}
    params |= {"max_epochs": 3, "lr": 0.1, "gamma": 0.5, "checkpoint": "folder", "random_state": 1}
    bell = BELLPretrainer.from_pretrained(**params)
    assert {name: getattr(bell, name) for name in params} == params


def test_parameters_that_make_no_sense_are_named_and_not_the_file():
    with pytest.raises(TypeError, match=r"no parameter foo; .* is .*batch_size, .*device"):
        BELLPretrainer.from_pretrained(foo=1)
    with pytest.raises(InvalidParameterError, match=r"^The 'batch_size' parameter"):
        BELLPretrainer.from_pretrained(batch_size=0)


def test_frozen_in_a_pipeline_they_stay_as_they_are(ecg):
    bell = BELLPretrainer.from_pretrained()
    pipeline = make_pipeline(FrozenEstimator(bell), StandardScaler(), LogisticRegression())
    before = bell.transform(ecg.data)
    assert cross_val_score(pipeline, ecg.data, ecg.target, cv=2).mean() > 0.9
    pipeline.fit(ecg.data, ecg.target)
    np.testing.assert_array_equal(pipeline[0].transform(ecg.data), before)


def test_a_classifier_starts_from_them(ecg):
    pretrained = FrozenEstimator(BELLPretrainer.from_pretrained())
    classifier = ECGClassifier(pretrained, max_epochs=2, n_trees=10, random_state=0)
    assert classifier.fit(ecg.data[:20], ecg.target[:20]).score(ecg.data, ecg.target) > 0.9


def test_what_there_is_not_is_said():
    with pytest.raises(
        InvalidFileError, match="no pretrained 'nothing', but 'bell-12-leads-100hz'"
    ):
        BELLPretrainer.from_pretrained("nothing")
    with pytest.raises(InvalidFileError, match=r"no pretrained '\.\./exceptions"):
        BELLPretrainer.from_pretrained("../exceptions")
