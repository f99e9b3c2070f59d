"""How pretraining went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from matplotlib.ticker import MaxNLocator
from sklearn.utils.validation import check_is_fitted

from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.plotting._base import COLOURS, MARKERS, axes_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from sklearn.base import BaseEstimator

_LATENT = {
    "latent_deviation": "deviation of latents / their size",
    "effective_rank": "effective rank of latents",
}
_OTHERS = ("epoch", "duration", *_LATENT)


class PretrainingDisplay:
    """How the loss and its terms fell, and whether the latents kept their variety.

    Use :meth:`from_estimator` to make one.

    Parameters
    ----------
    history : list of dict
        For each epoch, the attribute `history_` of a pretrainer.
    momentum : float, default=None
        How much of the target network stays at each step, where there is one.

    Attributes
    ----------
    figure_ : matplotlib Figure
        The figure.
    axes_ : ndarray of matplotlib Axes of shape (3,)
        Loss terms, deviation of the latents between records, and their effective rank.

    Notes
    -----
    A loss that does not fall does not tell that nothing is learnt: that of BELL rises while its
    target gets better. Latents that all become the same, or differ in one way only, tell that it
    has collapsed.

    Examples
    --------
    >>> from sklearn_bell import BELLPretrainer
    >>> from sklearn_bell.datasets import make_ecg
    >>> from sklearn_bell.plotting import PretrainingDisplay
    >>> ecg = make_ecg(16, leads=["II", "V1"], duration=2, sampling_rate=100, random_state=0)
    >>> bell = BELLPretrainer(max_epochs=3, head_width=16, random_state=0).fit(ecg.data)
    >>> display = PretrainingDisplay.from_estimator(bell)
    >>> [ax.get_ylabel() for ax in display.axes_]
    ['loss', 'deviation of latents / their size', 'effective rank of latents']
    """

    def __init__(self, history: list[dict], momentum: float | None = None):
        self.history = history
        self.momentum = momentum

    @classmethod
    def from_estimator(cls, estimator: BaseEstimator, *, ax: Sequence[Axes] | None = None) -> Self:
        """Draw the history of a pretrainer.

        Parameters
        ----------
        estimator : object
            A fitted pretrainer of :mod:`sklearn_bell.pretraining`.
        ax : sequence of matplotlib Axes of length 3, default=None
            Where to draw. None makes a figure.

        Returns
        -------
        display : PretrainingDisplay

        Raises
        ------
        InvalidECGError
            If the estimator has not been trained for an epoch.
        """
        check_is_fitted(estimator)
        history = getattr(estimator, "history_", None)
        if not history or not set(_LATENT) <= history[0].keys():
            raise InvalidECGError(
                f"{type(estimator).__name__} has no history of pretraining: fit a pretrainer for "
                "one epoch or more."
            )
        return cls(history, getattr(estimator, "decay", None)).plot(ax=ax)

    def plot(self, *, ax: Sequence[Axes] | None = None) -> Self:
        """Draw the history.

        Parameters
        ----------
        ax : sequence of matplotlib Axes of length 3, default=None
            Where to draw. None makes a figure.

        Returns
        -------
        self : PretrainingDisplay
        """
        figure, axes = axes_for(1 + len(_LATENT), ax)
        epochs = [one["epoch"] for one in self.history]
        terms = [
            name
            for name in self.history[0]
            if name not in _OTHERS and not name.startswith("score_")
        ]
        for number, name in enumerate(terms):
            axes[0].plot(
                epochs,
                [one[name] for one in self.history],
                color=COLOURS[number % len(COLOURS)],
                linestyle="-" if name == "loss" else "--",
                marker=MARKERS[number % len(MARKERS)],
                markevery=max(1, len(epochs) // 8),
                markersize=4,
                label=name,
            )
        axes[0].set_ylabel("loss")
        axes[0].legend(frameon=False)
        if self.momentum is not None:
            axes[0].set_title(f"momentum of the target {self.momentum:g}", fontsize="medium")
        for one, (name, label) in zip(axes[1:], _LATENT.items(), strict=True):
            one.plot(epochs, [epoch[name] for epoch in self.history], color=COLOURS[0])
            one.set_ylabel(label)
            one.set_ylim(bottom=0)
        for one in axes:
            one.set_xlabel("epoch")
            one.xaxis.set_major_locator(MaxNLocator(integer=True))
        self.figure_, self.axes_ = figure, axes
        return self
