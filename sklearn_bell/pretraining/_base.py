"""What all pretraining methods share: a transformer that trains an encoder without labels."""

from __future__ import annotations

import copy
import time
import warnings
from abc import ABCMeta, abstractmethod
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted
from torch import Generator, Tensor, nn

from sklearn_bell._leads import check_lead_names
from sklearn_bell._training import (
    SelfSupervisedNet,
    choose_device,
    default_generators_seeded,
    derived_seed,
    to_tensor,
)
from sklearn_bell._validation import ECGInputMixin, check_ecg
from sklearn_bell.exceptions import CollapseWarning, DivergenceError, InvalidECGError
from sklearn_bell.nn.augmentation import Compose, RandomCrop, TimeOut
from sklearn_bell.nn.collapse import LatentStatistics
from sklearn_bell.nn.encoders import LeadwiseEncoder
from sklearn_bell.nn.preparation import Preparation

_COLLAPSED_DEVIATION = 1e-3  # deviation over records, relative to the size of the latents


class TwoViews(nn.Module):
    """What skorch trains: a method that is shown two views of every record.

    Parameters
    ----------
    prepare : callable
        What happens to the records before.
    augmentation : callable
        Makes a view.
    method : nn.Module
        Called with two views; returns the terms of its loss and a latent. Has ``after_step()``.
    """

    def __init__(self, prepare, augmentation, method):
        super().__init__()
        self.prepare, self.augmentation, self.method = prepare, augmentation, method

    def forward(self, x: Tensor, generator: Generator) -> dict[str, Tensor]:
        x = self.prepare(x)
        first, second = (self.augmentation(x, generator) for _ in range(2))
        terms, latent = self.method(first, second)
        self.statistics.update(latent)
        for name, term in terms.items():
            self.sums[name] = self.sums.get(name, 0) + term.detach() * len(x)
        return terms

    def after_step(self):
        self.method.after_step()

    def start_epoch(self):
        self.sums: dict[str, Tensor] = {}
        self.statistics = LatentStatistics()

    def mean_terms(self) -> dict[str, float]:
        """Return the mean terms of the loss over the epoch."""
        return {name: (total / self.statistics.n).item() for name, total in self.sums.items()}


class BasePretrainer(
    CallbackSupportMixin, ECGInputMixin, TransformerMixin, BaseEstimator, metaclass=ABCMeta
):
    """Base of the pretraining methods. A method says what its network and its loss are.

    Subclasses define ``_make_method(encoder, n_leads, n_features)``, which returns an ``nn.Module``
    that maps two views, each ``(batch, n_leads, n_samples)``, to a dict of loss terms (``"loss"``
    is minimised, all are kept in ``history_``) and the latents that are watched for collapse. Its
    ``after_step()`` is called after every step of the optimiser.
    """

    _parameter_constraints: dict = {
        "encoder": [callable],
        "augmentation": [callable, None],
        "max_epochs": [Interval(Integral, 0, None, closed="left")],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "lead_names": ["array-like", None],
        "sampling_rate": [Interval(Real, 0, None, closed="neither")],
        "device": [str, torch.device],
        "random_state": ["random_state"],
    }

    @property
    def encoder_(self):
        """The encoder: ``(batch, n_leads, n_samples)`` to ``(batch, n_leads, n_features)``."""
        return self._net.module_.method.encoder

    @abstractmethod
    def _make_method(self, encoder, n_leads, n_features):
        """Return the module that is trained, with `encoder` in it."""

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
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
        self.__dict__.pop("_net", None)  # what fails below must not look fitted
        records = check_ecg(self, X, reset=True, min_records=2)
        self._initialize()
        self._train(records, self.max_epochs)
        return self

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None):
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
        first = not hasattr(self, "encoder_")
        records = check_ecg(self, X, reset=first, min_records=2)
        if first:
            self._initialize()
        self._net.set_params(lr=self.lr, batch_size=self.batch_size)
        self._train(records, 1)
        return self

    def transform(self, X):
        """Encode records.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Records of the leads and length seen in ``fit``.

        Returns
        -------
        latents : ndarray of shape (n_records, n_features_out), dtype float32
            The latents of all leads side by side.
        """
        check_is_fitted(self, "encoder_")
        records = check_ecg(self, X, reset=False)
        device = next(iter(self.encoder_.parameters()), torch.empty(0)).device
        prepare = self._net.module_.prepare
        self.encoder_.eval()
        latents = np.empty((len(records), self._n_features_out), dtype=np.float32)
        start = 0
        with torch.inference_mode():
            for batch in records.batches(self.batch_size):
                latent = self.encoder_(prepare(to_tensor(batch, device)))
                latents[start : start + len(batch)] = latent.flatten(1).cpu().numpy()
                start += len(batch)
        return latents

    def get_feature_names_out(self, input_features=None):
        """Return the names of the features: the lead and the number of the latent, as ``V1_7``.

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
        n_latents = self._n_features_out // self.n_leads_in_
        names = [f"{lead}_{i}" for lead in self.lead_names_ for i in range(n_latents)]
        return np.array(names, dtype=object)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def _make_encoder(self):
        """Return the encoder of all leads, a branch for each."""
        if isinstance(self.encoder, nn.Module):
            branches = [copy.deepcopy(self.encoder) for _ in range(self.n_leads_in_)]
        else:
            branches = [self.encoder(1) for _ in range(self.n_leads_in_)]
        return LeadwiseEncoder(branches)

    def _count_features(self, encoder, augmentation):
        """Return the output width of the encoder, found by a dry run that changes nothing."""
        records = torch.zeros(2, self.n_leads_in_, self.n_samples_in_)
        view = augmentation(records, Generator())  # may be shorter
        if view.shape[:2] != records.shape[:2]:
            raise InvalidECGError(
                "augmentation must keep records and leads, but it made "
                f"{tuple(view.shape)} of {tuple(records.shape)}."
            )
        try:
            with torch.no_grad():
                encoder.eval()(view)
                latent = encoder(records)
        except RuntimeError as error:
            raise InvalidECGError(
                f"The encoder cannot take records of {self.n_samples_in_} samples, or views of "
                f"{view.shape[-1]}, which may be too short for it: {error}"
            ) from error
        expected = (2, self.n_leads_in_)
        if latent.ndim != 3 or latent.shape[:2] != expected or not latent.is_floating_point():
            raise InvalidECGError(
                "encoder must map (batch, 1, n_samples) to (batch, n_features), but for 2 records "
                f"it returned, leads stacked, {tuple(latent.shape)}."
            )
        return latent.shape[-1]

    def _initialize(self):
        """Make a new encoder and the net that trains it."""
        self.lead_names_ = check_lead_names(self.lead_names, self.n_leads_in_)
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        device = choose_device(self.device)
        if self.augmentation is None:
            augmentation = Compose(RandomCrop(), TimeOut())
        else:
            augmentation = copy.deepcopy(self.augmentation)
        prepare = Preparation(self.n_samples_in_, self.sampling_rate)
        with default_generators_seeded(derived_seed(seed)):
            encoder = self._make_encoder()
            n_features = self._count_features(encoder, augmentation)
            method = self._make_method(encoder, self.n_leads_in_, n_features)
        self._net = SelfSupervisedNet(
            TwoViews(prepare, augmentation, method),
            seed=seed,
            optimizer=torch.optim.Adam,
            lr=self.lr,
            batch_size=self.batch_size,
            device=device,
        ).initialize()
        self._n_features_out = self.n_leads_in_ * n_features
        self.history_ = []

    def _train(self, records, n_epochs):
        """Train, and tell scikit-learn's callbacks, which may end it."""
        root = self._init_callback_context(max_subtasks=n_epochs)
        root.call_on_fit_task_begin(estimator=self, X=records.source)
        try:
            for _ in range(n_epochs):
                task = root.subcontext(task_name="epoch")
                task.call_on_fit_task_begin(estimator=self, X=records.source)
                self._train_epoch(records)
                if task.call_on_fit_task_end(
                    estimator=self,
                    X=records.source,
                    metadata=self.history_[-1],
                    reconstruction_attributes=dict,
                ):
                    break
        finally:
            self.encoder_.eval()
        if n_epochs:
            self._warn_of_collapse()
        root.call_on_fit_task_end(estimator=self, X=records.source, reconstruction_attributes=dict)

    def _train_epoch(self, records):
        """Train for an epoch, and write its history."""
        learner, n_epochs, start = self._net.module_, len(self.history_), time.perf_counter()
        learner.start_epoch()
        self._net.fit_epoch(records, n_epochs)
        terms = learner.mean_terms()
        if not np.isfinite(terms["loss"]):
            raise DivergenceError(
                f"The loss became {terms['loss']} in epoch {n_epochs + 1} of "
                f"{type(self).__name__} with lr={self.lr}. Train with a smaller lr."
            )
        self._deviations = learner.statistics.deviations()
        self.history_.append(
            {
                "epoch": n_epochs + 1,
                **terms,
                "latent_deviation": self._deviations.min().item(),
                "effective_rank": learner.statistics.effective_rank(),
                "duration": time.perf_counter() - start,
            }
        )

    def _warn_of_collapse(self):
        deviation = self.history_[-1]["latent_deviation"]
        if deviation < _COLLAPSED_DEVIATION:
            warnings.warn(
                f"{type(self).__name__} has collapsed: the latents of lead "
                f"{self.lead_names_[int(self._deviations.argmin())]} differ between records by "
                f"only {deviation:.1e} of their size. Train with a smaller lr, or see whether the "
                "records differ in this lead at all.",
                CollapseWarning,
                stacklevel=6,  # to the line that called fit
            )
