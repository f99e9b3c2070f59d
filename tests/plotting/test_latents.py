"""Tests of LatentDisplay and LeadSimilarityDisplay."""

import copy
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.plotting import LatentDisplay, LeadSimilarityDisplay
from sklearn_bell.pretraining import SimCLRPretrainer


def test_map_equals_pca(fitted):
    bell, ecg = fitted
    y = np.array(["odd", "even"])[np.arange(20) % 2]
    (ax,) = LatentDisplay.from_estimator(bell, ecg.data, y).axes_
    latents = StandardScaler().fit_transform(bell.transform(ecg.data))
    expected = PCA(2, random_state=0).fit_transform(latents)
    points = {dots.get_label(): dots.get_offsets() for dots in ax.collections}
    np.testing.assert_allclose(points["odd"], expected[y == "odd"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(points["even"], expected[y == "even"], rtol=1e-4, atol=1e-4)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["even", "odd"]


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_each_lead_has_a_map_of_its_latents(fitted, method):
    bell, ecg = fitted
    display = LatentDisplay.from_estimator(bell, ecg.data, per_lead=True, method=method)
    assert [ax.get_title() for ax in display.axes_] == ["II", "V1", "V5"]
    latents = bell.transform(ecg.data)
    single = LatentDisplay.from_latents(latents[:, : latents.shape[1] // 3], method=method)
    np.testing.assert_allclose(display.maps["II"], single.maps["all leads"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("latents", "method", "n_records"), [([[1.0], [2.0]], "pca", 2), (np.eye(4), "tsne", 4)]
)
def test_few_records_and_features_have_a_map(latents, method, n_records):
    display = LatentDisplay.from_latents(latents, method=method)
    assert display.maps["all leads"].shape == (n_records, 2)


@pytest.mark.parametrize(
    ("latents", "options", "message"),
    [
        ([1.0, 2.0], {}, "n_records, n_features"),
        ([[1.0]], {}, "two records or more"),
        (np.eye(3), {"y": [0, 1]}, r"Expected y of shape \(3,\), got \(2,\)"),
        (np.eye(3), {"method": "mds"}, "method must be one of"),
        (np.eye(3), {"leads": ["II", "V1"]}, r"Expected leads of shape \(3,\), got \(2,\)"),
        (np.eye(3), {"leads": "II"}, r"Expected leads of shape \(3,\), got \(\)"),
    ],
)
def test_invalid_arguments_raise(latents, options, message):
    with pytest.raises(InvalidECGError, match=message):
        LatentDisplay.from_latents(latents, **options)


class FakeUMAP:
    """Stand-in for umap-learn: the first two columns, moved by the seed."""

    def __init__(self, random_state):
        self.random_state = random_state

    def fit_transform(self, X):
        return X[:, :2] + self.random_state


def test_umap_is_used_if_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=FakeUMAP))
    latents = np.random.default_rng(0).normal(3, 2, (10, 4))
    scaled = StandardScaler().fit_transform(latents)
    (ax,) = LatentDisplay.from_latents(latents, method="umap", random_state=7).axes_
    np.testing.assert_allclose(ax.collections[0].get_offsets(), scaled[:, :2] + 7)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("UMAP 1", "UMAP 2")
    leads = ["II", "II", "V1", "V1"]
    display = LatentDisplay.from_latents(latents, leads=leads, method="umap", random_state=7)
    np.testing.assert_allclose(display.maps["V1"], scaled[:, 2:] + 7)


def test_missing_umap_names_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(ImportError, match="pip install umap-learn"):
        LatentDisplay.from_latents(np.eye(4), method="umap")


def test_lead_distances_equal_the_terms_of_the_loss(fitted):
    bell, ecg = fitted
    distances = bell.lead_distances(ecg.data, random_state=0)
    # slowly: batch by batch, record by record, lead by lead
    module = bell._net.module_
    generator = torch.Generator().manual_seed(
        int(np.random.RandomState(0).randint(np.iinfo(np.int32).max))
    )
    objective = copy.deepcopy(module.objective).eval()
    expected, cosine = np.zeros((3, 3)), torch.nn.CosineSimilarity(dim=0)
    with torch.no_grad():
        for start in range(0, 20, 8):
            x = torch.from_numpy(ecg.data[start : start + 8])
            views = module.make_views(module.normalize(x), generator)
            for view, other_view in (views, views[::-1]):
                latent = objective.projector(objective.encoder(view))
                intra, inter = objective.predictor(latent), objective.cross_predictor(latent)
                target = objective.target(other_view)
                for r, i, j in np.ndindex(len(x), 3, 3):
                    prediction = intra[r, i] if i == j else inter[r, i]
                    expected[i, j] += (2 - 2 * cosine(prediction, target[r, j]).item()) / 40
    np.testing.assert_allclose(distances, expected, rtol=1e-4)


def test_lead_distances_are_drawn_and_labelled(fitted):
    bell, ecg = fitted
    display = LeadSimilarityDisplay.from_estimator(bell, ecg.data)
    np.testing.assert_array_equal(display.image_.get_array(), display.distances)
    texts = [float(text.get_text()) for text in display.axes_.texts]
    np.testing.assert_allclose(texts, display.distances.ravel(), atol=0.006)
    assert [tick.get_text() for tick in display.axes_.get_yticklabels()] == ["II", "V1", "V5"]


def test_lead_distances_need_bell(fitted):
    _, ecg = fitted
    simclr = SimCLRPretrainer(max_epochs=1).fit(ecg.data)
    with pytest.raises(InvalidECGError, match="SimCLRPretrainer has no loss between leads"):
        LeadSimilarityDisplay.from_estimator(simclr, ecg.data)
