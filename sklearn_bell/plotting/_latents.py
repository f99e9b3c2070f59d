"""Latents of records on a map, and how like each other those of leads are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.plotting._base import COLOURS, MARKERS, axes_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike
    from sklearn.base import BaseEstimator

    from sklearn_bell._utils.types import Names, RandomState

_METHODS = ("pca", "tsne", "umap")


class LatentDisplay:
    """A map of records, on which those are near each other whose latents are alike.

    Use :meth:`from_estimator` or :meth:`from_latents` to make one.

    Parameters
    ----------
    maps : dict of str to ndarray of shape (n_records, 2)
        Positions on the map of all leads together, ``"all leads"``, or on those of single leads.
    y : ndarray of shape (n_records,), default=None
        Labels.
    method : str, default="pca"
        What has made the maps.

    Attributes
    ----------
    figure_ : matplotlib Figure
        The figure.
    axes_ : ndarray of matplotlib Axes of shape (n_maps,)
        The maps.

    Examples
    --------
    >>> from sklearn_bell import BELLPretrainer
    >>> from sklearn_bell.datasets import make_ecg
    >>> from sklearn_bell.plotting import LatentDisplay
    >>> ecg = make_ecg(16, leads=["II", "V1"], duration=2, sampling_rate=100, random_state=0)
    >>> bell = BELLPretrainer(max_epochs=1, head_width=16, lead_names=["II", "V1"], random_state=0)
    >>> display = LatentDisplay.from_estimator(
    ...     bell.fit(ecg.data), ecg.data, ecg.target_names[ecg.target], per_lead=True
    ... )
    >>> [ax.get_title() for ax in display.axes_]
    ['II', 'V1']
    """

    def __init__(
        self, maps: dict[str, np.ndarray], y: ArrayLike | None = None, method: str = "pca"
    ):
        self.maps = maps
        self.y = y
        self.method = method

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        method: str = "pca",
        per_lead: bool = False,
        random_state: RandomState = 0,
        ax: Axes | Sequence[Axes] | None = None,
    ) -> Self:
        """Encode records, and draw the map.

        Parameters
        ----------
        estimator : object
            A fitted transformer, such as a pretrainer.
        X : array-like of shape (n_records, n_leads, n_samples)
            Records.
        y : array-like of shape (n_records,), default=None
            Labels, by which records are coloured.
        method : {"pca", "tsne", "umap"}, default="pca"
            What makes two dimensions of the latents, which are standardised before: principal
            components, t-SNE [1]_, or UMAP, for which umap-learn has to be installed. Distances
            between clusters mean nothing in the latter two.
        per_lead : bool, default=False
            Whether to draw a map for each lead, of a pretrainer that has latents for each.
        random_state : int, RandomState instance or None, default=0
            Of t-SNE and UMAP.
        ax : matplotlib Axes, or sequence of them for each lead, default=None
            Where to draw. None makes a figure.

        Returns
        -------
        display : LatentDisplay

        Raises
        ------
        InvalidECGError
            As of :meth:`from_latents`, or if X is not as the estimator wants it.
        ImportError
            If `method` is ``"umap"``, and umap-learn is not installed.

        References
        ----------
        .. [1] van der Maaten L, Hinton G. Visualizing data using t-SNE. JMLR 2008;9:2579-2605.
        """
        check_is_fitted(estimator)
        latents = np.asarray(estimator.transform(X))
        leads = None
        if per_lead:
            names = estimator.get_feature_names_out()
            leads = [str(name).rpartition("_")[0] for name in names]
        return cls.from_latents(
            latents, y, leads=leads, method=method, random_state=random_state, ax=ax
        )

    @classmethod
    def from_latents(
        cls,
        latents: ArrayLike,
        y: ArrayLike | None = None,
        *,
        leads: Names | None = None,
        method: str = "pca",
        random_state: RandomState = 0,
        ax: Axes | Sequence[Axes] | None = None,
    ) -> Self:
        """Draw the map of latents that are there already.

        Parameters
        ----------
        latents : array-like of shape (n_records, n_features)
            Such as those that `transform` returns.
        leads : array-like of str of length n_features, default=None
            The lead of each feature, to draw a map for each. None draws one of all.
        y, method, random_state, ax
            As of :meth:`from_estimator`.

        Returns
        -------
        display : LatentDisplay

        Raises
        ------
        InvalidECGError
            If `latents` are not of two records at least, if `y` or `leads` are of another length,
            or if `method` is none of those.
        ImportError
            If `method` is ``"umap"`` and umap-learn is not installed.
        """
        latents = np.asarray(latents, dtype=float)
        if latents.ndim != 2 or len(latents) < 2 or not latents.shape[1]:
            raise InvalidECGError(
                "latents must be of shape (n_records, n_features), with two records or more, but "
                f"have shape {latents.shape}."
            )
        if y is not None and np.shape(y) != (len(latents),):
            raise InvalidECGError(
                f"y must have a label for each of {len(latents)} records, but has shape "
                f"{np.shape(y)}."
            )
        if method not in _METHODS:
            raise InvalidECGError(f"method must be one of {_METHODS}, but is {method!r}.")
        if leads is None:
            parts = {"all leads": latents}
        else:
            leads = np.asarray(leads)
            if leads.shape != latents.shape[1:]:
                raise InvalidECGError(
                    f"leads must name the lead of each of {latents.shape[1]} features, but has "
                    f"shape {leads.shape}; a pretrainer's are those of get_feature_names_out."
                )
            parts = {lead: latents[:, leads == lead] for lead in dict.fromkeys(leads.tolist())}
        maps = {name: _positions(part, method, random_state) for name, part in parts.items()}
        return cls(maps, None if y is None else np.asarray(y), method).plot(ax=ax)

    def plot(self, *, ax: Axes | Sequence[Axes] | None = None) -> Self:
        """Draw the maps.

        Parameters
        ----------
        ax : matplotlib Axes, or sequence of them for each lead, default=None
            Where to draw. None makes a figure.

        Returns
        -------
        self : LatentDisplay
        """
        figure, axes = axes_for(len(self.maps), ax)
        classes = [None] if self.y is None else list(np.unique(self.y))
        for one, (name, map_) in zip(axes, self.maps.items(), strict=True):
            for number, label in enumerate(classes):
                some = map_ if label is None else map_[self.y == label]
                one.scatter(
                    *some.T,
                    s=14,
                    color=COLOURS[(number + 1) % len(COLOURS)],
                    marker=MARKERS[number % len(MARKERS)],
                    alpha=0.7,
                    linewidths=0,
                    label=label,
                )
            one.set(title=name, xticks=[], yticks=[])
            axis = {"pca": "component", "tsne": "t-SNE", "umap": "UMAP"}[self.method]
            one.set(xlabel=f"{axis} 1", ylabel=f"{axis} 2")
        if self.y is not None:
            axes[0].legend(frameon=False, fontsize="small", handletextpad=0.2)
        self.figure_, self.axes_ = figure, axes
        return self


def _positions(latents, method, random_state):
    """Return where records lie on a map, ``(n_records, 2)``."""
    scaled = StandardScaler().fit_transform(latents)
    if method == "pca":
        found = PCA(min(2, *scaled.shape), random_state=random_state).fit_transform(scaled)
        return np.pad(found, [(0, 0), (0, 2 - found.shape[1])])
    if method == "tsne":
        perplexity = min(30, (len(scaled) - 1) / 3)
        return TSNE(perplexity=perplexity, random_state=random_state).fit_transform(scaled)
    try:
        from umap import UMAP
    except ImportError as error:
        raise ImportError(
            "method='umap' needs umap-learn, which is not installed: pip install umap-learn"
        ) from error
    return UMAP(random_state=random_state).fit_transform(scaled)


class LeadSimilarityDisplay:
    """How well each lead of a record predicts each: the lead-by-lead loss of BELL.

    Use :meth:`from_estimator` to make one.

    Parameters
    ----------
    distances : ndarray of shape (n_leads, n_leads)
        Mean squared distance between what the lead of the row predicts and what the lead of the
        column is, in [0, 4].
    lead_names : list of str of length n_leads
        Names of the leads.

    Attributes
    ----------
    figure_ : matplotlib Figure
        The figure.
    axes_ : matplotlib Axes
        The matrix.
    image_ : matplotlib AxesImage
        Its colours.

    Examples
    --------
    >>> from sklearn_bell import BELLPretrainer
    >>> from sklearn_bell.datasets import make_ecg
    >>> from sklearn_bell.plotting import LeadSimilarityDisplay
    >>> ecg = make_ecg(16, leads=["II", "V1"], duration=2, sampling_rate=100, random_state=0)
    >>> bell = BELLPretrainer(max_epochs=1, head_width=16, random_state=0).fit(ecg.data)
    >>> LeadSimilarityDisplay.from_estimator(bell, ecg.data).distances.shape
    (2, 2)
    """

    def __init__(self, distances: np.ndarray, lead_names: Names):
        self.distances = distances
        self.lead_names = lead_names

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: ArrayLike,
        *,
        random_state: RandomState = 0,
        ax: Axes | None = None,
    ) -> Self:
        """Compute the loss of every pair of leads, and draw it.

        Parameters
        ----------
        estimator : BELLPretrainer
            Fitted, with its heads: not from a file that was saved without them.
        X : array-like of shape (n_records, n_leads, n_samples)
            Records, of which two views are made.
        random_state : int, RandomState instance or None, default=0
            Of the views.
        ax : matplotlib Axes, default=None
            Where to draw. None makes a figure.

        Returns
        -------
        display : LeadSimilarityDisplay

        Raises
        ------
        InvalidECGError
            If the estimator is no BELLPretrainer, or X is not as it wants it.
        NotFittedError
            If it is not fitted, or its heads are new, as after ``from_pretrained``.
        """
        check_is_fitted(estimator)
        if not hasattr(estimator, "lead_distances"):
            raise InvalidECGError(
                f"{type(estimator).__name__} has no loss between leads; give a BELLPretrainer."
            )
        distances = estimator.lead_distances(X, random_state=random_state)
        return cls(distances, estimator.lead_names_).plot(ax=ax)

    def plot(self, *, ax: Axes | None = None) -> Self:
        """Draw the matrix.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw. None makes a figure.

        Returns
        -------
        self : LeadSimilarityDisplay
        """
        n_leads = len(self.distances)
        side = max(3.2, 0.45 * n_leads + 1.2)
        figure, (ax,) = axes_for(1, ax, width=side + 0.8, height=side)
        self.image_ = ax.imshow(self.distances, cmap="cividis", vmin=0)
        middle = self.distances.max() / 2
        for (i, j), distance in np.ndenumerate(self.distances):
            colour = "black" if distance > middle else "white"
            ax.text(j, i, f"{distance:.2f}", ha="center", va="center", color=colour, fontsize=7)
        ticks = np.arange(n_leads)
        ax.set_xticks(ticks, self.lead_names)
        ax.set_yticks(ticks, self.lead_names)
        ax.set(xlabel="is to be predicted", ylabel="predicts")
        figure.colorbar(self.image_, ax=ax, label="mean squared distance")
        self.figure_, self.axes_ = figure, ax
        return self
