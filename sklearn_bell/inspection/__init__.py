"""Why a model decides as it does: which lead, which moment, and which records it has seen so."""

from sklearn_bell.inspection._attribution import attribution
from sklearn_bell.inspection._importance import lead_importance, time_importance
from sklearn_bell.inspection._neighbors import nearest_records

__all__ = ["attribution", "lead_importance", "nearest_records", "time_importance"]
