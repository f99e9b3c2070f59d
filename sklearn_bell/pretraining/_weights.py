"""Pretrained weights that come with the library."""

import copy
from pathlib import Path

import torch

from sklearn_bell._utils.leads import lead_positions
from sklearn_bell.exceptions import InvalidECGError, InvalidFileError
from sklearn_bell.nn.encoders import LeadwiseEncoder
from sklearn_bell.persistence import load

FOLDER = Path(__file__).parent.parent / "weights"
DEFAULT_WEIGHTS = "bell-12-leads-100hz"
_FIXED_PARAMS = "encoder", "shared_encoder", "sampling_rate"


def load_weights(name):
    """Return the pretrainer that holds the weights."""
    paths = {path.stem: path for path in sorted(FOLDER.glob("*.safetensors"))}
    if name not in paths:
        raise InvalidFileError(
            f"Expected pretrained weights {', '.join(map(repr, paths))}, got {name!r}. Load a file "
            "of your own with sklearn_bell.load."
        )
    with torch.device("cpu"):
        return load(paths[name], device="cpu")


def pretrained_encoder(estimator, n_leads):
    """Return the encoders that the weights of a pretrainer have for its leads, and their names."""
    source, defaults = load_weights(estimator.weights), type(estimator)()
    for param in _FIXED_PARAMS:
        if getattr(estimator, param) != (expected := getattr(defaults, param)):
            raise InvalidECGError(
                f"{param} belongs to the weights {estimator.weights!r} and must be {expected!r}. "
                "Bring records to 100 Hz with preprocessing.Resampler, or pretrain with "
                "weights=None."
            )
    names = source.lead_names_ if estimator.lead_names is None else list(estimator.lead_names)
    if len(names) != n_leads:
        raise InvalidECGError(
            f"X has {n_leads} lead(s), but the weights {estimator.weights!r} have {len(names)}. "
            "Name the leads of X: lead_names=, or from_pretrained(leads=)."
        )
    branches = source.encoder_[1].branches
    positions = lead_positions(names, source.lead_names_)
    encoder = LeadwiseEncoder([copy.deepcopy(branches[position]) for position in positions])
    return encoder.to(torch.get_default_device()), names
