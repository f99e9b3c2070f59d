"""What the displays share: colours that all can tell apart, and axes to draw on."""

from __future__ import annotations

import math

import matplotlib.pyplot as plt
import numpy as np

from sklearn_bell.exceptions import InvalidECGError

# Okabe and Ito's, which those who are colour-blind tell apart; shapes tell them apart in grey
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
LINE_STYLES = ("-", "--", ":", "-.")  # for the next round of colours
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")


def axes_for(n, ax, *, n_columns=4, width=3.2, height=2.8):
    """Return the figure and `n` axes: those given, or new ones of this size in inches."""
    if ax is None:
        n_columns = min(n, n_columns)
        n_rows = math.ceil(n / n_columns)
        figure, grid = plt.subplots(
            n_rows,
            n_columns,
            figsize=(width * n_columns, height * n_rows),
            layout="constrained",
            squeeze=False,
        )
        for unused in grid.flat[n:]:
            unused.set_visible(False)
        return figure, grid.flat[:n]
    axes = np.array(ax, dtype=object).ravel()
    if len(axes) != n:
        raise InvalidECGError(f"ax must be {n} axes, but is {len(axes)}.")
    return axes[0].figure, axes
