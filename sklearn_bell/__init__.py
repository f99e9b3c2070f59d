"""Learn from multi-lead electrocardiograms with few labels, inside scikit-learn."""

from importlib.metadata import version

from sklearn_bell.classification import ECGClassifier
from sklearn_bell.feature_extraction import ECGFeatures
from sklearn_bell.over_sampling import VQVAEOverSampler
from sklearn_bell.pretraining import BELLPretrainer
from sklearn_bell.vqvae import VQVAETransformer

__all__ = [
    "BELLPretrainer",
    "ECGClassifier",
    "ECGFeatures",
    "VQVAEOverSampler",
    "VQVAETransformer",
]

__version__ = version("sklearn_bell")
