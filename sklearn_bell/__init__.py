"""Learn from multi-lead electrocardiograms with few labels, inside scikit-learn."""

from importlib import import_module
from importlib.metadata import version
from pkgutil import iter_modules
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sklearn_bell.classification import ECGClassifier
    from sklearn_bell.feature_extraction import ECGFeatures
    from sklearn_bell.over_sampling import VQVAEOverSampler
    from sklearn_bell.persistence import load
    from sklearn_bell.pretraining import BELLPretrainer
    from sklearn_bell.vqvae import VQVAETransformer

__all__ = [
    "BELLPretrainer",
    "ECGClassifier",
    "ECGFeatures",
    "VQVAEOverSampler",
    "VQVAETransformer",
    "load",
]

__version__ = version("sklearn_bell")

# imported when asked for: who reads records, in many processes, does not wait for PyTorch
_MODULES = {
    "BELLPretrainer": "pretraining",
    "ECGClassifier": "classification",
    "ECGFeatures": "feature_extraction",
    "VQVAEOverSampler": "over_sampling",
    "VQVAETransformer": "vqvae",
    "load": "persistence",
}
_SUBMODULES = {module.name for module in iter_modules(__path__) if module.name[0] != "_"} - {"demo"}


def __getattr__(name):
    if name in _MODULES:
        globals()[name] = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        return globals()[name]
    if name in _SUBMODULES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *_MODULES, *_SUBMODULES})
