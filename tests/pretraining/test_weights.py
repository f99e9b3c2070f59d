"""Pretrained weights that come with the library."""

import re
import socket
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils._param_validation import InvalidParameterError

from sklearn_bell import BELLPretrainer, ECGClassifier, ECGFeatures, load
from sklearn_bell.datasets import load_ludb, make_ecg
from sklearn_bell.exceptions import InvalidECGError, InvalidFileError
from sklearn_bell.nn.encoders import ResNet1d, VGG1d
from sklearn_bell.plotting import LeadSimilarityDisplay
from sklearn_bell.preprocessing import STANDARD_LEADS
from sklearn_bell.pretraining._weights import FOLDER

NAMES = sorted(path.stem for path in FOLDER.glob("*.safetensors"))


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
    assert (FOLDER / f"{name}.safetensors").stat().st_size < 5e6
    card = (FOLDER / f"{name}.md").read_text()
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
        with pytest.raises(NotFittedError, match=r"heads=False.*Call partial_fit, or fit"):
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
    [{"sampling_rate": 500}, {"encoder": VGG1d}, {"shared_encoder": True}],
    ids=lambda params: next(iter(params)),
)
def test_parameters_of_the_weights_cannot_be_replaced(params):
    ((name, value),) = params.items()
    with pytest.raises(InvalidECGError, match=f"^{name} belongs to the weights.* got {value}"):
        BELLPretrainer.from_pretrained(device="cpu", **params)


def test_all_other_parameters_can_be_replaced():
    fixed = {"encoder", "shared_encoder", "sampling_rate", "weights", "lead_names"}
    params = {k: v for k, v in BELLPretrainer().get_params().items() if k not in fixed}
    params |= {"max_epochs": 3, "lr": 0.1, "gamma": 0.5, "checkpoint": "folder", "random_state": 1}
    params |= {"head_width": 16, "measurements": ECGFeatures()}
    bell = BELLPretrainer.from_pretrained(**params)
    assert {name: getattr(bell, name) for name in params} == params


def test_unknown_parameter_raises():
    with pytest.raises(TypeError, match="unexpected keyword argument 'foo'"):
        BELLPretrainer.from_pretrained(foo=1)


def test_invalid_parameter_raises():
    with pytest.raises(InvalidParameterError, match=r"^The 'batch_size' parameter"):
        BELLPretrainer.from_pretrained(batch_size=0)


LEADS = [["II"], ["V6", "I"], ["v1", "aVR", "III"], list(STANDARD_LEADS[::-1])]


@pytest.mark.parametrize("leads", LEADS, ids="-".join)
def test_leads_have_the_latents_of_all_twelve(ecg, leads):
    positions = [[lead.lower() for lead in STANDARD_LEADS].index(lead.lower()) for lead in leads]
    latents = BELLPretrainer.from_pretrained().transform(ecg.data)
    bell = BELLPretrainer.from_pretrained(leads=leads)
    assert bell.lead_names_ == leads
    selected = latents.reshape(len(latents), 12, -1)[:, positions].reshape(len(latents), -1)
    np.testing.assert_array_equal(bell.transform(ecg.data[:, positions]), selected)


@pytest.mark.parametrize(
    ("leads", "message"),
    [
        (["II", "ii"], "each once"),
        (["VX"], "No lead named VX"),
        ([], "at least one lead"),
        ("II", r"a list, got 'II'. Pass \['II'\]"),
    ],
)
def test_invalid_leads_raise(leads, message):
    with pytest.raises(InvalidECGError, match=message):
        BELLPretrainer.from_pretrained(leads=leads)


@pytest.mark.parametrize("leads", [None, ["V1", "II"]])
def test_clone_fits_to_the_same_latents(ecg, leads):
    bell = BELLPretrainer.from_pretrained(leads=leads)
    X = ecg.data if leads is None else ecg.data[:, [6, 1]]
    copy = clone(bell)
    assert not hasattr(copy, "n_leads_in_")
    np.testing.assert_array_equal(copy.fit(X).transform(X), bell.transform(X))
    with pytest.raises(NotFittedError, match="heads"):
        copy.lead_distances(X)


def test_fit_adapts_to_the_length_of_records(ecg):
    X = ecg.data[..., :700]
    bell = clone(BELLPretrainer.from_pretrained()).fit(X)
    assert bell.transform(X).shape == (40, 1152)


def test_fit_continues_from_the_weights(ecg):
    same_size = partial(ResNet1d, channels=(32, 64, 112), n_features=96)
    first, random = (
        BELLPretrainer(max_epochs=1, lr=1e-6, random_state=0, **params).fit(ecg.data)
        for params in ({"weights": NAMES[0]}, {"encoder": same_size})
    )
    expected = BELLPretrainer.from_pretrained().transform(ecg.data)
    correlation = [np.corrcoef(bell.transform(ecg.data).ravel(), expected.ravel())[0, 1]
                   for bell in (first, random)]  # fmt: skip
    assert correlation[0] > 0.95 > correlation[1]
    assert first.lead_distances(ecg.data).shape == (12, 12)


def test_other_number_of_leads_raises_with_the_remedy(ecg):
    bell = clone(BELLPretrainer.from_pretrained())
    with pytest.raises(InvalidECGError, match=r"X has 2 lead\(s\), but lead_names has 12"):
        bell.fit(ecg.data[:, :2])
    bell.set_params(lead_names=["I", "II"]).fit(ecg.data[:, :2])


def test_weights_survive_a_pipeline(ecg):
    pipeline = make_pipeline(
        BELLPretrainer.from_pretrained(), StandardScaler(), LogisticRegression()
    )
    expected = pipeline[0].transform(ecg.data)
    assert cross_val_score(pipeline, ecg.data, ecg.target, cv=2).mean() > 0.9
    pipeline.fit(ecg.data, ecg.target)
    np.testing.assert_array_equal(pipeline[0].transform(ecg.data), expected)


def test_saved_pretrainer_with_weights_loads(ecg, tmp_path):
    bell = BELLPretrainer(weights=NAMES[0], max_epochs=1, random_state=0).fit(ecg.data)
    bell.save(tmp_path / "bell")
    loaded = load(tmp_path / "bell")
    np.testing.assert_array_equal(loaded.transform(ecg.data), bell.transform(ecg.data))


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
