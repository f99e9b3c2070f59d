"""BYOL: bootstrap your own latent."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING

from sklearn.utils._param_validation import Interval

from sklearn_bell.nn.encoders import JointEncoder, ResNet1d
from sklearn_bell.pretraining._base import BasePretrainer
from sklearn_bell.pretraining._bell import BELL

if TYPE_CHECKING:
    from sklearn_bell._utils.types import (
        Augmentation,
        Device,
        Encoder,
        Missing,
        Names,
        Precision,
        RandomState,
    )
    from sklearn_bell.training._checkpoint import CheckpointLike


class BYOLPretrainer(BasePretrainer):
    """Bootstrap the latent of a record: BYOL with one encoder that sees all leads together.

    From one view of a record the network predicts what a slowly following copy of itself, the
    target, makes of another view. There are no negative pairs. It is what
    :class:`BELLPretrainer` becomes when a record has one encoder instead of a branch for each lead.

    Parameters
    ----------
    encoder : callable or nn.Module, default=ResNet1d
        ``encoder(in_channels)`` makes the encoder, a module that maps ``(batch, n_leads,
        n_samples)`` to ``(batch, n_features)``. A module is copied instead, with its weights.
    augmentation : callable, default=None
        Makes a view: called as ``augmentation(x, generator)`` on a batch
        ``(batch, n_leads, n_samples)``, see :mod:`sklearn_bell.nn.augmentation`. By default
        that of :class:`BELLPretrainer`.
    decay : float, default=0.99
        How much of the target network stays at each step; the rest comes from the online network.
    head_width : int, default=512
        Width of the hidden and the last layer of projector and predictor.
    max_epochs : int, default=60
        How often all records are seen. 0 leaves the encoder untrained, but for
        the means and deviations of its batch normalisation.
    epoch_size : int, default=None
        How many records are seen in an epoch, drawn anew for each. None takes all. Of very many
        records, a part lets `history_` and callbacks tell sooner how training goes.
    batch_size : int, default=128
        Records per step, and per batch in `transform`. Batches differ in size by one at most.
    lr : float, default=0.004
        Learning rate of Adam.
    lead_names : array-like of str of length n_leads, default=None
        Names of the leads of X.
    sampling_rate : float, default=100
        Sampling rate of X in Hz, for the filter that keeps 0.5 to 40 Hz.
    missing : {"error", "zero"}, default="error"
        What to do with a lead that a record does not have, all of whose samples are NaN: raise an
        error, or take it for a flat lead of zeros. A gap in a lead is an error in any case.
    device : str or torch.device, default="auto"
        Where to compute: ``"auto"`` is a GPU if there is one, or else the CPU.
    precision : {"float32", "bfloat16", "auto"}, default="float32"
        What layers are computed in, in `fit` and in `transform`. ``"auto"`` is bfloat16 where the
        device has instructions for it, which is faster, and rounds latents by about a hundredth of
        their deviation. The result of `transform` is float32 in any case.
    verbose : bool or int, default=False
        Whether to print a line for each epoch: its number, the loss, and the seconds it took.
    checkpoint : str, path or Checkpoint, default=None
        Where to keep the state of training, so that `fit` goes on from it when it was ended: a
        folder, or a :class:`sklearn_bell.training.Checkpoint`. None keeps nothing.
    random_state : int, RandomState instance or None, default=None
        Determines the first weights, the order of the records and the views.

    Attributes
    ----------
    encoder_ : nn.Sequential
        What prepares the leads, and the trained encoder: maps records
        ``(batch, n_leads, n_samples)`` to latents ``(batch, 1, n_features)``.
    history_ : list of dict
        For each epoch: the mean ``loss``, the
        ``latent_deviation`` and ``effective_rank`` that tell of a collapse, as in
        :class:`BELLPretrainer`, and the ``duration`` in s.
    lead_names_ : list of str
        Names of the leads, numbered where `lead_names` is None.
    n_features_in_ : int
        Number of leads, or of samples where X is 2-D.
    n_leads_in_, n_samples_in_ : int
        Number of leads, and of samples of a record.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, where X is a dataframe.

    Raises
    ------
    InvalidECGError
        A ``ValueError``: if X is not two records at least, of three dimensions (or two for one
        lead) and finite, or too short for the encoder.
    DivergenceError
        If the loss or a weight is no finite number any more. The transformer has the weights of the
        last epoch that ended well then, and is not fitted if none did.

    See Also
    --------
    BELLPretrainer : The method that this library is named after.

    Notes
    -----
    The loss is the mean squared distance between predictions and the target's projections, both of
    length 1 [1]_, averaged over both ways round the views.


    References
    ----------
    .. [1] Grill JB, et al. Bootstrap your own latent: A new approach to self-supervised learning.
       NeurIPS 2020.

    Examples
    --------
    >>> from sklearn_bell.datasets import make_ecg
    >>> from sklearn_bell.pretraining import BYOLPretrainer
    >>> ecg = make_ecg(20, leads=["II", "V1"], random_state=0)
    >>> BYOLPretrainer(max_epochs=1, random_state=0).fit_transform(ecg.data).shape
    (20, 112)
    """

    _parameter_constraints: dict = {
        **BasePretrainer._parameter_constraints,
        "decay": [Interval(Real, 0, 1, closed="left")],
        "head_width": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        encoder: Encoder = ResNet1d,
        *,
        augmentation: Augmentation | None = None,
        decay: float = 0.99,
        head_width: int = 512,
        max_epochs: int = 60,
        epoch_size: int | None = None,
        batch_size: int = 128,
        lr: float = 4e-3,
        lead_names: Names | None = None,
        sampling_rate: float = 100,
        missing: Missing = "error",
        device: Device = "auto",
        precision: Precision = "float32",
        verbose: bool | int = False,
        checkpoint: CheckpointLike | None = None,
        random_state: RandomState = None,
    ):
        self.encoder = encoder
        self.augmentation = augmentation
        self.decay = decay
        self.head_width = head_width
        self.max_epochs = max_epochs
        self.epoch_size = epoch_size
        self.batch_size = batch_size
        self.lr = lr
        self.lead_names = lead_names
        self.sampling_rate = sampling_rate
        self.missing = missing
        self.device = device
        self.precision = precision
        self.verbose = verbose
        self.checkpoint = checkpoint
        self.random_state = random_state

    def _make_encoder(self):
        return JointEncoder(self._one_encoder(self.n_leads_in_))

    def _make_method(self, encoder, n_parts, n_features):
        return BELL(encoder, n_parts, n_features, self.head_width, gamma=1.0, decay=self.decay)
