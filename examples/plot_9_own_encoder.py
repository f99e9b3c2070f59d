"""
Custom encoders and augmentations
=================================

An encoder is a callable that returns a module. An augmentation is a callable that returns a view of a
batch.
"""

# %%
# ``encoder(in_channels)`` returns a network from ``(batch, in_channels, n_samples)`` to ``(batch,
# n_features)``. BELL calls it with one channel for each lead:

import torch
from torch import nn


def small(in_channels):
    return nn.Sequential(
        nn.Conv1d(in_channels, 16, 15, stride=4),
        nn.BatchNorm1d(16),
        nn.ReLU(),
        nn.Conv1d(16, 32, 7, stride=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
    )


# %%
# ``augmentation(x, generator)`` returns a view of ``x``, ``(batch, n_leads, n_samples)``. Draw random
# numbers from the generator, so that the same seed gives the same views. ``Compose`` combines
# augmentations:

from sklearn_bell.nn.augmentation import Compose, RandomCrop


class RandomGain(nn.Module):
    """Scale each record by a random factor from 1/2 to 2."""

    def forward(self, x, generator):
        uniform = torch.rand(len(x), 1, 1, generator=generator, device=x.device)
        return x * 2 ** (2 * uniform - 1)


# %%

from sklearn_bell import BELLPretrainer
from sklearn_bell.datasets import make_ecg
from sklearn_bell.plotting import PretrainingDisplay

ecg = make_ecg(120, leads=["II", "V1"], duration=5, sampling_rate=100, random_state=0)
bell = BELLPretrainer(
    small,
    augmentation=Compose(RandomCrop(), RandomGain()),
    max_epochs=8,
    head_width=64,
    random_state=0,
).fit(ecg.data)
print(bell.transform(ecg.data).shape)
PretrainingDisplay.from_estimator(bell)
