"""Transformers that learn from unlabelled records."""

from sklearn_bell.pretraining._bell import BELLPretrainer

__all__ = ["BELLPretrainer"]
