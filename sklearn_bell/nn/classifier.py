"""An encoder under a linear head, trained together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

__all__ = ["FineTuning"]


class FineTuning(nn.Module):
    """An encoder of all leads under a linear head, which while training computes its own loss.

    Parameters
    ----------
    prepare, encoder : nn.Module
        What happens to records first, and what makes their latents ``(batch, ..., n_features)``.
    n_latents, n_outputs : int
        Sizes of the head.
    augmentation : callable
        Makes a view of prepared records while training.
    dropout : float
        Share of the latents that the head does not see while training.
    multilabel : bool
        Whether a record may be of several classes.

    Examples
    --------
    >>> from sklearn_bell.nn.augmentation import RandomCrop
    >>> from sklearn_bell.nn.encoders import JointEncoder, ResNet1d
    >>> encoder = JointEncoder(ResNet1d(in_channels=2))
    >>> learner = FineTuning(nn.Identity(), encoder, 112, 3, RandomCrop(0.8), 0.0, multilabel=False)
    >>> batch = torch.zeros(4, 2, 1000), torch.eye(3)[[0, 1, 2, 0]]
    >>> sorted(learner(batch, torch.Generator()))
    ['loss']
    """

    def __init__(
        self,
        prepare: nn.Module,
        encoder: nn.Module,
        n_latents: int,
        n_outputs: int,
        augmentation: Callable[..., Tensor],
        dropout: float,
        multilabel: bool,
    ):
        super().__init__()
        self.prepare, self.encoder, self.augmentation = prepare, encoder, augmentation
        self.dropout, self.linear = nn.Dropout(dropout), nn.Linear(n_latents, n_outputs)
        self.multilabel = multilabel
        self.center: Tensor
        self.scale: Tensor
        self.register_buffer("center", torch.zeros(n_latents))
        self.register_buffer("scale", torch.ones(n_latents))
        self.freeze(False)

    @torch.no_grad()
    def start(self, center: Tensor, scale: Tensor, weight: Tensor, bias: Tensor) -> None:
        """Set how latents are scaled before the linear layer, and what this is."""
        self.center.copy_(torch.as_tensor(center))
        self.scale.copy_(torch.as_tensor(scale))
        self.linear.weight.copy_(torch.as_tensor(weight))
        self.linear.bias.copy_(torch.as_tensor(bias))

    def freeze(self, frozen: bool) -> None:
        """Keep the encoder as it is from now on, or go on training it."""
        self.frozen = frozen
        self.encoder.requires_grad_(not frozen)

    def train(self, mode: bool = True) -> Self:
        """Set the mode; a frozen encoder stays in that of evaluation."""
        super().train(mode)
        self.encoder.train(mode and not self.frozen)
        return self

    def forward(self, batch: tuple[Tensor, Tensor], generator: Generator) -> dict[str, Tensor]:
        """Return the loss of a batch of records and targets."""
        x, targets = batch
        x = self.augmentation(self.prepare(x), generator)
        return {"loss": self.loss(self.linear(self.dropout(self._scaled(x))), targets)}

    def latents(self, x: Tensor) -> Tensor:
        """Return the scaled latents of raw records, ``(batch, n_latents)``."""
        return self._scaled(self.prepare(x))

    def logits(self, x: Tensor) -> Tensor:
        """Return the logits of raw records, ``(batch, n_outputs)``."""
        return self.linear(self.latents(x))

    def _scaled(self, x):
        return (self.encoder(x).flatten(1) - self.center) / self.scale

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the cross-entropy, as the mean of classes or labels.

        Targets say how much each class counts, ``(batch, n_classes)``; or in a multi-label problem
        how much its absence and its presence do, ``(batch, n_classes, 2)``.
        """
        if not self.multilabel:
            return -(targets * torch.log_softmax(logits, dim=1)).sum() / targets.sum()
        absence, presence = targets.unbind(-1)
        return -(absence * F.logsigmoid(-logits) + presence * F.logsigmoid(logits)).mean()

    def after_step(self) -> None:
        """Nothing follows a step."""

    def epoch_state(self) -> dict:
        """Nothing is gathered over an epoch."""
        return {}

    def load_epoch_state(self, state: dict) -> None:
        """Nothing is taken up."""
