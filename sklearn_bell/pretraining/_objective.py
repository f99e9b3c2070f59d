"""Objective of a pretraining method, and the module that the training loop trains."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from sklearn_bell.nn.latent_statistics import LatentStatistics
from sklearn_bell.nn.trainable import TrainableModule
from sklearn_bell.training._device import autocast


class Objective(nn.Module):
    """Base class of pretraining objectives: an encoder, heads on it, and a loss of two views.

    Subclasses set ``encoder`` and define ``forward``, which :class:`BasePretrainer` calls with two
    views ``(batch, n_leads, n_samples)``, and with the patients of the records if `fit` was given
    groups. It returns a dict of loss terms (``"loss"`` is minimised, the mean of each term is
    recorded in ``history_``) and latents ``(batch, ..., n_features)``, watched for collapse.

    Attributes
    ----------
    encoder : nn.Module
        Maps ``(batch, n_leads, n_samples)`` to ``(batch, n_parts, n_features)``; a part is a lead,
        or all leads together.

    Examples
    --------
    >>> from sklearn_bell.pretraining import Objective
    >>> class Agreement(Objective):
    ...     def forward(self, view, other):
    ...         latents = self.encoder(view)
    ...         return {"loss": (latents - self.encoder(other)).square().mean()}, latents
    """

    encoder: nn.Module

    def after_step(self) -> None:
        """Update after a step of the optimiser, for instance a target network."""

    def reset_target(self) -> None:
        """Copy the online network to the target after its weights were loaded."""


class SSLModule(TrainableModule):
    """Show an objective two views of normalised records: ``make_views(x, generator)``."""

    def __init__(self, normalize, make_views, objective, dtype=torch.float32):
        super().__init__()
        self.normalize, self.make_views, self.objective = normalize, make_views, objective
        self.dtype = dtype

    def forward(self, batch, generator: Generator) -> dict[str, Tensor]:
        x, *targets = batch if isinstance(batch, tuple) else (batch,)
        views = self.make_views(self.normalize(x), generator)
        with autocast(self.dtype, x.device):
            terms, latents = self.objective(*views, *targets)
        self.statistics.update(latents)
        return terms

    def begin_epoch(self, epoch):
        self.statistics = LatentStatistics()

    def after_step(self):
        self.objective.after_step()

    def summarize_epoch(self, terms, all_gather):
        self.statistics, *gathered = all_gather(self.statistics.cpu())
        for statistics in gathered:
            self.statistics.merge(statistics)
        return {
            **terms,
            "latent_deviation": self.statistics.deviations().min().item(),
            "effective_rank": self.statistics.effective_rank(),
        }
