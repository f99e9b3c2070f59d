import numpy as np
import pytest
import torch

from sklearn_bell.nn.losses import (
    barlow_twins_lead_loss,
    clocs_loss,
    fuse,
    intra_inter,
    lead_distances,
    nt_xent_loss,
    reconstruction_loss,
)


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


def test_fusion_weighs_the_two_means():
    distances = torch.rand(4, 4)
    intra, inter = intra_inter(distances)
    assert fuse(distances, 0.3)["loss"] == pytest.approx(float(0.3 * intra + 0.7 * inter))
    assert fuse(distances[:1, :1], 0.3)["loss"] == distances[0, 0]


def test_redundancies_equal_those_of_every_pair_of_leads_in_turn():
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 10, 3, 5, generator=generator)
    actual = barlow_twins_lead_loss(first, second, trade_off=0.1)
    for i in range(3):
        for j in range(3):
            correlation = np.corrcoef(first[:, i].T, second[:, j].T)[:5, 5:]
            loss = sum(
                (1 - correlation[a, b]) ** 2 if a == b else 0.1 * correlation[a, b] ** 2
                for a in range(5)
                for b in range(5)
            )
            assert actual[i, j].item() == pytest.approx(loss / 5, rel=1e-4)


def test_equal_views_of_independent_features_have_no_redundancy():
    views = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])[:, None]
    assert barlow_twins_lead_loss(views, 3 * views + 1).item() == pytest.approx(0, abs=1e-6)


def cosine(a, b):
    return float(a @ b / (a.norm() * b.norm()))


def test_contrast_of_two_views_equals_its_definition():
    first, second = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(0))
    views = [*first, *second]
    losses = []
    for i, view in enumerate(views):
        scores = {j: np.exp(cosine(view, views[j]) / 0.2) for j in range(8) if j != i}
        losses.append(-np.log(scores[(i + 4) % 8] / sum(scores.values())))
    actual = nt_xent_loss(first, second, 0.2).item()
    assert actual == pytest.approx(np.mean(losses), rel=1e-4)


def test_contrast_of_patients_equals_its_definition():
    views = torch.randn(4, 3, 6, generator=torch.Generator().manual_seed(0))
    patient = torch.tensor([7, 8, 7, 9])
    losses = []
    for v in range(3):
        for w in range(3):
            for i in range(4 if v != w else 0):
                scores = [np.exp(cosine(views[i, v], views[j, w]) / 0.2) for j in range(4)]
                right = [j for j in range(4) if patient[j] == patient[i]]
                losses.append(-np.mean(np.log([scores[j] / sum(scores) for j in right])))
    actual = clocs_loss(views, patient[:, None] == patient, 0.2).item()
    assert actual == pytest.approx(np.mean(losses), rel=1e-4)


def test_what_comes_in_bfloat16_is_computed_in_float32():
    p, z = torch.randn(2, 64, 3, 16).bfloat16()
    expected = lead_distances(p.float(), z.float())
    with torch.autocast("cpu", torch.bfloat16):
        found = lead_distances(prediction=p, target=z)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)
    assert lead_distances(p.double(), z.double()).dtype == torch.float64


@pytest.mark.parametrize("shape", [(5, 3, 20), (4, 1, 6, 7), (3, 2, 1)])
def test_reconstruction_loss_is_the_part_of_the_variance_that_is_lost(shape):
    x, y = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    x[0, 0] = 2.0  # flat
    scale = torch.arange(1.0, shape[1] + 1).reshape(-1, *[1] * (len(shape) - 2))

    def lost(x, y):
        x, y = x.numpy(), y.numpy()
        parts = np.zeros(x.shape[:2])
        for record, channel in np.ndindex(parts.shape):
            one, other = x[record, channel], y[record, channel]
            least = 0.001 * float(scale[channel].flatten()) ** 2
            parts[record, channel] = ((one - other) ** 2).mean() / (one.var() + least)
        return parts

    slopes = [lost(x.diff(dim=d), y.diff(dim=d)) for d in range(2, x.ndim) if x.shape[d] > 1]
    loss, errors = reconstruction_loss(x, y, scale, slope_weight=0.5)
    np.testing.assert_allclose(errors, lost(x, y).mean(0), rtol=1e-4)
    expected = lost(x, y).mean() + 0.5 * sum(one.mean() for one in slopes)
    np.testing.assert_allclose(loss, expected, rtol=1e-4)
