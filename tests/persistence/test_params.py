"""Parameters as trees of JSON and tensors."""

import functools

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from sklearn_bell.exceptions import InvalidFileError
from sklearn_bell.nn.augmentation import Compose, RandomCrop, RandomResizedCrop
from sklearn_bell.nn.encoders import VGG1d
from sklearn_bell.persistence._params import _decode, _encode, unknown_names

VALUES = [
    None, True, 3, 0.1, "text", [1, [2]], (1, (2, "a")), {"a": 1, 2: [3]}, {}, VGG1d,
    {(1, 2): None}, functools.partial(VGG1d, width=1 / 16), np.float64(0.5),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_are_decoded_as_encoded(value):
    decoded = _decode(_encode(value), {}, "name")
    assert type(decoded) is type(value) or isinstance(value, np.generic)
    assert repr(decoded) == repr(value) or decoded == value


@pytest.mark.parametrize(
    "value", [Compose(RandomResizedCrop(0.6), RandomCrop(0.5)), Compose(), RandomCrop(0.7)]
)
def test_modules_without_weights_are_made_again(value):
    decoded = _decode(_encode(value), {}, "name")
    assert decoded is not value
    assert str(decoded) == str(value)


def test_random_state_is_restored():
    random_state = np.random.RandomState(3)
    decoded = _decode(_encode(random_state), {}, "name")
    np.testing.assert_array_equal(decoded.normal(size=5), random_state.normal(size=5))


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
        (LogisticRegression(), "sklearn.linear_model._logistic.LogisticRegression"),
        (len, "builtins.len"),
        (torch.nn.Conv1d, "torch.nn.modules.conv.Conv1d"),
    ],
)
def test_other_objects_are_unknown(value, name):
    tree = {"list": [_encode(value), 1]}
    assert list(unknown_names(tree)) == [name]
    with pytest.raises(InvalidFileError, match=f"its parameter encoder was {name}.*Pass it"):
        _decode(tree, {}, "encoder")
