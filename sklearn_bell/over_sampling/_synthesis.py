"""Synthesis of records in the latent space of a VQ-VAE."""

import math

import numpy as np
import torch
from sklearn.utils import gen_batches

from sklearn_bell.feature_extraction import detect_qrs
from sklearn_bell.nn.code_prior import CodePrior
from sklearn_bell.over_sampling._beat_alignment import align_beats
from sklearn_bell.training._device import to_tensor
from sklearn_bell.training._loop import LRSchedule, Reporter, fit_loop, resume
from sklearn_bell.training._random import default_generators_seeded, derived_seed
from sklearn_bell.training._trainer import Trainer

_PRIOR_LR = 2e-3
_BATCH_SIZE = 64
_PRIOR_BATCH_SIZE = 512  # larger, as the prior draws one position after the other
_MIN_CLASS_SIZE = 3  # records, to estimate distances from the mean; smaller classes accept all


class LatentSynthesizer:
    """Decodes records from mixed, sampled or prior codes; sampling_rate=None aligns no beats."""

    def __init__(self, vqvae, X, seed, sampling_rate):
        self.vqvae, self.X = vqvae.eval(), np.asarray(X, np.float32)
        self.sampling_rate, self._beats = sampling_rate, {}
        self.size = X.shape[-vqvae.n_dimensions :]
        self.device = vqvae.scale.device
        self.generator = torch.Generator(self.device).manual_seed(derived_seed(seed, 1))

    def interpolate(self, pairs, alpha):
        """Mix the latents of pairs of rows ``(n, 2)``, with weight alpha for the second row."""

        def mix(pairs, alpha):
            first, second = (self._encode(x) for x in self._aligned(pairs))
            alpha = to_tensor(alpha, self.device).view(-1, *[1] * (first.ndim - 1))
            return self.vqvae.quantizer(torch.lerp(first, second, alpha))[0]

        return self._decode(mix, pairs, alpha.astype(np.float32))

    def sample(self, rows, temperature):
        """Draw codes near the latents of rows, see :meth:`ResidualQuantizer.sample`."""
        options, sample = (temperature, self.generator), self.vqvae.quantizer.sample
        return self._decode(lambda x: sample(self._encode(x), *options)[0], self.X[rows])

    def draw(self, prior, labels, temperature):
        """Draw codes from a prior for each row of labels ``(n, n_classes)``."""
        positions, lookup = self.vqvae.positions(self.size), self.vqvae.quantizer.lookup

        def draw(labels):
            labels = to_tensor(labels, self.device)
            return prior.sample(labels, math.prod(positions), temperature, self.generator)

        codes = self._map(draw, labels.astype(np.float32), batch_size=_PRIOR_BATCH_SIZE)
        codes = codes.reshape(len(codes), *positions, -1)
        return self._decode(lambda codes: lookup(to_tensor(codes, self.device)), codes)

    def codes(self):
        """Return the codes of all records, ``(n_records, n_positions, n_codebooks)``."""
        return self._map(lambda x: self.vqvae.quantizer(self._encode(x))[1].flatten(1, -2), self.X)

    def reconstructions(self):
        """Return all records, decoded from their codes."""
        return self._decode(lambda x: self.vqvae.quantizer(self._encode(x))[0], self.X)

    def latents(self, rows):
        """Return latents for the distances between records: pooled over time if beats align."""
        if self.sampling_rate is not None:
            return self.pooled_latents(self.X[rows])
        return self._map(lambda x: self._encode(x).flatten(1), self.X[rows])

    def pooled_latents(self, x):
        """Return mean and deviation of latents over positions, ``(n_records, 2 * n_features)``."""

        def pool(x):
            deviation, mean = torch.std_mean(self._encode(x).flatten(1, -2), 1, correction=0)
            return torch.cat([mean, deviation], dim=1)

        return self._map(pool, x)

    def _aligned(self, pairs):
        """Return the records of pairs, the second ones with the beats of the first ones."""
        first, second = self.X[pairs[:, 0]], self.X[pairs[:, 1]]
        if self.sampling_rate is None:
            return first, second
        if len(new_rows := np.setdiff1d(pairs, list(self._beats))):
            beats = detect_qrs(self.X[new_rows], self.sampling_rate)
            samples = [np.round(self.sampling_rate * times) for times in beats]
            self._beats.update(zip(new_rows, samples, strict=True))
        second = [
            align_beats(x, self._beats[source], self._beats[target])
            for x, (target, source) in zip(second, pairs, strict=True)
        ]
        return first, np.stack(second)

    def _encode(self, x):
        return self.vqvae.encode(to_tensor(x, self.device))

    def _decode(self, latents, *arrays):
        """Decode ``latents(*arrays)``, batch by batch."""
        return self._map(lambda *batch: self.vqvae.decode(latents(*batch), self.size), *arrays)

    def _map(self, function, *arrays, batch_size=_BATCH_SIZE):
        slices = gen_batches(len(arrays[0]), batch_size)
        with torch.inference_mode():
            batches = [function(*[array[rows] for array in arrays]).cpu() for rows in slices]
        return torch.cat(batches).numpy()


def fit_prior(synthesizer, indicator, n_epochs, seed, manager=None, name=None):
    """Fit a CodePrior on the codes of all records, given their labels; print epochs of a name."""
    codes, n_codes = synthesizer.codes(), synthesizer.vqvae.quantizer.n_codes
    with default_generators_seeded(derived_seed(seed, 2)):
        prior = CodePrior(codes.shape[2], n_codes, indicator.shape[1])
    trainer = Trainer(
        prior, seed=seed, optimizer=torch.optim.Adam, lr=_PRIOR_LR, batch_size=32,
        device=synthesizer.device,
    ).initialize()  # fmt: skip
    history: list[dict] = []
    resume(trainer, history, manager, n_epochs)
    schedule = LRSchedule(_PRIOR_LR, lambda epoch: 1 - epoch / n_epochs)
    fit_loop(
        trainer, codes, indicator.astype(np.float32), last_epoch=n_epochs, history=history,
        reporter=Reporter(name, name is not None), callbacks=[schedule], manager=manager,
    )  # fmt: skip
    return trainer.module_.eval()


class LatentOutlierFilter:
    """Accepts pooled latents as near to the mean of each class as a quantile of its records."""

    def __init__(self, latents, indicator, quantile=0.95):
        self.scale = latents.std(axis=0) + np.finfo(np.float32).tiny
        self.centers = np.zeros((indicator.shape[1], latents.shape[1]), latents.dtype)
        self.limits = np.full(indicator.shape[1], np.inf)
        for column in np.flatnonzero(indicator.sum(axis=0) >= _MIN_CLASS_SIZE):
            members = latents[indicator[:, column]] / self.scale
            self.centers[column] = members.mean(axis=0)
            distances = np.linalg.norm(members - self.centers[column], axis=1)
            self.limits[column] = np.quantile(distances, quantile)

    def __call__(self, latents, labels):
        """Return a mask of the accepted rows, given labels ``(n, n_classes)``."""
        offsets = (latents / self.scale)[:, None] - self.centers  # (n, n_classes, n_features)
        return (~labels | (np.linalg.norm(offsets, axis=2) <= self.limits)).all(axis=1)
