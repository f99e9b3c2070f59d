"""Classify ECGs with few labels, by fine-tuning what was learnt without."""

from __future__ import annotations

import copy
import time
from inspect import signature
from numbers import Integral, Real
from os import PathLike
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from scipy import special
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context, clone
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from torch import get_default_device, nn

from sklearn_bell._utils.labels import class_weights, hold_out, read_labels, weighted_targets
from sklearn_bell._utils.validation import ECGInputMixin, Records, check_ecg
from sklearn_bell.classification._encoder import (
    build_encoder,
    count_latents,
    latent_mean_std,
    pretrained_encoder,
)
from sklearn_bell.classification._head_init import linear_head
from sklearn_bell.classification._pseudo_labels import pseudo_label_probabilities
from sklearn_bell.exceptions import DivergenceError, InvalidECGError, InvalidFileError
from sklearn_bell.nn.augmentation import RandomCrop
from sklearn_bell.nn.classifier import FineTuning
from sklearn_bell.persistence._models import SaveMixin, set_attributes, with_weights
from sklearn_bell.training._checkpoint import Checkpoint, following, make_checkpoint_manager
from sklearn_bell.training._data import Rows, forward_batches, near
from sklearn_bell.training._run_hash import data_signature
from sklearn_bell.training._trainer import (
    EarlyStopping,
    Trainer,
    default_generators_seeded,
    derived_seed,
    make_callback_context,
    resolve_device,
    resolve_seed,
    run_epochs,
    set_where_missing,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from sklearn_bell._utils.types import Augmentation, Device, Missing, RandomState
    from sklearn_bell.training._checkpoint import CheckpointLike


_MOST_BYTES_OF_CLASS = 2**12  # of its name, in a file
_VOTED_PER_LABEL = 10  # so that labels keep a part in what is learnt, however many have none


class ECGClassifier(CallbackSupportMixin, SaveMixin, ECGInputMixin, ClassifierMixin, BaseEstimator):
    """Classify ECGs with few labels: pretrain on all records, then learn from the labelled ones.

    A linear layer on the latents of all leads, and the encoder under it, are trained by
    cross-entropy: one class for each record, or several (multi-label). Where some records are
    unlabelled, a vote of classifiers on the latents guesses first what they are. Without a
    pretrainer the encoder is trained from scratch.

    Parameters
    ----------
    pretrainer : estimator, default=None
        - A pretrainer such as ``BELLPretrainer()`` is cloned, and fitted on all rows of the X given
          to `fit`, labelled or not.
        - ``FrozenEstimator(pretrainer)`` of a fitted pretrainer is not fitted again: its weights
          are copied. So searches and folds need not pretrain again.
        - None is ``BELLPretrainer(max_epochs=0)``: its encoder, untrained. It filters records of
          100 Hz; of another rate, give ``BELLPretrainer(max_epochs=0, sampling_rate=...)``.

        What is given here is never changed.
    augmentation : callable, default=None
        Makes a view of a batch while fine-tuning: ``augmentation(x, generator)``, see
        :mod:`sklearn_bell.nn.augmentation`. By default ``RandomCrop()``, as in BELLPretrainer; an
        empty ``Compose()`` shows records as they are.
    C : float, default=0.005
        The linear layer starts as the logistic regression of this `C` on the latents of the
        labelled records, as they are before fine-tuning, scaled by the deviation over all records
        of the first `fit`; the smaller, the more it is kept near zero, as in
        :class:`sklearn.linear_model.LogisticRegression`.
    n_trees : int, default=300
        Size of the forest that votes on unlabelled records (notes). With 0 there is no vote, and
        unlabelled records are pretrained on only.
    dropout : float, default=0.0
        Share of the latents that the linear layer does not see at a step.
    class_weight : "balanced", dict or list of dicts, default=None
        Weights of the classes, as in scikit-learn. In a multi-label problem the absence (0) and
        presence (1) of each class have weights: ``"balanced"`` or a list with a dict for each.
        `partial_fit` cannot balance.
    n_frozen_epochs : int, default=0
        Epochs at the beginning in which only the linear layer learns. With `max_epochs` of the same
        number the encoder stays as it was pretrained.
    max_epochs : int, default=10
        How often the records are seen: the labelled ones, and those voted on.
    batch_size : int, default=32
        Records per step, and per batch in prediction. Batches differ in size by one at most.
    lr : float, default=0.0001
        Learning rate of the linear layer.
    encoder_lr : float, default=0.0005
        Learning rate of the encoder.
    early_stopping : bool, default=False
        Whether to hold a part of the labelled records out of training, to stop when their loss has
        not become less for `n_iter_no_change` epochs, and to keep the weights of the best epoch.
    validation_fraction : float, default=0.1
        The part that is held out: of patients where `fit` is given `groups`.
    n_iter_no_change : int, default=10
        Epochs without improvement that are waited for, not counting frozen ones.
    sampler : estimator, default=None
        A sampler of imbalanced-learn that takes ECGs, such as
        :class:`sklearn_bell.VQVAEOverSampler`, applied to the labelled records that are trained on,
        after what early stopping holds out is taken off, and given `groups` if it takes them. Then
        there is no vote on the unlabelled ones.
    warm_start : bool, default=False
        Whether `fit` goes on from the weights of the last `fit`, without pretraining.
    missing : {"error", "zero"}, default="error"
        What to do with a lead that a record does not have, all of whose samples are NaN: raise an
        error, or take it for a flat lead of zeros. A gap in a lead is an error in any case.
        A pretrainer that is to be fitted needs the same.
    device : str or torch.device, default="auto"
        Where to compute: ``"auto"`` is a GPU if there is one, or else the CPU.
    verbose : bool or int, default=False
        Whether to print a line for each epoch: its number, the loss, and the seconds it took.
        A pretrainer has a parameter of its own.
    checkpoint : str, path or Checkpoint, default=None
        Where to keep the state of training, so that `fit` goes on from it when it was ended: a
        folder, or a :class:`sklearn_bell.training.Checkpoint`. None keeps nothing.
    random_state : int, RandomState instance or None, default=None
        Determines the first weights, the order of the records, the views, what is held out, which
        records are voted on, and the forest; and what a pretrainer draws whose own ``random_state``
        is None. Where `warm_start` goes on, the first draw stays.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes; in a multi-label problem the column numbers of y.
    encoder_ : nn.Sequential
        What prepares the leads, and the fine-tuned encoder of all leads.
    history_ : list of dict
        For each epoch: the mean ``loss``, the ``valid_loss`` where a part is held out, whether the
        encoder was ``frozen``, and the ``duration`` in s.
    best_epoch_ : int
        The epoch whose weights are kept, counted from 1; 0 is the start, where early stopping finds
        that no epoch made it better.
    n_features_in_ : int
        Number of leads, or of samples where X is 2-D.
    n_leads_in_, n_samples_in_ : int
        Number of leads, and of samples of a record.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, where X is a dataframe.

    Raises
    ------
    InvalidECGError
        A ``ValueError``: if X is not as a pretrainer wants it, if fewer than two records or two
        classes are labelled, if y, `groups` or `class_weight` do not fit, or if `pretrainer` is
        none, or was fitted on records of another shape.
    DivergenceError
        If the loss or a weight is no finite number any more. The classifier has the weights of the
        last epoch that ended well then, and is not fitted if none did.

    See Also
    --------
    sklearn_bell.pretraining.BELLPretrainer : Features for any classifier of scikit-learn.

    Notes
    -----
    A row of y that is -1 is unlabelled, as in :mod:`sklearn.semi_supervised`, but only where at
    least two other classes occur: y of -1 and 1 is an ordinary problem of two classes. In a
    multi-label problem a row of -1 is unlabelled. In cross-validation keep such rows out of what is
    scored, where they would count as errors.

    Unlabelled rows are pretrained on. Then, in `fit`, the network as it starts and a forest of
    extra trees, which has learnt the latents of the labelled records, vote on the unlabelled ones:
    the average of the probabilities that the two give stands for the label while the network is
    fine-tuned on labelled records and on ten times as many others at most, drawn at random. The
    forest sees other things in the latents than a linear layer, and the network takes some of it
    over [2]_. `partial_fit` learns from labels only.

    The linear layer does not start at random: its first steps would spoil what was pretrained [1]_.
    It starts as a logistic regression, so that with few labels fine-tuning has little to do, and
    does little harm. The defaults were chosen by trials on folds 1-7 of PTB-XL, of which
    ``docs/research_log.md`` tells. From scratch a larger `encoder_lr` and more epochs are better.

    References
    ----------
    .. [1] Kumar A, Raghunathan A, Jones R, Ma T, Liang P. Fine-tuning can distort pretrained
       features and underperform out-of-distribution. ICLR 2022.
    .. [2] Chen T, Kornblith S, Swersky K, Norouzi M, Hinton G. Big self-supervised models are
       strong semi-supervised learners. NeurIPS 2020.

    Examples
    --------
    >>> from sklearn_bell import BELLPretrainer, ECGClassifier
    >>> from sklearn_bell.datasets import make_ecg
    >>> ecg = make_ecg(60, classes=["normal", "lbbb"], leads=["II", "V1"], random_state=0)
    >>> y = ecg.target.copy()
    >>> y[20:] = -1  # only twenty labels are known
    >>> classifier = ECGClassifier(BELLPretrainer(max_epochs=1), max_epochs=2, random_state=0)
    >>> classifier.fit(ecg.data, y).predict(ecg.data).shape
    (60,)
    """

    _parameter_constraints: dict = {
        "pretrainer": [HasMethods(["fit", "transform"]), None],
        "augmentation": [callable, None],
        "C": [Interval(Real, 0, None, closed="neither")],
        "missing": [StrOptions({"error", "zero"})],
        "n_trees": [Interval(Integral, 0, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "class_weight": [StrOptions({"balanced"}), dict, list, None],
        "n_frozen_epochs": [Interval(Integral, 0, None, closed="left")],
        "max_epochs": [Interval(Integral, 0, None, closed="left")],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "encoder_lr": [Interval(Real, 0, None, closed="neither")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 0.5, closed="right")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "sampler": [HasMethods("fit_resample"), None],
        "warm_start": ["boolean"],
        "device": [str, torch.device],
        "verbose": ["verbose"],
        "checkpoint": [str, PathLike, Checkpoint, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        pretrainer: BaseEstimator | None = None,
        *,
        augmentation: Augmentation | None = None,
        C: float = 0.005,
        n_trees: int = 300,
        dropout: float = 0.0,
        class_weight: dict | str | None = None,
        n_frozen_epochs: int = 0,
        max_epochs: int = 10,
        batch_size: int = 32,
        lr: float = 1e-4,
        encoder_lr: float = 5e-4,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        sampler: BaseEstimator | None = None,
        warm_start: bool = False,
        missing: Missing = "error",
        device: Device = "auto",
        verbose: bool | int = False,
        checkpoint: CheckpointLike | None = None,
        random_state: RandomState = None,
    ):
        self.pretrainer = pretrainer
        self.augmentation = augmentation
        self.C = C
        self.n_trees = n_trees
        self.dropout = dropout
        self.class_weight = class_weight
        self.n_frozen_epochs = n_frozen_epochs
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.encoder_lr = encoder_lr
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.sampler = sampler
        self.warm_start = warm_start
        self.missing = missing
        self.device = device
        self.verbose = verbose
        self.checkpoint = checkpoint
        self.random_state = random_state

    @property
    def encoder_(self) -> nn.Sequential:
        """What prepares records, and the encoder: to ``(batch, n_leads, n_features)``."""
        learner = self._net.module_
        return nn.Sequential(learner.prepare, learner.encoder).train(learner.training)

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Pretrain on all records, if a pretrainer is to be fitted; train on the labelled ones.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Records in mV. May be memory-mapped: it is read batch by batch.
        y : array-like of shape (n_records,) or (n_records, n_classes)
            Classes, or an indicator of zeros and ones. -1, or a row of -1, is unlabelled (notes).
        groups : array-like of shape (n_records,), default=None
            Patients, none of whom early stopping then has on both sides. A pretrainer whose `fit`
            takes groups is given them too.

        Returns
        -------
        self : object
            The fitted classifier.
        """
        first = not (self.warm_start and hasattr(self, "_net"))
        if first:
            self.__dict__.pop("_net", None)  # what fails below must not look fitted
        records = check_ecg(self, X, reset=first, min_records=2)
        if first:
            self._data = data_signature(records)
        labels = read_labels(y, len(records), None if first else self.classes_)
        self._check_labels(labels, first)
        vote = self.n_trees > 0 and self.sampler is None
        start = None if first else self._net.module_.state_dict()
        keeper = make_checkpoint_manager(
            self, {"max_epochs"}, records=records, y=labels, groups=groups, start=start
        )
        self._train(
            records, labels, self.max_epochs, first, vote, self.early_stopping, groups, keeper
        )
        return self

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=False)
    def partial_fit(self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None) -> Self:
        """Train for one more epoch, on these records; the first call pretrains on them.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Records in mV, of the leads and length seen first.
        y : array-like of shape (n_records,) or (n_records, n_classes)
            As in `fit`.
        classes : array-like of shape (n_classes,), default=None
            All classes that will ever occur, at the first call. Not needed for an indicator.

        Returns
        -------
        self : object
            The classifier.
        """
        first = not hasattr(self, "_net")
        if isinstance(self.class_weight, str):
            raise InvalidECGError(
                "class_weight='balanced' needs all labels at once, and partial_fit has some. Give "
                "the weights as a dict."
            )
        records = check_ecg(self, X, reset=first, min_records=2)
        if first:
            self._data = data_signature(records)
        known = np.unique(classes) if classes is not None else None
        labels = read_labels(y, len(records), known if first else self.classes_)
        if first and known is None and labels.codes.ndim == 1:
            raise InvalidECGError("classes must be passed on the first call to partial_fit.")
        if not first and known is not None and not np.array_equal(known, self.classes_):
            raise InvalidECGError(f"classes is {known}, but before it was {self.classes_}.")
        self._check_labels(labels, first)
        self._train(records, labels, 1, first)
        return self

    def decision_function(self, X: ArrayLike) -> np.ndarray:
        """Return the logits.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Records in mV, of the leads and length seen in `fit`.

        Returns
        -------
        logits : ndarray of shape (n_records, n_classes), or (n_records,) for two classes
            Above zero for what is predicted, where there are two classes or several labels.
        """
        logits = self._logits(X)
        if not self._multilabel and len(self.classes_) == 2:
            return logits[:, 1] - logits[:, 0]
        return logits

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Return the probabilities of the classes.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Records in mV, of the leads and length seen in `fit`.

        Returns
        -------
        probabilities : ndarray of shape (n_records, n_classes)
            They sum to one unless the problem is multi-label.
        """
        return self._probabilities(self._logits(X))

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return the most probable class; or in a multi-label problem those above one half.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Records in mV, of the leads and length seen in `fit`.

        Returns
        -------
        y : ndarray of shape (n_records,) or (n_records, n_classes)
            Classes, or an indicator.
        """
        logits = self._logits(X)
        if self._multilabel:
            return (logits > 0).astype(np.int64)
        return self.classes_[logits.argmax(axis=1)]

    def __sklearn_is_fitted__(self):
        return hasattr(self, "_net")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.missing == "zero"
        tags.classifier_tags.multi_label = True
        # the offset of a lead is not looked at: of scikit-learn's test data, records of two
        # samples, nothing is left but their difference
        tags.classifier_tags.poor_score = True
        return tags

    @property
    def _shape(self):
        return self.n_leads_in_, self.n_samples_in_

    @property
    def _multilabel(self):
        return self._net.module_.multilabel

    def _logits(self, X):
        check_is_fitted(self, "_net")
        records = check_ecg(self, X, reset=False)
        return self._forward("logits", records).astype(np.float64)

    def _probabilities(self, logits):
        return special.expit(logits) if self._multilabel else special.softmax(logits, axis=1)

    def _forward(self, what, records, learner=None):
        """Return the logits, or the latents, of all records, read batch by batch."""
        learner = (self._net.module_ if learner is None else learner).eval()
        batches = forward_batches(
            getattr(learner, what), records, self.batch_size, learner.center.device
        )
        return np.concatenate([found for _, found in batches])

    def _check_labels(self, labels, first):
        if len(labels.rows) < 2:
            raise InvalidECGError(
                f"At least 2 records must have a label, but {len(labels.rows)} has."
            )
        if not first and (labels.codes.ndim == 2) != self._multilabel:
            raise InvalidECGError("y is an indicator now, but was not before, or the reverse.")

    def _train(
        self, records, labels, n_epochs, first, vote=False, early_stopping=False, groups=None,
        keeper=None,
    ):  # fmt: skip
        """Pretrain and initialise where it is the first time; gather what to learn from; train."""
        root = make_callback_context(self, 1 + first)
        root.call_on_fit_task_begin(estimator=self, X=records.source)
        seed = resolve_seed(self.random_state, keeper) if first else self._net.seed
        if groups is not None:
            groups = self._check_groups(groups, len(records))
        unlabelled = np.setdiff1d(np.arange(len(records)), labels.rows)
        held_out = None
        if early_stopping:
            patients = np.arange(len(records)) if groups is None else groups
            of_labelled = patients[labels.rows]
            there, out = hold_out(labels.codes, of_labelled, self.validation_fraction, seed)
            held_out = labels._replace(rows=labels.rows[out], codes=labels.codes[out])
            labels = labels._replace(rows=labels.rows[there], codes=labels.codes[there])
            unlabelled = unlabelled[~np.isin(patients[unlabelled], of_labelled[out])]
        data, codes = Rows(records, labels.rows), labels.codes
        if first:
            class_weights(self.class_weight, codes, labels.classes)  # errors come before the work
            encoder = self._pretrained(records.source, groups, seed, root)
        if self.sampler is not None:
            data, codes = self._resampled(data, codes, labels.classes, groups, seed)
        if first:
            self._initialize(encoder, records, data, codes, labels.classes, seed)
        targets = weighted_targets(codes, self._weights)
        last = len(self.history_) + n_epochs
        state = keeper.newest(last) if keeper else None
        is_finished = state is not None and len(state["history"]) == last
        if vote and len(unlabelled) and not is_finished:
            data, targets = self._voted(records, labels, unlabelled, targets, seed)
        if held_out is not None:
            there = Rows(records, held_out.rows)
            held_out = EarlyStopping(there, weighted_targets(held_out.codes, self._weights))
        self._fine_tune(records.source, data, targets, held_out, last, root, keeper, state)
        root.call_on_fit_task_end(estimator=self, X=records.source, reconstruction_attributes=dict)

    def _fine_tune(self, X, data, targets, held_out, last, context, keeper, state):
        """Train up to the last epoch, and keep it or the best; X is for callbacks."""
        n_epochs = last - len(self.history_)
        self._net.set_params(lr=self.lr, batch_size=self.batch_size)
        self._net.set_params(optimizer__param_groups__0__lr=self.encoder_lr)

        data = near(data, self._net.device, len(data) * n_epochs)
        task = context.subcontext(task_name="fine-tune", max_subtasks=n_epochs)
        task.call_on_fit_task_begin(estimator=self, X=X)
        if state is not None:
            self._net.set_state(state["net"])
            self.history_[:] = state["history"]
            if held_out is not None:
                held_out.set_state(state["held_out"])
        elif held_out is not None:  # the start may be the best
            self._look(held_out, len(self.history_))
        n_epochs = 0 if self._is_enough(held_out) else last - len(self.history_)

        def train_epoch():
            return self._train_epoch(data, targets, held_out)

        def describe():
            kept = None if held_out is None else held_out.get_state()
            return {"history": self.history_, "held_out": kept}

        try:
            with following(keeper, self._net, describe):
                run_epochs(self, task, X, n_epochs, train_epoch, keeper=keeper)
        except DivergenceError:
            if not self.history_:  # nothing was learnt
                del self._net
            raise
        finally:
            self._end(held_out)
        task.call_on_fit_task_end(estimator=self, X=X, reconstruction_attributes=dict)

    def _end(self, held_out):
        """Take the best epoch, however training ended."""
        if not hasattr(self, "_net"):
            return
        self.best_epoch_ = len(self.history_)
        if held_out is not None and held_out.weights is not None:
            self.best_epoch_ = held_out.epoch
            self._net.module_.load_state_dict(held_out.weights)
        self._net.module_.eval()

    def _pretrained(self, X, groups, seed, context):
        """Return what prepares records, and the encoder, pretrained on X."""
        context = context.subcontext(task_name="pretrain")
        context.call_on_fit_task_begin(estimator=self, X=X)
        encoder = pretrained_encoder(
            self.pretrainer, X, self._shape, groups, context,
            random_state=seed, checkpoint=self.checkpoint,
        )  # fmt: skip
        context.call_on_fit_task_end(estimator=self, X=X, reconstruction_attributes=dict)
        return encoder

    def _check_groups(self, groups, n_records):
        """Return the groups as an array, one for each record."""
        if len(groups) != n_records:
            raise InvalidECGError(
                f"groups has {len(groups)} entries, but X has {n_records} records. Behind a "
                "sampler in a pipeline they differ: give the sampler to ECGClassifier(sampler=...)."
            )
        return np.asarray(groups)

    def _resampled(self, data, codes, classes, groups, seed):
        """Return records and codes as the sampler makes them of records, classes and patients."""
        sampler = clone(self.sampler)
        set_where_missing(sampler, random_state=seed, checkpoint=self.checkpoint)
        X = data[np.arange(len(data))]
        X = X[:, 0] if self._n_dimensions_in == 2 else X
        y, params = classes[codes] if codes.ndim == 1 else codes, {}
        if groups is not None and "groups" in signature(sampler.fit_resample).parameters:
            params["groups"] = groups[data.rows]
        X, y = sampler.fit_resample(X, y, **params)
        codes = np.searchsorted(classes, y) if codes.ndim == 1 else np.asarray(y)
        return Records(np.asarray(X), dtype=(np.float32,)), codes

    def _voted(self, records, labels, unlabelled, targets, seed):
        """Return labelled and unlabelled records, and how much each class counts for each.

        The vote is not weighted again: what votes has learnt with the weights of the classes.
        """
        n_voted = min(len(unlabelled), _VOTED_PER_LABEL * len(labels.rows))
        drawn = np.random.default_rng(seed).choice(unlabelled, n_voted, replace=False)
        rows = np.concatenate([labels.rows, np.sort(drawn)])
        latents = self._forward("latents", data := Rows(records, rows))
        known, others = np.split(latents, [len(labels.rows)])
        forest = pseudo_label_probabilities(
            known, labels.codes, self._weights, others, self.n_trees, seed
        )
        linear = self._net.module_.linear
        weight, bias = (one.detach().cpu().numpy() for one in (linear.weight, linear.bias))
        vote = (self._probabilities(others @ weight.T + bias) + forest) / 2
        if self._multilabel:
            vote = weighted_targets(vote, np.ones((2, len(self.classes_))))
        return data, np.concatenate([targets, vote]).astype(np.float32)

    def _initialize(self, encoder, records, data, codes, classes, seed):
        """Put a head on the encoder, fitted to what it is, and make the net that trains both."""
        device, multilabel = resolve_device(self.device), codes.ndim == 2
        weights = class_weights(self.class_weight, codes, classes)
        learner = self._make_learner(encoder, len(classes), multilabel, device, derived_seed(seed))
        net = self._make_net(learner, seed, device)
        latents_of = net.module_.eval().latents
        center, scale = latent_mean_std(latents_of, records, self.batch_size, device)
        latents = (self._forward("latents", data, net.module_) - center) / scale
        weight, bias = linear_head(latents, codes, weights, self.C)
        net.module_.start(center, scale, weight, bias)
        self._net, self._weights = net, weights  # now nothing can fail
        self.classes_, self.history_ = classes, []

    def _make_learner(self, encoder, n_classes, multilabel, device, seed):
        """Return what learns: an encoder under a new head."""
        prepare, encoder = encoder.to(device).eval()
        augmentation = RandomCrop() if self.augmentation is None else self.augmentation
        n_latents = count_latents(encoder, augmentation, self._shape, device)
        with default_generators_seeded(seed):
            return FineTuning(
                prepare,
                encoder,
                n_latents,
                n_classes,
                copy.deepcopy(augmentation),
                self.dropout,
                multilabel=multilabel,
            )

    def _make_net(self, learner, seed, device):
        """Return the net that trains what learns."""
        return Trainer(
            learner,
            seed=seed,
            optimizer=torch.optim.Adam,
            optimizer__param_groups=[("encoder.*", {"lr": self.encoder_lr})],
            lr=self.lr,
            batch_size=self.batch_size,
            device=device,
        ).initialize()

    def _get_state(self):
        """Return what was fitted."""
        return super()._get_state() | {
            "classes": self.classes_.tolist(),
            "dtype": self.classes_.dtype.str,
            "multilabel": self._multilabel,
            "class_weights": self._weights,
            "best_epoch": self.best_epoch_,
        }

    def _set_state(self, state):
        """Become what was fitted."""
        set_attributes(self, state["records"])
        dtype = np.dtype(state["dtype"])
        if dtype.itemsize > _MOST_BYTES_OF_CLASS:
            raise InvalidFileError(f"its classes are of {dtype}")
        self.classes_ = np.array(state["classes"], dtype=dtype)

        def make():
            encoder, device = build_encoder(self.pretrainer, self._shape), get_default_device()
            return self._make_learner(encoder, len(self.classes_), state["multilabel"], device, 0)

        learner = with_weights(make, state["weights"])
        self._net = self._make_net(learner, state["seed"], resolve_device(self.device))
        self._net.module_.eval()
        self._weights, self.history_ = state["class_weights"], state["history"]
        self.best_epoch_ = state["best_epoch"]

    def _look(self, held_out, epoch):
        """Return the loss of the records held out, after the epoch."""
        logits = self._forward("logits", held_out.records)
        return held_out.look(self._net.module_, logits, epoch)

    def _train_epoch(self, data, targets, held_out):
        """Train for an epoch, write its history, and return whether to stop."""
        learner, epoch, start = self._net.module_, len(self.history_) + 1, time.perf_counter()
        frozen = epoch <= self.n_frozen_epochs
        learner.freeze(frozen)
        entry = {"epoch": epoch, **self._net.fit_epoch(data, targets, number=epoch - 1)}
        if held_out is not None:
            entry["valid_loss"] = self._look(held_out, epoch)
        self.history_.append({**entry, "frozen": frozen, "duration": time.perf_counter() - start})
        return self._is_enough(held_out)

    def _is_enough(self, held_out):
        """Return whether the loss of what is held out has not become less for long."""
        if held_out is None:
            return False
        waited_since = max(held_out.epoch, self.n_frozen_epochs)
        return len(self.history_) >= waited_since + self.n_iter_no_change
