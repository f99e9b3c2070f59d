"""Seeds that depend on nothing but ``random_state``, epoch and step."""

from __future__ import annotations

import contextlib
import threading

import numpy as np
import torch
from sklearn.utils import check_random_state

from sklearn_bell.training._distributed import current_processes

# the default generators of torch belong to all threads of a process, so threads take turns
_generators_lock = threading.RLock()


@contextlib.contextmanager
def default_generators_seeded(seed, device="cpu"):
    """Seed torch's default generators (initialisation, dropout), and restore them afterwards."""
    device = torch.device(device)
    cuda = [device] if device.type == "cuda" else []
    with _generators_lock, torch.random.fork_rng(devices=cuda):
        torch.default_generator.manual_seed(seed)
        for gpu in cuda:
            index = torch.cuda.current_device() if gpu.index is None else gpu.index
            torch.cuda.default_generators[index].manual_seed(seed)
        yield


def derived_seed(seed, *key):
    """Return an independent seed for every key of integers, such as (epoch, step)."""
    sequence = np.random.SeedSequence(seed, spawn_key=key)
    return int(sequence.generate_state(1, np.uint64)[0] >> 1)


def resolve_seed(random_state, manager=None):
    """Draw a seed, the same in all processes; a resumed run keeps the seed it began with."""
    processes = current_processes()
    seed = int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
    if manager is not None and processes.rank == 0:
        seed = manager.first_seed(seed)
    return processes.broadcast(seed)


def set_missing_params(estimator, **values):
    """Set parameters that are None, nested ones too, but none inside a FrozenEstimator."""
    for name, value in estimator.get_params().items():
        default = values.get(name.split("__")[-1])
        if value is None and default is not None:
            estimator.set_params(**{name: default})
