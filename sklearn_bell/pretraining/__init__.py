"""Transformers that learn from unlabelled records."""

from sklearn_bell.pretraining._barlow_twins import BarlowTwinsPretrainer
from sklearn_bell.pretraining._base import BasePretrainer
from sklearn_bell.pretraining._bell import BELLPretrainer
from sklearn_bell.pretraining._byol import BYOLPretrainer
from sklearn_bell.pretraining._clocs import CLOCSPretrainer
from sklearn_bell.pretraining._lfbt import LFBTPretrainer
from sklearn_bell.pretraining._objective import Objective
from sklearn_bell.pretraining._simclr import SimCLRPretrainer

__all__ = [
    "BELLPretrainer",
    "BYOLPretrainer",
    "BarlowTwinsPretrainer",
    "BasePretrainer",
    "CLOCSPretrainer",
    "LFBTPretrainer",
    "Objective",
    "SimCLRPretrainer",
]
