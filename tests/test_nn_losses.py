import pytest
import torch

from sklearn_bell.nn.losses import intra_inter, lead_distances


def slow_distances(prediction, target):
    """2 - 2 cos, pair by pair and record by record."""
    n_records, n_leads, _ = prediction.shape
    distances = torch.zeros(n_leads, n_leads)
    for i in range(n_leads):
        for j in range(n_leads):
            for record in range(n_records):
                p, z = prediction[record, i], target[record, j]
                distances[i, j] += (p / p.norm() - z / z.norm()).square().sum() / n_records
    return distances


@pytest.mark.parametrize("shape", [(5, 4, 7), (1, 3, 2), (6, 1, 3)])
def test_lead_distances_equal_a_naive_loop(shape):
    prediction, target = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        lead_distances(prediction, target), slow_distances(prediction, target)
    )


def test_intra_and_inter_equal_a_naive_loop():
    distances = torch.rand(5, 5, generator=torch.Generator().manual_seed(0))
    same = [distances[i, j] for i in range(5) for j in range(5) if i == j]
    different = [distances[i, j] for i in range(5) for j in range(5) if i != j]
    intra, inter = intra_inter(distances)
    torch.testing.assert_close(intra, torch.stack(same).mean())
    torch.testing.assert_close(inter, torch.stack(different).mean())


def test_one_lead_has_no_inter_lead_term():
    intra, inter = intra_inter(torch.tensor([[1.5]]))
    assert (intra, inter) == (1.5, 0)


def test_the_mean_over_the_batch_does_not_depend_on_its_size():
    prediction, target = torch.randn(2, 6, 3, 4, generator=torch.Generator().manual_seed(0))
    parts = [lead_distances(prediction[i : i + 2], target[i : i + 2]) for i in (0, 2, 4)]
    torch.testing.assert_close(lead_distances(prediction, target), sum(parts) / 3)


def test_no_gradient_reaches_the_target_tensor():
    prediction, target = torch.randn(2, 4, 3, 5).requires_grad_().unbind()
    prediction.retain_grad()
    target.retain_grad()
    lead_distances(prediction, target).sum().backward()
    assert prediction.grad.abs().sum() > 0
    assert target.grad is None
