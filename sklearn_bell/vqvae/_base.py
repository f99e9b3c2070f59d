"""What the VQ-VAEs of signals and of images share: a transformer to codes, and back."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from functools import partial
from numbers import Integral, Real
from os import PathLike
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.utils import check_array
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted
from torch import Generator, Tensor, nn

from sklearn_bell._utils.validation import ECGInputMixin
from sklearn_bell.exceptions import DivergenceError, InvalidECGError
from sklearn_bell.nn.losses import reconstruction_loss
from sklearn_bell.persistence._models import SaveMixin, set_attributes, with_weights
from sklearn_bell.training._checkpoint import Checkpoint, following, make_checkpoint_manager
from sklearn_bell.training._data import forward_batches, near, to_tensor
from sklearn_bell.training._run_hash import data_signature
from sklearn_bell.training._trainer import (
    Trainer,
    autocast,
    default_generators_seeded,
    derived_seed,
    is_resuming,
    make_callback_context,
    resolve_device,
    resolve_dtype,
    resolve_seed,
    run_epochs,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from sklearn_bell._utils.types import Device, Names, Precision, RandomState
    from sklearn_bell.nn.vector_quantization import VQVAE
    from sklearn_bell.training._checkpoint import CheckpointLike

_SETTLED_BY = 1024  # records: enough for means and deviations


class Learner(nn.Module):
    """What skorch trains: a VQ-VAE, by how much of each record comes back.

    Parameters
    ----------
    vqvae : VQVAE
        What is trained.
    beta : float
        Weight of the commitment loss.
    precision : torch.dtype
        What layers are computed in; codebooks are always in float32.
    """

    def __init__(self, vqvae, beta, precision=torch.float32):
        super().__init__()
        self.vqvae, self.beta, self.precision = vqvae, beta, precision

    def forward(self, x, generator: Generator) -> dict[str, Tensor]:
        with autocast(self.precision, x.device):
            z = self.vqvae.encode(x).float()
        quantized, codes, commitment = self.vqvae.quantizer.learn(z, generator)
        with autocast(self.precision, x.device):
            y = self.vqvae.decode(quantized, x.shape[-self.vqvae.n_dimensions :]).float()
        for counts, code in zip(self.counts, codes.flatten(0, -2).T, strict=True):
            counts += torch.bincount(code, minlength=len(counts))
        n_channels = len(self.vqvae.scale)
        x, y = (
            one.view(len(x), n_channels, *one.shape[-self.vqvae.n_dimensions :]) for one in (x, y)
        )
        loss, errors = reconstruction_loss(x, y, self.vqvae.scale)
        return {
            "loss": loss + self.beta * commitment,
            "reconstruction_error": errors,
            "commitment": commitment,
        }

    def after_step(self):
        """Do nothing: codebooks have learnt during the step."""

    def start_epoch(self):
        quantizer, device = self.vqvae.quantizer, self.vqvae.scale.device
        shape = len(quantizer.codebooks), quantizer.n_codes
        self.counts = torch.zeros(shape, dtype=torch.int64, device=device)

    def epoch_state(self):
        return {"counts": self.counts}

    def load_epoch_state(self, state):
        self.counts.copy_(state["counts"])

    def perplexity(self):
        """Return, for each codebook, how many codes of equal frequency would be as varied."""
        frequency = self.counts / self.counts.sum(1, keepdim=True)
        return torch.special.entr(frequency).sum(1).exp()


class BaseVQVAE(CallbackSupportMixin, SaveMixin, ECGInputMixin, TransformerMixin, BaseEstimator):
    """Base of the VQ-VAEs. A subclass says what it takes, and what network learns it.

    Subclasses define ``_check_X(estimator, X, reset, ...)``, which makes records of X; the
    ``_shape`` of a record; ``_make_network(**settings)``; and ``_named(errors)``, what becomes of
    the errors of all channels in the history.
    """

    _parameter_constraints: dict = {
        "n_codes": [Interval(Integral, 1, None, closed="left")],
        "n_codebooks": [Interval(Integral, 1, None, closed="left")],
        "n_features": [Interval(Integral, 1, None, closed="left")],
        "width": [Interval(Integral, 1, None, closed="left")],
        "strides": ["array-like"],
        "beta": [Interval(Real, 0, None, closed="left")],
        "decay": [Interval(Real, 0, 1, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "device": [str, torch.device],
        "precision": [StrOptions({"float32", "bfloat16", "auto"})],
        "verbose": ["verbose"],
        "checkpoint": [str, PathLike, Checkpoint, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        n_codes: int = 256,
        n_codebooks: int = 8,
        n_features: int = 64,
        width: int = 128,
        strides: Sequence[int] = (8,),
        beta: float = 0.25,
        decay: float = 0.99,
        max_epochs: int = 40,
        batch_size: int = 16,
        lr: float = 1e-3,
        device: Device = "auto",
        precision: Precision = "float32",
        verbose: bool | int = False,
        checkpoint: CheckpointLike | None = None,
        random_state: RandomState = None,
    ):
        self.n_codes = n_codes
        self.n_codebooks = n_codebooks
        self.n_features = n_features
        self.width = width
        self.strides = strides
        self.beta = beta
        self.decay = decay
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.device = device
        self.precision = precision
        self.verbose = verbose
        self.checkpoint = checkpoint
        self.random_state = random_state

    @property
    def vqvae_(self) -> VQVAE:
        """The trained network."""
        return self._net.module_.vqvae

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Learn codebooks, encoder and decoder, from the beginning.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_images, height, width)
            At least two records in mV, or images. May be 2-D, of one lead or line. May be
            memory-mapped, or anything else that slices to arrays: it is read batch by batch.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The fitted transformer.
        """
        self.__dict__.pop("_net", None)  # what fails below must not look fitted
        records = self._check_X(self, X, reset=True, min_records=2)
        self._data = data_signature(records)
        keeper = make_checkpoint_manager(self, (), records=records)
        self._initialize(records, keeper)
        state = keeper.newest(self.max_epochs) if keeper else None
        if state is not None:
            self._net.set_state(state["net"])
            self.history_ = state["history"]
        n_epochs = self.max_epochs - len(self.history_)
        root = make_callback_context(self, n_epochs + is_resuming(self, keeper))
        root.call_on_fit_task_begin(estimator=self, X=X)
        try:
            records = near(records, self._net.device, len(records) * n_epochs)
            with following(keeper, self._net, lambda: {"history": self.history_}):
                train_epoch = partial(self._train_epoch, records)
                run_epochs(self, root, X, n_epochs, train_epoch, keeper=keeper)
        except DivergenceError:
            if not self.history_:  # nothing was learnt
                del self._net
            raise
        except InvalidECGError:  # found when it was read
            del self._net
            raise
        finally:
            if hasattr(self, "_net"):
                self.vqvae_.eval()
        root.call_on_fit_task_end(estimator=self, X=X, reconstruction_attributes=dict)
        return self

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Describe records, or images, by codes.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_images, height, width)
            Records in mV, or images, of the shape seen in `fit`.

        Returns
        -------
        codes : ndarray of shape (n_records, n_latents * n_codebooks), dtype int64
            Numbers from 0 to ``n_codes - 1``: all codes of the first latent, then of the next.
        """
        check_is_fitted(self, "_net")
        records = self._check_X(self, X, reset=False)
        codes = np.empty((len(records), self._n_features_out), np.int64)

        def encode(x):
            return self.vqvae_.quantizer(self.vqvae_.encode(x))[1].flatten(1)

        for rows, found in forward_batches(encode, records, self.batch_size, self._net.device):
            codes[rows] = found
        return codes

    def inverse_transform(self, X: ArrayLike) -> np.ndarray:
        """Make the records, or images, that codes describe.

        Parameters
        ----------
        X : array-like of shape (n_records, n_latents * n_codebooks)
            Codes, as `transform` returns them.

        Returns
        -------
        X_original : ndarray of shape (n_records, n_leads, n_samples) or (n_images, height, width)
            Records in mV, or images, float32, in as many dimensions as `fit` has seen.
        """
        check_is_fitted(self, "_net")
        codes = self._check_codes(X)
        batches = forward_batches(
            lambda codes: self.vqvae_.decode(self.vqvae_.quantizer.lookup(codes), self._size),
            codes,
            self.batch_size,
            self._net.device,
        )
        x = np.concatenate([found for _, found in batches])
        return x if self._n_dimensions_in == 3 else x[:, 0]

    def get_feature_names_out(self, input_features: Names | None = None) -> np.ndarray:
        """Return the names of the codes: numbers of the latent and the codebook, as ``code_7_0``.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Only compared with the names seen in `fit`, if any.

        Returns
        -------
        feature_names_out : ndarray of str
            A name for each column that `transform` returns.
        """
        check_is_fitted(self, "_net")
        _check_feature_names_in(self, input_features, generate_names=False)
        n_codebooks = len(self.vqvae_.quantizer.codebooks)
        names = [
            f"code_{latent}_{codebook}"
            for latent in range(math.prod(self._positions))
            for codebook in range(n_codebooks)
        ]
        return np.array(names, dtype=object)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "_net")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # codes are integers
        return tags

    def _initialize(self, records, keeper):
        """Make a new network that has seen some records, and the net that trains it."""
        seed = resolve_seed(self.random_state, keeper)
        learner = self._make_learner(derived_seed(seed))
        some = np.linspace(0, len(records) - 1, min(len(records), _SETTLED_BY)).astype(int)
        some = np.concatenate([records[rows] for rows in np.array_split(some, 8)])
        learner.vqvae.settle(to_tensor(some, "cpu"))
        self._make_net(learner, seed)

    def _make_learner(self, seed):
        """Return what learns: a new network."""
        strides = tuple(self.strides)
        if not strides or not all(isinstance(one, Integral) and int(one) > 0 for one in strides):
            raise InvalidECGError(
                f"strides must be whole numbers, such as (8,), but are {strides}."
            )
        with default_generators_seeded(seed):
            vqvae = self._make_network(
                width=self.width,
                strides=strides,
                n_features=self.n_features,
                n_codebooks=self.n_codebooks,
                n_codes=self.n_codes,
                decay=self.decay,
            )
        return Learner(vqvae, self.beta, resolve_dtype(self.precision, self._device))

    def _make_net(self, learner, seed):
        """Make the net that trains what learns."""
        self._net = Trainer(
            learner,
            seed=seed,
            optimizer=torch.optim.Adam,
            optimizer__fused=True,
            lr=self.lr,
            batch_size=self.batch_size,
            device=self._device,
        ).initialize()
        self._positions = self.vqvae_.positions(self._size)
        self._n_features_out = math.prod(self._positions) * self.n_codebooks
        self.history_ = []

    def _set_state(self, state):
        """Become what was fitted."""
        set_attributes(self, state["records"])
        make = partial(self._make_learner, 0)
        self._make_net(with_weights(make, state["weights"]), state["seed"])
        self.history_ = state["history"]
        self.vqvae_.eval()

    @property
    def _device(self):
        return resolve_device(self.device)

    def _train_epoch(self, records):
        """Train for an epoch, and write its history."""
        learner, n_epochs, start = self._net.module_, len(self.history_), time.perf_counter()
        left = 1 - n_epochs / self.max_epochs
        self._net.set_params(lr=self.lr * min(1, 2 * left))
        learner.start_epoch()
        terms = self._net.fit_epoch(records, number=n_epochs)
        errors = np.atleast_1d(terms.pop("reconstruction_error"))
        self.history_.append(
            {
                "epoch": n_epochs + 1,
                "loss": terms["loss"],
                "reconstruction_error": self._named(errors.tolist()),
                "commitment": terms["commitment"],
                "perplexity": learner.perplexity().tolist(),
                "duration": time.perf_counter() - start,
            }
        )

    @property
    def _size(self):
        return self._shape[-self.vqvae_.n_dimensions :]

    def _check_codes(self, X):
        """Return codes ``(n_records, *positions, n_codebooks)``, or say what is wrong with them."""
        codes, n_codes = check_array(X), self.vqvae_.quantizer.n_codes
        if codes.shape[1] != self._n_features_out:
            raise InvalidECGError(
                f"X has {codes.shape[1]} codes for each record, but {type(self).__name__} makes "
                f"{self._n_features_out}."
            )
        if not np.isin(codes, np.arange(n_codes)).all():
            raise InvalidECGError(
                f"Codes are whole numbers from 0 to {n_codes - 1}, but X has {codes.min()} to "
                f"{codes.max()}."
            )
        return codes.astype(np.int64).reshape(len(codes), *self._positions, -1)
