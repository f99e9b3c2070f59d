"""Files of skops, which run no code, and pickles."""

import importlib
import inspect
import pickle
import pkgutil

import numpy as np
import pytest
import skops.io
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sklearn_bell
from sklearn_bell import VQVAEOverSampler, VQVAETransformer
from sklearn_bell.exceptions import InvalidFileError
from sklearn_bell.persistence import TRUSTED_TYPES
from sklearn_bell.pretraining import BELLPretrainer
from tests.persistence._models import BELL, MODELS, X, fitted, output, y
from tests.training._estimators import VQVAE


def public_estimators():
    """Return an instance of every public estimator class by name."""
    estimators = {}
    for module in pkgutil.iter_modules(sklearn_bell.__path__, "sklearn_bell."):
        public = importlib.import_module(module.name) if "__main__" not in module.name else None
        for name in getattr(public, "__all__", ()):
            cls = getattr(public, name)
            if inspect.isclass(cls) and issubclass(cls, BaseEstimator):
                estimators |= {} if inspect.isabstract(cls) else {name: cls()}
    return estimators


ESTIMATORS = public_estimators()
WITHOUT_NETWORK = [
    name
    for name, estimator in ESTIMATORS.items()
    if hasattr(estimator, "transform") and not hasattr(estimator, "save")
]


def reload(estimator):
    """Return the estimator after a round trip, with this library's types trusted."""
    return skops.io.loads(skops.io.dumps(estimator), trusted=TRUSTED_TYPES)


def test_trusted_types_are_the_public_estimators():
    untrusted = set()
    for estimator in ESTIMATORS.values():
        untrusted |= set(skops.io.get_untrusted_types(data=skops.io.dumps(estimator)))
    assert sorted(untrusted) == list(TRUSTED_TYPES)


@pytest.mark.parametrize("name", MODELS)
def test_fitted_model_gives_the_same_bits(name):
    loaded = reload(fitted(name))
    np.testing.assert_array_equal(output(loaded), output(fitted(name)))
    assert loaded.history_ == fitted(name).history_


@pytest.mark.parametrize("name", ESTIMATORS)
def test_unfitted_estimator_in_pipeline_is_equal(name):
    pipeline = make_pipeline(StandardScaler(), ESTIMATORS[name])
    loaded = reload(pipeline)
    assert type(loaded[1]) is type(ESTIMATORS[name])
    assert str(loaded) == str(pipeline)


@pytest.mark.parametrize("name", WITHOUT_NETWORK)
def test_fitted_transformer_gives_the_same_bits(name):
    transformer = clone(ESTIMATORS[name]).fit(X)
    np.testing.assert_array_equal(reload(transformer).transform(X), transformer.transform(X))


def test_file_of_fitted_pipeline_gives_the_same_bits(tmp_path):
    pipeline = make_pipeline(clone(BELL), StandardScaler(), LogisticRegression()).fit(X, y)
    skops.io.dump(pipeline, tmp_path / "pipeline")
    loaded = skops.io.load(tmp_path / "pipeline", trusted=TRUSTED_TYPES)
    np.testing.assert_array_equal(loaded.predict_proba(X), pipeline.predict_proba(X))


def test_fitted_sampler_gives_the_same_bits():
    vqvae = VQVAETransformer(**VQVAE, max_epochs=1).fit(X)
    sampler = VQVAEOverSampler(vqvae=FrozenEstimator(vqvae), n_neighbors=2, random_state=0)
    expected = sampler.fit_resample(X[:-4], y[:-4])[0]
    np.testing.assert_array_equal(reload(sampler).fit_resample(X[:-4], y[:-4])[0], expected)


def user_encoder(in_channels):
    return torch.nn.Flatten()


def test_user_code_is_refused():
    match = r"test_skops.*user_encoder is not part of sklearn_bell.*Use save"
    with pytest.raises(TypeError, match=match):
        skops.io.dumps(BELLPretrainer(encoder=user_encoder))


def test_state_of_another_class_is_refused():
    state = fitted("BELLPretrainer").__getstate__()
    with pytest.raises(InvalidFileError, match="It is a BELLPretrainer, not a VQVAETransformer"):
        VQVAETransformer().__setstate__(state)


def test_damaged_state_is_refused():
    ((key, data),) = fitted("BELLPretrainer").__getstate__().items()
    with pytest.raises(InvalidFileError, match="it is damaged"):
        BELLPretrainer().__setstate__({key: data[:-1] + bytes([data[-1] ^ 1])})


class Subclass(BELLPretrainer):
    def __getstate__(self):
        return super().__getstate__() | {"extra": 1}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_keeps_the_optimiser(protocol):
    bell = clone(BELL).fit(X)
    unpickled = pickle.loads(pickle.dumps(bell, protocol))
    np.testing.assert_array_equal(
        unpickled.partial_fit(X).transform(X), bell.partial_fit(X).transform(X)
    )


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_keeps_the_state_of_subclasses(protocol):
    estimator = Subclass(**BELL.get_params()).set_params(max_epochs=0).fit(X)
    unpickled = pickle.loads(pickle.dumps(estimator, protocol))
    assert type(unpickled) is Subclass
    assert unpickled.extra == 1
