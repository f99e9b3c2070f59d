"""skorch's NeuralNet for modules that compute their own loss."""

from __future__ import annotations

from typing import Any

import torch
from skorch import NeuralNet
from skorch.dataset import get_len
from torch import nn

from sklearn_bell.exceptions import DivergenceError
from sklearn_bell.training._data import RowDataset, ShuffledBatches
from sklearn_bell.training._device import prefetch
from sklearn_bell.training._distributed import SINGLE_PROCESS
from sklearn_bell.training._parametrized import allow_pickling
from sklearn_bell.training._random import default_generators_seeded, derived_seed


class Trainer(NeuralNet):
    """Trains a :class:`~sklearn_bell.nn.trainable.TrainableModule`.

    All randomness of a step follows from the seed and the numbers of epoch and step, so a training
    can resume after any epoch. ``epoch_`` counts the epochs that are complete; `epoch_size` is the
    number of rows drawn for each, None draws all.
    """

    def __init__(self, module, *, seed, epoch_size=None, **kwargs):
        self.seed, self.epoch_size, self.epoch_ = seed, epoch_size, 0
        self.stop_training_ = False  # set by callbacks
        self.is_resumed_ = False  # set by load_state, until fit_loop
        self.processes_ = SINGLE_PROCESS
        self.call_module_: Any = None  # of the module or its DDP wrapper, set by fit_loop
        kwargs |= {"dataset": RowDataset, "train_split": None, "verbose": 0}
        super().__init__(module, criterion=nn.Identity, **kwargs)  # the module computes its loss

    @property
    def _default_callbacks(self):
        return []  # the loop keeps history and time

    def get_iterator(self, dataset, training=False):
        """Return the shuffled batches of the current epoch as tensors on the device."""
        options = derived_seed(self.seed, self.epoch_), self.epoch_size, self.processes_
        self.batches_ = ShuffledBatches(dataset, self.batch_size, *options)
        return prefetch(self.batches_, torch.device(self.device))

    def on_epoch_begin(self, net, **kwargs):
        """Reset the sums over the epoch."""
        super().on_epoch_begin(net, **kwargs)
        self.n_steps_, self.n_rows_, self.term_sums_ = 0, 0, {}
        self.n_finite_ = torch.zeros((), dtype=torch.int64, device=self.device)
        self.start_weights_ = {k: v.clone() for k, v in self.module_.state_dict().items()}
        self.module_.begin_epoch(self.epoch_)

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """Take the steps; unlike skorch's method, never wait for the loss of a step."""
        for batch in iterator or ():  # None if there is no validation set
            self.notify("on_batch_begin", batch=batch, training=training)
            terms = step_fn(batch, **fit_params)
            self.notify("on_batch_end", batch=batch, training=training, **terms)

    def train_step_single(self, batch, **fit_params):
        """Compute the loss terms, and the gradients."""
        self._set_training(True)
        key = self.seed, self.epoch_, self.n_steps_, self.processes_.rank
        generator = torch.Generator(self.device).manual_seed(derived_seed(*key, 0))
        with default_generators_seeded(derived_seed(*key, 1), self.device):  # of dropout
            terms = self.call_module_(batch, generator)
        # DDP averages gradients over processes, some of which may have a record more
        share = get_len(batch) / self.batches_.n_rows(self.n_steps_)
        (terms["loss"] * share * self.processes_.size).backward()
        return terms

    def on_batch_end(self, net, batch=None, training=False, **terms):
        """Sum the loss terms, let the module follow the step, and stop if the loss diverged."""
        super().on_batch_end(net, batch=batch, training=training, **terms)
        n_rows = get_len(batch)
        self.n_rows_ += n_rows
        for name, term in terms.items():
            self.term_sums_[name] = self.term_sums_.get(name, 0) + term.detach() * n_rows
        self.module_.after_step()
        self.n_steps_ += 1
        # a sum stays infinite or NaN, so a GPU need not be waited for before the epoch ends
        self.n_finite_ = self.n_finite_ + torch.isfinite(self.term_sums_["loss"])
        if self.processes_.size == 1 and self.n_finite_.device.type == "cpu":
            self._check_finite(int(self.n_finite_))

    def on_epoch_end(self, net, **kwargs):
        """Record the epoch's mean terms and the module's summary in the history."""
        super().on_epoch_end(net, **kwargs)
        self.processes_.average(self.module_.buffers())
        sums = {name: total.cpu() for name, total in self.term_sums_.items()}
        parts = self.processes_.all_gather((self.n_rows_, sums, int(self.n_finite_)))
        self._check_finite(min(n_finite for _, _, n_finite in parts), check_weights=True)
        n_rows = sum(n for n, _, _ in parts)
        terms = {name: (sum(s[name] for _, s, _ in parts) / n_rows).tolist() for name in sums}
        self.epoch_ += 1
        summary = self.module_.summarize_epoch(terms, self.processes_.all_gather)
        for name, value in {"epoch": self.epoch_, **summary}.items():
            self.history.record(name, value)
        del self.term_sums_, self.n_finite_, self.start_weights_

    def _check_finite(self, n_finite, check_weights=False):
        """Restore the weights of the last epoch and raise if the loss or a weight diverged."""
        is_finite = n_finite == self.n_steps_
        if is_finite and check_weights:
            weights = self.module_.state_dict().values()
            is_finite = torch.stack([torch.isfinite(weight).all() for weight in weights]).all()
        if is_finite:
            return
        self.module_.load_state_dict(self.start_weights_)
        self.optimizer_.state.clear()
        step = min(n_finite + 1, self.n_steps_)
        rates = dict.fromkeys(f"lr={group['lr']}" for group in self.optimizer_.param_groups)
        restored = f" The weights of epoch {self.epoch_} are restored." if self.epoch_ else ""
        raise DivergenceError(
            f"The loss or a gradient became NaN or infinite in epoch {self.epoch_ + 1}, step "
            f"{step} of {self.batches_.n_batches}, with {' and '.join(rates)}. Train with a "
            f"smaller lr.{restored}"
        )

    def get_state(self):
        """Return everything that further training depends on."""
        return {
            "epoch": self.epoch_,
            "seed": self.seed,
            "weights": self.module_.state_dict(),
            "optimizer": [self.optimizer_.state.get(weight, {}) for weight in self._weights()],
        }

    def set_state(self, state):
        """Resume from such a state."""
        self.epoch_, self.seed = state["epoch"], state["seed"]
        self.module_.load_state_dict(state["weights"])
        self.optimizer_.state.clear()
        for weight, values in zip(self._weights(), state["optimizer"], strict=True):
            if values:  # averages in the memory format of the weight
                device = weight.device if self.optimizer_.defaults["fused"] else "cpu"
                averages = {k: torch.empty_like(weight) for k in values if k != "step"}
                for name, average in averages.items():
                    average.copy_(values[name])
                self.optimizer_.state[weight] = {"step": values["step"].to(device), **averages}

    def _weights(self):
        return [weight for group in self.optimizer_.param_groups for weight in group["params"]]

    def __getstate__(self):
        if self.initialized_:
            allow_pickling(self.module_)
        return {**super().__getstate__(), "module": None}  # module_ is the same network
