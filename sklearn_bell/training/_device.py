"""Devices and precision, and moving arrays to a device ahead of time."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from sklearn_bell.exceptions import InvalidECGError

_ROWS_PER_COPY = 1024
_autocast_lock = threading.RLock()


def resolve_device(device):
    """Return the torch device of that name; ``"auto"`` is a CUDA GPU if there is one.

    InvalidECGError is raised if there is no such device.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.zeros(1, device=device).device
    except (AssertionError, RuntimeError) as error:
        n_gpus = torch.cuda.device_count()
        names = ", ".join(["'cpu'", *(f"'cuda:{i}'" for i in range(n_gpus))])
        raise InvalidECGError(
            f"Expected device to be 'auto' or one of {names}, got {device!r} "
            f"({str(error).splitlines()[0]})."
        ) from error


def resolve_dtype(precision, device):
    """Return the torch dtype; ``"auto"`` is bfloat16 if the device has instructions for it."""
    if precision == "auto":
        if device.type == "cuda":
            fast = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            capabilities: dict = getattr(torch.cpu, "get_capabilities", dict)()  # recent torch
            fast = device.type == "cpu" and capabilities.get("avx512_bf16", False)
        precision = "bfloat16" if fast else "float32"
    return getattr(torch, precision)


@contextlib.contextmanager
def autocast(dtype, device):
    """Run layers in bfloat16, or leave float32 as it is."""
    if dtype != torch.bfloat16:
        yield
        return
    # threads take turns, as the one that leaves clears the shared cache of casted weights, which
    # changes the rounding of gradients in the others
    with _autocast_lock, torch.autocast(device.type, torch.bfloat16):
        yield


def to_tensor(array, device):
    """Move an array or a tuple of arrays to the device; read-only arrays are copied."""
    if isinstance(array, tuple):
        return tuple(to_tensor(part, device) for part in array)
    return _as_tensor(array).to(device, non_blocking=True)


def _as_tensor(array):
    if isinstance(array, torch.Tensor):
        return array
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))


def _pinned(array):
    """Return tensors in pinned memory, which a GPU copies asynchronously."""
    if isinstance(array, tuple):
        return tuple(_pinned(part) for part in array)
    tensor = _as_tensor(array)
    return tensor if tensor.is_cuda else tensor.pin_memory()


def prefetch(chunks, device):
    """Yield each batch of lists of batches as tensors, while a thread reads the next list."""
    iterator, cuda = iter(chunks), device.type == "cuda"
    if cuda and device.index is None:
        device = torch.device("cuda", torch.cuda.current_device())  # of this thread

    def read_chunk():
        batches = next(iterator, None)
        if batches is None or not cuda:
            return batches
        with torch.cuda.device(device):
            return [_pinned(batch) for batch in batches]

    with ThreadPoolExecutor(1) as reader:
        future = reader.submit(read_chunk)
        while (batches := future.result()) is not None:
            future = reader.submit(read_chunk)
            for batch in batches:
                yield to_tensor(batch, device)


def cache_on_device(records, device, n_rows):
    """Copy records to a GPU if they fit into half of it and at least `n_rows` reads are due."""
    free = _free_bytes(device)
    if not free or n_rows < len(records) or len(records) * records[:1].nbytes > free:
        return records
    return DeviceArray(records, device)


def _free_bytes(device):
    return torch.cuda.mem_get_info(device)[0] // 2 if device.type == "cuda" else 0


class DeviceArray:
    """Records in the memory of a device; rows are read as tensors."""

    def __init__(self, records, device):
        first = _as_tensor(records[:1])
        self.rows = first.new_empty((len(records), *first.shape[1:]), device=device)
        for start in range(0, len(records), _ROWS_PER_COPY):
            rows = slice(start, start + _ROWS_PER_COPY)
            self.rows[rows] = to_tensor(records[rows], device)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, positions):
        return self.rows[to_tensor(positions, self.rows.device)]
