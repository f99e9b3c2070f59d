"""Measurements of records, such as hand-made features, as targets of pretraining."""

import numpy as np
from sklearn.base import clone
from sklearn.preprocessing import StandardScaler
from sklearn.utils import gen_batches
from torch import Tensor, nn
from torch.nn import functional

from sklearn_bell.nn.batch_norm import SharedBatchNorm1d
from sklearn_bell.nn.heads import LeadwiseLinear
from sklearn_bell.training._random import set_missing_params

_N_FITTED = 1024  # records that a transformer to features is fitted on
_MAX_DEVIATION = 3.0


def rows_to_fit(n_records):
    """Return evenly spaced rows that a transformer to features is fitted on."""
    return np.linspace(0, n_records - 1, min(n_records, _N_FITTED)).astype(int)


class ScaledMeasurements:
    """Measure records, and standardise every measurement.

    ``read(rows)`` returns records as the transformer takes them. The first call of `measure` fits
    the transformer, and the scale unless `mean` and `deviation` are given.
    """

    def __init__(self, transformer, batch_size, mean=None, deviation=None):
        self.transformer, self.batch_size = clone(transformer), batch_size
        set_missing_params(self.transformer, random_state=0)  # a resumed fit has the same targets
        self.mean, self.deviation = mean, deviation
        self._is_fitted = False

    def measure(self, read, n_records):
        """Return deviations ``(n_records, n_measurements)`` from -3 to 3, float32."""
        if not self._is_fitted:
            self.transformer.fit(read(rows_to_fit(n_records)))
            self._is_fitted = True
        batches = [np.arange(n_records)[part] for part in gen_batches(n_records, self.batch_size)]
        values = np.concatenate([self.transformer.transform(read(rows)) for rows in batches])
        if self.mean is None:
            scaler = StandardScaler().fit(values)
            self.mean, self.deviation = scaler.mean_, scaler.scale_
        deviations = ((values - self.mean) / self.deviation).clip(-_MAX_DEVIATION, _MAX_DEVIATION)
        return deviations.astype(np.float32)

    @property
    def n_measurements(self):
        """Number of measurements, known once records were measured."""
        return len(self.mean)


class Measurer(nn.Module):
    """Error of a linear layer for each part that predicts measurements of a record."""

    def __init__(self, n_parts, n_features, n_measurements):
        super().__init__()
        self.norm = SharedBatchNorm1d(n_parts * n_features, affine=False)
        self.linear = LeadwiseLinear(n_parts, n_features, n_measurements)

    def forward(self, latents: Tensor, measurements: Tensor) -> Tensor:
        latents = self.norm(latents.flatten(1)).view_as(latents)
        predictions = self.linear(latents).float()  # (batch, n_parts, n_measurements)
        return functional.smooth_l1_loss(predictions, measurements[:, None].expand_as(predictions))
