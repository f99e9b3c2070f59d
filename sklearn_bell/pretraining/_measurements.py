"""Measurements of records, such as hand-made features, as targets of pretraining."""

import numpy as np
from sklearn.base import clone
from sklearn.preprocessing import QuantileTransformer
from sklearn.utils import gen_batches
from torch import Tensor, nn
from torch.nn import functional

from sklearn_bell.nn.batch_norm import SharedBatchNorm1d

_N_FITTED = 1024  # records that the transformer is fitted on
_MAX_DEVIATION = 3.0


class NormalMeasurements:
    """Measure records, and map every measurement to a normal distribution."""

    def __init__(self, transformer, batch_size):
        self.transformer, self.batch_size = clone(transformer), batch_size

    def fit_transform(self, records):
        """Fit the transformer to the first records, the distributions to all; return deviates."""
        self.transformer.fit(records[:_N_FITTED])
        values = self._measure(records)
        self.normal = QuantileTransformer(
            n_quantiles=min(len(values), 1000), output_distribution="normal", random_state=0
        ).fit(values)
        return self._deviates(values)

    def transform(self, records):
        """Return normal deviates ``(n_records, n_measurements)``, float32."""
        return self._deviates(self._measure(records))

    def _deviates(self, values):
        return (
            self.normal.transform(values).clip(-_MAX_DEVIATION, _MAX_DEVIATION).astype(np.float32)
        )

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
