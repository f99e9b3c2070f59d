"""Distributed training: torch's DistributedDataParallel in the processes that torchrun started."""

from __future__ import annotations

import atexit
import contextlib
import inspect
import multiprocessing
import os
import threading
from datetime import timedelta
from typing import NamedTuple

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from sklearn_bell.nn.batch_norm import SharedBatchNorm1d

_TORCHRUN_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
# buffers are averaged after each epoch, not broadcast at each step; torch renamed the argument
_SYNC_BUFFERS = (
    "forward_sync_buffers"
    if "forward_sync_buffers" in inspect.signature(DistributedDataParallel).parameters
    else "broadcast_buffers"
)
_TIMEOUT = timedelta(hours=2)  # the other processes may have to read their data first


class Processes(NamedTuple):
    """The processes that train together: the rank of this one, and their number."""

    rank: int = 0
    size: int = 1

    def share(self, rows):
        """Return this process's share of the rows of a batch."""
        return rows[self.rank :: self.size]

    def broadcast(self, value):
        """Return the value of the first process."""
        if self.size == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values, src=0)
        return values[0]

    def all_gather(self, value):
        """Return the values of all processes by rank; tensors must be on the CPU."""
        if self.size == 1:
            return [value]
        values = [None] * self.size
        distributed.all_gather_object(values, value)
        return values

    @contextlib.contextmanager
    def parallel(self, module):
        """Yield the module, wrapped for training with the other processes."""
        if self.size == 1:
            yield module
            return
        norms = [layer for layer in module.modules() if isinstance(layer, SharedBatchNorm1d)]
        # a static graph: frozen weights, which get no gradient, are not waited for
        options: dict = {"static_graph": True, "gradient_as_bucket_view": True}
        options[_SYNC_BUFFERS] = False
        try:
            for norm in norms:
                norm.n_processes = self.size
            yield DistributedDataParallel(module, **options)
        finally:
            for norm in norms:
                norm.n_processes = 1

    @torch.no_grad()
    def average(self, tensors):
        """Average tensors in place over all processes; integers are those of the first."""
        if self.size == 1:
            return
        tensors = list(tensors)
        for is_float in (True, False):
            group = [tensor for tensor in tensors if tensor.is_floating_point() == is_float]
            if not group:
                continue
            flat = torch.cat([tensor.flatten() for tensor in group])  # one message for all
            if is_float:
                distributed.all_reduce(flat)
                flat /= self.size
            else:
                distributed.broadcast(flat, src=0)
            parts = flat.split([tensor.numel() for tensor in group])
            for tensor, part in zip(group, parts, strict=True):
                tensor.copy_(part.view_as(tensor))


SINGLE_PROCESS = Processes()


def current_processes():
    """Return the processes that torchrun started, and connect them if they are not connected.

    Only the main thread of each trains with the others: a search with threads or worker processes
    of its own trains in each of them independently.
    """
    is_main_thread = threading.current_thread() is threading.main_thread()
    if not is_main_thread or multiprocessing.current_process().name != "MainProcess":
        return SINGLE_PROCESS
    if not distributed.is_available():
        return SINGLE_PROCESS
    if not distributed.is_initialized():
        has_variables = all(name in os.environ for name in _TORCHRUN_VARIABLES)
        if not has_variables or os.environ["WORLD_SIZE"] == "1":
            return SINGLE_PROCESS
        backend, n_local = "gloo", int(os.environ.get("LOCAL_WORLD_SIZE", 1))
        if torch.cuda.device_count() >= n_local:
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
            backend = "cpu:gloo,cuda:nccl"  # gloo gathers Python objects
        distributed.init_process_group(backend, timeout=_TIMEOUT)
        atexit.register(_disconnect)
    return Processes(distributed.get_rank(), distributed.get_world_size())


def _disconnect():
    if distributed.is_initialized():
        distributed.destroy_process_group()
