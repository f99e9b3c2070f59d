"""Save and load fitted estimators: safetensors and JSON, no code runs when a file is read."""

from sklearn_bell.persistence._models import load
from sklearn_bell.persistence._trusted_types import TRUSTED_TYPES

__all__ = ["TRUSTED_TYPES", "load"]
