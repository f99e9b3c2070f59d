"""Callbacks of scikit-learn for pretraining; its own, such as ProgressBar, work as well."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import check_scoring
from sklearn.model_selection import cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils._param_validation import HasMethods, Interval, validate_params
from sklearn.utils.validation import _num_samples

from sklearn_bell.exceptions import InvalidECGError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from sklearn.base import BaseEstimator


class LinearProbe:
    """Score a linear classifier on the features, again and again while they are learnt.

    The loss of pretraining tells little of how good features are. A few records with labels, which
    pretraining does not look at, tell; and training can end when they tell nothing new.

    Parameters
    ----------
    X : array-like of shape (n_records, n_leads, n_samples)
        Records with labels, of the leads and length that are trained on.
    y : array-like of shape (n_records,) or (n_records, n_classes)
        Their labels.
    groups : array-like of shape (n_records,), default=None
        Patients, for a `cv` that parts them, such as ``GroupKFold()``.
    classifier : estimator, default=None
        What is fitted to the features. None is a logistic regression with ``C=0.005``, on scaled
        features.
    cv : int or cross-validation generator, default=3
        How the records are parted, as in scikit-learn.
    scoring : str or callable, default=None
        As in scikit-learn; None takes the classifier's own score.
    every : int, default=5
        Epochs from one score to the next.
    patience : int, default=None
        After how many scores that are no better than the best before training ends. None never ends
        it. What is kept is the last epoch, not the best.
    name : str, default="linear_probe"
        A score stands in the estimator's ``history_`` as ``score_<name>``, where a checkpoint keeps
        it too. Several probes of one estimator need different names.

    Attributes
    ----------
    scores_ : list of dict
        The ``epoch``, and the mean ``score`` over the parts, of the last fit of the estimator that
        the callback was given to. In other processes, of a search, copies of it are filled.

    Raises
    ------
    InvalidECGError
        If the records and their labels differ in number; and by `fit`, if the estimator does not
        transform.

    Examples
    --------
    >>> from sklearn_bell import BELLPretrainer
    >>> from sklearn_bell.training import LinearProbe
    >>> from sklearn_bell.datasets import make_ecg
    >>> ecg = make_ecg(40, classes=["normal", "lbbb"], leads=["II", "V1"], random_state=0)
    >>> probe = LinearProbe(ecg.data[:20], ecg.target[:20], every=1)
    >>> bell = BELLPretrainer(max_epochs=2, random_state=0).set_callbacks(probe).fit(ecg.data)
    >>> [one["epoch"] for one in probe.scores_]
    [1, 2]
    """

    @validate_params(
        {
            "X": "no_validation",
            "y": ["array-like"],
            "groups": ["array-like", None],
            "classifier": [HasMethods(["fit", "predict"]), None],
            "cv": ["cv_object"],
            "scoring": [str, callable, None],
            "every": [Interval(Integral, 1, None, closed="left")],
            "patience": [Interval(Integral, 1, None, closed="left"), None],
            "name": [str],
        },
        prefer_skip_nested_validation=True,
    )
    def __init__(
        self,
        X: ArrayLike,
        y: ArrayLike,
        *,
        groups: ArrayLike | None = None,
        classifier: BaseEstimator | None = None,
        cv: Any = 3,
        scoring: Any = None,
        every: int = 5,
        patience: int | None = None,
        name: str = "linear_probe",
    ):
        check_scoring(LogisticRegression() if classifier is None else classifier, scoring=scoring)
        for what, others in (("y", y), ("groups", groups)):
            if others is not None and _num_samples(others) != _num_samples(X):
                raise InvalidECGError(
                    f"{what} has {_num_samples(others)} entries, but X has {_num_samples(X)} "
                    "records."
                )
        self.X, self.y, self.groups = X, y, groups
        self.classifier, self.cv, self.scoring = classifier, cv, scoring
        self.every, self.patience, self.name = every, patience, name
        self.scores_: list[dict] = []

    def setup(self, estimator: BaseEstimator, context: Any) -> None:
        """Begin anew."""
        if not hasattr(estimator, "transform"):
            raise InvalidECGError(
                f"LinearProbe scores what a transformer makes of records, but "
                f"{type(estimator).__name__} is none. Give it to its pretrainer."
            )
        self.scores_ = []

    def teardown(self, estimator: BaseEstimator, context: Any) -> None:
        """Nothing is to be put away."""

    def on_fit_task_begin(self, estimator: BaseEstimator, context: Any, **kwargs: Any) -> None:
        """Nothing is known yet."""

    def on_fit_task_end(
        self, estimator: Any, context: Any, *, metadata: Any = None, **kwargs: Any
    ) -> bool | None:
        """Score after some epochs, and return whether to end."""
        if context.task_name != "epoch" or metadata["epoch"] % self.every:
            return False
        key = f"score_{self.name}"
        if key not in metadata:  # training that goes on has it from before
            metadata[key] = self._score(estimator)
        self.scores_ = [
            {"epoch": one["epoch"], "score": one[key]} for one in estimator.history_ if key in one
        ]
        best = int(np.argmax([one["score"] for one in self.scores_]))
        return self.patience is not None and len(self.scores_) - 1 - best >= self.patience

    def _score(self, estimator):
        """Return the mean score of a classifier on what the estimator makes of the records."""
        classifier, y = self.classifier, np.asarray(self.y)
        if classifier is None:
            linear = LogisticRegression(C=0.005, max_iter=1000)
            linear = linear if y.ndim == 1 else OneVsRestClassifier(linear)
            classifier = make_pipeline(StandardScaler(), linear)
        scores = cross_val_score(
            clone(classifier), estimator.transform(self.X), y, groups=self.groups, cv=self.cv,
            scoring=self.scoring, error_score="raise",
        )  # fmt: skip
        return float(np.mean(scores))
