"""Training: checkpoints, and callbacks of scikit-learn that look at what is learned."""

from sklearn_bell.training._checkpoint import Checkpoint
from sklearn_bell.training._linear_probe import LinearProbe

__all__ = ["Checkpoint", "LinearProbe"]
