"""Steps of fine-tuning that ECGClassifier's `fit` and `partial_fit` are made of."""

import copy
from functools import partial
from inspect import signature
from typing import Any

import numpy as np
import torch
from scipy import special
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import gen_batches
from sklearn.utils.validation import check_is_fitted

from sklearn_bell._utils.labels import class_weights, hold_out, read_labels, weighted_targets
from sklearn_bell._utils.plausibility import checked_outside
from sklearn_bell._utils.validation import Records, check_ecg
from sklearn_bell.classification._early_stopping import EarlyStopping
from sklearn_bell.classification._encoder import build_encoder, fit_pretrainer
from sklearn_bell.classification._forest import Forest
from sklearn_bell.classification._head_init import fit_linear_head
from sklearn_bell.exceptions import InvalidECGError, InvalidFileError
from sklearn_bell.feature_extraction import ECGFeatures
from sklearn_bell.nn.augmentation import RandomCrop
from sklearn_bell.nn.classifier import ClassifierModule
from sklearn_bell.nn.encoders import latent_shape
from sklearn_bell.nn.latent_statistics import latent_mean_std
from sklearn_bell.persistence._models import network_with_weights, set_record_attributes
from sklearn_bell.persistence._params import (
    estimator_to_tree,
    tree_to_estimator,
)
from sklearn_bell.pretraining._measurements import rows_to_fit
from sklearn_bell.training._data import Rows, forward_batches
from sklearn_bell.training._device import resolve_device
from sklearn_bell.training._estimator import TrainedEstimator
from sklearn_bell.training._loop import fit_context
from sklearn_bell.training._random import (
    default_generators_seeded,
    derived_seed,
    set_missing_params,
)
from sklearn_bell.training._run_hash import data_signature

_MAX_CLASS_BYTES = 2**12  # of a class name in a file
_LEAST_PROBABILITY = 1e-12  # so that logits are finite
_PSEUDO_LABELS_PER_LABEL = 10  # so that labels keep their weight, however many have none


class BaseFineTuning(TrainedEstimator):
    """Base class of :class:`ECGClassifier`, whose parameters it uses."""

    features_: Any
    _pretrainer: Any
    _feature_forest: Forest | None
    _joint_forest: Forest | None

    @property
    def _multilabel(self):
        return self._net.module_.multilabel

    def _logits(self, X):
        """Return the logits of the mean probability of network and forests."""
        check_is_fitted(self)
        records = check_ecg(self, X, reset=False)
        latents = self._forward("latents", records)
        vote = self._vote(latents, records, self._joint_forest)
        if vote is None:
            return self._linear(latents)
        vote = vote.clip(_LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
        return special.logit(vote) if self._multilabel else np.log(vote)

    def _vote(self, latents, records, joint_forest):
        """Return the mean probability of network and forests, or None if there are no forests.

        Classes that forests have not seen are left to the network.
        """
        features, votes = None, []
        if self._feature_forest is not None:
            features = self._measure(records)
            votes.append(self._feature_forest.predict_proba(features))
        if joint_forest is not None:
            votes.append(joint_forest.predict_proba(_join(latents, features)))
        if not votes:
            return None
        seen = (self._feature_forest or joint_forest).seen
        network = self._probabilities(self._linear(latents))
        share = 1 if self._multilabel else network[:, seen].sum(axis=1, keepdims=True)
        mean = np.mean([network, *(share * vote for vote in votes)], axis=0)
        return np.where(seen, mean, network)

    def _linear(self, latents):
        """Return the logits of latents."""
        linear = self._net.module_.linear
        weight, bias = (x.detach().cpu().double().numpy() for x in (linear.weight, linear.bias))
        return latents @ weight.T + bias

    def _measure(self, data):
        """Return the features of all records, read batch by batch."""
        rows = np.arange(len(data))
        batches = [rows[part] for part in gen_batches(len(rows), self.batch_size)]
        measure = self.features_.transform
        with checked_outside():
            features = np.concatenate([measure(self._restore_ndim(data[part])) for part in batches])
        if not np.isfinite(features).all():
            raise InvalidECGError(
                f"Expected finite features, got NaN or infinity from {self.features_}. Append an "
                "imputer to it: features=make_pipeline(..., SimpleImputer())."
            )
        return features

    def _fit_feature_forest(self, data, labels, seed):
        """Fit the forest on features of labelled records."""
        self._feature_forest = None
        if self.features_ is not None and self.features is not None and self.n_trees:
            self._feature_forest = self._fit_forest(self._measure(data), labels, seed)

    def _fit_joint_forest(self, data, labels, seed):
        """Return a forest on latents, and features if a forest has any, of labelled records."""
        features = None if self._feature_forest is None else self._measure(data)
        joint = _join(self._forward("latents", data), features)
        return self._fit_forest(joint, labels, seed)

    def _fit_forest(self, X, labels, seed):
        options = self._weights, self.n_trees, seed, labels.sample_weight
        return Forest.fit(X, labels.codes, *options)

    def _probabilities(self, logits):
        return special.expit(logits) if self._multilabel else special.softmax(logits, axis=1)

    def _forward(self, method, records, module=None):
        """Return logits or latents of all records, read batch by batch."""
        module = (self._net.module_ if module is None else module).eval()
        device = module.center.device
        batches = forward_batches(getattr(module, method), records, self.batch_size, device)
        return np.concatenate([outputs for _, outputs in batches])

    def _read_labels(self, y, n_records, is_first, classes=None):
        """Return the labels; `classes` counts in a first fit only."""
        labels = read_labels(y, n_records, classes if is_first else self.classes_)
        if len(labels.rows) < 2:
            raise InvalidECGError(
                f"Expected at least 2 labelled records, got {len(labels.rows)}. Label more records."
            )
        if not is_first and (labels.codes.ndim == 2) != self._multilabel:
            kinds = "an indicator", "classes"
            raise InvalidECGError(
                f"Expected y to be {kinds[not self._multilabel]} as in the first fit, got "
                f"{kinds[self._multilabel]}."
            )
        return labels

    def _split(self, labels, n_records, groups, seed):
        """Return labels to train on, labels held out (or None), and rows to pseudo-label."""
        unlabelled = np.setdiff1d(np.arange(n_records), labels.rows)
        if self.n_trees == 0 or self.sampler is not None:
            unlabelled = unlabelled[:0]
        if not self.early_stopping:
            return labels, None, unlabelled
        patients = np.arange(n_records) if groups is None else groups
        parts = hold_out(labels.codes, patients[labels.rows], self.validation_fraction, seed)
        train, test = map(labels.part, parts)
        is_held_out = np.isin(patients[unlabelled], patients[test.rows])
        return train, test, unlabelled[~is_held_out]

    def _resample(self, data, labels, groups, seed):
        """Return records and labels after the sampler."""
        class_weights(self.class_weight, labels.codes, labels.classes)  # fail before the work
        sampler = clone(self.sampler)
        set_missing_params(sampler, random_state=seed, checkpoint=self.checkpoint)
        X = self._restore_ndim(data[np.arange(len(data))])
        y = labels.codes if labels.codes.ndim == 2 else labels.classes[labels.codes]
        params = {}
        if groups is not None and "groups" in signature(sampler.fit_resample).parameters:
            params["groups"] = groups[labels.rows]
        with checked_outside():
            X, y = sampler.fit_resample(X, y, **params)
        return Records(np.asarray(X), dtype=(np.float32,)), read_labels(y, len(X), labels.classes)

    def _with_pseudo_labels(self, records, labels, unlabelled, targets, seed):
        """Return labelled and pseudo-labelled records, and targets.

        Pseudo-labels are the vote of the initial network and of forests. All have seen the class
        weights, so votes are not weighted again.
        """
        n_drawn = min(len(unlabelled), _PSEUDO_LABELS_PER_LABEL * len(labels.rows))
        drawn = np.sort(np.random.default_rng(seed).choice(unlabelled, n_drawn, replace=False))
        forest = self._fit_joint_forest(Rows(records, labels.rows), labels, seed)
        rows = Rows(records, drawn)
        vote = self._vote(self._forward("latents", rows), rows, forest)
        if self._multilabel:
            vote = weighted_targets(vote, np.ones((2, len(self.classes_))))
        data = Rows(records, np.concatenate([labels.rows, drawn]))
        return data, np.concatenate([targets, vote]).astype(np.float32)

    def _make_early_stopping(self, records, held_out, state):
        """Return the callback with the best epoch of a checkpoint, or the start as the best."""
        rows, predict_logits = Rows(records, held_out.rows), partial(self._forward, "logits")
        targets = weighted_targets(held_out.codes, self._weights, held_out.sample_weight)
        if not targets.any():
            raise InvalidECGError(
                "All records that early_stopping holds out have weight 0. Increase "
                "validation_fraction, or set early_stopping=False."
            )
        early_stopping = EarlyStopping(
            rows, targets, predict_logits, self.n_iter_no_change, self.n_frozen_epochs
        )
        if state is None:
            early_stopping.update(self._net)
        else:
            early_stopping.best = state["early_stopping"]
        return early_stopping

    def _fine_tune(self, X, data, targets, last_epoch, context, early_stopping=None, manager=None):
        """Train up to an epoch, and keep its weights or, with early stopping, the best."""
        net = self._net
        net.set_params(lr=self.lr, batch_size=self.batch_size)
        net.set_params(optimizer__param_groups__0__lr=self.encoder_lr)
        net.module_.n_frozen_epochs = self.n_frozen_epochs
        if early_stopping and early_stopping.is_exhausted(net.epoch_):
            last_epoch = net.epoch_
        try:
            self._train_until(
                last_epoch,
                X,
                data,
                targets,
                task=("fine-tune", context),
                callbacks=[early_stopping] if early_stopping else [],
                manager=manager,
                extra_state=lambda: {"early_stopping": early_stopping and early_stopping.best},
            )
        finally:
            self.best_epoch_ = early_stopping.restore_best(net) if early_stopping else net.epoch_

    def _initialize(self, records, data, labels, groups, seed, context, with_forest):
        """Pretrain, put a linear head fitted to the latents on the encoder, fit the forest."""
        codes, classes = labels.codes, labels.classes
        weights = class_weights(self.class_weight, codes, classes)
        X, defaults = records.source, {"random_state": seed, "checkpoint": self.checkpoint}
        with fit_context(self, 0, X, "pretrain", context) as task:
            pretrainer = fit_pretrainer(self._pretrainer, X, self._shape, groups, task, **defaults)
        features = self._make_features(pretrainer, seed) if with_forest else None
        encoder = copy.deepcopy(pretrainer.encoder_).to(resolve_device(self.device))
        module = self._make_module(encoder, len(classes), codes.ndim == 2, derived_seed(seed))
        net = self._make_net(module, seed)
        batches = forward_batches(net.module_.eval().latents, records, self.batch_size, net.device)
        center, scale = latent_mean_std(torch.from_numpy(latents) for _, latents in batches)
        latents = (self._forward("latents", data, net.module_) - center.numpy()) / scale.numpy()
        head = fit_linear_head(latents, codes, weights, self.C, labels.sample_weight)
        net.module_.set_head(center, scale, *head)
        if features is not None:
            with checked_outside():
                features.fit(self._restore_ndim(data[rows_to_fit(len(data))]))
        self.features_, self._weights = features, weights
        self._fit_feature_forest(data, labels, seed)
        self._net = net  # only now, so a failed fit does not look fitted
        self._data = data_signature(records)
        self.classes_, self.history_ = classes, []

    def _make_features(self, pretrainer, seed):
        """Return the unfitted transformer to features, or None."""
        if self.features is None or self.n_trees == 0:
            return None
        if self.features != "hand-made":
            features = clone(self.features)
            set_missing_params(features, random_state=seed)
            return features
        if not hasattr(pretrainer, "sampling_rate"):
            raise InvalidECGError(
                f"features='hand-made' needs the sampling rate, which {type(pretrainer).__name__} "
                "does not have. Pass features=ECGFeatures(sampling_rate=...), or None."
            )
        return ECGFeatures(pretrainer.sampling_rate, lead_names=pretrainer.lead_names)

    def _make_module(self, encoder, n_classes, multilabel, seed):
        """Return the encoder with a new head."""
        normalize, encoder = encoder.eval()
        augmentation = copy.deepcopy(self.augmentation or RandomCrop())
        with default_generators_seeded(seed):
            shape = latent_shape(encoder, augmentation, *self._shape, normalize.band.device)
            return ClassifierModule(
                normalize, encoder, shape.numel(), n_classes, augmentation, self.dropout, multilabel
            )

    def _make_net(self, module, seed):
        groups = [("encoder.*", {"lr": self.encoder_lr})]
        return self._make_trainer(module, seed, optimizer__param_groups=groups)

    def _get_state(self):
        is_own = isinstance(self.features_, ECGFeatures)  # its `fit` learns the shape alone
        return super()._get_state() | {
            "classes": self.classes_.tolist(),
            "dtype": self.classes_.dtype.str,
            "multilabel": self._multilabel,
            "class_weights": self._weights,
            "best_epoch": self.best_epoch_,
            "forest": self._feature_forest and self._feature_forest.get_state(),
            "joint_forest": self._joint_forest and self._joint_forest.get_state(),
            "features": estimator_to_tree(self.features_) if is_own else None,
        }

    def _set_state(self, state):
        set_record_attributes(self, state["records"])
        dtype = np.dtype(state["dtype"])
        if dtype.itemsize > _MAX_CLASS_BYTES:
            raise InvalidFileError(f"its classes have dtype {dtype}")
        self.classes_ = np.array(state["classes"], dtype=dtype)

        def make_module():
            encoder = build_encoder(self._pretrainer, self._shape).to(torch.get_default_device())
            return self._make_module(encoder, len(self.classes_), state["multilabel"], 0)

        module = network_with_weights(make_module, state["weights"])
        self._net = self._make_net(module, state["seed"])
        self._net.module_.eval()
        self._weights, self.history_ = state["class_weights"], state["history"]
        self._net.epoch_, self.best_epoch_ = len(self.history_), state["best_epoch"]
        self.features_ = self._feature_forest = self._joint_forest = None
        if state.get("joint_forest") is not None:
            self._joint_forest = Forest.from_state(state["joint_forest"], len(self.classes_))
        if state.get("forest") is None:
            return
        self.features_ = self.features
        if state.get("features") is not None:
            shape = self._shape if self._n_dimensions_in == 3 else self._shape[1:]
            self.features_ = tree_to_estimator(state["features"], {}).fit(np.zeros((1, *shape)))
        else:
            try:
                check_is_fitted(self.features)
            except (NotFittedError, TypeError) as error:  # TypeError: a class
                raise InvalidFileError(
                    f"features must be a fitted transformer, got {self.features}. Pass features_ "
                    "of the classifier that was saved."
                ) from error
        self._feature_forest = Forest.from_state(state["forest"], len(self.classes_))


def _join(latents, features):
    return latents if features is None else np.hstack([latents, features])
