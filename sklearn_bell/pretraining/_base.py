"""Base class of the pretraining methods: a transformer that trains an encoder without labels."""

from __future__ import annotations

import copy
from abc import ABCMeta, abstractmethod
from dataclasses import dataclass, field
from functools import partial
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import _fit_context
from sklearn.callback import with_callbacks
from sklearn.utils import metadata_routing
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from torch import nn

from sklearn_bell._utils.leads import check_lead_names
from sklearn_bell._utils.validation import FitTransformMixin, check_ecg, check_groups
from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.nn.augmentation import RandomCrop, TwoViews
from sklearn_bell.nn.batch_norm import calibrate_batch_norm, fuse_conv_bn
from sklearn_bell.nn.encoders import JointEncoder, LeadwiseEncoder, ResNet1d, latent_shape
from sklearn_bell.nn.normalization import InputNormalization
from sklearn_bell.persistence._models import network_with_weights, set_record_attributes
from sklearn_bell.pretraining._collapse import CollapseWarner
from sklearn_bell.pretraining._objective import SSLModule
from sklearn_bell.training._checkpoint import make_checkpoint_manager
from sklearn_bell.training._data import forward_batches
from sklearn_bell.training._device import autocast, resolve_device, resolve_dtype, to_tensor
from sklearn_bell.training._distributed import current_processes
from sklearn_bell.training._estimator import TrainedEstimator
from sklearn_bell.training._loop import resume
from sklearn_bell.training._random import default_generators_seeded, derived_seed, resolve_seed
from sklearn_bell.training._run_hash import data_signature

if TYPE_CHECKING:
    import os

    from numpy.typing import ArrayLike

    from sklearn_bell._utils import types

_N_CALIBRATION_RECORDS = 1024
_ENCODER_PREFIXES = "normalize.", "objective.encoder."  # of weights that transform needs


@dataclass(eq=False, repr=False, kw_only=True)
class BasePretrainer(FitTransformMixin, TrainedEstimator, metaclass=ABCMeta):
    """Base class of pretraining methods.

    Subclasses are dataclasses, declare further parameters as fields, and define
    ``_make_objective(encoder, n_parts, n_features)``, which returns an :class:`Objective`. They may
    override ``_is_joint`` (False: a branch for each lead, so that parts are leads; True: one for
    all), ``_make_encoder``, ``_default_augmentation`` (a crop) and ``_make_views`` (two copies).

    Parameters
    ----------
    encoder, augmentation, max_epochs, epoch_size, batch_size, lr, lead_names, sampling_rate, \
missing, device, precision, verbose, checkpoint, random_state
        As in :class:`sklearn_bell.BELLPretrainer`.

    Attributes
    ----------
    encoder_, history_, lead_names_, n_features_in_, n_leads_in_, n_samples_in_, feature_names_in_
        As in :class:`sklearn_bell.BELLPretrainer`.

    Raises
    ------
    InvalidECGError, DivergenceError
        As in :class:`sklearn_bell.BELLPretrainer`.

    Examples
    --------
    >>> from sklearn_bell.pretraining import BasePretrainer, BELLPretrainer
    >>> isinstance(BELLPretrainer(), BasePretrainer)
    True
    """

    encoder: types.Encoder = field(default=ResNet1d, kw_only=False)
    augmentation: types.Augmentation | None = None
    max_epochs: int = 60
    epoch_size: int | None = None
    batch_size: int = 128
    lr: float = 4e-3
    lead_names: types.Names | None = None
    sampling_rate: float = 100
    missing: types.Missing = "error"
    precision: types.Precision = "float32"

    _expects_millivolts = True

    _parameter_constraints = {
        **TrainedEstimator._parameter_constraints,
        "encoder": [callable],
        "augmentation": [callable, None],
        "epoch_size": [Interval(Integral, 2, None, closed="left"), None],
        "lead_names": ["array-like", None],
        "sampling_rate": [Interval(Real, 0, None, closed="neither")],
        "missing": [StrOptions({"error", "zero"})],
        "precision": [StrOptions({"float32", "bfloat16", "auto"})],
    }

    _is_joint = False
    _default_augmentation: ClassVar[type[nn.Module]] = RandomCrop
    __metadata_request__transform = {"out": metadata_routing.UNUSED}  # not of the records

    @property
    def _expected_rate(self):
        return None  # encoders learn at any rate

    @property
    def encoder_(self) -> nn.Sequential:
        """Input normalisation and encoder: maps records to ``(batch, n_leads, n_features)``."""
        module = self._net.module_
        encoder = module.objective.encoder
        return nn.Sequential(module.normalize, encoder).train(encoder.training)

    @abstractmethod
    def _make_objective(self, encoder, n_parts, n_features):
        """Return the objective of an encoder to ``(batch, n_parts, n_features)``."""

    def _make_encoder(self):
        if self._is_joint:
            return JointEncoder(self._make_branch(self.n_leads_in_))
        return LeadwiseEncoder([self._make_branch(1) for _ in range(self.n_leads_in_)])

    def _make_views(self, augmentation):
        return TwoViews(augmentation)

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Pretrain a new encoder on unlabelled records.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            At least two records in mV. Memory maps and other arrays that slice to NumPy arrays are
            read batch by batch.
        y : None
            Ignored.

        Returns
        -------
        self : object
        """
        return self._fit(X)

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Train for one more epoch on these records.

        Of the parameters changed since the first fit, only `lr` and `batch_size` have an effect.

        Parameters
        ----------
        X, y
            As in `fit`, with the leads and length of the first call.

        Returns
        -------
        self : object
        """
        return self._partial_fit(X)

    def transform(self, X: ArrayLike, out: Any = None) -> np.ndarray:
        """Encode records.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Records with the leads and length seen in ``fit``.
        out : array-like of shape (n_records, n_features_out), default=None
            Array to write the latents to, such as a ``np.memmap``. None makes a new one.

        Returns
        -------
        latents : ndarray of shape (n_records, n_features_out), dtype float32
            Latents of all leads, concatenated; or `out`.
        """
        check_is_fitted(self, "encoder_")
        records = check_ecg(self, X, reset=False)
        shape = len(records), self._n_features_out
        if out is None:
            out = np.empty(shape, dtype=np.float32)
        if out.shape != shape or np.dtype(out.dtype).kind != "f":
            raise InvalidECGError(
                f"Expected out to be a floating-point array of shape {shape}, got {out.dtype} of "
                f"shape {out.shape}. Pass None for a new array."
            )
        normalize, encoder = fuse_conv_bn(self.encoder_)
        device = normalize.band.device
        dtype = resolve_dtype(self.precision, device)

        def encode(x):
            x = normalize(x)
            with autocast(dtype, device):
                return encoder(x).flatten(1).float()

        for rows, latents in forward_batches(encode, records, self.batch_size, device):
            out[rows] = latents
        return out

    def get_feature_names_out(self, input_features: types.Names | None = None) -> np.ndarray:
        """Return the names of the latents: lead and number, such as ``V1_7``.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Only compared with the names seen in ``fit``, if any.

        Returns
        -------
        names : ndarray of shape (n_features_out,), dtype object
            The name of the class replaces the lead if one encoder sees all leads.
        """
        check_is_fitted(self, "encoder_")
        self._check_names_in(input_features)
        parts = self._part_names()
        numbers = range(self._n_features_out // len(parts))
        return np.array([f"{part}_{i}" for part in parts for i in numbers], dtype=object)

    def save(self, path: str | os.PathLike[str], *, heads: bool = True) -> None:
        """Write the fitted transformer to a file, as :meth:`sklearn_bell.ECGClassifier.save`.

        Parameters
        ----------
        path : str or path
            The file, for instance ``"bell.safetensors"``. An existing file is replaced atomically.
        heads : bool, default=True
            False saves the encoder alone, which ``transform`` and `ECGClassifier` need. The file is
            many times smaller, and ``partial_fit`` starts with new heads.
        """
        self._save(path, heads=heads)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.missing == "zero"
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def _fit(self, X, groups=None):
        self._reset()
        records, targets = self._check(X, groups, reset=True)
        manager = make_checkpoint_manager(self, {"max_epochs"}, records=records, targets=targets)
        self._initialize(records, resolve_seed(self.random_state, manager))
        if self.max_epochs == 0 and self._is_untrained():
            self._calibrate_batch_norm(records)
        resume(self._net, self.history_, manager, self.max_epochs, current_processes())
        self._train(records, targets, self.max_epochs, manager)
        self._heads_are_new &= self.max_epochs == 0
        return self

    def _partial_fit(self, X, groups=None):
        is_first = not hasattr(self, "_net")
        records, targets = self._check(X, groups, reset=is_first)
        if is_first:
            self._initialize(records, resolve_seed(self.random_state))
        self._net.set_params(lr=self.lr, batch_size=self.batch_size)
        self._train(records, targets, self._net.epoch_ + 1, is_first=is_first)
        self._heads_are_new = False
        return self

    def _check(self, X, groups, reset):
        """Return the records, and the number of the patient of each if `groups` is not None."""
        records = check_ecg(self, X, reset=reset, min_records=2)
        return records, None if groups is None else check_groups(groups, len(records))

    def _train(self, records, targets, last_epoch, manager=None, is_first=True):
        """Train up to an epoch, in all processes."""
        processes = current_processes()
        n_rows = min(len(records), self.epoch_size or len(records))
        warner = CollapseWarner(type(self).__name__, self._part_names())
        with self._training(is_first):
            if last_epoch > self._net.epoch_ and n_rows < 2 * processes.size:
                raise InvalidECGError(
                    f"Expected at least two records per process, got an epoch of {n_rows} records "
                    f"for {processes.size} processes. Start fewer processes."
                )
            self._train_until(
                last_epoch,
                records.source,
                records,
                targets,
                callbacks=[warner] if processes.rank == 0 else [],
                manager=manager,
                processes=processes,
            )

    def _initialize(self, records, seed):
        """Make a new network and its trainer."""
        processes = current_processes()
        self._data = processes.broadcast(data_signature(records) if processes.rank == 0 else None)
        self._set_module(self._make_module(derived_seed(seed)), seed)

    def _set_module(self, module, seed):
        self._net = self._make_trainer(
            module, seed, epoch_size=self.epoch_size, optimizer__fused=True
        )
        self.history_ = []
        self._heads_are_new = False  # True after loading the encoder alone, until they are trained

    def _make_module(self, seed):
        """Return a new network: normalisation, views and objective."""
        self.lead_names_ = check_lead_names(self.lead_names, self.n_leads_in_)
        augmentation = copy.deepcopy(self.augmentation or self._default_augmentation())
        normalize = InputNormalization(self.n_samples_in_, self.sampling_rate)
        with default_generators_seeded(seed):
            encoder, make_views = self._make_encoder(), self._make_views(augmentation)
            shape = latent_shape(encoder, make_views, *self._shape)
            if len(shape) != 2:
                raise InvalidECGError(
                    "Expected encoder to map (batch, in_channels, n_samples) to (batch, "
                    f"n_features), got latents of shape {tuple(shape)} per record."
                )
            n_parts, n_features = shape
            objective = self._make_objective(encoder, n_parts, n_features)
        self._n_features_out = n_parts * n_features
        dtype = resolve_dtype(self.precision, resolve_device(self.device))
        return SSLModule(normalize, make_views, objective, dtype)

    def _is_untrained(self):
        return not isinstance(self.encoder, nn.Module)

    def _make_branch(self, in_channels):
        """Return a new encoder of some channels, or a copy of the given one."""
        if isinstance(self.encoder, nn.Module):
            return copy.deepcopy(self.encoder).to(torch.get_default_device())
        return self.encoder(in_channels)

    def _calibrate_batch_norm(self, records):
        """Estimate the running statistics of an encoder that is not trained."""
        n_rows = min(len(records), _N_CALIBRATION_RECORDS)
        rows = np.linspace(0, len(records) - 1, n_rows).astype(int)
        n_batches = max(1, min(-(-n_rows // self.batch_size), n_rows // 2))
        device = self._net.device
        batches = (to_tensor(records[part], device) for part in np.array_split(rows, n_batches))
        with default_generators_seeded(derived_seed(self._net.seed), device):
            calibrate_batch_norm(self.encoder_, batches)

    def _part_names(self):
        """Return the names of the parts whose latents are concatenated."""
        is_joint = isinstance(self._net.module_.objective.encoder, JointEncoder)
        return [type(self).__name__.lower()] if is_joint else self.lead_names_

    def _get_state(self, heads=True):
        state = super()._get_state()
        if self._heads_are_new or not heads:
            weights = state["weights"].items()
            state["weights"] = {k: v for k, v in weights if k.startswith(_ENCODER_PREFIXES)}
        return state

    def _set_state(self, state):
        set_record_attributes(self, state["records"])
        seed, weights = state["seed"], state["weights"]
        make = partial(self._make_module, derived_seed(seed))
        module = network_with_weights(make, weights, _ENCODER_PREFIXES)
        heads_are_new = all(name.startswith(_ENCODER_PREFIXES) for name in weights)
        if heads_are_new:
            module.objective.reset_target()
        self._set_module(module, seed)
        self.history_, self._heads_are_new = state["history"], heads_are_new
        self._net.epoch_ = len(self.history_)
        self.encoder_.eval()
