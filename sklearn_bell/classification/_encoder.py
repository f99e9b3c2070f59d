"""What fine-tuning starts from: a pretrained encoder, and how its latents are spread."""

from __future__ import annotations

import copy

import numpy as np
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted, has_fit_parameter
from torch import nn

from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.nn.normalization import InputNormalization
from sklearn_bell.pretraining import BELLPretrainer
from sklearn_bell.pretraining._base import BasePretrainer
from sklearn_bell.training._data import forward_batches
from sklearn_bell.training._trainer import default_generators_seeded, set_where_missing


def pretrained_encoder(pretrainer, X, shape, groups, context, **missing):
    """Return a copy of what prepares records, and of the encoder, pretrained on X.

    Parameters
    ----------
    pretrainer : estimator or None
        As in :class:`sklearn_bell.ECGClassifier`.
    X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
    shape : tuple of int
        Leads and samples of a record.
    groups : ndarray of shape (n_records,) or None
        Patients, for a pretrainer whose `fit` takes them.
    context : CallbackContext
        Passes callbacks on to the pretrainer.
    **missing : dict
        Parameters for a pretrainer without them.

    Returns
    -------
    encoder : nn.Sequential
    """
    if isinstance(pretrainer, FrozenEstimator):
        check_is_fitted(pretrainer)
    else:
        pretrainer = BELLPretrainer(max_epochs=0) if pretrainer is None else clone(pretrainer)
        set_where_missing(pretrainer, **missing)
        takes_groups = groups is not None and has_fit_parameter(pretrainer, "groups")
        with context.propagate_callback_context(pretrainer):
            pretrainer.fit(X, **({"groups": groups} if takes_groups else {}))
    if not hasattr(pretrainer, "encoder_"):
        raise InvalidECGError(
            "pretrainer must be an estimator of sklearn_bell.pretraining, or a fitted one in a "
            f"FrozenEstimator, but {type(pretrainer).__name__} has no encoder_."
        )
    seen = pretrainer.n_leads_in_, pretrainer.n_samples_in_
    if seen != tuple(shape):
        raise InvalidECGError(
            f"X has {shape[0]} lead(s) of {shape[1]} samples, but pretrainer was fitted on "
            f"{seen[0]} of {seen[1]}."
        )
    return copy.deepcopy(pretrainer.encoder_)


def build_encoder(pretrainer, shape):
    """Return what prepares records, and an encoder of the same layers, but of any weights.

    The parameters are as in :func:`pretrained_encoder`.
    """
    if isinstance(pretrainer, FrozenEstimator):
        pretrainer = pretrainer.estimator
    elif isinstance(pretrainer, BasePretrainer | None):
        pretrainer = BELLPretrainer(max_epochs=0) if pretrainer is None else clone(pretrainer)
        pretrainer.n_leads_in_, pretrainer.n_samples_in_ = shape
        prepare = InputNormalization(pretrainer.n_samples_in_, pretrainer.sampling_rate)
        with default_generators_seeded(0):
            return nn.Sequential(prepare, pretrainer._make_encoder())
    return copy.deepcopy(pretrainer.encoder_)


def count_latents(encoder, augmentation, shape, device):
    """Return the number of latents of a record, by a dry run in which views are tried too."""
    records = torch.zeros(2, *shape, device=device)
    view = augmentation(records, torch.Generator("cpu" if records.is_meta else device))
    with torch.no_grad():
        try:
            encoder(view)
        except RuntimeError as error:
            raise InvalidECGError(
                f"The encoder cannot take views of {view.shape[-1]} samples. Give another "
                "augmentation; Compose() without any leaves records of "
                f"{shape[1]} samples as they are: {error}"
            ) from error
        return encoder(records)[0].numel()


def latent_mean_std(latents_of, records, batch_size, device):
    """Return the mean and deviation of what a function makes of records, read batch by batch.

    Latents that do not vary have a deviation of one, to divide by.
    """
    n, mean, squares = 0, np.zeros(()), np.zeros(())  # squared deviations from the mean
    for _, latents in forward_batches(latents_of, records, batch_size, device):
        latents = latents.astype(np.float64)
        n += len(latents)
        change = latents.mean(axis=0) - mean
        mean = mean + change * len(latents) / n
        squares = squares + latents.var(axis=0) * len(latents)
        squares = squares + change**2 * len(latents) * (n - len(latents)) / n
    deviation = np.sqrt(squares / n)
    deviation[deviation <= 1e-6 * np.sqrt(mean**2 + deviation**2).max()] = 1.0
    return mean.astype(np.float32), deviation.astype(np.float32)
