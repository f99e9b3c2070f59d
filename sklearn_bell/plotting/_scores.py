"""How good predictions are, by the number of labels, and beside those of doctors."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import TYPE_CHECKING, Self

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_curve
from sklearn.utils import check_random_state

from sklearn_bell.evaluation._inputs import read_indicator, read_names, read_scores
from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.plotting._base import COLOURS, MARKERS, axes_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

    from sklearn_bell._utils.types import Names, RandomState


class LabelEfficiencyDisplay:
    """How a score grows with the number of labels, with intervals.

    Use :meth:`from_scores` to make one.

    Parameters
    ----------
    n_labels : ndarray of shape (n_sizes,)
        Number, or fraction, of records with a label.
    scores : dict of str to ndarray of shape (n_sizes, n_repeats)
        Scores of each method.
    confidence : float between 0 and 1, default=0.95
        Of the intervals.

    Attributes
    ----------
    figure_ : matplotlib Figure
        The figure.
    axes_ : matplotlib Axes
        The curves.

    Examples
    --------
    >>> from sklearn_bell.plotting import LabelEfficiencyDisplay
    >>> scores = {
    ...     "BELL": [[0.71, 0.75, 0.73], [0.84, 0.86, 0.85], [0.91, 0.91, 0.92]],
    ...     "from scratch": [[0.60, 0.66, 0.61], [0.77, 0.80, 0.79], [0.90, 0.90, 0.91]],
    ... }
    >>> display = LabelEfficiencyDisplay.from_scores([0.01, 0.1, 1], scores, metric="macro AUROC")
    >>> display.axes_.get_ylabel()
    'macro AUROC'
    """

    def __init__(
        self, n_labels: np.ndarray, scores: dict[str, np.ndarray], confidence: float = 0.95
    ):
        self.n_labels = n_labels
        self.scores = scores
        self.confidence = confidence

    @classmethod
    def from_scores(
        cls,
        n_labels: ArrayLike,
        scores: Mapping[str, ArrayLike],
        *,
        confidence: float = 0.95,
        metric: str = "score",
        random_state: RandomState = 0,
        ax: Axes | None = None,
    ) -> Self:
        """Draw scores.

        Parameters
        ----------
        n_labels : array-like of shape (n_sizes,)
            How many records have a label; up to 1, it is a fraction of them.
        scores : dict of str to array-like of shape (n_sizes, n_repeats)
            Scores of each method: over draws of labels, folds or seeds.
        confidence : float between 0 and 1, default=0.95
            Of the intervals of the mean, which are quantiles of its bootstrap over repeats.
        metric : str, default="score"
            What the scores are.
        random_state : int, RandomState instance or None, default=0
            Of the bootstrap.
        ax : matplotlib Axes, default=None
            Where to draw. None makes a figure.

        Returns
        -------
        display : LabelEfficiencyDisplay

        Raises
        ------
        InvalidECGError
            If `n_labels` or scores have other shapes, or if `confidence` is not between 0 and 1.
        """
        n_labels = np.asarray(n_labels, dtype=float)
        if n_labels.ndim != 1 or not (n_labels > 0).all() or not len(n_labels):
            raise InvalidECGError(
                "n_labels must be numbers, or fractions, of records above 0, of shape (n_sizes,), "
                f"but are {n_labels.tolist()}."
            )
        arrays = {str(name): np.asarray(one, dtype=float) for name, one in scores.items()}
        for name, one in arrays.items():
            if one.ndim != 2 or len(one) != len(n_labels):
                raise InvalidECGError(
                    f"The scores of {name} must be of shape ({len(n_labels)}, n_repeats), but have "
                    f"shape {one.shape}."
                )
        display = cls(n_labels, arrays, confidence)
        return display.plot(metric=metric, random_state=random_state, ax=ax)

    def plot(
        self, *, metric: str = "score", random_state: RandomState = 0, ax: Axes | None = None
    ) -> Self:
        """Draw the curves.

        Parameters
        ----------
        metric, random_state, ax
            As of :meth:`from_scores`.

        Returns
        -------
        self : LabelEfficiencyDisplay

        Raises
        ------
        InvalidECGError
            If `confidence` is not between 0 and 1.
        """
        if not isinstance(self.confidence, Real) or not 0 < self.confidence < 1:
            raise InvalidECGError(
                "confidence must be a number between 0 and 1, such as 0.95, but is "
                f"{self.confidence!r}."
            )
        figure, (ax,) = axes_for(1, ax, width=5, height=3.6)
        tails = (1 - self.confidence) / 2, (1 + self.confidence) / 2
        rng = check_random_state(random_state)
        for number, (name, scores) in enumerate(self.scores.items()):
            mean, n_repeats = scores.mean(axis=1), scores.shape[1]
            colour = COLOURS[number % len(COLOURS)]
            ax.plot(
                self.n_labels, mean, color=colour, marker=MARKERS[number % len(MARKERS)], label=name
            )
            if n_repeats > 1:
                draws = rng.randint(n_repeats, size=(1000, n_repeats))
                low, high = np.quantile(scores[:, draws].mean(axis=2), tails, axis=1)
                ax.fill_between(self.n_labels, low, high, color=colour, alpha=0.15, linewidth=0)
        fractions = self.n_labels.max() <= 1
        ticks = [f"{n:.3g} %" for n in 100 * self.n_labels] if fractions else None
        ax.set(xscale="log", ylabel=metric)
        ax.set_xlabel("records with a label" if not fractions else "labels that are used")
        ax.set_xticks(self.n_labels, ticks or [f"{n:g}" for n in self.n_labels])
        ax.minorticks_off()
        ax.legend(frameon=False)
        self.figure_, self.axes_ = figure, ax
        return self


class ReaderDisplay:
    """ROC and precision-recall curves of a model, with readers as points.

    Use :meth:`from_predictions` to make one.

    Parameters
    ----------
    truth, scores : ndarray of shape (n_records, n_classes)
        The reference as zeros and ones, and the model's scores.
    readers : dict of str to ndarray of shape (n_records, n_classes)
        What each reader says, as zeros and ones.
    class_names : list of str of length n_classes
        Names of the classes.

    Attributes
    ----------
    figure_ : matplotlib Figure
        The figure.
    axes_ : ndarray of matplotlib Axes of shape (2, n_classes)
        ROC curves above, precision-recall curves below.

    See Also
    --------
    sklearn_bell.evaluation.compare_readers : The figures, with intervals.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_bell.plotting import ReaderDisplay
    >>> truth = np.array([[1], [1], [1], [0], [0], [0], [0], [0]])
    >>> scores = np.array([[0.9], [0.8], [0.4], [0.5], [0.3], [0.2], [0.1], [0.1]])
    >>> student = np.array([[1], [0], [0], [1], [0], [0], [0], [0]])
    >>> display = ReaderDisplay.from_predictions(
    ...     truth, scores, {"student": student}, class_names=["AF"]
    ... )
    >>> display.axes_.shape
    (2, 1)
    """

    def __init__(
        self,
        truth: np.ndarray,
        scores: np.ndarray,
        readers: dict[str, np.ndarray],
        class_names: Names,
    ):
        self.truth = truth
        self.scores = scores
        self.readers = readers
        self.class_names = class_names

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_score: ArrayLike,
        readers: Mapping[str, ArrayLike] | None = None,
        *,
        class_names: Names | None = None,
        ax: ArrayLike | None = None,
    ) -> Self:
        """Draw the curves of a model, and the points of readers.

        Parameters
        ----------
        y_true : array-like of shape (n_records, n_classes)
            The reference: one where a record has the class, zero where not.
        y_score : array-like of shape (n_records, n_classes)
            Probabilities, or other scores that are greater where a class is likelier.
        readers : dict of str to array-like of shape (n_records, n_classes), default=None
            What readers say, by name.
        class_names : array-like of shape (n_classes,), default=None
            Names of the classes. None takes the columns of `y_true` where it is a DataFrame, and
            otherwise numbers.
        ax : array-like of matplotlib Axes of shape (2, n_classes), default=None
            Where to draw. None makes a figure.

        Returns
        -------
        display : ReaderDisplay

        Raises
        ------
        InvalidECGError
            If shapes or classes differ, or if a class has no record, or all of them.
        """
        given = {"y_true": y_true}
        given |= {f"readers[{name!r}]": said for name, said in (readers or {}).items()}
        for what, labels in given.items():
            if np.ndim(labels) != 2:
                raise InvalidECGError(
                    f"{what} must be an indicator (n_records, n_classes), of one column where "
                    f"there is one class, but has shape {np.shape(labels)}."
                )
        names = read_names(y_true, class_names)
        truth, *said = [
            read_indicator(labels, what, names, y_true) for what, labels in given.items()
        ]
        scores = read_scores(y_score, names, y_true)
        for name, n_positive in zip(names, truth.sum(axis=0), strict=True):
            if not 0 < n_positive < len(truth):
                raise InvalidECGError(
                    f"{n_positive:.0f} of {len(truth)} records have the class {name}; a curve "
                    "needs some with and some without."
                )
        by_name = dict(zip(readers or {}, said, strict=True))
        return cls(truth, scores, by_name, names).plot(ax=ax)

    def plot(self, *, ax: ArrayLike | None = None) -> Self:
        """Draw the curves.

        Parameters
        ----------
        ax : array-like of matplotlib Axes of shape (2, n_classes), default=None
            Where to draw. None makes a figure.

        Returns
        -------
        self : ReaderDisplay
        """
        n_classes = len(self.class_names)
        figure, axes = axes_for(2 * n_classes, ax, n_columns=n_classes, width=2.8)
        axes = np.array(list(axes), dtype=object).reshape(2, n_classes)
        for k, name in enumerate(self.class_names):
            truth, scores = self.truth[:, k], self.scores[:, k]
            roc, pr = axes[:, k]
            wrong, right, _ = roc_curve(truth, scores, drop_intermediate=False)
            roc.plot(100 * wrong, 100 * right, color=COLOURS[0], label="model")
            precision, recall, _ = precision_recall_curve(truth, scores)
            pr.step(100 * recall, 100 * precision, where="pre", color=COLOURS[0], label="model")
            for number, (reader, said) in enumerate(self.readers.items()):
                style = {"color": COLOURS[(number + 1) % len(COLOURS)], "linestyle": "none",
                         "marker": MARKERS[number % len(MARKERS)], "label": reader}  # fmt: skip
                found = said[:, k]
                hits = found @ truth
                sensitivity = hits / truth.sum()
                specificity = ((1 - found) @ (1 - truth)) / (1 - truth).sum()
                roc.plot(100 * (1 - specificity), 100 * sensitivity, **style)
                if found.any():  # or else there is no precision
                    pr.plot(100 * sensitivity, 100 * hits / found.sum(), **style)
            roc.set(title=name, xlabel="100 % - specificity", ylabel="sensitivity, %")
            pr.set(xlabel="sensitivity, %", ylabel="precision, %")
            for one in (roc, pr):
                one.set(xlim=(-3, 103), ylim=(-3, 103), aspect="equal")
        axes[0, 0].legend(frameon=False, fontsize="small", loc="lower right")
        self.figure_, self.axes_ = figure, axes
        return self
