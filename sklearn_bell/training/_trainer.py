"""The one place where skorch is driven: seeds, devices, precision, and epochs."""

from __future__ import annotations

import contextlib
import copy
import threading
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state
from skorch import NeuralNet
from torch import nn

from sklearn_bell.exceptions import DivergenceError
from sklearn_bell.nn.batch_norm import SharedBatchNorm1d
from sklearn_bell.training._data import RowDataset, ShuffledBatches, prefetch, to_tensor
from sklearn_bell.training._distributed import SINGLE_PROCESS, processes

# torch's default generators are shared by all threads of a process: one at a time may borrow them
_default_generators = threading.RLock()
_casting = threading.RLock()


@contextlib.contextmanager
def default_generators_seeded(seed, device="cpu"):
    """Let what draws from torch's default generators (initialisation, dropout) draw from `seed`.

    The generators are given back as they were found. Threads take turns.
    """
    device = torch.device(device)
    cuda = [device] if device.type == "cuda" else []
    with _default_generators, torch.random.fork_rng(devices=cuda):
        torch.default_generator.manual_seed(seed)
        for one in cuda:
            index = torch.cuda.current_device() if one.index is None else one.index
            torch.cuda.default_generators[index].manual_seed(seed)
        yield


def derived_seed(*key):
    """Return a seed that depends on every integer of the key, such as (seed, epoch, step)."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1)


def resolve_seed(random_state, keeper=None):
    """Return a seed that a parameter ``random_state`` gives, the same to all processes.

    A run that goes on has the seed that it began with.
    """
    together = processes()
    seed = int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
    if keeper is not None and together.rank == 0:
        seed = keeper.first_seed(seed)
    return together.first(seed)


def set_where_missing(estimator, **values):
    """Set parameters of an estimator, and of what is in it, where they are there and None.

    What is frozen stays as it is: a FrozenEstimator does not tell of parameters within.
    """
    for name, value in estimator.get_params().items():
        short = name.split("__")[-1]
        if value is None and values.get(short) is not None:
            estimator.set_params(**{name: values[short]})


def resolve_device(device):
    """Return the torch device of that name; ``"auto"`` is a CUDA GPU where there is one."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)


def resolve_dtype(precision, device):
    """Return the torch dtype of that name; ``"auto"`` is bfloat16 where it makes a step faster."""
    if precision == "auto":
        if device.type == "cuda":
            fast = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            capabilities: dict = getattr(torch.cpu, "get_capabilities", dict)()  # newer versions
            fast = device.type == "cpu" and capabilities.get("avx512_bf16", False)
        precision = "bfloat16" if fast else "float32"
    return getattr(torch, precision)


@contextlib.contextmanager
def autocast(precision, device):
    """Compute networks within in this precision; float32 is as they are.

    Threads take turns in bfloat16: PyTorch keeps what it has cast for all of them together, and
    forgets it when one has ended, after which gradients of the others are rounded otherwise.
    """
    if precision != torch.bfloat16:
        yield
        return
    with _casting, torch.autocast(device.type, torch.bfloat16):
        yield


class Trainer(NeuralNet):
    """skorch's net for a module that computes its own loss from a batch.

    The module is called as ``module(batch, generator)`` and returns a dict of tensors, one of them
    the ``"loss"``; its method ``after_step()`` is called when the optimiser has stepped, and what
    it gathers over an epoch it tells by ``epoch_state()`` and takes by ``load_epoch_state()``. A
    batch is a tensor of records, or with targets a pair of tensors. All that is random in a step
    follows from the seed and the numbers of epoch and step, so that a run can be taken up anywhere.
    """

    def __init__(self, module, *, seed, **kwargs):
        self.seed = seed
        self._keeper = None  # of checkpoints
        self._batches: Any = None  # of the epoch
        self._resumed_epoch = None  # what was gathered in an epoch that was not ended
        super().__init__(
            module,
            criterion=nn.Identity,
            dataset=RowDataset,
            train_split=None,
            callbacks="disable",
            verbose=0,
            **kwargs,
        )

    @contextlib.contextmanager
    def together(self, processes):
        """Train the epochs within in all processes: each takes a share of every batch."""
        parallel = processes.parallel(self.module_)  # which lives no longer than the processes
        self._share_batches(processes.size)
        self._together = processes, parallel
        try:
            yield
        finally:
            self._share_batches(1)
            del self._together

    def fit_epoch(self, X, y=None, *, number, size=None):
        """Train for the epoch of this number, counted from zero; return the mean of each term.

        `size` is how many rows are seen, and None takes all. Where several processes train
        together, what is no gradient, such as the running means of batch normalisation, is averaged
        after the epoch.
        """
        self.epoch_, self.n_steps_, self._n_seen = number, 0, 0
        self._sums: dict[str, torch.Tensor] = {}
        if self._resumed_epoch is not None:
            self._take_up(self._resumed_epoch)
        self._n_finite = torch.tensor(self.n_steps_, device=self.device)
        self.initialize_history()  # of one epoch: its summary is kept elsewhere
        self._size = size
        before = {name: one.clone() for name, one in self.module_.state_dict().items()}
        context = (
            contextlib.nullcontext()
            if hasattr(self, "_together")
            else self.together(SINGLE_PROCESS)
        )
        try:
            with context:
                return self._fit_epoch(X, y)
        except DivergenceError:
            self.module_.load_state_dict(before)
            self.optimizer_.state.clear()
            raise
        finally:
            self._batches = None  # which has the records
            del self._sums, self._n_finite

    def _fit_epoch(self, X, y):
        self.fit_loop(X, y, epochs=1)
        processes, _ = self._together
        processes.average(self.module_.buffers())
        sums = {name: one.cpu() for name, one in self._sums.items()}
        every = processes.every((self._n_seen, sums, int(self._n_finite)))
        self._check_finite(min(n for _, _, n in every))
        n_seen = sum(n for n, _, _ in every)
        return {name: (sum(of[name] for _, of, _ in every) / n_seen).tolist() for name in sums}

    def _check_finite(self, n_finite):
        """Raise an error unless the loss of all steps so far was a number, and the weights are."""
        weights = (torch.isfinite(one).all() for one in self.module_.state_dict().values())
        if n_finite == self.n_steps_ and torch.stack(list(weights)).all():
            return
        step = min(n_finite + 1, self.n_steps_)
        raise DivergenceError(
            f"The loss, or a gradient, became infinite or NaN in epoch {self.epoch_ + 1}, at step "
            f"{step} of {self._batches.n_batches}, with lr={self.lr}. Such steps are too large: "
            "train with a smaller lr. What was learnt in the epochs before is kept."
        )

    def get_iterator(self, dataset, training=False):
        """Return the batches of the epoch."""
        seed = derived_seed(self.seed, self.epoch_)
        self._batches = ShuffledBatches(
            dataset, self.batch_size, seed, self._size, self._together[0], self.n_steps_
        )
        return prefetch(self._batches, torch.device(self.device))

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """Take the steps; unlike skorch's own, wait for none of them to be computed."""
        for batch in iterator or ():  # no batches to validate by
            self.notify("on_batch_begin", batch=batch, training=training)
            step = step_fn(batch, **fit_params)
            self.notify("on_batch_end", batch=batch, training=training, **step)

    def train_step_single(self, batch, **fit_params):
        """Compute the terms of the loss, and the gradients."""
        self._set_training(True)
        processes, module = self._together
        of_others = [processes.rank] if processes.rank else []
        seed = derived_seed(self.seed, self.epoch_, self.n_steps_, *of_others)
        generator = torch.Generator(self.device).manual_seed(seed)
        n_rows = len(batch[0]) if isinstance(batch, tuple) else len(batch)
        with default_generators_seeded(seed, self.device):
            terms = module(batch, generator)
        # gradients are averaged over processes, some of which may have a record more
        share = n_rows / self._batches.n_rows(self.n_steps_)
        (terms["loss"] * share * processes.size).backward()
        self._n_seen += n_rows
        for name, term in terms.items():
            self._sums[name] = self._sums.get(name, 0) + term.detach() * n_rows
        # a sum stays infinite or NaN, and nothing waits for a GPU to say so
        self._n_finite = self._n_finite + torch.isfinite(self._sums["loss"])
        return terms

    def _share_batches(self, n_processes):
        for module in self.module_.modules():
            if isinstance(module, SharedBatchNorm1d):
                module.n_processes = n_processes

    def on_batch_end(self, net, batch=None, training=False, **kwargs):
        """Let the module follow the step, for instance with its target network."""
        super().on_batch_end(net, batch=batch, training=training, **kwargs)
        self.module_.after_step()
        self.n_steps_ += 1
        alone = self._together[0].size == 1
        if alone and self._n_finite.device.type == "cpu" and self._n_finite < self.n_steps_:
            self._check_finite(int(self._n_finite))
        within_epoch = self.n_steps_ < self._batches.n_batches
        if self._keeper is not None and alone and within_epoch and self._keeper.is_time():
            self._check_finite(int(self._n_finite))  # nothing else is worth keeping
            self._keeper.after_step()

    def get_state(self, n_epochs):
        """Return all that further training depends on, after so many epochs and perhaps steps."""
        in_epoch = None
        if self.epoch_ == n_epochs:
            in_epoch = {
                "n_steps": self.n_steps_,
                "n_seen": self._n_seen,
                "sums": self._sums,
                "module": self.module_.epoch_state(),
            }
        optimizer = [self.optimizer_.state.get(one, {}) for one in self._trained()]
        return {
            "seed": self.seed,
            "weights": self.module_.state_dict(),
            "optimizer": optimizer,
            "n_epochs": n_epochs,
            "in_epoch": in_epoch,
        }

    def set_state(self, state):
        """Go on from such a state."""
        self.seed, self._resumed_epoch = state["seed"], state["in_epoch"]
        self.module_.load_state_dict(state["weights"])
        self.optimizer_.state.clear()
        for one, of_one in zip(self._trained(), state["optimizer"], strict=True):
            if of_one:  # in the memory format of the weight
                averages = {
                    name: torch.empty_like(one).copy_(value)
                    for name, value in of_one.items()
                    if name != "step"
                }
                on_device = self.optimizer_.defaults["fused"]
                step = of_one["step"].to(one.device if on_device else "cpu")
                self.optimizer_.state[one] = {"step": step, **averages}

    def _trained(self):
        return [one for group in self.optimizer_.param_groups for one in group["params"]]

    def _take_up(self, state):
        """Go on within an epoch."""
        self.n_steps_, self._n_seen = state["n_steps"], state["n_seen"]
        self._sums = {name: to_tensor(one, self.device) for name, one in state["sums"].items()}
        self.module_.load_epoch_state(state["module"])
        self._resumed_epoch = None

    def __getstate__(self):
        # module_ is the same network, and skorch moves only that between devices
        return {**super().__getstate__(), "module": None, "_keeper": None}


class EarlyStopping:
    """Records held out of training: their loss says which epoch is kept, and when to stop."""

    def __init__(self, records, targets):
        self.records, self.targets = records, targets
        self.loss, self.epoch, self.weights = np.inf, 0, None

    def look(self, learner, logits, epoch):
        """Return the loss of the epoch, and keep its weights where it is the least."""
        device = learner.center.device
        with torch.no_grad():
            logits, targets = (to_tensor(x, device) for x in (logits, self.targets))
            loss = learner.loss(logits, targets).item()
        if loss < self.loss:
            self.loss, self.epoch = loss, epoch
            self.weights = copy.deepcopy(learner.state_dict())
        return loss

    def get_state(self):
        """Return what was found so far."""
        return {"loss": self.loss, "epoch": self.epoch, "weights": self.weights}

    def set_state(self, state):
        """Go on from what was found."""
        self.loss, self.epoch, self.weights = state["loss"], state["epoch"], state["weights"]


class NullCallbackContext:
    """Stands for a context of callbacks in a process that is to be silent."""

    def subcontext(self, **kwargs):
        """Return the same."""
        return self

    def propagate_callback_context(self, estimator):
        """Return a context that does nothing."""
        return contextlib.nullcontext()

    def call_on_fit_task_begin(self, **kwargs):
        """Do nothing."""

    def call_on_fit_task_end(self, **kwargs):
        """Do nothing, and do not end training."""
        return False


def make_callback_context(estimator, n_tasks):
    """Return the context of an estimator's callbacks; of several processes only the first tells."""
    if processes().rank > 0:
        return NullCallbackContext()
    return estimator._init_callback_context(max_subtasks=n_tasks)


def print_epoch(name, number, last, loss, duration):
    """Print a line on an epoch, counted from 1; of several processes only the first does."""
    if processes().rank == 0:
        print(f"[{name}] epoch {number} of {last}: loss {loss:.4g}, {duration:.1f} s", flush=True)


def run_epochs(estimator, context, X, n_epochs, train_epoch, processes=SINGLE_PROCESS, keeper=None):
    """Train epoch by epoch, and tell scikit-learn's callbacks, which may end it, as may the epoch.

    ``train_epoch()`` trains for one epoch, appends to ``estimator.history_`` and returns whether to
    stop. Of several processes, the first one decides. Where training goes on from a checkpoint,
    callbacks are told of its last epoch once more: it may have been ended there.
    """

    def epoch(train):
        task = context.subcontext(task_name="epoch")
        task.call_on_fit_task_begin(estimator=estimator, X=X)
        finished = train()
        asked_to_stop = task.call_on_fit_task_end(
            estimator=estimator,
            X=X,
            metadata=estimator.history_[-1],
            reconstruction_attributes=dict,
        )
        return processes.first(finished or asked_to_stop)

    if n_epochs and is_resuming(estimator, keeper) and epoch(lambda: False):
        return
    last = len(estimator.history_) + n_epochs
    for number in range(n_epochs):
        is_last = epoch(train_epoch) or number == n_epochs - 1
        if estimator.verbose:
            name, newest = type(estimator).__name__, estimator.history_[-1]
            print_epoch(name, newest["epoch"], last, newest["loss"], newest["duration"])
        if keeper is not None and processes.rank == 0:
            keeper.after_epoch(is_last)
        if is_last:
            break


def is_resuming(estimator, keeper):
    """Return whether training goes on from a checkpoint between two epochs."""
    within_epoch = estimator._net._resumed_epoch is not None
    return keeper is not None and bool(estimator.history_) and not within_epoch
