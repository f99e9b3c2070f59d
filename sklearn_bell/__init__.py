"""Learn from multi-lead electrocardiograms with few labels, inside scikit-learn."""

from importlib.metadata import version

from sklearn_bell.classification import ECGClassifier
from sklearn_bell.feature_extraction import ECGFeatures
from sklearn_bell.pretraining import BELLPretrainer

__all__ = ["BELLPretrainer", "ECGClassifier", "ECGFeatures"]

__version__ = version("sklearn_bell")
