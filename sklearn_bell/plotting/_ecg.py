"""An ECG on paper."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Self

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import patheffects
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from sklearn_bell._utils.leads import STANDARD_LEADS, check_lead_names, lead_positions
from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.plotting._base import COLOURS, LINE_STYLES
from sklearn_bell.plotting._legend import SIZE, arrange

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

    from sklearn_bell._utils.types import Names

_FOR, _AGAINST = "#E69F00", "#56B4E9"
_FINE, _COARSE = "#f8dcdc", "#eba9a9"  # lines of the grid

_INCHES = 1 / 25.4  # of a millimetre
_SPEED, _GAIN = 25.0, 10.0  # mm/s and mm/mV
_ROW, _LEFT, _RIGHT, _TOP, _BOTTOM = 25.0, 15.0, 5.0, 15.0, 10.0  # mm
_MOST_LEADS = 64  # more are samples, in a record that is the wrong way round
_PULSE = np.array([[2, 0], [4, 0], [4, 10], [9, 10], [9, 0], [11, 0]])  # mm: 1 mV for 0.2 s

_LAYOUTS = {  # columns of leads, from above, beside each other in time
    "3x4": (STANDARD_LEADS[:3], STANDARD_LEADS[3:6], STANDARD_LEADS[6:9], STANDARD_LEADS[9:]),
    "6x2": (STANDARD_LEADS[:6], STANDARD_LEADS[6:]),
}


class ECGDisplay:
    """An ECG on paper, as cardiologists read it.

    One unit of the axes is a millimetre: 25 mm are a second and 10 mm a millivolt, on a grid of 1
    mm and 5 mm. The figure has that size on paper. Use :meth:`from_record` to make one.

    Parameters
    ----------
    records : ndarray of shape (n_records, n_leads, n_samples)
        In mV. Several are drawn over each other.
    sampling_rate : float
        In Hz.
    lead_names : list of str of length n_leads
        Names of the leads.
    labels : list of str of length n_records, default=None
        Names of the records, for a legend.
    spans : list of (float, float), default=None
        Beginnings and ends, in s, of what is tinted in all leads.
    attribution : ndarray of shape (n_leads, n_samples), default=None
        How much each sample speaks for (positive) or against something; tints the paper.

    Attributes
    ----------
    figure_ : matplotlib Figure
        The figure that holds the paper.
    axes_ : matplotlib Axes
        The paper, in mm.

    See Also
    --------
    sklearn_bell.vqvae.render_ecg : Images of many records, as arrays.

    Examples
    --------
    >>> from sklearn_bell.datasets import make_ecg
    >>> from sklearn_bell.plotting import ECGDisplay
    >>> ecg = make_ecg(1, duration=10, sampling_rate=100, random_state=0)
    >>> display = ECGDisplay.from_record(
    ...     ecg.data[0], ecg.sampling_rate, lead_names=ecg.lead_names
    ... )
    >>> display.figure_.savefig("ecg.png", dpi=200)  # doctest: +SKIP
    """

    def __init__(
        self,
        records: np.ndarray,
        sampling_rate: float,
        lead_names: Names,
        *,
        labels: Names | None = None,
        spans: Any = None,
        attribution: np.ndarray | None = None,
    ):
        self.records = records
        self.sampling_rate = sampling_rate
        self.lead_names = lead_names
        self.labels = labels
        self.spans = spans
        self.attribution = attribution

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
        """Draw a record, or several over each other.

        Parameters
        ----------
        record : array-like of shape (n_leads, n_samples) or (n_records, n_leads, n_samples)
            In mV. NaN are gaps in the line.
        sampling_rate : float
            In Hz.
        lead_names : array-like of str of length n_leads, default=None
            Names of the leads. None takes twelve for the standard ones in their order, and numbers
            others.
        labels : array-like of str of length n_records, default=None
            Names of the records, for a legend; those wider than the paper are shortened.
        spans : array-like of shape (n_spans, 2) or (2,), default=None
            Beginnings and ends, in s, of what is tinted in all leads.
        attribution : array-like of shape (n_leads, n_samples), default=None
            How much each sample speaks for something, or against it where negative; tints the
            paper orange or blue, the more the greater it is relative to the greatest.
        layout : {"auto", "3x4", "6x2", "rows"}, default="auto"
            The clinical sheets of three rows of four leads, or six of two, each lead with its share
            of the time, over rhythm strips; or a row for each lead. ``"auto"`` is ``"3x4"`` where
            all twelve leads are there, and else ``"rows"``.
        rhythm_leads : str or array-like of str, default=("II",)
            Leads, or one, that are drawn once more below, for all of the time. Rows need none.
        ax : matplotlib Axes, default=None
            Where to draw. None makes a figure that has the size of the paper; only there is a
            millimetre a millimetre.

        Returns
        -------
        display : ECGDisplay
            What was drawn.

        Raises
        ------
        InvalidECGError
            If the record has other dimensions, more than 64 leads or not those that the layout
            needs, or if another argument does not fit it or makes no sense.
        """
        records = np.asarray(record, dtype=float)
        if records.ndim == 2:
            records = records[None]
        if records.ndim != 3 or not records.size:
            raise InvalidECGError(
                "record must be of shape (n_leads, n_samples), or (n_records, n_leads, n_samples) "
                f"for several, but has shape {np.shape(record)}."
            )
        n_leads = records.shape[1]
        if n_leads > _MOST_LEADS:
            raise InvalidECGError(
                f"record must be of shape (n_leads, n_samples), with {_MOST_LEADS} leads at most, "
                f"but has shape {np.shape(record)}; if it is of shape (n_samples, n_leads), give "
                "record.T."
            )
        is_number = not np.ndim(sampling_rate) and np.asarray(sampling_rate).dtype.kind in "iuf"
        if not is_number or not 0 < sampling_rate < math.inf:
            raise InvalidECGError(
                f"sampling_rate must be a number of Hz above 0, but is {sampling_rate!r}."
            )
        if lead_names is None and n_leads == len(STANDARD_LEADS):
            lead_names = STANDARD_LEADS
        lead_names = check_lead_names(lead_names, n_leads)
        if attribution is not None:
            attribution = np.asarray(attribution, dtype=float)
            if attribution.shape != records.shape[1:]:
                raise InvalidECGError(
                    f"attribution must have the shape of a record, {records.shape[1:]}, but has "
                    f"{attribution.shape}."
                )
        if labels is not None and len(labels) != len(records):
            raise InvalidECGError(f"There are {len(records)} records, but {len(labels)} labels.")
        if spans is not None:
            spans = _read_spans(spans)
        display = cls(
            records, sampling_rate, lead_names, labels=labels, spans=spans, attribution=attribution
        )
        return display.plot(layout=layout, rhythm_leads=rhythm_leads, ax=ax)

    def plot(
        self, *, layout: str = "auto", rhythm_leads: str | Names = ("II",), ax: Axes | None = None
    ) -> Self:
        """Draw the paper.

        Parameters
        ----------
        layout, rhythm_leads, ax
            As of :meth:`from_record`.

        Returns
        -------
        self : ECGDisplay
        """
        rows = self._rows(layout, rhythm_leads)
        n_samples = self.records.shape[-1]
        width = _LEFT + n_samples / self.sampling_rate * _SPEED + _RIGHT
        width = 5 * math.ceil(width / 5 - 1e-9)
        height = _TOP + len(rows) * _ROW + _BOTTOM
        said = f"{_SPEED:g} mm/s    {_GAIN:g} mm/mV    {self.sampling_rate:g} Hz"
        labels = [] if self.labels is None else list(self.labels)
        legend = arrange(labels, said, _LEFT, width, _mm_of_a_point(ax, width, height))
        height += 5 * math.ceil(max(0, legend.top - _BOTTOM) / 5)
        if ax is None:
            figure = plt.figure(figsize=(width * _INCHES, height * _INCHES))
            ax = figure.add_axes((0, 0, 1, 1))
        _rule(ax, width, height)
        lines = []  # of each record
        for number, row in enumerate(rows):
            base = height - _TOP - (number + 0.5) * _ROW
            ax.plot(*np.add(_PULSE, (0, base)).T, color="black", linewidth=0.8)
            for lead, start, stop in row:
                lines = self._draw(ax, base, lead, start, stop)
        ax.text(_LEFT, 2, said, fontsize=SIZE, va="bottom")
        if labels:
            bottom = legend.bottom / height
            ax.legend(lines, legend.names, loc="lower right", ncols=legend.n_columns, fontsize=SIZE,
                      frameon=False, borderaxespad=0.6,
                      bbox_to_anchor=(0, bottom, 1, 1 - bottom))  # fmt: skip
        ax.set(xlim=(0, width), ylim=(0, height), aspect="equal")  # images have changed them
        sheet: Any = ax.figure
        self.figure_, self.axes_ = sheet, ax
        return self

    def _rows(self, layout, rhythm_leads):
        """Return, for each row, its leads with their first and last samples."""
        n_samples = self.records.shape[-1]
        if layout == "auto":
            names = {name.lower() for name in self.lead_names}
            layout = "3x4" if {lead.lower() for lead in STANDARD_LEADS} <= names else "rows"
        if layout == "rows":
            return [[(lead, 0, n_samples)] for lead in range(len(self.lead_names))]
        if layout not in _LAYOUTS:
            raise InvalidECGError(
                f"layout must be 'auto', {', '.join(map(repr, _LAYOUTS))} or 'rows', but is "
                f"{layout!r}."
            )
        columns = [lead_positions(leads, self.lead_names) for leads in _LAYOUTS[layout]]
        ends = np.linspace(0, n_samples, len(columns) + 1).round().astype(int)
        rows = [
            [(lead, ends[i], ends[i + 1]) for i, lead in enumerate(row)]
            for row in zip(*columns, strict=True)
        ]
        wanted = [rhythm_leads] if isinstance(rhythm_leads, str) else rhythm_leads
        rhythm = lead_positions(wanted, self.lead_names)
        return rows + [[(lead, 0, n_samples)] for lead in rhythm]

    def _draw(self, ax, base, lead, start, stop):
        """Draw a part of a lead, and what tints it; return the lines of the records."""
        x = _LEFT + np.arange(start, stop + 1) / self.sampling_rate * _SPEED
        bottom, top = base - _ROW / 2 + 1, base + _ROW / 2 - 1
        for span in () if self.spans is None else self.spans:
            left, right = np.clip(_LEFT + np.asarray(span) * _SPEED, x[0], x[-1])
            if right > left:
                tint = Rectangle((left, bottom), right - left, top - bottom, color=_FOR, alpha=0.35)
                ax.add_patch(tint).set(linewidth=0, zorder=0.8)
        if self.attribution is not None:
            part = self.attribution[lead, start:stop] / (np.abs(self.attribution).max() or 1)
            tints = np.where(part[:, None] > 0, to_rgb(_FOR), to_rgb(_AGAINST))
            ax.imshow(
                np.column_stack([tints, 0.8 * np.abs(part)])[None],
                extent=(x[0], x[-1], bottom, top),
                aspect="auto",
                interpolation="nearest",
                zorder=0.8,
            )
        lines = []
        for number, record in enumerate(self.records):
            y = base + _GAIN * record[lead, start : stop + 1]
            nth, colour = divmod(number, len(COLOURS))
            style = {"color": COLOURS[colour], "linestyle": LINE_STYLES[nth % len(LINE_STYLES)]}
            lines += ax.plot(x[: len(y)], y, linewidth=0.8, solid_joinstyle="round", **style)
        if start:
            ax.plot(2 * [x[0]], [base - 4, base + 4], color="black", linewidth=0.8)
        halo = [patheffects.withStroke(linewidth=2, foreground="white")]
        ax.text(x[0] + 1, base + 8, self.lead_names[lead], fontsize=8, path_effects=halo)
        return lines


def _read_spans(spans):
    """Return beginnings and ends, ``(n_spans, 2)``."""
    try:
        found = np.asarray(spans, dtype=float)
    except (TypeError, ValueError):  # text, or rows of different lengths
        found = np.empty(())
    if not found.size and found.ndim == 1:
        return found.reshape(0, 2)
    if found.shape != (2,) and found.shape[1:] != (2,):
        raise InvalidECGError(
            f"spans must be pairs of a beginning and an end in s, such as [(1, 1.5)], but are "
            f"{spans!r}."
        )
    return found.reshape(-1, 2)


def _mm_of_a_point(ax, width, height):
    """Return how many millimetres of the paper a point of letters takes, on axes of any size."""
    if ax is None:
        return 1 / _INCHES / 72
    inches = ax.get_position(original=True).size * ax.figure.bbox.size / ax.figure.dpi
    return max(np.divide((width, height), inches)) / 72


def _rule(ax, width, height):
    """Rule the paper: lines every millimetre, and stronger ones every five."""
    for step, colour, linewidth in ((1, _FINE, 0.3), (5, _COARSE, 0.5)):
        style = {"colors": colour, "linewidth": linewidth, "zorder": 0.5}
        ax.vlines(np.arange(0, width + 1, step), 0, height, **style)
        ax.hlines(np.arange(0, height + 1, step), 0, width, **style)
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set_visible(False)
