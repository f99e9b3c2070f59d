"""Legend that fits on the paper, for any number and length of labels."""

from __future__ import annotations

import math

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

FONT_SIZE = 7.0  # points
_LINE = 1.7 * FONT_SIZE  # points from one row to the next
_HANDLE, _GAP = 2.8 * FONT_SIZE, 2.0 * FONT_SIZE  # points before a label, and between columns
_MAX_LENGTH = 300  # letters that are measured


def fit_legend(labels, scale, left, width, point):
    """Place labels beside the scale, a text that starts at `left`, or in rows above it.

    Return the labels as they fit, the number of columns, and the lower and upper edge. Lengths are
    in mm, as are ``width`` of the paper and the size of a ``point``.
    """
    room = width / point - 2 * _LINE  # within margins
    labels = [_shorten(" ".join(str(label).split()), room - _HANDLE) for label in labels]
    widths = [_HANDLE + _text_width(label) + _GAP for label in labels]
    if not labels or sum(widths) <= (width - left) / point - _text_width(scale):
        return labels, len(labels), 0, 0
    n_rows = math.ceil(len(labels) / max(1, int((room + _GAP) // max(widths))))
    bottom = 2 + _LINE * point
    top = bottom + (n_rows + 1) * _LINE * point
    return labels, math.ceil(len(labels) / n_rows), bottom, top


def _text_width(text):
    """Return an upper bound of the width in points."""
    font = FontProperties(size=FONT_SIZE)
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, False)
    return 1.25 * width  # at few pixels per inch, letters of whole pixels are a quarter wider


def _shorten(text, room):
    """Truncate a text to a width in points."""
    lengths = range(min(len(text), _MAX_LENGTH), -1, -1)
    texts = (text[:length] + "…" * (length < len(text)) for length in lengths)
    return next((text for text in texts if _text_width(text) <= room), "…")
