"""Building blocks in torch, independent of scikit-learn."""

from sklearn_bell.nn import augmentation, encoders, heads, losses

__all__ = ["augmentation", "encoders", "heads", "losses"]
