"""CLOCS: contrastive learning of cardiac signals across space, time and patients."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Self

import numpy as np
import pandas as pd
import torch
from sklearn.base import _fit_context
from sklearn.callback import with_callbacks
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_consistent_length

from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.nn.augmentation import Compose, TwoHalves
from sklearn_bell.nn.encoders import ResNet1d, SharedEncoder
from sklearn_bell.nn.heads import LeadwiseMLP
from sklearn_bell.nn.losses import clocs_loss
from sklearn_bell.pretraining._base import BasePretrainer, Method

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

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


class CLOCS(Method):
    """A projector that leads share, and a loss that contrasts patients over time and leads.

    Parameters
    ----------
    encoder : nn.Module
        Maps ``(batch, n_leads, n_samples)`` to ``(batch, n_leads, n_features)``.
    n_features, head_width : int
        Sizes of the projector.
    temperature : float
        As in :class:`CLOCSPretrainer`.
    """

    def __init__(self, encoder, n_features, head_width, temperature):
        super().__init__()
        self.encoder = encoder
        self.projector = LeadwiseMLP(1, n_features, head_width, head_width)
        self.temperature = temperature

    def forward(self, first, second, patient=None):
        """Return the loss, and the latents of the first half."""
        latents = [self.encoder(half) for half in (first, second)]
        views = torch.cat(latents, dim=1)  # (batch, 2 * n_leads, n_features)
        projected = self.projector(views.flatten(0, 1)[:, None]).view(*views.shape[:2], -1)
        if patient is None:  # every record is of another
            patient = torch.arange(len(views), device=views.device)
        same = patient[:, None] == patient
        return {"loss": clocs_loss(projected, same, self.temperature)}, latents[0]


class CLOCSPretrainer(BasePretrainer):
    """Find the same patient at another time and in another lead: CLOCS.

    One encoder, which all leads share, sees the first and the second half of every record in every
    lead; what comes of one patient has to be more alike than what comes of others.

    Parameters
    ----------
    encoder : callable or nn.Module, default=ResNet1d
        ``encoder(in_channels)`` makes the encoder that all leads share, a module that maps
        ``(batch, 1, n_samples)`` to ``(batch, n_features)``. A module is copied instead, with its
        weights.
    augmentation : callable, default=None
        Makes a view: called as ``augmentation(x, generator)`` on a batch
        ``(batch, n_leads, n_samples)``, see :mod:`sklearn_bell.nn.augmentation`. By default
        the halves are as they are.
    temperature : float, default=0.1
        By which cosines are divided; the lower, the more the most alike of others count.
    head_width : int, default=512
        Width of the hidden and the last layer of the projector.
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
        lead) and finite, or too short for the encoder, or if `groups` does not name the patient of
        each record.
    DivergenceError
        If the loss or a weight is no finite number any more. The transformer has the weights of the
        last epoch that ended well then, and is not fitted if none did.

    See Also
    --------
    BELLPretrainer : The method that this library is named after.

    Notes
    -----
    Of the published variants [1]_ it is the one over segments and leads together (CMSMLC). Every
    pair of different views (halves and leads) is compared; where the batch has more records of a
    patient, all of them are right. The projector is an addition of SimCLR's kind: there the encoder
    ends in the embedding that is compared.


    References
    ----------
    .. [1] Kiyasseh D, Zhu T, Clifton DA. CLOCS: contrastive learning of cardiac signals across
       space, time, and patients. ICML 2021.

    Examples
    --------
    >>> from sklearn_bell.datasets import make_ecg
    >>> from sklearn_bell.pretraining import CLOCSPretrainer
    >>> ecg = make_ecg(20, leads=["II", "V1"], random_state=0)
    >>> CLOCSPretrainer(max_epochs=1, random_state=0).fit_transform(ecg.data).shape
    (20, 224)
    """

    _usual_augmentation = Compose  # none

    _parameter_constraints: dict = {
        **BasePretrainer._parameter_constraints,
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "head_width": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        encoder: Encoder = ResNet1d,
        *,
        augmentation: Augmentation | None = None,
        temperature: float = 0.1,
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
        self.temperature = temperature
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

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: ArrayLike, y: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> Self:
        """Pretrain on unlabelled records, from the beginning.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            At least two records. May be memory-mapped: it is read batch by batch.
        y : None
            Ignored.
        groups : array-like of shape (n_records,), default=None
            The patients. By default every record is of another.

        Returns
        -------
        self : object
            The fitted transformer.
        """
        return self._fit(X, _numbered(X, groups))

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self, X: ArrayLike, y: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> Self:
        """Train for one more epoch, on these records.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            At least two records, of the leads and length seen first.
        y : None
            Ignored.
        groups : array-like of shape (n_records,), default=None
            The patients. By default every record is of another.

        Returns
        -------
        self : object
            The fitted transformer.
        """
        return self._partial_fit(X, _numbered(X, groups))

    def _make_encoder(self):
        return SharedEncoder(self._one_encoder(1))

    def _make_views(self, augmentation):
        return TwoHalves(augmentation)

    def _make_method(self, encoder, n_parts, n_features):
        return CLOCS(encoder, n_features, self.head_width, self.temperature)


def _numbered(X, groups):
    """Return a number for each patient, row by row."""
    if groups is None:
        return None
    try:
        check_consistent_length(X, groups)
    except ValueError as error:
        raise InvalidECGError(f"groups must name the patient of each record: {error}") from error
    numbers, _ = pd.factorize(np.asarray(groups), sort=False)
    if (numbers < 0).any():
        raise InvalidECGError(
            f"groups must name the patient of each record, but that of record "
            f"{np.argmin(numbers)} is missing."
        )
    return numbers
