"""Synthetic records of rare classes from the latent space of a VQ-VAE."""

from sklearn_bell.over_sampling._sampler import VQVAEOverSampler

__all__ = ["VQVAEOverSampler"]
