"""Autoregressive prior of the codes of a VQ-VAE, conditioned on classes."""

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from sklearn_bell.nn.trainable import TrainableModule
from sklearn_bell.nn.vector_quantization import draw_codes

__all__ = ["CodePrior"]


class CodePrior(TrainableModule):
    """Recurrent network that predicts codes from the codes before them and from classes.

    A gated recurrent unit runs over positions. At a position, the code of each codebook is
    predicted from the state and from the codes of the codebooks before it. From section 3.3 of the
    paper of :class:`~sklearn_bell.nn.vector_quantization.Codebook`.

    Parameters
    ----------
    n_codebooks, n_codes, n_classes : int
        Codes per position, vectors per codebook, and columns of the class indicator.
    width : int, default=128
        Width of the state.

    Examples
    --------
    >>> prior = CodePrior(n_codebooks=2, n_codes=16, n_classes=3)
    >>> prior.sample(torch.eye(3), n_positions=5, temperature=1, generator=torch.Generator()).shape
    torch.Size([3, 5, 2])
    """

    def __init__(self, n_codebooks: int, n_codes: int, n_classes: int, width: int = 128):
        super().__init__()
        self.n_codes = n_codes
        # one table for all codebooks; the last row stands for the start of a sequence
        self.embedding = nn.Embedding(n_codebooks * n_codes + 1, width)
        self.classes = nn.Linear(n_classes, width)
        self.recurrent = nn.GRU(width, width, batch_first=True)
        self.heads = nn.ModuleList(nn.Linear(width, n_codes) for _ in range(n_codebooks))
        self.offsets = nn.Buffer(torch.arange(n_codebooks) * n_codes, persistent=False)

    def forward(self, batch: tuple[Tensor, Tensor], generator: Generator) -> dict[str, Tensor]:
        """Return the mean cross-entropy of a batch of codes and classes, in nats per code."""
        codes, classes = batch  # (batch, n_positions, n_codebooks), (batch, n_classes)
        embedded = self.embedding(codes + self.offsets)  # (batch, n_positions, n_codebooks, width)
        start = self.embedding.weight[-1].expand(len(codes), 1, -1)
        before = torch.cat([start, embedded.sum(2)[:, :-1]], dim=1)
        state = self.recurrent(before + self.classes(classes)[:, None])[0]
        losses = []
        for level, head in enumerate(self.heads):
            losses.append(F.cross_entropy(head(state).flatten(0, 1), codes[..., level].flatten()))
            state = state + embedded[:, :, level]
        return {"loss": torch.stack(losses).mean()}

    @torch.inference_mode()
    def sample(
        self, classes: Tensor, n_positions: int, temperature: float, generator: Generator
    ) -> Tensor:
        """Draw codes ``(batch, n_positions, n_codebooks)`` for classes ``(batch, n_classes)``."""
        condition = self.classes(classes)
        before = self.embedding.weight[-1].expand(len(classes), -1)
        hidden, positions = None, []
        for _ in range(n_positions):
            state, hidden = self.recurrent((before + condition)[:, None], hidden)
            state, before, codes = state[:, 0], torch.zeros_like(before), []
            for head, offset in zip(self.heads, self.offsets, strict=True):
                codes.append(draw_codes(head(state), temperature, generator))
                embedded = self.embedding(codes[-1] + offset)
                state, before = state + embedded, before + embedded
            positions.append(torch.stack(codes, -1))
        return torch.stack(positions, 1)
