"""CLOCS: contrastive learning of cardiac signals across space, time and patients."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, Self

import torch
from sklearn.base import _fit_context
from sklearn.callback import with_callbacks
from sklearn.utils._param_validation import Interval

from sklearn_bell.nn.augmentation import Compose, TwoHalves
from sklearn_bell.nn.encoders import SharedEncoder
from sklearn_bell.nn.heads import LeadwiseMLP
from sklearn_bell.nn.losses import clocs_loss
from sklearn_bell.pretraining._base import BasePretrainer
from sklearn_bell.pretraining._objective import Objective

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class CLOCS(Objective):
    """Contrast patients over time and leads, with a projector that leads share."""

    def __init__(self, encoder, n_features, head_width, temperature):
        super().__init__()
        self.encoder = encoder
        self.projector = LeadwiseMLP(1, n_features, head_width, head_width)
        self.temperature = temperature

    def forward(self, view, other, patient=None):
        """Return the loss, and the latents of the first half."""
        latents = [self.encoder(half) for half in (view, other)]
        views = torch.cat(latents, dim=1)  # (batch, 2 * n_leads, n_features)
        projections = self.projector(views.flatten(0, 1)[:, None]).view(*views.shape[:2], -1)
        if patient is None:
            patient = torch.arange(len(views), device=views.device)
        is_same = patient[:, None] == patient  # (batch, batch)
        return {"loss": clocs_loss(projections, is_same, self.temperature)}, latents[0]


@dataclass(eq=False, repr=False, kw_only=True)
class CLOCSPretrainer(BasePretrainer):
    """CLOCS: latents of a patient agree over time and leads, and differ between patients.

    One encoder, shared by all leads, sees the first and the second half of every record. By default
    the halves are not augmented. This is the published variant over segments and leads (CMSMLC)
    [1]_: every pair of different views (halves and leads) is compared, and records of the same
    patient in the batch are positives. The projector is an addition, as in SimCLR.

    Parameters
    ----------
    temperature : float, default=0.1
        Divides the cosines: lower values stress the most similar records of other patients.
    head_width : int, default=512
        Width of the hidden and the output layer of the heads.

    Other Parameters
    ----------------
    encoder, augmentation, max_epochs, epoch_size, batch_size, lr, lead_names, sampling_rate, \
missing, device, precision, verbose, checkpoint, random_state
        As in :class:`sklearn_bell.BELLPretrainer`, errors too.

    Attributes
    ----------
    encoder_, history_, lead_names_, n_features_in_, n_leads_in_, n_samples_in_, feature_names_in_
        As in :class:`sklearn_bell.BELLPretrainer`; the loss has one term.

    References
    ----------
    .. [1] Kiyasseh D, Zhu T, Clifton DA. CLOCS: contrastive learning of cardiac signals across
       space, time, and patients. ICML 2021.

    Examples
    --------
    >>> from sklearn_bell import datasets, pretraining
    >>> X = datasets.make_ecg(20, leads=["II", "V1"], random_state=0).data
    >>> pretraining.CLOCSPretrainer(max_epochs=1, random_state=0).fit_transform(X).shape
    (20, 224)
    """

    temperature: float = 0.1
    head_width: int = 512

    _parameter_constraints = {
        **BasePretrainer._parameter_constraints,
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "head_width": [Interval(Integral, 1, None, closed="left")],
    }

    _default_augmentation = Compose  # none

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: ArrayLike, y: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> Self:
        """Pretrain a new encoder on unlabelled records.

        Parameters
        ----------
        X, y
            As in :meth:`sklearn_bell.BELLPretrainer.fit`.
        groups : array-like of shape (n_records,), default=None
            Patients; a missing one raises InvalidECGError. None takes every record as a patient.

        Returns
        -------
        self : object
        """
        return self._fit(X, groups)

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self, X: ArrayLike, y: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> Self:
        """Train for one more epoch, as :meth:`sklearn_bell.BELLPretrainer.partial_fit`.

        Parameters
        ----------
        X, y, groups
            As in `fit`, but X has the leads and length of the first call.

        Returns
        -------
        self : object
        """
        return self._partial_fit(X, groups)

    def _make_encoder(self):
        return SharedEncoder(self._make_branch(1))

    def _make_views(self, augmentation):
        return TwoHalves(augmentation)

    def _make_objective(self, encoder, n_parts, n_features):
        return CLOCS(encoder, n_features, self.head_width, self.temperature)
