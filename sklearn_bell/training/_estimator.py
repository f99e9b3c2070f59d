"""Base class of estimators that train a network."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from numbers import Integral, Real
from os import PathLike
from typing import TYPE_CHECKING

import torch
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin
from sklearn.utils._param_validation import Interval

from sklearn_bell._utils.validation import ECGInputMixin
from sklearn_bell.exceptions import DivergenceError, InvalidECGError
from sklearn_bell.persistence._models import SaveMixin
from sklearn_bell.training._checkpoint import Checkpoint, CheckpointLike
from sklearn_bell.training._device import resolve_device
from sklearn_bell.training._distributed import current_processes
from sklearn_bell.training._loop import Reporter, fit_context, fit_loop
from sklearn_bell.training._trainer import Trainer

if TYPE_CHECKING:
    from sklearn_bell._utils import types


@dataclass(eq=False, repr=False, kw_only=True)
class TrainedEstimator(CallbackSupportMixin, SaveMixin, ECGInputMixin, BaseEstimator):
    """Base of dataclasses whose network ``_net.module_`` is trained by ``fit_loop``."""

    max_epochs: int
    batch_size: int
    lr: float
    device: types.Device = "auto"
    verbose: bool | int = False
    checkpoint: CheckpointLike | None = None
    random_state: types.RandomState = None

    _parameter_constraints = {
        "max_epochs": [Interval(Integral, 0, None, closed="left")],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "device": [str, torch.device],
        "verbose": ["verbose"],
        "checkpoint": [str, PathLike, Checkpoint, None],
        "random_state": ["random_state"],
    }

    def __sklearn_is_fitted__(self):
        return hasattr(self, "_net")

    def _reset(self):
        """Forget the network, so that an estimator whose fit fails does not look fitted."""
        self.__dict__.pop("_net", None)

    def _make_trainer(self, module, seed, **options):
        return Trainer(
            module,
            seed=seed,
            optimizer=torch.optim.Adam,
            lr=self.lr,
            batch_size=self.batch_size,
            device=resolve_device(self.device),
            **options,
        ).initialize()

    def _train_until(self, last_epoch, X, records, targets=None, *, task=(), **options):
        """Run ``fit_loop`` with its options, and show callbacks of scikit-learn the records X.

        `task` is the name of this part of a fit and the context of the whole, if there are parts.
        """
        net, name = self._net, type(self).__name__
        n_reports = last_epoch - net.epoch_ + net.is_resumed_
        with fit_context(self, n_reports, X, *task) as context:
            verbose = self.verbose if current_processes().rank == 0 else False
            options["reporter"] = Reporter(name, verbose, self, context, X)
            fit_loop(net, records, targets, last_epoch=last_epoch, history=self.history_, **options)

    @contextlib.contextmanager
    def _training(self, is_first=True):
        """Leave the network in evaluation mode, and forget one that has learned nothing valid.

        Records on disk are checked as they are read: if one is invalid, a first fit is undone.
        """
        try:
            yield
        except (InvalidECGError, DivergenceError) as error:
            is_lost = is_first if isinstance(error, InvalidECGError) else not self.history_
            if is_lost:
                self._reset()
            raise
        finally:
            if hasattr(self, "_net"):
                self._net.module_.eval()

    @property
    def _shape(self) -> tuple[int, int]:
        return self.n_leads_in_, self.n_samples_in_
