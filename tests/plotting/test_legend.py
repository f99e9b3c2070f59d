"""Tests of the legend of ECGDisplay: inside the paper, for any labels."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from sklearn_bell.plotting import ECGDisplay

RATE = 100
LABELS = {
    "long": ["x" * 5000, "after " * 30],
    "narrow letters": ["i" * 200, "j"],
    "many": [f"record number {i}" for i in range(30)],
    "of several lines": ["before\nthe operation", "after"],
    "numbers": np.arange(2),
}


def draw_boxes(display):
    """Draw, and return the boxes of the legend and of the scale in pixels."""
    display.figure_.canvas.draw()
    ax = display.axes_
    return ax.get_legend().get_window_extent(), ax.texts[-1].get_window_extent()


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
@pytest.mark.parametrize(("seconds", "dpi"), [(2.5, 60), (10, 60), (2.5, 100), (10, 100)])
def test_legend_stays_on_the_paper_and_overlaps_nothing(labels, seconds, dpi):
    records = np.zeros((len(labels), 2, int(seconds * RATE)))
    display = ECGDisplay.from_record(records, RATE, labels=labels)
    figure, ax = display.figure_, display.axes_
    figure.set_dpi(dpi)
    legend, scale = draw_boxes(display)
    assert 0 <= min(legend.x0, scale.x0) < max(legend.x1, scale.x1) <= figure.bbox.x1
    assert min(legend.y0, scale.y0) >= 0
    assert not legend.overlaps(scale)
    last_lead = [line for line in ax.get_lines() if len(line.get_xdata()) > 6][-1]
    assert legend.y1 <= ax.transData.transform((0, last_lead.get_ydata()[0] - 12.5))[1]
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    for name, label in zip(names, map(str, labels), strict=True):
        assert name == " ".join(label.split()) or (label.startswith(name[:-1]) and name[-1] == "…")


@pytest.mark.parametrize("labels", [["before", "after"], LABELS["many"][:2], None])
def test_few_short_labels_stand_beside_the_scale(labels):
    display = ECGDisplay.from_record(np.zeros((2, 2, 1000)), RATE, labels=labels)
    assert display.axes_.get_ylim()[1] == 75


@pytest.mark.parametrize("labels", [LABELS["long"], LABELS["many"][:8]], ids=["long", "many"])
def test_legend_stays_on_axes_of_the_caller(labels):
    _, ax = plt.subplots()
    records = np.zeros((len(labels), 12, 1000))
    legend, scale = draw_boxes(ECGDisplay.from_record(records, RATE, labels=labels, ax=ax))
    assert ax.bbox.x0 <= legend.x0 < legend.x1 <= ax.bbox.x1
    assert not legend.overlaps(scale)
