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

_TORCHRUN_VARIABLES = {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}
# buffers are averaged after each epoch, not broadcast at each step; torch renamed the argument
_IS_RENAMED = "forward_sync_buffers" in inspect.signature(DistributedDataParallel).parameters
_SYNC_BUFFERS = "forward_sync_buffers" if _IS_RENAMED else "broadcast_buffers"
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
        values = [value]
        if self.size > 1:
            distributed.broadcast_object_list(values, src=0)
        return values[0]

    def all_gather(self, value):
        """Return the values of all processes by rank; tensors must be on the CPU."""
        values = [value] * self.size
        if self.size > 1:
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
        options = {"static_graph": True, "gradient_as_bucket_view": True, _SYNC_BUFFERS: False}
        try:
            for norm in norms:
                norm.n_processes = self.size
            yield DistributedDataParallel(module, **options)  # type: ignore[arg-type]
        finally:
            for norm in norms:
                norm.n_processes = 1

    @torch.no_grad()
    def average(self, tensors):
        """Average tensors in place over all processes; integers are those of the first."""
        for tensor in tensors if self.size > 1 else ():
            if tensor.is_floating_point():
                distributed.all_reduce(tensor)
                tensor /= self.size
            else:
                tensor.copy_(self.broadcast(tensor.cpu()))


SINGLE_PROCESS = Processes()


def current_processes():
    """Return torchrun's processes, connected; other threads and workers train independently."""
    is_main_thread = threading.current_thread() is threading.main_thread()
    is_main_process = multiprocessing.current_process().name == "MainProcess"
    if not (is_main_thread and is_main_process and distributed.is_available()):
        return SINGLE_PROCESS
    if not distributed.is_initialized():
        if not os.environ.keys() >= _TORCHRUN_VARIABLES or os.environ["WORLD_SIZE"] == "1":
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
