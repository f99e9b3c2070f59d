"""How records get to the network: batch by batch, shuffled, and on its device in time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch.utils.data import Dataset

from sklearn_bell._distributed import ALONE

_FEWEST_RECORDS = 16
_CHUNKS_AT_ONCE = 8
_ROWS_AT_ONCE = 1024  # that are moved together


def to_tensor(array, device):
    """Move an array, or each of a tuple, to the device; what may not be written to is copied."""
    if isinstance(array, tuple):
        return tuple(to_tensor(one, device) for one in array)
    return _as_tensor(array).to(device, non_blocking=True)


def _as_tensor(array):
    if isinstance(array, torch.Tensor):
        return array
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))


def _pinned(array):
    """Return arrays as tensors that a GPU can fetch by itself, while other things go on."""
    if isinstance(array, tuple):
        return tuple(_pinned(one) for one in array)
    tensor = _as_tensor(array)
    return tensor if tensor.is_cuda else tensor.pin_memory()


def one_ahead(batches, device):
    """Yield batches as tensors on the device; meanwhile a thread reads the next one."""
    iterator, cuda = iter(batches), device.type == "cuda"
    if cuda and device.index is None:
        device = torch.device("cuda", torch.cuda.current_device())  # of this thread

    def read():
        batch = next(iterator, None)
        if batch is None or not cuda:
            return batch
        with torch.cuda.device(device):
            return _pinned(batch)

    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(read)
        while (batch := coming.result()) is not None:
            coming = reader.submit(read)
            yield to_tensor(batch, device)


def near(records, device, n_rows):
    """Return the records, on a GPU if they fit there and as many rows will be read as they have."""
    room = _room(device)
    if not room or n_rows < len(records) or len(records) * records[:1].nbytes > room:
        return records
    return OnDevice(records, device)


def _room(device):
    """Return how many bytes of a GPU records may take; where there is none, they stay."""
    return torch.cuda.mem_get_info(device)[0] // 2 if device.type == "cuda" else 0


class OnDevice:
    """Records in the memory of a device; read by rows, they are tensors there."""

    def __init__(self, records, device):
        first = _as_tensor(records[:1])
        self.rows = first.new_empty((len(records), *first.shape[1:]), device=device)
        for start in range(0, len(records), _ROWS_AT_ONCE):
            some = slice(start, start + _ROWS_AT_ONCE)
            self.rows[some] = to_tensor(records[some], device)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, positions):
        return self.rows[to_tensor(positions, self.rows.device)]


def forward_batches(function, records, batch_size, device):
    """Yield slices of rows, and as an array what the function makes of a batch of these records.

    Small batches are filled up with zeros: for few records there are other kernels, which round
    otherwise, and what comes out should not depend on what else is in the batch.
    """
    with torch.inference_mode():
        for start in range(0, len(records), batch_size):
            rows = slice(start, start + batch_size)
            x = to_tensor(records[rows], device)
            missing = max(0, _FEWEST_RECORDS - len(x))
            filled = torch.cat([x, x.new_zeros(missing, *x.shape[1:])])
            yield rows, function(filled)[: len(x)].cpu().numpy()


class Rows:
    """Some rows of records, which are read when they are asked for."""

    def __init__(self, records, rows):
        self.records, self.rows = records, rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, positions):
        return self.records[self.rows[positions]]


class RowDataset(Dataset):
    """Records that are drawn many rows at a time: ``dataset[rows]`` is one slice, not a loop."""

    def __init__(self, X, y=None):
        self.X, self.y = X, y

    def __len__(self):
        return len(self.X)

    def __getitem__(self, rows):
        return self.X[rows] if self.y is None else (self.X[rows], self.y[rows])

    @property
    def rows_of_chunk(self):
        """How many rows are stored together, and can only be read together."""
        return getattr(self.X, "rows_of_chunk", 1)


class ShuffledBatches:
    """Batches of nearly equal size in an order that only the seed decides.

    Of every batch each of several processes has its share, and none has fewer than two rows, so
    that batch normalisation has a deviation to divide by.

    What is stored in chunks of rows, which can only be read whole, is shuffled by chunks, and then
    among those that are read at once.

    Parameters
    ----------
    dataset : RowDataset
    batch_size, seed : int
    size : int, default=None
        How many rows are drawn; None takes all.
    processes : Processes, default=ALONE
    """

    def __init__(self, dataset, batch_size, seed, size=None, processes=ALONE):
        self.dataset, self.seed, self.processes = dataset, seed, processes
        self.size = min(len(dataset), size or len(dataset))
        self.n_batches = max(1, min(-(-self.size // batch_size), self.size // (2 * processes.size)))

    def __len__(self):
        return self.n_batches

    def __iter__(self):
        rng = np.random.default_rng(self.seed)
        n_rows, n_together = len(self.dataset), self.dataset.rows_of_chunk
        order = rng.permutation(-(-n_rows // n_together))
        if n_together > 1:
            order = order[:, None] * n_together + np.arange(n_together)
            order = order[order < n_rows]
        batches = np.array_split(order[: self.size], self.n_batches)
        n_at_once = -(-_CHUNKS_AT_ONCE * n_together // len(batches[0])) if n_together > 1 else 1
        for first in range(0, self.n_batches, n_at_once):
            some = batches[first : first + n_at_once]
            if n_at_once > 1:
                some = _split(rng.permutation(np.concatenate(some)), some)
            shares = [self.processes.share(rows) for rows in some]
            yield from _split(self.dataset[np.concatenate(shares)], shares)

    def n_rows(self, step):
        """Return the size of a batch, with the shares of all processes."""
        least, n_larger = divmod(self.size, self.n_batches)
        return least + (step < n_larger)


def _split(rows, like):
    """Yield as many rows, or of each array in a tuple, as there are in each of `like`."""
    ends = np.cumsum([len(one) for one in like])
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        if isinstance(rows, tuple):
            yield tuple(one[start:end] for one in rows)
        else:
            yield rows[start:end]
