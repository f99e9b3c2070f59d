"""Training: checkpoints, and a callback that scores the latents during pretraining."""

from sklearn_bell.training._checkpoint import Checkpoint
from sklearn_bell.training._linear_probe import LinearProbe

__all__ = ["Checkpoint", "LinearProbe"]
