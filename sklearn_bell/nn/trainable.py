"""Protocol of modules that the training loop trains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Generator, Tensor, nn

__all__ = ["TrainableModule"]


class TrainableModule(nn.Module):
    """Base class of modules that compute their own loss.

    Subclasses define ``forward``; the other methods have defaults that do nothing.

    Examples
    --------
    >>> import torch
    >>> class MeanSquare(TrainableModule):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.layer = nn.Linear(3, 1)
    ...
    ...     def forward(self, batch, generator):
    ...         return {"loss": self.layer(batch).square().mean()}
    >>> MeanSquare()(torch.zeros(2, 3), torch.Generator())["loss"].shape
    torch.Size([])
    """

    def forward(self, batch: Any, generator: Generator) -> dict[str, Tensor]:
        """Compute the loss terms of a batch.

        Parameters
        ----------
        batch : Tensor or tuple of Tensor
            Records, or records and targets.
        generator : Generator
            Source of all randomness of the step, on the module's device.

        Returns
        -------
        terms : dict of Tensor
            ``"loss"`` is minimised; the epoch's mean of every term is recorded.
        """
        raise NotImplementedError

    def begin_epoch(self, epoch: int) -> None:
        """Prepare for an epoch, counted from zero."""

    def after_step(self) -> None:
        """Update after a step of the optimiser, for instance a target network."""

    def summarize_epoch(self, terms: dict[str, Any], all_gather: Callable) -> dict[str, Any]:
        """Return the entries of ``history_`` for the epoch.

        Parameters
        ----------
        terms : dict
            Mean of every loss term over the epoch.
        all_gather : callable
            Returns the list of a value in all processes that train together.
        """
        return terms
