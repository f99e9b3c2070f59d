"""BELL: bootstrap each lead's latent."""

from __future__ import annotations

from numbers import Integral, Real

from sklearn.utils._param_validation import Interval
from torch import Tensor, nn

from sklearn_bell.nn.ema import make_target, update_target
from sklearn_bell.nn.encoders import VGG1d
from sklearn_bell.nn.heads import LeadwiseMLP
from sklearn_bell.nn.losses import intra_inter, lead_distances
from sklearn_bell.pretraining._base import BasePretrainer

__all__ = ["BELLPretrainer"]


class BELL(nn.Module):
    """The online network predicts what the target network makes of another view, for all leads."""

    def __init__(self, encoder, n_leads, n_features, head_width, gamma, decay):
        super().__init__()
        projector = LeadwiseMLP(n_leads, n_features, head_width, head_width)
        self.encoder, self.projector = encoder, projector
        self.predictor = LeadwiseMLP(n_leads, head_width, head_width, head_width)
        self.online = nn.Sequential(encoder, projector)
        self.target = make_target(self.online)
        self.gamma, self.decay = gamma, decay

    def forward(self, view: Tensor, other: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        latents = [self.encoder(x) for x in (view, other)]
        predictions = [self.predictor(self.projector(latent)) for latent in latents]
        targets = [self.target(x) for x in (other, view)]
        # (n_leads, n_leads), each view being predicted from the other
        distances = sum(map(lead_distances, predictions, targets)) / 2
        intra, inter = intra_inter(distances)
        gamma = (
            self.gamma if len(distances) > 1 else 1.0
        )  # with one lead there is no inter-lead term
        loss = gamma * intra + (1 - gamma) * inter
        return {"loss": loss, "intra": intra, "inter": inter}, latents[0]

    def after_step(self):
        update_target(self.target, self.online, self.decay)


class BELLPretrainer(BasePretrainer):
    """Learn a latent for each lead."""

    _parameter_constraints: dict = {
        **BasePretrainer._parameter_constraints,
        "gamma": [Interval(Real, 0, 1, closed="both")],
        "decay": [Interval(Real, 0, 1, closed="left")],
        "head_width": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        encoder=VGG1d,
        *,
        augmentation=None,
        gamma=0.8,
        decay=0.99,
        head_width=512,
        max_epochs=50,
        batch_size=64,
        lr=1e-3,
        lead_names=None,
        sampling_rate=None,
        device="auto",
        random_state=None,
    ):
        self.encoder = encoder
        self.augmentation = augmentation
        self.gamma = gamma
        self.decay = decay
        self.head_width = head_width
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.lead_names = lead_names
        self.sampling_rate = sampling_rate
        self.device = device
        self.random_state = random_state

    def _make_method(self, encoder, n_leads, n_features):
        return BELL(encoder, n_leads, n_features, self.head_width, self.gamma, self.decay)
