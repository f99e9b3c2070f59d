"""Training in several processes that torchrun has started."""

from __future__ import annotations

import atexit
import inspect
import multiprocessing
import os
import threading
from datetime import timedelta
from typing import NamedTuple

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

_STARTED_BY = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # what torchrun tells
# buffers are averaged after an epoch; torch has renamed what sets them to the first's at each step
_SYNC_BUFFERS = (
    "forward_sync_buffers"
    if "forward_sync_buffers" in inspect.signature(DistributedDataParallel).parameters
    else "broadcast_buffers"
)
_PATIENCE = timedelta(hours=2)  # for the others, who may have to read what they train on


class Processes(NamedTuple):
    """The processes that train together: which one this is, and how many there are."""

    rank: int = 0
    size: int = 1

    def share(self, rows):
        """Return this process's share of the rows of a batch."""
        return rows[self.rank :: self.size]

    def first(self, value):
        """Return the value that the first process has."""
        if self.size == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values, src=0)
        return values[0]

    def every(self, value):
        """Return the values of all processes, in order; tensors in them are on the CPU."""
        if self.size == 1:
            return [value]
        values = [None] * self.size
        distributed.all_gather_object(values, value)
        return values

    def parallel(self, module):
        """Return the module, or what trains it together with the other processes."""
        if self.size == 1:
            return module
        # a static graph: weights without a gradient are none to wait for
        how: dict = {"static_graph": True, "gradient_as_bucket_view": True, _SYNC_BUFFERS: False}
        return DistributedDataParallel(module, **how)

    @torch.no_grad()
    def average(self, tensors):
        """Set tensors to their average over processes; integers are those of the first."""
        if self.size == 1:
            return
        tensors = list(tensors)
        for integers in (False, True):
            some = [one for one in tensors if one.is_floating_point() != integers]
            if not some:
                continue
            flat = torch.cat([one.flatten() for one in some])  # messages take their time each
            if integers:
                distributed.broadcast(flat, src=0)
            else:
                distributed.all_reduce(flat)
                flat /= self.size
            for one, averaged in zip(some, flat.split([one.numel() for one in some]), strict=True):
                one.copy_(averaged.view_as(one))


SINGLE_PROCESS = Processes()


def processes():
    """Return the processes that train together, which get to know each other if they have not.

    That is where a launcher has started several, and in the main thread of each: a search that runs
    in threads or processes of its own trains in each by itself.
    """
    own_thread = threading.current_thread() is threading.main_thread()
    if not own_thread or multiprocessing.current_process().name != "MainProcess":
        return SINGLE_PROCESS
    if not distributed.is_available():
        return SINGLE_PROCESS
    if not distributed.is_initialized():
        if not all(name in os.environ for name in _STARTED_BY) or os.environ["WORLD_SIZE"] == "1":
            return SINGLE_PROCESS
        backend, n_here = "gloo", int(os.environ.get("LOCAL_WORLD_SIZE", 1))
        if torch.cuda.device_count() >= n_here:
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
            # gloo for what is on the CPU, which is all that is not a tensor of weights
            backend = "cpu:gloo,cuda:nccl"
        distributed.init_process_group(backend, timeout=_PATIENCE)
        atexit.register(_leave)
    return Processes(distributed.get_rank(), distributed.get_world_size())


def _leave():
    if distributed.is_initialized():
        distributed.destroy_process_group()
