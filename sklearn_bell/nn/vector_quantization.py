"""Vector quantisation: codebooks, and autoencoders whose latents are made of their vectors.

Latents are ``(batch, *positions, n_features)``: along time for signals, height and width for
images. The same codebooks serve both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

__all__ = ["VQVAE", "Codebook", "ImageVQVAE", "ResidualQuantizer"]


def draw_codes(logits: Tensor, temperature: Tensor | float, generator: Generator) -> Tensor:
    """Return a random code for each row of logits ``(n, n_codes)``, over the temperature."""
    logits = logits - logits.amax(1, keepdim=True)  # or else all might overflow
    temperature = torch.as_tensor(temperature, dtype=logits.dtype, device=logits.device)
    chances = (logits / temperature.clamp_min(torch.finfo(logits.dtype).tiny)).softmax(1)
    # where a random number lies among the sums: much faster than torch.multinomial
    sums = chances.cumsum(1)
    at = torch.rand(len(sums), 1, generator=generator, device=sums.device) * sums[:, -1:]
    return torch.searchsorted(sums, at, right=True)[:, 0].clamp_max(sums.shape[1] - 1)


class Codebook(nn.Module):
    """Vectors that stand for latents, each the moving average of those it stood for.

    A vector that stands for hardly any latent any more is dead, and starts again as a latent of the
    batch, drawn at random. All start so, in the first batch.

    Parameters
    ----------
    n_codes : int
        Number of vectors.
    n_features : int
        Width of vectors and latents.
    decay : float, default=0.99
        What remains of the averages after a step.
    dead_below : float, default=0.02
        A vector is dead if it stands for fewer latents than this part of its fair share.

    References
    ----------
    van den Oord A, Vinyals O, Kavukcuoglu K. Neural discrete representation learning. NeurIPS 2017.

    Examples
    --------
    >>> z = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    >>> codebook = Codebook(n_codes=1, n_features=2)
    >>> codebook.start(z[:1], torch.Generator())
    >>> codebook.squared_distances(z)
    tensor([[ 0.],
            [25.]])
    """

    def __init__(
        self, n_codes: int, n_features: int, decay: float = 0.99, dead_below: float = 0.02
    ):
        super().__init__()
        self.decay, self.dead_below = decay, dead_below
        self.vectors: Tensor
        self.register_buffer("vectors", torch.zeros(n_codes, n_features))
        self.counts: Tensor
        self.sums: Tensor
        self.error: Tensor
        # averages over batches: how many latents each stands for, their sum, and how near they are
        self.register_buffer("counts", torch.zeros(n_codes))
        self.register_buffer("sums", torch.zeros(n_codes, n_features))
        self.register_buffer("error", torch.zeros(()))

    def squared_distances(self, z: Tensor) -> Tensor:
        """Return those of latents ``(n, n_features)`` to all vectors, ``(n, n_codes)``."""
        squares = z.square().sum(1, keepdim=True) + self.vectors.square().sum(1)
        return torch.addmm(squares, z, self.vectors.T, alpha=-2)

    def forward(self, z: Tensor) -> Tensor:
        """Return the code of each latent: the number of the nearest vector."""
        return self.squared_distances(z).argmin(1)

    def lookup(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Return codes, and their vectors."""
        return codes, self.vectors[codes]

    def draw(self, z: Tensor, temperature: float, generator: Generator) -> Tensor:
        """Return a random code for each latent, those of near vectors being likelier.

        Chances are the softmax of the negative squared distances over the temperature, in units of
        the squared distance that latents usually have from the nearest vector.
        """
        unit = self.error.clamp_min(torch.finfo(z.dtype).tiny)
        return draw_codes(-self.squared_distances(z), unit * temperature, generator)

    @torch.no_grad()
    def start(self, z: Tensor, generator: Generator) -> None:
        """Begin with some of these latents as vectors."""
        self.counts.fill_(len(z) / len(self.vectors))
        self._replace(torch.ones_like(self.counts, dtype=torch.bool), z, generator)
        self.error.copy_(self.squared_distances(z).amin(1).mean())

    @torch.no_grad()
    def learn(self, z: Tensor, codes: Tensor, generator: Generator) -> None:
        """Move the vectors towards the latents that they stand for."""
        change = 1 - self.decay
        self.error.lerp_((z - self.vectors[codes]).square().sum(1).mean(), change)
        self.counts.lerp_(torch.bincount(codes, minlength=len(self.vectors)).to(z.dtype), change)
        self.sums.lerp_(torch.zeros_like(self.vectors).index_add_(0, codes, z), change)
        self.vectors.copy_(self.sums / self.counts[:, None])
        share = len(z) / len(self.vectors)
        dead = self.counts < self.dead_below * share
        self.counts[dead] = share
        self._replace(dead, z, generator)

    def _replace(self, these, z, generator):
        """Put latents, drawn at random, in the place of these vectors."""
        n = int(these.sum())
        rows = torch.randint(len(z), (n,), generator=generator, device=z.device)
        self.vectors[these] = z[rows]
        self.sums[these] = z[rows] * self.counts[these, None]


class ResidualQuantizer(nn.Module):
    """Codebooks in a row, each of which describes what those before it have left.

    A latent becomes the sum of one vector of each: n codebooks of k vectors have k ** n sums, far
    more than one codebook could hold. With one codebook it is the quantiser of the VQ-VAE.

    Parameters
    ----------
    n_codebooks : int
        Length of the row.
    n_codes, n_features, decay
        As in :class:`Codebook`.

    References
    ----------
    Zeghidour N, Luebs A, Omran A, Skoglund J, Tagliasacchi M. SoundStream: an end-to-end neural
    audio codec. IEEE/ACM Trans Audio Speech Lang Process 2022;30:495-507.

    Examples
    --------
    >>> quantizer = ResidualQuantizer(n_codebooks=2, n_codes=16, n_features=4)
    >>> sums, codes = quantizer(torch.randn(5, 4))
    >>> sums.shape, codes.shape
    (torch.Size([5, 4]), torch.Size([5, 2]))
    """

    def __init__(self, n_codebooks: int, n_codes: int, n_features: int, decay: float = 0.99):
        super().__init__()
        self.n_codes = n_codes
        self.codebooks = nn.ModuleList(
            Codebook(n_codes, n_features, decay) for _ in range(n_codebooks)
        )
        self.started: Tensor
        self.register_buffer("started", torch.tensor(False))

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return latents as sums of vectors, and the codes of these, ``(..., n_codebooks)``."""
        return self._describe(z, lambda one, left: one.lookup(one(left)))

    def sample(self, z: Tensor, temperature: float, generator: Generator) -> tuple[Tensor, Tensor]:
        """Return the same for codes that are drawn, as :meth:`Codebook.draw` says."""
        return self._describe(
            z, lambda one, left: one.lookup(one.draw(left, temperature, generator))
        )

    def learn(self, z: Tensor, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Return the same, with the gradient of z, and the commitment loss; let codebooks learn.

        The commitment loss is the mean squared difference between what each codebook is to describe
        and the vector that does, summed over the codebooks.
        """
        commitment = []

        def choose(codebook, left):
            if not self.started:
                codebook.start(left.detach(), generator)
            codes, vectors = codebook.lookup(codebook(left.detach()))
            commitment.append(F.mse_loss(left, vectors))
            codebook.learn(left.detach(), codes, generator)
            return codes, vectors

        quantized, codes = self._describe(z, choose)
        self.started.fill_(True)
        return z + (quantized - z).detach(), codes, torch.stack(commitment).sum()

    def lookup(self, codes: Tensor) -> Tensor:
        """Return the sums ``(..., n_features)`` of the vectors of codes ``(..., n_codebooks)``."""
        vectors = [
            codebook.get_buffer("vectors")[code]
            for codebook, code in zip(self.codebooks, codes.unbind(-1), strict=True)
        ]
        return torch.stack(vectors).sum(0)

    def _describe(self, z, choose):
        """Let each codebook describe what is left; return the sums of vectors, and the codes."""
        left, codes = z.flatten(0, -2), []
        for codebook in self.codebooks:
            chosen, vectors = choose(codebook, left)
            codes.append(chosen)
            left = left - vectors
        return z - left.view_as(z), torch.stack(codes, -1).unflatten(0, z.shape[:-1])


class VQVAE(nn.Module):
    """An autoencoder whose latents are described by codes, along time or over an image.

    Patches of the record become latents and latents patches, with residual layers between. It
    begins as a linear map and its inverse, as far as there are channels for that, and what is lost
    in the beginning is mostly what codes lose.

    Parameters
    ----------
    n_channels : int
        Leads of a signal; of a grey image, one.
    n_dimensions : int, default=1
        1 for signals ``(batch, n_channels, n_samples)``, 2 for images
        ``(batch, n_channels, height, width)``.
    width : int, default=128
        Channels after the first layer; each further one doubles them.
    strides : sequence of int, default=(8,)
        The length of the patches of each of these layers. A latent stands for as many samples as
        their product.
    n_features : int, default=64
        Width of the latents.
    n_codebooks : int, default=8
        Codes of each latent.
    n_codes : int, default=256
        Size of each codebook.
    decay : float, default=0.99
        What remains of the averages that the codebooks are after a step.

    References
    ----------
    van den Oord A, Vinyals O, Kavukcuoglu K. Neural discrete representation learning. NeurIPS 2017.

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
        conv: type = {1: nn.Conv1d, 2: nn.Conv2d}[n_dimensions]
        transposed: type = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d}[n_dimensions]
        down: list[nn.Module] = []
        up: list[nn.Module] = []
        n_here = n_channels
        for depth, stride in enumerate(strides):
            n_there = width * 2**depth
            there, back = (
                conv(n_here, n_there, stride, stride),
                transposed(n_there, n_here, stride, stride),
            )
            _make_inverse(there, back)
            down += [there, _Residual(conv, n_there), _Residual(conv, n_there)]
            up += [back, _Residual(conv, n_there), _Residual(conv, n_there)]
            n_here = n_there
        self.n_dimensions, self.stride = n_dimensions, math.prod(strides)
        there, back = conv(n_here, n_features, 1), transposed(n_features, n_here, 1)
        _make_inverse(there, back)
        self.encoder = nn.Sequential(*down, there)
        self.quantizer = ResidualQuantizer(n_codebooks, n_codes, n_features, decay)
        self.decoder = nn.Sequential(back, *up[::-1])
        self.center: Tensor
        self.scale: Tensor
        per_channel = (n_channels, *[1] * n_dimensions)
        self.register_buffer("center", torch.zeros(per_channel))
        self.register_buffer("scale", torch.ones(per_channel))

    @torch.no_grad()
    def settle(self, x: Tensor) -> None:
        """Set what comes between records and layers: mean and deviation of each channel of these.

        A channel in which they do not differ, or by less than has a square, stays in its unit.
        """
        others = (0, *range(2, x.ndim))
        deviation, mean = torch.std_mean(x, others, keepdim=True)
        flat = deviation <= (1e-6 * mean.abs()).clamp(min=1e-18)
        self.center.copy_(mean[0])
        self.scale.copy_(deviation.masked_fill(flat, 1.0)[0])

    def positions(self, size: Any) -> list[int]:
        """Return how many latents there are for a size, in each dimension."""
        return [-(-n // self.stride) for n in size]

    def encode(self, x: Tensor) -> Tensor:
        """Return latents ``(batch, *positions, n_features)``, not quantised yet."""
        x = (x - self.center) / self.scale
        missing = [-n % self.stride for n in x.shape[2:]]
        x = F.pad(x, [n for one in missing[::-1] for n in (0, one)], mode="replicate")
        return self.encoder(x).movedim(1, -1)

    def decode(self, z: Tensor, size: Any) -> Tensor:
        """Return what latents stand for, cut to size: ``(n_samples,)`` or ``(height, width)``."""
        x = self.decoder(z.movedim(-1, 1))[(..., *(slice(n) for n in size))]
        return x * self.scale + self.center

    def forward(self, x: Tensor) -> Tensor:
        """Return what comes back from the codes."""
        return self.decode(self.quantizer(self.encode(x))[0], x.shape[-self.n_dimensions :])


class ImageVQVAE(VQVAE):
    """A VQ-VAE of grey images, ``(batch, height, width)``: without an axis for channels.

    Parameters
    ----------
    **settings
        As in :class:`VQVAE`.

    Examples
    --------
    >>> vqvae, x = ImageVQVAE(width=8), torch.zeros(5, 60, 100)
    >>> vqvae.encode(x).shape, vqvae(x).shape
    (torch.Size([5, 8, 13, 64]), torch.Size([5, 60, 100]))
    """

    def __init__(self, **settings: Any):
        super().__init__(1, 2, **settings)

    def settle(self, x: Tensor) -> None:
        """Set what comes between images and layers."""
        super().settle(x[:, None])

    def encode(self, x: Tensor) -> Tensor:
        """Return latents ``(batch, *positions, n_features)``, not quantised yet."""
        return super().encode(x[:, None])

    def decode(self, z: Tensor, size: Any) -> Tensor:
        """Return what latents stand for, cut to ``(height, width)``."""
        return super().decode(z, size)[:, 0]


@torch.no_grad()
def _make_inverse(there, back):
    """Let a layer begin as orthogonal as it can be, and its counterpart as the inverse."""
    nn.init.orthogonal_(there.weight)
    back.weight.copy_(there.weight)
    for layer in (there, back):
        nn.init.zeros_(layer.bias)


class _Residual(nn.Module):
    """Two convolutions beside a shortcut, beginning as nothing."""

    def __init__(self, conv, n_channels):
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReLU(),
            conv(n_channels, n_channels, 3, padding=1),
            nn.ReLU(),
            conv(n_channels, n_channels, 1),
        )
        for parameter in self.layers[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)
