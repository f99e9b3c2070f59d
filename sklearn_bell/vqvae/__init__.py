"""Vector-quantised autoencoders of signals and of images as transformers."""

from sklearn_bell.vqvae._images import ImageVQVAETransformer, render_ecg
from sklearn_bell.vqvae._signals import VQVAETransformer

__all__ = ["ImageVQVAETransformer", "VQVAETransformer", "render_ecg"]
