"""Building blocks in torch, which know nothing of scikit-learn."""

from sklearn_bell.nn import augmentation, encoders, heads, losses

__all__ = ["augmentation", "encoders", "heads", "losses"]
