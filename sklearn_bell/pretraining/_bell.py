"""BELL: bootstrap each lead's latent."""

from __future__ import annotations

import copy
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from sklearn.exceptions import NotFittedError
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from sklearn_bell._utils.validation import check_ecg
from sklearn_bell.exceptions import InvalidFileError
from sklearn_bell.nn.ema import make_target, update_target
from sklearn_bell.nn.encoders import ResNet1d, SharedEncoder
from sklearn_bell.nn.heads import LeadwiseMLP
from sklearn_bell.nn.losses import fuse, lead_distances
from sklearn_bell.persistence._models import load
from sklearn_bell.pretraining._base import BasePretrainer, Method
from sklearn_bell.training._data import read_batches
from sklearn_bell.training._trainer import autocast, resolve_seed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike

    from sklearn_bell._utils.types import (
        Augmentation,
        Device,
        Encoder,
        Missing,
        Names,
        Precision,
        RandomState,
    )
    from sklearn_bell.training._checkpoint import CheckpointLike


_WEIGHTS = Path(__file__).parent.parent / "weights"
_OF_WEIGHTS = "encoder", "shared_encoder", "head_width", "lead_names", "sampling_rate"


class BELL(Method):
    """Two networks: the online one predicts what the target one makes of another view.

    Parameters
    ----------
    encoder : nn.Module
        Maps ``(batch, n_leads, n_samples)`` to ``(batch, n_parts, n_features)``; a part is a lead,
        or all leads together.
    n_parts, n_features, head_width : int
        Sizes of the heads.
    gamma, decay : float
        As in :class:`BELLPretrainer`.
    """

    def __init__(self, encoder, n_parts, n_features, head_width, gamma, decay):
        super().__init__()
        self.encoder = encoder
        self.projector = LeadwiseMLP(n_parts, n_features, head_width, head_width)
        self.predictor = LeadwiseMLP(n_parts, head_width, head_width, head_width)
        self.cross_predictor = None
        if n_parts > 1 and 0 < gamma < 1:  # or else one predictor has one question to answer
            self.cross_predictor = LeadwiseMLP(n_parts, head_width, head_width, head_width)
        self.restart()
        self.gamma, self.decay = gamma, decay

    @property
    def online(self):
        """What the target network follows."""
        return nn.Sequential(self.encoder, self.projector)

    def forward(self, view: Tensor, other: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Return the loss with its two terms, and the latents of the first view."""
        distances, latents = self.distances(view, other)
        return fuse(distances, self.gamma), latents

    def distances(self, view: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """Return the distance of every pair of parts, and the latents of the first view."""
        latents = torch.stack([self.encoder(x) for x in (view, other)])
        encode, project = self.target
        targets = project(torch.stack([encode(x) for x in (other, view)]))
        return self._distances(self.projector(latents), targets), latents[0]

    def _distances(self, projections, targets):
        """Return the distance of every pair of parts, ``(n_parts, n_parts)``, both ways round."""
        targets = targets.flatten(0, 1)
        own = lead_distances(self.predictor(projections).flatten(0, 1), targets)
        if self.cross_predictor is None:
            return own
        others = lead_distances(self.cross_predictor(projections).flatten(0, 1), targets)
        return torch.where(torch.eye(len(own), dtype=torch.bool, device=own.device), own, others)

    def after_step(self):
        """Let the target network follow."""
        update_target(self.target, self.online, self.decay)

    def restart(self):
        """Let the target network be a copy."""
        self.target = make_target(self.online)


class BELLPretrainer(BasePretrainer):
    """Bootstrap each lead's latent: learn features of every lead from unlabelled records.

    Every lead has an encoder of its own. From one view of a record, each lead predicts what a
    slowly following copy of the network, the target, makes of another view: of the same lead
    (intra-lead) and of the other leads (inter-lead). There are no negative pairs. The latents of
    all leads, side by side, are the features.

    This implements the method as its abstract describes it [1]_, with choices of our own where the
    abstract is silent; they are named below.

    Parameters
    ----------
    encoder : callable or nn.Module, default=ResNet1d
        ``encoder(in_channels)`` makes the encoder of a lead, a module that maps
        ``(batch, 1, n_samples)`` to ``(batch, n_features)``. A module is copied for each lead
        instead, with its weights.
    shared_encoder : bool, default=False
        Whether all leads share one encoder instead, each with heads of its own as before.
    augmentation : callable, default=None
        Makes a view: called as ``augmentation(x, generator)`` on a batch
        ``(batch, n_leads, n_samples)``, see :mod:`sklearn_bell.nn.augmentation`. By default
        ``RandomCrop()``, which is half of the record.
    gamma : float, default=0.2
        Weight of the intra-lead term, ``1 - gamma`` being that of the inter-lead term; 1 is
        intra-lead alone, 0 inter-lead alone. It has no effect where there is only one lead.
    decay : float, default=0.99
        How much of the target network stays at each step; the rest comes from the online network.
    head_width : int, default=512
        Width of the hidden and the last layer of projectors and predictors.
    max_epochs : int, default=60
        How often all records are seen. 0 leaves the encoder untrained, but for
        the means and deviations of its batch normalisation.
    epoch_size : int, default=None
        How many records are seen in an epoch, drawn anew for each. None takes all. Of very many
        records, a part lets `history_` and callbacks tell sooner how training goes.
    batch_size : int, default=128
        Records per step, and per batch in `transform`. Batches differ in size by one at most.
    lr : float, default=0.004
        Learning rate of Adam.
    lead_names : array-like of str of length n_leads, default=None
        Names of the leads of X, for the names of the features.
    sampling_rate : float, default=100
        Sampling rate of X in Hz, for the filter of the notes.
    missing : {"error", "zero"}, default="error"
        What to do with a lead that a record does not have, all of whose samples are NaN: raise an
        error, or take it for a flat lead of zeros. A gap in a lead is an error in any case.
    device : str or torch.device, default="auto"
        Where to compute: ``"auto"`` is a GPU if there is one, or else the CPU.
    precision : {"float32", "bfloat16", "auto"}, default="float32"
        What layers are computed in, in `fit` and in `transform`. ``"auto"`` is bfloat16 where the
        device has instructions for it, which is faster, and rounds latents by about a hundredth of
        their deviation. The result of `transform` is float32 in any case.
    verbose : bool or int, default=False
        Whether to print a line for each epoch: its number, the loss, and the seconds it took.
    checkpoint : str, path or Checkpoint, default=None
        Where to keep the state of training, so that `fit` goes on from it when it was ended: a
        folder, or a :class:`sklearn_bell.training.Checkpoint`. None keeps nothing.
    random_state : int, RandomState instance or None, default=None
        Determines the first weights, the order of the records and the views.

    Attributes
    ----------
    encoder_ : nn.Sequential
        What prepares the leads, as in the notes, and the trained encoder of all leads: maps records
        ``(batch, n_leads, n_samples)`` to latents ``(batch, n_leads, n_features)``.
    history_ : list of dict
        For each epoch: the mean ``loss`` and its terms ``intra`` and ``inter`` (each in [0, 4]);
        the ``latent_deviation`` between records, relative to the size of the latents, of the lead
        where it is least, and the ``effective_rank`` of the latents, averaged over leads, which
        tell of a collapse; and the ``duration`` in s.
    lead_names_ : list of str
        Names of the leads, numbered where `lead_names` is None.
    n_features_in_ : int
        Number of leads, or of samples where X is 2-D.
    n_leads_in_, n_samples_in_ : int
        Number of leads, and of samples of a record.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, where X is a dataframe.

    Raises
    ------
    InvalidECGError
        A ``ValueError``: if X is not two records at least, of three dimensions (or two for one
        lead) and finite, or too short for the encoder.
    DivergenceError
        If the loss or a weight is no finite number any more. The transformer has the weights of the
        last epoch that ended well then, and is not fitted if none did.

    Warns
    -----
    CollapseWarning
        If in an epoch the latents of a lead are nearly the same for all records, with a
        ``latent_deviation`` under 0.001, or those of 256 records and more differ in one way only,
        with an ``effective_rank`` under 1.1.

    See Also
    --------
    sklearn_bell.feature_extraction.ECGFeatures : What can be had without training.

    Notes
    -----
    Give raw millivolts: every lead of every record is filtered to the band from 0.5 to 40 Hz, and
    scaled so that its deviation of d mV becomes the square root of d / 0.2 (0.2 mV is about usual).
    So leads and patients come nearer to each other, but high voltages still show. A flat lead
    becomes zeros.
    Drift and noise are the same in two views of a record, so that without the filter the networks
    agree on these and learn less of the heart. In another unit than mV all leads are too large or
    too small by the same factor, which batch normalisation takes out; but the unit must not change
    between `fit` and `transform`. Values are taken as float32: an offset should not be more than a
    thousand times the signal.

    The online network makes two predictions of every lead's projection: p, of the target's
    projection of the same lead, and q, of those of the other leads. With z the target network's
    projections of the other view, all of length 1, the loss is ``gamma`` times the mean squared
    distance of p and z of the same lead plus ``1 - gamma`` times that of q and z over all pairs of
    different leads, averaged over the batch and over both ways round the views. With `gamma` 0 or 1
    there is only one of the predictions.

    A script that torchrun has started in several processes trains in all of them together, by
    ``torch.nn.parallel.DistributedDataParallel``, and all have to call `fit`: each reads its share
    of every batch, `batch_size` being that of all shares together, all end with the same weights,
    and the first process alone has callbacks. Batch normalisation in projectors and predictors is
    that of the whole batch, and in encoders that of the share. Searches that have processes or
    threads of their own train in each by itself.

    As published: a branch for each lead, online network with predictor, target by moving average,
    mean squared errors within and between leads, and their fusion. Chosen here, by trials on folds
    1-7 of PTB-XL of which ``docs/research_log.md`` tells: the second predictor, `gamma`, the
    encoder, plain crops as views, leads that keep some of their size, and how to train.
    Neighbouring work of the same group has VGG16 of width 1/8 as the encoder
    (:class:`sklearn_bell.nn.encoders.VGG1d`), one predictor, ``gamma=0.8``, crops that are
    stretched to the length of the record, time-out, and leads scaled all to the same size. In the
    target, running statistics of batch normalisation follow as weights do.

    References
    ----------
    .. [1] Liu W, Pan S, Li Z, Chang S, Huang Q, Jiang N. Bootstrap each lead's latent: A novel
       method for self-supervised learning of multilead electrocardiograms. Comput Methods Programs
       Biomed 2024;257:108452. doi:10.1016/j.cmpb.2024.108452
    .. [2] Grill JB, et al. Bootstrap your own latent: A new approach to self-supervised learning.
       NeurIPS 2020.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_bell import BELLPretrainer
    >>> from sklearn_bell.datasets import make_ecg
    >>> ecg = make_ecg(40, classes=["normal", "lbbb"], leads=["II", "V1"], random_state=0)
    >>> bell = BELLPretrainer(max_epochs=2, lead_names=ecg.lead_names, random_state=0)
    >>> pipeline = make_pipeline(bell, StandardScaler(), LogisticRegression())
    >>> pipeline.fit(ecg.data, ecg.target).predict(ecg.data[:3]).shape
    (3,)
    >>> pipeline[0].get_feature_names_out()[:3]
    array(['II_0', 'II_1', 'II_2'], dtype=object)
    """

    _parameter_constraints: dict = {
        **BasePretrainer._parameter_constraints,
        "shared_encoder": ["boolean"],
        "gamma": [Interval(Real, 0, 1, closed="both")],
        "decay": [Interval(Real, 0, 1, closed="left")],
        "head_width": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        encoder: Encoder = ResNet1d,
        *,
        shared_encoder: bool = False,
        augmentation: Augmentation | None = None,
        gamma: float = 0.2,
        decay: float = 0.99,
        head_width: int = 512,
        max_epochs: int = 60,
        epoch_size: int | None = None,
        batch_size: int = 128,
        lr: float = 4e-3,
        lead_names: Names | None = None,
        sampling_rate: float = 100,
        missing: Missing = "error",
        device: Device = "auto",
        precision: Precision = "float32",
        verbose: bool | int = False,
        checkpoint: CheckpointLike | None = None,
        random_state: RandomState = None,
    ):
        self.encoder = encoder
        self.shared_encoder = shared_encoder
        self.augmentation = augmentation
        self.gamma = gamma
        self.decay = decay
        self.head_width = head_width
        self.max_epochs = max_epochs
        self.epoch_size = epoch_size
        self.batch_size = batch_size
        self.lr = lr
        self.lead_names = lead_names
        self.sampling_rate = sampling_rate
        self.missing = missing
        self.device = device
        self.precision = precision
        self.verbose = verbose
        self.checkpoint = checkpoint
        self.random_state = random_state

    @classmethod
    def from_pretrained(cls, name: str = "bell-12-leads-100hz", **params: Any) -> BELLPretrainer:
        """Return a transformer that has been pretrained, and is ready to use; no network is needed.

        Parameters
        ----------
        name : {"bell-12-leads-100hz"}, default="bell-12-leads-100hz"
            Which one. Its card, ``sklearn_bell/weights/NAME.md``, says on what it was pretrained
            and how, and what its features are worth.
        **params : dict
            Parameters to replace, such as ``device="cpu"`` or ``missing="zero"``: all but those
            that say what the weights are, which are `encoder`, `shared_encoder`, `head_width`,
            `lead_names` and `sampling_rate`.

        Returns
        -------
        bell : BELLPretrainer
            Fitted for records of 12 leads in mV (I, II, III, aVR, aVL, aVF, V1 to V6, in this
            order), 10 s at 100 Hz: ``transform`` takes arrays ``(n_records, 12, 1000)``.
            ``partial_fit`` goes on with heads that are new, and ``fit`` trains from the beginning.

        Raises
        ------
        InvalidFileError
            If there is none of that name; the error says which there are.
        TypeError
            If there is no such parameter.
        ValueError
            If a parameter says what the weights are, or has a value that makes no sense.

        Notes
        -----
        Pipelines and searches fit their steps, and the `fit` of a pretrainer forgets what it has
        learnt, as every `fit` of scikit-learn does. There, wrap it:
        ``FrozenEstimator(BELLPretrainer.from_pretrained())``, which stays as it is.

        Examples
        --------
        >>> from sklearn_bell import BELLPretrainer
        >>> from sklearn_bell.datasets import make_ecg
        >>> bell = BELLPretrainer.from_pretrained()
        >>> bell.transform(make_ecg(3, random_state=0).data).shape
        (3, 1344)

        In a pipeline, frozen:

        >>> from sklearn.frozen import FrozenEstimator
        >>> from sklearn.linear_model import LogisticRegression
        >>> from sklearn.pipeline import make_pipeline
        >>> from sklearn.preprocessing import StandardScaler
        >>> ecg = make_ecg(20, classes=["normal", "lbbb"], random_state=0)
        >>> pipeline = make_pipeline(FrozenEstimator(bell), StandardScaler(), LogisticRegression())
        >>> pipeline.fit(ecg.data, ecg.target).score(ecg.data, ecg.target)
        1.0
        """
        unknown = [param for param in params if param not in cls._get_param_names()]
        allowed = [param for param in cls._get_param_names() if param not in _OF_WEIGHTS]
        if unknown:
            raise TypeError(
                f"{cls.__name__} has no parameter {', '.join(unknown)}; what from_pretrained takes "
                f"is {', '.join(allowed)}."
            )
        fixed = [param for param in params if param in _OF_WEIGHTS]
        if fixed:
            raise ValueError(
                f"{', '.join(fixed)} cannot be set, as the weights were trained so, but "
                f"{', '.join(allowed)} can. For records of other leads or sampling rates see "
                "sklearn_bell.preprocessing, or pretrain on them."
            )
        cls(**params)._validate_params()
        return load(_weights(name), **params)

    def lead_distances(self, X: ArrayLike, random_state: RandomState = None) -> np.ndarray:
        """Return how far what each lead predicts is from what each lead is: the loss, unfused.

        Parameters
        ----------
        X : array-like of shape (n_records, n_leads, n_samples) or (n_records, n_samples)
            Records of the leads and length seen in ``fit``, of which two views are made.
        random_state : int, RandomState instance or None, default=None
            Of the views.

        Returns
        -------
        distances : ndarray of shape (n_leads, n_leads)
            Mean over the records of the squared distance between what the lead of the row predicts
            of one view and the target network's projection of the lead of the column of the other,
            both ways round: in [0, 4]. The mean of the diagonal is the intra-lead term, and that of
            the rest the inter-lead term.

        Raises
        ------
        NotFittedError
            If the heads are new, as after :meth:`from_pretrained`, so that nothing is predicted.
        """
        check_is_fitted(self, "encoder_")
        if self._heads_are_new:
            raise NotFittedError(
                "The heads of this BELLPretrainer, which predict, are new: it comes from a file "
                "that was saved with heads=False, as those of from_pretrained are. Train them "
                "first, by partial_fit or fit, or load a file that was saved with heads=True."
            )
        records = check_ecg(self, X, reset=False)
        learner = copy.deepcopy(self._net.module_).eval()
        device = next(learner.parameters()).device
        generator = torch.Generator(device).manual_seed(resolve_seed(random_state))

        total = torch.zeros((), device=device)
        with torch.inference_mode():
            for x in read_batches(records, self.batch_size, device):
                views = learner.views(learner.prepare(x), generator)
                with autocast(learner.precision, device):
                    found, _ = learner.method.distances(*views)
                total = total + len(x) * found.double()
        return (total / len(records)).cpu().numpy()

    def _make_encoder(self):
        return (
            SharedEncoder(self._one_encoder(1)) if self.shared_encoder else super()._make_encoder()
        )

    def _make_method(self, encoder, n_parts, n_features):
        return BELL(encoder, n_parts, n_features, self.head_width, self.gamma, self.decay)


def _weights(name):
    """Return the file of a pretrained model that comes with the library."""
    names = sorted(path.stem for path in _WEIGHTS.glob("*.safetensors"))
    if name not in names:
        raise InvalidFileError(
            f"There is no pretrained {name!r}, but {', '.join(map(repr, names))}. For a file of "
            "your own there is sklearn_bell.load."
        )
    return _WEIGHTS / f"{name}.safetensors"
