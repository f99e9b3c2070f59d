"""LFBT: lead-fusion Barlow Twins."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real

from sklearn.utils._param_validation import Interval

from sklearn_bell.nn.heads import LeadwiseMLP
from sklearn_bell.nn.losses import barlow_twins_lead_loss, fuse
from sklearn_bell.pretraining._base import BasePretrainer
from sklearn_bell.pretraining._objective import Objective


class LFBT(Objective):
    """Barlow Twins within and between parts, with a projector for each part."""

    def __init__(self, encoder, n_parts, n_features, head_width, gamma, trade_off):
        super().__init__()
        self.encoder = encoder
        self.projector = LeadwiseMLP(n_parts, n_features, head_width, head_width)
        self.gamma, self.trade_off = gamma, trade_off

    def forward(self, view, other):
        """Return the loss with its two terms, and the latents of the first view."""
        y, y2 = self.encoder(view), self.encoder(other)  # (batch, n_parts, n_features)
        z, z2 = self.projector(y), self.projector(y2)  # (batch, n_parts, head_width)
        losses = barlow_twins_lead_loss(z, z2, self.trade_off)  # (n_parts, n_parts)
        return fuse(losses, self.gamma), y


@dataclass(eq=False, repr=False, kw_only=True)
class LFBTPretrainer(BasePretrainer):
    """Lead-fusion Barlow Twins: features agree between views and between leads.

    Every lead has an encoder and a projector of its own. There is no target network. The loss of a
    pair of leads is that of Barlow Twins [2]_, divided by the number of features. As published
    [1]_, the mean over equal leads has weight `gamma` and the mean over different leads the rest.
    The published projectors have three layers of width 2048; these have two.

    Parameters
    ----------
    gamma : float, default=0.8
        Weight of the intra-lead term; the inter-lead term has ``1 - gamma``. Ignored for one lead.
    trade_off : float, default=0.005
        Weight of the correlation between different features.
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
        As in :class:`sklearn_bell.BELLPretrainer`, but the terms of the loss may exceed 4.

    References
    ----------
    .. [1] Liu W et al. LFBT. Inf Fusion 2025;114:102698. Code: https://github.com/Aiwiscal/ECG_SSL_LFBT
    .. [2] Zbontar J, Jing L, Misra I, LeCun Y, Deny S. Barlow Twins: self-supervised learning via
       redundancy reduction. ICML 2021.

    Examples
    --------
    >>> from sklearn_bell import datasets, pretraining
    >>> X = datasets.make_ecg(20, leads=["II", "V1"], random_state=0).data
    >>> pretraining.LFBTPretrainer(max_epochs=1, random_state=0).fit_transform(X).shape
    (20, 224)
    """

    gamma: float = 0.8
    trade_off: float = 0.005
    head_width: int = 512

    _parameter_constraints = {
        **BasePretrainer._parameter_constraints,
        "gamma": [Interval(Real, 0, 1, closed="both")],
        "trade_off": [Interval(Real, 0, None, closed="left")],
        "head_width": [Interval(Integral, 1, None, closed="left")],
    }

    def _make_objective(self, encoder, n_parts, n_features):
        return LFBT(encoder, n_parts, n_features, self.head_width, self.gamma, self.trade_off)
