"""Honest evaluation: reports with bootstrap intervals over patients."""

from sklearn_bell.evaluation._reports import (
    classification_report_ci,
    compare_readers,
)

__all__ = [
    "classification_report_ci",
    "compare_readers",
]
