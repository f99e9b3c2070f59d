"""Small estimators that train in a fraction of a second, and comparison of their results."""

import contextlib
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from sklearn_bell import ECGClassifier, VQVAEOverSampler, VQVAETransformer, pretraining
from sklearn_bell.pretraining import BELLPretrainer
from sklearn_bell.training._trainer import Trainer
from sklearn_bell.vqvae import ImageVQVAETransformer

X = np.random.default_rng(0).normal(0, 0.2, (24, 2, 120)).astype(np.float32).cumsum(axis=-1)
y = np.arange(24) % 2
y_few = np.where(np.arange(24) < 16, y, -1)


class TinyEncoder(nn.Module):
    """Encoder with everything that has a state: weights, batch statistics and dropout."""

    def __init__(self, in_channels):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(in_channels, 4, 9, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Dropout(0.1)
        )

    def forward(self, x):
        x = self.layers(x)
        return torch.cat([x.mean(-1), x.std(-1)], dim=1)


SMALL = {
    "encoder": TinyEncoder, "head_width": 4, "batch_size": 8, "max_epochs": 3, "device": "cpu",
}  # fmt: skip
VQVAE = {"n_codes": 8, "n_codebooks": 2, "n_features": 4, "width": 8, "batch_size": 8}
PRETRAINERS = {
    name: getattr(pretraining, name)
    for name in pretraining.__all__
    if name not in {"BasePretrainer", "Objective"}
}
ESTIMATORS = {
    **{name: cls(**SMALL, random_state=0) for name, cls in PRETRAINERS.items()},
    "VQVAETransformer": VQVAETransformer(**VQVAE, max_epochs=3, random_state=0),
    "ImageVQVAETransformer": ImageVQVAETransformer(
        **VQVAE, strides=(2, 2), max_epochs=2, random_state=0
    ),
    "ECGClassifier": ECGClassifier(
        BELLPretrainer(**SMALL), max_epochs=3, batch_size=8, n_trees=5, random_state=0
    ),
    "ECGClassifier-early-stopping": ECGClassifier(
        BELLPretrainer(**{**SMALL, "max_epochs": 0}), early_stopping=True,
        validation_fraction=0.25, n_iter_no_change=2, n_frozen_epochs=1, max_epochs=5,
        batch_size=8, n_trees=5, lr=0.01, random_state=0,
    ),
    "VQVAEOverSampler": VQVAEOverSampler(
        vqvae=VQVAETransformer(**VQVAE, max_epochs=1), method="prior", prior_epochs=3,
        n_neighbors=2, random_state=0,
    ),
}  # fmt: skip


def fit_outcome(estimator):
    """Return the results of a fit: weights and history, or synthetic records."""
    if isinstance(estimator, VQVAEOverSampler):
        rows = np.r_[:10, 11, 13]  # ten records of one class and two of the other
        return {"records": estimator.fit_resample(X[rows], (rows > 9).astype(int))[0]}
    records = X[:, :, :64] if isinstance(estimator, ImageVQVAETransformer) else X
    estimator.fit(records, y_few)
    history = [{**entry, "duration": 0} for entry in estimator.history_]
    weights = {k: v.numpy() for k, v in estimator._net.module_.state_dict().items()}
    return {**weights, "history": history, "best": getattr(estimator, "best_epoch_", None)}


def assert_same_outcome(observed, expected):
    assert observed.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(observed[name], value, err_msg=name)


@contextlib.contextmanager
def callback_at_step(step, callback):
    """Call back in a step of training, counted from one over all fits; yield the step counter."""
    usual, n_steps = Trainer.on_batch_end, [0]

    def on_batch_end(self, *args, **kwargs):
        n_steps[0] += 1
        if n_steps[0] == step:
            callback()
        return usual(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "on_batch_end", on_batch_end)
        yield n_steps


def raise_interrupt():
    raise KeyboardInterrupt


def train_in_child(name, folder, path, is_ready):
    """Train an estimator with a checkpoint folder, and pickle its outcome to a path."""
    torch.set_num_threads(1)
    estimator = ESTIMATORS[name].set_params(checkpoint=folder)
    is_ready.set()
    content = pickle.dumps(fit_outcome(estimator))
    path.with_suffix(".part").write_bytes(content)
    path.with_suffix(".part").rename(path)
