"""BYOL: bootstrap your own latent."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real

from sklearn.utils._param_validation import Interval

from sklearn_bell.pretraining._base import BasePretrainer
from sklearn_bell.pretraining._bell import BELL


@dataclass(eq=False, repr=False, kw_only=True)
class BYOLPretrainer(BasePretrainer):
    """BYOL over all leads: predict the target network's projection of another view.

    One encoder sees all leads of a record; :class:`sklearn_bell.BELLPretrainer` has one for each.
    The loss is the mean squared distance between predictions and the target's projections, both of
    unit length [1]_, averaged over both directions between the views.

    Parameters
    ----------
    decay : float, default=0.99
        Decay of the target network's moving average per step.
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
    .. [1] Grill JB, et al. Bootstrap your own latent: A new approach to self-supervised learning.
       NeurIPS 2020.

    Examples
    --------
    >>> from sklearn_bell import datasets, pretraining
    >>> X = datasets.make_ecg(20, leads=["II", "V1"], random_state=0).data
    >>> pretraining.BYOLPretrainer(max_epochs=1, random_state=0).fit_transform(X).shape
    (20, 112)
    """

    decay: float = 0.99
    head_width: int = 512

    _is_joint = True

    _parameter_constraints = {
        **BasePretrainer._parameter_constraints,
        "decay": [Interval(Real, 0, 1, closed="left")],
        "head_width": [Interval(Integral, 1, None, closed="left")],
    }

    def _make_objective(self, encoder, n_parts, n_features):
        return BELL(encoder, n_parts, n_features, self.head_width, gamma=1.0, decay=self.decay)
