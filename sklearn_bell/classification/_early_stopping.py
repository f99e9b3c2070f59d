"""Early stopping on records held out of training."""

import copy

import numpy as np
import torch
from skorch.callbacks import Callback

from sklearn_bell.training._device import to_tensor


class EarlyStopping(Callback):
    """Record the loss of held-out records, keep the best weights, and stop if none improves.

    ``predict_logits(records)`` uses the current network. The first `n_frozen_epochs` do not count.
    """

    def __init__(self, records, targets, predict_logits, n_iter_no_change, n_frozen_epochs):
        self.records, self.targets, self.predict_logits = records, targets, predict_logits
        self.n_iter_no_change, self.n_frozen_epochs = n_iter_no_change, n_frozen_epochs
        self.best = {"loss": np.inf, "epoch": 0, "weights": None}

    def update(self, net):
        """Return the loss of the current weights, and keep them if they are the best."""
        logits = self.predict_logits(self.records)
        with torch.no_grad():
            logits, targets = to_tensor((logits, self.targets), net.device)
            loss = net.module_.loss(logits, targets).item()
        if loss < self.best["loss"]:
            weights = copy.deepcopy(net.module_.state_dict())
            self.best = {"loss": loss, "epoch": net.epoch_, "weights": weights}
        return loss

    def on_epoch_end(self, net, **kwargs):
        """Record the loss, and stop if it has not fallen for too long."""
        net.history.record("valid_loss", self.update(net))
        net.stop_training_ |= self.is_exhausted(net.epoch_)

    def is_exhausted(self, epoch):
        """Return True if the best epoch lies too far back."""
        return epoch >= max(self.best["epoch"], self.n_frozen_epochs) + self.n_iter_no_change

    def restore_best(self, net):
        """Load the best weights, if any, and return their epoch."""
        if self.best["weights"] is None:
            return net.epoch_
        net.module_.load_state_dict(self.best["weights"])
        return self.best["epoch"]
