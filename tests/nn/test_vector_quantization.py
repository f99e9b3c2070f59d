import numpy as np
import pytest
import torch

from sklearn_bell.nn.vector_quantization import VQVAE, Codebook, ResidualQuantizer, draw_codes


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def make_latents(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed))


def make_quantizer(z, n_codebooks=3, n_codes=8):
    quantizer = ResidualQuantizer(n_codebooks, n_codes, z.shape[-1])
    quantizer.learn(z, generator())
    return quantizer


def test_codebook_returns_nearest_vector():
    codebook, z = Codebook(7, 3), make_latents(20, 3)
    codebook.start(z, generator())
    distances = np.array([[((a - b) ** 2).sum() for b in codebook.vectors] for a in z])
    np.testing.assert_allclose(codebook.squared_distances(z), distances, atol=1e-5)
    np.testing.assert_array_equal(codebook(z), distances.argmin(1))


def test_codebook_vectors_converge_to_cluster_means():
    centers = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    z = centers.repeat_interleave(50, 0) + 0.1 * make_latents(150, 2)
    codebook = Codebook(3, 2, decay=0.5)
    codebook.start(z[[0, 50, 100]], generator(1))
    codebook.vectors.copy_(z[[0, 50, 100]])
    for _ in range(30):
        codebook.learn(z, codebook(z), generator())
    expected = torch.stack([z[start : start + 50].mean(0) for start in (0, 50, 100)])
    torch.testing.assert_close(codebook.vectors, expected, atol=1e-4, rtol=0)


def test_codebook_resets_dead_vector():
    z = make_latents(100, 2)
    codebook = Codebook(4, 2, decay=0.5)
    codebook.start(z, generator())
    codebook.vectors[3] = torch.tensor([1000.0, 1000.0])  # far from all latents
    codebook.sums[3] = codebook.vectors[3] * codebook.counts[3]
    for step in range(12):
        codebook.learn(z, codebook(z), generator(step))
    assert codebook.vectors.abs().max() <= z.abs().max()
    assert codebook(z).unique().numel() == 4


def test_codebook_draw_follows_softmax_of_distances():
    z = make_latents(200, 3)
    codebook = Codebook(6, 3)
    codebook.start(z, generator())
    torch.testing.assert_close(codebook.draw(z, 1e-6, generator()), codebook(z))
    codes = codebook.draw(z[:1].expand(4000, -1), 2.0, generator())
    distances = (z[:1] - codebook.vectors).square().sum(1)
    expected = torch.softmax(-distances / codebook.error / 2.0, 0)
    torch.testing.assert_close(torch.bincount(codes) / 4000, expected, atol=0.04, rtol=0)


@pytest.mark.parametrize("offset", [0.0, -1e30, 1e30])
@pytest.mark.parametrize("temperature", [1e-3, 1e-30, 1e-300])
def test_draw_codes_at_low_temperature_returns_argmax(offset, temperature):
    step = max(1.0, 1e-6 * abs(offset))  # representable in float32
    logits = offset + step * torch.stack([torch.randperm(6) for _ in range(50)]).float()
    torch.testing.assert_close(draw_codes(logits, temperature, generator()), logits.argmax(1))


def test_quantizer_codes_match_slow_loop():
    z = make_latents(5, 6, 4)
    quantizer = make_quantizer(z)
    quantized, codes = quantizer(z)
    expected = torch.empty(5, 6, 3, dtype=torch.int64)
    for record, position in np.ndindex(5, 6):
        residual = z[record, position].clone()
        for level, codebook in enumerate(quantizer.codebooks):
            nearest = (residual - codebook.vectors).square().sum(1).argmin()
            expected[record, position, level] = nearest
            residual -= codebook.vectors[nearest]
    torch.testing.assert_close(codes, expected)
    torch.testing.assert_close(quantizer.lookup(codes), quantized)


def test_quantizer_error_falls_with_each_codebook():
    z = make_latents(300, 1, 4)
    quantizer = make_quantizer(z, n_codebooks=4, n_codes=32)
    for step in range(20):
        quantizer.learn(z, generator(step))
    errors = [codebook.error.item() for codebook in quantizer.codebooks]
    assert sorted(errors, reverse=True) == errors
    assert errors[-1] < 0.5 * errors[0]


def test_quantizer_gradient_passes_straight_through():
    z = make_latents(3, 5, 4).requires_grad_()
    quantizer = ResidualQuantizer(2, 8, 4)
    quantized, _, commitment = quantizer.learn(z, generator())
    weight = make_latents(3, 5, 4, seed=1)
    (quantized * weight).sum().backward(retain_graph=True)
    torch.testing.assert_close(z.grad, weight)
    z.grad = None
    commitment.backward()
    assert z.grad.abs().sum() > 0
    assert not list(quantizer.parameters())  # codebooks are buffers


@pytest.mark.parametrize("size", [(1,), (7,), (40,), (1, 1), (9, 14)])
@pytest.mark.parametrize("n_channels", [1, 3])
def test_vqvae_output_has_input_shape(size, n_channels):
    vqvae = VQVAE(n_channels, len(size), width=4, n_features=4, n_codebooks=2, n_codes=4)
    x = make_latents(2, n_channels, *size)
    z = vqvae.encode(x)
    assert z.shape == (2, *[-(-n // 8) for n in size], 4)
    assert vqvae.decode(z, size).shape == x.shape == vqvae(x).shape


def test_vqvae_fit_normalization_standardises_channels():
    x = 5 + torch.tensor([1.0, 20.0, 0.0])[:, None] * make_latents(50, 3, 40)
    vqvae = VQVAE(3, width=4, n_features=4, n_codebooks=2, n_codes=4)
    vqvae.fit_normalization(x)
    normalised = (x - vqvae.center) / vqvae.scale
    torch.testing.assert_close(normalised.mean((0, 2)), torch.zeros(3), atol=1e-4, rtol=0)
    expected = torch.tensor([1.0, 1.0, 0.0])
    torch.testing.assert_close(normalised.std((0, 2)), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("strides", "size", "width", "n_features"),
    [((8,), (48,), 16, 16), ((4, 2), (48,), 8, 16), ((3,), (48,), 6, 7), ((4,), (12, 8), 32, 32)],
)
def test_vqvae_decoder_starts_as_inverse_of_encoder(strides, size, width, n_features):
    vqvae = VQVAE(2, len(size), width=width, n_features=n_features, strides=strides)
    x = make_latents(4, 2, *size)
    torch.testing.assert_close(vqvae.decode(vqvae.encode(x), size), x, atol=1e-4, rtol=0)


def test_vqvae_state_dict_keys_are_stable():
    keys = set(VQVAE(1, strides=(4,), n_codebooks=1).state_dict())
    layers = ["0", "1.layers.1", "1.layers.3", "2.layers.1", "2.layers.3", "3"]
    names = [f"{layer}.{parameter}" for layer in layers for parameter in ("weight", "bias")]
    expected = {f"{part}.{name}" for part in ("encoder", "decoder") for name in names}
    expected |= {f"quantizer.codebooks.0.{name}" for name in ("vectors", "counts", "sums", "error")}
    assert keys == expected | {"quantizer.started", "center", "scale"}
