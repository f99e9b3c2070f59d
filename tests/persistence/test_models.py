"""What is saved is the same when it is loaded, and no file can do harm."""

import functools
import os
import re

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

import sklearn_bell
from sklearn_bell import ECGClassifier, VQVAEOverSampler, VQVAETransformer, pretraining
from sklearn_bell.exceptions import InvalidFileError
from sklearn_bell.nn.augmentation import Compose, RandomCrop, RandomResizedCrop, TimeOut
from sklearn_bell.nn.encoders import VGG1d
from sklearn_bell.persistence._format import read_file, write_file
from sklearn_bell.pretraining import BELLPretrainer
from sklearn_bell.vqvae import ImageVQVAETransformer

X = np.random.default_rng(0).normal(0, 0.2, (24, 2, 120)).astype(np.float32).cumsum(axis=-1)
y = np.array(["a", "b"])[np.arange(24) % 2]
SMALL = {"head_width": 8, "batch_size": 8, "max_epochs": 1, "device": "cpu"}
VQVAE = {"n_codes": 8, "n_codebooks": 2, "n_features": 4, "width": 8, "batch_size": 8}
BELL = BELLPretrainer(**SMALL, random_state=0)
SAVED = {
    **{
        name: getattr(pretraining, name)(**SMALL, random_state=0) for name in pretraining.__all__
    },
    "other parameters": BELLPretrainer(
        functools.partial(VGG1d, width=1 / 16),
        augmentation=Compose(RandomResizedCrop(0.6), TimeOut()),
        shared_encoder=True, lead_names=("II", "V1"), random_state=np.random.RandomState(3),
        **SMALL,
    ),
    "untrained": clone(BELL).set_params(max_epochs=0),
    "VQVAETransformer": VQVAETransformer(**VQVAE, max_epochs=1),
    "ImageVQVAETransformer": ImageVQVAETransformer(**VQVAE, strides=(2, 2), max_epochs=1),
    "ECGClassifier": ECGClassifier(clone(BELL), max_epochs=1, n_trees=5, random_state=0),
    "from scratch": ECGClassifier(max_epochs=1, class_weight={"a": 1, "b": 2.0}),
    "frozen": ECGClassifier(FrozenEstimator(clone(BELL).fit(X)), max_epochs=1, n_trees=5),
    "with a sampler": ECGClassifier(
        clone(BELL), max_epochs=1, augmentation=RandomCrop(0.8),
        sampler=VQVAEOverSampler(vqvae=VQVAETransformer(**VQVAE, max_epochs=1)),
    ),
}  # fmt: skip


def fitted(name):
    estimator = clone(SAVED[name])
    return estimator.fit(records(estimator), y)


def records(estimator):
    return X[:, :, :64] if isinstance(estimator, ImageVQVAETransformer) else X


def outcome(estimator):
    what = "predict_proba" if hasattr(estimator, "predict_proba") else "transform"
    return getattr(estimator, what)(records(estimator))


@pytest.mark.parametrize("name", SAVED)
def test_what_is_loaded_is_what_was_saved(name, tmp_path):
    estimator = fitted(name)
    estimator.save(tmp_path / "model")
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    loaded = sklearn_bell.load(tmp_path / "model")
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])
    np.testing.assert_array_equal(outcome(loaded), outcome(estimator))
    addresses = r"0x\w+"
    assert re.sub(addresses, "", str(loaded)) == re.sub(addresses, "", str(estimator))
    assert loaded.history_ == estimator.history_
    assert loaded.n_features_in_ == estimator.n_features_in_
    if hasattr(estimator, "get_feature_names_out"):
        assert list(loaded.get_feature_names_out()) == list(estimator.get_feature_names_out())
    if hasattr(estimator, "classes_"):
        np.testing.assert_array_equal(loaded.classes_, estimator.classes_)
        assert loaded.classes_.dtype == estimator.classes_.dtype
    loaded.save(tmp_path / "again")
    np.testing.assert_array_equal(outcome(sklearn_bell.load(tmp_path / "again")), outcome(loaded))
    clone(loaded).fit(records(loaded), y)
    if hasattr(loaded, "partial_fit"):
        loaded.partial_fit(records(loaded), y)


@pytest.mark.parametrize("name", pretraining.__all__)
def test_without_heads_a_file_is_smaller_and_training_begins_with_new_ones(name, tmp_path):
    pretrainer = clone(SAVED[name]).set_params(head_width=64).fit(X)
    pretrainer.save(tmp_path / "whole")
    pretrainer.save(tmp_path / "model", heads=False)
    sizes = [(tmp_path / name).stat().st_size for name in ("model", "whole")]
    assert sizes[0] < 0.9 * sizes[1]
    loaded = sklearn_bell.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.transform(X), pretrainer.transform(X))
    method = loaded._net.module_.method
    if hasattr(method, "target"):
        online = method.online.state_dict()
        assert all(torch.equal(one, online[k]) for k, one in method.target.state_dict().items())
        assert not any(one.requires_grad for one in method.target.parameters())
    before = loaded.transform(X)
    loaded.partial_fit(X)
    assert len(loaded.history_) == 2
    assert not np.array_equal(loaded.transform(X), before)


def test_a_file_without_heads_cannot_ask_for_great_ones(tmp_path):
    clone(BELL).fit(X).save(tmp_path / "model", heads=False)
    content = read_file(tmp_path / "model", "model")
    content["params"]["head_width"] = 10**5
    write_file(tmp_path / "model", content, "model")
    with pytest.raises(InvalidFileError, match="ask for more than"):
        sklearn_bell.load(tmp_path / "model")
    content["state"]["weights"].popitem()
    content["params"]["head_width"] = 8
    write_file(tmp_path / "model", content, "model")
    with pytest.raises(InvalidFileError, match="do not fit the parameters"):
        sklearn_bell.load(tmp_path / "model")


class Own(torch.nn.Module):
    def __init__(self, in_channels):
        super().__init__()
        self.linear = torch.nn.Linear(in_channels * 60, 4)

    def forward(self, x):
        return self.linear(x[..., :60].flatten(1))


def test_what_is_not_of_this_library_is_handed_in(tmp_path):
    bell = clone(BELL).set_params(encoder=Own).fit(X)
    bell.save(tmp_path / "model")
    with pytest.raises(
        InvalidFileError, match=r"model: .*encoder was .*Own.*load\(\.\.\., encoder=Own"
    ):
        sklearn_bell.load(tmp_path / "model")
    loaded = sklearn_bell.load(tmp_path / "model", encoder=Own)
    np.testing.assert_array_equal(loaded.transform(X), bell.transform(X))
    with pytest.raises(InvalidFileError, match="its weights do not fit the parameters: method"):
        sklearn_bell.load(tmp_path / "model", encoder=VGG1d)

    for pretrainer in (clone(bell), FrozenEstimator(bell)):
        classifier = ECGClassifier(pretrainer, max_epochs=1, n_trees=5, random_state=0).fit(X, y)
        classifier.save(tmp_path / "classifier")
        with pytest.raises(InvalidFileError, match=r"hand it in|Hand it in"):
            sklearn_bell.load(tmp_path / "classifier")
        loaded = sklearn_bell.load(tmp_path / "classifier", pretrainer__encoder=Own)
        np.testing.assert_array_equal(loaded.predict_proba(X), classifier.predict_proba(X))


def test_a_module_as_encoder_is_handed_in_and_gets_its_weights(tmp_path):
    bell = clone(BELL).set_params(encoder=Own(1)).fit(X)
    bell.save(tmp_path / "model")
    loaded = sklearn_bell.load(tmp_path / "model", encoder=Own(1))
    np.testing.assert_array_equal(loaded.transform(X), bell.transform(X))


def test_parameters_are_replaced(tmp_path):
    clone(BELL).fit(X).save(tmp_path / "model")
    assert sklearn_bell.load(tmp_path / "model", lr=1e-5, device="cpu").lr == 1e-5
    with pytest.raises(InvalidFileError, match="BELLPretrainer has no parameter rate"):
        sklearn_bell.load(tmp_path / "model", rate=1)


def test_names_of_columns_are_kept(tmp_path):
    frame = pd.DataFrame(X[:, 0], columns=[f"s{i}" for i in range(120)])
    bell = clone(BELL).fit(frame)
    bell.save(tmp_path / "model")
    loaded = sklearn_bell.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.feature_names_in_, bell.feature_names_in_)
    np.testing.assert_array_equal(loaded.transform(frame), bell.transform(frame))


def test_a_checkpoint_is_nobody_elses(tmp_path):
    clone(BELL).set_params(checkpoint=tmp_path / "here").fit(X).save(tmp_path / "model")
    assert b"here" not in (tmp_path / "model").read_bytes()
    assert sklearn_bell.load(tmp_path / "model").checkpoint is None


def test_a_file_tells_what_was_trained_on(tmp_path):
    clone(BELL).fit(X).save(tmp_path / "a")
    clone(BELL).fit(X[:20]).partial_fit(X).save(tmp_path / "b")  # the first counts
    clone(BELL).fit(X[::-1]).save(tmp_path / "c")
    a, b, c = (
        read_file(tmp_path / name, "model")["state"]["records"]["data"] for name in ("a", "b", "c")
    )
    assert a["shape"] == [24, 2, 120]
    assert b["shape"] == [20, 2, 120]
    assert a["sha256_of_first"] == b["sha256_of_first"] != c["sha256_of_first"]


def test_what_is_not_fitted_or_not_of_this_library_is_not_saved(tmp_path):
    from sklearn.exceptions import NotFittedError

    with pytest.raises(NotFittedError):
        clone(BELL).save(tmp_path / "model")

    class Mine(BELLPretrainer):
        pass

    with pytest.raises(TypeError, match=r"Mine is not of sklearn_bell.*joblib"):
        Mine(**SMALL).fit(X).save(tmp_path / "model")
    assert not os.listdir(tmp_path)


def changes(content):
    """Ways in which a file with a right checksum may lie."""
    yield {**content, "class": "BaseEstimator"}
    yield {**content, "class": "read_wfdb"}
    yield {}
    yield {**content, "state": {}}
    for name, value in [
        ("encoder", {"name": "Module"}), ("encoder", {"name": "../VGG1d"}),
        ("encoder", {"partial": [{"name": "system"}, {"tuple": ["true"]}, {"dict": []}]}),
        ("encoder", {"object": ["exec", {"tuple": [{"tuple": ["1/0"]}, {"dict": []}]}]}),
        ("encoder", {"name": "LeadwiseEncoder"}), ("encoder", {"a": 1, "b": 2}), ("encoder", {}),
        ("encoder", {"estimator": content}), ("head_width", 10**12), ("head_width", "wide"),
        ("head_width", 9), ("lead_names", {"list": ["II"]}), ("device", "cuda:99"),
        ("sampling_rate", float("nan")), ("random_state", {"random_state": ["MT19937"]}),
    ]:  # fmt: skip
        yield {**content, "params": {**content["params"], name: value}}
    for name, value in [
        ("n_leads_in_", 10**6), ("n_leads_in_", 3), ("n_samples_in_", 10**12), ("n_samples_in_", 0),
        ("n_samples_in_", "120"), ("classes_", 1),
    ]:  # fmt: skip
        known = content["state"]["records"]
        seen = {**known, "sizes": {**known["sizes"], name: value}}
        yield {**content, "state": {**content["state"], "records": seen}}
    weights = content["state"]["weights"]
    for name in (next(iter(weights)), "method.more"):
        wrong = {**weights, name: torch.zeros(1)}
        yield {**content, "state": {**content["state"], "weights": wrong}}
    yield {**content, "state": {**content["state"], "weights": []}}


@pytest.mark.parametrize("sizes", [(2, 2**21 + 1), (1025, 100), (1, 2**22 + 1)])
def test_no_file_can_ask_for_endless_records(sizes, tmp_path):
    bell = BELLPretrainer(shared_encoder=True, **{**SMALL, "max_epochs": 0}).fit(X)
    bell.save(tmp_path / "model", heads=False)
    content = read_file(tmp_path / "model", "model")
    content["state"]["records"]["sizes"] |= {"n_leads_in_": sizes[0], "n_samples_in_": sizes[1]}
    write_file(tmp_path / "model", content, "model")
    with pytest.raises(InvalidFileError, match=rf"shape {sizes[0]} x {sizes[1]}, but at most"):
        sklearn_bell.load(tmp_path / "model")


def test_no_file_can_ask_for_endless_names_of_classes(tmp_path):
    classifier = ECGClassifier(max_epochs=1, n_trees=0, random_state=0, device="cpu")
    classifier.fit(X, y).save(tmp_path / "model")
    content = read_file(tmp_path / "model", "model")
    content["state"]["dtype"] = "<U50000000"
    write_file(tmp_path / "model", content, "model")
    with pytest.raises(InvalidFileError, match="its classes are of <U50000000"):
        sklearn_bell.load(tmp_path / "model")


def test_a_format_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("sklearn_bell.persistence._format.FORMAT", float("inf"))
    write_file(tmp_path / "model", {}, "model")
    monkeypatch.undo()
    with pytest.raises(InvalidFileError, match="no description of sklearn_bell"):
        sklearn_bell.load(tmp_path / "model")


@pytest.mark.parametrize(("name", "value"), [("head_width", 10**7), ("n_leads_in_", 20)])
def test_no_file_can_ask_for_more_than_it_holds(name, value, tmp_path):
    clone(BELL).fit(X).save(tmp_path / "model")
    content = read_file(tmp_path / "model", "model")
    where = content["params"] if name == "head_width" else content["state"]["records"]["sizes"]
    where[name] = value
    write_file(tmp_path / "model", content, "model")
    with pytest.raises(InvalidFileError, match="its weights do not fit the parameters"):
        sklearn_bell.load(tmp_path / "model")


def test_whatever_a_file_says_there_is_an_error_of_this_library(tmp_path):
    clone(BELL).fit(X).save(tmp_path / "model")
    content = read_file(tmp_path / "model", "model")
    expected = sklearn_bell.load(tmp_path / "model").transform(X)
    for number, changed in enumerate(changes(content)):
        write_file(tmp_path / "changed", changed, "model")
        try:
            loaded, message = sklearn_bell.load(tmp_path / "changed"), ""
        except InvalidFileError as error:
            loaded, message = None, str(error)
        if loaded is None:
            assert str(tmp_path / "changed") in message, number
        else:  # what does not matter to what is computed
            np.testing.assert_array_equal(loaded.transform(X), expected, err_msg=str(number))
