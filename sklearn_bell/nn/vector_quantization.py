"""Vector quantisation: codebooks, and autoencoders with quantised latents (VQ-VAE).

Latents have the shape ``(batch, *positions, n_features)``, one position per patch of the record.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

__all__ = ["VQVAE", "Codebook", "ImageVQVAE", "ResidualQuantizer"]


def draw_codes(logits: Tensor, temperature: Tensor | float, generator: Generator) -> Tensor:
    """Draw a code for each row of logits ``(n, n_codes)``, divided by the temperature."""
    logits = logits - logits.amax(1, keepdim=True)  # avoids an overflow of all logits
    temperature = torch.as_tensor(temperature, dtype=logits.dtype, device=logits.device)
    probabilities = (logits / temperature.clamp_min(torch.finfo(logits.dtype).tiny)).softmax(1)
    # inverse transform sampling: much faster than torch.multinomial
    cumulative = probabilities.cumsum(1)
    uniform = torch.rand(len(cumulative), 1, generator=generator, device=cumulative.device)
    codes = torch.searchsorted(cumulative, uniform * cumulative[:, -1:], right=True)
    return codes[:, 0].clamp_max(cumulative.shape[1] - 1)


class Codebook(nn.Module):
    """Vectors that quantise latents, updated as moving averages of the latents assigned to them.

    The first batch initialises all vectors with random latents. A vector with hardly any latents is
    dead, and is reset to a random latent of the batch. From van den Oord A, Vinyals O, Kavukcuoglu
    K. Neural discrete representation learning. NeurIPS 2017.

    Parameters
    ----------
    n_codes, n_features : int
        Number and width of the vectors.
    decay : float, default=0.99
        Decay of the moving averages per step.
    dead_below : float, default=0.02
        A vector is dead below this fraction of the mean number of latents per vector.

    Examples
    --------
    >>> Codebook(n_codes=16, n_features=2)(torch.randn(5, 2)).shape
    torch.Size([5])
    """

    def __init__(
        self, n_codes: int, n_features: int, decay: float = 0.99, dead_below: float = 0.02
    ):
        super().__init__()
        self.decay, self.dead_below = decay, dead_below
        self.vectors = nn.Buffer(torch.zeros(n_codes, n_features))
        # moving averages: number and sum of the latents of each vector, mean squared distance
        self.counts = nn.Buffer(torch.zeros(n_codes))
        self.sums = nn.Buffer(torch.zeros(n_codes, n_features))
        self.error = nn.Buffer(torch.zeros(()))

    def squared_distances(self, z: Tensor) -> Tensor:
        """Return the distances of latents ``(n, n_features)`` to all vectors, ``(n, n_codes)``."""
        squares = z.square().sum(1, keepdim=True) + self.vectors.square().sum(1)
        return torch.addmm(squares, z, self.vectors.T, alpha=-2)

    def forward(self, z: Tensor) -> Tensor:
        """Return the code of each latent: the index of the nearest vector."""
        return self.squared_distances(z).argmin(1)

    def draw(self, z: Tensor, temperature: float, generator: Generator) -> Tensor:
        """Draw a code for each latent; near vectors are more likely.

        Probabilities are the softmax of the negative squared distances over the temperature, in
        units of the mean squared distance between latents and their nearest vectors.
        """
        unit = self.error.clamp_min(torch.finfo(z.dtype).tiny)
        return draw_codes(-self.squared_distances(z), unit * temperature, generator)

    @torch.no_grad()
    def start(self, z: Tensor, generator: Generator) -> None:
        """Initialise the vectors with random latents."""
        self.counts.fill_(len(z) / len(self.vectors))
        self._reset(torch.ones_like(self.counts, dtype=torch.bool), z, generator)
        self.error.copy_(self.squared_distances(z).amin(1).mean())

    @torch.no_grad()
    def learn(self, z: Tensor, codes: Tensor, generator: Generator) -> None:
        """Update the moving averages with latents and their codes; reset dead vectors."""
        weight = 1 - self.decay
        self.error.lerp_((z - self.vectors[codes]).square().sum(1).mean(), weight)
        self.counts.lerp_(torch.bincount(codes, minlength=len(self.vectors)).to(z.dtype), weight)
        self.sums.lerp_(torch.zeros_like(self.vectors).index_add_(0, codes, z), weight)
        self.vectors.copy_(self.sums / self.counts[:, None])
        mean_count = len(z) / len(self.vectors)
        dead = self.counts < self.dead_below * mean_count
        self.counts[dead] = mean_count
        self._reset(dead, z, generator)

    def _reset(self, mask, z, generator):
        """Replace the masked vectors by random latents."""
        rows = torch.randint(len(z), (int(mask.sum()),), generator=generator, device=z.device)
        self.vectors[mask] = z[rows]
        self.sums[mask] = z[rows] * self.counts[mask, None]


class ResidualQuantizer(nn.Module):
    """Sequence of codebooks, each of which quantises the residual of the codebooks before it.

    A quantised latent is the sum of one vector per codebook: n codebooks of k vectors represent
    ``k ** n`` latents. With one codebook it is the quantiser of the VQ-VAE. From Zeghidour N,
    Luebs A, Omran A, Skoglund J, Tagliasacchi M. SoundStream: an end-to-end neural audio codec.
    IEEE/ACM Trans Audio Speech Lang Process 2022;30:495-507.

    Parameters
    ----------
    n_codebooks, n_codes, n_features : int
    decay : float, default=0.99
        Number of codebooks, and parameters of each :class:`Codebook`.

    Examples
    --------
    >>> quantized, codes = ResidualQuantizer(2, n_codes=16, n_features=4)(torch.randn(5, 4))
    >>> quantized.shape, codes.shape
    (torch.Size([5, 4]), torch.Size([5, 2]))
    """

    def __init__(self, n_codebooks: int, n_codes: int, n_features: int, decay: float = 0.99):
        super().__init__()
        self.n_codes = n_codes
        codebooks = [Codebook(n_codes, n_features, decay) for _ in range(n_codebooks)]
        self.codebooks: Any = nn.ModuleList(codebooks)
        self.started = nn.Buffer(torch.tensor(False))

    def forward(self, z: Tensor, choose: Any = Codebook.forward) -> tuple[Tensor, Tensor]:
        """Return quantised latents, and codes ``(..., n_codebooks)`` by ``choose(codebook, z)``."""
        residual, codes = z.flatten(0, -2), []
        for codebook in self.codebooks:
            codes.append(choose(codebook, residual))
            residual = residual - codebook.vectors[codes[-1]]
        return z - residual.view_as(z), torch.stack(codes, -1).unflatten(0, z.shape[:-1])

    def sample(self, z: Tensor, temperature: float, generator: Generator) -> tuple[Tensor, Tensor]:
        """Return quantised latents and their codes, drawn by :meth:`Codebook.draw`."""
        return self(z, lambda codebook, residual: codebook.draw(residual, temperature, generator))

    def learn(self, z: Tensor, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Return quantised latents, codes and commitment loss; update the codebooks.

        Gradients pass straight through to `z`. The loss sums the mean squared errors of codebooks.
        """
        residual, codes, losses = z.flatten(0, -2), [], []
        for codebook in self.codebooks:
            latents = residual.detach()
            if not self.started:
                codebook.start(latents, generator)
            codes.append(codebook(latents))
            vectors = codebook.vectors[codes[-1]]  # before they move
            losses.append(F.mse_loss(residual, vectors))
            codebook.learn(latents, codes[-1], generator)
            residual = residual - vectors
        self.started.fill_(True)
        quantized = z - residual.view_as(z)
        codes = torch.stack(codes, -1).unflatten(0, z.shape[:-1])
        return z + (quantized - z).detach(), codes, torch.stack(losses).sum()

    def lookup(self, codes: Tensor) -> Tensor:
        """Return quantised latents ``(..., n_features)`` of codes ``(..., n_codebooks)``."""
        levels = zip(self.codebooks, codes.unbind(-1), strict=True)
        return torch.stack([codebook.vectors[code] for codebook, code in levels]).sum(0)


class VQVAE(nn.Module):
    """Autoencoder with quantised latents, along time or over an image.

    Strided convolutions encode patches, transposed convolutions decode them, with residual layers
    between. The decoder is initialised as the inverse of the encoder, as far as the number of
    channels permits. The source is that of :class:`Codebook`.

    Parameters
    ----------
    n_channels : int
        Number of leads, or 1 for grey images.
    n_dimensions : {1, 2}, default=1
        1 for ``(batch, n_channels, n_samples)``, 2 for ``(batch, n_channels, height, width)``.
    width : int, default=128
        Number of channels after the first layer; it doubles with each further layer.
    strides : sequence of int, default=(8,)
        Patch length of each layer. Their product is the number of samples per latent.
    n_features, n_codebooks, n_codes, decay
        As in :class:`ResidualQuantizer`, by default 64, 8, 256 and 0.99.

    Examples
    --------
    >>> vqvae, x = VQVAE(n_channels=12), torch.zeros(5, 12, 1001)
    >>> vqvae.encode(x).shape, vqvae(x).shape
    (torch.Size([5, 126, 64]), torch.Size([5, 12, 1001]))
    """

    def __init__(
        self,
        n_channels: int,
        n_dimensions: int = 1,
        *,
        width: int = 128,
        strides: Sequence[int] = (8,),
        n_features: int = 64,
        n_codebooks: int = 8,
        n_codes: int = 256,
        decay: float = 0.99,
    ):
        super().__init__()
        self.n_dimensions, self.stride = n_dimensions, math.prod(strides)
        encoder, decoder, n_in = [], [], n_channels
        for depth, stride in enumerate(strides):
            n_out = width * 2**depth
            down, up = _inverse_convolutions(n_dimensions, n_in, n_out, stride)
            encoder += [down, _Residual(n_dimensions, n_out), _Residual(n_dimensions, n_out)]
            decoder += [up, _Residual(n_dimensions, n_out), _Residual(n_dimensions, n_out)]
            n_in = n_out
        down, up = _inverse_convolutions(n_dimensions, n_in, n_features, 1)
        self.encoder = nn.Sequential(*encoder, down)
        self.quantizer = ResidualQuantizer(n_codebooks, n_codes, n_features, decay)
        self.decoder = nn.Sequential(up, *decoder[::-1])
        per_channel = (n_channels, *[1] * n_dimensions)
        self.center = nn.Buffer(torch.zeros(per_channel))
        self.scale = nn.Buffer(torch.ones(per_channel))

    @torch.no_grad()
    def fit_normalization(self, x: Tensor) -> None:
        """Set `center` and `scale` to mean and deviation of each channel; 1 for constant ones."""
        x = self._with_channels(x)
        deviation, mean = torch.std_mean(x, (0, *range(2, x.ndim)), keepdim=True)
        constant = deviation <= (1e-6 * mean.abs()).clamp(min=1e-18)  # whose square is not zero
        self.center.copy_(mean[0])
        self.scale.copy_(deviation.masked_fill(constant, 1.0)[0])

    def positions(self, size: Any) -> list[int]:
        """Return the number of latents along each dimension of a record of this size."""
        return [-(-n // self.stride) for n in size]

    def encode(self, x: Tensor) -> Tensor:
        """Return latents ``(batch, *positions, n_features)`` before quantisation."""
        x = (self._with_channels(x) - self.center) / self.scale
        padding = [(0, -n % self.stride) for n in x.shape[:1:-1]]  # last dimension first
        x = F.pad(x, [n for pair in padding for n in pair], mode="replicate")
        return self.encoder(x).movedim(1, -1)

    def decode(self, z: Tensor, size: Any) -> Tensor:
        """Return records of latents, cropped to ``(n_samples,)`` or ``(height, width)``."""
        x = self.decoder(z.movedim(-1, 1))[(..., *(slice(n) for n in size))]
        return x * self.scale + self.center

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruct records from their codes."""
        return self.decode(self.quantizer(self.encode(x))[0], x.shape[-self.n_dimensions :])

    def _with_channels(self, x):
        return x.reshape(len(x), len(self.center), *x.shape[-self.n_dimensions :])


class ImageVQVAE(VQVAE):
    """:class:`VQVAE` of grey images ``(batch, height, width)``, with its keyword parameters.

    Examples
    --------
    >>> ImageVQVAE(width=8).encode(torch.zeros(5, 60, 100)).shape
    torch.Size([5, 8, 13, 64])
    """

    def __init__(self, **settings: Any):
        super().__init__(1, 2, **settings)

    def decode(self, z: Tensor, size: Any) -> Tensor:
        """Return images of latents, cropped to ``(height, width)``."""
        return super().decode(z, size)[:, 0]


@torch.no_grad()
def _inverse_convolutions(n_dimensions, n_in, n_out, stride):
    """Return an orthogonal strided convolution and its inverse."""
    down = getattr(nn, f"Conv{n_dimensions}d")(n_in, n_out, stride, stride)
    up = getattr(nn, f"ConvTranspose{n_dimensions}d")(n_out, n_in, stride, stride)
    nn.init.orthogonal_(down.weight)
    up.weight.copy_(down.weight)
    for layer in (down, up):
        nn.init.zeros_(layer.bias)
    return down, up


class _Residual(nn.Module):
    """Residual block of two convolutions, initialised as the identity."""

    def __init__(self, n_dimensions, n_channels):
        super().__init__()
        conv = getattr(nn, f"Conv{n_dimensions}d")
        first, last = conv(n_channels, n_channels, 3, padding=1), conv(n_channels, n_channels, 1)
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
        self.layers = nn.Sequential(nn.ReLU(), first, nn.ReLU(), last)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)
