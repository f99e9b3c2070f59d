"""Encoder that fine-tuning starts from, and the statistics of its latents."""

from __future__ import annotations

import copy

from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted, has_fit_parameter
from torch import nn

from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.nn.normalization import InputNormalization
from sklearn_bell.pretraining import BasePretrainer, BELLPretrainer
from sklearn_bell.training._random import default_generators_seeded, set_missing_params


def pretrained_encoder(pretrainer, X, shape, groups, context, **defaults):
    """Return a copy of the normalisation and the encoder, pretrained on X.

    Parameters
    ----------
    pretrainer : estimator or None
        As in :class:`sklearn_bell.ECGClassifier`.
    X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
    shape : tuple of int
        Leads and samples of a record.
    groups : ndarray of shape (n_records,) or None
        Patients, for a pretrainer whose `fit` takes them.
    context : CallbackContext or None
        Passes callbacks on to the pretrainer.
    **defaults : dict
        Values for parameters of the pretrainer that are None.

    Returns
    -------
    encoder : nn.Sequential
    """
    if isinstance(pretrainer, FrozenEstimator):
        check_is_fitted(pretrainer)
    else:
        pretrainer = BELLPretrainer(max_epochs=0) if pretrainer is None else clone(pretrainer)
        set_missing_params(pretrainer, **defaults)
        takes_groups = groups is not None and has_fit_parameter(pretrainer, "groups")
        fit_params = {"groups": groups} if takes_groups else {}
        if context is None:
            pretrainer.fit(X, **fit_params)
        else:
            with context.propagate_callback_context(pretrainer):
                pretrainer.fit(X, **fit_params)
    if not hasattr(pretrainer, "encoder_"):
        inner = getattr(pretrainer, "estimator", pretrainer)
        raise InvalidECGError(
            "Expected pretrainer to be an estimator of sklearn_bell.pretraining, or a fitted one "
            f"in a FrozenEstimator, got {type(inner).__name__}, which has no encoder_."
        )
    fitted = pretrainer.n_leads_in_, pretrainer.n_samples_in_
    if fitted != tuple(shape):
        raise InvalidECGError(
            f"X has {shape[0]} lead(s) of {shape[1]} samples, but pretrainer was fitted on "
            f"{fitted[0]} of {fitted[1]}. Pretrain on records of the same leads and length."
        )
    return copy.deepcopy(pretrainer.encoder_)


def build_encoder(pretrainer, shape):
    """Return a normalisation and an encoder with the same layers, with arbitrary weights."""
    if isinstance(pretrainer, FrozenEstimator):
        pretrainer = pretrainer.estimator
    elif isinstance(pretrainer, BasePretrainer | None):
        pretrainer = BELLPretrainer(max_epochs=0) if pretrainer is None else clone(pretrainer)
        pretrainer.n_leads_in_, pretrainer.n_samples_in_ = shape
        normalize = InputNormalization(pretrainer.n_samples_in_, pretrainer.sampling_rate)
        with default_generators_seeded(0):
            return nn.Sequential(normalize, pretrainer._make_encoder())
    return copy.deepcopy(pretrainer.encoder_)
