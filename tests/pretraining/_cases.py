"""Methods, small encoders, records and slow references for the tests of pretraining."""

import inspect

import numpy as np
import torch
from torch import nn

from sklearn_bell import pretraining

N_LEADS, N_SAMPLES = 3, 40

METHODS = [
    name
    for name in pretraining.__all__
    if issubclass(getattr(pretraining, name), pretraining.BasePretrainer)
    and not inspect.isabstract(getattr(pretraining, name))
]


class TinyEncoder(nn.Module):
    """Fast, and with dropout, so that it draws random numbers."""

    def __init__(self, in_channels=1):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(in_channels, 4, 5), nn.BatchNorm1d(4), nn.ReLU(), nn.Dropout(0.2)
        )

    def forward(self, x):
        return self.layers(x).mean(-1)


class NormEncoder(nn.Module):
    """Without dropout: training and evaluation differ by the batch statistics alone."""

    def __init__(self, in_channels=1, n_features=4):
        super().__init__()
        self.conv, self.norm = nn.Conv1d(in_channels, n_features, 5), nn.BatchNorm1d(n_features)

    def forward(self, x):
        return torch.relu(self.norm(self.conv(x))).mean(-1)


class ConstantEncoder(nn.Module):
    def __init__(self, in_channels=1):
        super().__init__()
        self.latent = nn.Parameter(torch.ones(4))

    def forward(self, x):
        return self.latent.expand(len(x), 4)


class LineEncoder(nn.Module):
    """Latents that differ, but along one line."""

    def __init__(self, in_channels=1):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(5))

    def forward(self, x):
        size = x.square().mean((1, 2)).sqrt()
        return size[:, None] * self.weight.detach() + 0 * self.weight


class NullCallback:
    """A callback of scikit-learn that does nothing."""

    def setup(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass


def make_sines(n_records):
    """Slow and fast sines of random phase, in turns, in noise."""
    rng = np.random.RandomState(0)
    time, phase = np.arange(N_SAMPLES), rng.uniform(0, 6, (n_records, N_LEADS, 1))
    rate = np.where(np.arange(n_records) % 2, 0.9, 0.3)[:, None, None]
    noise = 0.3 * rng.randn(n_records, N_LEADS, N_SAMPLES)
    return (np.sin(rate * time + phase) + noise).astype("f4")


def make_views(n_leads, n_records=5, n_samples=30):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, n_records, n_leads, n_samples, generator=generator)


def perturb(network):
    """Move every weight, so that no initial value of a layer hides an error."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for weight in network.parameters():
            weight += 0.2 * torch.randn(weight.shape, generator=generator)
    return network


def reference_mlp(mlp, x):
    """LeadwiseMLP of ``(batch, n_leads, n_features)`` in training, written out lead by lead."""
    outputs = []
    for lead in range(x.shape[1]):
        hidden = x[:, lead] @ mlp.expand.weight[lead] + mlp.expand.bias[lead, 0]
        width = hidden.shape[1]
        features = slice(lead * width, (lead + 1) * width)
        mean, variance = hidden.mean(0), hidden.var(0, correction=0)
        hidden = (hidden - mean) / (variance + mlp.norm.eps).sqrt()
        hidden = hidden * mlp.norm.weight[features] + mlp.norm.bias[features]
        hidden = hidden.clamp(min=0)
        outputs.append(hidden @ mlp.contract.weight[lead] + mlp.contract.bias[lead, 0])
    return torch.stack(outputs, dim=1)
