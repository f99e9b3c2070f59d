"""Rendering of ECGs as images, and a VQ-VAE transformer of such images."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils._param_validation import Interval, validate_params

from sklearn_bell._utils.signal import PAPER_GAIN, PAPER_SPEED
from sklearn_bell._utils.validation import check_images, check_signals
from sklearn_bell.nn.vector_quantization import ImageVQVAE
from sklearn_bell.vqvae._base import BaseVQVAE

_SIZES = "sampling_rate", "dots_per_mm", "lead_height", "line_width"
_POSITIVE = [Interval(Real, 0, None, closed="neither")]


@validate_params(
    {"X": ["array-like"]} | dict.fromkeys(_SIZES, _POSITIVE), prefer_skip_nested_validation=True
)
def render_ecg(
    X: ArrayLike,
    sampling_rate: float = 100,
    *,
    dots_per_mm: float = 1.0,
    lead_height: float = 20.0,
    line_width: float = 0.5,
) -> np.ndarray:
    """Render ECGs as grey images of paper at 25 mm/s and 10 mm/mV, one strip per lead, no grid.

    Parameters
    ----------
    X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
        Records in mV.
    sampling_rate : float, default=100
        In Hz.
    dots_per_mm : float, default=1.0
        Resolution. A scan at 200 dots per inch has about 8.
    lead_height : float, default=20.0
        Height of a strip in mm, centred at 0 mV. The signal is clipped.
    line_width : float, default=0.5
        Width of the line in mm.

    Returns
    -------
    images : ndarray of shape (n_records, height, width), dtype float32
        From 0 (paper) to 1 (ink). ``height`` covers all strips, in dots.

    Examples
    --------
    >>> from sklearn_bell import datasets, vqvae
    >>> ecg = datasets.make_ecg(3, duration=4, leads=["II", "V1"], random_state=0)
    >>> vqvae.render_ecg(ecg.data, ecg.sampling_rate, dots_per_mm=2).shape
    (3, 80, 200)
    """
    X = check_signals(X)
    n_records, n_leads, n_samples = X.shape
    width = max(1, round(n_samples / sampling_rate * PAPER_SPEED * dots_per_mm))
    height = max(1, round(lead_height * dots_per_mm))  # of a strip
    thickness = line_width * dots_per_mm
    row = np.arange(height)[:, None]
    images = np.empty((n_records, n_leads * height, width), np.float32)
    for record, image in zip(X, images, strict=True):
        lowest, highest = _column_extent(height / 2 - record * PAPER_GAIN * dots_per_mm, width)
        top, bottom = lowest - thickness / 2, highest + thickness / 2  # (n_leads, width), downwards
        covered = np.minimum(row + 1, bottom[:, None]) - np.maximum(row, top[:, None])
        image[:] = covered.clip(0, 1).reshape(-1, width)
    return images


def _column_extent(y, width):
    """Return minimum and maximum ``(n_leads, width)`` of the polyline y in each pixel column."""
    last = max(1, y.shape[1] - 1)
    position = np.linspace(0, last, width + 1)  # of column borders, in samples
    before = np.minimum(position.astype(int), y.shape[1] - 1)
    after = np.minimum(before + 1, y.shape[1] - 1)
    border = y[:, before] + (position - before) * (y[:, after] - y[:, before])
    lowest, highest = np.sort([border[:, :-1], border[:, 1:]], axis=0)
    column = np.minimum(np.arange(y.shape[1]) * width // last, width - 1)
    np.minimum.at(lowest.T, column, y.T)
    np.maximum.at(highest.T, column, y.T)
    return lowest, highest


@dataclass(eq=False, repr=False, kw_only=True)
class ImageVQVAETransformer(BaseVQVAE):
    """Transform grey images of ECGs to discrete codes, and codes back to images.

    :class:`sklearn_bell.VQVAETransformer` with two-dimensional layers, for data sets without
    signals, which are smaller and faster to learn. As `vqvae` of
    :class:`sklearn_bell.VQVAEOverSampler` it synthesises images of rare classes. Reconstructions
    may leave the range of values of the images.

    Parameters
    ----------
    strides : tuple of int, default=(8,)
        Side of the square patches of each layer of the encoder: in dots, then in patches. Their
        product is the number of lines, and of columns, per latent.
    n_codes, n_codebooks, n_features, width, beta, decay
    max_epochs, batch_size, lr, device, precision, verbose, checkpoint, random_state
        As in :class:`sklearn_bell.VQVAETransformer`, with the same defaults.

    Attributes
    ----------
    vqvae_ : sklearn_bell.nn.vector_quantization.ImageVQVAE
        The trained network. It reconstructs images ``(batch, height, width)``.
    history_ : list of dict
        As in :class:`sklearn_bell.VQVAETransformer`; ``reconstruction_error`` is one number, as a
        fraction of the variance of an image.
    height_in_, width_in_, n_features_in_, feature_names_in_
        Size of an image; height, or width for 2-D X; column names, if X is a dataframe.

    Raises
    ------
    InvalidECGError, DivergenceError
        As in :class:`sklearn_bell.VQVAETransformer`. 2-D X holds images of one line.

    Examples
    --------
    >>> from sklearn_bell import datasets, vqvae
    >>> ecg = datasets.make_ecg(30, leads=["V1"], duration=2, random_state=0)
    >>> images = vqvae.render_ecg(ecg.data, ecg.sampling_rate)
    >>> model = vqvae.ImageVQVAETransformer(n_codes=32, width=8, max_epochs=2).fit(images)
    >>> model.transform(images).shape  # 3 x 7 latents, 8 codes for each latent
    (30, 168)
    >>> model.inverse_transform(model.transform(images)).shape
    (30, 20, 50)
    """

    _check_X = staticmethod(check_images)

    @property
    def _shape(self):
        return self.height_in_, self.width_in_

    def _make_network(self, **settings):
        return ImageVQVAE(**settings)
