"""What all of them ask of records."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sklearn_bell._utils.validation import check_signals
from sklearn_bell.exceptions import InvalidECGError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def three_dimensional(X: ArrayLike) -> np.ndarray:
    """Return records of three dimensions as an array of float32, or say what is wrong."""
    if np.ndim(X) != 3:
        raise InvalidECGError(
            f"X must be of shape (n_records, n_leads, n_samples), but has shape {np.shape(X)}."
        )
    return check_signals(X)
