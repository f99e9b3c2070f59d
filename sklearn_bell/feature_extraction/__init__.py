"""Hand-made features of an ECG, and the QRS detector that they use."""

from sklearn_bell.feature_extraction._features import ECGFeatures
from sklearn_bell.feature_extraction._qrs import detect_qrs

__all__ = ["ECGFeatures", "detect_qrs"]
