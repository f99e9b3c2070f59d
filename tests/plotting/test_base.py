"""Tests of all displays: colours, axes of the caller, and pictures."""

import os
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.testing.compare import compare_images
from PIL import Image
from scipy.spatial.distance import pdist

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
from tests.plotting.test_ecg import ECG, RATE, draw

PICTURES = Path(__file__).parent / "pictures"

# Machado, Oliveira and Fernandes 2009, IEEE TVCG 15(6), 1291-1298: full severity, on linear RGB
VISION = {
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


def to_lab(colours, vision):
    """Return colours (n, 3) in CIELAB, relative to the white of sRGB, as seen with a vision."""
    rgb = np.array([to_rgb(colour) for colour in colours])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ np.transpose(vision), 0, 1)
    to_xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
              [0.0193339, 0.1191920, 0.9503041]]  # fmt: skip
    xyz = linear @ np.transpose(to_xyz) / np.sum(to_xyz, axis=1)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack(
        [116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1
    )


def min_distance(colours, vision):
    return pdist(to_lab(colours, vision)).min()


def test_conversion_to_lab_matches_tables():
    lab = to_lab(["#ffffff", "#ff0000", "#0000ff"], np.eye(3))
    expected = [[100, 0, 0], [53.24, 80.09, 67.20], [32.30, 79.19, -107.86]]
    np.testing.assert_allclose(lab, expected, atol=0.05)


@pytest.mark.parametrize("vision", VISION.values(), ids=VISION)
def test_colours_are_discriminated_by_colour_blind_readers(vision):
    assert min_distance([*COLOURS, "#ffffff"], vision) > 15  # on white paper


def test_colour_distance_detects_a_bad_palette():
    default = [f"C{i}" for i in range(len(COLOURS))]  # of matplotlib
    distances = {name: min_distance(default, vision) for name, vision in VISION.items()}
    assert distances["all cones"] > 15
    assert max(distances["protanopia"], distances["deuteranopia"]) < 10


DISPLAYS = {  # display of a fitted pretrainer and its records, and number of axes
    "ecg": (lambda bell, X: draw(), 1),
    "history": (lambda bell, X: PretrainingDisplay.from_estimator(bell), 3),
    "latents": (LatentDisplay.from_estimator, 1),
    "leads": (LeadSimilarityDisplay.from_estimator, 1),
    "labels": (lambda bell, X: LabelEfficiencyDisplay.from_scores([1, 2], {"a": np.eye(2)}), 1),
    "readers": (lambda bell, X: ReaderDisplay.from_predictions([[0], [1]], [[0.1], [0.2]]), 2),
}


@pytest.mark.parametrize(("make", "n_axes"), DISPLAYS.values(), ids=DISPLAYS)
def test_display_draws_on_axes_of_the_caller(fitted, make, n_axes):
    bell, ecg = fitted
    display = make(bell, ecg.data)
    figure, axes = plt.subplots(1, n_axes, squeeze=False)
    assert display.plot(ax=axes[0, 0] if n_axes == 1 else axes.ravel()) is display
    assert display.figure_ is figure
    assert set(np.ravel(display.axes_)) == set(axes.ravel())
    if n_axes > 1:
        with pytest.raises(InvalidECGError, match=f"Expected {n_axes} axes, got 1"):
            display.plot(ax=axes[0, 0])


@pytest.mark.parametrize(("make", "n_axes"), DISPLAYS.values(), ids=DISPLAYS)
def test_display_draws_the_same_picture_again(fitted, tmp_path, make, n_axes):
    bell, ecg = fitted
    display = make(bell, ecg.data)
    display.figure_.savefig(tmp_path / "first.png")
    display.plot().figure_.savefig(tmp_path / "second.png")
    paths = [str(tmp_path / f"{name}.png") for name in ("first", "second")]
    assert compare_images(*paths, tol=0) is None


def draw_history():
    history = [
        {"epoch": i, "loss": 4 / i, "intra": 3 / i, "inter": 4.25 / i, "latent_deviation": 0.1 + i,
         "effective_rank": 20 - i, "duration": 1.0}
        for i in range(1, 11)
    ]  # fmt: skip
    return PretrainingDisplay(history, decay=0.99).plot()


def draw_attribution():
    attribution = np.zeros((12, 1000))
    attribution[6:, 300:340], attribution[:6, 700:740] = 1, -0.7
    return draw(layout="6x2", rhythm_leads=["II", "V5"], attribution=attribution)


def draw_two_records():
    names, labels = ["I", "II"], ["before", "after"]
    return ECGDisplay.from_record(ECG.data[:, :2], RATE, lead_names=names, labels=labels)


def draw_label_efficiency():
    rng = np.random.default_rng(0)
    aurocs = {
        "BELL": np.array([[0.7], [0.8], [0.9]]) + 0.02 * rng.random((3, 5)),
        "by hand": np.array([[0.6], [0.75], [0.9]]) + 0.02 * rng.random((3, 5)),
    }
    return LabelEfficiencyDisplay.from_scores([0.01, 0.1, 1], aurocs, metric="macro AUROC")


def draw_latents():
    classes = np.arange(60) % 3
    latents = np.random.default_rng(0).normal(size=(60, 5)) + 3 * np.eye(3, 5)[classes]
    return LatentDisplay.from_latents(latents, np.array(["AF", "LBBB", "normal"])[classes])


def draw_lead_similarity():
    distances = np.add.outer(np.arange(4), np.arange(4)) / 4
    return LeadSimilarityDisplay(distances, list(STANDARD_LEADS[:4])).plot()


def draw_readers():
    rng = np.random.default_rng(0)
    truth = np.arange(80).reshape(40, 2) % 3 == 0
    scores = truth + rng.normal(0, 0.7, (40, 2))
    errors = rng.random((40, 2)) < 0.1
    readers = {"cardiologist": (truth ^ errors).astype(int), "student": (scores > 0.9).astype(int)}
    return ReaderDisplay.from_predictions(
        truth.astype(int), scores, readers, class_names=["AF", "LBBB"]
    )


COMPARED = {  # pictures that do not depend on the machine
    "ecg-3x4": lambda: draw(spans=[(1, 1.5)]),
    "ecg-6x2": draw_attribution,
    "ecg-rows": draw_two_records,
    "history": draw_history,
    "labels": draw_label_efficiency,
    "latents": draw_latents,
    "leads": draw_lead_similarity,
    "readers": draw_readers,
}


@pytest.mark.parametrize("name", COMPARED)
def test_picture_matches_the_stored_one(name, tmp_path):
    # SKLEARN_BELL_DRAW=1 pytest -k stored redraws tests/plotting/pictures; look at them then
    stored, path = PICTURES / f"{name}.png", tmp_path / f"{name}.png"
    if os.environ.get("SKLEARN_BELL_DRAW"):
        path = stored
    COMPARED[name]().figure_.savefig(path, dpi=60)
    version = Image.open(stored).text["Software"].split(",")[0]
    if version != f"Matplotlib version{mpl.__version__}":
        pytest.skip(f"drawn by {version}, whose letters differ")
    assert compare_images(str(stored), str(path), tol=1) is None
