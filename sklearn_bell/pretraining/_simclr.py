"""SimCLR: a simple framework for contrastive learning."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real

from sklearn.utils._param_validation import Interval

from sklearn_bell.nn.heads import LeadwiseMLP
from sklearn_bell.nn.losses import nt_xent_loss
from sklearn_bell.pretraining._base import BasePretrainer
from sklearn_bell.pretraining._objective import Objective


class SimCLR(Objective):
    """Contrast two views of a record with those of other records."""

    def __init__(self, encoder, n_features, head_width, temperature):
        super().__init__()
        self.encoder = encoder
        self.projector = LeadwiseMLP(1, n_features, head_width, head_width)
        self.temperature = temperature

    def forward(self, view, other):
        """Return the loss, and the latents of the first view."""
        y, y2 = self.encoder(view), self.encoder(other)  # (batch, 1, n_features)
        z, z2 = self.projector(y)[:, 0], self.projector(y2)[:, 0]  # (batch, head_width)
        return {"loss": nt_xent_loss(z, z2, self.temperature)}, y


@dataclass(eq=False, repr=False, kw_only=True)
class SimCLRPretrainer(BasePretrainer):
    """SimCLR over all leads: contrast two views of a record with all other views.

    One encoder sees all leads of a record. The loss is the cross-entropy of identifying the other
    view of the same record among all views of the batch by the cosine of their projections [1]_. It
    profits from large batches.

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
        As in :class:`sklearn_bell.BELLPretrainer`, errors too; ``encoder(n_leads)`` sees all leads.

    Attributes
    ----------
    encoder_, history_, lead_names_, n_features_in_, n_leads_in_, n_samples_in_, feature_names_in_
        As in :class:`sklearn_bell.BELLPretrainer`, with one loss term; one latent per record.

    References
    ----------
    .. [1] Chen T, Kornblith S, Norouzi M, Hinton G. A simple framework for contrastive learning of
       visual representations. ICML 2020.

    Examples
    --------
    >>> from sklearn_bell import datasets, pretraining
    >>> X = datasets.make_ecg(20, leads=["II", "V1"], random_state=0).data
    >>> pretraining.SimCLRPretrainer(max_epochs=1, random_state=0).fit_transform(X).shape
    (20, 112)
    """

    temperature: float = 0.1
    head_width: int = 512

    _is_joint = True

    _parameter_constraints = {
        **BasePretrainer._parameter_constraints,
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "head_width": [Interval(Integral, 1, None, closed="left")],
    }

    def _make_objective(self, encoder, n_parts, n_features):
        return SimCLR(encoder, n_features, self.head_width, self.temperature)
