"""Transformers of signals, record by record: leads, sampling rate, band, scale and length."""

from sklearn_bell._utils.leads import INDEPENDENT_LEADS, STANDARD_LEADS
from sklearn_bell.preprocessing._transformers import (
    BandpassFilter,
    Cropper,
    LeadSelector,
    RecordScaler,
    Resampler,
)

__all__ = ["INDEPENDENT_LEADS", "STANDARD_LEADS"]
__all__ += ["BandpassFilter", "Cropper", "LeadSelector", "RecordScaler", "Resampler"]
