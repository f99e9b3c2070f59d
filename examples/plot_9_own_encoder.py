"""
An encoder and an augmentation of one's own
===========================================

Whatever makes a module is an encoder, and whatever makes a view of a batch is an augmentation.
"""

# %%
# ``encoder(in_channels)`` makes a network for one lead: from ``(batch, 1, n_samples)`` to ``(batch,
# n_features)``.

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
# ``augmentation(x, generator)`` makes a view of ``(batch, n_leads, n_samples)``. Draw with the
# generator, so that the same seed makes the same views. Those of the library can be put together
# with one's own:

from sklearn_bell.nn.augmentation import Compose, RandomCrop


class Louder(nn.Module):
    """Make each record up to twice as large, or as small."""

    def forward(self, x, generator):
        drawn = torch.rand(len(x), 1, 1, generator=generator, device=x.device)
        return x * 2 ** (2 * drawn - 1)


# %%

from sklearn_bell import BELLPretrainer
from sklearn_bell.datasets import make_ecg
from sklearn_bell.plotting import PretrainingDisplay

ecg = make_ecg(120, leads=["II", "V1"], duration=5, sampling_rate=100, random_state=0)
bell = BELLPretrainer(
    small, augmentation=Compose(RandomCrop(), Louder()), max_epochs=8, head_width=64, random_state=0
).fit(ecg.data)
print(bell.transform(ecg.data).shape)
PretrainingDisplay.from_estimator(bell)
