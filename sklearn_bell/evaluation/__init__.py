"""Evaluation by patient: reports with a bootstrap interval beside every figure."""

from sklearn_bell.evaluation._reports import classification_report_ci, compare_readers

__all__ = ["classification_report_ci", "compare_readers"]
