"""Run hash: the same in every process, and different for every other training."""

import functools
import os
import pickle
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from torch import nn

from sklearn_bell import ECGClassifier, VQVAEOverSampler
from sklearn_bell._utils.validation import Records
from sklearn_bell.nn.augmentation import RandomCrop
from sklearn_bell.pretraining import BELLPretrainer
from sklearn_bell.training._checkpoint import make_checkpoint_manager
from sklearn_bell.training._run_hash import data_signature, run_hash, sampled_rows_signature
from tests.training._estimators import SMALL, X, y

ROOT = Path(__file__).parents[2]


def estimator_hash(estimator, ignored=()):
    return run_hash(estimator, ignored, {})


def data_hash(*values):
    return run_hash(BELLPretrainer(), (), {"values": values})


def encoder_hash(encoder):
    return estimator_hash(BELLPretrainer(encoder))


def fit_forest(labels):
    return FrozenEstimator(RandomForestClassifier(2, random_state=0).fit(X[:, 0], labels))


def fit_bell(seed):
    return FrozenEstimator(BELLPretrainer(**SMALL, random_state=seed).fit(X))


def build_linear(n, width=4):
    return nn.Linear(n, width)


ESTIMATORS = [
    BELLPretrainer(),
    BELLPretrainer(lr=1.0),
    BELLPretrainer(nn.Linear(2, 2)),
    BELLPretrainer(nn.Linear(2, 2)),  # other weights
    BELLPretrainer(build_linear),
    BELLPretrainer(functools.partial(build_linear, width=8)),
    BELLPretrainer(augmentation=RandomCrop()),
    BELLPretrainer(augmentation=RandomCrop(0.7)),
    BELLPretrainer(random_state=np.random.RandomState(0)),
    BELLPretrainer(random_state=np.random.RandomState(1)),
    ECGClassifier(),
    ECGClassifier(BELLPretrainer()),
    ECGClassifier(BELLPretrainer(lr=1.0)),
    ECGClassifier(BELLPretrainer(max_epochs=1)),
    ECGClassifier(FrozenEstimator(BELLPretrainer())),
    ECGClassifier(fit_bell(0)),
    ECGClassifier(fit_bell(1)),
    ECGClassifier(class_weight={1: 2.0}),
    ECGClassifier(class_weight={"1": 2.0}),
    VQVAEOverSampler(filter=RandomForestClassifier(7)),
    VQVAEOverSampler(filter=fit_forest(y)),
    VQVAEOverSampler(filter=fit_forest(1 - y)),
]


def test_run_hash_differs_for_other_parameters():
    assert len({estimator_hash(estimator, {"max_epochs"}) for estimator in ESTIMATORS}) == 22


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=range(len(ESTIMATORS)))
def test_run_hash_is_kept_by_clone_and_pickle(estimator):
    expected = estimator_hash(estimator)
    assert estimator_hash(clone(estimator)) == expected
    assert estimator_hash(pickle.loads(pickle.dumps(estimator))) == expected


@pytest.mark.parametrize(
    "params",
    [
        {"device": "cuda"},
        {"verbose": 2},
        {"checkpoint": "elsewhere"},
        {"pretrainer__device": "cuda", "pretrainer__verbose": True},
        {"sampler__filter__n_jobs": 4},
        {"max_epochs": 3},
    ],
    ids=lambda params: next(iter(params)),
)
def test_run_hash_ignores_parameters_without_effect(params):
    sampler = VQVAEOverSampler(filter=RandomForestClassifier())
    classifier = ECGClassifier(BELLPretrainer(), sampler=sampler)
    expected = estimator_hash(classifier, {"max_epochs"})
    assert estimator_hash(classifier.set_params(**params), {"max_epochs"}) == expected


def test_run_hash_ignores_order_of_dicts_and_sets():
    assert data_hash({"a": 1, "b": 2}, {"x", "y"}) == data_hash({"b": 2, "a": 1}, {"y", "x"})


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([1, 2], [2, 1]), ({"a": 1}, {"a": 2}), ({1: 2}, {"1": 2}), ({1}, {2}), (1, "1"),
        (0, False), (np.zeros(2), np.zeros(2, np.float32)),
        (np.zeros((2, 1)), np.zeros((1, 2))),
        (torch.zeros(2), torch.ones(2)), (np.array(["a"]), np.array(["b"])), (b"a", b"b"),
        (np.array([None, "a"], object), np.array([None, "b"], object)), (Path("a"), Path("b")),
        (slice(1), slice(2)), (np.random.default_rng(0), np.random.default_rng(1)),
        (pd.Series([1, 2]), pd.Series([2, 1])), (torch.float32, torch.float16),
    ],
)  # fmt: skip
def test_run_hash_differs_for_other_values(first, second):
    assert data_hash(first) != data_hash(second)
    assert data_hash(first) == data_hash(pickle.loads(pickle.dumps(first)))


def test_run_hash_of_recursive_values_ends():
    values = [1]
    values.append(values)
    assert data_hash(values) == data_hash(values)


def make_class(width):
    class Encoder(nn.Module):
        def __init__(self, n):
            super().__init__()
            self.layer = nn.Linear(n, width)

    return Encoder


def make_function(width):
    return lambda n: nn.Linear(n, width)


def make_default(width):
    def encoder(n, width=width):
        return nn.Linear(n, width)

    return encoder


def make_keyword_default(width):
    def encoder(n, *, width=width):
        return nn.Linear(n, width)

    return encoder


def make_method(width):
    return make_class(width)(2).forward


def make_module(width):
    layers = {"a": nn.ReLU(), "b": nn.Tanh()}
    return nn.Sequential(OrderedDict(sorted(layers.items(), reverse=width == 8)))


def make_lambda(width):
    return (lambda n: nn.Linear(n, 4), lambda n: nn.Linear(n, 8))[width == 8]


def make_interactive(width):
    """Return a class without a source file."""
    names = {"__name__": "interactive", "nn": nn}
    exec(f"class Encoder(nn.Module):\n    width = {width}", names)
    return names["Encoder"]


def make_interactive_method(width):
    names = {"__name__": "interactive", "nn": nn}
    lines = ["class Encoder(nn.Module):", "    @staticmethod", f"    def width(): return {width}"]
    exec("\n".join(lines), names)
    return names["Encoder"]


@pytest.mark.parametrize(
    "make",
    [
        make_class, make_function, make_default, make_keyword_default, make_method, make_module,
        make_lambda, make_interactive, make_interactive_method,
    ],
)  # fmt: skip
def test_run_hash_differs_for_other_code(make):
    assert encoder_hash(make(4)) != encoder_hash(make(8))
    if make is not make_method:  # which has weights
        assert encoder_hash(make(4)) == encoder_hash(make(4))


def test_run_hash_differs_for_other_source(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    hashes = []
    for number, name in enumerate(["relu", "tanh"]):
        folder = tmp_path / str(number)
        folder.mkdir()
        source = f"import torch\ndef encoder(n):\n    return torch.nn.Linear(n, 4)  # {name}\n"
        (folder / "user_module.py").write_text(source)
        monkeypatch.syspath_prepend(folder)
        sys.modules.pop("user_module", None)
        hashes.append(encoder_hash(__import__("user_module").encoder))
    assert len(set(hashes)) == 2


def manager_key(records, **data):
    estimator = BELLPretrainer(checkpoint="folder")
    manager = make_checkpoint_manager(
        estimator, (), records=Records(records, (np.float32,)), **data
    )
    return manager.folder.name


def test_run_hash_differs_for_other_data():
    changed = X.copy()
    changed[12] += 1
    labels = {"y": y, "groups": y}
    keys = [
        manager_key(X, **labels), manager_key(changed, **labels), manager_key(X[:20], **labels),
        manager_key(X, y=1 - y, groups=y), manager_key(X, y=y, groups=1 - y),
        manager_key(X, y=y.astype(float), groups=y), manager_key(X, y=y, groups=None),
    ]  # fmt: skip
    assert len(set(keys)) == 7
    assert manager_key(X.astype(np.float64), **labels) == keys[0]


def test_sampled_rows_are_spread():
    records = np.zeros((1000, 1, 2), np.float32)
    expected = sampled_rows_signature(records)
    for row in (0, 999):
        records[row] = 1
        assert sampled_rows_signature(records) != expected
        records[row] = 0
    assert sampled_rows_signature(records) == expected


def test_data_signature_reads_the_first_rows():
    signature = data_signature(X)
    assert signature["shape"] == [24, 2, 120]
    assert signature == {**data_signature(X[:10]), "shape": [24, 2, 120]}
    assert signature != data_signature(X[::-1])


SCRIPT = """
import functools, sys
from sklearn_bell.pretraining import BELLPretrainer
from sklearn_bell.nn.augmentation import RandomCrop
from sklearn_bell.training._run_hash import run_hash
from tests.training.test_run_hash import build_linear, make_class, make_function
values = [{"a", "b", "c"}, {"x": 1, "y": 2}, make_class(3), make_function(3), print]
encoder = functools.partial(build_linear, width=8)
bell = BELLPretrainer(encoder, augmentation=RandomCrop(0.7), random_state=0)
result = run_hash(bell, (), {"values": values})
"""


@pytest.mark.slow
def test_run_hash_is_the_same_in_every_process():
    hashes = set()
    for seed in ("1", "2"):
        output = subprocess.run(
            [sys.executable, "-c", SCRIPT + "print(result)"], cwd=ROOT, check=True, text=True,
            env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True,
        ).stdout  # fmt: skip
        hashes.add(output.strip())
    namespace = {}
    exec(SCRIPT, namespace)
    assert hashes == {namespace["result"]}
