"""Measurements of records, such as hand-made features, as targets of pretraining."""

import numpy as np
from sklearn.base import clone
from sklearn.preprocessing import StandardScaler
from sklearn.utils import gen_batches
from torch import Tensor, nn
from torch.nn import functional

from sklearn_bell.nn.batch_norm import SharedBatchNorm1d

N_FITTED = 1024  # records that a transformer to features is fitted on
_MAX_DEVIATION = 3.0


class ScaledMeasurements:
    """Measure records, and standardise every measurement."""

    def __init__(self, transformer, batch_size):
        self.transformer, self.batch_size = clone(transformer), batch_size

    def fit_transform(self, records):
        """Fit the transformer to the first records, the scale to all; see `transform`."""
        self.transformer.fit(records[:N_FITTED])
        values = self._measure(records)
        self.scaler = StandardScaler().fit(values)
        return self._scale(values)

    def transform(self, records):
        """Return deviations ``(n_records, n_measurements)`` from -3 to 3, float32."""
        return self._scale(self._measure(records))

    def _scale(self, values):
        deviations = self.scaler.transform(values).clip(-_MAX_DEVIATION, _MAX_DEVIATION)
        return deviations.astype(np.float32)

    def _measure(self, records):
        batches = gen_batches(len(records), self.batch_size)
        return np.concatenate([self.transformer.transform(records[rows]) for rows in batches])


class Measurer(nn.Module):
    """Error of a linear layer that predicts measurements of a record from its latents."""

    def __init__(self, n_latents, n_measurements):
        super().__init__()
        self.norm = SharedBatchNorm1d(n_latents, affine=False)
        self.linear = nn.Linear(n_latents, n_measurements)

    def forward(self, latents: Tensor, measurements: Tensor) -> Tensor:
        predictions = self.linear(self.norm(latents.flatten(1)))
        return functional.smooth_l1_loss(predictions.float(), measurements)
