"""Callback that scores a linear classifier on the latents during pretraining."""

from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv, cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import _num_samples

from sklearn_bell.exceptions import InvalidECGError


@dataclass(eq=False, repr=False)
class LinearProbe:
    """Score a linear classifier on the latents every few epochs of pretraining.

    A few labelled records, which pretraining does not use, measure the quality of the latents
    better than the loss does, and can stop the training: ``pretrainer.set_callbacks(probe)``.

    Parameters
    ----------
    X : array-like of shape (n_records, n_leads, n_samples)
        Labelled records with the leads and length of the training records.
    y : array-like of shape (n_records,) or (n_records, n_classes)
        Labels.
    groups : array-like of shape (n_records,), default=None
        Patients, for a `cv` that splits by group, such as ``GroupKFold()``.
    classifier : estimator, default=None
        None is logistic regression with ``C=0.005`` on standardised latents.
    cv : int or cross-validation generator, default=3
        Splits, as in scikit-learn.
    scoring : str or callable, default=None
        Score, as in scikit-learn; None is the classifier's own.
    every : int, default=5
        Number of epochs between scores.
    patience : int, default=None
        Number of scores without improvement before training stops; the weights are those of the
        last epoch. None never stops it.
    name : str, default="linear_probe"
        The scores are ``score_<name>`` in ``history_``, and so in checkpoints.

    Attributes
    ----------
    scores_ : list of dict
        ``epoch`` and mean ``score`` over the splits, for the last fit in this process.

    Raises
    ------
    ValueError
        If a parameter is not valid; or in `fit`, if the estimator has no ``transform``.

    Examples
    --------
    >>> from sklearn_bell import BELLPretrainer, datasets, training
    >>> ecg = datasets.make_ecg(40, classes=["normal", "lbbb"], leads=["II"], random_state=0)
    >>> probe = training.LinearProbe(ecg.data[:20], ecg.target[:20], every=1)
    >>> bell = BELLPretrainer(max_epochs=2, random_state=0).set_callbacks(probe).fit(ecg.data)
    >>> [entry["epoch"] for entry in probe.scores_]
    [1, 2]
    """

    X: ArrayLike
    y: ArrayLike
    _: KW_ONLY
    groups: ArrayLike | None = None
    classifier: BaseEstimator | None = None
    cv: Any = 3
    scoring: Any = None
    every: int = 5
    patience: int | None = None
    name: str = "linear_probe"

    def __post_init__(self):
        check_cv(self.cv)
        model = LogisticRegression() if self.classifier is None else self.classifier
        check_scoring(model, scoring=self.scoring)
        if self.every < 1 or (self.patience is not None and self.patience < 1):
            raise ValueError(f"Expected every, patience >= 1, got {self.every}, {self.patience}.")
        lengths = [_num_samples(v) for v in (self.X, self.y, self.groups) if v is not None]
        if len(set(lengths)) > 1:
            raise InvalidECGError(f"Expected X, y and groups of the same length, got {lengths}.")
        self.scores_: list[dict] = []

    def setup(self, estimator: BaseEstimator, context: Any) -> None:
        """Forget the scores of an earlier fit."""
        if not hasattr(estimator, "transform"):
            raise InvalidECGError(f"Expected a pretrainer, got {estimator}. Probe its pretrainer.")
        self.scores_ = []

    def teardown(self, estimator: BaseEstimator, context: Any, **kwargs: Any) -> None:
        """Do nothing."""

    on_fit_task_begin = teardown

    def on_fit_task_end(self, estimator: Any, context: Any, *, metadata: Any = None) -> bool:
        """Score the latents if due; return True to stop the training."""
        if context.task_name != "epoch":
            return False
        key, entry, history = f"score_{self.name}", metadata, estimator.history_
        if entry["epoch"] % self.every == 0 and key not in entry:  # a checkpoint may hold it
            entry[key] = self._score(estimator)
        self.scores_ = [{"epoch": e["epoch"], "score": e[key]} for e in history if key in e]
        scores = [score["score"] for score in self.scores_]
        patience = np.inf if self.patience is None else self.patience
        return key in entry and len(scores) - 1 - int(np.argmax(scores)) >= patience

    def _score(self, estimator):
        latents, y, model = estimator.transform(self.X), np.asarray(self.y), self.classifier
        if model is None:
            linear = LogisticRegression(C=0.005, max_iter=1000)
            linear = linear if y.ndim == 1 else OneVsRestClassifier(linear)
            model = make_pipeline(StandardScaler(), linear)
        options = {"groups": self.groups, "cv": self.cv, "scoring": self.scoring}
        return float(cross_val_score(model, latents, y, error_score="raise", **options).mean())
