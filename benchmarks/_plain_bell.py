"""BELL written plainly: leads in loops, ``nn.Conv1d``, float32, views from a DataLoader.

The network, heads, views, loss, optimiser, batches and steps are those of BELLPretrainer with its
defaults. Only the band-pass filter is missing.
"""

import copy

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


class PlainBlock(nn.Module):
    """Residual block that halves the length."""

    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.long = nn.Sequential(
            nn.Conv1d(in_channels, out_channels, 5, stride=2, padding=2, bias=False),
            nn.BatchNorm1d(out_channels),
            nn.ReLU(),
            nn.Conv1d(out_channels, out_channels, 5, padding=2, bias=False),
            nn.BatchNorm1d(out_channels),
        )
        self.short = nn.Sequential(
            nn.AvgPool1d(2, ceil_mode=True),
            nn.Conv1d(in_channels, out_channels, 1, bias=False),
            nn.BatchNorm1d(out_channels),
        )

    def forward(self, x):
        """Encode (batch, in_channels, n_samples)."""
        return torch.relu(self.long(x) + self.short(x))


class PlainResNet(nn.Module):
    """Branch of one lead."""

    def __init__(self, channels=(16, 32, 64)):
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv1d(1, channels[0], 15, stride=4, padding=7, bias=False),
            nn.BatchNorm1d(channels[0]),
            nn.ReLU(),
        )
        self.blocks = nn.ModuleList(map(PlainBlock, (channels[0], *channels[:-1]), channels))

    def forward(self, x):
        """Encode (batch, 1, n_samples) as (batch, n_features)."""
        x, averages = self.first(x), []
        for block in self.blocks:
            x = block(x)
            averages.append(x.mean(-1))
        return torch.cat(averages, dim=1)


def plain_head(n_in, n_hidden=512):
    """Return the projector or a predictor of one lead."""
    return nn.Sequential(
        nn.Linear(n_in, n_hidden),
        nn.BatchNorm1d(n_hidden),
        nn.ReLU(),
        nn.Linear(n_hidden, n_hidden),
    )


class PlainBELL(nn.Module):
    """BELL, lead by lead."""

    def __init__(self, n_leads, channels=(16, 32, 64), gamma=0.2):
        super().__init__()
        self.gamma, n_features = gamma, sum(channels)
        self.encoders = nn.ModuleList(PlainResNet(channels) for _ in range(n_leads))
        self.projectors = nn.ModuleList(plain_head(n_features) for _ in range(n_leads))
        self.predictors = nn.ModuleList(plain_head(512) for _ in range(n_leads))
        self.cross_predictors = nn.ModuleList(plain_head(512) for _ in range(n_leads))
        self.target_encoders = copy.deepcopy(self.encoders).requires_grad_(False)
        self.target_projectors = copy.deepcopy(self.projectors).requires_grad_(False)

    def online(self, x):
        """Return the projection of each lead."""
        branches = zip(self.encoders, self.projectors, strict=True)
        return [project(encode(x[:, [lead]])) for lead, (encode, project) in enumerate(branches)]

    @torch.no_grad()
    def target(self, x):
        """Return the projection of each lead by the target network."""
        branches = zip(self.target_encoders, self.target_projectors, strict=True)
        return [project(encode(x[:, [lead]])) for lead, (encode, project) in enumerate(branches)]

    def loss(self, view, target_view):
        """Return the loss of predicting the second view from the first."""
        projections, targets = self.online(view), self.target(target_view)
        intra, inter = [], []
        for i, projection in enumerate(projections):
            prediction, cross = self.predictors[i](projection), self.cross_predictors[i](projection)
            for j, target in enumerate(targets):
                output, terms = (prediction, intra) if i == j else (cross, inter)
                terms.append((2 - 2 * F.cosine_similarity(output, target)).mean())
        return self.gamma * sum(intra) / len(intra) + (1 - self.gamma) * sum(inter) / len(inter)

    def forward(self, view, view2):
        """Return the symmetric loss."""
        return (self.loss(view, view2) + self.loss(view2, view)) / 2

    @torch.no_grad()
    def update_target(self, decay=0.99):
        """Move the target network towards the online network."""
        pairs = [(self.target_encoders, self.encoders), (self.target_projectors, self.projectors)]
        for target, online in pairs:
            for old, new in zip(target.parameters(), online.parameters(), strict=True):
                old.data = decay * old.data + (1 - decay) * new.data


class PlainViews(torch.utils.data.Dataset):
    """Two random halves of each record."""

    def __init__(self, X):
        self.X, self.rng = X, np.random.default_rng(0)

    def __len__(self):
        return len(self.X)

    def crop(self, x):
        """Return a random half of a record."""
        n = x.shape[-1] // 2
        start = self.rng.integers(x.shape[-1] - n + 1)
        return x[:, start : start + n]

    def __getitem__(self, row):
        return self.crop(self.X[row]), self.crop(self.X[row])


def plain_fit(X, device, channels=(16, 32, 64), max_epochs=1, batch_size=128):
    """Pretrain in a plain loop."""
    model = PlainBELL(X.shape[1], channels).to(device).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    loader = torch.utils.data.DataLoader(PlainViews(X), batch_size, shuffle=True)
    for _ in range(max_epochs):
        for view, view2 in loader:
            loss = model(view.to(device), view2.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            model.update_target()
            loss.item()
    return model


@torch.no_grad()
def plain_transform(model, X, device, batch_size=128):
    """Encode batch by batch, lead by lead."""
    batches = []
    for start in range(0, len(X), batch_size):
        x = torch.as_tensor(X[start : start + batch_size]).to(device)
        latents = [encode(x[:, [lead]]) for lead, encode in enumerate(model.encoders)]
        batches.append(torch.cat(latents, dim=1).cpu())
    return torch.cat(batches).numpy()
