"""Course of pretraining."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.plotting._base import COLOURS, Display, color_and_marker, make_axes

_LATENT = {
    "latent_deviation": "deviation of latents / their size",
    "effective_rank": "effective rank of latents",
}
_NO_TERMS = ("epoch", "duration", *_LATENT)


@dataclass(eq=False, repr=False)
class PretrainingDisplay(Display):
    """Loss terms and latent statistics by epoch. Created by :meth:`from_estimator`.

    The loss of BELL may rise while its target improves, so a loss that does not fall is no sign of
    failure. Latents that become equal, or differ in one direction only, are a sign of collapse.

    Parameters
    ----------
    history : list of dict
        Attribute ``history_`` of a pretrainer, with a dict for each epoch.
    decay : float, default=None
        Decay of the target network, if there is one.

    Attributes
    ----------
    figure_, axes_ : matplotlib Figure, and ndarray of Axes of shape (3,)
        Loss terms, deviation of the latents between records, and effective rank.

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

    history: list[dict]
    decay: float | None = None

    @classmethod
    def from_estimator(cls, estimator: BaseEstimator, *, ax: Sequence[Axes] | None = None) -> Self:
        """Draw the history of a pretrainer on `ax` (see :meth:`plot`), and return the display.

        Parameters
        ----------
        estimator : object
            Fitted pretrainer of :mod:`sklearn_bell.pretraining`.

        Raises
        ------
        InvalidECGError
            If the estimator is no pretrainer, or was not trained for an epoch.
        """
        check_is_fitted(estimator)
        history = getattr(estimator, "history_", None)
        if not history or not set(_LATENT) <= history[0].keys():
            problem = f"{type(estimator).__name__} has no history of pretraining"
            raise InvalidECGError(f"{problem}. Fit a pretrainer for one epoch or more.")
        return cls(history, getattr(estimator, "decay", None)).plot(ax=ax)

    def _draw(self, ax):
        figure, axes = make_axes(1 + len(_LATENT), ax)
        names = [name for name in self.history[0] if not name.startswith("score_")]
        curves = {name: [epoch[name] for epoch in self.history] for name in names}
        epochs, terms = curves["epoch"], [name for name in names if name not in _NO_TERMS]
        for number, term in enumerate(terms):
            axes[0].plot(epochs, curves[term], "-" if term == "loss" else "--", label=term,
                         markevery=max(1, len(epochs) // 8), markersize=4,
                         **color_and_marker(number))  # fmt: skip
        axes[0].set_ylabel("loss")
        axes[0].legend(frameon=False)
        if self.decay is not None:
            axes[0].set_title(f"decay of the target {self.decay:g}", fontsize="medium")
        for ax, (name, label) in zip(axes[1:], _LATENT.items(), strict=True):
            ax.plot(epochs, curves[name], color=COLOURS[0])
            ax.set(ylabel=label, ylim=(0, None))
        for ax in axes:
            ax.set_xlabel("epoch")
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        return figure, axes
