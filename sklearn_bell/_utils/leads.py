"""Names and order of the leads of an ECG."""

import re
from typing import NamedTuple

import numpy as np

from sklearn_bell.exceptions import InvalidECGError

#: The twelve standard leads, in the order used wherever all twelve appear.
STANDARD_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")

#: Eight leads; the other four are their sums and differences.
INDEPENDENT_LEADS = ("II", "III", "V1", "V2", "V3", "V4", "V5", "V6")

_SPELLING = {lead.lower(): lead for lead in (*STANDARD_LEADS, "MLII")}
_SPELLING |= {"di": "I", "dii": "II", "diii": "III"}
_DECORATED = re.compile(
    r"(?:mdc_ecg_(?:lead|elec_potl)_|(?:(?:12[ _-]?lead|lead|ecg|ekg)[ _:.-]*)+)?"
    r"(?P<name>v \d|\w+?)"
    r"(?:[ _]*[\[(]\s*[munµμ]?v\s*[\])]|[ _]*[\[(]?(?:micro|milli)volts?[\])]?|[ _/,]+[munµμ]v)?",
    re.IGNORECASE,
)  # such as MDC_ECG_LEAD_I, Lead I, 12-lead II, ECGII, I (mV), I_mV, V 1
_AS_SUM_OF_I_AND_II = {
    "I": (1.0, 0.0),
    "II": (0.0, 1.0),
    "III": (-1.0, 1.0),
    "aVR": (-0.5, -0.5),
    "aVL": (1.0, -0.5),
    "aVF": (-0.5, 1.0),
}
_SUBSTITUTES = {"II": "MLII"}  # the modified limb lead of Holter recorders


def standard_name(lead):
    """Return the usual spelling of a lead name, or an unknown name as it is."""
    name = str(lead).strip().strip("'\"").strip()
    match = _DECORATED.fullmatch(name)
    return _SPELLING.get(match["name"].lower().replace(" ", ""), name) if match else name


def is_known_lead(name):
    """Return True for a name of one of the twelve leads, or of MLII."""
    return standard_name(name).lower() in _SPELLING


def lead_positions(leads, available):
    """Return the positions of `leads` in `available`, ignoring case."""
    positions = {standard_name(name).lower(): position for position, name in enumerate(available)}
    names = [standard_name(name) for name in leads]
    missing = [name for name in names if name.lower() not in positions]
    if missing:
        raise InvalidECGError(
            f"No lead named {', '.join(missing)} among {', '.join(map(str, available))}."
        )
    return [positions[name.lower()] for name in names]


class LeadMixture(NamedTuple):
    """Leads as sums of available ones; `formulas` has those that are not available themselves."""

    positions: tuple[tuple[int, ...], ...]  # of the terms of each lead
    weights: tuple[tuple[float, ...], ...]
    formulas: dict[str, str]

    def __call__(self, x):
        """Return the leads of ``(..., n_available, n_samples)``, in a new array."""
        out = np.empty((*x.shape[:-2], len(self.positions), x.shape[-1]), x.dtype)
        for row, (positions, weights) in enumerate(zip(self.positions, self.weights, strict=True)):
            terms = x[..., list(positions), :]
            factors = np.array(weights, x.dtype)[:, None]
            out[..., row, :] = (
                terms[..., 0, :] if len(positions) == 1 else (factors * terms).sum(-2)
            )
        return out


def mix_leads(leads, available):
    """Return the :class:`LeadMixture` of `leads`, or raise InvalidECGError.

    Limb leads that are not available are sums of two others, and II may be MLII.
    """
    names = [standard_name(name) for name in available]
    basis = [name for name in _AS_SUM_OF_I_AND_II if name in names][:2]
    positions, weights, formulas = [], [], {}
    for lead in map(standard_name, leads):
        terms, factors = [lead], [1.0]
        if lead.lower() not in map(str.lower, names):
            if _SUBSTITUTES.get(lead) in names:
                terms = [_SUBSTITUTES[lead]]
                formulas[lead] = terms[0]
            elif lead in _AS_SUM_OF_I_AND_II and len(basis) == 2:
                matrix = np.array([_AS_SUM_OF_I_AND_II[name] for name in basis])
                terms = basis
                factors = np.linalg.solve(matrix.T, _AS_SUM_OF_I_AND_II[lead]).tolist()
                formulas[lead] = _formula(terms, factors)
        positions.append(tuple(lead_positions(terms, names)))
        weights.append(tuple(map(float, factors)))
    return LeadMixture(tuple(positions), tuple(weights), formulas)


def _formula(terms, factors):
    """Return a sum as text, such as ``"II - I"``."""
    text = ""
    for factor, term in sorted(zip(factors, terms, strict=True), key=lambda pair: -pair[0]):
        size = "" if abs(factor) == 1 else f"{abs(factor):.4g} "
        text += f" {'-' if factor < 0 else '+'} {size}{term}"
    return text[3:] if text.startswith(" + ") else f"-{text[3:]}"


def check_lead_names(lead_names, n_leads):
    """Return a distinct name for each lead, numbered names where `lead_names` is None."""
    if lead_names is None:
        return [f"lead{i}" for i in range(n_leads)]
    names = [str(name) for name in lead_names]
    if len(names) != n_leads or len({standard_name(name).lower() for name in names}) < n_leads:
        raise InvalidECGError(
            f"X has {n_leads} lead(s), but lead_names has {len(names)}: {', '.join(names)}. Name "
            "each lead of X once, in order."
        )
    return names
