"""Transformers of records: leads, sampling rate, frequency band, scale and length.

Each works record by record on ``(n_records, n_leads, n_samples)``, or ``(n_records, n_samples)``
for one lead, keeps float32 and float64, and reads X in batches.
"""

from sklearn_bell._utils.leads import INDEPENDENT_LEADS, STANDARD_LEADS
from sklearn_bell.preprocessing._transformers import (
    BandpassFilter,
    Cropper,
    LeadSelector,
    RecordScaler,
    Resampler,
)

__all__ = [
    "INDEPENDENT_LEADS",
    "STANDARD_LEADS",
    "BandpassFilter",
    "Cropper",
    "LeadSelector",
    "RecordScaler",
    "Resampler",
]
