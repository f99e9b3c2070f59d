"""Transformers of signals, record by record: leads, sampling rate, band, scale and length."""

from sklearn_bell._utils.leads import INDEPENDENT_LEADS, STANDARD_LEADS
from sklearn_bell.preprocessing._transformers import (
    BandpassFilter,
    Cropper,
    GapFiller,
    LeadSelector,
    RecordScaler,
    Resampler,
)
from sklearn_bell.preprocessing._windows import Windows

__all__ = ["INDEPENDENT_LEADS", "STANDARD_LEADS"]
__all__ += ["BandpassFilter", "Cropper", "GapFiller", "LeadSelector", "RecordScaler"]
__all__ += ["Resampler", "Windows"]
