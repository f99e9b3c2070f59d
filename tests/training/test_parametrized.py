"""Estimators whose encoders have parametrised weights are copied, pickled and trained on."""

import copy
import pickle

import numpy as np
import pytest
from torch import nn
from torch.nn.utils import parametrizations

from sklearn_bell import BELLPretrainer, ECGClassifier

X = np.random.default_rng(0).normal(0, 0.2, (12, 2, 300)).astype(np.float32)
PARAMETRIZATIONS = {
    "weight norm": parametrizations.weight_norm,
    "spectral norm": parametrizations.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "two": lambda layer: parametrizations.weight_norm(
        parametrizations.spectral_norm(layer, "bias")
    ),
}


class Encoder(nn.Module):
    def __init__(self, in_channels, parametrize):
        super().__init__()
        self.layer = parametrize(nn.Conv1d(in_channels, 8, 5))

    def forward(self, x):
        return self.layer(x).mean(dim=-1)


@pytest.fixture(params=PARAMETRIZATIONS.values(), ids=PARAMETRIZATIONS)
def bell(request):
    def encoder(in_channels):
        return Encoder(in_channels, request.param)

    return BELLPretrainer(encoder=encoder, max_epochs=1, random_state=0).fit(X)


def copy_by_pickle(estimator):
    parameter = estimator.encoder  # a local function
    estimator.encoder = None
    again = pickle.loads(pickle.dumps(estimator))
    estimator.encoder = again.encoder = parameter
    return again


@pytest.mark.parametrize("duplicate", [copy_by_pickle, copy.deepcopy])
def test_copy_gives_the_same_bits(bell, duplicate):
    again = duplicate(duplicate(bell))
    expected = bell.transform(X)
    np.testing.assert_array_equal(again.transform(X), expected)
    assert again.encoder_.state_dict().keys() == bell.encoder_.state_dict().keys()
    np.testing.assert_array_equal(
        again.partial_fit(X).transform(X), bell.partial_fit(X).transform(X)
    )
    assert not np.array_equal(bell.transform(X), expected)


def test_classifier_is_copied(bell):
    y = np.arange(len(X)) % 2
    classifier = ECGClassifier(bell, max_epochs=1, features=None, random_state=0).fit(X, y)
    again = copy.deepcopy(classifier)
    np.testing.assert_array_equal(again.predict_proba(X), classifier.predict_proba(X))
