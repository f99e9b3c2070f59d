"""Warning of a collapse: latents that are nearly the same for all records."""

from __future__ import annotations

from skorch.callbacks import Callback

from sklearn_bell._utils.warn import warn_caller
from sklearn_bell.exceptions import CollapseWarning

_MIN_DEVIATION = 1e-3  # over records, relative to the size of the latents
_MIN_RANK = 1.1  # effective rank of latents with more than two features
_MIN_RECORDS_FOR_RANK = 256  # fewer may vary along one direction by chance


class CollapseWarner(Callback):
    """Warn once in a training if the latents of an epoch have collapsed."""

    def __init__(self, name, part_names):
        self.name, self.part_names = name, part_names
        self.has_warned = False

    def on_epoch_end(self, net, **kwargs):
        """Check the latent statistics of the epoch."""
        symptom = None if self.has_warned else self._symptom(net.module_.statistics)
        if symptom is not None:
            self.has_warned = True
            warn_caller(
                f"{self.name} has collapsed in epoch {net.epoch_}: the latents {symptom}. Train "
                "with a smaller lr, or check that the records differ.",
                CollapseWarning,
            )

    def _symptom(self, statistics):
        deviations, rank = statistics.deviations(), statistics.effective_rank()
        if deviations.min() < _MIN_DEVIATION:
            part = self.part_names[int(deviations.argmin())]
            return f"of {part} differ between records by only {deviations.min():.1e} of their size"
        n_features = statistics.sum.shape[-1]
        if rank < _MIN_RANK and n_features > 2 and statistics.n >= _MIN_RECORDS_FOR_RANK:
            return f"vary along one direction only (effective rank {rank:.2f})"
        return None
