"""Scores by number of labels, and beside human readers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike
from sklearn.metrics import precision_recall_curve, roc_curve
from sklearn.utils import check_random_state

from sklearn_bell.evaluation._bootstrap import rates
from sklearn_bell.evaluation._inputs import read_raters, read_scores
from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.plotting._base import COLOURS, Display, color_and_marker, make_axes

if TYPE_CHECKING:
    from sklearn_bell._utils import types


@dataclass(eq=False, repr=False)
class LabelEfficiencyDisplay(Display):
    """Score by number of labels, with intervals. Created by :meth:`from_scores`.

    Parameters
    ----------
    n_labels : ndarray of shape (n_sizes,)
        Number of records with a label, or their fraction if no value exceeds 1.
    scores : dict of str to ndarray of shape (n_sizes, n_repeats)
        Scores of each method, over draws of labels, folds or seeds.
    confidence : float between 0 and 1, default=0.95
        Confidence of the intervals of the mean: quantiles of its bootstrap over repeats.

    Attributes
    ----------
    figure_, axes_ : matplotlib Figure and Axes
        The curves.

    Raises
    ------
    InvalidECGError
        If `n_labels` or scores have other shapes, or if `confidence` is not between 0 and 1.

    Examples
    --------
    >>> from sklearn_bell.plotting import LabelEfficiencyDisplay
    >>> scores = {"BELL": [[0.71, 0.75], [0.91, 0.92]], "scratch": [[0.60, 0.66], [0.90, 0.91]]}
    >>> display = LabelEfficiencyDisplay.from_scores([0.01, 1], scores, metric="macro AUROC")
    >>> display.axes_.get_ylabel()
    'macro AUROC'
    """

    n_labels: np.ndarray
    scores: dict[str, np.ndarray]
    confidence: float = 0.95

    @classmethod
    def from_scores(
        cls,
        n_labels: ArrayLike,
        scores: Mapping[str, ArrayLike],
        *,
        confidence: float = 0.95,
        metric: str = "score",
        random_state: types.RandomState = 0,
        ax: Axes | None = None,
    ) -> Self:
        """Draw scores on `ax` (see :meth:`plot`), and return the display.

        Parameters
        ----------
        n_labels, scores, confidence
            As in the class.
        metric : str, default="score"
            Name of the scores.
        random_state : int, RandomState instance or None, default=0
            Seed of the bootstrap.
        """
        n_labels = np.asarray(n_labels, dtype=float)
        if n_labels.ndim != 1 or not (n_labels > 0).all() or not len(n_labels):
            expected = "positive numbers, or fractions, of records, of shape (n_sizes,)"
            raise InvalidECGError(f"Expected n_labels as {expected}, got {n_labels.tolist()}.")
        arrays = {str(name): np.asarray(values, dtype=float) for name, values in scores.items()}
        for name, values in arrays.items():
            if values.ndim != 2 or len(values) != len(n_labels):
                expected = f"scores of {name} of shape ({len(n_labels)}, n_repeats)"
                raise InvalidECGError(f"Expected {expected}, got {values.shape}.")
        display = cls(n_labels, arrays, confidence)
        return display.plot(ax=ax, metric=metric, random_state=random_state)

    def _draw(self, ax, metric="score", random_state=0):
        if not isinstance(self.confidence, Real) or not 0 < self.confidence < 1:
            raise InvalidECGError(f"Expected confidence between 0 and 1, got {self.confidence!r}.")
        figure, (ax,) = make_axes(1, ax, width=5, height=3.6)
        tails = (1 - self.confidence) / 2, (1 + self.confidence) / 2
        rng = check_random_state(random_state)
        for number, (name, scores) in enumerate(self.scores.items()):
            style, n_repeats = color_and_marker(number), scores.shape[1]
            ax.plot(self.n_labels, scores.mean(axis=1), label=name, **style)
            if n_repeats > 1:
                draws = rng.randint(n_repeats, size=(1000, n_repeats))
                ends = np.quantile(scores[:, draws].mean(axis=2), tails, axis=1)
                ax.fill_between(self.n_labels, *ends, color=style["color"], alpha=0.15, linewidth=0)
        xlabel, ticks = "records with a label", [f"{n:g}" for n in self.n_labels]
        if self.n_labels.max() <= 1:
            xlabel, ticks = "fraction of labels", [f"{100 * n:.3g} %" for n in self.n_labels]
        ax.set(xscale="log", xlabel=xlabel, ylabel=metric)
        ax.set_xticks(self.n_labels, ticks)
        ax.minorticks_off()
        ax.legend(frameon=False)
        return figure, ax


@dataclass(eq=False, repr=False)
class ReaderDisplay(Display):
    """ROC and precision-recall curves, with readers as points. See :meth:`from_predictions`.

    :func:`sklearn_bell.evaluation.compare_readers` gives the figures with intervals.

    Parameters
    ----------
    truth, scores : ndarray of shape (n_records, n_classes)
        Reference as zeros and ones, and scores of the model.
    readers : dict of str to ndarray of shape (n_records, n_classes)
        Answers of each reader, as zeros and ones.
    class_names : list of str of length n_classes
        Names of the classes.

    Attributes
    ----------
    figure_, axes_ : matplotlib Figure, and ndarray of Axes of shape (2, n_classes)
        ROC curves above, precision-recall curves below.

    Examples
    --------
    >>> from sklearn_bell.plotting import ReaderDisplay
    >>> truth, scores = [[1], [1], [0], [0], [0]], [[0.9], [0.4], [0.5], [0.3], [0.1]]
    >>> readers = {"student": [[1], [0], [1], [0], [0]]}
    >>> display = ReaderDisplay.from_predictions(truth, scores, readers, class_names=["AF"])
    >>> display.axes_.shape
    (2, 1)
    """

    truth: np.ndarray
    scores: np.ndarray
    readers: dict[str, np.ndarray]
    class_names: types.Names

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_score: ArrayLike,
        readers: Mapping[str, ArrayLike] | None = None,
        *,
        class_names: types.Names | None = None,
        ax: Any = None,
    ) -> Self:
        """Draw curves of a model and points of readers on `ax` (see :meth:`plot`).

        Parameters
        ----------
        y_true, y_score : array-like of shape (n_records, n_classes)
            Reference as zeros and ones, and probabilities, or other scores that rise with them.
        readers : dict of str to array-like of shape (n_records, n_classes), default=None
            As in the class. None draws no reader.
        class_names : array-like of shape (n_classes,), default=None
            Names of the classes. None takes the columns of a DataFrame, otherwise numbers.

        Raises
        ------
        InvalidECGError
            If shapes or classes differ, or if no record or all records have a class.
        """
        readers = readers or {}
        raters = {"y_true": y_true} | {f"readers[{name!r}]": readers[name] for name in readers}
        names, (truth, *answers) = read_raters(raters, class_names)
        scores = read_scores(y_score, names, y_true)
        for name, n_positive in zip(names, truth.sum(axis=0), strict=True):
            if not 0 < n_positive < len(truth):
                problem = f"{n_positive:.0f} of {len(truth)} records have the class {name}"
                raise InvalidECGError(f"{problem}. Leave it out.")
        return cls(truth, scores, dict(zip(readers, answers, strict=True)), names).plot(ax=ax)

    def _draw(self, ax):
        n_classes = len(self.class_names)
        figure, axes = make_axes(2 * n_classes, ax, n_columns=n_classes, width=2.8)
        axes = axes.reshape(2, n_classes)
        for k, (name, (roc, pr)) in enumerate(zip(self.class_names, axes.T, strict=True)):
            truth, scores = self.truth[:, k], self.scores[:, k]
            false_rate, true_rate, _ = roc_curve(truth, scores, drop_intermediate=False)
            roc.plot(100 * false_rate, 100 * true_rate, color=COLOURS[0], label="model")
            precision, recall, _ = precision_recall_curve(truth, scores)
            pr.step(100 * recall, 100 * precision, where="pre", color=COLOURS[0], label="model")
            roc.set(title=name, xlabel="100 % - specificity", ylabel="sensitivity, %")
            pr.set(xlabel="sensitivity, %", ylabel="precision, %")
        n_true = self.truth.sum(axis=0)
        for number, (reader, answers) in enumerate(self.readers.items()):
            style = color_and_marker(number, skipped=1) | {"linestyle": "none", "label": reader}
            n_positive, n_both = answers.sum(axis=0), (answers * self.truth).sum(axis=0)
            points = rates(n_both, n_true, n_positive, len(answers))
            x, sensitivity = 100 * (1 - points["specificity"]), 100 * points["sensitivity"]
            for k, (roc, pr) in enumerate(axes.T):
                roc.plot(x[k], sensitivity[k], **style)
                if n_positive[k]:  # otherwise the precision is undefined
                    pr.plot(sensitivity[k], 100 * points["precision"][k], **style)
        for ax in axes.flat:
            ax.set(xlim=(-3, 103), ylim=(-3, 103), aspect="equal")
        axes[0, 0].legend(frameon=False, fontsize="small", loc="lower right")
        return figure, axes
