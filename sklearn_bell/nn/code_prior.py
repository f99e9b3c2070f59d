"""A prior of codes: what usually follows what in records of a class."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from sklearn_bell.nn.trainable import TrainableModule
from sklearn_bell.nn.vector_quantization import draw_codes

__all__ = ["CodePrior"]


class CodePrior(TrainableModule):
    """A recurrent network that says how likely the next codes are, given those before and classes.

    From position to position goes a gated recurrent unit; at a position, each codebook's code is
    told from the state and from the codes of the codebooks before it.

    Parameters
    ----------
    n_codebooks, n_codes : int
        Codes of each position, and how many there are of each.
    n_classes : int
        Width of the indicator of classes.
    width : int, default=128
        Width of the state.

    References
    ----------
    van den Oord A, Vinyals O, Kavukcuoglu K. Neural discrete representation learning. NeurIPS
    2017, section 3.3.

    Examples
    --------
    >>> prior = CodePrior(n_codebooks=2, n_codes=16, n_classes=3)
    >>> classes = torch.eye(3)
    >>> prior.sample(classes, n_positions=5, temperature=1.0, generator=torch.Generator()).shape
    torch.Size([3, 5, 2])
    """

    def __init__(self, n_codebooks: int, n_codes: int, n_classes: int, width: int = 128):
        super().__init__()
        self.n_codes = n_codes
        # all codebooks in one table, with a row for what is before the first position
        self.embedding = nn.Embedding(n_codebooks * n_codes + 1, width)
        self.classes = nn.Linear(n_classes, width)
        self.recurrent = nn.GRU(width, width, batch_first=True)
        self.heads = nn.ModuleList(nn.Linear(width, n_codes) for _ in range(n_codebooks))
        self.offsets: Tensor
        offsets = torch.arange(n_codebooks) * n_codes
        self.register_buffer("offsets", offsets, persistent=False)

    def forward(self, batch: tuple[Tensor, Tensor], generator: Generator) -> dict[str, Tensor]:
        """Return the loss in nats per code, of codes ``(batch, n_positions, n_codebooks)``.

        With them come their classes, ``(batch, n_classes)``.
        """
        codes, classes = batch
        embedded = self.embedding(codes + self.offsets)  # (batch, n_positions, n_codebooks, width)
        start = self.embedding.weight[-1].expand(len(codes), 1, -1)
        before = torch.cat([start, embedded.sum(2)[:, :-1]], dim=1)
        state = self.recurrent(before + self.classes(classes)[:, None])[0]
        losses = []
        for number, head in enumerate(self.heads):
            losses.append(F.cross_entropy(head(state).flatten(0, 1), codes[..., number].flatten()))
            state = state + embedded[:, :, number]
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
