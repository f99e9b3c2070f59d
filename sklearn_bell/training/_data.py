"""How records get to the network: batch by batch, shuffled, and on its device in time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch.utils.data import Dataset

from sklearn_bell.training._distributed import SINGLE_PROCESS

_FEWEST_RECORDS = 16
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


def prefetch(readings, device):
    """Yield batches as tensors on the device; meanwhile a thread reads the next ones.

    Parameters
    ----------
    readings : iterable of list
        The batches that are read at once, each an array or a tuple of arrays.
    device : torch.device
    """
    iterator, cuda = iter(readings), device.type == "cuda"
    if cuda and device.index is None:
        device = torch.device("cuda", torch.cuda.current_device())  # of this thread

    def read():
        batches = next(iterator, None)
        if batches is None or not cuda:
            return batches
        with torch.cuda.device(device):
            return [_pinned(batch) for batch in batches]

    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(read)
        while (batches := coming.result()) is not None:
            coming = reader.submit(read)
            for batch in batches:
                yield to_tensor(batch, device)


def near(records, device, n_rows):
    """Return the records, on a GPU if they fit there and as many rows will be read as they have."""
    room = _room(device)
    if not room or n_rows < len(records) or len(records) * records[:1].nbytes > room:
        return records
    return DeviceArray(records, device)


def _room(device):
    """Return how many bytes of a GPU records may take; where there is none, they stay."""
    return torch.cuda.mem_get_info(device)[0] // 2 if device.type == "cuda" else 0


class DeviceArray:
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
    start = 0
    with torch.inference_mode():
        for x in read_batches(records, batch_size, device):
            missing = max(0, _FEWEST_RECORDS - len(x))
            filled = torch.cat([x, x.new_zeros(missing, *x.shape[1:])])
            rows = slice(start, start := start + len(x))
            yield rows, function(filled)[: len(x)].cpu().numpy()


def read_batches(records, batch_size, device):
    """Yield all records in their order, batch by batch, as tensors on the device."""
    yield from prefetch(_in_order(records, batch_size), device)


def _in_order(records, batch_size):
    """Yield the batches that are read at once."""
    n_at_once = max(batch_size, _blocks(records)[1])
    for start in range(0, len(records), n_at_once):
        some = records[start : start + n_at_once]
        yield [some[first : first + batch_size] for first in range(0, len(some), batch_size)]


def _blocks(records):
    """Return for each row the block it is stored in, and how many rows are read at once.

    They are None and 1 where any rows are read as fast as neighbours.
    """
    if isinstance(records, Rows):
        blocks, n_at_once = _blocks(records.records)
        return None if blocks is None else blocks[records.rows], n_at_once
    n_rows = getattr(records, "rows_of_block", 1)
    return (None, 1) if n_rows == 1 else (np.arange(len(records)) // n_rows, records.rows_at_once)


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


class ShuffledBatches:
    """Batches of nearly equal size in an order that only the seed decides.

    Of every batch each of several processes has its share, and none has fewer than two rows, so
    that batch normalisation has a deviation to divide by. Iteration yields lists, each of the
    shares that are read at once.

    What is stored in blocks of rows, which are best read whole, is shuffled by blocks, and then
    among those that a process reads at once.

    Parameters
    ----------
    dataset : RowDataset
    batch_size, seed : int
    size : int, default=None
        How many rows are drawn; None takes all.
    processes : Processes, default=SINGLE_PROCESS
    n_skipped : int, default=0
        How many batches are left out at the beginning.
    """

    def __init__(self, dataset, batch_size, seed, size=None, processes=SINGLE_PROCESS, n_skipped=0):
        self.dataset, self.seed, self.processes = dataset, seed, processes
        self.n_skipped = n_skipped
        self.size = min(len(dataset), size or len(dataset))
        self.n_batches = max(1, min(-(-self.size // batch_size), self.size // (2 * processes.size)))

    def __iter__(self):
        rng = np.random.default_rng(self.seed)
        blocks, n_at_once = _blocks(self.dataset.X)
        if blocks is None:
            order = rng.permutation(len(self.dataset))
        else:
            order = np.argsort(rng.permutation(blocks.max() + 1)[blocks], kind="stable")
        batches = np.array_split(order[: self.size], self.n_batches)
        n_at_once = -(-n_at_once // len(batches[0]))
        for first in range(0, self.n_batches, n_at_once):
            some = batches[first : first + n_at_once]
            shares = [self.processes.share(rows) for rows in some]
            rows = np.concatenate(shares) if blocks is None else self._whole_blocks(some, rng)
            shares = list(_split(rows, map(len, shares)))[max(0, self.n_skipped - first) :]
            if shares:
                yield list(_split(self.dataset[np.concatenate(shares)], map(len, shares)))

    def _whole_blocks(self, batches, rng):
        """Return rows for this process that are as many as its shares, but lie together."""
        n_processes = self.processes.size
        n_rows = [
            sum(-(-(len(rows) - rank) // n_processes) for rows in batches)
            for rank in range(n_processes)
        ]
        parts = _split(np.concatenate(batches), n_rows)
        return [rng.permutation(part) for part in parts][self.processes.rank]

    def n_rows(self, step):
        """Return the size of a batch, with the shares of all processes."""
        least, n_larger = divmod(self.size, self.n_batches)
        return least + (step < n_larger)


def _split(rows, sizes):
    """Yield parts of rows, or of each array in a tuple, of these sizes."""
    end = 0
    for size in sizes:
        start, end = end, end + size
        if isinstance(rows, tuple):
            yield tuple(one[start:end] for one in rows)
        else:
            yield rows[start:end]
