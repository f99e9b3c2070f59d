"""Pretrained weights that come with the library."""

import copy
from pathlib import Path

import torch

from sklearn_bell._utils.leads import lead_positions, standard_name
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


def check_leads(leads):
    """Return the names of the leads as a list: at least one, and each once."""
    if isinstance(leads, str):
        raise InvalidECGError(f"Expected leads to be a list, got {leads!r}. Pass [{leads!r}].")
    names = [str(name) for name in leads]
    if len({standard_name(name) for name in names}) != len(names) or not names:
        raise InvalidECGError(
            f"Expected at least one lead, and each once, got leads={names}. Name the leads of X "
            "once, in order, or pass None for all twelve."
        )
    return names


def pretrained_encoder(estimator, n_leads):
    """Return the encoders that the weights of a pretrainer have for its leads, and their names."""
    source, defaults = load_weights(estimator.weights), type(estimator)()
    for param in _FIXED_PARAMS:
        value, expected = getattr(estimator, param), getattr(defaults, param)
        if value != expected:
            resample = "Resample records with preprocessing.Resampler, or pretrain"
            remedy = resample if param == "sampling_rate" else "Leave it out, or pretrain"
            raise InvalidECGError(
                f"{param} belongs to the weights {estimator.weights!r}: expected {expected!r}, got "
                f"{value!r}. {remedy} with weights=None."
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
