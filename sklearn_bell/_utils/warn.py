"""Warnings that point at the user's line."""

import sys
import warnings

_LIBRARIES = (
    "sklearn_bell.",
    "sklearn.",
    "skorch.",
    "imblearn.",
    "joblib.",
    "loky.",
    "multiprocessing.",
    "concurrent.",
    "threading.",
    "contextlib.",
)


def warn_caller(message: str, category: type[Warning]) -> None:
    """Warn with the line outside of this library, scikit-learn and skorch that led here."""
    frame, level = sys._getframe(1), 2
    # the dot makes the root sklearn_bell match, and sklearn_bellows not
    while frame.f_back and f"{frame.f_globals.get('__name__')}.".startswith(_LIBRARIES):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
