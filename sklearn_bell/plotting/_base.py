"""Axes, colours, markers and checks of all displays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from sklearn_bell.exceptions import InvalidECGError

# palette of Okabe and Ito for colour-blind readers; line styles and markers differ in grey
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
LINE_STYLES = ("-", "--", ":", "-.")  # one for each round of colours
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")


class Display:
    """Base of displays; ``_draw(ax, **options)`` draws, and returns the figure and the axes."""

    figure_: Any
    axes_: Any

    def plot(self, *, ax: Axes | Sequence[Axes] | np.ndarray | None = None, **options: Any) -> Self:
        """Draw the display, and return it.

        Parameters
        ----------
        ax : matplotlib Axes, or array-like of them as in ``axes_``, default=None
            Axes to draw on. None makes a figure.
        **options : dict
            As in the class method that makes the display: `layout` and `rhythm_leads` of
            :class:`ECGDisplay`, `metric` and `random_state` of :class:`LabelEfficiencyDisplay`.
        """
        self.figure_, self.axes_ = self._draw(ax, **options)  # type: ignore[attr-defined]
        return self


def make_axes(n, ax, *, n_columns=4, width=3.2, height=2.8):
    """Return the figure and `n` axes: those of `ax`, or new ones of this size in inches."""
    if ax is None:
        n_columns = min(n, n_columns)
        n_rows = math.ceil(n / n_columns)
        figure, grid = plt.subplots(n_rows, n_columns, layout="constrained", squeeze=False,
                                    figsize=(width * n_columns, height * n_rows))  # fmt: skip
        for unused in grid.flat[n:]:
            unused.set_visible(False)
        return figure, grid.flat[:n]
    axes = np.array(ax, dtype=object).ravel()
    if len(axes) != n:
        raise InvalidECGError(f"Expected {n} axes, got {len(axes)}. Give {n} axes, or ax=None.")
    return axes[0].figure, axes


def color_and_marker(number, skipped=0):
    """Return the style of a series, after the `skipped` first colours."""
    color = COLOURS[(number + skipped) % len(COLOURS)]
    return {"color": color, "marker": MARKERS[number % len(MARKERS)]}


def check_shape(name, values, *shape):
    """Refuse values of another shape, unless they are None."""
    if values is not None and np.shape(values) != shape:
        raise InvalidECGError(f"Expected {name} of shape {shape}, got {np.shape(values)}.")
