"""Encoders of leads, and their combination into encoders of records.

An encoder is any module that maps ``(batch, in_channels, n_samples)`` to ``(batch, n_features)``.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor, nn

from sklearn_bell.exceptions import InvalidECGError

__all__ = ["JointEncoder", "LeadwiseEncoder", "ResNet1d", "SharedEncoder", "VGG1d"]


def _initialize(module):
    """Draw weights of convolutions by He's rule and store them channels-last."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    module.to(memory_format=torch.channels_last)


def _conv_bn(in_channels, out_channels, kernel_size, stride=1, bias=False):
    """Return a convolution along time, padded at both ends, and its batch normalisation."""
    sizes = (1, kernel_size), (1, stride), (0, kernel_size // 2)
    conv = nn.Conv2d(in_channels, out_channels, *sizes, bias=bias)
    return conv, nn.BatchNorm2d(out_channels)


def _as_image(x):
    """Add an axis of height one: 2-D kernels are faster than 1-D ones on CPUs."""
    return x[:, :, None, :].contiguous(memory_format=torch.channels_last)


class VGG1d(nn.Module):
    """VGG16 (Simonyan and Zisserman, ICLR 2015) along time, averaged over time.

    Thirteen convolutions of kernel 3 in five blocks. Records may have any length.

    Parameters
    ----------
    in_channels : int, default=1
        Number of leads seen together.
    width : float, default=1/8
        Factor on the channels of VGG16 (64, 128, 256, 512, 512). The default is the branch of the
        literature, with 64 features and 78,216 parameters.

    Examples
    --------
    >>> VGG1d(in_channels=1)(torch.zeros(4, 1, 1000)).shape
    torch.Size([4, 64])
    """

    def __init__(self, in_channels: int = 1, width: float = 1 / 8):
        super().__init__()
        layers: list[nn.Module] = []
        for n_channels, n_convolutions in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
            out_channels = max(1, round(n_channels * width))
            for _ in range(n_convolutions):
                layers += [*_conv_bn(in_channels, out_channels, 3, bias=True), nn.ReLU()]
                in_channels = out_channels
            layers.append(nn.MaxPool2d((1, 2), ceil_mode=True))
        self.layers = nn.Sequential(*layers)
        _initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        """Encode ``(batch, in_channels, n_samples)`` as ``(batch, n_features)``."""
        return self.layers(_as_image(x)).mean(dim=(2, 3))


class ResNet1d(nn.Module):
    """Residual network along time with a wide, strided first layer, which makes it fast.

    Residual blocks are those of He et al. (CVPR 2016). The first convolution divides the rate by
    four, each block by two. The latent has the averages over time of the last blocks, or what a
    layer on them computes.

    Parameters
    ----------
    in_channels : int, default=1
        Number of leads seen together.
    channels : sequence of int, default=(16, 32, 64)
        Channels of the blocks; the first layer has as many as the first block.
    n_depths : int, default=3
        Number of last blocks in the latent.
    n_features : int, default=None
        Size of a last layer on the standardised averages (linear, batch normalisation, ReLU), whose
        output is the latent. None takes the averages.

    Examples
    --------
    >>> ResNet1d(in_channels=1)(torch.zeros(4, 1, 1000)).shape
    torch.Size([4, 112])
    """

    def __init__(
        self,
        in_channels: int = 1,
        channels: Sequence[int] = (16, 32, 64),
        n_depths: int = 3,
        n_features: int | None = None,
    ):
        super().__init__()
        self.first = nn.Sequential(*_conv_bn(in_channels, channels[0], 15, stride=4), nn.ReLU())
        self.blocks = nn.ModuleList(map(_ResidualBlock, (channels[0], *channels), channels))
        self.n_depths = n_depths
        self.last: nn.Module = nn.Identity()
        if n_features is not None:
            n_averages = sum(channels[-n_depths:])
            self.last = nn.Sequential(
                nn.BatchNorm1d(n_averages, affine=False),
                nn.Linear(n_averages, n_features, bias=False),
                nn.BatchNorm1d(n_features),
                nn.ReLU(),
            )
        _initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        """Encode ``(batch, in_channels, n_samples)`` as ``(batch, n_features)``."""
        x, averages = self.first(_as_image(x)), []
        for block in self.blocks:
            x = block(x)  # (batch, n_channels, 1, n_samples)
            averages.append(x.sum(dim=(2, 3)) / x.shape[3])  # mean would write a gradient like x
        return self.last(torch.cat(averages[-self.n_depths :], dim=1))


class _ResidualBlock(nn.Module):
    """Two convolutions of kernel 5 that halve the length, beside a shortcut."""

    def __init__(self, in_channels, out_channels):
        super().__init__()
        first = _conv_bn(in_channels, out_channels, 5, stride=2)
        self.long = nn.Sequential(*first, nn.ReLU(), *_conv_bn(out_channels, out_channels, 5))
        pool = nn.AvgPool2d((1, 2), ceil_mode=True)
        self.short = nn.Sequential(pool, *_conv_bn(in_channels, out_channels, 1))
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.long(x) + self.short(x))


class LeadwiseEncoder(nn.Module):
    """A separate encoder of one channel for each lead, all with the same number of features.

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
        latents = [branch(x[:, i : i + 1].clone()) for i, branch in enumerate(self.branches)]
        return torch.stack(latents, dim=1)


class SharedEncoder(nn.Module):
    """One encoder of one channel, applied to each lead separately.

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
        return self.encoder(x.flatten(0, 1)[:, None].clone()).unflatten(0, x.shape[:2])


class JointEncoder(nn.Module):
    """One encoder that sees all leads together, as its channels.

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


@torch.no_grad()
def latent_shape(
    encoder: nn.Module,
    augmentation: Callable[..., Tensor | tuple[Tensor, ...]],
    n_leads: int,
    n_samples: int,
    device: torch.device | str | None = None,
) -> torch.Size:
    """Return the shape of a record's latent, ``(n_leads, n_features)``, by a dry run on zeros.

    The encoder is left in evaluation mode. Raises InvalidECGError if the encoder or the
    augmentation, which returns a view or a tuple of views, does not fit the records.
    """
    records = torch.zeros(2, n_leads, n_samples, device=device)
    views = augmentation(records, Generator("cpu" if records.is_meta else records.device))
    views = views if isinstance(views, tuple) else (views,)
    for view in views:
        if view.shape[:2] != records.shape[:2]:
            raise InvalidECGError(
                f"Expected augmentation to keep records and leads, got {tuple(view.shape)} from "
                f"{tuple(records.shape)}. Change the last axis only."
            )
    encoder.eval()
    try:
        encoder(views[0])
        latent = encoder(records)
    except RuntimeError as error:
        raise InvalidECGError(
            f"The encoder cannot take records of {n_samples} samples or views of "
            f"{views[0].shape[-1]} samples. If it takes records of one length only, pass "
            "augmentation=Compose() of sklearn_bell.nn.augmentation, which leaves them whole; "
            f"otherwise give longer records. {error}"
        ) from error
    is_tensor = isinstance(latent, Tensor)
    if not is_tensor or latent.ndim < 2 or len(latent) != 2 or not latent.is_floating_point():
        output = f"{latent.dtype} of shape {tuple(latent.shape)}" if is_tensor else type(latent)
        raise InvalidECGError(
            "Expected encoder to map (batch, in_channels, n_samples) to (batch, n_features), got "
            f"{output} for 2 records."
        )
    return latent.shape[1:]
