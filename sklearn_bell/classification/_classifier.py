"""Classification of ECGs with few labels by fine-tuning a pretrained encoder."""

from __future__ import annotations

from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import TYPE_CHECKING, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.callback import with_callbacks
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from torch import nn

from sklearn_bell._utils.labels import class_weights, read_labels, weighted_targets
from sklearn_bell._utils.validation import check_ecg, check_groups
from sklearn_bell.classification._fine_tuning import BaseFineTuning
from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.training._checkpoint import make_checkpoint_manager
from sklearn_bell.training._data import Rows
from sklearn_bell.training._loop import fit_context, newest_state
from sklearn_bell.training._random import resolve_seed

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from sklearn_bell._utils import types

_GROUPS_REMEDY = (
    "Give the patient of each record. A sampler before the classifier in a pipeline adds records: "
    "pass it as ECGClassifier(sampler=...) instead."
)


@dataclass(eq=False, repr=False, kw_only=True)
class ECGClassifier(ClassifierMixin, BaseFineTuning):
    """Classify ECGs with few labels: pretrain on all records, fine-tune on the labelled ones.

    A linear layer on the latents of all leads, and the encoder below it, are trained by
    cross-entropy, with one class per record or several (multi-label). Unlabelled records first get
    pseudo-labels. Without a pretrainer the encoder is trained from scratch.

    Parameters
    ----------
    pretrainer : estimator, default=None
        - A pretrainer such as ``BELLPretrainer()`` is cloned and fitted on all rows of the X given
          to `fit`, labelled or not.
        - ``FrozenEstimator(pretrainer)`` of a fitted pretrainer is not fitted again, so searches
          and folds share one pretraining; its weights are copied.
        - None is ``BELLPretrainer(max_epochs=0)``, an untrained encoder for records of 100 Hz. For
          another rate pass ``BELLPretrainer(max_epochs=0, sampling_rate=...)``.

        The object passed here is never changed.
    augmentation : callable, default=None
        Makes a view of a batch in training: ``augmentation(x, generator)``, see
        :mod:`sklearn_bell.nn.augmentation`. None is ``RandomCrop()``; an empty ``Compose()``
        trains on whole records.
    C : float, default=0.005
        Inverse regularisation strength of the logistic regression on standardised latents that the
        linear layer starts from, as in :class:`sklearn.linear_model.LogisticRegression`.
    n_trees : int, default=300
        Size of the forest that takes part in pseudo-labelling (see Notes). 0 disables
        pseudo-labels: unlabelled records are pretrained on only.
    dropout : float, default=0.0
        Share of the latents that are zeroed before the linear layer in training.
    class_weight : "balanced", dict or list of dicts, default=None
        Class weights as in scikit-learn. In a multi-label problem the absence (0) and presence (1)
        of each class have weights: ``"balanced"`` or a list with a dict per class. `partial_fit`
        does not support ``"balanced"``.
    n_frozen_epochs : int, default=0
        First epochs in which only the linear layer is trained. If equal to `max_epochs`, the
        encoder stays as pretrained.
    max_epochs : int, default=10
        Number of passes over the labelled and pseudo-labelled records.
    batch_size : int, default=32
        Records per step, and per batch in prediction. Batches differ in size by one at most.
    lr : float, default=0.0001
        Learning rate of the linear layer (Adam).
    encoder_lr : float, default=0.0005
        Learning rate of the encoder.
    early_stopping : bool, default=False
        Hold out a part of the labelled records, stop when their loss has not fallen for
        `n_iter_no_change` epochs, and keep the weights of the best epoch.
    validation_fraction : float, default=0.1
        Share of the records, or of the patients if `fit` is given `groups`, that is held out.
    n_iter_no_change : int, default=10
        Epochs without improvement before training stops; frozen epochs do not count.
    sampler : estimator, default=None
        A sampler of imbalanced-learn that takes ECGs, such as
        :class:`sklearn_bell.VQVAEOverSampler`. It resamples the labelled training records, after
        those of early stopping are held out, and is given `groups` if it takes them. There are no
        pseudo-labels then.
    warm_start : bool, default=False
        If True, `fit` continues from the weights of the last `fit`, without pretraining.
    missing : {"error", "zero"}, default="error"
        Treatment of a lead whose samples are all NaN: raise an error, or replace it with zeros. A
        gap within a lead always raises an error. A pretrainer to be fitted needs the same value.
    device : str or torch.device, default="auto"
        Device of the network. ``"auto"`` is a GPU if there is one, else the CPU.
    verbose : bool or int, default=False
        Print a line per epoch of fine-tuning: number, loss and duration in s.
    checkpoint : str, path or Checkpoint, default=None
        Folder that keeps the state of training, so that an interrupted `fit` resumes; or a
        :class:`sklearn_bell.training.Checkpoint`. None keeps nothing.
    random_state : int, RandomState instance or None, default=None
        Seed of initial weights, order, views, held-out and pseudo-labelled records and the forest;
        also of pretrainers and samplers whose own ``random_state`` is None. A warm start keeps the
        first seed.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Classes; in a multi-label problem the column numbers of y.
    encoder_ : nn.Sequential
        Input normalisation and fine-tuned encoder of all leads.
    history_ : list of dict
        For each epoch: the mean ``loss``, the ``valid_loss`` of held-out records, whether the
        encoder was ``frozen``, and the ``duration`` in s.
    best_epoch_ : int
        Epoch whose weights are kept, counted from 1. 0 means that no epoch was better than the
        start.
    n_features_in_ : int
        Number of leads, or of samples if X is 2-D.
    n_leads_in_, n_samples_in_ : int
        Number of leads, and of samples of a record.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns if X is a dataframe.

    Raises
    ------
    InvalidECGError
        A ``ValueError``: if X is not valid, if fewer than two records or two classes are labelled,
        if y, `groups` or `class_weight` do not fit, or if `pretrainer` is not a pretrainer or was
        fitted on records of another shape.
    DivergenceError
        If the loss or a weight becomes NaN or infinite. The classifier keeps the weights of the
        last complete epoch, and is not fitted if there is none.

    See Also
    --------
    sklearn_bell.BELLPretrainer : Features for any classifier of scikit-learn.

    Notes
    -----
    A row of y that is -1 is unlabelled, as in :mod:`sklearn.semi_supervised`, if at least two other
    classes occur: y of -1 and 1 is an ordinary binary problem. In a multi-label problem a row of -1
    is unlabelled. Leave unlabelled rows out of the test folds of cross-validation, where they would
    count as errors.

    Unlabelled rows are pretrained on. In `fit` they then get pseudo-labels: the average of the
    probabilities of the initial network and of extra trees on the latents. The network is
    fine-tuned on the labelled records and on at most ten times as many pseudo-labelled ones, drawn
    at random, and so learns what the forest sees in the latents and a linear layer does not [2]_.
    `partial_fit` uses labels only.

    A randomly initialised linear layer would distort the pretrained encoder in its first steps
    [1]_, so it starts as a logistic regression. The defaults were chosen on PTB-XL folds 1-7
    (``docs/research_log.md``). From scratch, use a larger `encoder_lr` and more epochs.

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

    pretrainer: BaseEstimator | None = field(default=None, kw_only=False)
    augmentation: types.Augmentation | None = None
    C: float = 0.005
    n_trees: int = 300
    dropout: float = 0.0
    class_weight: dict | str | None = None
    n_frozen_epochs: int = 0
    max_epochs: int = 10
    batch_size: int = 32
    lr: float = 1e-4
    encoder_lr: float = 5e-4
    early_stopping: bool = False
    validation_fraction: float = 0.1
    n_iter_no_change: int = 10
    sampler: BaseEstimator | None = None
    warm_start: bool = False
    missing: types.Missing = "error"

    _parameter_constraints = {
        **BaseFineTuning._parameter_constraints,
        "pretrainer": [HasMethods(["fit", "transform"]), None],
        "augmentation": [callable, None],
        "C": [Interval(Real, 0, None, closed="neither")],
        "missing": [StrOptions({"error", "zero"})],
        "n_trees": [Interval(Integral, 0, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "class_weight": [StrOptions({"balanced"}), dict, list, None],
        "n_frozen_epochs": [Interval(Integral, 0, None, closed="left")],
        "encoder_lr": [Interval(Real, 0, None, closed="neither")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 0.5, closed="right")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "sampler": [HasMethods("fit_resample"), None],
        "warm_start": ["boolean"],
    }

    @property
    def encoder_(self) -> nn.Sequential:
        """Input normalisation and encoder: maps records to ``(batch, n_leads, n_features)``."""
        module = self._net.module_
        return nn.Sequential(module.normalize, module.encoder).train(module.training)

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Pretrain on all records, unless the pretrainer is frozen; fine-tune on labelled ones.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Records in mV. Memory maps are read batch by batch.
        y : array-like of shape (n_records,) or (n_records, n_classes)
            Classes, or an indicator of zeros and ones. -1, or a row of -1, is unlabelled (Notes).
        groups : array-like of shape (n_records,), default=None
            Patients. Early stopping holds out whole patients, and a pretrainer whose `fit` takes
            groups is given them.

        Returns
        -------
        self : object
            Fitted classifier.
        """
        is_first = not (self.warm_start and hasattr(self, "_net"))
        if is_first:
            self._reset()
        records = check_ecg(self, X, reset=is_first, min_records=2)
        labels = read_labels(y, len(records), None if is_first else self.classes_)
        self._check_labels(labels, is_first)
        if groups is not None:
            groups = check_groups(groups, len(records), _GROUPS_REMEDY)
        start = None if is_first else self._net.module_.state_dict()
        manager = make_checkpoint_manager(
            self, {"max_epochs"}, records=records, y=labels, groups=groups, start=start
        )
        seed = resolve_seed(self.random_state, manager) if is_first else self._net.seed
        labels, held_out, unlabelled = self._split(labels, len(records), groups, seed)
        with fit_context(self, 1 + is_first, records.source) as context:
            data, codes = Rows(records, labels.rows), labels.codes
            if is_first:
                class_weights(self.class_weight, codes, labels.classes)  # fail before the work
                encoder = self._pretrain(records.source, groups, seed, context)
            if self.sampler is not None:
                data, codes = self._resample(data, codes, labels.classes, groups, seed)
            if is_first:
                self._initialize(encoder, records, data, codes, labels.classes, seed)
            targets = weighted_targets(codes, self._weights)
            last_epoch = self._net.epoch_ + self.max_epochs
            state = newest_state(manager, last_epoch)
            is_finished = state is not None and state["net"]["epoch"] == last_epoch
            if len(unlabelled) and self.n_trees and self.sampler is None and not is_finished:
                data, targets = self._with_pseudo_labels(records, labels, unlabelled, targets, seed)
            self._fine_tune(
                records, data, targets, last_epoch, context, held_out, manager, state, is_first
            )
        return self

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=False)
    def partial_fit(self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None) -> Self:
        """Train for one more epoch on these records; the first call pretrains on them.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Records in mV with the leads and length of the first call.
        y : array-like of shape (n_records,) or (n_records, n_classes)
            As in `fit`.
        classes : array-like of shape (n_classes,), default=None
            All classes that will occur; required at the first call, except for an indicator.

        Returns
        -------
        self : object
            Classifier.
        """
        is_first = not hasattr(self, "_net")
        if isinstance(self.class_weight, str):
            raise InvalidECGError(
                "class_weight='balanced' needs all labels at once, which partial_fit does not "
                "have. Pass the weights as a dict, or for an indicator as a list of dicts."
            )
        records = check_ecg(self, X, reset=is_first, min_records=2)
        known = np.unique(classes) if classes is not None else None
        labels = read_labels(y, len(records), known if is_first else self.classes_)
        if is_first and known is None and labels.codes.ndim == 1:
            raise InvalidECGError(
                "Expected classes in the first call of partial_fit, got None. Pass all classes "
                "that will occur."
            )
        if not is_first and known is not None and not np.array_equal(known, self.classes_):
            raise InvalidECGError(
                f"Expected the classes of the first call, {self.classes_}, got {known}. Pass the "
                "same classes, or None."
            )
        self._check_labels(labels, is_first)
        data, codes = Rows(records, labels.rows), labels.codes
        with fit_context(self, 1 + is_first, records.source) as context:
            if is_first:
                seed = resolve_seed(self.random_state)
                class_weights(self.class_weight, codes, labels.classes)  # fail before the work
                encoder = self._pretrain(records.source, None, seed, context)
                self._initialize(encoder, records, data, codes, labels.classes, seed)
            targets = weighted_targets(codes, self._weights)
            last_epoch = self._net.epoch_ + 1
            self._fine_tune(records, data, targets, last_epoch, context, is_first=is_first)
        return self

    def decision_function(self, X: ArrayLike) -> np.ndarray:
        """Return the logits.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Records in mV with the leads and length seen in `fit`.

        Returns
        -------
        logits : ndarray of shape (n_records, n_classes), or (n_records,) for two classes
            For two classes and for multi-label problems, a positive logit predicts the class.
        """
        logits = self._logits(X)
        if not self._multilabel and len(self.classes_) == 2:
            return logits[:, 1] - logits[:, 0]
        return logits

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Return class probabilities.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Records in mV with the leads and length seen in `fit`.

        Returns
        -------
        probabilities : ndarray of shape (n_records, n_classes)
            Rows sum to one, except in a multi-label problem.
        """
        return self._probabilities(self._logits(X))

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return the most probable class, or in a multi-label problem all above one half.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Records in mV with the leads and length seen in `fit`.

        Returns
        -------
        y : ndarray of shape (n_records,) or (n_records, n_classes)
            Classes, or an indicator.
        """
        logits = self._logits(X)
        if self._multilabel:
            return (logits > 0).astype(np.int64)
        return self.classes_[logits.argmax(axis=1)]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.missing == "zero"
        tags.classifier_tags.multi_label = True
        # scikit-learn's test records have two samples: filtering leaves only their difference
        tags.classifier_tags.poor_score = True
        return tags
