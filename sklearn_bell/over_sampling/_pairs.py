"""Pairs of source records for synthetic records, and the number of records to generate."""

import numpy as np
from imblearn.utils import check_sampling_strategy
from sklearn.neighbors import NearestNeighbors

from sklearn_bell.exceptions import InvalidECGError

_N_CANDIDATES = 64  # pairs drawn for each synthetic record of a multi-label problem


def n_samples_to_generate(strategy, y, indicator):
    """Return the number of synthetic records by class; multi-label classes are column numbers."""
    if callable(strategy):
        strategy = strategy(y)
    classes = y if y.ndim == 1 else np.nonzero(indicator)[1]
    try:
        return check_sampling_strategy(strategy, classes, "over-sampling")
    except ValueError as error:
        counts = [f"{name}: {(classes == name).sum()}" for name in np.unique(classes)]
        message = f"{error} Records per class in y: {', '.join(counts) or 'none'}."
        raise InvalidECGError(message) from error


class PairSampler:
    """Draws pairs of records that share a class and come from different patients (groups).

    A single source is drawn twice. With `n_neighbors`, second records are neighbours of the first.
    """

    def __init__(self, indicator, groups, rng, single_source, n_neighbors):
        self.indicator, self.groups, self.rng = indicator, groups, rng  # (n, n_classes), (n,)
        self.single_source, self.n_neighbors = single_source, n_neighbors
        self._neighbors: dict[int, np.ndarray] = {}  # by class (n, n_neighbors)

    def check_partners(self, column, name):
        """Raise an error if the class in this column has too few records or patients for pairs."""
        if self.single_source:
            return
        rows, (patients, counts) = self._rows(column), self._patients(column)
        if len(patients) < 2:
            raise InvalidECGError(
                f"Class {name} has {len(rows)} record(s) of {len(patients)} patient(s), but "
                "interpolation needs records of at least two patients. Leave the class out of "
                "sampling_strategy (a dict), or set method='sample'."
            )
        n_partners = len(rows) - counts.max()
        if self.n_neighbors is not None and self.n_neighbors > n_partners:
            raise InvalidECGError(
                f"n_neighbors is {self.n_neighbors}, but a record of class {name} has only "
                f"{n_partners} possible partner(s): records of the class from other patients. Set "
                f"n_neighbors to at most {n_partners}, or to None for any of them."
            )

    def find_neighbors(self, column, latents):
        """Find the neighbours of each record of a class by ``latents(rows)``, if needed."""
        if self.single_source or self.n_neighbors is None:
            return
        rows, n_own = self._rows(column), self._patients(column)[1].max()
        z = latents(rows)
        nearest = NearestNeighbors(n_neighbors=self.n_neighbors + n_own).fit(z)
        neighbors = rows[nearest.kneighbors(z, return_distance=False)]
        is_other = self.groups[neighbors] != self.groups[rows][:, None]
        self._neighbors[column] = np.stack(
            [row[mask][: self.n_neighbors] for row, mask in zip(neighbors, is_other, strict=True)]
        )

    def draw(self, column, n_pairs, saturated):
        """Return pairs of a class ``(n_pairs, 2)``, preferably without labels of saturated classes.

        In a multi-label problem, each pair is the candidate with the fewest shared saturated
        labels. Ties go to the fewest labels of one record only, which are lost; or, if saturated
        labels cannot be avoided, to the most other labels.
        """
        rows = self._rows(column)
        n_candidates = _N_CANDIDATES if (self.indicator[rows].sum(1) > 1).any() else 1
        first = self.rng.integers(len(rows), size=n_pairs * n_candidates)
        if self.single_source:
            second = rows[first]
        elif self.n_neighbors is None:
            second = self._draw_other_patients(rows, first)
        else:
            number = self.rng.integers(self.n_neighbors, size=len(first))
            second = self._neighbors[column][first, number]
        pairs = np.stack([rows[first], second], axis=-1).reshape(n_pairs, n_candidates, 2)
        labels = self.labels(pairs)
        n_saturated, n_useful = (labels & saturated).sum(-1), (labels & ~saturated).sum(-1)
        n_lost = (self.indicator[pairs[..., 0]] ^ self.indicator[pairs[..., 1]]).sum(-1)
        tie_break = np.where(n_saturated > 0, -n_useful, n_lost)
        cost = n_saturated * (1 + labels.shape[-1]) + tie_break
        return pairs[np.arange(n_pairs), cost.argmin(1)]

    def labels(self, pairs):
        """Return the labels that both records of pairs ``(..., 2)`` have."""
        return self.indicator[pairs].all(-2)

    def _draw_other_patients(self, rows, first):
        """Return for each of `first`, positions in rows, a row of another patient."""
        order = np.argsort(self.groups[rows], kind="stable")  # patients are contiguous
        _, patient, n_own = np.unique(self.groups[rows], return_inverse=True, return_counts=True)
        n_own, start = n_own[patient][first], (np.cumsum(n_own) - n_own)[patient][first]
        position = self.rng.integers(len(rows) - n_own)
        return rows[order[position + n_own * (position >= start)]]

    def _rows(self, column):
        return np.flatnonzero(self.indicator[:, column])

    def _patients(self, column):
        return np.unique(self.groups[self._rows(column)], return_counts=True)
