"""LFBT: lead-fusion Barlow Twins."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING

import torch
from sklearn.utils._param_validation import Interval

from sklearn_bell.nn.encoders import ResNet1d
from sklearn_bell.nn.heads import LeadwiseMLP
from sklearn_bell.nn.losses import barlow_twins_lead_loss, fuse
from sklearn_bell.pretraining._base import BasePretrainer, Method

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


class LFBT(Method):
    """A projector for each lead, and a loss of redundancy within and between leads.

    Parameters
    ----------
    encoder : nn.Module
        Maps ``(batch, n_leads, n_samples)`` to ``(batch, n_parts, n_features)``; a part is a lead,
        or all leads together.
    n_parts, n_features, head_width : int
        Sizes of the projectors.
    gamma, trade_off : float
        As in :class:`LFBTPretrainer`.
    """

    def __init__(self, encoder, n_parts, n_features, head_width, gamma, trade_off):
        super().__init__()
        self.encoder = encoder
        self.projector = LeadwiseMLP(n_parts, n_features, head_width, head_width)
        self.gamma, self.trade_off = gamma, trade_off

    def forward(self, first, second):
        """Return the loss with its two terms, and the latents of the first view."""
        latents = [self.encoder(view) for view in (first, second)]
        first, second = self.projector(torch.stack(latents))
        redundancies = barlow_twins_lead_loss(first, second, self.trade_off)  # (n_parts, n_parts)
        return fuse(redundancies, self.gamma), latents[0]


class LFBTPretrainer(BasePretrainer):
    """Make features agree between views and leads, and differ: Barlow Twins lead by lead.

    Every lead has an encoder and a projector of its own. The sibling of :class:`BELLPretrainer`
    that needs no target network.

    Parameters
    ----------
    encoder : callable or nn.Module, default=ResNet1d
        ``encoder(in_channels)`` makes the encoder of a lead, a module that maps
        ``(batch, 1, n_samples)`` to ``(batch, n_features)``. A module is copied for each lead
        instead, with its weights.
    augmentation : callable, default=None
        Makes a view: called as ``augmentation(x, generator)`` on a batch
        ``(batch, n_leads, n_samples)``, see :mod:`sklearn_bell.nn.augmentation`. By default
        that of :class:`BELLPretrainer`.
    gamma : float, default=0.8
        Weight of the intra-lead term, ``1 - gamma`` being that of the inter-lead term; 1 is
        intra-lead alone, 0 inter-lead alone. It has no effect where there is only one lead.
    trade_off : float, default=0.005
        Weight of what different features share.
    head_width : int, default=512
        Width of the hidden and the last layer of the projectors.
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
        Names of the leads of X, for the names of the features.
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
        ``(batch, n_leads, n_samples)`` to latents ``(batch, n_leads, n_features)``.
    history_ : list of dict
        For each epoch: the mean ``loss`` and its terms ``intra`` and ``inter``, the
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
    The loss of a pair of leads is that of Barlow Twins [2]_, divided by the number of features. As
    published [1]_, its mean over equal leads counts `gamma`, that over different leads the rest.
    There the projectors have three layers 2048 wide; here they have two, of `head_width`.


    References
    ----------
    .. [1] LFBT. Inf Fusion 2025;114:102698. Code: https://github.com/Aiwiscal/ECG_SSL_LFBT
    .. [2] Zbontar J, Jing L, Misra I, LeCun Y, Deny S. Barlow Twins: self-supervised learning via
       redundancy reduction. ICML 2021.

    Examples
    --------
    >>> from sklearn_bell.datasets import make_ecg
    >>> from sklearn_bell.pretraining import LFBTPretrainer
    >>> ecg = make_ecg(20, leads=["II", "V1"], random_state=0)
    >>> LFBTPretrainer(max_epochs=1, random_state=0).fit_transform(ecg.data).shape
    (20, 224)
    """

    _parameter_constraints: dict = {
        **BasePretrainer._parameter_constraints,
        "gamma": [Interval(Real, 0, 1, closed="both")],
        "trade_off": [Interval(Real, 0, None, closed="left")],
        "head_width": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        encoder: Encoder = ResNet1d,
        *,
        augmentation: Augmentation | None = None,
        gamma: float = 0.8,
        trade_off: float = 0.005,
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
        self.gamma = gamma
        self.trade_off = trade_off
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

    def _make_method(self, encoder, n_parts, n_features):
        return LFBT(encoder, n_parts, n_features, self.head_width, self.gamma, self.trade_off)
