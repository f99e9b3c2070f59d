"""Over-sampling of rare classes: synthetic records of a VQ-VAE, and random ones to compare."""

from sklearn_bell.over_sampling._random import RandomOverSampler, RandomUnderSampler
from sklearn_bell.over_sampling._sampler import VQVAEOverSampler

__all__ = ["RandomOverSampler", "RandomUnderSampler", "VQVAEOverSampler"]
