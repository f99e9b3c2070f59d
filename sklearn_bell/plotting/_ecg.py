"""ECG on clinical paper."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from sklearn_bell._utils.leads import STANDARD_LEADS, check_lead_names, lead_positions
from sklearn_bell._utils.signal import PAPER_GAIN, PAPER_SPEED
from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.plotting._base import COLOURS, LINE_STYLES, Display, check_shape
from sklearn_bell.plotting._legend import FONT_SIZE, fit_legend

if TYPE_CHECKING:
    from sklearn_bell._utils.types import Names

_FOR, _AGAINST = "#E69F00", "#56B4E9"
_GRID = {1: ("#f8dcdc", 0.3), 5: ("#eba9a9", 0.5)}  # mm: colour and width of lines

_INCH = 25.4  # mm
_ROW, _LEFT, _RIGHT, _TOP, _BOTTOM = 25.0, 15.0, 5.0, 15.0, 10.0  # mm
_MAX_LEADS = 64  # a record with more leads is probably transposed
_PULSE = np.array([[2, 0], [4, 0], [4, 10], [9, 10], [9, 0], [11, 0]])  # mm: 1 mV for 0.2 s
_N_COLUMNS = {"3x4": 4, "6x2": 2}  # of a layout


@dataclass(eq=False, repr=False)
class ECGDisplay(Display):
    """ECG on paper, as cardiologists read it. Created by :meth:`from_record`.

    The unit of the axes is a millimetre, also on paper: 25 mm are a second, 10 mm a millivolt.

    Parameters
    ----------
    records : ndarray of shape (n_records, n_leads, n_samples)
        Records in mV, drawn over each other. NaN are gaps in the line.
    sampling_rate : float
        Sampling rate in Hz.
    lead_names : list of str of length n_leads
        Names of the leads.
    labels : list of str of length n_records, default=None
        Names of the records, for a legend. Names wider than the paper are shortened.
    spans : array-like of shape (n_spans, 2) or (2,), default=None
        Starts and ends in s of spans to tint in all leads.
    attribution : ndarray of shape (n_leads, n_samples), default=None
        Evidence, relative to its greatest magnitude: orange is positive, blue is negative.

    Attributes
    ----------
    figure_, axes_ : matplotlib Figure and Axes
        The paper.

    Raises
    ------
    InvalidECGError
        If an argument has another shape or is invalid, or if the layout has missing leads.

    Examples
    --------
    >>> from sklearn_bell.datasets import make_ecg
    >>> from sklearn_bell.plotting import ECGDisplay
    >>> ecg = make_ecg(1, duration=10, sampling_rate=100, random_state=0)
    >>> display = ECGDisplay.from_record(ecg.data[0], ecg.sampling_rate)
    >>> display.figure_.savefig("ecg.png", dpi=200)  # doctest: +SKIP
    """

    records: np.ndarray
    sampling_rate: float
    lead_names: Names
    labels: Names | None = None
    spans: Any = None
    attribution: np.ndarray | None = None

    @classmethod
    def from_record(
        cls,
        record: ArrayLike,
        sampling_rate: float,
        *,
        lead_names: Names | None = None,
        labels: Names | None = None,
        spans: ArrayLike | None = None,
        attribution: ArrayLike | None = None,
        layout: str = "auto",
        rhythm_leads: str | Names = ("II",),
        ax: Axes | None = None,
    ) -> Self:
        """Draw a record, or several over each other, and return the display.

        Parameters
        ----------
        record : array-like of shape (n_leads, n_samples) or (n_records, n_leads, n_samples)
            At most 64 leads, in mV.
        lead_names : array-like of str of length n_leads, default=None
            Names of the leads. None takes the standard order for twelve leads, otherwise numbers.
        sampling_rate, labels, spans, attribution
            As in the class.
        layout : {"auto", "3x4", "6x2", "rows"}, default="auto"
            Clinical sheet of three rows of four leads, or six rows of two, each with its share of
            the time, over rhythm strips; or a row for each lead. ``"auto"`` is ``"3x4"`` if all
            twelve leads are present, otherwise ``"rows"``.
        rhythm_leads : str or array-like of str, default=("II",)
            Leads of the rhythm strips, drawn below for all of the time. Unused by ``"rows"``.
        ax : matplotlib Axes, default=None
            Axes to draw on. None makes a figure of the size of the paper.
        """
        records = np.asarray(record, dtype=float)
        records = records[None] if records.ndim == 2 else records
        if records.ndim != 3 or not records.size or records.shape[1] > _MAX_LEADS:
            raise InvalidECGError(
                "Expected shape (n_leads, n_samples) or (n_records, n_leads, n_samples), at most "
                f"{_MAX_LEADS} leads, got {np.shape(record)}. Make time the last axis (record.T)."
            )
        n_records, n_leads, n_samples = records.shape
        is_number = not np.ndim(sampling_rate) and np.asarray(sampling_rate).dtype.kind in "iuf"
        if not is_number or not 0 < sampling_rate < math.inf:
            raise InvalidECGError(f"Expected a positive sampling_rate, got {sampling_rate!r}.")
        if lead_names is None and n_leads == len(STANDARD_LEADS):
            lead_names = STANDARD_LEADS
        lead_names = check_lead_names(lead_names, n_leads)
        if attribution is not None:
            attribution = np.asarray(attribution, dtype=float)
        check_shape("attribution", attribution, n_leads, n_samples)
        check_shape("labels", labels, n_records)
        display = cls(records, sampling_rate, lead_names, labels, spans, attribution)
        return display.plot(layout=layout, rhythm_leads=rhythm_leads, ax=ax)

    def _draw(self, ax, layout="auto", rhythm_leads=("II",)):
        spans = _check_spans(() if self.spans is None else self.spans)
        rows = self._rows(layout, rhythm_leads)
        width = _LEFT + self.records.shape[-1] / self.sampling_rate * PAPER_SPEED + _RIGHT
        width = 5 * math.ceil(width / 5 - 1e-9)
        height = _TOP + len(rows) * _ROW + _BOTTOM
        scale = f"{PAPER_SPEED:g} mm/s    {PAPER_GAIN:g} mm/mV    {self.sampling_rate:g} Hz"
        point = _INCH / 72  # size of a typographic point in mm of the paper
        if ax is not None:
            inches = ax.get_position(original=True).size * ax.figure.bbox.size / ax.figure.dpi
            point = max(np.divide((width, height), inches)) / 72
        labels = [] if self.labels is None else list(self.labels)
        labels, n_columns, bottom, top = fit_legend(labels, scale, _LEFT, width, point)
        height += 5 * math.ceil(max(0, top - _BOTTOM) / 5)
        if ax is None:
            figure = plt.figure(figsize=(width / _INCH, height / _INCH))
            ax = figure.add_axes((0, 0, 1, 1))
        for step, (colour, linewidth) in _GRID.items():
            style = {"colors": colour, "linewidth": linewidth, "zorder": 0.5}
            ax.vlines(np.arange(0, width + 1, step), 0, height, **style)
            ax.hlines(np.arange(0, height + 1, step), 0, width, **style)
        for number, row in enumerate(rows):
            base = height - _TOP - (number + 0.5) * _ROW
            ax.plot(*np.add(_PULSE, (0, base)).T, color="black", linewidth=0.8)
            for part in row:
                self._draw_tints(ax, spans, base, *part)
                lines = self._draw_lead(ax, base, *part)
        ax.text(_LEFT, 2, scale, fontsize=FONT_SIZE, va="bottom")
        if labels:
            box = (0, bottom / height, 1, 1 - bottom / height)
            ax.legend(lines, labels, loc="lower right", ncols=n_columns, fontsize=FONT_SIZE,
                      frameon=False, borderaxespad=0.6, bbox_to_anchor=box)  # fmt: skip
        # after the images, which change the limits
        ax.set(xlim=(0, width), ylim=(0, height), aspect="equal", xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
        return ax.figure, ax

    def _rows(self, layout, rhythm_leads):
        """Return the leads of each row, with their first and last samples."""
        names, n_samples = self.lead_names, self.records.shape[-1]
        if layout == "auto":
            present = {name.lower() for name in names}
            layout = "3x4" if {lead.lower() for lead in STANDARD_LEADS} <= present else "rows"
        if layout == "rows":
            return [[(lead, 0, n_samples)] for lead in range(len(names))]
        if layout not in _N_COLUMNS:
            layouts = ["auto", *_N_COLUMNS, "rows"]
            raise InvalidECGError(f"layout must be one of {layouts}, but is {layout!r}.")
        n_columns = _N_COLUMNS[layout]
        ends = np.linspace(0, n_samples, n_columns + 1).round().astype(int)
        sheet = np.reshape(lead_positions(STANDARD_LEADS, names), (n_columns, -1)).T
        rows = [list(zip(leads, ends[:-1], ends[1:], strict=True)) for leads in sheet]
        rhythm_leads = [rhythm_leads] if isinstance(rhythm_leads, str) else rhythm_leads
        return rows + [[(lead, 0, n_samples)] for lead in lead_positions(rhythm_leads, names)]

    def _draw_tints(self, ax, spans, base, lead, start, stop):
        """Tint the spans and the attribution of a part of a lead."""
        left, right = _LEFT + np.array([start, stop]) / self.sampling_rate * PAPER_SPEED
        bottom, top = base - _ROW / 2 + 1, base + _ROW / 2 - 1
        for first, last in np.clip(_LEFT + spans * PAPER_SPEED, left, right):
            if last > first:
                ax.add_patch(Rectangle((first, bottom), last - first, top - bottom, color=_FOR,
                                       alpha=0.35, linewidth=0, zorder=0.8))  # fmt: skip
        if self.attribution is not None:
            part = self.attribution[lead, start:stop] / (np.abs(self.attribution).max() or 1)
            colours = np.where(part[:, None] > 0, to_rgb(_FOR), to_rgb(_AGAINST))
            pixels = np.column_stack([colours, 0.8 * np.abs(part)])[None]
            ax.imshow(pixels, extent=(left, right, bottom, top), aspect="auto",
                      interpolation="nearest", zorder=0.8)  # fmt: skip

    def _draw_lead(self, ax, base, lead, start, stop):
        """Draw a part of a lead, and return the lines of the records."""
        x = _LEFT + np.arange(start, stop + 1) / self.sampling_rate * PAPER_SPEED
        lines = []
        for number, record in enumerate(self.records):
            y = base + PAPER_GAIN * record[lead, start : stop + 1]
            turn, colour = divmod(number, len(COLOURS))
            lines += ax.plot(x[: len(y)], y, LINE_STYLES[turn % len(LINE_STYLES)], linewidth=0.8,
                             color=COLOURS[colour], solid_joinstyle="round")  # fmt: skip
        if start:
            ax.plot(2 * [x[0]], [base - 4, base + 4], color="black", linewidth=0.8)
        halo = [patheffects.withStroke(linewidth=2, foreground="white")]
        ax.text(x[0] + 1, base + 8, self.lead_names[lead], fontsize=8, path_effects=halo)
        return lines


def _check_spans(spans):
    """Return starts and ends (n_spans, 2)."""
    try:
        pairs = np.atleast_2d(np.asarray(spans, dtype=float))
    except (TypeError, ValueError):  # text, or rows of different lengths
        pairs = np.empty((1, 1))
    if pairs.size and pairs.shape[1:] != (2,):
        expected = "pairs of start and end in s, such as [(1, 1.5)]"
        raise InvalidECGError(f"Expected spans as {expected}, got {spans!r}.")
    return pairs.reshape(-1, 2)
