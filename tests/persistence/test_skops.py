"""skops keeps estimators without code, and nothing but this library has to be trusted."""

import pickle

import numpy as np
import pytest
import skops.io
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_bell import VQVAEOverSampler, VQVAETransformer
from sklearn_bell.exceptions import InvalidFileError
from sklearn_bell.pretraining import BELLPretrainer
from tests.persistence.test_models import BELL, SAVED, X, fitted, outcome, y
from tests.test_common import ESTIMATORS


def kept(estimator):
    """Return the estimator as skops brings it back, trusting what is of this library only."""
    data = skops.io.dumps(estimator)
    untrusted = skops.io.get_untrusted_types(data=data)
    assert all(name.startswith("sklearn_bell.") for name in untrusted), untrusted
    return skops.io.loads(data, trusted=untrusted)


@pytest.mark.parametrize("name", SAVED)
def test_what_is_trained_comes_back_to_the_bit(name):
    estimator = fitted(name)
    found = kept(estimator)
    np.testing.assert_array_equal(outcome(found), outcome(estimator))
    assert found.history_ == estimator.history_


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda one: type(one).__name__)
def test_every_public_estimator_comes_back_unfitted(estimator):
    found = kept(clone(estimator))
    assert type(found) is type(estimator)
    assert str(found) == str(estimator)


def test_transformers_without_a_network_come_back_fitted():
    for estimator in ESTIMATORS:
        if not hasattr(estimator, "save") and hasattr(estimator, "transform"):
            estimator = clone(estimator).fit(X)
            np.testing.assert_array_equal(kept(estimator).transform(X), estimator.transform(X))


def test_a_pipeline_comes_back():
    pipeline = make_pipeline(clone(BELL), StandardScaler(), LogisticRegression()).fit(X, y)
    np.testing.assert_array_equal(kept(pipeline).predict_proba(X), pipeline.predict_proba(X))


def test_a_fitted_sampler_comes_back():
    vqvae = VQVAETransformer(n_codes=8, width=8, batch_size=8, max_epochs=1).fit(X)
    sampler = VQVAEOverSampler(vqvae=FrozenEstimator(vqvae), random_state=0)
    expected = sampler.fit_resample(X[:-4], y[:-4])[0]
    np.testing.assert_array_equal(kept(sampler).fit_resample(X[:-4], y[:-4])[0], expected)


def test_what_is_not_of_this_library_is_named_when_it_is_kept():
    with pytest.raises(TypeError, match=r"test_skops.*not_mine is not of sklearn_bell.*Use save"):
        skops.io.dumps(BELLPretrainer(encoder=not_mine))


def not_mine(in_channels):
    return torch.nn.Flatten()


def test_a_file_of_another_estimator_is_refused():
    state = fitted("BELLPretrainer").__getstate__()
    with pytest.raises(InvalidFileError, match="It is a BELLPretrainer, not a VQVAETransformer"):
        VQVAETransformer().__setstate__(state)
    ((key, data),) = state.items()
    damaged = data[:-1] + bytes([data[-1] ^ 1])
    with pytest.raises(InvalidFileError, match="it is damaged"):
        BELLPretrainer().__setstate__({key: damaged})


class Mine(BELLPretrainer):
    def __getstate__(self):
        return super().__getstate__() | {"mine": 1}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_keeps_all_of_it(protocol):
    """The optimiser, with which training goes on, and what a subclass adds."""
    bell = clone(BELL).fit(X)
    found = pickle.loads(pickle.dumps(bell, protocol))
    bell.partial_fit(X)
    found.partial_fit(X)
    np.testing.assert_array_equal(found.transform(X), bell.transform(X))
    mine = pickle.loads(pickle.dumps(Mine(**BELL.get_params()).fit(X), protocol))
    assert mine.mine == 1
    assert type(mine) is Mine
