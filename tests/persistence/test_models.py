"""Saved models give the same bits, and no file runs code or allocates without bounds."""

import os
import re

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator

import sklearn_bell
from sklearn_bell import ECGClassifier
from sklearn_bell.exceptions import InvalidECGError, InvalidFileError
from sklearn_bell.nn.encoders import VGG1d
from sklearn_bell.persistence._format import read_file, write_file
from sklearn_bell.pretraining import BELLPretrainer
from tests.persistence._models import BELL, MODELS, PRETRAINERS, SMALL, X, fitted, output, y
from tests.persistence._models import records_of as records


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model"


def reload(estimator, path, **params):
    estimator.save(path)
    return sklearn_bell.load(path, **params)


@pytest.mark.parametrize("name", MODELS)
def test_loaded_model_equals_the_saved_one(name, path):
    estimator = fitted(name)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    loaded = reload(estimator, path)
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])
    np.testing.assert_array_equal(output(loaded), output(estimator))
    assert re.sub(r"0x\w+", "", str(loaded)) == re.sub(r"0x\w+", "", str(estimator))
    for attribute in ("history_", "n_features_in_", "best_epoch_"):
        assert getattr(loaded, attribute, None) == getattr(estimator, attribute, None)
    if hasattr(estimator, "get_feature_names_out"):
        assert list(loaded.get_feature_names_out()) == list(estimator.get_feature_names_out())
    if hasattr(estimator, "classes_"):
        np.testing.assert_array_equal(loaded.classes_, estimator.classes_, strict=True)


@pytest.mark.parametrize("name", MODELS)
def test_loaded_model_is_saved_and_trained_again(name, path):
    loaded = reload(fitted(name), path)
    np.testing.assert_array_equal(output(reload(loaded, path)), output(loaded))
    n_epochs = len(loaded.history_)
    if hasattr(loaded, "partial_fit"):
        loaded.partial_fit(records(loaded), y)
        assert len(loaded.history_) == n_epochs + 1
    clone(loaded).fit(records(loaded), y)


@pytest.mark.parametrize("name", PRETRAINERS)
def test_model_without_heads_is_smaller_and_trains(name, tmp_path):
    pretrainer = clone(MODELS[name]).set_params(head_width=64).fit(X)
    pretrainer.save(tmp_path / "whole")
    pretrainer.save(tmp_path / "model", heads=False)
    sizes = [(tmp_path / name).stat().st_size for name in ("model", "whole")]
    assert sizes[0] < 0.9 * sizes[1]
    loaded = sklearn_bell.load(tmp_path / "model")
    latents = loaded.transform(X)
    np.testing.assert_array_equal(latents, pretrainer.transform(X))
    objective = loaded._net.module_.objective
    if hasattr(objective, "target"):  # is a copy of the loaded encoder with its new heads
        online = objective.online.state_dict()
        for key, weight in objective.target.state_dict().items():
            assert torch.equal(weight, online[key])
        assert not any(weight.requires_grad for weight in objective.target.parameters())
    loaded.partial_fit(X)
    assert len(loaded.history_) == 2
    assert not np.array_equal(loaded.transform(X), latents)


class UserEncoder(torch.nn.Module):
    def __init__(self, in_channels):
        super().__init__()
        self.linear = torch.nn.Linear(in_channels * 60, 4)

    def forward(self, x):
        return self.linear(x[..., :60].flatten(1))


def test_user_encoder_must_be_passed(path):
    bell = clone(BELL).set_params(encoder=UserEncoder).fit(X)
    bell.save(path)
    match = r"model: its parameter encoder was .*UserEncoder.*load\(\.\.\., encoder=UserEncoder"
    with pytest.raises(InvalidFileError, match=match):
        sklearn_bell.load(path)
    loaded = sklearn_bell.load(path, encoder=UserEncoder)
    np.testing.assert_array_equal(loaded.transform(X), bell.transform(X))


def test_other_encoder_is_refused(path):
    clone(BELL).set_params(encoder=UserEncoder).fit(X).save(path)
    with pytest.raises(InvalidFileError, match="its weights do not fit its parameters: objective"):
        sklearn_bell.load(path, encoder=VGG1d)


@pytest.mark.parametrize("freeze", [clone, FrozenEstimator], ids=["clone", "frozen"])
def test_nested_user_encoder_must_be_passed(freeze, path):
    bell = clone(BELL).set_params(encoder=UserEncoder).fit(X)
    classifier = ECGClassifier(freeze(bell), max_epochs=1, n_trees=5, random_state=0).fit(X, y)
    classifier.save(path)
    with pytest.raises(InvalidFileError, match="Pass it"):
        sklearn_bell.load(path)
    loaded = sklearn_bell.load(path, pretrainer__encoder=UserEncoder)
    np.testing.assert_array_equal(loaded.predict_proba(X), classifier.predict_proba(X))


def test_module_as_encoder_gets_its_weights(path):
    bell = clone(BELL).set_params(encoder=UserEncoder(1)).fit(X)
    loaded = reload(bell, path, encoder=UserEncoder(1))
    np.testing.assert_array_equal(loaded.transform(X), bell.transform(X))


def test_parameters_are_replaced(path):
    assert reload(fitted("BELLPretrainer"), path, lr=1e-5, device="cpu").lr == 1e-5
    with pytest.raises(InvalidFileError, match="BELLPretrainer has no parameter rate"):
        sklearn_bell.load(path, rate=1)
    with pytest.raises(InvalidECGError, match="Expected device to be 'auto' or one of"):
        sklearn_bell.load(path, device="gpu")


def test_column_names_are_saved(path):
    frame = pd.DataFrame(X[:, 0], columns=[f"s{i}" for i in range(120)])
    bell = clone(BELL).fit(frame)
    loaded = reload(bell, path)
    np.testing.assert_array_equal(loaded.feature_names_in_, bell.feature_names_in_)
    np.testing.assert_array_equal(loaded.transform(frame), bell.transform(frame))


def test_checkpoint_is_not_saved(path, tmp_path):
    bell = clone(BELL).set_params(checkpoint=tmp_path / "folder").fit(X)
    assert reload(bell, path).checkpoint is None
    assert b"folder" not in path.read_bytes()


def test_file_holds_signature_of_the_first_records(path):
    def signature(estimator):
        estimator.save(path)
        return read_file(path, "model")["state"]["records"]["data"]

    first = signature(clone(BELL).fit(X))
    second = signature(clone(BELL).fit(X[:20]).partial_fit(X))  # of the first call
    third = signature(clone(BELL).fit(X[::-1]))
    assert (first["shape"], second["shape"]) == ([24, 2, 120], [20, 2, 120])
    assert first["sha256_of_first"] == second["sha256_of_first"] != third["sha256_of_first"]


class Subclass(BELLPretrainer):
    pass


@pytest.mark.parametrize(
    ("estimator", "error", "match"),
    [
        (BELL, NotFittedError, "not fitted"),
        (Subclass(**SMALL).fit(X), TypeError, "Subclass is not a class of sklearn_bell.*joblib"),
    ],
    ids=["unfitted", "subclass"],
)
def test_unsupported_estimators_are_not_saved(estimator, error, match, tmp_path):
    with pytest.raises(error, match=match):
        estimator.save(tmp_path / "model")
    assert not os.listdir(tmp_path)


PARAMS = [
    ("encoder", {"name": "Module"}), ("encoder", {"name": "../VGG1d"}),
    ("encoder", {"partial": [{"name": "system"}, {"tuple": ["true"]}, {"dict": []}]}),
    ("encoder", {"partial": ["print", {"tuple": ["true"]}, {"dict": []}]}),
    ("encoder", {"object": ["exec", {"tuple": [{"tuple": ["1/0"]}, {"dict": []}]}]}),
    ("encoder", {"name": "LeadwiseEncoder"}), ("encoder", {"a": 1, "b": 2}), ("encoder", {}),
    ("encoder", {"estimator": {}}), ("encoder", {"unknown": "os.system"}),
    ("head_width", 10**12), ("head_width", "wide"), ("head_width", 9), ("device", "cuda:99"),
    ("lead_names", {"list": ["II"]}), ("sampling_rate", float("nan")),
    ("random_state", {"random_state": ["MT19937"]}), ("max_epochs", -1),
]  # fmt: skip
SIZES = [
    ("n_leads_in_", 10**6), ("n_leads_in_", 3), ("n_samples_in_", 10**12), ("n_samples_in_", 0),
    ("n_samples_in_", "120"), ("classes_", 1),
]  # fmt: skip
TOP = [("class", "BaseEstimator"), ("class", "read_wfdb"), ("class", None), ("state", {})]
CHANGES = [
    *((("params", name), value) for name, value in PARAMS),
    *((("state", "records", "sizes", name), value) for name, value in SIZES),
    *(((name,), value) for name, value in TOP),
    (("state", "weights"), []), (("state", "weights", "objective.more"), torch.zeros(1)),
    (("state", "history"), None), (("params",), []), (("state", "records"), None),
]  # fmt: skip


@pytest.fixture(scope="module")
def bell_content(tmp_path_factory):
    path = tmp_path_factory.mktemp("bell") / "model"
    fitted("BELLPretrainer").save(path)
    return lambda: read_file(path, "model")


def changed(content, path, value):
    """Set the item at a path of keys, and return the content."""
    container = content
    for key in path[:-1]:
        container = container[key]
    container[path[-1]] = value
    return content


@pytest.mark.parametrize(("keys", "value"), CHANGES, ids=map(str, range(len(CHANGES))))
def test_hostile_model_is_refused_or_equal(keys, value, bell_content, path):
    write_file(path, changed(bell_content(), keys, value), "model")
    try:
        loaded = sklearn_bell.load(path)
    except InvalidFileError as error:
        assert str(path) in str(error)  # noqa: PT017
    else:  # the change does not matter for the latents
        np.testing.assert_array_equal(loaded.transform(X), fitted("BELLPretrainer").transform(X))


def test_weight_of_other_shape_is_refused(bell_content, path):
    content = bell_content()
    for name in list(content["state"]["weights"])[:3]:
        keys = "state", "weights", name
        write_file(path, changed(bell_content(), keys, torch.zeros(99)), "model")
        with pytest.raises(InvalidFileError, match="its weights do not fit its parameters"):
            sklearn_bell.load(path)


@pytest.mark.parametrize(
    ("keys", "value"),
    [(("params", "head_width"), 10**7), (("state", "records", "sizes", "n_leads_in_"), 20)],
)
def test_networks_larger_than_the_file_are_refused(keys, value, bell_content, path):
    write_file(path, changed(bell_content(), keys, value), "model")
    with pytest.raises(InvalidFileError, match="its weights do not fit its parameters"):
        sklearn_bell.load(path)


@pytest.mark.parametrize(
    ("head_width", "match"), [(10**5, "need more than"), (8, "do not fit its parameters")]
)
def test_file_without_heads_has_bounds(head_width, match, path):
    fitted("BELLPretrainer").save(path, heads=False)
    content = changed(read_file(path, "model"), ("params", "head_width"), head_width)
    if head_width == 8:
        content["state"]["weights"].popitem()
    write_file(path, content, "model")
    with pytest.raises(InvalidFileError, match=match):
        sklearn_bell.load(path)


@pytest.mark.parametrize("sizes", [(2, 2**21 + 1), (1025, 100), (1, 2**22 + 1)])
def test_record_size_has_bounds(sizes, path):
    bell = BELLPretrainer(shared_encoder=True, **{**SMALL, "max_epochs": 0}).fit(X)
    bell.save(path, heads=False)
    content = read_file(path, "model")
    content["state"]["records"]["sizes"] |= {"n_leads_in_": sizes[0], "n_samples_in_": sizes[1]}
    write_file(path, content, "model")
    with pytest.raises(InvalidFileError, match=rf"shape {sizes[0]} x {sizes[1]}, but at most"):
        sklearn_bell.load(path)


def test_class_name_size_has_bounds(path):
    fitted("ECGClassifier").save(path)
    write_file(path, changed(read_file(path, "model"), ("state", "dtype"), "<U50000000"), "model")
    with pytest.raises(InvalidFileError, match="its classes have dtype <U50000000"):
        sklearn_bell.load(path)
