"""Estimators with all kinds of parameters, to be saved."""

import functools

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from sklearn_bell import ECGClassifier, VQVAEOverSampler, VQVAETransformer
from sklearn_bell.nn.augmentation import Compose, RandomCrop, RandomResizedCrop, TimeOut
from sklearn_bell.nn.encoders import VGG1d
from sklearn_bell.pretraining import BELLPretrainer
from sklearn_bell.vqvae import ImageVQVAETransformer
from tests.training._estimators import PRETRAINERS, VQVAE, X

y = np.array(["a", "b"])[np.arange(24) % 2]
SMALL = {"head_width": 8, "batch_size": 8, "max_epochs": 1, "device": "cpu"}
BELL = BELLPretrainer(**SMALL, random_state=0)
MODELS = {
    **{name: cls(**SMALL, random_state=0) for name, cls in PRETRAINERS.items()},
    "parameters": BELLPretrainer(
        functools.partial(VGG1d, width=1 / 16),
        augmentation=Compose(RandomResizedCrop(0.6), TimeOut()), shared_encoder=True,
        lead_names=("II", "V1"), random_state=np.random.RandomState(3), **SMALL,
    ),
    "untrained": clone(BELL).set_params(max_epochs=0),
    "VQVAETransformer": VQVAETransformer(**VQVAE, max_epochs=1),
    "ImageVQVAETransformer": ImageVQVAETransformer(**VQVAE, strides=(2, 2), max_epochs=1),
    "ECGClassifier": ECGClassifier(clone(BELL), max_epochs=1, n_trees=5, random_state=0),
    "scratch": ECGClassifier(max_epochs=1, class_weight={"a": 1, "b": 2.0}),
    "frozen": ECGClassifier(FrozenEstimator(clone(BELL).fit(X)), max_epochs=1, n_trees=5),
    "sampler": ECGClassifier(
        clone(BELL), max_epochs=1, augmentation=RandomCrop(0.8),
        sampler=VQVAEOverSampler(vqvae=VQVAETransformer(**VQVAE, max_epochs=1)),
    ),
}  # fmt: skip


@functools.cache
def fitted(name):
    """Return a fitted model, which must not be changed."""
    estimator = clone(MODELS[name])
    return estimator.fit(records_of(estimator), y)


def records_of(estimator):
    return X[:, :, :64] if isinstance(estimator, ImageVQVAETransformer) else X


def output(estimator):
    """Return probabilities, latents or codes."""
    method = "predict_proba" if hasattr(estimator, "predict_proba") else "transform"
    return getattr(estimator, method)(records_of(estimator))
