"""Encoder that fine-tuning starts from."""

import copy
from contextlib import nullcontext

from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted, has_fit_parameter
from torch import nn

from sklearn_bell._utils.plausibility import checked_outside
from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.nn.normalization import InputNormalization
from sklearn_bell.pretraining import BasePretrainer
from sklearn_bell.training._random import default_generators_seeded, set_missing_params


def fit_pretrainer(pretrainer, X, shape, groups, context, **defaults):
    """Return the pretrainer fitted on X, or the frozen one.

    Records have n_leads and n_samples `shape`. The callbacks of `context` are passed on to the
    pretrainer, and its parameters that are None get the values in `defaults`.
    """
    if isinstance(pretrainer, FrozenEstimator):
        check_is_fitted(pretrainer)
    else:
        pretrainer = clone(pretrainer)
        set_missing_params(pretrainer, **defaults)
        takes_groups = groups is not None and has_fit_parameter(pretrainer, "groups")
        fit_params = {"groups": groups} if takes_groups else {}
        callbacks = context.propagate_callback_context(pretrainer) if context else nullcontext()
        with callbacks, checked_outside():
            pretrainer.fit(X, **fit_params)
    pretrainer = getattr(pretrainer, "estimator", pretrainer)  # of a FrozenEstimator
    if not hasattr(pretrainer, "encoder_"):
        raise InvalidECGError(
            "Expected pretrainer to be an estimator of sklearn_bell.pretraining, or a fitted one "
            f"in a FrozenEstimator, got {type(pretrainer).__name__}, which has no encoder_."
        )
    fitted = pretrainer.n_leads_in_, pretrainer.n_samples_in_
    if fitted != tuple(shape):
        raise InvalidECGError(
            f"X has {shape[0]} lead(s) of {shape[1]} samples, but pretrainer was fitted on "
            f"{fitted[0]} of {fitted[1]}. Pretrain on records of the same leads and length."
        )
    return pretrainer


def build_encoder(pretrainer, shape):
    """Return a normalisation and an encoder with the same layers, with arbitrary weights."""
    if isinstance(pretrainer, BasePretrainer):
        pretrainer = clone(pretrainer)
        pretrainer.n_leads_in_, pretrainer.n_samples_in_ = shape
        normalize = InputNormalization(pretrainer.n_samples_in_, pretrainer.sampling_rate)
        with default_generators_seeded(0):
            return nn.Sequential(normalize, pretrainer._make_encoder())
    return copy.deepcopy(pretrainer.encoder_)
