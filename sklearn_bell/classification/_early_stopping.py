"""Early stopping on records held out of training."""

from __future__ import annotations

import copy

import numpy as np
import torch
from skorch.callbacks import Callback

from sklearn_bell.training._device import to_tensor


class EarlyStopping(Callback):
    """Record the loss of held-out records, keep the best weights, and stop if none improves.

    Parameters
    ----------
    records, targets : sequence of length n_records
    predict_logits : callable
        ``predict_logits(records)`` with the network as it is.
    n_iter_no_change : int
        Epochs without improvement before training stops.
    n_frozen_epochs : int
        First epochs that do not count.
    """

    def __init__(self, records, targets, predict_logits, n_iter_no_change, n_frozen_epochs):
        self.records, self.targets, self.predict_logits = records, targets, predict_logits
        self.n_iter_no_change, self.n_frozen_epochs = n_iter_no_change, n_frozen_epochs
        self.best_loss, self.best_epoch, self.best_weights = np.inf, 0, None

    def update(self, net):
        """Return the loss of the current weights, and keep them if they are the best."""
        logits = self.predict_logits(self.records)
        with torch.no_grad():
            logits, targets = to_tensor((logits, self.targets), net.device)
            loss = net.module_.loss(logits, targets).item()
        if loss < self.best_loss:
            self.best_loss, self.best_epoch = loss, net.epoch_
            self.best_weights = copy.deepcopy(net.module_.state_dict())
        return loss

    def on_epoch_end(self, net, **kwargs):
        """Record the loss, and stop if it has not fallen for too long."""
        net.history.record("valid_loss", self.update(net))
        net.stop_training_ |= self.is_exhausted(net.epoch_)

    def is_exhausted(self, epoch):
        """Return True if the best epoch lies too far back."""
        return epoch >= max(self.best_epoch, self.n_frozen_epochs) + self.n_iter_no_change

    def get_state(self):
        """Return the state that a checkpoint holds."""
        return {"loss": self.best_loss, "epoch": self.best_epoch, "weights": self.best_weights}

    def set_state(self, state):
        """Resume from such a state."""
        self.best_loss, self.best_epoch = state["loss"], state["epoch"]
        self.best_weights = state["weights"]
