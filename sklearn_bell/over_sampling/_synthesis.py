"""New records, made of the latents of others by the network of a VQ-VAE."""

from __future__ import annotations

import math

import numpy as np
import torch

from sklearn_bell.feature_extraction import detect_qrs
from sklearn_bell.nn.code_prior import CodePrior
from sklearn_bell.over_sampling._beat_alignment import aligned
from sklearn_bell.training._device import to_tensor
from sklearn_bell.training._loop import LRSchedule, Reporter, fit_loop, resume
from sklearn_bell.training._random import default_generators_seeded, derived_seed
from sklearn_bell.training._trainer import Trainer

_PRIOR_LR = 2e-3
_RECORDS_AT_ONCE = 64
_DRAWN_AT_ONCE = 512  # codes of records, one position after the other: slow for few at a time
_FEWEST_IN_CLASS = 3  # to say what is far from it


class Children:
    """Makes records: of two others, near one other, or of none.

    Parameters
    ----------
    vqvae : sklearn_bell.nn.vector_quantization.VQVAE
        The network.
    X : ndarray of shape (n_records, n_leads, n_samples) or (n_images, height, width)
        Those that others are made of.
    seed : int
        For what is drawn.
    sampling_rate : float or None
        In Hz. None is for what has no beats to be aligned.
    """

    def __init__(self, vqvae, X, seed, sampling_rate):
        self.vqvae, self.X = vqvae.eval(), np.asarray(X, np.float32)
        self.sampling_rate, self._beats = sampling_rate, {}
        self.size = X.shape[-vqvae.n_dimensions :]
        self.device = vqvae.scale.device
        self.generator = torch.Generator(self.device).manual_seed(derived_seed(seed, 1))

    def interpolate(self, pairs, alpha):
        """Return a mixture of each pair of rows ``(n, 2)``, with the share alpha of the second."""

        def mix(pairs, alpha):
            one, other = (
                self.vqvae.encode(to_tensor(x, self.device)) for x in self.aligned_pairs(pairs)
            )
            shares = to_tensor(alpha, self.device).view(-1, *[1] * (one.ndim - 1))
            mixed = torch.lerp(one, other, shares)
            return self.vqvae.quantizer(mixed)[0]

        return self._decode(mix, pairs, alpha.astype(np.float32))

    def aligned_pairs(self, pairs):
        """Return the first of each pair, and the second with its beats when the first has its."""
        first, second = self.X[pairs[:, 0]], self.X[pairs[:, 1]]
        if self.sampling_rate is None:
            return first, second
        new = np.array([row for row in np.unique(pairs) if row not in self._beats], np.int64)
        beats = detect_qrs(self.X[new], self.sampling_rate) if len(new) else []
        beats = [np.round(self.sampling_rate * at) for at in beats]
        self._beats.update(zip(new, beats, strict=True))
        second = [
            aligned(x, self._beats[other], self._beats[one])
            for x, (one, other) in zip(second, pairs, strict=True)
        ]
        return first, np.stack(second)

    def sample(self, rows, temperature):
        """Return a record near each of these rows."""
        quantizer = self.vqvae.quantizer
        return self._decode(
            lambda rows: quantizer.sample(self._encode(rows), temperature, self.generator)[0], rows
        )

    def draw(self, prior, classes, temperature):
        """Return a record for each row of an indicator of classes, as a prior draws codes."""
        positions = self.vqvae.positions(self.size)

        def draw(classes):
            classes = to_tensor(classes, self.device)
            return prior.sample(classes, math.prod(positions), temperature, self.generator)

        codes = self._in_batches(draw, classes.astype(np.float32), n=_DRAWN_AT_ONCE)
        lookup = self.vqvae.quantizer.lookup
        return self._decode(
            lambda codes: lookup(to_tensor(codes, self.device).unflatten(1, positions)), codes
        )

    def codes(self):
        """Return the codes of all records, ``(n_records, n_positions, n_codebooks)``."""
        return self._in_batches(
            lambda rows: self.vqvae.quantizer(self._encode(rows))[1].flatten(1, -2),
            np.arange(len(self.X)),
        )

    def latents(self, rows):
        """Return the latents of records, by which those that are alike are near to each other.

        Where beats are aligned, it does not matter when they come; otherwise it does.
        """
        if self.sampling_rate is not None:
            return self.places(self.X[rows])
        return self._in_batches(lambda rows: self._encode(rows).flatten(1), rows)

    def places(self, x=None):
        """Return where records are, whenever their beats come: averages and deviations of latents.

        Parameters
        ----------
        x : ndarray of shape (n_records, n_leads, n_samples), default=None
            New records; by default those that others are made of, as they come back from codes.

        Returns
        -------
        places : ndarray of shape (n_records, 2 * n_features)
        """

        def place(x):
            z = self.vqvae.encode(x).flatten(1, -2)
            deviation, mean = torch.std_mean(z, 1, correction=0)
            return torch.cat([mean, deviation], dim=1)

        if x is None:
            rows = np.arange(len(self.X))
            return self._in_batches(lambda rows: place(self.vqvae(self._records(rows))), rows)
        return self._in_batches(lambda x: place(to_tensor(x, self.device)), x)

    def _records(self, rows):
        return to_tensor(self.X[rows], self.device)

    def _encode(self, rows):
        return self.vqvae.encode(self._records(rows))

    def _decode(self, latents, *arrays):
        return self._in_batches(lambda *some: self.vqvae.decode(latents(*some), self.size), *arrays)

    def _in_batches(self, function, *arrays, n=_RECORDS_AT_ONCE):
        with torch.inference_mode():
            found = [
                function(*[array[start : start + n] for array in arrays]).cpu()
                for start in range(0, len(arrays[0]), n)
            ]
        return torch.cat(found).numpy()


def fit_prior(children, indicator, n_epochs, seed, keeper=None, name=None):
    """Return a prior that has learnt the codes of all records, given what they are.

    Parameters
    ----------
    children : Children
        Has the records.
    indicator : ndarray of shape (n_records, n_classes)
    n_epochs, seed : int
    keeper : CheckpointManager, default=None
        Keeps states of the training.
    name : str, default=None
        Whose epochs are printed; None prints none.

    Returns
    -------
    prior : CodePrior
    """
    codes, n_codes = children.codes(), children.vqvae.quantizer.n_codes
    with default_generators_seeded(derived_seed(seed, 2)):
        prior = CodePrior(codes.shape[2], n_codes, indicator.shape[1])
    trainer = Trainer(
        prior, seed=seed, optimizer=torch.optim.Adam, lr=_PRIOR_LR, batch_size=32,
        device=children.device,
    ).initialize()  # fmt: skip
    history: list[dict] = []
    resume(trainer, history, keeper, n_epochs)
    fit_loop(
        trainer,
        codes,
        indicator.astype(np.float32),
        last_epoch=n_epochs,
        history=history,
        reporter=Reporter(name, verbose=name is not None),
        callbacks=[LRSchedule(_PRIOR_LR, lambda epoch: 1 - epoch / n_epochs)],
        manager=keeper,
    )
    return trainer.module_.eval()


class LatentOutlierFilter:
    """Says which new records lie where those of their classes do.

    Parameters
    ----------
    places : ndarray of shape (n_records, n_features)
        Where records are.
    indicator : ndarray of bool of shape (n_records, n_classes)
        What they are.
    part : float, default=0.95
        The part of the records of a class that count as near to its mean. To a class of one or two
        records all are near.
    """

    def __init__(self, places, indicator, part=0.95):
        self.scale = places.std(axis=0) + np.finfo(np.float32).tiny
        self.centers, self.limits = [], []
        for of_class in indicator.T:
            its = places[of_class] / self.scale
            enough = len(its) >= _FEWEST_IN_CLASS
            self.centers.append(its.mean(axis=0) if enough else np.zeros(places.shape[1]))
            distances = np.linalg.norm(its - self.centers[-1], axis=1)
            self.limits.append(np.quantile(distances, part) if enough else np.inf)

    def __call__(self, places, labels):
        """Return, for places ``(n, n_features)`` and labels ``(n, n_classes)``, which are near."""
        near = np.ones(len(places), bool)
        for of_class, center, limit in zip(labels.T, self.centers, self.limits, strict=True):
            distances = np.linalg.norm(places / self.scale - center, axis=1)
            near &= ~of_class | (distances <= limit)
        return near
