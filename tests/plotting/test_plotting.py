"""Displays draw what they are given, to scale, and say what they cannot draw."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.testing.compare import compare_images
from PIL import Image
from scipy.spatial.distance import pdist
from sklearn.decomposition import PCA
from sklearn.metrics import precision_score, recall_score
from sklearn.preprocessing import StandardScaler

from sklearn_bell import BELLPretrainer, ECGClassifier
from sklearn_bell.datasets import make_ecg
from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.plotting import (
    ECGDisplay,
    LabelEfficiencyDisplay,
    LatentDisplay,
    LeadSimilarityDisplay,
    PretrainingDisplay,
    ReaderDisplay,
)
from sklearn_bell.plotting._base import COLOURS
from sklearn_bell.preprocessing import STANDARD_LEADS
from sklearn_bell.pretraining import SimCLRPretrainer

pytestmark = pytest.mark.usefixtures("figures")
RATE = 100
PICTURES = Path(__file__).parent / "pictures"
ECG = make_ecg(2, duration=10, sampling_rate=RATE, random_state=0)


@pytest.fixture(scope="module")
def bell():
    ecg = make_ecg(20, leads=["II", "V1", "V5"], duration=2, sampling_rate=RATE, random_state=0)
    bell = BELLPretrainer(
        max_epochs=2, head_width=16, batch_size=8, lead_names=ecg.lead_names, random_state=0
    )
    return bell.fit(ecg.data), ecg


def draw(**options):
    return ECGDisplay.from_record(ECG.data[0], RATE, **options)


def traces(display):
    """Return the lines that are of leads: neither pulses nor the bars between leads."""
    return [line for line in display.axes_.get_lines() if len(line.get_xdata()) > 6]


# ECGs ---------------------------------------------------------------------------------------------


def test_a_millimetre_is_one_on_paper():
    display = draw()
    inches = display.figure_.get_size_inches()
    (left, right), (bottom, top) = display.axes_.get_xlim(), display.axes_.get_ylim()
    np.testing.assert_allclose(inches * 25.4, [right - left, top - bottom])
    # the axes fill the figure, so that a unit of theirs is a millimetre
    display.figure_.canvas.draw()
    dots = display.axes_.transData.transform([(0, 0), (1, 1)])
    np.testing.assert_allclose(dots[1] - dots[0], display.figure_.dpi / 25.4, rtol=1e-6)


@pytest.mark.parametrize(("layout", "n_columns", "n_rows"), [("3x4", 4, 3), ("6x2", 2, 6)])
def test_sheets_have_their_leads_where_cardiologists_look(layout, n_columns, n_rows):
    display = draw(layout=layout, rhythm_leads=["II", "V1"])
    names = [(text.get_text(), *text.get_position()) for text in display.axes_.texts[:-1]]
    sheet, rhythm = names[:12], names[12:]
    assert [name for name, *_ in rhythm] == ["II", "V1"]
    # read column by column, the standard order comes out
    in_order = sorted(sheet, key=lambda name: (name[1], -name[2]))
    assert [name for name, *_ in in_order] == list(STANDARD_LEADS)
    assert len({x for _, x, _ in sheet}) == n_columns
    assert len({y for *_, y in sheet}) == n_rows
    for line, (name, *_) in zip(traces(display), names, strict=True):
        x, y = line.get_data()
        first, last = (x[0] - 15) / 25 * RATE, (x[-1] - 15) / 25 * RATE
        part = ECG.data[0, STANDARD_LEADS.index(name), round(first) : round(last) + 1]
        np.testing.assert_allclose(y - y[0], 10 * (part - part[0]), atol=1e-4)  # 10 mm are 1 mV
    # in a row, each lead has its share of the ten seconds
    assert traces(display)[0].get_xdata()[-1] == pytest.approx(15 + 250 / n_columns)
    assert traces(display)[-1].get_xdata()[-1] == pytest.approx(15 + 250 - 25 / RATE)


def test_other_leads_have_rows_of_their_own():
    display = ECGDisplay.from_record(ECG.data[0, :2], RATE, lead_names=["X", "Y"])
    texts = display.axes_.texts
    assert [text.get_text() for text in texts[:-1]] == ["X", "Y"]
    assert texts[0].get_position()[1] > texts[1].get_position()[1]
    assert [len(line.get_xdata()) for line in traces(display)] == [1000, 1000]
    unnamed = ECGDisplay.from_record(ECG.data[0, :3], RATE)
    assert [text.get_text() for text in unnamed.axes_.texts[:-1]] == ["lead0", "lead1", "lead2"]


def test_each_row_has_a_pulse_of_a_millivolt_and_a_fifth_of_a_second():
    display = draw()
    pulses = [line for line in display.axes_.get_lines() if len(line.get_xdata()) == 6]
    assert len(pulses) == 4
    for pulse in pulses:
        x, y = pulse.get_data()
        assert np.ptp(y) == 10
        assert np.ptp(x[y == y.max()]) == 5


def test_several_records_are_told_apart_by_their_colours():
    display = ECGDisplay.from_record(ECG.data, RATE, labels=["before", "after"])
    colours = [line.get_color() for line in traces(display)]
    assert len(colours) == 2 * 13
    assert len(set(colours)) == 2
    legend = display.axes_.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["before", "after"]
    assert [line.get_color() for line in legend.get_lines()] == colours[:2]


def test_more_records_than_colours_have_other_lines():
    display = ECGDisplay.from_record(np.zeros((15, 1, 100)), RATE)
    looks = [(line.get_color(), line.get_linestyle()) for line in traces(display)]
    assert len(set(looks)) == 15
    assert {style for _, style in looks[:7]} == {"-"}


LABELS = {
    "long": ["x" * 5000, "after " * 30],
    "narrow letters": ["i" * 200, "j"],
    "many": [f"record number {i}" for i in range(30)],
    "of several lines": ["before\nthe operation", "after"],
    "numbers": np.arange(2),
}


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
@pytest.mark.parametrize("seconds", [2.5, 10])
@pytest.mark.parametrize("dpi", [60, 100])
def test_names_of_records_stay_on_the_paper_and_off_all_else(labels, seconds, dpi):
    records = np.zeros((len(labels), 2, int(seconds * RATE)))
    display = ECGDisplay.from_record(records, RATE, labels=labels)
    figure, ax = display.figure_, display.axes_
    figure.set_dpi(dpi)
    figure.canvas.draw()
    legend, scale = ax.get_legend().get_window_extent(), ax.texts[-1].get_window_extent()
    for box in (legend, scale):
        assert 0 <= box.x0 < box.x1 <= figure.bbox.x1
        assert 0 <= box.y0 < box.y1
    assert not legend.overlaps(scale)
    lowest = ax.transData.transform((0, traces(display)[-1].get_ydata()[0] - 12.5))[1]
    assert legend.y1 <= lowest
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    for name, label in zip(names, map(str, labels), strict=True):
        assert name == " ".join(label.split()) or (label.startswith(name[:-1]) and name[-1] == "…")


def test_a_few_short_names_stand_beside_the_scale():
    heights = []
    for labels in (["before", "after"], LABELS["many"][:2], None):
        display = ECGDisplay.from_record(np.zeros((2, 2, 1000)), RATE, labels=labels)
        heights.append(display.axes_.get_ylim()[1])
    assert heights == [75, 75, 75]


def test_names_stay_on_axes_that_are_given():
    for labels in (LABELS["long"], LABELS["many"][:8]):
        _, ax = plt.subplots()
        records = np.zeros((len(labels), 12, 1000))
        display = ECGDisplay.from_record(records, RATE, labels=labels, ax=ax)
        display.figure_.canvas.draw()
        legend, scale = ax.get_legend().get_window_extent(), ax.texts[-1].get_window_extent()
        assert ax.bbox.x0 <= legend.x0 < legend.x1 <= ax.bbox.x1
        assert not legend.overlaps(scale)


def pixels(display, dpi=100):
    display.figure_.set_dpi(dpi)
    display.figure_.canvas.draw()
    return np.asarray(display.figure_.canvas.buffer_rgba())[..., :3].astype(int)


def is_tinted(picture, x, y, dpi=100):
    """Return whether the paper at a place in mm is tinted, between the lines of the grid."""
    column, row = (round(mm / 25.4 * dpi) for mm in (x, y))
    around = picture[::-1][row - 8 : row + 8, column - 8 : column + 8].reshape(-1, 3)
    return around.max(axis=0).min() < 250  # no white is left


def test_a_span_is_tinted_in_all_leads_and_nowhere_else():
    display = ECGDisplay.from_record(np.zeros((3, 1000)), RATE, spans=[(2, 4)])
    picture = pixels(display)
    for row in range(3):
        y = display.axes_.get_ylim()[1] - 15 - 25 * row - 20
        assert is_tinted(picture, 15 + 3 * 25, y)
        assert not is_tinted(picture, 15 + 1 * 25, y)
        assert not is_tinted(picture, 15 + 5 * 25, y)


def test_a_single_span_or_rhythm_lead_needs_no_list(tmp_path):
    one, listed = draw(spans=(1, 2), rhythm_leads="V1"), draw(spans=[(1, 2)], rhythm_leads=["V1"])
    np.testing.assert_array_equal(pixels(one), pixels(listed))
    assert [text.get_text() for text in one.axes_.texts[-2:-1]] == ["V1"]
    np.testing.assert_array_equal(pixels(draw(spans=[])), pixels(draw()))


def test_attribution_tints_what_counts_orange_or_blue():
    attribution = np.zeros((2, 1000))
    attribution[0, 200:400], attribution[1, 600:800] = 2, -2
    display = ECGDisplay.from_record(np.zeros((2, 1000)), RATE, attribution=attribution)
    picture = pixels(display)
    top = display.axes_.get_ylim()[1]
    expected = {(3, 0): True, (3, 1): False, (7, 0): False, (7, 1): True, (5, 0): False}
    for (second, row), tinted in expected.items():
        assert is_tinted(picture, 15 + 25 * second, top - 15 - 25 * row - 20) == tinted

    def colour(second, row):
        column, line = (round(mm / 25.4 * 100) for mm in (15 + 25 * second, 15 + 25 * row + 20))
        return picture[line, column]

    assert colour(3, 0)[0] > colour(3, 0)[2]  # orange
    assert colour(7, 1)[0] < colour(7, 1)[2]  # blue


def test_gaps_in_a_lead_are_gaps_in_the_line():
    record = ECG.data[0].copy()
    record[0] = np.nan
    display = ECGDisplay.from_record(record, RATE)
    assert np.isnan(traces(display)[0].get_ydata()).all()
    assert np.isfinite(pixels(display)).all()


@pytest.mark.parametrize(
    ("record", "options", "message"),
    [
        (np.zeros(100), {}, r"shape \(n_leads, n_samples\)"),
        (np.zeros((2, 0)), {}, r"shape \(n_leads, n_samples\)"),
        (np.zeros((2, 100)), {"layout": "3x4"}, "No lead named I, II"),
        (np.zeros((12, 100)), {"layout": "4x3"}, "layout must be"),
        (np.zeros((12, 100)), {"rhythm_leads": ["X"]}, "No lead named X"),
        (np.zeros((2, 100)), {"attribution": np.zeros((2, 99))}, "the shape of a record"),
        (np.zeros((2, 100)), {"labels": ["a", "b"]}, "1 records, but 2 labels"),
        (np.zeros((2, 100)), {"lead_names": ["a"]}, "lead_names has 1"),
        (np.zeros((1000, 12)), {}, r"\(n_leads, n_samples\).* shape \(1000, 12\).*give record\.T"),
        (np.zeros((2, 100)), {"sampling_rate": 0}, "number of Hz above 0, but is 0"),
        (np.zeros((2, 100)), {"sampling_rate": -100.0}, "number of Hz above 0, but is -100"),
        (np.zeros((2, 100)), {"sampling_rate": np.nan}, "number of Hz above 0, but is nan"),
        (np.zeros((2, 100)), {"sampling_rate": "100"}, "number of Hz above 0, but is '100'"),
        (np.zeros((2, 100)), {"sampling_rate": [100]}, r"number of Hz above 0, but is \[100\]"),
        (np.zeros((2, 100)), {"sampling_rate": None}, "number of Hz above 0, but is None"),
        (np.zeros((2, 100)), {"spans": [1, 2, 3]}, r"spans must be pairs .* are \[1, 2, 3\]"),
        (np.zeros((2, 100)), {"spans": [(1, 2), (3,)]}, "spans must be pairs"),
        (np.zeros((2, 100)), {"spans": 1}, "spans must be pairs .* are 1"),
        (np.zeros((2, 100)), {"spans": ["a", "b"]}, "spans must be pairs"),
    ],
)
def test_what_cannot_be_drawn_is_named(record, options, message):
    with pytest.raises(InvalidECGError, match=message):
        ECGDisplay.from_record(record, **({"sampling_rate": RATE} | options))


# How training went --------------------------------------------------------------------------------


def test_history_is_drawn_as_it_is(bell):
    display = PretrainingDisplay.from_estimator(bell[0])
    lines = {line.get_label(): line.get_ydata() for line in display.axes_[0].get_lines()}
    assert lines.keys() == {"loss", "intra", "inter"}
    for name, values in lines.items():
        assert list(values) == [epoch[name] for epoch in bell[0].history_]
    for ax, name in zip(display.axes_[1:], ["latent_deviation", "effective_rank"], strict=True):
        (line,) = ax.get_lines()
        assert list(line.get_ydata()) == [epoch[name] for epoch in bell[0].history_]
    assert "0.99" in display.axes_[0].get_title()


def test_what_was_not_trained_has_no_history(bell):
    untrained = BELLPretrainer(max_epochs=0, head_width=4).fit(bell[1].data)
    with pytest.raises(InvalidECGError, match="no history"):
        PretrainingDisplay.from_estimator(untrained)
    classifier = ECGClassifier(bell[0], max_epochs=1, n_trees=2)
    classifier.fit(bell[1].data, np.arange(20) % 2)
    with pytest.raises(InvalidECGError, match="ECGClassifier has no history of pretraining"):
        PretrainingDisplay.from_estimator(classifier)


# Latents ------------------------------------------------------------------------------------------


def test_a_map_is_that_of_pca(bell):
    estimator, ecg = bell
    y = np.array(["odd", "even"])[np.arange(20) % 2]
    display = LatentDisplay.from_estimator(estimator, ecg.data, y)
    latents = StandardScaler().fit_transform(estimator.transform(ecg.data))
    expected = PCA(2, random_state=0).fit_transform(latents)
    found = {one.get_label(): one.get_offsets() for one in display.axes_[0].collections}
    for label in ("odd", "even"):
        np.testing.assert_allclose(found[label], expected[y == label], rtol=1e-4, atol=1e-4)
    assert [t.get_text() for t in display.axes_[0].get_legend().get_texts()] == ["even", "odd"]


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_each_lead_has_a_map_of_its_own_latents(bell, method):
    estimator, ecg = bell
    display = LatentDisplay.from_estimator(estimator, ecg.data, per_lead=True, method=method)
    assert [ax.get_title() for ax in display.axes_] == ["II", "V1", "V5"]
    latents = estimator.transform(ecg.data)
    alone = LatentDisplay.from_latents(latents[:, : latents.shape[1] // 3], method=method)
    np.testing.assert_allclose(display.maps["II"], alone.maps["all leads"], rtol=1e-4, atol=1e-4)


def test_few_records_and_features_have_maps_too():
    assert LatentDisplay.from_latents([[1.0], [2.0]]).maps["all leads"].shape == (2, 2)
    assert LatentDisplay.from_latents(np.eye(4), method="tsne").maps["all leads"].shape == (4, 2)


@pytest.mark.parametrize(
    ("latents", "options", "message"),
    [
        ([1.0, 2.0], {}, "n_records, n_features"),
        ([[1.0]], {}, "two records or more"),
        (np.eye(3), {"y": [0, 1]}, "a label for each of 3"),
        (np.eye(3), {"method": "mds"}, "method must be one of"),
        (np.eye(3), {"leads": ["II", "V1"]}, r"each of 3 features, but has shape \(2,\)"),
        (np.eye(3), {"leads": "II"}, r"each of 3 features, but has shape \(\)"),
    ],
)
def test_what_has_no_map_is_named(latents, options, message):
    with pytest.raises(InvalidECGError, match=message):
        LatentDisplay.from_latents(latents, **options)


def test_umap_makes_the_map_where_it_is_installed(monkeypatch):
    class UMAP:
        def __init__(self, random_state):
            self.random_state = random_state

        def fit_transform(self, scaled):
            np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-12)
            np.testing.assert_allclose(scaled.std(axis=0), 1)
            return scaled[:, :2] + self.random_state

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=UMAP))
    latents = np.random.default_rng(0).normal(3, 2, (10, 4))
    display = LatentDisplay.from_latents(latents, method="umap", random_state=7)
    expected = StandardScaler().fit_transform(latents)[:, :2] + 7
    (ax,) = display.axes_
    np.testing.assert_allclose(ax.collections[0].get_offsets(), expected)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("UMAP 1", "UMAP 2")
    leads = ["II", "II", "V1", "V1"]
    each = LatentDisplay.from_latents(latents, leads=leads, method="umap", random_state=7)
    np.testing.assert_allclose(each.maps["V1"], StandardScaler().fit_transform(latents)[:, 2:] + 7)


def test_umap_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(ImportError, match="pip install umap-learn"):
        LatentDisplay.from_latents(np.eye(4), method="umap")


def test_lead_distances_are_the_terms_of_the_loss(bell):
    estimator, ecg = bell
    distances = estimator.lead_distances(ecg.data, random_state=0)
    assert distances.shape == (3, 3)
    # slowly: batch by batch, record by record, lead by lead
    learner = estimator._net.module_
    generator = torch.Generator().manual_seed(
        int(np.random.RandomState(0).randint(np.iinfo(np.int32).max))
    )
    method = __import__("copy").deepcopy(learner.method).eval()
    expected, cosine = np.zeros((3, 3)), torch.nn.CosineSimilarity(dim=0)
    with torch.no_grad():
        for start in range(0, 20, 8):
            x = torch.from_numpy(ecg.data[start : start + 8])
            views = learner.views(learner.prepare(x), generator)
            for one, other in (views, views[::-1]):
                latent = method.projector(method.encoder(one))
                own, others = method.predictor(latent), method.cross_predictor(latent)
                encode, project = method.target
                target = project(encode(other))
                for r, i, j in np.ndindex(len(x), 3, 3):
                    p = own[r, i] if i == j else others[r, i]
                    expected[i, j] += (2 - 2 * cosine(p, target[r, j]).item()) / 40
    np.testing.assert_allclose(distances, expected, rtol=1e-4)


def test_lead_distances_are_drawn_with_their_figures(bell):
    estimator, ecg = bell
    display = LeadSimilarityDisplay.from_estimator(estimator, ecg.data)
    np.testing.assert_array_equal(display.image_.get_array(), display.distances)
    written = [float(text.get_text()) for text in display.axes_.texts]
    np.testing.assert_allclose(written, display.distances.ravel(), atol=0.006)
    assert [t.get_text() for t in display.axes_.get_yticklabels()] == ["II", "V1", "V5"]
    simclr = SimCLRPretrainer(max_epochs=1).fit(ecg.data)
    with pytest.raises(InvalidECGError, match="SimCLRPretrainer has no loss between leads"):
        LeadSimilarityDisplay.from_estimator(simclr, ecg.data)


# Scores -------------------------------------------------------------------------------------------


def test_label_efficiency_has_means_and_intervals():
    rng = np.random.default_rng(0)
    scores = {"a": rng.normal(0.8, 0.02, (3, 5)), "b": [[0.5], [0.6], [0.7]]}
    display = LabelEfficiencyDisplay.from_scores([10, 100, 1000], scores)
    ax = display.axes_
    means = {line.get_label(): line.get_ydata() for line in ax.get_lines()}
    np.testing.assert_allclose(means["a"], scores["a"].mean(axis=1))
    np.testing.assert_allclose(means["b"], [0.5, 0.6, 0.7])
    (band,) = ax.collections  # one repeat has no interval
    corners = band.get_paths()[0].vertices
    at_first = corners[corners[:, 0] == 10, 1]
    half = np.ptp(at_first) / 2
    # as the normal distribution has it, roughly, of five
    assert 0.5 < half / (1.96 * scores["a"][0].std() / np.sqrt(5)) < 1.5
    assert at_first.min() < means["a"][0] < at_first.max()
    assert [t.get_text() for t in ax.get_xticklabels()] == ["10", "100", "1000"]
    fractions = LabelEfficiencyDisplay.from_scores([0.01, 0.1, 1], scores).axes_
    assert [t.get_text() for t in fractions.get_xticklabels()] == ["1 %", "10 %", "100 %"]
    with pytest.raises(InvalidECGError, match=r"scores of a must be of shape \(2, n_repeats\)"):
        LabelEfficiencyDisplay.from_scores([1, 2], scores)


@pytest.mark.parametrize("confidence", [95, 1, 0, -0.5, np.nan, "0.95"])
def test_confidence_that_makes_no_sense_is_named(confidence):
    message = f"confidence must be a number between 0 and 1.* but is {confidence!r}"
    for draw in (
        lambda: LabelEfficiencyDisplay.from_scores([1], {"a": [[1, 2]]}, confidence=confidence),
        lambda: LabelEfficiencyDisplay(np.ones(1), {"a": np.ones((1, 2))}, confidence).plot(),
    ):
        with pytest.raises(InvalidECGError, match=message):
            draw()


@pytest.mark.parametrize("n_labels", [[0, 10], [-1, 10], [], [[1, 2]], 3, [np.nan, 1]])
def test_numbers_of_labels_that_make_no_sense_are_named(n_labels):
    scores = {"a": np.ones((np.size(n_labels), 2))}
    with pytest.raises(InvalidECGError, match="n_labels must be numbers"):
        LabelEfficiencyDisplay.from_scores(n_labels, scores)


def test_readers_are_points_where_their_figures_are():
    rng = np.random.default_rng(0)
    truth = pd.DataFrame(rng.integers(0, 2, (50, 2)), columns=["AF", "LBBB"])
    scores = truth + rng.normal(0, 0.7, (50, 2))
    readers = {"resident": (scores > 0.4).astype(int), "student": truth * 0}
    display = ReaderDisplay.from_predictions(truth, scores, readers)
    assert display.axes_.shape == (2, 2)
    for k, name in enumerate(truth):
        roc, pr = display.axes_[:, k]
        assert roc.get_title() == name
        resident = {line.get_label(): line.get_data() for line in roc.get_lines()}["resident"]
        y, said = truth[name], readers["resident"][name]
        specificity = recall_score(1 - y, 1 - said)
        expected = [100 * (1 - specificity)], [100 * recall_score(y, said)]
        np.testing.assert_allclose(resident, expected)
        points = {line.get_label(): line.get_data() for line in pr.get_lines()}
        expected = [100 * recall_score(y, said)], [100 * precision_score(y, said)]
        np.testing.assert_allclose(points["resident"], expected)
        assert "student" not in points  # who never says yes has no precision
        # the resident's threshold is one of the model's, so that the point is on its curve
        x, curve = roc.get_lines()[0].get_data()
        assert np.hypot(x - resident[0], curve - resident[1]).min() < 1e-6


def test_a_class_that_nobody_has_is_named():
    with pytest.raises(InvalidECGError, match="0 of 3 records have the class AF"):
        ReaderDisplay.from_predictions([[0], [0], [0]], [[1.0], [0], [0]], class_names=["AF"])
    with pytest.raises(InvalidECGError, match="y_true must be an indicator"):
        ReaderDisplay.from_predictions([0, 1, 0], [[1.0], [0], [0]])


# Colours ------------------------------------------------------------------------------------------

# Machado, Oliveira and Fernandes 2009, IEEE TVCG 15(6), 1291-1298: full severity, on linear RGB
SEEN = {
    "all cones": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}


def lab(colours, seen):
    """Return colours (n, 3) in CIELAB, white being that of sRGB, as somebody sees them."""
    rgb = np.array([to_rgb(colour) for colour in colours])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ np.transpose(seen), 0, 1)
    to_xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
              [0.0193339, 0.1191920, 0.9503041]]  # fmt: skip
    xyz = linear @ np.transpose(to_xyz) / np.sum(to_xyz, axis=1)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack(
        [116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1
    )


def least_distance(colours, seen):
    return pdist(lab(colours, seen)).min()


def test_the_conversion_to_lab_is_right():
    found = lab(["#ffffff", "#ff0000", "#0000ff"], np.eye(3))
    expected = [[100, 0, 0], [53.24, 80.09, 67.20], [32.30, 79.19, -107.86]]  # as in tables
    np.testing.assert_allclose(found, expected, atol=0.05)


@pytest.mark.parametrize("seen", SEEN.values(), ids=SEEN)
def test_colours_are_told_apart_by_the_colour_blind(seen):
    assert least_distance([*COLOURS, "#ffffff"], seen) > 15  # on white paper


def test_colours_that_are_not_told_apart_are_found():
    usual = [f"C{i}" for i in range(len(COLOURS))]  # of matplotlib
    least = {name: least_distance(usual, seen) for name, seen in SEEN.items()}
    assert least["all cones"] > 15
    assert max(least["protanopia"], least["deuteranopia"]) < 10


# All ----------------------------------------------------------------------------------------------


def displays(bell):
    estimator, ecg = bell
    return {
        "ecg": (draw(), 1),
        "history": (PretrainingDisplay.from_estimator(estimator), 3),
        "latents": (LatentDisplay.from_estimator(estimator, ecg.data), 1),
        "leads": (LeadSimilarityDisplay.from_estimator(estimator, ecg.data), 1),
        "labels": (LabelEfficiencyDisplay.from_scores([1, 2], {"a": [[1, 2], [2, 3]]}), 1),
        "readers": (ReaderDisplay.from_predictions([[0], [1]], [[0.1], [0.2]]), 2),
    }


def test_displays_draw_on_the_axes_they_are_given(bell):
    for display, n_axes in displays(bell).values():
        figure, axes = plt.subplots(1, n_axes, squeeze=False)
        ax = axes[0, 0] if n_axes == 1 else axes.ravel()
        assert display.plot(ax=ax) is display
        assert display.figure_ is figure
        assert set(np.ravel(display.axes_)) == set(axes.ravel())
        if n_axes > 1:
            with pytest.raises(InvalidECGError, match="ax must be"):
                display.plot(ax=axes[0, 0])


def pictures():
    """Return a picture of each display, of what does not depend on the machine."""
    rng = np.random.default_rng(0)
    attribution = np.zeros((12, 1000))
    attribution[6:, 300:340], attribution[:6, 700:740] = 1, -0.7
    history = [
        {"epoch": i, "loss": 4 / i, "intra": 3 / i, "inter": 4.25 / i, "latent_deviation": 0.1 + i,
         "effective_rank": 20 - i, "duration": 1.0}
        for i in range(1, 11)
    ]  # fmt: skip
    truth = np.arange(80).reshape(40, 2) % 3 == 0
    scores = truth + rng.normal(0, 0.7, (40, 2))
    said = {"cardiologist": truth ^ (rng.random((40, 2)) < 0.1), "student": scores > 0.9}
    readers = {name: one.astype(int) for name, one in said.items()}
    latents = rng.normal(size=(60, 5)) + 3 * np.eye(3, 5)[np.arange(60) % 3]
    names = np.array(["AF", "LBBB", "normal"])[np.arange(60) % 3]
    aurocs = {
        "BELL": np.array([[0.7], [0.8], [0.9]]) + 0.02 * rng.random((3, 5)),
        "by hand": np.array([[0.6], [0.75], [0.9]]) + 0.02 * rng.random((3, 5)),
    }
    distances = np.add.outer(np.arange(4), np.arange(4)) / 4
    two_leads = {"lead_names": ["I", "II"], "labels": ["before", "after"]}
    return {
        "ecg-3x4": draw(spans=[(1, 1.5)]),
        "ecg-6x2": draw(layout="6x2", rhythm_leads=["II", "V5"], attribution=attribution),
        "ecg-rows": ECGDisplay.from_record(ECG.data[:, :2], RATE, **two_leads),
        "history": PretrainingDisplay(history, momentum=0.99).plot(),
        "labels": LabelEfficiencyDisplay.from_scores([0.01, 0.1, 1], aurocs, metric="macro AUROC"),
        "latents": LatentDisplay.from_latents(latents, names),
        "leads": LeadSimilarityDisplay(distances, list(STANDARD_LEADS[:4])).plot(),
        "readers": ReaderDisplay.from_predictions(
            truth.astype(int), scores, readers, class_names=["AF", "LBBB"]
        ),
    }


def test_pictures_are_as_they_were_looked_at(tmp_path):
    # drawn anew, into tests/pictures, by: SKLEARN_BELL_DRAW=1 pytest -k looked_at; then look
    for name, display in pictures().items():
        kept, path = PICTURES / f"{name}.png", tmp_path / f"{name}.png"
        if os.environ.get("SKLEARN_BELL_DRAW"):
            path = kept
        display.figure_.savefig(path, dpi=60)
        drawn_by = Image.open(kept).text["Software"].split(",")[0]
        if drawn_by != f"Matplotlib version{mpl.__version__}":
            pytest.skip(f"drawn by {drawn_by}, whose letters differ")
        assert compare_images(str(kept), str(path), tol=1) is None


def test_pictures_are_the_same_each_time(bell, tmp_path):
    for name, (display, _) in displays(bell).items():
        paths = [str(tmp_path / f"{name}-{i}.png") for i in range(2)]
        display.figure_.savefig(paths[0])
        display.plot().figure_.savefig(paths[1])
        assert compare_images(*paths, tol=0) is None
