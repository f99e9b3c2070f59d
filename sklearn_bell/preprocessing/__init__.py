"""Checks of records, and transformers: leads, sampling rate, band, scale, length and gaps."""

from sklearn_bell._utils.leads import INDEPENDENT_LEADS, STANDARD_LEADS
from sklearn_bell.preprocessing._check_records import check_records
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
__all__ += ["Resampler", "Windows", "check_records"]
