"""Classification with few labels by fine-tuning a pretrained encoder."""

from sklearn_bell.classification._classifier import ECGClassifier

__all__ = ["ECGClassifier"]
