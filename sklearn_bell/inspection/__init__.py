"""Explanations of a model's decisions by leads, moments, samples and similar records."""

from sklearn_bell.inspection._attribution import attribution
from sklearn_bell.inspection._importance import lead_importance, time_importance
from sklearn_bell.inspection._neighbors import nearest_records

__all__ = ["attribution", "lead_importance", "nearest_records", "time_importance"]
