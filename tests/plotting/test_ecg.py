"""Tests of ECGDisplay: scale, layouts, tints and errors."""

import numpy as np
import pytest

from sklearn_bell.datasets import make_ecg
from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.plotting import ECGDisplay
from sklearn_bell.preprocessing import STANDARD_LEADS

RATE = 100
ECG = make_ecg(2, duration=10, sampling_rate=RATE, random_state=0)


def draw(**options):
    return ECGDisplay.from_record(ECG.data[0], RATE, **options)


def lead_lines(display):
    """Return the lines of leads, without pulses and the bars between leads."""
    return [line for line in display.axes_.get_lines() if len(line.get_xdata()) > 6]


def test_paper_unit_is_a_millimetre():
    display = draw()
    inches = display.figure_.get_size_inches()
    (left, right), (bottom, top) = display.axes_.get_xlim(), display.axes_.get_ylim()
    np.testing.assert_allclose(inches * 25.4, [right - left, top - bottom])
    # the axes fill the figure, so that their unit is a millimetre
    display.figure_.canvas.draw()
    dots = display.axes_.transData.transform([(0, 0), (1, 1)])
    np.testing.assert_allclose(dots[1] - dots[0], display.figure_.dpi / 25.4, rtol=1e-6)


@pytest.mark.parametrize(("layout", "n_columns", "n_rows"), [("3x4", 4, 3), ("6x2", 2, 6)])
def test_sheet_places_leads_in_clinical_order(layout, n_columns, n_rows):
    display = draw(layout=layout, rhythm_leads=["II", "V1"])
    names = [(text.get_text(), *text.get_position()) for text in display.axes_.texts[:-1]]
    sheet, rhythm = names[:12], names[12:]
    assert [name for name, *_ in rhythm] == ["II", "V1"]
    by_column = sorted(sheet, key=lambda name: (name[1], -name[2]))
    assert [name for name, *_ in by_column] == list(STANDARD_LEADS)
    assert len({x for _, x, _ in sheet}) == n_columns
    assert len({y for *_, y in sheet}) == n_rows
    for line, (name, *_) in zip(lead_lines(display), names, strict=True):
        x, y = line.get_data()
        first, last = (x[0] - 15) / 25 * RATE, (x[-1] - 15) / 25 * RATE
        part = ECG.data[0, STANDARD_LEADS.index(name), round(first) : round(last) + 1]
        np.testing.assert_allclose(y - y[0], 10 * (part - part[0]), atol=1e-4)  # 10 mm/mV
    # each lead has its share of the ten seconds
    assert lead_lines(display)[0].get_xdata()[-1] == pytest.approx(15 + 250 / n_columns)
    assert lead_lines(display)[-1].get_xdata()[-1] == pytest.approx(15 + 250 - 25 / RATE)


@pytest.mark.parametrize(
    ("n_leads", "lead_names", "expected"),
    [(2, ["X", "Y"], ["X", "Y"]), (3, None, ["lead0", "lead1", "lead2"])],
)
def test_other_leads_get_a_row_each(n_leads, lead_names, expected):
    display = ECGDisplay.from_record(ECG.data[0, :n_leads], RATE, lead_names=lead_names)
    texts = display.axes_.texts[:-1]
    assert [text.get_text() for text in texts] == expected
    assert texts[0].get_position()[1] > texts[1].get_position()[1]
    assert [len(line.get_xdata()) for line in lead_lines(display)] == [1000] * n_leads


def test_each_row_has_a_calibration_pulse():
    pulses = [line for line in draw().axes_.get_lines() if len(line.get_xdata()) == 6]
    sizes = [(np.ptp(y), np.ptp(x[y == y.max()])) for x, y in (p.get_data() for p in pulses)]
    assert sizes == [(10, 5)] * 4  # 1 mV, 0.2 s


def test_records_differ_in_colour_and_appear_in_the_legend():
    display = ECGDisplay.from_record(ECG.data, RATE, labels=["before", "after"])
    colours = [line.get_color() for line in lead_lines(display)]
    assert len(colours) == 2 * 13
    assert len(set(colours)) == 2
    legend = display.axes_.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["before", "after"]
    assert [line.get_color() for line in legend.get_lines()] == colours[:2]


def test_records_beyond_the_colours_differ_in_line_style():
    display = ECGDisplay.from_record(np.zeros((15, 1, 100)), RATE)
    styles = [(line.get_color(), line.get_linestyle()) for line in lead_lines(display)]
    assert len(set(styles)) == 15
    assert {style for _, style in styles[:7]} == {"-"}


def render(display, dpi=100):
    """Return the pixels, (n_lines, n_columns, 3)."""
    display.figure_.set_dpi(dpi)
    display.figure_.canvas.draw()
    return np.asarray(display.figure_.canvas.buffer_rgba())[..., :3].astype(int)


def is_tinted(picture, x, y, dpi=100):
    """Return True if there is no white around a place in mm, between the lines of the grid."""
    column, row = (round(mm / 25.4 * dpi) for mm in (x, y))
    around = picture[::-1][row - 8 : row + 8, column - 8 : column + 8].reshape(-1, 3)
    return around.max(axis=0).min() < 250


def test_spans_tint_all_leads_and_nothing_else():
    display = ECGDisplay.from_record(np.zeros((3, 1000)), RATE, spans=[(2, 4)])
    picture = render(display)
    middles = display.axes_.get_ylim()[1] - 15 - 25 * np.arange(3) - 20
    tinted = [[is_tinted(picture, 15 + 25 * second, y) for second in (1, 3, 5)] for y in middles]
    assert tinted == [[False, True, False]] * 3


@pytest.mark.parametrize(
    ("options", "listed"),
    [({"spans": (1, 2)}, {"spans": [(1, 2)]}), ({"rhythm_leads": "V1"}, {"rhythm_leads": ["V1"]}),
     ({"spans": []}, {})],
    ids=["span", "rhythm lead", "no span"],
)  # fmt: skip
def test_single_values_equal_lists_of_one(options, listed):
    np.testing.assert_array_equal(render(draw(**options)), render(draw(**listed)))


def test_attribution_tints_by_sign():
    attribution = np.zeros((2, 1000))
    attribution[0, 200:400], attribution[1, 600:800] = 2, -2
    display = ECGDisplay.from_record(np.zeros((2, 1000)), RATE, attribution=attribution)
    picture = render(display)
    top = display.axes_.get_ylim()[1]
    places = [(3, 0), (3, 1), (7, 0), (7, 1), (5, 0)]  # s, row
    tinted = [is_tinted(picture, 15 + 25 * s, top - 15 - 25 * row - 20) for s, row in places]
    assert tinted == [True, False, False, True, False]

    def red_and_blue(second, row):
        column, line = (round(mm / 25.4 * 100) for mm in (15 + 25 * second, 15 + 25 * row + 20))
        return picture[line, column, [0, 2]]

    assert np.diff(red_and_blue(3, 0)) < 0  # orange
    assert np.diff(red_and_blue(7, 1)) > 0  # blue


def test_missing_samples_are_gaps():
    record = ECG.data[0].copy()
    record[0] = np.nan
    display = ECGDisplay.from_record(record, RATE)
    assert np.isnan(lead_lines(display)[0].get_ydata()).all()
    assert np.isfinite(render(display)).all()


TWO = np.zeros((2, 100))


@pytest.mark.parametrize(
    ("record", "options", "message"),
    [
        (np.zeros(100), {}, r"Expected shape \(n_leads, n_samples\)"),
        (np.zeros((2, 0)), {}, r"Expected shape \(n_leads, n_samples\)"),
        (np.zeros((1000, 12)), {}, r"at most 64 leads, got \(1000, 12\).*record\.T"),
        (TWO, {"layout": "3x4"}, "No lead named I, II"),
        (np.zeros((12, 100)), {"layout": "4x3"}, "layout must be one of"),
        (np.zeros((12, 100)), {"rhythm_leads": ["X"]}, "No lead named X"),
        (TWO, {"attribution": np.zeros((2, 99))}, r"attribution of shape \(2, 100\), got \(2, 99"),
        (TWO, {"labels": ["a", "b"]}, r"labels of shape \(1,\), got \(2,\)"),
        (TWO, {"lead_names": ["a"]}, "lead_names"),
        (TWO, {"sampling_rate": 0}, "positive sampling_rate, got 0"),
        (TWO, {"sampling_rate": -100.0}, "positive sampling_rate, got -100"),
        (TWO, {"sampling_rate": np.nan}, "positive sampling_rate, got nan"),
        (TWO, {"sampling_rate": "100"}, "positive sampling_rate, got '100'"),
        (TWO, {"sampling_rate": [100]}, r"positive sampling_rate, got \[100\]"),
        (TWO, {"sampling_rate": None}, "positive sampling_rate, got None"),
        (TWO, {"spans": [1, 2, 3]}, r"Expected spans as pairs .* got \[1, 2, 3\]"),
        (TWO, {"spans": [(1, 2), (3,)]}, "Expected spans as pairs"),
        (TWO, {"spans": 1}, "Expected spans as pairs .* got 1"),
        (TWO, {"spans": ["a", "b"]}, "Expected spans as pairs"),
    ],
)
def test_invalid_arguments_raise(record, options, message):
    with pytest.raises(InvalidECGError, match=message):
        ECGDisplay.from_record(record, **({"sampling_rate": RATE} | options))
