import numpy as np
import pytest
import torch

from sklearn_bell.nn.vector_quantization import VQVAE, Codebook, ResidualQuantizer, draw_codes


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def latents(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed))


def started(z, n_codebooks=3, n_codes=8):
    quantizer = ResidualQuantizer(n_codebooks, n_codes, z.shape[-1])
    quantizer.learn(z, generator())
    return quantizer


def test_the_code_is_that_of_the_nearest_vector():
    codebook, z = Codebook(7, 3), latents(20, 3)
    codebook.start(z, generator())
    distances = np.array([[((a - b) ** 2).sum() for b in codebook.vectors] for a in z])
    np.testing.assert_allclose(codebook.squared_distances(z), distances, atol=1e-5)
    np.testing.assert_array_equal(codebook(z), distances.argmin(1))


def test_vectors_become_the_means_of_what_they_stand_for():
    centers = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    z = centers.repeat_interleave(50, 0) + 0.1 * latents(150, 2)
    codebook = Codebook(3, 2, decay=0.5)
    codebook.start(z[[0, 50, 100]], generator(1))
    codebook.vectors.copy_(z[[0, 50, 100]])
    for _ in range(30):
        codebook.learn(z, codebook(z), generator())
    expected = torch.stack([z[start : start + 50].mean(0) for start in (0, 50, 100)])
    torch.testing.assert_close(codebook.vectors, expected, atol=1e-4, rtol=0)


def test_a_dead_vector_starts_again_as_a_latent():
    z = latents(100, 2)
    codebook = Codebook(4, 2, decay=0.5)
    codebook.start(z, generator())
    codebook.vectors[3] = torch.tensor([1000.0, 1000.0])  # stands for nothing any more
    codebook.sums[3] = codebook.vectors[3] * codebook.counts[3]
    for step in range(12):
        codebook.learn(z, codebook(z), generator(step))
    assert codebook.vectors.abs().max() <= z.abs().max()
    assert codebook(z).unique().numel() == 4


def test_near_vectors_are_drawn_oftener_and_at_low_temperature_only_the_nearest():
    z = latents(200, 3)
    codebook = Codebook(6, 3)
    codebook.start(z, generator())
    torch.testing.assert_close(codebook.draw(z, 1e-6, generator()), codebook(z))
    many = torch.stack([codebook.draw(z[:1], 2.0, generator(i)) for i in range(2000)])
    frequency = torch.bincount(many.flatten(), minlength=6) / 2000
    distances = (z[:1] - codebook.vectors).square().sum(1)
    expected = torch.softmax(-distances / codebook.error / 2.0, 0)
    torch.testing.assert_close(frequency, expected, atol=0.04, rtol=0)


@pytest.mark.parametrize("offset", [0.0, -1e30, 1e30])
@pytest.mark.parametrize("temperature", [1e-3, 1e-30, 1e-300])
def test_at_the_lowest_temperatures_the_likeliest_code_is_drawn(offset, temperature):
    step = max(1.0, 1e-6 * abs(offset))  # that float32 can tell apart
    logits = offset + step * torch.stack([torch.randperm(6) for _ in range(50)]).float()
    drawn = draw_codes(logits, temperature, generator())
    torch.testing.assert_close(drawn, logits.argmax(1))


def test_residual_codes_describe_what_is_left_one_after_the_other():
    z = latents(5, 6, 4)
    quantizer = started(z)
    quantized, codes = quantizer(z)
    for record in range(5):
        for position in range(6):
            left = z[record, position].clone()
            for number, codebook in enumerate(quantizer.codebooks):
                nearest = (left - codebook.vectors).square().sum(1).argmin()
                assert codes[record, position, number] == nearest
                left -= codebook.vectors[nearest]
    torch.testing.assert_close(quantizer.lookup(codes), quantized)


def test_each_codebook_leaves_less():
    z = latents(300, 1, 4)
    quantizer = started(z, n_codebooks=4, n_codes=32)
    for step in range(20):
        quantizer.learn(z, generator(step))
    errors = [codebook.error.item() for codebook in quantizer.codebooks]
    assert sorted(errors, reverse=True) == errors
    assert errors[-1] < 0.5 * errors[0]


def test_the_gradient_goes_straight_through():
    z = latents(3, 5, 4).requires_grad_()
    quantizer = ResidualQuantizer(2, 8, 4)
    quantized, _, commitment = quantizer.learn(z, generator())
    weight = latents(3, 5, 4, seed=1)
    (quantized * weight).sum().backward(retain_graph=True)
    torch.testing.assert_close(z.grad, weight)
    z.grad = None
    commitment.backward()
    assert z.grad.abs().sum() > 0
    assert not list(quantizer.parameters())  # codebooks are averages, not trained by gradient


@pytest.mark.parametrize("size", [(1,), (7,), (40,), (1, 1), (9, 14)])
@pytest.mark.parametrize("n_channels", [1, 3])
def test_what_comes_back_has_the_very_size(size, n_channels):
    vqvae = VQVAE(n_channels, len(size), width=4, n_features=4, n_codebooks=2, n_codes=4)
    x = latents(2, n_channels, *size)
    z = vqvae.encode(x)
    assert z.shape == (2, *[-(-n // 8) for n in size], 4)
    assert vqvae.decode(z, size).shape == x.shape == vqvae(x).shape


def test_settled_channels_have_mean_zero_and_deviation_one():
    x = 5 + torch.tensor([1.0, 20.0, 0.0])[:, None] * latents(50, 3, 40)
    vqvae = VQVAE(3, width=4, n_features=4, n_codebooks=2, n_codes=4)
    vqvae.settle(x)
    inside = (x - vqvae.center) / vqvae.scale
    torch.testing.assert_close(inside.mean((0, 2)), torch.zeros(3), atol=1e-4, rtol=0)
    deviation = inside.std((0, 2))
    torch.testing.assert_close(deviation, torch.tensor([1.0, 1.0, 0.0]), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("strides", "size", "width", "n_features"),
    [((8,), (48,), 16, 16), ((4, 2), (48,), 8, 16), ((3,), (48,), 6, 7), ((4,), (12, 8), 32, 32)],
)
def test_with_enough_channels_nothing_is_lost_in_the_beginning(strides, size, width, n_features):
    vqvae = VQVAE(2, len(size), width=width, n_features=n_features, strides=strides)
    x = latents(4, 2, *size)
    torch.testing.assert_close(vqvae.decode(vqvae.encode(x), size), x, atol=1e-4, rtol=0)
