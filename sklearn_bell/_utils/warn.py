"""Warnings that point at the user's line."""

from __future__ import annotations

import sys
import warnings

_LIBRARIES = ("sklearn_bell.", "sklearn.", "skorch.", "imblearn.", "joblib.", "contextlib")


def warn_caller(message: str, category: type[Warning]) -> None:
    """Warn with the line outside of this library, scikit-learn and skorch that led here."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and _is_library(frame.f_globals.get("__name__", "")):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def _is_library(module):
    return module.startswith(_LIBRARIES) or module == "sklearn_bell"
