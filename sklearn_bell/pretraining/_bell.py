"""BELL: bootstrap each lead's latent."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from sklearn_bell._utils.plausibility import checked_outside
from sklearn_bell._utils.validation import check_ecg
from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.nn.ema import make_target, update_target
from sklearn_bell.nn.encoders import SharedEncoder
from sklearn_bell.nn.heads import LeadwiseMLP
from sklearn_bell.nn.losses import fuse, lead_distances
from sklearn_bell.pretraining._base import BasePretrainer
from sklearn_bell.pretraining._measurements import Measurer, ScaledMeasurements
from sklearn_bell.pretraining._objective import Objective
from sklearn_bell.pretraining._weights import (
    DEFAULT_WEIGHTS,
    check_leads,
    load_weights,
    pretrained_encoder,
)
from sklearn_bell.training._data import read_batches
from sklearn_bell.training._device import autocast
from sklearn_bell.training._random import derived_seed, resolve_seed

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from sklearn_bell._utils import types


class BELL(Objective):
    """Predict the target network's projections of another view, within and between parts."""

    def __init__(self, encoder, n_parts, n_features, head_width, gamma, decay, measured=None):
        super().__init__()
        self.encoder = encoder
        self.projector = LeadwiseMLP(n_parts, n_features, head_width, head_width)
        self.predictor = LeadwiseMLP(n_parts, head_width, head_width, head_width)
        self.cross_predictor = None
        if n_parts > 1 and 0 < gamma < 1:  # one term alone needs one predictor
            self.cross_predictor = LeadwiseMLP(n_parts, head_width, head_width, head_width)
        self.reset_target()
        self.gamma, self.decay = gamma, decay
        self.measurer = None
        if measured is not None:
            n_measurements, self.measurement_weight = measured
            self.measurer = Measurer(n_parts, n_features, n_measurements)

    @property
    def online(self):
        """The part of the online network that the target follows."""
        return nn.Sequential(self.encoder, self.projector)

    def forward(
        self, view: Tensor, other: Tensor, measurements: Tensor | None = None
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Return the loss with its terms, and the latents of the first view."""
        errors, y, y2 = self.prediction_errors(view, other)
        terms = fuse(errors, self.gamma)
        if self.measurer is not None:
            error = (self.measurer(y, measurements) + self.measurer(y2, measurements)) / 2
            terms["loss"] = terms["loss"] + self.measurement_weight * error
            terms["measurement"] = error
        return terms, y

    def prediction_errors(self, view: Tensor, other: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the errors of every pair of parts in both directions, and the latents."""
        y, y2 = self.encoder(view), self.encoder(other)  # (batch, n_parts, n_features)
        z, z2 = self.target(view), self.target(other)  # (batch, n_parts, head_width)
        errors = (self.lead_errors(y, z2) + self.lead_errors(y2, z)) / 2  # (n_parts, n_parts)
        return errors, y, y2

    def lead_errors(self, latents, targets):
        """Return the error of each part's prediction of each part's target, in [0, 4]."""
        projections = self.projector(latents)
        intra = lead_distances(self.predictor(projections), targets)
        if self.cross_predictor is None:
            return intra
        inter = lead_distances(self.cross_predictor(projections), targets)
        is_same = torch.eye(len(intra), dtype=torch.bool, device=intra.device)
        return torch.where(is_same, intra, inter)

    def after_step(self):
        update_target(self.target, self.online, self.decay)

    def reset_target(self):
        self.target = make_target(self.online)


@dataclass(eq=False, repr=False, kw_only=True)
class BELLPretrainer(BasePretrainer):
    """Bootstrap each lead's latent: learn features of every lead from unlabelled records.

    Every lead has an encoder of its own. From one view of a record, each lead predicts the
    projections of another view by a target network, a moving average of the online network: those
    of the same lead (intra-lead) and those of the other leads (inter-lead). There are no negative
    pairs. The latents of all leads, concatenated, are the features, which
    :class:`sklearn_bell.ECGClassifier` fine-tunes on labels. The method is published in an abstract
    [1]_; the notes list the choices where it is silent.

    Parameters
    ----------
    encoder : callable or nn.Module, default=ResNet1d
        ``encoder(in_channels)`` makes the encoder of a lead, a module that maps
        ``(batch, 1, n_samples)`` to ``(batch, n_features)``. A module is copied for each lead, with
        its weights.
    shared_encoder : bool, default=False
        If True, all leads share one encoder; the heads stay separate.
    weights : str, default=None
        Name of pretrained weights that `fit` starts from (see :meth:`from_pretrained`), for the
        leads in `lead_names`. None starts from random weights.
    augmentation : callable, default=None
        Makes a view: ``augmentation(x, generator)`` for a batch ``(batch, n_leads, n_samples)``,
        see :mod:`sklearn_bell.nn.augmentation`. None is ``RandomCrop()``, half of the record.
    gamma : float, default=0.2
        Weight of the intra-lead term; the inter-lead term has ``1 - gamma``. Ignored for one lead.
    decay : float, default=0.99
        Decay of the target network's moving average per step.
    head_width : int, default=512
        Width of the hidden and the output layer of projectors and predictors.
    measurements : transformer, default=None
        Measures every record, such as ``ECGFeatures()``, and is fitted on at most 1,024 records,
        evenly spaced. A linear layer on the latent of each lead also predicts these measurements
        [2]_, standardised and clipped at three deviations. None leaves it out.
    measurement_weight : float, default=0.3
        Weight of the error of this prediction in the loss.
    max_epochs : int, default=60
        Number of passes over the records. 0 leaves the encoder untrained, except for the running
        statistics of its batch normalisation.
    epoch_size : int, default=None
        Number of records drawn for each epoch. None takes all. A smaller epoch reports to
        `history_`, callbacks and checkpoints more often.
    batch_size : int, default=128
        Records per step, and per batch in `transform`. Batches differ in size by one at most.
    lr : float, default=0.004
        Learning rate of Adam.
    lead_names : array-like of str of length n_leads, default=None
        Names of the leads of X, for the names of the features.
    sampling_rate : float, default=100
        Sampling rate of X in Hz, for the band-pass filter (see Notes).
    missing : {"error", "zero"}, default="error"
        Treatment of a lead whose samples are all NaN: raise an error, or replace it with zeros. A
        gap within a lead always raises an error.
    device : str or torch.device, default="auto"
        Device of the network. ``"auto"`` is a GPU if there is one, else the CPU.
    precision : {"float32", "bfloat16", "auto"}, default="float32"
        Precision of the layers in `fit` and `transform`. ``"auto"`` is bfloat16 if the device has
        instructions for it: faster, and latents are rounded by about a hundredth of their standard
        deviation. `transform` always returns float32.
    verbose : bool or int, default=False
        Print a line per epoch: number, loss and duration in s.
    checkpoint : str, path or Checkpoint, default=None
        Folder that keeps the state of training, so that an interrupted `fit` resumes; or a
        :class:`sklearn_bell.training.Checkpoint`. None keeps nothing.
    random_state : int, RandomState instance or None, default=None
        Seed of the initial weights, the order of the records and the views.

    Attributes
    ----------
    encoder_ : nn.Sequential
        Input normalisation and trained encoders: maps records ``(batch, n_leads, n_samples)`` in mV
        to latents ``(batch, n_leads, n_features)``.
    history_ : list of dict
        For each epoch: ``epoch`` (number); mean ``loss``, and its terms ``intra`` and ``inter`` in
        [0, 4], and ``measurement``; ``latent_deviation``, the least of the leads' standard
        deviations of latents over records, relative to their size; ``effective_rank`` of latents,
        averaged over leads; and ``duration`` in s.
    lead_names_ : list of str
        Names of the leads; ``lead0``, ``lead1``, ... if `lead_names` is None.
    n_features_in_, n_leads_in_, n_samples_in_ : int
        Number of leads (of samples if X is 2-D); of leads; and of samples of a record.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns if X is a dataframe.

    Raises
    ------
    InvalidECGError
        A ``ValueError``: if X has fewer than two records, is not 3-D (2-D for one lead) and finite,
        or is too short for the encoder.
    DivergenceError
        If the loss or a weight becomes NaN or infinite. The transformer keeps the weights of the
        last complete epoch, and is not fitted if there is none.

    Warns
    -----
    CollapseWarning
        If in an epoch the ``latent_deviation`` is under 0.001, or the ``effective_rank`` of the
        latents of at least 256 records is under 1.1.

    Notes
    -----
    Pass raw millivolts. Every lead of every record is filtered to 0.5 to 40 Hz, without which the
    networks could agree on the drift and noise that both views share. It is scaled so that a
    standard deviation of d mV becomes the square root of d / 0.2 (0.2 mV is typical): leads and
    patients come closer together, yet high voltages remain visible. A flat lead becomes zeros.
    Another unit works too, if `fit` and `transform` have the same. Values are cast to float32: an
    offset should be less than a thousand times the signal.

    The loss is `gamma` times the mean squared distance between predictions and projections of the
    same lead, both of unit length, plus ``1 - gamma`` times that of different leads, which have a
    predictor of their own if `gamma` is neither 0 nor 1. It is averaged over the batch and both
    directions. With `measurements`, `measurement_weight` times their mean smooth L1 error is added.
    The target averages running statistics of batch normalisation like weights.

    In a script started by torchrun all processes train together and must all call `fit`. Each reads
    its share of every batch; `batch_size` counts the shares of all. They end with the same weights,
    and only the first has callbacks. Batch normalisation uses the whole batch in the heads and the
    share in the encoders. A search with worker processes or threads trains independently in each.

    Published are the branches, networks and losses. Trials on PTB-XL folds 1-7 chose the second
    predictor, `gamma`, the encoder, plain crops as views, the scaling of leads, and the training
    schedule (see the research log). Related work of the same group uses VGG16 of width 1/8
    (:class:`sklearn_bell.nn.encoders.VGG1d`), one predictor, ``gamma=0.8``, crops resampled to full
    length, time-out, and z-scored records.

    References
    ----------
    .. [1] Liu W, Pan S, Li Z, Chang S, Huang Q, Jiang N. Bootstrap each lead's latent: A novel
       method for self-supervised learning of multilead electrocardiograms. Comput Methods Programs
       Biomed 2024;257:108452. doi:10.1016/j.cmpb.2024.108452
    .. [2] Pascual S, Ravanelli M, Serrà J, Bonafonte A, Bengio Y. Learning problem-agnostic speech
       representations from multiple self-supervised tasks. Interspeech 2019.
       doi:10.21437/Interspeech.2019-2605

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_bell import BELLPretrainer, datasets
    >>> ecg = datasets.make_ecg(40, classes=["normal", "lbbb"], leads=["II", "V1"], random_state=0)
    >>> bell = BELLPretrainer(max_epochs=2, lead_names=ecg.lead_names, random_state=0)
    >>> pipeline = make_pipeline(bell, StandardScaler(), LogisticRegression())
    >>> pipeline.fit(ecg.data, ecg.target)[0].get_feature_names_out()[:3]
    array(['II_0', 'II_1', 'II_2'], dtype=object)
    """

    shared_encoder: bool = False
    weights: str | None = None
    gamma: float = 0.2
    decay: float = 0.99
    head_width: int = 512
    measurements: BaseEstimator | None = None
    measurement_weight: float = 0.3

    _parameter_constraints = {
        **BasePretrainer._parameter_constraints,
        "measurements": [HasMethods(["fit", "transform"]), None],
        "measurement_weight": [Interval(Real, 0, None, closed="left")],
        "shared_encoder": ["boolean"],
        "weights": [str, None],
        "gamma": [Interval(Real, 0, 1, closed="both")],
        "decay": [Interval(Real, 0, 1, closed="left")],
        "head_width": [Interval(Integral, 1, None, closed="left")],
    }

    @classmethod
    def from_pretrained(
        cls, name: str = DEFAULT_WEIGHTS, leads: types.Names | None = None, **params: Any
    ) -> BELLPretrainer:
        """Return a fitted pretrainer with weights of the library; nothing is downloaded.

        Its parameters are ``weights=name``, ``lead_names=leads`` and ``max_epochs=0``, with which
        `fit` restores the weights: pipelines, searches and :class:`sklearn_bell.ECGClassifier` can
        clone it. With ``max_epochs=10``, `fit` continues for ten epochs on your records.

        Parameters
        ----------
        name : {"bell-12-leads-100hz"}, default="bell-12-leads-100hz"
            The weights. Their card, ``sklearn_bell/weights/NAME.md``, states training data,
            settings and measured performance.
        leads : array-like of str, default=None
            Leads of your records, in their order: any of I, II, III, aVR, aVL, aVF, V1 to V6. None
            is all twelve, in this order. Each lead has an encoder of its own, so any will do.
        **params : dict
            Other parameters, such as ``device="cpu"`` or ``missing="zero"``.

        Returns
        -------
        bell : BELLPretrainer
            Fitted for these leads in mV, 10 s at 100 Hz: ``transform`` takes ``(n_records, n_leads,
            1000)`` and returns ``(n_records, 96 * n_leads)``. After `fit`, records may have
            another length. The heads are new.

        Raises
        ------
        InvalidFileError
            If there are no weights of that name; the error lists the names.
        InvalidECGError
            A ``ValueError``: if the weights have no such lead, or if a parameter does not fit them.

        Examples
        --------
        >>> from sklearn_bell import BELLPretrainer, datasets
        >>> bell = BELLPretrainer.from_pretrained(leads=["V1", "II"])
        >>> ecg = datasets.make_ecg(3, leads=["V1", "II"], random_state=0)
        >>> bell.transform(ecg.data).shape
        (3, 192)
        """
        source = load_weights(name)
        names = check_leads(source.lead_names_ if leads is None else leads)
        bell = cls(weights=name, lead_names=names, **{"max_epochs": 0} | params)
        bell._validate_params()
        bell.n_leads_in_ = bell.n_features_in_ = len(names)
        bell.n_samples_in_, bell._n_dimensions_in, bell._data = source.n_samples_in_, 3, None
        bell._measured = None
        seed = resolve_seed(bell.random_state)
        bell._set_module(bell._make_module(derived_seed(seed)), seed)
        bell._heads_are_new = True
        bell.encoder_.eval()
        return bell

    def lead_distances(self, X: ArrayLike, random_state: types.RandomState = None) -> np.ndarray:
        """Return the prediction error of every pair of leads: the loss before fusion.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Records with the leads and length seen in ``fit``; two views are made of each.
        random_state : int, RandomState instance or None, default=None
            Seed of the views.

        Returns
        -------
        distances : ndarray of shape (n_leads, n_leads)
            Squared distance of the row's prediction from the target's projection of the column, in
            [0, 4], averaged over records and directions. The diagonal averages to the intra-lead
            term, the rest to the inter-lead term: in evaluation mode, unlike those in `history_`.

        Raises
        ------
        NotFittedError
            If the heads are not trained, as after :meth:`from_pretrained`.
        """
        check_is_fitted(self, "encoder_")
        if self._heads_are_new:
            raise NotFittedError(
                "The heads of this BELLPretrainer are not trained: pretrained weights have none, "
                "nor has a file saved with heads=False. Call partial_fit, or fit with max_epochs "
                "above 0, or load a file that was saved with heads=True."
            )
        records = check_ecg(self, X, reset=False)
        module = copy.deepcopy(self._net.module_).eval()
        device = next(module.parameters()).device
        generator = torch.Generator(device).manual_seed(resolve_seed(random_state))

        total = torch.zeros((), device=device)
        with torch.inference_mode():
            for x in read_batches(records, self.batch_size, device):
                views = module.make_views(module.normalize(x), generator)
                with autocast(module.dtype, device):
                    errors, *_ = module.objective.prediction_errors(*views)
                total = total + len(x) * errors.double()
        return (total / len(records)).cpu().numpy()

    @property
    def _expected_rate(self):
        is_bound = self.weights is not None or self.measurements is not None
        return self.sampling_rate if is_bound else None

    def _initialize(self, records, seed):
        super()._initialize(records, seed)
        self._heads_are_new = self.weights is not None

    def _is_untrained(self):
        return self.weights is None and super()._is_untrained()

    def _make_encoder(self):
        if self.weights is not None:
            encoder, self.lead_names_ = pretrained_encoder(self, self.n_leads_in_)
            return encoder
        if self.shared_encoder:
            return SharedEncoder(self._make_branch(1))
        return super()._make_encoder()

    def _make_objective(self, encoder, n_parts, n_features):
        measured = self._measured and (self._measured.n_measurements, self.measurement_weight)
        options = self.head_width, self.gamma, self.decay, measured
        return BELL(encoder, n_parts, n_features, *options)

    def _check(self, X, groups, reset):
        records, _ = super()._check(X, None, reset)
        if reset:
            self._measured = self._make_measured()
        elif self._measured is None and self.measurements is not None:
            raise InvalidECGError(
                "measurements was set after the network was made, which has no layer for them. "
                "Call fit, which makes one, or set measurements=None."
            )
        if self._measured is None:
            return records, None

        def read(rows):
            return self._restore_ndim(records[rows])

        with checked_outside():
            return records, self._measured.measure(read, len(records))

    def _make_measured(self, **scale):
        if self.measurements is None:
            return None
        _, first = getattr(self.measurements, "steps", [("", self.measurements)])[0]
        rate = getattr(first, "sampling_rate", self.sampling_rate)
        if rate != self.sampling_rate:
            raise InvalidECGError(
                f"Expected measurements of the sampling rate {self.sampling_rate} Hz, got "
                f"sampling_rate={rate}. Pass both estimators the sampling rate of X."
            )
        return ScaledMeasurements(self.measurements, self.batch_size, **scale)

    def _get_state(self, heads=True):
        measured, scale = self._measured, None
        if measured is not None and self.measurements is not None:
            scale = {"mean": measured.mean, "deviation": measured.deviation}
        return super()._get_state(heads) | {"measurements": scale}

    def _set_state(self, state):
        scale = state.get("measurements")
        self._measured = self._make_measured(**scale) if scale else None
        super()._set_state(state)
