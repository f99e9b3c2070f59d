"""Who become parents of new records: how many are wanted, and of which pairs they may be."""

from __future__ import annotations

import numpy as np
from imblearn.utils import check_sampling_strategy
from sklearn.neighbors import NearestNeighbors

from sklearn_bell.exceptions import InvalidECGError

# for each child where records are of several classes: the pair with the fewest other ones is taken
_PAIRS_LOOKED_AT = 64


def n_samples_to_generate(strategy, y, indicator):
    """Return how many new records each class needs, as imbalanced-learn's strategies say.

    Parameters
    ----------
    strategy : str, float, dict or callable
        See :func:`imblearn.utils.check_sampling_strategy`. In a multi-label problem, classes are
        the numbers of the columns, and counts are those of the records that have them.
    y : ndarray of shape (n_records,) or (n_records, n_classes)
        Classes, or an indicator.
    indicator : ndarray of bool of shape (n_records, n_classes)
        The same in either case.

    Returns
    -------
    strategy : dict
        Number of new records by class.
    """
    if callable(strategy):
        strategy = strategy(y)
    of_records = y if y.ndim == 1 else np.nonzero(indicator)[1]
    try:
        return check_sampling_strategy(strategy, of_records, "over-sampling")
    except ValueError as error:
        counts = np.unique(of_records, return_counts=True)
        found = ", ".join(f"{name}: {count}" for name, count in zip(*counts, strict=True))
        raise InvalidECGError(
            f"{error} The classes of y, and how many records they have: {found or 'none'}."
        ) from error


class Parents:
    """Draws pairs of records, both of a class and of different patients.

    Parameters
    ----------
    indicator : ndarray of bool of shape (n_records, n_classes)
        Which record is of which class.
    groups : ndarray of shape (n_records,)
        Patients.
    rng : numpy.random.Generator
        Where all that is random comes from.
    alone : bool
        Whether a child has one parent only, which then stands twice in the pair.
    """

    def __init__(self, indicator, groups, rng, alone):
        self.indicator, self.groups, self.rng, self.alone = indicator, groups, rng, alone
        self.partners: dict[int, np.ndarray | None] = {}  # (n, k) for the n records; None: any

    def check_partners(self, column, name, n_neighbors):
        """Say why a class, called so, has too few records to be paired, if it has.

        Parameters
        ----------
        column, name : int, object
            The class, and what it is called.
        n_neighbors : int or None
            Of how many neighbours of other patients a partner is to be.
        """
        rows = self._rows(column)
        groups, of_patient = np.unique(self.groups[rows], return_counts=True)
        if self.alone:
            return
        if len(groups) < 2:
            raise InvalidECGError(
                f"Class {name} has {len(rows)} record(s) of {len(groups)} patient(s), and to "
                "interpolate there must be two of different patients. Leave it out of "
                "sampling_strategy (a dict), or give method='sample', which needs one."
            )
        fewest = len(rows) - of_patient.max()
        if n_neighbors is not None and n_neighbors > fewest:
            raise InvalidECGError(
                f"n_neighbors is {n_neighbors}, but class {name} has a record with {fewest} "
                "possible partner(s), of the class and of other patients. Give a smaller "
                "n_neighbors, or None for any of the class."
            )

    def find_partners(self, column, n_neighbors, latents):
        """Find whom each record of a class may be paired with.

        Parameters
        ----------
        column : int
            The class.
        n_neighbors : int or None
            The nearest records of the class, of other patients; None are all.
        latents : callable
            ``latents(rows)`` gives the place of records, (n, n_features); asked if it is needed.
        """
        rows = self._rows(column)
        self.partners[column] = rows[:, None] if self.alone else None
        if self.alone or n_neighbors is None:
            return
        of_patient = np.unique(self.groups[rows], return_counts=True)[1]
        places = latents(rows)
        nearest = NearestNeighbors(n_neighbors=n_neighbors + of_patient.max()).fit(places)
        found = rows[nearest.kneighbors(places, return_distance=False)]
        different = self.groups[found] != self.groups[rows][:, None]
        self.partners[column] = np.stack(
            [near[other][:n_neighbors] for near, other in zip(found, different, strict=True)]
        )

    def draw(self, column, n_pairs, unwanted):
        """Return pairs of a class: of several drawn for each, one with few unwanted labels.

        Among those with the fewest it is one of two that are as alike in labels as can be: a label
        that only one of the two has is lost, though the child looks like it in part. Where some are
        unwanted, it is one with most of the others.

        Parameters
        ----------
        column, n_pairs : int
            The class, and how many pairs.
        unwanted : ndarray of bool of shape (n_classes,)
            The classes that are not to become more frequent.
        """
        rows, partners = self._rows(column), self.partners[column]
        several = (self.indicator[rows].sum(1) > 1).any()
        n_looked_at = _PAIRS_LOOKED_AT if several else 1
        first = self.rng.integers(len(rows), size=n_pairs * n_looked_at)
        if partners is None:
            second = self._of_others(rows, first)
        else:
            second = partners[first, self.rng.integers(partners.shape[1], size=len(first))]
        pairs = np.stack([rows[first], second], axis=-1).reshape(n_pairs, n_looked_at, 2)
        labels = self.labels(pairs)
        excess, wanted = (labels & unwanted).sum(-1), (labels & ~unwanted).sum(-1)
        lost = (self.indicator[pairs[..., 0]] ^ self.indicator[pairs[..., 1]]).sum(-1)
        cost = excess * (1 + labels.shape[-1]) + np.where(excess > 0, -wanted, lost)
        return pairs[np.arange(n_pairs), cost.argmin(1)]

    def _of_others(self, rows, first):
        """Return for each of `first`, positions in rows, one of the rows of other patients."""
        order = np.argsort(self.groups[rows], kind="stable")
        _, patient, n_own = np.unique(self.groups[rows], return_inverse=True, return_counts=True)
        n_own, start = n_own[patient][first], (np.cumsum(n_own) - n_own)[patient][first]
        position = self.rng.integers(len(rows) - n_own)
        return rows[order[position + n_own * (position >= start)]]

    def _rows(self, column):
        return np.flatnonzero(self.indicator[:, column])

    def labels(self, pairs):
        """Return what children of pairs ``(..., 2)`` are: what both parents are."""
        return self.indicator[pairs[..., 0]] & self.indicator[pairs[..., 1]]
