"""Tests of LabelEfficiencyDisplay and ReaderDisplay."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import precision_score, recall_score

from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.plotting import LabelEfficiencyDisplay, ReaderDisplay


def test_label_efficiency_shows_means_and_intervals():
    rng = np.random.default_rng(0)
    scores = {"a": rng.normal(0.8, 0.02, (3, 5)), "b": [[0.5], [0.6], [0.7]]}
    ax = LabelEfficiencyDisplay.from_scores([10, 100, 1000], scores).axes_
    means = {line.get_label(): line.get_ydata() for line in ax.get_lines()}
    np.testing.assert_allclose(means["a"], scores["a"].mean(axis=1))
    np.testing.assert_allclose(means["b"], [0.5, 0.6, 0.7])
    (band,) = ax.collections  # one repeat has no interval
    corners = band.get_paths()[0].vertices
    ends = corners[corners[:, 0] == 10, 1]
    # near the interval of the normal distribution
    assert 0.5 < np.ptp(ends) / 2 / (1.96 * scores["a"][0].std() / np.sqrt(5)) < 1.5
    assert ends.min() < means["a"][0] < ends.max()


@pytest.mark.parametrize(
    ("n_labels", "expected"),
    [([10, 100, 1000], ["10", "100", "1000"]), ([0.01, 0.1, 1], ["1 %", "10 %", "100 %"])],
)
def test_label_efficiency_ticks_are_counts_or_fractions(n_labels, expected):
    ax = LabelEfficiencyDisplay.from_scores(n_labels, {"a": np.ones((3, 2))}).axes_
    assert [tick.get_text() for tick in ax.get_xticklabels()] == expected


INVALID = {
    "from_scores": lambda c: LabelEfficiencyDisplay.from_scores([1], {"a": [[1, 2]]}, confidence=c),
    "plot": lambda c: LabelEfficiencyDisplay(np.ones(1), {"a": np.ones((1, 2))}, c).plot(),
}


@pytest.mark.parametrize("confidence", [95, 1, 0, -0.5, np.nan, "0.95"])
@pytest.mark.parametrize("call", INVALID.values(), ids=INVALID)
def test_invalid_confidence_raises(confidence, call):
    with pytest.raises(InvalidECGError, match=f"confidence between 0 and 1.* got {confidence!r}"):
        call(confidence)


@pytest.mark.parametrize("n_labels", [[0, 10], [-1, 10], [], [[1, 2]], 3, [np.nan, 1]])
def test_invalid_n_labels_raise(n_labels):
    scores = {"a": np.ones((np.size(n_labels), 2))}
    with pytest.raises(InvalidECGError, match="Expected n_labels as positive numbers"):
        LabelEfficiencyDisplay.from_scores(n_labels, scores)


def test_scores_of_other_length_raise():
    with pytest.raises(InvalidECGError, match=r"scores of a of shape \(2, n_repeats\), got \(3, 5"):
        LabelEfficiencyDisplay.from_scores([1, 2], {"a": np.ones((3, 5))})


rng = np.random.default_rng(0)
TRUTH = pd.DataFrame(rng.integers(0, 2, (50, 2)), columns=["AF", "LBBB"])
SCORES = TRUTH + rng.normal(0, 0.7, (50, 2))
READERS = {"resident": (SCORES > 0.4).astype(int), "student": TRUTH * 0}


@pytest.mark.parametrize(("k", "name"), [(0, "AF"), (1, "LBBB")])
def test_readers_are_points_at_their_rates(k, name):
    roc, pr = ReaderDisplay.from_predictions(TRUTH, SCORES, READERS).axes_[:, k]
    assert roc.get_title() == name
    y, answers = TRUTH[name], READERS["resident"][name]
    sensitivity, specificity = recall_score(y, answers), recall_score(1 - y, 1 - answers)
    resident = {line.get_label(): line.get_data() for line in roc.get_lines()}["resident"]
    np.testing.assert_allclose(resident, [[100 * (1 - specificity)], [100 * sensitivity]])
    points = {line.get_label(): line.get_data() for line in pr.get_lines()}
    expected = [[100 * sensitivity], [100 * precision_score(y, answers)]]
    np.testing.assert_allclose(points["resident"], expected)
    assert "student" not in points  # no positive answer, no precision
    # the resident has a threshold of the model, so the point lies on the curve
    x, curve = roc.get_lines()[0].get_data()
    assert np.hypot(x - resident[0], curve - resident[1]).min() < 1e-6


@pytest.mark.parametrize(
    ("truth", "message"),
    [([[0], [0], [0]], "0 of 3 records have the class 0"),
     ([0, 1, 0], r"Expected y_true of shape \(n_records, n_classes\), got \(3,\)")],
)  # fmt: skip
def test_invalid_truth_raises(truth, message):
    with pytest.raises(InvalidECGError, match=message):
        ReaderDisplay.from_predictions(truth, [[1.0], [0], [0]])
