"""Barlow Twins: self-supervised learning via redundancy reduction."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real

from sklearn.utils._param_validation import Interval

from sklearn_bell.pretraining._base import BasePretrainer
from sklearn_bell.pretraining._lfbt import LFBT


@dataclass(eq=False, repr=False, kw_only=True)
class BarlowTwinsPretrainer(BasePretrainer):
    """Barlow Twins over all leads: features agree between views and are decorrelated.

    One encoder sees all leads of a record. The loss drives the cross-correlation matrix of the
    projections of two views to the identity [1]_. It is divided by the number of features, so that
    it does not grow with `head_width`.

    Parameters
    ----------
    trade_off : float, default=0.005
        Weight of the correlation between different features.
    head_width : int, default=512
        Width of the hidden and the output layer of the heads.

    Other Parameters
    ----------------
    encoder, augmentation, max_epochs, epoch_size, batch_size, lr, lead_names, sampling_rate, \
missing, device, precision, verbose, checkpoint, random_state
        As in :class:`sklearn_bell.BELLPretrainer`, errors too; ``encoder(n_leads)`` sees all leads.

    Attributes
    ----------
    encoder_, history_, lead_names_, n_features_in_, n_leads_in_, n_samples_in_, feature_names_in_
        As in :class:`sklearn_bell.BELLPretrainer`, with one loss term; one latent per record.

    References
    ----------
    .. [1] Zbontar J, Jing L, Misra I, LeCun Y, Deny S. Barlow Twins: self-supervised learning via
       redundancy reduction. ICML 2021.

    Examples
    --------
    >>> from sklearn_bell import datasets, pretraining
    >>> X = datasets.make_ecg(20, leads=["II", "V1"], random_state=0).data
    >>> pretraining.BarlowTwinsPretrainer(max_epochs=1, random_state=0).fit_transform(X).shape
    (20, 112)
    """

    trade_off: float = 0.005
    head_width: int = 512

    _is_joint = True

    _parameter_constraints = {
        **BasePretrainer._parameter_constraints,
        "trade_off": [Interval(Real, 0, None, closed="left")],
        "head_width": [Interval(Integral, 1, None, closed="left")],
    }

    def _make_objective(self, encoder, n_parts, n_features):
        return LFBT(encoder, n_parts, n_features, self.head_width, 1.0, self.trade_off)
