"""Names and order of the leads of an ECG."""

from sklearn_bell.exceptions import InvalidECGError

#: The twelve standard leads, in the order used wherever all twelve appear.
STANDARD_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")

#: Eight leads; the other four are their sums and differences.
INDEPENDENT_LEADS = ("II", "III", "V1", "V2", "V3", "V4", "V5", "V6")

_SPELLING = {lead.lower(): lead for lead in STANDARD_LEADS}


def standard_name(lead):
    """Return the usual spelling of a lead name, or an unknown name as it is."""
    name = str(lead).strip()
    return _SPELLING.get(name.lower(), name)


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


def check_lead_names(lead_names, n_leads):
    """Return a distinct name for each lead, numbered names where `lead_names` is None."""
    if lead_names is None:
        return [f"lead{i}" for i in range(n_leads)]
    names = [str(name) for name in lead_names]
    if len(names) != n_leads or len({name.strip().lower() for name in names}) != n_leads:
        raise InvalidECGError(
            f"X has {n_leads} lead(s), but lead_names has {len(names)}: {', '.join(names)}. Name "
            "each lead of X once, in order."
        )
    return names
