"""Maps of latents, and similarity of leads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.plotting._base import Display, check_shape, color_and_marker, make_axes

if TYPE_CHECKING:
    from sklearn_bell._utils import types

_METHODS = {"pca": "component", "tsne": "t-SNE", "umap": "UMAP"}  # with axis labels


@dataclass(eq=False, repr=False)
class LatentDisplay(Display):
    """Map of latents. Created by :meth:`from_estimator` or :meth:`from_latents`.

    Parameters
    ----------
    maps : dict of str to ndarray of shape (n_records, 2)
        Positions on the map of all leads, ``"all leads"``, or on the map of each lead.
    y : ndarray of shape (n_records,), default=None
        Labels, shown as colours.
    method : {"pca", "tsne", "umap"}, default="pca"
        Projection of the standardised latents: principal components, t-SNE, or UMAP, which needs
        umap-learn. Distances between clusters mean nothing in the latter two.

    Attributes
    ----------
    figure_, axes_ : matplotlib Figure, and ndarray of Axes of shape (n_maps,)
        The maps.

    Raises
    ------
    InvalidECGError
        If there are fewer than two records, or if `X`, `y`, `leads` or `method` is invalid.
    ImportError
        If `method` is ``"umap"`` and umap-learn is not installed.

    Examples
    --------
    >>> from sklearn_bell import BELLPretrainer
    >>> from sklearn_bell.datasets import make_ecg
    >>> from sklearn_bell.plotting import LatentDisplay
    >>> ecg = make_ecg(16, leads=["II", "V1"], duration=2, sampling_rate=100, random_state=0)
    >>> bell = BELLPretrainer(max_epochs=1, lead_names=["II", "V1"], random_state=0).fit(ecg.data)
    >>> display = LatentDisplay.from_estimator(bell, ecg.data, ecg.target, per_lead=True)
    >>> [ax.get_title() for ax in display.axes_]
    ['II', 'V1']
    """

    maps: dict[str, np.ndarray]
    y: ArrayLike | None = None
    method: str = "pca"

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        per_lead: bool = False,
        **options: Any,
    ) -> Self:
        """Encode records, draw their map, and return the display.

        Parameters
        ----------
        estimator : object
            Fitted transformer, such as a pretrainer.
        X : array-like of shape (n_records, n_leads, n_samples)
            Records.
        per_lead : bool, default=False
            Whether to draw a map for each lead of a pretrainer with latents for each lead.
        y, **options
            As in :meth:`from_latents`: `method`, `random_state` and `ax`.
        """
        check_is_fitted(estimator)
        if per_lead:
            names = estimator.get_feature_names_out()
            options["leads"] = [str(name).rpartition("_")[0] for name in names]
        return cls.from_latents(estimator.transform(X), y, **options)

    @classmethod
    def from_latents(
        cls,
        latents: ArrayLike,
        y: ArrayLike | None = None,
        *,
        leads: types.Names | None = None,
        method: str = "pca",
        random_state: types.RandomState = 0,
        ax: Axes | Sequence[Axes] | None = None,
    ) -> Self:
        """Draw the map of latents on `ax` (see :meth:`plot`), and return the display.

        Parameters
        ----------
        latents : array-like of shape (n_records, n_features)
            Latents, such as the output of ``transform``.
        y, method
            As in the class.
        leads : array-like of str of length n_features, default=None
            Lead of each feature, to draw a map for each lead. None draws one map.
        random_state : int, RandomState instance or None, default=0
            Seed of t-SNE and UMAP.
        """
        latents = np.asarray(latents, dtype=float)
        if latents.ndim != 2 or len(latents) < 2 or not latents.shape[1]:
            expected = "shape (n_records, n_features) with two records or more"
            raise InvalidECGError(f"Expected latents of {expected}, got shape {latents.shape}.")
        check_shape("y", y, len(latents))
        check_shape("leads", leads, latents.shape[1])
        if method not in _METHODS:
            raise InvalidECGError(f"method must be one of {[*_METHODS]}, but is {method!r}.")
        leads = np.full(latents.shape[1], "all leads") if leads is None else np.array(leads, str)
        names = dict.fromkeys(leads.tolist())
        maps = {name: _project(latents[:, leads == name], method, random_state) for name in names}
        return cls(maps, None if y is None else np.asarray(y), method).plot(ax=ax)

    def _draw(self, ax):
        figure, axes = make_axes(len(self.maps), ax)
        classes, axis = [None] if self.y is None else np.unique(self.y), _METHODS[self.method]
        for ax, (name, positions) in zip(axes, self.maps.items(), strict=True):
            for number, label in enumerate(classes):
                points = positions if label is None else positions[self.y == label]
                ax.scatter(*points.T, s=14, alpha=0.7, linewidths=0, label=label,
                           **color_and_marker(number, skipped=1))  # fmt: skip
            ax.set(title=name, xticks=[], yticks=[], xlabel=f"{axis} 1", ylabel=f"{axis} 2")
        if self.y is not None:
            axes[0].legend(frameon=False, fontsize="small", handletextpad=0.2)
        return figure, axes


def _project(latents, method, random_state):
    """Return positions (n_records, 2) on a map."""
    scaled = StandardScaler().fit_transform(latents)
    if method == "pca":
        projection = PCA(min(2, *scaled.shape), random_state=random_state)
    elif method == "tsne":
        projection = TSNE(perplexity=min(30, (len(scaled) - 1) / 3), random_state=random_state)
    else:
        try:
            from umap import UMAP
        except ImportError as error:
            raise ImportError("method='umap' needs umap-learn: pip install umap-learn") from error
        projection = UMAP(random_state=random_state)
    positions = projection.fit_transform(scaled)
    return np.pad(positions, [(0, 0), (0, 2 - positions.shape[1])])  # one feature, one component


@dataclass(eq=False, repr=False)
class LeadSimilarityDisplay(Display):
    """Lead-by-lead prediction error of BELL. Created by :meth:`from_estimator`.

    Parameters
    ----------
    distances : ndarray of shape (n_leads, n_leads)
        Mean squared distance in [0, 4] of the row's prediction from the column's projection.
    lead_names : list of str of length n_leads
        Names of the leads.

    Attributes
    ----------
    figure_, axes_, image_ : matplotlib Figure, Axes and AxesImage
        The matrix.

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

    distances: np.ndarray
    lead_names: types.Names

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: ArrayLike,
        *,
        random_state: types.RandomState = 0,
        ax: Axes | None = None,
    ) -> Self:
        """Compute and draw the error of every pair of leads on `ax` (see :meth:`plot`).

        Parameters
        ----------
        estimator : BELLPretrainer
            Fitted pretrainer with its heads: not from a file that was saved without them.
        X : array-like of shape (n_records, n_leads, n_samples)
            Records, of which two views are made.
        random_state : int, RandomState instance or None, default=0
            Seed of the views.

        Raises
        ------
        InvalidECGError
            If the estimator is no BELLPretrainer, or refuses X.
        NotFittedError
            If it is not fitted, or its heads are untrained.
        """
        check_is_fitted(estimator)
        if not hasattr(estimator, "lead_distances"):
            name = type(estimator).__name__
            raise InvalidECGError(f"{name} has no loss between leads. Fit a BELLPretrainer.")
        distances = estimator.lead_distances(X, random_state=random_state)
        return cls(distances, estimator.lead_names_).plot(ax=ax)

    def _draw(self, ax):
        ticks = np.arange(len(self.distances)), self.lead_names
        side = max(3.2, 0.45 * len(self.distances) + 1.2)
        figure, (ax,) = make_axes(1, ax, width=side + 0.8, height=side)
        self.image_ = ax.imshow(self.distances, cmap="cividis", vmin=0)
        for (i, j), distance in np.ndenumerate(self.distances):
            colour = "black" if distance > self.distances.max() / 2 else "white"
            ax.text(j, i, f"{distance:.2f}", ha="center", va="center", color=colour, fontsize=7)
        ax.set_xticks(*ticks)
        ax.set_yticks(*ticks)
        ax.set(xlabel="predicted lead", ylabel="predicting lead")
        figure.colorbar(self.image_, ax=ax, label="mean squared distance")
        return figure, ax
