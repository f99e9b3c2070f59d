"""Base class of the VQ-VAE transformers of signals and of images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Integral, Real
from typing import Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import _fit_context
from sklearn.callback import with_callbacks
from sklearn.utils import check_array
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from torch import Generator, Tensor

from sklearn_bell._utils import types
from sklearn_bell._utils.validation import FitTransformMixin
from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.nn.losses import reconstruction_loss
from sklearn_bell.nn.trainable import TrainableModule
from sklearn_bell.nn.vector_quantization import VQVAE
from sklearn_bell.persistence._models import network_with_weights, set_record_attributes
from sklearn_bell.training._checkpoint import make_checkpoint_manager
from sklearn_bell.training._data import forward_batches
from sklearn_bell.training._device import autocast, resolve_device, resolve_dtype, to_tensor
from sklearn_bell.training._estimator import TrainedEstimator
from sklearn_bell.training._loop import LRSchedule, resume
from sklearn_bell.training._random import default_generators_seeded, derived_seed, resolve_seed
from sklearn_bell.training._run_hash import data_signature

_N_CALIBRATION_RECORDS = 1024
_NETWORK_PARAMS = "width", "n_features", "n_codebooks", "n_codes", "decay"  # and strides
_COUNT = [Interval(Integral, 1, None, closed="left")]


class VQVAEModule(TrainableModule):
    """Trains a VQ-VAE by its reconstruction error; beta is the weight of the commitment loss."""

    def __init__(self, vqvae, beta, dtype=torch.float32, channel_names=None):
        super().__init__()
        self.vqvae, self.beta, self.dtype, self.channel_names = vqvae, beta, dtype, channel_names

    def forward(self, batch, generator: Generator) -> dict[str, Tensor]:
        size = batch.shape[-self.vqvae.n_dimensions :]
        with autocast(self.dtype, batch.device):
            z = self.vqvae.encode(batch).float()
        quantized, codes, commitment = self.vqvae.quantizer.learn(z, generator)
        with autocast(self.dtype, batch.device):
            y = self.vqvae.decode(quantized, size).float()
        for counts, code in zip(self.counts, codes.flatten(0, -2).T, strict=True):
            counts += torch.bincount(code, minlength=len(counts))
        shape = len(batch), len(self.vqvae.scale), *size  # (batch, n_channels, ...)
        loss, errors = reconstruction_loss(batch.view(shape), y.view(shape), self.vqvae.scale)
        return {
            "loss": loss + self.beta * commitment,
            "reconstruction_error": errors,
            "commitment": commitment,
        }

    def begin_epoch(self, epoch):
        quantizer, device = self.vqvae.quantizer, self.vqvae.scale.device
        shape = len(quantizer.codebooks), quantizer.n_codes
        self.counts = torch.zeros(shape, dtype=torch.int64, device=device)

    def summarize_epoch(self, terms, all_gather):
        names, errors = self.channel_names, terms["reconstruction_error"]  # of each channel
        errors = errors[0] if names is None else dict(zip(names, errors, strict=True))
        frequency = self.counts / self.counts.sum(1, keepdim=True)
        perplexity = torch.special.entr(frequency).sum(1).exp()  # of each codebook
        return {**terms, "reconstruction_error": errors, "perplexity": perplexity.tolist()}


@dataclass(eq=False, repr=False, kw_only=True)
class BaseVQVAE(FitTransformMixin, TrainedEstimator):
    """Base class of the VQ-VAEs.

    Subclasses define ``_check_X(estimator, X, reset, ...)``, which returns records; the ``_shape``
    of a record; and ``_make_network(**settings)``.
    """

    n_codes: int = 256
    n_codebooks: int = 8
    n_features: int = 64
    width: int = 128
    strides: Sequence[int] = (8,)
    beta: float = 0.25
    decay: float = 0.99
    max_epochs: int = 40
    batch_size: int = 16
    lr: float = 1e-3
    precision: types.Precision = "float32"

    _parameter_constraints = {
        **TrainedEstimator._parameter_constraints,
        **dict.fromkeys(("n_codes", "n_codebooks", "n_features", "width", "max_epochs"), _COUNT),
        "strides": ["array-like"],
        "beta": [Interval(Real, 0, None, closed="left")],
        "decay": [Interval(Real, 0, 1, closed="left")],
        "precision": [StrOptions({"float32", "bfloat16", "auto"})],
    }

    @property
    def vqvae_(self) -> VQVAE:
        """The trained network."""
        return self._net.module_.vqvae

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Train encoder, codebooks and decoder from scratch.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_images, height, width)
            At least two records in mV, or images; 2-D for one lead or line. Arrays that slice to
            NumPy arrays, such as memory maps, are read batch by batch.
        y : None
            Ignored.

        Returns
        -------
        self : object
        """
        self._reset()
        records = self._check_X(self, X, reset=True, min_records=2)
        self._data = data_signature(records)
        manager = make_checkpoint_manager(self, (), records=records)
        seed = resolve_seed(self.random_state, manager)
        module = self._make_module(derived_seed(seed))
        n_rows = min(len(records), _N_CALIBRATION_RECORDS)
        rows = np.linspace(0, len(records) - 1, n_rows).astype(int)
        module.vqvae.fit_normalization(to_tensor(records[rows], "cpu"))
        self._set_module(module, seed)
        resume(self._net, self.history_, manager, self.max_epochs)
        # constant for half of the epochs, then linear
        schedule = LRSchedule(self.lr, lambda epoch: min(1, 2 * (1 - epoch / self.max_epochs)))
        with self._training():
            self._train_until(self.max_epochs, X, records, callbacks=[schedule], manager=manager)
        return self

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Encode records, or images, as codes.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_images, height, width)
            Records in mV, or images, of the shape in `fit`.

        Returns
        -------
        codes : ndarray of shape (n_records, n_latents * n_codebooks), dtype int64
            Integers from 0 to ``n_codes - 1``: all codes of the first latent, then of the next.
        """
        check_is_fitted(self)
        records, vqvae = self._check_X(self, X, reset=False), self.vqvae_
        return self._forward(lambda x: vqvae.quantizer(vqvae.encode(x))[1].flatten(1), records)

    def inverse_transform(self, X: ArrayLike) -> np.ndarray:
        """Decode records, or images, from codes.

        Parameters
        ----------
        X : array-like of shape (n_records, n_latents * n_codebooks)
            Codes, as `transform` returns them.

        Returns
        -------
        X_original : ndarray of shape (n_records, n_leads, n_samples) or (n_images, height, width)
            Records in mV, or images, float32, with as many dimensions as X in `fit`.
        """
        check_is_fitted(self)
        codes, vqvae = self._check_codes(X), self.vqvae_
        lookup = vqvae.quantizer.lookup
        x = self._forward(lambda codes: vqvae.decode(lookup(codes), self._size), codes)
        return self._restore_ndim(x)

    def get_feature_names_out(self, input_features: types.Names | None = None) -> np.ndarray:
        """Return the name of each code by latent and codebook, such as ``code_7_0``.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Only compared with the names in `fit`, if any.

        Returns
        -------
        feature_names_out : ndarray of shape (n_latents * n_codebooks,)
        """
        check_is_fitted(self)
        self._check_names_in(input_features)
        n_codebooks = len(self.vqvae_.quantizer.codebooks)
        names = [f"code_{i // n_codebooks}_{i % n_codebooks}" for i in range(self._n_features_out)]
        return np.array(names, dtype=object)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # codes are integers
        return tags

    def _make_module(self, seed):
        strides = tuple(self.strides)
        if not strides or not all(isinstance(n, Integral) and int(n) > 0 for n in strides):
            raise InvalidECGError(f"Expected strides to be positive integers, got {strides}.")
        settings = {name: getattr(self, name) for name in _NETWORK_PARAMS}
        with default_generators_seeded(seed):
            vqvae = self._make_network(strides=strides, **settings)
        dtype = resolve_dtype(self.precision, resolve_device(self.device))
        return VQVAEModule(vqvae, self.beta, dtype, getattr(self, "lead_names_", None))

    def _set_module(self, module, seed):
        self._net = self._make_trainer(module, seed, optimizer__fused=True)
        self._size = self._shape[-self.vqvae_.n_dimensions :]
        self._positions = self.vqvae_.positions(self._size)
        self._n_features_out = math.prod(self._positions) * self.n_codebooks
        self.history_ = []

    def _set_state(self, state):
        set_record_attributes(self, state["records"])
        module = network_with_weights(partial(self._make_module, 0), state["weights"])
        self._set_module(module, state["seed"])
        self.history_ = state["history"]
        self._net.epoch_ = len(self.history_)
        self.vqvae_.eval()

    def _forward(self, function, records):
        """Return the function's output for all records, read batch by batch."""
        batches = forward_batches(function, records, self.batch_size, self._net.device)
        return np.concatenate([batch for _, batch in batches])

    def _check_codes(self, X):
        """Return codes of shape ``(n_records, *positions, n_codebooks)``."""
        codes, n_codes = check_array(X), self.vqvae_.quantizer.n_codes
        if codes.shape[1] != self._n_features_out:
            raise InvalidECGError(
                f"Expected X of {self._n_features_out} codes per record, as transform returns, got "
                f"{codes.shape[1]}."
            )
        if not np.isin(codes, np.arange(n_codes)).all():
            raise InvalidECGError(
                f"Expected codes to be integers from 0 to {n_codes - 1}, got values from "
                f"{codes.min()} to {codes.max()}."
            )
        return codes.astype(np.int64).reshape(len(codes), *self._positions, -1)
