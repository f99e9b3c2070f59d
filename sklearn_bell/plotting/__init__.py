"""Displays as in scikit-learn: a class method computes and draws, ``plot`` draws again."""

from sklearn_bell.plotting._ecg import ECGDisplay
from sklearn_bell.plotting._latents import LatentDisplay, LeadSimilarityDisplay
from sklearn_bell.plotting._scores import LabelEfficiencyDisplay, ReaderDisplay
from sklearn_bell.plotting._training import PretrainingDisplay

__all__ = ["ECGDisplay", "LabelEfficiencyDisplay", "LatentDisplay", "LeadSimilarityDisplay"]
__all__ += ["PretrainingDisplay", "ReaderDisplay"]
