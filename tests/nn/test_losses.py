"""Every loss against its definition, written as a loop."""

from itertools import permutations, product

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


def randn(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def cosine(a, b):
    return float(a @ b / (a.norm() * b.norm()))


@pytest.mark.parametrize("shape", [(5, 4, 7), (1, 3, 2), (6, 1, 3)])
def test_lead_distances_equal_a_loop(shape):
    prediction, target = randn(2, *shape)
    expected = torch.zeros(shape[1], shape[1])
    for record, i, j in product(range(shape[0]), range(shape[1]), range(shape[1])):
        expected[i, j] += (2 - 2 * cosine(prediction[record, i], target[record, j])) / shape[0]
    torch.testing.assert_close(lead_distances(prediction, target), expected)


def test_lead_distances_average_over_batches_of_any_size():
    prediction, target = randn(2, 6, 3, 4)
    parts = [lead_distances(prediction[i : i + 2], target[i : i + 2]) for i in (0, 2, 4)]
    torch.testing.assert_close(lead_distances(prediction, target), sum(parts) / 3)


def test_lead_distances_give_the_target_no_gradient():
    prediction, target = (x.requires_grad_() for x in randn(2, 4, 3, 5))
    lead_distances(prediction, target).sum().backward()
    assert prediction.grad.abs().sum() > 0
    assert target.grad is None


def test_lead_distances_compute_half_precision_in_float32():
    p, z = randn(2, 64, 3, 16).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        distances = lead_distances(prediction=p, target=z)
    assert distances.dtype == torch.float32
    torch.testing.assert_close(distances, lead_distances(p.float(), z.float()))
    assert lead_distances(p.double(), z.double()).dtype == torch.float64


def test_intra_inter_equal_a_loop():
    distances = randn(5, 5)
    intra, inter = intra_inter(distances)
    assert intra.item() == pytest.approx(np.mean([distances[i, i] for i in range(5)]), rel=1e-5)
    different = [distances[i, j] for i, j in permutations(range(5), 2)]
    assert inter.item() == pytest.approx(np.mean(different), rel=1e-5)


def test_intra_inter_of_one_lead_has_no_inter_term():
    assert intra_inter(torch.tensor([[1.5]])) == (1.5, 0)


def test_fuse_weighs_the_means_by_gamma():
    distances = randn(4, 4)
    intra, inter = intra_inter(distances)
    assert fuse(distances, 0.3)["loss"] == pytest.approx(float(0.3 * intra + 0.7 * inter))
    assert fuse(distances[:1, :1], 0.3)["loss"] == distances[0, 0]


def test_barlow_twins_loss_equals_a_loop():
    first, second = randn(2, 10, 3, 5)
    losses = barlow_twins_lead_loss(first, second, trade_off=0.1)
    for i, j in product(range(3), repeat=2):
        correlation = np.corrcoef(first[:, i].T, second[:, j].T)[:5, 5:]
        expected = sum(
            (1 - correlation[a, b]) ** 2 if a == b else 0.1 * correlation[a, b] ** 2
            for a, b in product(range(5), repeat=2)
        )
        assert losses[i, j].item() == pytest.approx(expected / 5, rel=1e-4)


def test_barlow_twins_loss_of_equal_views_of_independent_features_is_zero():
    views = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])[:, None]
    assert barlow_twins_lead_loss(views, 3 * views + 1).item() == pytest.approx(0, abs=1e-6)


def test_nt_xent_loss_equals_a_loop():
    first, second = randn(2, 4, 6)
    views = [*first, *second]
    losses = []
    for i, view in enumerate(views):
        scores = {j: np.exp(cosine(view, views[j]) / 0.2) for j in range(8) if j != i}
        losses.append(-np.log(scores[(i + 4) % 8] / sum(scores.values())))
    assert nt_xent_loss(first, second, 0.2).item() == pytest.approx(np.mean(losses), rel=1e-4)


def test_clocs_loss_equals_a_loop():
    views, patient = randn(4, 3, 6), torch.tensor([7, 8, 7, 9])
    losses = []
    for (v, w), i in product(permutations(range(3), 2), range(4)):
        scores = [np.exp(cosine(views[i, v], views[j, w]) / 0.2) for j in range(4)]
        positives = [j for j in range(4) if patient[j] == patient[i]]
        losses.append(-np.mean(np.log([scores[j] / sum(scores) for j in positives])))
    loss = clocs_loss(views, patient[:, None] == patient, 0.2).item()
    assert loss == pytest.approx(np.mean(losses), rel=1e-4)


@pytest.mark.parametrize("shape", [(5, 3, 20), (4, 1, 6, 7), (3, 2, 1)])
def test_reconstruction_loss_equals_a_loop(shape):
    x, y = randn(2, *shape)
    x[0, 0] = 2.0  # flat
    scale = torch.arange(1.0, shape[1] + 1).reshape(-1, *[1] * (len(shape) - 2))

    def unexplained(x, y):
        shares = np.zeros(x.shape[:2])
        for record, channel in np.ndindex(shares.shape):
            original, copy = x[record, channel].numpy(), y[record, channel].numpy()
            floor = 0.001 * float(scale[channel].flatten()) ** 2
            shares[record, channel] = ((original - copy) ** 2).mean() / (original.var() + floor)
        return shares

    slopes = [unexplained(x.diff(dim=d), y.diff(dim=d)) for d in range(2, x.ndim) if shape[d] > 1]
    loss, errors = reconstruction_loss(x, y, scale, slope_weight=0.5)
    np.testing.assert_allclose(errors, unexplained(x, y).mean(0), rtol=1e-4)
    expected = unexplained(x, y).mean() + 0.5 * sum(slope.mean() for slope in slopes)
    np.testing.assert_allclose(loss, expected, rtol=1e-4)
