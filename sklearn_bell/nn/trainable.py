"""Protocol of modules that the training loop trains."""

from collections.abc import Callable
from typing import Any

from torch import Generator, Tensor, nn

__all__ = ["TrainableModule"]


class TrainableModule(nn.Module):
    """Base class of modules that compute their own loss.

    Subclasses define ``forward``; the other methods have defaults that do nothing.

    Examples
    --------
    >>> class MeanSquare(TrainableModule):
    ...     def forward(self, batch, generator):
    ...         return {"loss": batch.square().mean()}
    """

    def forward(self, batch: Any, generator: Generator) -> dict[str, Tensor]:
        """Return the loss terms of a batch: ``"loss"`` is minimised, means of all are recorded.

        `batch` is a Tensor of records, or a tuple of records and targets. `generator`, on the
        module's device, is the source of all randomness of the step.
        """
        raise NotImplementedError

    def begin_epoch(self, epoch: int) -> None:
        """Prepare for an epoch, counted from zero."""

    def after_step(self) -> None:
        """Update after a step of the optimiser, for instance a target network."""

    def summarize_epoch(self, terms: dict[str, Any], all_gather: Callable) -> dict[str, Any]:
        """Return the entries of ``history_`` for the epoch.

        `terms` has the mean of every loss term over the epoch; ``all_gather(value)`` returns the
        list of a value in all processes that train together.
        """
        return terms
