import numpy as np
import pytest
import torch

from sklearn_bell.nn.latent_statistics import LatentStatistics


def statistics_of(latents, n_batches=3):
    statistics = LatentStatistics()
    for batch in latents.tensor_split(n_batches):
        statistics.update(batch)
    return statistics


@pytest.mark.parametrize("offset", [0.0, 3.0, 1000.0])
def test_statistics_over_batches_equal_numpy_over_all(offset):
    latents = offset + torch.randn(50, 2, 4) * torch.tensor([1.0, 0.5, 0.1, 2.0])
    statistics = statistics_of(latents)
    deviations, ranks = [], []
    for lead in latents.double().numpy().transpose(1, 0, 2):
        covariance = np.cov(lead.T, bias=True)
        deviations.append(np.sqrt(np.trace(covariance) / (lead**2).sum(1).mean()))
        share = np.linalg.eigvalsh(covariance) / np.trace(covariance)
        ranks.append(np.exp(-(share * np.log(share)).sum()))
    assert statistics.deviations().tolist() == pytest.approx(deviations, rel=1e-3)
    assert statistics.effective_rank() == pytest.approx(np.mean(ranks), rel=1e-3)


def test_latents_on_a_line_have_rank_one():
    latents = torch.randn(100, 1, 1) * torch.randn(8)
    assert statistics_of(latents).effective_rank() == pytest.approx(1, abs=1e-3)


def test_latents_of_all_directions_have_full_rank():
    assert statistics_of(torch.randn(20000, 1, 8)).effective_rank() == pytest.approx(8, rel=0.01)


def test_constant_latents_have_no_deviation_and_no_rank():
    statistics = statistics_of(torch.full((10, 2, 3), 7.0))
    assert (statistics.deviations() == 0).all()
    assert statistics.effective_rank() == 0


def test_latents_without_leads_count_as_one_lead():
    latents = torch.randn(30, 5)
    assert statistics_of(latents).deviations() == statistics_of(latents[:, None]).deviations()
