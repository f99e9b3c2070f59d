"""Warning of collapsed latents."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sklearn_bell import BELLPretrainer
from sklearn_bell.exceptions import CollapseWarning
from sklearn_bell.nn.latent_statistics import LatentStatistics
from sklearn_bell.pretraining import SimCLRPretrainer
from sklearn_bell.pretraining._collapse import CollapseWarner
from tests.pretraining._cases import ConstantEncoder, LineEncoder, make_sines


def end_epochs(warner, *latents):
    """Pass the latents of epochs to a warner; return its messages."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for epoch, values in enumerate(latents, start=1):
            statistics = LatentStatistics()
            statistics.update(values)
            module = SimpleNamespace(statistics=statistics)
            warner.on_epoch_end(SimpleNamespace(module_=module, epoch_=epoch))
    assert all(issubclass(warning.category, CollapseWarning) for warning in caught)
    return [str(warning.message) for warning in caught]


def make_latents(n_records=256, n_features=5, rank=5, deviation=1.0):
    """Latents of two leads; those of the second differ in some directions only."""
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(n_records, 2, n_features, generator=generator)
    directions = torch.randn(rank, n_features, generator=generator)
    coordinates = torch.randn(n_records, rank, generator=generator)
    latents[:, 1] = 1 + deviation * coordinates @ directions
    return latents


@pytest.fixture
def warner():
    return CollapseWarner("Method", ["II", "V1"])


class TestCollapseWarner:
    def test_healthy_latents_do_not_warn(self, warner):
        assert end_epochs(warner, make_latents(), make_latents(n_records=4)) == []

    def test_latents_without_deviation_name_epoch_and_lead(self, warner):
        (message,) = end_epochs(warner, make_latents(), make_latents(deviation=1e-5))
        assert "Method has collapsed in epoch 2: the latents of V1 differ" in message

    def test_latents_along_one_direction_warn(self, warner):
        line = make_latents(rank=1)[:, 1:]
        (message,) = end_epochs(warner, line)
        assert "one direction only (effective rank 1.00)" in message

    @pytest.mark.parametrize(("n_records", "n_features"), [(255, 5), (300, 2)])
    def test_few_records_or_features_may_lie_on_a_line(self, warner, n_records, n_features):
        latents = make_latents(n_records, n_features, rank=1)[:, 1:]
        assert end_epochs(warner, latents) == []

    def test_second_collapse_does_not_warn_again(self, warner):
        assert len(end_epochs(warner, *[make_latents(deviation=1e-5)] * 3)) == 1


@pytest.mark.parametrize("method", [BELLPretrainer, SimCLRPretrainer])
@pytest.mark.parametrize(
    ("encoder", "symptom"),
    [(ConstantEncoder, r"of \w+ differ between records"), (LineEncoder, "vary along one")],
)
def test_fit_warns_once_at_the_line_of_the_caller(method, encoder, symptom):
    X = np.tile(make_sines(32), (8, 1, 1))
    pretrainer = method(encoder, head_width=8, max_epochs=3, random_state=0)
    with pytest.warns(CollapseWarning, match=f"collapsed in epoch 1: the latents {symptom}") as log:
        pretrainer.fit(X)
    assert len(log) == 1
    assert log[0].filename == __file__
