"""A legend that stays on the paper, however many names it has, and however long they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

SIZE = 7.0  # of letters, in points
_LINE = 1.7 * SIZE  # points from one row to the next
_SAMPLE, _BETWEEN = 2.8 * SIZE, 2.0 * SIZE  # points before a name, and between columns
_LONGEST = 300  # letters that are looked at


class Legend(NamedTuple):
    """Names as they fit, in how many columns they stand, and between which heights in mm."""

    names: list[str]
    n_columns: int
    bottom: float
    top: float


def arrange(labels: Sequence, scale: str, left: float, width: float, point: float) -> Legend:
    """Return where names have their place: beside the scale, or in rows above it.

    Parameters
    ----------
    labels : sequence
        The names.
    scale : str
        What is written `left` mm from the left, on the lowest line of the paper.
    left, width : float
        In mm, as is the width of the paper.
    point : float
        How many mm a point takes.
    """
    if not len(labels):
        return Legend([], 1, 0, 0)
    room = width / point - 2 * _LINE  # and margins
    names = [_shortened(" ".join(str(label).split()), room - _SAMPLE) for label in labels]
    widths = [_SAMPLE + _width(name) + _BETWEEN for name in names]
    if sum(widths) <= (width - left) / point - _width(scale):
        return Legend(names, len(names), 0, 0)
    n_columns = max(1, int((room + _BETWEEN) // max(widths)))
    n_rows = math.ceil(len(names) / n_columns)
    bottom = 2 + _LINE * point
    top = bottom + (n_rows + 1) * _LINE * point
    return Legend(names, math.ceil(len(names) / n_rows), bottom, top)


def _width(text):
    """Return the width of a line of text in points, at most."""
    # letters of whole pixels are up to a quarter wider, at few pixels per inch
    width, _, _ = text_to_path.get_text_width_height_descent(text, FontProperties(size=SIZE), False)
    return 1.25 * width


def _shortened(text, room):
    """Return the beginning of a text that is as wide as there is room, in points."""
    if len(text) <= _LONGEST and _width(text) <= room:
        return text
    text = text[:_LONGEST]
    while text and _width(f"{text}…") > room:
        text = text[:-1]
    return f"{text}…"
