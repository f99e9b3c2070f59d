"""Save and load fitted estimators: safetensors and JSON, no code runs when a file is read."""

from sklearn_bell.persistence._models import TRUSTED_TYPES, load

__all__ = ["TRUSTED_TYPES", "load"]
