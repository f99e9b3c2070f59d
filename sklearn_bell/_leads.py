"""Names and order of the leads of an ECG."""

from __future__ import annotations

from collections.abc import Sequence

from sklearn_bell.exceptions import InvalidECGError

#: The twelve standard leads, in the order used wherever all twelve appear.
STANDARD_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")

#: Eight leads of which the other four are sums and differences.
INDEPENDENT_LEADS = ("II", "III", "V1", "V2", "V3", "V4", "V5", "V6")

_SPELLING = {lead.lower(): lead for lead in STANDARD_LEADS}


def standard_name(lead: str) -> str:
    """Return the usual spelling of a lead name (``AVR`` is ``aVR``), or the name itself.

    >>> standard_name("avr"), standard_name("X")
    ('aVR', 'X')
    """
    return _SPELLING.get(lead.strip().lower(), lead.strip())


def lead_positions(wanted: Sequence[str], available: Sequence[str]) -> list[int]:
    """Return where the leads `wanted` stand in `available`, whatever their case.

    >>> lead_positions(["II", "aVR"], ["i", "ii", "iii", "avr"])
    [1, 3]
    """
    if isinstance(wanted, str):
        raise InvalidECGError(f"leads must be a list of names, but got the string {wanted!r}.")
    where = {name.strip().lower(): position for position, name in enumerate(available)}
    missing = [name for name in wanted if name.strip().lower() not in where]
    if missing:
        raise InvalidECGError(f"No lead named {', '.join(missing)} among {', '.join(available)}.")
    return [where[name.strip().lower()] for name in wanted]
