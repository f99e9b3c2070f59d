"""Over-sampling of rare classes in the latent space of a VQ-VAE."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from imblearn.over_sampling.base import BaseOverSampler
from imblearn.utils._validation import ArraysTransformer
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.base import BaseEstimator, _fit_context, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from sklearn_bell._utils import types
from sklearn_bell._utils.labels import read_indicator
from sklearn_bell._utils.plausibility import checked_outside
from sklearn_bell._utils.validation import ECGInputMixin, check_groups, stack_records
from sklearn_bell._utils.warn import warn_caller
from sklearn_bell.exceptions import InvalidECGError, RecordWarning
from sklearn_bell.over_sampling._pairs import PairSampler, n_samples_to_generate
from sklearn_bell.over_sampling._synthesis import LatentOutlierFilter, LatentSynthesizer, fit_prior
from sklearn_bell.training._checkpoint import CheckpointLike, make_checkpoint_manager
from sklearn_bell.training._random import derived_seed, resolve_seed, set_missing_params
from sklearn_bell.vqvae import VQVAETransformer
from sklearn_bell.vqvae._base import BaseVQVAE


@dataclass(eq=False, repr=False, kw_only=True)
class VQVAEOverSampler(ECGInputMixin, BaseOverSampler):
    """Over-sample rare classes with synthetic records from the latent space of a VQ-VAE.

    Parameters
    ----------
    sampling_strategy : float, str, dict or callable, default="auto"
        Number of records per class after resampling, as in imbalanced-learn: ratio of the rarer to
        the other of two classes; ``"minority"``, ``"not minority"``, ``"not majority"``
        (``"auto"``) or ``"all"`` for the classes to raise to the most frequent one; a dict of
        numbers by class; or a function of y to such a dict. Multi-label classes are columns of y.
    method : {"interpolate", "sample", "prior"}, default="interpolate"
        Source of the codes [1]_:

        - ``"interpolate"``: the latents of two records of the class, from different patients, are
          mixed, ``(1 - a) * first + a * second``, and quantised;
        - ``"sample"``: the codes of each latent of a record are drawn, see `temperature`;
        - ``"prior"``: a recurrent network, trained on the codes of all records given their classes,
          draws the codes.
    vqvae : VQVAETransformer, ImageVQVAETransformer or FrozenEstimator, default=None
        Estimator to clone and fit on X; None is ``VQVAETransformer()``. A FrozenEstimator is not
        refitted, so it can be fitted on all unlabelled records of the training fold. With
        :class:`sklearn_bell.vqvae.ImageVQVAETransformer`, X holds images.
    alpha : float, default=0.5
        For ``"interpolate"``: upper limit of the uniformly distributed weight a.
    n_neighbors : int, default=None
        For ``"interpolate"``: the second record is one of so many nearest neighbours of the first
        one in latent space. None allows any record of the class.
    sampling_rate : float, default=100
        For ``"interpolate"``: sampling rate of X in Hz. The second record is stretched between its
        beats, to coincide with those of the first one, unless this is None or X holds images.
    temperature : float, default=1.0
        For ``"sample"`` and ``"prior"``: temperature of the softmax that codes are drawn from. For
        ``"sample"``, its logits are the negative squared distances between latent and vectors, in
        units of the mean squared distance of latents from their nearest vectors.
    prior_epochs : int, default=20
        For ``"prior"``: number of passes over all records.
    filter : "latent", classifier or None, default=None
        Condition for synthetic records, which are drawn again otherwise:

        - ``"latent"``: for each of its classes, the record is no farther from the mean than 95 % of
          the real records, in mean and deviation over time of the latents of decoded records.
          Classes of one or two records accept all.
        - a classifier is cloned, fitted on X and y, and must predict the classes of the record. In
          a multi-label problem it may predict others as well.
    max_redraws : int, default=10
        Largest number of redraws. Records that are still rejected are kept with a RecordWarning.
    verbose : bool or int, default=False
        Print a line per epoch of the prior.
    checkpoint : str, path or Checkpoint, default=None
        As in :class:`sklearn_bell.VQVAETransformer`.
    random_state : int, RandomState instance or None, default=None
        Seed of all random numbers, and of a VQ-VAE or filter whose own ``random_state`` is None.

    Attributes
    ----------
    sampling_strategy_ : dict
        Number of synthetic records by class. A record may count for several classes.
    vqvae_ : VQVAETransformer
        The fitted VQ-VAE.
    prior_ : sklearn_bell.nn.code_prior.CodePrior
        The fitted prior, with ``method="prior"`` only.
    parents_ : ndarray of shape (n_synthetic, 2)
        Rows of X that each record comes from: one row twice with ``"sample"``, -1 with ``"prior"``.
    alpha_ : ndarray of shape (n_synthetic,)
        Weight of the second record, or 0.
    n_features_in_, n_leads_in_, n_samples_in_, feature_names_in_
        As in :class:`sklearn_bell.VQVAETransformer`; for images, `height_in_` and `width_in_`.

    Raises
    ------
    InvalidECGError
        A ``ValueError``: X is not 3-D (or 2-D, one lead) and finite, y or groups do not fit X, or a
        class has too few records or patients.

    Notes
    -----
    Multi-label: a synthetic record has the labels of both sources. Classes are raised in turn, the
    rarest first. Pairs are preferred that add few labels of classes with enough records, and whose
    records have the same labels. Labels that always co-occur with a rare one become more frequent.

    Unlabelled records have -1 in y, if there are at least two other classes, or a row of -1, as in
    :class:`sklearn_bell.ECGClassifier`. The VQ-VAE learns from them; they are returned unchanged.

    Resample inside the fold: in an :class:`imblearn.pipeline.Pipeline`, or by
    ``ECGClassifier(sampler=...)``. A pipeline passes groups on only if metadata routing is enabled
    and requested by ``sampler.set_fit_resample_request(groups=True)``.

    The paper works on images and does not report where and how much it mixes [1]_. Weights up to a
    half, the default here, let the first source set the rhythm.

    References
    ----------
    .. [1] Liu H, Zhao Z, Chen X, Yu R, She Q. Using the VQ-VAE to improve the recognition of
       abnormalities in short-duration 12-lead electrocardiogram records. Comput Methods Programs
       Biomed 2020;196:105639. doi:10.1016/j.cmpb.2020.105639

    Examples
    --------
    >>> from collections import Counter
    >>> from sklearn_bell import VQVAEOverSampler, VQVAETransformer, datasets
    >>> ecg = datasets.make_ecg(40, classes=["normal", "lbbb"], leads=["II"], random_state=0)
    >>> X, y = ecg.data[ecg.target.argsort()][:26], sorted(ecg.target)[:26]  # few of class 1
    >>> vqvae = VQVAETransformer(n_codes=32, width=16, max_epochs=1)
    >>> X_new, y_new = VQVAEOverSampler(vqvae=vqvae, random_state=0).fit_resample(X, y)
    >>> Counter(y)[1] < Counter(y)[0] == Counter(y_new)[0] == Counter(y_new)[1]
    True
    """

    sampling_strategy: Any = "auto"
    method: str = "interpolate"
    vqvae: BaseEstimator | None = None
    alpha: float = 0.5
    n_neighbors: int | None = None
    sampling_rate: float = 100
    temperature: float = 1.0
    prior_epochs: int = 20
    filter: BaseEstimator | None = None
    max_redraws: int = 10
    verbose: bool | int = False
    checkpoint: CheckpointLike | None = None
    random_state: types.RandomState = None

    _parameter_constraints = {
        **BaseOverSampler._parameter_constraints,
        "method": [StrOptions({"interpolate", "sample", "prior"})],
        "vqvae": [HasMethods(["fit", "transform"]), None],
        "alpha": [Interval(Real, 0, 1, closed="right")],
        "n_neighbors": [Interval(Integral, 1, None, closed="left"), None],
        "sampling_rate": [Interval(Real, 0, None, closed="neither"), None],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "prior_epochs": [Interval(Integral, 1, None, closed="left")],
        "filter": [StrOptions({"latent"}), HasMethods(["fit", "predict"]), None],
        "max_redraws": [Interval(Integral, 1, None, closed="left")],
        **{name: BaseVQVAE._parameter_constraints[name] for name in ("verbose", "checkpoint")},
    }

    _expects_millivolts = True  # unless vqvae is of images
    # private hooks, which benchmarks replace on an instance
    _synthesizer_class, _prior_fitter = LatentSynthesizer, staticmethod(fit_prior)

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Check X, y and the strategy, without generating records.

        Parameters
        ----------
        X, y : array-like
            As in `fit_resample`.

        Returns
        -------
        self : object
        """
        self._check_X_y(X, y)
        return self

    @_fit_context(prefer_skip_nested_validation=False)
    def fit_resample(
        self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None
    ) -> tuple[Any, Any]:
        """Append synthetic records to X and y, as many as the strategy asks for.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Records in mV, or images (n_images, height, width), see `vqvae`.
        y : array-like of shape (n_records,) or (n_records, n_classes)
            Classes, or an indicator of 0 and 1. -1, or a row of -1, is unlabelled, see Notes.
        groups : array-like of shape (n_records,), default=None
            Patients; only records of different ones are mixed. None makes each record a patient.

        Returns
        -------
        X_resampled, y_resampled : array-like of the types of X and y
            X and y, unchanged, followed by the synthetic records and their labels. A table or
            Series with a record in each cell becomes an array.
        """
        X = stack_records(X)
        input_types = ArraysTransformer(X, y)
        records, labels, indicator, self.vqvae_ = self._check_X_y(X, y)
        groups = check_groups(groups, len(records))
        resampled = self._fit_resample(records, labels, indicator, groups)
        X_resampled, y_resampled = input_types.transform(*resampled)
        y_type: Any = type(y)
        return X_resampled, y_type(y_resampled) if sparse.issparse(y) else y_resampled

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = False
        tags.target_tags.multi_output = True
        return tags

    def _check_X_y(self, X, y):
        """Return records, y, y as an indicator, and the VQ-VAE; set `sampling_strategy_`."""
        vqvae = VQVAETransformer() if self.vqvae is None else self.vqvae
        is_frozen = isinstance(vqvae, FrozenEstimator)
        if is_frozen:
            check_is_fitted(vqvae)
            vqvae = vqvae.estimator
        if not isinstance(vqvae, BaseVQVAE):
            raise InvalidECGError(
                "Expected vqvae to be a VQVAETransformer, an ImageVQVAETransformer or a "
                f"FrozenEstimator of a fitted one, got {vqvae!r}."
            )
        X = vqvae._check_X(self, X, reset=True, dtype=(np.float32, np.float64), min_records=2)[:]
        if is_frozen and X.shape[1:] != vqvae._shape:
            raise InvalidECGError(
                f"X has records of shape {X.shape[1:]}, but the frozen {type(vqvae).__name__} was "
                f"fitted on {vqvae._shape}. Fit it on records of the same shape."
            )
        y, labels, indicator = read_indicator(y, len(X))
        rows, self._classes = labels.rows, labels.classes
        strategy = self.sampling_strategy
        self.sampling_strategy_ = n_samples_to_generate(strategy, y[rows], indicator[rows])
        return X, y, indicator, vqvae if is_frozen else clone(vqvae)

    def _fit_resample(self, X, y, indicator, groups):
        manager = make_checkpoint_manager(self, (), x=X, classes=indicator, groups=groups)
        seed = resolve_seed(self.random_state, manager)
        rng = np.random.default_rng(derived_seed(seed))
        n_missing = np.array([int(self.sampling_strategy_.get(name, 0)) for name in self._classes])
        rarest_first = sorted(np.flatnonzero(n_missing), key=indicator.sum(axis=0).__getitem__)
        is_single_source = self.method != "interpolate"
        pair_sampler = PairSampler(indicator, groups, rng, is_single_source, self.n_neighbors)
        for column in rarest_first:  # fail before training
            pair_sampler.check_partners(column, self._classes[column])

        if not isinstance(self.vqvae, FrozenEstimator):
            set_missing_params(self.vqvae_, random_state=seed, checkpoint=self.checkpoint)
            with checked_outside():
                self.vqvae_.fit(X)
        vqvae = self.vqvae_.vqvae_
        sampling_rate = self.sampling_rate if vqvae.n_dimensions == 1 else None
        synthesizer = self._synthesizer_class(vqvae, X, seed, sampling_rate)
        for column in rarest_first:
            pair_sampler.find_neighbors(column, synthesizer.latents)
        self.__dict__.pop("prior_", None)
        if self.method == "prior":
            name = type(self).__name__ if self.verbose else None
            options = self.prior_epochs, seed, manager, name
            self.prior_ = self._prior_fitter(synthesizer, indicator, *options)
        accepts = self._make_filter(synthesizer, X, y, indicator, seed)
        synthesize = partial(self._synthesize, synthesizer, pair_sampler)
        batches = self._generate(indicator, n_missing, rarest_first, synthesize, accepts)
        batches.append((X[:0], np.empty(0), indicator[:0], np.empty((0, 2), np.int64)))
        records, self.alpha_, labels, pairs = map(np.concatenate, zip(*batches, strict=True))
        self.parents_ = np.full_like(pairs, -1) if self.method == "prior" else pairs
        y_new = labels.astype(y.dtype) if y.ndim == 2 else self._classes[labels.argmax(axis=1)]
        return self._restore_ndim(np.concatenate([X, records])), np.concatenate([y, y_new])

    def _synthesize(self, synthesizer, pair_sampler, *options):
        """Return synthetic records of drawn pairs, alpha, labels and pairs."""
        pairs = pair_sampler.draw(*options)
        labels, alpha = pair_sampler.labels(pairs), np.zeros(len(pairs))
        if self.method == "interpolate":
            alpha = pair_sampler.rng.uniform(0, self.alpha, len(pairs))
            records = synthesizer.interpolate(pairs, alpha)
        elif self.method == "sample":
            records = synthesizer.sample(pairs[:, 0], self.temperature)
        else:
            records = synthesizer.draw(self.prior_, labels, self.temperature)
        return records, alpha, labels, pairs

    def _make_filter(self, synthesizer, X, y, indicator, seed):
        """Return a function of records and their labels ``(n, n_classes)`` to a mask."""
        if self.filter is None:
            return lambda records, labels: np.ones(len(records), bool)
        if isinstance(self.filter, str):
            pool = synthesizer.pooled_latents
            near = LatentOutlierFilter(pool(synthesizer.reconstructions()), indicator)
            return lambda records, labels: near(pool(records), labels)
        classifier = clone(self.filter)
        set_missing_params(classifier, random_state=seed, checkpoint=self.checkpoint)
        labelled = indicator.any(axis=1) if y.ndim == 1 else (y >= 0).all(axis=1)
        classifier.fit(self._restore_ndim(X[labelled]), y[labelled])
        classes = getattr(classifier, "classes_", None)
        if y.ndim == 1 and classes is not None and not np.isin(self._classes, classes).all():
            raise InvalidECGError(
                f"filter predicts the classes {list(classes)}, but y has {list(self._classes)}. "
                "Use a filter that was fitted on the classes of y."
            )

        def accepts(records, labels):
            predicted = np.asarray(classifier.predict(self._restore_ndim(records)))
            if y.ndim == 1:
                return predicted == self._classes[labels.argmax(axis=1)]
            return (predicted.astype(bool) | ~labels).all(axis=1)

        return accepts

    def _generate(self, indicator, n_missing, rarest_first, synthesize, accepts):
        """Return batches of synthetic records, alpha, labels and pairs; redraw rejected ones."""
        is_multilabel = (indicator.sum(axis=1) > 1).any()
        batches, n_rejected, n_missing = [], 0, n_missing.copy()
        for column in rarest_first:
            while n_missing[column] > 0:
                # in quarters if they may count for other classes as well
                n_records = -(-n_missing[column] // 4) if is_multilabel else n_missing[column]
                saturated = is_multilabel & (n_missing < n_records)
                batch = records, _, labels, _ = synthesize(column, n_records, saturated)
                rejected, n_redraws = np.flatnonzero(~accepts(records, labels)), 0
                while len(rejected) and n_redraws < self.max_redraws:
                    redrawn = synthesize(column, len(rejected), saturated)
                    for values, new_values in zip(batch, redrawn, strict=True):
                        values[rejected] = new_values
                    rejected = rejected[~accepts(records[rejected], labels[rejected])]
                    n_redraws += 1
                batches.append(batch)
                n_rejected += len(rejected)
                n_missing -= labels.sum(axis=0)
        if n_rejected:
            n_records = sum(len(batch[0]) for batch in batches)
            warn_caller(
                f"The filter rejects {n_rejected} of {n_records} synthetic records, also after "
                f"max_redraws={self.max_redraws} redraws. They are kept. Increase max_redraws or "
                "use another filter.",
                RecordWarning,
            )
        return batches
