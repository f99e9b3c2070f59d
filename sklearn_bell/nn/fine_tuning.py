"""An encoder under a linear head, trained together."""

from __future__ import annotations

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
    weights : Tensor of shape (n_classes,) or (2, n_classes)
        Of the classes; or of the absence and presence of each, which makes it multi-label.
    """

    def __init__(self, prepare, encoder, n_latents, n_outputs, augmentation, dropout, weights):
        super().__init__()
        self.prepare, self.encoder, self.augmentation = prepare, encoder, augmentation
        self.dropout, self.linear = nn.Dropout(dropout), nn.Linear(n_latents, n_outputs)
        self.center: Tensor
        self.scale: Tensor
        self.weights: Tensor
        self.register_buffer("center", torch.zeros(n_latents))
        self.register_buffer("scale", torch.ones(n_latents))
        self.register_buffer("weights", weights)
        self.freeze(False)

    @torch.no_grad()
    def start(self, center, scale, weight, bias):
        """Set how latents are scaled before the linear layer, and what this is."""
        self.center.copy_(torch.as_tensor(center))
        self.scale.copy_(torch.as_tensor(scale))
        self.linear.weight.copy_(torch.as_tensor(weight))
        self.linear.bias.copy_(torch.as_tensor(bias))

    def freeze(self, frozen):
        """Keep the encoder as it is from now on, or go on training it."""
        self.frozen = frozen
        self.encoder.requires_grad_(not frozen)

    def train(self, mode=True):
        """Set the mode; a frozen encoder stays in that of evaluation."""
        super().train(mode)
        self.encoder.train(mode and not self.frozen)
        return self

    def forward(self, batch: tuple[Tensor, Tensor], generator: Generator) -> dict[str, Tensor]:
        """Return the loss of a batch of records and codes."""
        x, codes = batch
        x = self.augmentation(self.prepare(x), generator)
        return {"loss": self.loss(self.linear(self.dropout(self._scaled(x))), codes)}

    def latents(self, x: Tensor) -> Tensor:
        """Return the scaled latents of raw records, ``(batch, n_latents)``."""
        return self._scaled(self.prepare(x))

    def logits(self, x: Tensor) -> Tensor:
        """Return the logits of raw records, ``(batch, n_outputs)``."""
        return self.linear(self.latents(x))

    def _scaled(self, x):
        return (self.encoder(x).flatten(1) - self.center) / self.scale

    def loss(self, logits: Tensor, codes: Tensor) -> Tensor:
        """Return the mean weighted cross-entropy; codes may be probabilities of the classes."""
        if self.weights.ndim == 1:
            if codes.ndim == 1:
                codes = F.one_hot(codes, len(self.weights))
            weights = self.weights * codes  # (batch, n_classes)
            return -(weights * torch.log_softmax(logits, dim=1)).sum() / weights.sum()
        absence, presence = self.weights[0] * (1 - codes), self.weights[1] * codes
        found = presence * F.logsigmoid(logits) + absence * F.logsigmoid(-logits)
        return -found.mean()

    def after_step(self):
        """Nothing follows a step."""
