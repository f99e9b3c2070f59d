"""Classifier module: an encoder and a linear head, trained by cross-entropy."""

from collections.abc import Callable
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from sklearn_bell.nn.trainable import TrainableModule

__all__ = ["ClassifierModule"]


class ClassifierModule(TrainableModule):
    """Encoder of all leads with a linear head on its standardised latents.

    Parameters
    ----------
    normalize, encoder : nn.Module
        Preparation of records, and the encoder to latents ``(batch, ..., n_features)``.
    n_latents, n_outputs : int
        Sizes of the head.
    augmentation : callable
        Makes a view of normalised records in training.
    dropout : float
        Share of the latents that are zeroed in training.
    multilabel : bool
        True if a record may have several classes.

    Examples
    --------
    >>> from sklearn_bell.nn.augmentation import RandomCrop
    >>> from sklearn_bell.nn.encoders import ResNet1d
    >>> module = ClassifierModule(nn.Identity(), ResNet1d(2), 112, 3, RandomCrop(), 0.0, False)
    >>> module.logits(torch.zeros(4, 2, 1000)).shape
    torch.Size([4, 3])
    """

    def __init__(
        self,
        normalize: nn.Module,
        encoder: nn.Module,
        n_latents: int,
        n_outputs: int,
        augmentation: Callable[..., Tensor],
        dropout: float,
        multilabel: bool,
    ):
        super().__init__()
        self.normalize, self.encoder, self.augmentation = normalize, encoder, augmentation
        self.dropout, self.linear = nn.Dropout(dropout), nn.Linear(n_latents, n_outputs)
        self.multilabel, self.n_frozen_epochs = multilabel, 0
        self.center = nn.Buffer(torch.zeros(n_latents))
        self.scale = nn.Buffer(torch.ones(n_latents))
        self.freeze(False)

    @torch.no_grad()
    def set_head(self, center: Tensor, scale: Tensor, weight: Tensor, bias: Tensor) -> None:
        """Set the standardisation of latents, and the linear layer."""
        self.center.copy_(torch.as_tensor(center))
        self.scale.copy_(torch.as_tensor(scale))
        self.linear.weight.copy_(torch.as_tensor(weight))
        self.linear.bias.copy_(torch.as_tensor(bias))

    def freeze(self, frozen: bool) -> None:
        """Freeze the encoder, or train it again."""
        self.frozen = frozen
        self.encoder.requires_grad_(not frozen)

    def train(self, mode: bool = True) -> Self:
        """Set the mode; a frozen encoder stays in evaluation mode."""
        super().train(mode)
        self.encoder.train(mode and not self.frozen)
        return self

    def begin_epoch(self, epoch: int) -> None:
        """Freeze the encoder in the first `n_frozen_epochs` epochs, which train the head only."""
        self.freeze(epoch < self.n_frozen_epochs)

    def summarize_epoch(self, terms: dict[str, Any], all_gather: Callable) -> dict[str, Any]:
        """Return the loss, and whether the encoder was frozen."""
        return {**terms, "frozen": self.frozen}

    def forward(self, batch: tuple[Tensor, Tensor], generator: Generator) -> dict[str, Tensor]:
        """Return the loss of a batch of records and targets."""
        x, targets = batch
        x = self.augmentation(self.normalize(x), generator)
        return {"loss": self.loss(self.linear(self.dropout(self._standardised(x))), targets)}

    def latents(self, x: Tensor) -> Tensor:
        """Return the standardised latents of records in mV, ``(batch, n_latents)``."""
        return self._standardised(self.normalize(x))

    def logits(self, x: Tensor) -> Tensor:
        """Return the logits of records in mV, ``(batch, n_outputs)``."""
        return self.linear(self.latents(x))

    def _standardised(self, x):
        return (self.encoder(x).flatten(1) - self.center) / self.scale

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy over classes or labels.

        Targets are the weights of the classes, ``(batch, n_classes)``; or in a multi-label problem
        the weights of absence and presence of each, ``(batch, n_classes, 2)``. The loss is zero if
        all weights are.
        """
        if not self.multilabel:
            total = targets.sum().clamp_min(torch.finfo(targets.dtype).tiny)
            return -(targets * torch.log_softmax(logits, dim=1)).sum() / total
        absence, presence = targets.unbind(-1)
        return -(absence * F.logsigmoid(-logits) + presence * F.logsigmoid(logits)).mean()
