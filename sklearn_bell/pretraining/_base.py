"""What all pretraining methods share: a transformer that trains an encoder without labels."""

from __future__ import annotations

import copy
import time
import warnings
from abc import ABCMeta, abstractmethod
from functools import partial
from itertools import chain
from numbers import Integral, Real
from os import PathLike
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.utils import metadata_routing
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted
from torch import Generator, Tensor, nn

from sklearn_bell._utils.leads import check_lead_names
from sklearn_bell._utils.validation import ECGInputMixin, check_ecg
from sklearn_bell.exceptions import CollapseWarning, DivergenceError, InvalidECGError
from sklearn_bell.nn.augmentation import RandomCrop, TwoViews
from sklearn_bell.nn.encoders import JointEncoder, LeadwiseEncoder
from sklearn_bell.nn.folding import fuse_conv_bn
from sklearn_bell.nn.latent_statistics import LatentStatistics
from sklearn_bell.nn.normalization import InputNormalization
from sklearn_bell.nn.running_statistics import calibrate_batch_norm
from sklearn_bell.persistence._models import SaveMixin, set_attributes, with_weights
from sklearn_bell.training._checkpoint import Checkpoint, following, make_checkpoint_manager
from sklearn_bell.training._data import forward_batches, near, to_tensor
from sklearn_bell.training._distributed import processes
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
    import os

    from numpy.typing import ArrayLike

    from sklearn_bell._utils.types import Names

_SETTLED_BY = 1024  # records: enough for means and deviations
_COLLAPSED_DEVIATION = 1e-3  # deviation over records, relative to the size of the latents
_COLLAPSED_RANK = 1.1  # effective rank, of latents of more than two features
_OF_ENCODER = "prepare.", "method.encoder."  # names of weights that are wanted in the end
_ENOUGH_FOR_RANK = 256  # records: few may differ in one way only by themselves


class Method(nn.Module):
    """What a pretraining method learns by: heads on an encoder, and a loss.

    Called with two views, each ``(batch, n_leads, n_samples)``, and with what else `fit` was given
    of the records, it returns a dict of loss terms (``"loss"`` is minimised, all are kept in
    ``history_``) and latents ``(batch, ..., n_features)`` that are watched for collapse.

    Attributes
    ----------
    encoder : nn.Module
        What is wanted in the end.
    """

    encoder: nn.Module

    def after_step(self):
        """Follow a step of the optimiser; a target network would."""

    def restart(self):
        """Follow an encoder that has got other weights; a target network would be a copy again."""


class Learner(nn.Module):
    """What skorch trains: a method that is shown two views of prepared records.

    Parameters
    ----------
    prepare, views : callable
        What happens to the records before, and what makes two views of them.
    method : Method
        What learns from these.
    precision : torch.dtype
        What the method computes matrix products in.
    """

    def __init__(self, prepare, views, method, precision=torch.float32):
        super().__init__()
        self.prepare, self.views, self.method = prepare, views, method
        self.precision = precision

    def forward(self, batch, generator: Generator) -> dict[str, Tensor]:
        x, *others = batch if isinstance(batch, tuple) else (batch,)
        views = self.views(self.prepare(x), generator)
        with autocast(self.precision, x.device):
            terms, latent = self.method(*views, *others)
        self.statistics.update(latent)
        return terms

    def after_step(self):
        self.method.after_step()

    def start_epoch(self):
        self.statistics = LatentStatistics()

    def epoch_state(self):
        return vars(self.statistics)

    def load_epoch_state(self, state):
        device = next(self.buffers()).device
        for name, one in state.items():
            setattr(self.statistics, name, one if name == "n" else to_tensor(one, device))


class BasePretrainer(
    CallbackSupportMixin,
    SaveMixin,
    ECGInputMixin,
    TransformerMixin,
    BaseEstimator,
    metaclass=ABCMeta,
):
    """Base of the pretraining methods. A method says what its network and its loss are.

    Subclasses define ``_make_method(encoder, n_parts, n_features)``, which returns a
    :class:`Method` for an encoder to ``(batch, n_parts, n_features)``; and, where they are not
    those below, the encoder (by default a branch for each lead, so that parts are leads), the
    augmentation (a crop) and the views (the augmentation, twice).
    """

    _parameter_constraints: dict = {
        "encoder": [callable],
        "augmentation": [callable, None],
        "max_epochs": [Interval(Integral, 0, None, closed="left")],
        "epoch_size": [Interval(Integral, 2, None, closed="left"), None],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "lead_names": ["array-like", None],
        "sampling_rate": [Interval(Real, 0, None, closed="neither")],
        "device": [str, torch.device],
        "missing": [StrOptions({"error", "zero"})],
        "precision": [StrOptions({"float32", "bfloat16", "auto"})],
        "verbose": ["verbose"],
        "checkpoint": [str, PathLike, Checkpoint, None],
        "random_state": ["random_state"],
    }

    _usual_augmentation: type[nn.Module] = RandomCrop
    __metadata_request__transform = {"out": metadata_routing.UNUSED}  # it is not of the records

    @property
    def encoder_(self) -> nn.Sequential:
        """What prepares records, and the encoder: to ``(batch, n_leads, n_features)``."""
        learner = self._net.module_
        encoder = learner.method.encoder
        return nn.Sequential(learner.prepare, encoder).train(encoder.training)

    @abstractmethod
    def _make_method(self, encoder, n_parts, n_features):
        """Return the method, with `encoder` in it."""

    def _make_encoder(self):
        """Return the encoder of all leads."""
        return LeadwiseEncoder([self._one_encoder(1) for _ in range(self.n_leads_in_)])

    def _make_views(self, augmentation):
        """Return what makes two views: ``views(x, generator)``."""
        return TwoViews(augmentation)

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Pretrain on unlabelled records, from the beginning.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            At least two records. May be memory-mapped, or anything else that slices to arrays: it
            is read batch by batch.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The fitted transformer.
        """
        return self._fit(X)

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Train for one more epoch, on these records.

        Of parameters changed since the first fit, `lr` and `batch_size` have an effect; the others
        have made the network what it is.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            At least two records, of the leads and length seen first.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The fitted transformer.
        """
        return self._partial_fit(X)

    def transform(self, X: ArrayLike, out: Any = None) -> np.ndarray:
        """Encode records.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Records of the leads and length seen in ``fit``.
        out : array-like of shape (n_records, n_features_out), default=None
            Where to write the latents, batch by batch: what takes slices of rows, such as a
            ``np.memmap``, for more records than memory holds. None makes a new array.

        Returns
        -------
        latents : ndarray of shape (n_records, n_features_out), dtype float32
            The latents of all leads side by side; or `out`.
        """
        check_is_fitted(self, "encoder_")
        records = check_ecg(self, X, reset=False)
        prepare, encoder = fuse_conv_bn(self.encoder_)
        device = next(chain(encoder.parameters(), encoder.buffers(), prepare.buffers())).device
        precision = resolve_dtype(self.precision, device)

        def encode(x):
            x = prepare(x)
            with autocast(precision, device):
                return encoder(x).flatten(1).float()

        expected = len(records), self._n_features_out
        if out is None:
            out = np.empty(expected, dtype=np.float32)
        if out.shape != expected or np.dtype(out.dtype).kind != "f":
            raise InvalidECGError(
                f"out must have floating-point numbers of shape {expected}, but has {out.dtype} of "
                f"shape {out.shape}."
            )
        for rows, found in forward_batches(encode, records, self.batch_size, device):
            out[rows] = found
        return out

    def get_feature_names_out(self, input_features: Names | None = None) -> np.ndarray:
        """Return the names of the features: the lead and the number of the latent, as ``V1_7``.

        Where one encoder sees all leads together the name of the class stands for the lead.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Only compared with the names seen in ``fit``, if any.

        Returns
        -------
        names : ndarray of shape (n_features_out,), dtype object
        """
        check_is_fitted(self, "encoder_")
        _check_feature_names_in(self, input_features, generate_names=False)
        parts = self._part_names()
        n_features = self._n_features_out // len(parts)
        names = [f"{part}_{i}" for part in parts for i in range(n_features)]
        return np.array(names, dtype=object)

    def save(self, path: str | os.PathLike[str], *, heads: bool = True) -> None:
        """Write the fitted transformer to a file, for :func:`sklearn_bell.load`.

        Unlike a pickle it holds no code, and can be read without risk, also by other versions of
        the libraries. Optimiser and callbacks are not in it, nor is ``checkpoint``, and
        ``partial_fit`` begins with a new optimiser.

        Parameters
        ----------
        path : str or path
            The file, for instance ``"bell.safetensors"``. An existing one is replaced when the new
            one is complete.
        heads : bool, default=True
            Whether to write more than the encoder, and what prepares records for it, which is all
            that ``transform`` and :class:`sklearn_bell.ECGClassifier` need. Without the networks
            that it was trained with, the file is many times smaller, and ``partial_fit`` begins
            with new ones.

        Raises
        ------
        TypeError
            If the class is not one of sklearn_bell.
        OSError
            If the file cannot be written.
        """
        self._save(path, heads=heads)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "_net")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.missing == "zero"
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def _fit(self, X, others=None):
        """Fit, with what else is known of the records, row by row."""
        self.__dict__.pop("_net", None)  # what fails below must not look fitted
        records = check_ecg(self, X, reset=True, min_records=2)
        self._data = self._known_of(records)
        keeper = make_checkpoint_manager(self, {"max_epochs"}, records=records, others=others)
        self._initialize(resolve_seed(self.random_state, keeper))
        if self.max_epochs == 0 and not isinstance(self.encoder, nn.Module):
            self._settle(records)
        n_epochs = self.max_epochs - self._resume(keeper)
        try:
            self._train(records, others, n_epochs, keeper)
        except InvalidECGError:  # found when it was read
            self.__dict__.pop("_net", None)
            raise
        return self

    def _partial_fit(self, X, others=None):
        first = not hasattr(self, "encoder_")
        records = check_ecg(self, X, reset=first, min_records=2)
        if first:
            self._data = self._known_of(records)
            self._initialize(resolve_seed(self.random_state))
        self._net.set_params(lr=self.lr, batch_size=self.batch_size)
        try:
            self._train(records, others, 1)
        except InvalidECGError:  # found when it was read
            if first:
                del self._net
            raise
        return self

    def _one_encoder(self, in_channels):
        """Return an encoder as the parameter says."""
        if isinstance(self.encoder, nn.Module):
            return copy.deepcopy(self.encoder).to(torch.get_default_device())
        return self.encoder(in_channels)

    def _count_latents(self, encoder, views):
        """Return the parts and features of the latents, found by a dry run that changes nothing."""
        records = torch.zeros(2, self.n_leads_in_, self.n_samples_in_)
        some = views(records, Generator())
        for view in some:  # may be shorter
            if view.shape[:2] != records.shape[:2]:
                raise InvalidECGError(
                    "augmentation must keep records and leads, but it made "
                    f"{tuple(view.shape)} of {tuple(records.shape)}."
                )
        try:
            with torch.no_grad():
                encoder.eval()(some[0])
                latent = encoder(records)
        except RuntimeError as error:
            raise InvalidECGError(
                f"The encoder cannot take records of {self.n_samples_in_} samples, or views of "
                f"{some[0].shape[-1]}, which may be too short for it: {error}"
            ) from error
        if latent.ndim != 3 or len(latent) != 2 or not latent.is_floating_point():
            raise InvalidECGError(
                "encoder must map (batch, in_channels, n_samples) to (batch, n_features), but "
                f"for 2 records it returned, all leads together, {tuple(latent.shape)}."
            )
        return latent.shape[1:]

    def _initialize(self, seed, weights=None):
        """Make an encoder and the net that trains it, new ones or with these weights."""
        self._heads_are_new = False
        make = partial(self._make_learner, derived_seed(seed))
        self._net = Trainer(
            make() if weights is None else with_weights(make, weights, _OF_ENCODER),
            seed=seed,
            optimizer=torch.optim.Adam,
            optimizer__fused=True,
            lr=self.lr,
            batch_size=self.batch_size,
            device=resolve_device(self.device),
        ).initialize()
        self.history_ = []

    def _make_learner(self, seed):
        """Return what learns: how records are prepared, the views, and the method."""
        self.lead_names_ = check_lead_names(self.lead_names, self.n_leads_in_)
        if self.augmentation is None:
            augmentation = self._usual_augmentation()
        else:
            augmentation = copy.deepcopy(self.augmentation)
        prepare = InputNormalization(self.n_samples_in_, self.sampling_rate)
        with default_generators_seeded(seed):
            encoder, views = self._make_encoder(), self._make_views(augmentation)
            n_parts, n_features = self._count_latents(encoder, views)
            method = self._make_method(encoder, n_parts, n_features)
        self._n_features_out = n_parts * n_features
        precision = resolve_dtype(self.precision, resolve_device(self.device))
        return Learner(prepare, views, method, precision)

    def _get_state(self, heads=True):
        """Return what was fitted, with or without what only training needs."""
        state = super()._get_state()
        heads = heads and not self._heads_are_new
        weights = state["weights"].items()
        return state | {
            "weights": {k: one for k, one in weights if heads or k.startswith(_OF_ENCODER)}
        }

    def _set_state(self, state):
        """Become what was fitted."""
        set_attributes(self, state["records"])
        self._initialize(state["seed"], state["weights"])
        if all(name.startswith(_OF_ENCODER) for name in state["weights"]):
            self._net.module_.method.restart()
            self._heads_are_new = True
        self.history_ = state["history"]
        self.encoder_.eval()

    @property
    def _shape(self):
        return self.n_leads_in_, self.n_samples_in_

    def _known_of(self, records):
        """Return what is kept of the records, which one process reads for all."""
        together = processes()
        return together.first(data_signature(records) if together.rank == 0 else None)

    def _resume(self, keeper):
        """Take up the newest state that was kept, if any; return how many epochs it has behind."""
        if keeper is None:
            return 0
        together = processes()
        state = together.first(keeper.newest(self.max_epochs) if together.rank == 0 else None)
        if state is not None:
            self._net.set_state(state["net"])
            self.history_ = state["history"]
        return len(self.history_)

    def _settle(self, records):
        """Let the batch normalisation of a new encoder see some records."""
        n_rows = min(len(records), _SETTLED_BY)
        rows = np.linspace(0, len(records) - 1, n_rows).astype(int)
        n_batches = max(1, min(-(-n_rows // self.batch_size), n_rows // 2))
        batches = (
            to_tensor(records[some], self._net.device) for some in np.array_split(rows, n_batches)
        )
        with default_generators_seeded(derived_seed(self._net.seed), self._net.device):
            calibrate_batch_norm(self.encoder_, batches)

    def _train(self, records, others, n_epochs, keeper=None):
        """Train, and tell scikit-learn's callbacks, which may end it."""
        together = processes()
        root = make_callback_context(self, n_epochs + is_resuming(self, keeper))
        root.call_on_fit_task_begin(estimator=self, X=records.source)
        n_seen = min(len(records), self.epoch_size or len(records))
        if n_epochs and n_seen < 2 * together.size:
            raise InvalidECGError(
                f"An epoch has {n_seen} records, but each of {together.size} processes needs two."
            )

        near_by = near(records, self._net.device, n_seen * n_epochs // together.size)

        has_warned = together.rank > 0  # once is enough

        def train_epoch():
            nonlocal has_warned
            statistics = self._train_epoch(near_by, others, together)
            has_warned = has_warned or self._warn_of_collapse(statistics)

        def describe():
            return {"history": self.history_}

        try:
            with self._net.together(together), following(keeper, self._net, describe):
                run_epochs(self, root, records.source, n_epochs, train_epoch, together, keeper)
        except DivergenceError:
            if not self.history_:  # nothing was learnt
                del self._net
            raise
        finally:
            if hasattr(self, "_net"):
                self.encoder_.eval()
        root.call_on_fit_task_end(estimator=self, X=records.source, reconstruction_attributes=dict)

    def _train_epoch(self, records, others, together):
        """Train for an epoch, and write its history; return the statistics of its latents."""
        learner, n_epochs, start = self._net.module_, len(self.history_), time.perf_counter()
        learner.start_epoch()
        terms = self._net.fit_epoch(records, others, number=n_epochs, size=self.epoch_size)
        self._heads_are_new = False
        statistics, *more = together.every(learner.statistics.cpu())
        for one in more:
            statistics.merge(one)
        self.history_.append(
            {
                "epoch": n_epochs + 1,
                **terms,
                "latent_deviation": statistics.deviations().min().item(),
                "effective_rank": statistics.effective_rank(),
                "duration": time.perf_counter() - start,
            }
        )
        return statistics

    def _part_names(self):
        """Return whose latents there are, side by side."""
        joint = isinstance(self._net.module_.method.encoder, JointEncoder)
        return [type(self).__name__.lower()] if joint else self.lead_names_

    def _warn_of_collapse(self, statistics):
        """Warn if latents of the epoch hardly differ, or on a line only; return whether they do."""
        epoch, deviations = self.history_[-1], statistics.deviations()
        if epoch["latent_deviation"] < _COLLAPSED_DEVIATION:
            which = self._part_names()[int(deviations.argmin())]
            how = f"of {which} differ between records by only {deviations.min():.1e} of their size"
        elif (
            epoch["effective_rank"] < _COLLAPSED_RANK
            and self._n_features_out > 2 * len(deviations)
            and statistics.n >= _ENOUGH_FOR_RANK
        ):
            how = f"differ in one way only (effective rank {epoch['effective_rank']:.2f})"
        else:
            return False
        warnings.warn(
            f"{type(self).__name__} has collapsed in epoch {epoch['epoch']}: the latents {how}. "
            "Train with a smaller lr, or see whether the records differ there at all.",
            CollapseWarning,
            stacklevel=10,  # to the line that called fit
        )
        return True
