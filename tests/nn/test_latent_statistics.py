import numpy as np
import pytest
import torch

from sklearn_bell.nn.latent_statistics import LatentStatistics, latent_mean_std


def statistics_of(latents, n_batches=3):
    statistics = LatentStatistics()
    for batch in latents.tensor_split(n_batches):
        statistics.update(batch)
    return statistics


@pytest.fixture(params=[0.0, 3.0, 1000.0])
def latents(request):
    generator = torch.Generator().manual_seed(0)
    scale = torch.tensor([1.0, 0.5, 0.1, 2.0])
    return request.param + torch.randn(50, 2, 4, generator=generator) * scale


def test_statistics_over_batches_equal_numpy(latents):
    statistics = statistics_of(latents)
    deviations, ranks = [], []
    for lead in latents.double().numpy().transpose(1, 0, 2):
        covariance = np.cov(lead.T, bias=True)
        deviations.append(np.sqrt(np.trace(covariance) / (lead**2).sum(1).mean()))
        share = np.linalg.eigvalsh(covariance) / np.trace(covariance)
        ranks.append(np.exp(-(share * np.log(share)).sum()))
    assert statistics.deviations().tolist() == pytest.approx(deviations, rel=1e-3)
    assert statistics.effective_rank() == pytest.approx(np.mean(ranks), rel=1e-3)


def test_merged_statistics_equal_those_of_all_batches(latents):
    expected = statistics_of(latents)
    first, second = statistics_of(latents[:20]), statistics_of(latents[20:]).cpu()
    first.merge(second)
    assert first.n == expected.n
    torch.testing.assert_close(first.mean(), expected.mean())
    torch.testing.assert_close(first.covariance(), expected.covariance(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("latents", "rank"),
    [
        (torch.arange(-50.0, 50)[:, None, None] * torch.arange(1.0, 9), 1),
        (torch.cat([torch.eye(8), -torch.eye(8)])[:, None], 8),
        (torch.full((10, 2, 3), 7.0), 0),
    ],
    ids=["line", "all directions", "constant"],
)
def test_effective_rank_of_known_latents(latents, rank):
    assert statistics_of(latents).effective_rank() == pytest.approx(rank, abs=1e-3)


def test_constant_latents_have_no_deviation():
    assert (statistics_of(torch.full((10, 2, 3), 7.0)).deviations() == 0).all()


def test_latents_without_leads_count_as_one_lead():
    latents = torch.randn(30, 5)
    assert statistics_of(latents).deviations() == statistics_of(latents[:, None]).deviations()


def test_latent_mean_std_equals_numpy(latents):
    latents = latents.flatten(1)
    latents[:, 3] = 5.0
    mean, deviation = latent_mean_std(latents.tensor_split(4))
    expected = latents.double().numpy().std(axis=0)
    expected[3] = 1.0
    assert mean.dtype == deviation.dtype == torch.float32
    np.testing.assert_allclose(mean, latents.double().numpy().mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(deviation, expected, rtol=1e-6)
