"""Encoders: what turns a lead into a latent.

An encoder is any module that maps ``(batch, in_channels, n_samples)`` to ``(batch, n_features)``,
and a callable ``encoder(in_channels) -> nn.Module`` makes one. Records have several leads: there is
a branch for each, or one encoder that all leads share, or one that sees them together.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["JointEncoder", "LeadwiseEncoder", "ResNet1d", "SharedEncoder", "VGG1d"]


class VGG1d(nn.Module):
    """VGG16 along time: thirteen convolutions of kernel 3 in five blocks, averaged over time.

    Parameters
    ----------
    in_channels : int, default=1
        Number of leads seen together.
    width : float, default=1/8
        Factor on the channels of VGG16 (64, 128, 256, 512, 512). The default makes the branch of
        the literature: 64 features from 78,216 parameters.

    Notes
    -----
    The layers are 2-D with kernels of height one: the same sums as in 1-D, for which PyTorch has
    faster kernels on CPUs in channels-last memory format. Pooling rounds up, so that records of any
    length from one sample on pass.

    References
    ----------
    Simonyan K, Zisserman A. Very deep convolutional networks for large-scale image recognition.
    ICLR 2015.

    Examples
    --------
    >>> import torch
    >>> VGG1d(in_channels=1)(torch.zeros(4, 1, 1000)).shape
    torch.Size([4, 64])
    """

    def __init__(self, in_channels: int = 1, width: float = 1 / 8):
        super().__init__()
        layers: list[nn.Module] = []
        for n_channels, n_convolutions in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
            out_channels = max(1, round(n_channels * width))
            for _ in range(n_convolutions):
                layers += [
                    nn.Conv2d(in_channels, out_channels, kernel_size=(1, 3), padding=(0, 1)),
                    nn.BatchNorm2d(out_channels),
                    nn.ReLU(),
                ]
                in_channels = out_channels
            layers.append(nn.MaxPool2d((1, 2), ceil_mode=True))
        self.layers = nn.Sequential(*layers)
        for module in self.layers:
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        self.layers.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor) -> Tensor:
        """Encode ``(batch, in_channels, n_samples)`` as ``(batch, n_features)``."""
        x = x[:, :, None, :].contiguous(memory_format=torch.channels_last)
        return self.layers(x).mean(dim=(2, 3))


class ResNet1d(nn.Module):
    """Residual network along time whose first layer takes large steps, which makes it fast.

    A wide first convolution brings a record of 100 Hz to 25 Hz at once; then each block halves the
    rate. The latent is what each of the last blocks shows on average over time, side by side: short
    waves and long ones.

    Parameters
    ----------
    in_channels : int, default=1
        Number of leads seen together.
    channels : sequence of int, default=(16, 32, 64)
        Channels of the blocks; the first layer has as many as the first block.
    n_depths : int, default=3
        How many of the last blocks are averaged over time.

    References
    ----------
    He K, Zhang X, Ren S, Sun J. Deep residual learning for image recognition. CVPR 2016.

    Examples
    --------
    >>> import torch
    >>> ResNet1d(in_channels=1)(torch.zeros(4, 1, 1000)).shape
    torch.Size([4, 112])
    """

    def __init__(
        self, in_channels: int = 1, channels: Sequence[int] = (16, 32, 64), n_depths: int = 3
    ):
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(in_channels, channels[0], (1, 15), stride=(1, 4), padding=(0, 7), bias=False),
            nn.BatchNorm2d(channels[0]),
            nn.ReLU(),
        )
        self.blocks = nn.ModuleList(
            map(_ResidualBlock, (channels[0], *channels[:-1]), channels)  # in, out
        )
        self.n_depths = n_depths
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor) -> Tensor:
        """Encode ``(batch, in_channels, n_samples)`` as ``(batch, n_features)``."""
        x = self.first(x[:, :, None, :].contiguous(memory_format=torch.channels_last))
        averages = []
        for block in self.blocks:
            x = block(x)
            averages.append(x.sum(dim=(2, 3)) / x.shape[3])  # mean would write a gradient like x
        return torch.cat(averages[-self.n_depths :], dim=1)


class _ResidualBlock(nn.Module):
    """Two convolutions of kernel 5 that halve the length, beside a shortcut."""

    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.long = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, (1, 5), (1, 2), (0, 2), bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, (1, 5), padding=(0, 2), bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.short = nn.Sequential(
            nn.AvgPool2d((1, 2), ceil_mode=True),
            nn.Conv2d(in_channels, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.long(x) + self.short(x))


class LeadwiseEncoder(nn.Module):
    """A branch of its own for each lead.

    Parameters
    ----------
    branches : sequence of nn.Module
        One encoder of one channel for each lead, all with the same number of features.

    Examples
    --------
    >>> LeadwiseEncoder([ResNet1d(1) for _ in range(3)])(torch.zeros(4, 3, 1000)).shape
    torch.Size([4, 3, 112])
    """

    def __init__(self, branches: Sequence[nn.Module]):
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        """Encode ``(batch, n_leads, n_samples)`` as ``(batch, n_leads, n_features)``."""
        # a copy for each branch, which may work in place
        leads = [x[:, i : i + 1].clone() for i in range(len(self.branches))]
        latents = [branch(lead) for branch, lead in zip(self.branches, leads, strict=True)]
        return torch.stack(latents, dim=1)


class SharedEncoder(nn.Module):
    """One encoder for all leads, which sees each by itself.

    Parameters
    ----------
    encoder : nn.Module
        An encoder of one channel.

    Examples
    --------
    >>> SharedEncoder(ResNet1d(1))(torch.zeros(4, 3, 1000)).shape
    torch.Size([4, 3, 112])
    """

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> Tensor:
        """Encode ``(batch, n_leads, n_samples)`` as ``(batch, n_leads, n_features)``."""
        latents = self.encoder(x.flatten(0, 1)[:, None].clone())
        return latents.unflatten(0, x.shape[:2])


class JointEncoder(nn.Module):
    """One encoder that sees all leads together, as its channels.

    Parameters
    ----------
    encoder : nn.Module
        An encoder of as many channels as there are leads.

    Examples
    --------
    >>> JointEncoder(ResNet1d(3))(torch.zeros(4, 3, 1000)).shape
    torch.Size([4, 1, 112])
    """

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> Tensor:
        """Encode ``(batch, n_leads, n_samples)`` as ``(batch, 1, n_features)``."""
        return self.encoder(x.clone())[:, None]
