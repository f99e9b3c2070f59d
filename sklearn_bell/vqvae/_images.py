"""ECGs as images: for those who have no signals, and to show what signals are."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils._param_validation import Interval, validate_params

from sklearn_bell._utils.signal import PAPER_GAIN, PAPER_SPEED
from sklearn_bell._utils.validation import check_images, check_signals
from sklearn_bell.nn.vector_quantization import ImageVQVAE
from sklearn_bell.vqvae._base import BaseVQVAE

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@validate_params(
    {
        "X": ["array-like"],
        "sampling_rate": [Interval(Real, 0, None, closed="neither")],
        "dots_per_mm": [Interval(Real, 0, None, closed="neither")],
        "lead_height": [Interval(Real, 0, None, closed="neither")],
        "line_width": [Interval(Real, 0, None, closed="neither")],
    },
    prefer_skip_nested_validation=True,
)
def render_ecg(
    X: ArrayLike,
    sampling_rate: float = 100,
    *,
    dots_per_mm: float = 1.0,
    lead_height: float = 20.0,
    line_width: float = 0.5,
) -> np.ndarray:
    """Write ECGs on paper: grey images with a line for each lead, one below the other.

    The paper runs at 25 mm/s, and 1 mV is 10 mm high, as usual. It has no grid.

    Parameters
    ----------
    X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
        Records in mV.
    sampling_rate : float, default=100
        Sampling rate of X in Hz.
    dots_per_mm : float, default=1.0
        Resolution. 8 is about that of a scan at 200 dots per inch.
    lead_height : float, default=20.0
        Height of the strip of a lead in mm. Its middle is 0 mV; what goes beyond the strip is cut
        off.
    line_width : float, default=0.5
        Width of the line in mm.

    Returns
    -------
    images : ndarray of shape (n_records, height, width), dtype float32
        From 0 (paper) to 1 (ink). ``height`` is that of all strips, and ``width`` 25 mm for each
        second, in dots.

    Examples
    --------
    >>> from sklearn_bell.datasets import make_ecg
    >>> from sklearn_bell.vqvae import render_ecg
    >>> ecg = make_ecg(3, duration=4, sampling_rate=100, leads=["II", "V1"], random_state=0)
    >>> render_ecg(ecg.data, sampling_rate=100, dots_per_mm=2).shape
    (3, 80, 200)
    """
    X = check_signals(X)
    n_records, n_leads, n_samples = X.shape
    width = max(1, round(n_samples / sampling_rate * PAPER_SPEED * dots_per_mm))
    height = max(1, round(lead_height * dots_per_mm))  # of a strip
    thickness = line_width * dots_per_mm
    images = np.empty((n_records, n_leads * height, width), np.float32)
    for record, image in zip(X, images, strict=True):
        lowest, highest = _extent(height / 2 - record * PAPER_GAIN * dots_per_mm, width)
        top, bottom = lowest - thickness / 2, highest + thickness / 2  # (n_leads, width), downwards
        row = np.arange(height)[:, None]
        covered = np.minimum(row + 1, bottom[:, None]) - np.maximum(row, top[:, None])
        image[:] = covered.clip(0, 1).reshape(-1, width)
    return images


def _extent(y, width):
    """Return between what y ``(n_leads, n_samples)``, joined by lines, lies in each column."""
    last = max(1, y.shape[1] - 1)
    position = np.linspace(0, last, width + 1)  # of the borders of columns
    before = np.minimum(position.astype(int), y.shape[1] - 1)
    after = np.minimum(before + 1, y.shape[1] - 1)
    border = y[:, before] + (position - before) * (y[:, after] - y[:, before])
    lowest = np.minimum(border[:, :-1], border[:, 1:])
    highest = np.maximum(border[:, :-1], border[:, 1:])
    column = np.minimum(np.arange(y.shape[1]) * width // last, width - 1)
    np.minimum.at(lowest.T, column, y.T)
    np.maximum.at(highest.T, column, y.T)
    return lowest, highest


class ImageVQVAETransformer(BaseVQVAE):
    """Describe grey images of ECGs by discrete codes, of which they can be made again.

    For those who have images, and no signals: :class:`sklearn_bell.VQVAETransformer` with layers in
    two dimensions, over the same codebooks. Given to :class:`sklearn_bell.VQVAEOverSampler` it
    makes new images of rare classes, as the paper does [1]_. Where there are signals, they are the
    better choice: images of the same resolution are larger, and slower to learn. What comes back is
    not bound to the range of the images.

    Parameters
    ----------
    n_codes : int, default=256
        Vectors of each codebook.
    n_codebooks : int, default=8
        Codes of each latent: each codebook describes what the ones before it have left.
    n_features : int, default=64
        Width of latents and vectors.
    width : int, default=128
        Channels after the first layer of the encoder, and before the last one of the decoder. With
        each further stride there are twice as many.
    strides : tuple of int, default=(8,)
        Sides of the squares that the layers of the encoder make one of, in dots and then in
        squares. There is a latent for as many lines, and columns, as their product.
    beta : float, default=0.25
        Weight of the commitment loss, which draws latents to the vectors that describe them.
    decay : float, default=0.99
        The vectors are moving averages of the latents they describe: what remains after a step.
    max_epochs : int, default=40
        How often all images are seen.
    batch_size : int, default=16
        Images per step, and per batch in `transform`. Batches differ in size by one at most.
    lr : float, default=0.001
        Learning rate of Adam. It falls to zero in the second half of the epochs.
    device : str or torch.device, default="auto"
        Where to compute: ``"auto"`` is a GPU if there is one, or else the CPU.
    precision : {"float32", "bfloat16", "auto"}, default="float32"
        What the layers are computed in while training. ``"auto"`` is bfloat16 where the device has
        instructions for it, which is faster; `transform` is always float32.
    verbose : bool or int, default=False
        Whether to print a line for each epoch: its number, the loss, and the seconds it took.
    checkpoint : str, path or Checkpoint, default=None
        Where to keep the state of training, so that `fit` goes on from it when it was ended: a
        folder, or a :class:`sklearn_bell.training.Checkpoint`. None keeps nothing.
    random_state : int, RandomState instance or None, default=None
        Determines the first weights and vectors, and the order of the images.

    Attributes
    ----------
    vqvae_ : sklearn_bell.nn.vector_quantization.ImageVQVAE
        The trained network: images ``(batch, height, width)`` to what comes back.
    history_ : list of dict
        For each epoch: the mean ``loss``; the ``reconstruction_error``, which is the part of the
        variance of an image that does not come back; the ``commitment`` loss; the ``perplexity`` of
        each codebook; and the ``duration`` in s.
    n_features_in_ : int
        Height, or width where X is 2-D.
    height_in_, width_in_ : int
        Of an image.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, where X is a dataframe.

    Raises
    ------
    InvalidECGError
        A ``ValueError``: if X is not two images at least, of three dimensions (or two for images of
        one line) and finite; or if codes are not as `transform` returns them.
    DivergenceError
        If the loss or a weight is no finite number any more. The transformer has the weights of the
        last epoch that ended well then, and is not fitted if none did.

    See Also
    --------
    render_ecg : Makes images of signals.

    References
    ----------
    .. [1] Liu H, Zhao Z, Chen X, Yu R, She Q. Using the VQ-VAE to improve the recognition of
       abnormalities in short-duration 12-lead electrocardiogram records. Comput Methods Programs
       Biomed 2020;196:105639. doi:10.1016/j.cmpb.2020.105639

    Examples
    --------
    Images of a rare class are made, and a classifier is trained with them:

    >>> import numpy as np
    >>> from imblearn.pipeline import make_pipeline
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.preprocessing import FunctionTransformer
    >>> from sklearn_bell import VQVAEOverSampler
    >>> from sklearn_bell.datasets import make_ecg
    >>> from sklearn_bell.vqvae import ImageVQVAETransformer, render_ecg
    >>> ecg = make_ecg(60, classes=["normal", "lbbb"], leads=["V1"], duration=2, random_state=0)
    >>> rows = np.argsort(ecg.target)[:36]  # thirty normal records, and six with a block
    >>> images, y = render_ecg(ecg.data[rows], ecg.sampling_rate), ecg.target[rows]
    >>> images.shape
    (36, 20, 50)
    >>> vqvae = ImageVQVAETransformer(n_codes=32, width=8, max_epochs=2)
    >>> pipeline = make_pipeline(
    ...     VQVAEOverSampler(vqvae=vqvae, random_state=0),
    ...     FunctionTransformer(lambda images: images.reshape(len(images), -1)),
    ...     LogisticRegression(),
    ... )
    >>> pipeline.fit(images, y).predict(images).shape
    (36,)
    >>> pipeline[0].parents_.shape  # there were twenty-four new images
    (24, 2)
    """

    _check_X = staticmethod(check_images)

    @property
    def _shape(self):
        return self.height_in_, self.width_in_

    def _make_network(self, **settings):
        return ImageVQVAE(**settings)

    def _channel_names(self):
        return None
