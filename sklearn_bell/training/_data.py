"""Batches of records: in order for inference, shuffled for training."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch.utils.data import Dataset

from sklearn_bell.training._device import prefetch
from sklearn_bell.training._distributed import SINGLE_PROCESS

_MIN_BATCH = 16


def forward_batches(function, records, batch_size, device):
    """Yield slices of rows, and the function's output for them as an array."""
    start = 0
    with torch.inference_mode():
        for x in read_batches(records, batch_size, device):
            # pad small batches, for which torch has other kernels that round differently
            n_missing = max(0, _MIN_BATCH - len(x))
            padded = torch.cat([x, x.new_zeros(n_missing, *x.shape[1:])])
            rows = slice(start, start := start + len(x))
            yield rows, function(padded)[: len(x)].cpu().numpy()


def read_batches(records, batch_size, device):
    """Yield all records in order as tensors on the device."""
    n_rows = max(batch_size, _block_layout(records)[1])
    chunks = (records[start : start + n_rows] for start in range(0, len(records), n_rows))
    batches = (np.split(chunk, range(batch_size, len(chunk), batch_size)) for chunk in chunks)
    yield from prefetch(batches, device)


def _block_layout(records):
    """Return the storage block of each row, or None, and the number of rows to read together."""
    if isinstance(records, Rows):
        blocks, n_rows = _block_layout(records.records)
        return None if blocks is None else blocks[records.rows], n_rows
    rows_per_block = getattr(records, "rows_of_block", 1)
    if rows_per_block == 1:
        return None, 1
    return np.arange(len(records)) // rows_per_block, records.rows_at_once


class Rows:
    """View of some rows of records, read on access."""

    def __init__(self, records, rows):
        self.records, self.rows = records, rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, positions):
        return self.records[self.rows[positions]]


class RowDataset(Dataset):
    """Dataset that reads many rows with one slice: ``dataset[rows]``."""

    def __init__(self, X, y=None):
        self.X, self.y = X, y

    def __len__(self):
        return len(self.X)

    def __getitem__(self, rows):
        return self.X[rows] if self.y is None else (self.X[rows], self.y[rows])


class ShuffledBatches:
    """Batches of nearly equal size in an order that depends on the seed alone.

    Each of several processes gets its share of every batch, at least two rows, so that batch
    normalisation has a variance. Iteration yields lists of shares that are read together. Rows in
    storage blocks are shuffled by block, then within the blocks that a process reads together.
    `size` is the number of rows to draw; None draws all.
    """

    def __init__(self, dataset, batch_size, seed, size=None, processes=SINGLE_PROCESS):
        self.dataset, self.seed, self.processes = dataset, seed, processes
        self.size = min(len(dataset), size or len(dataset))
        self.n_batches = max(1, min(-(-self.size // batch_size), self.size // (2 * processes.size)))

    def __iter__(self):
        rng = np.random.default_rng(self.seed)
        blocks, n_rows = _block_layout(self.dataset.X)
        if blocks is None:
            order = rng.permutation(len(self.dataset))
        else:
            order = np.argsort(rng.permutation(blocks.max() + 1)[blocks], kind="stable")
        batches = np.array_split(order[: self.size], self.n_batches)
        chunk_size = -(-n_rows // len(batches[0]))
        for first in range(0, self.n_batches, chunk_size):
            chunk = batches[first : first + chunk_size]
            shares = [self.processes.share(rows) for rows in chunk]
            rows = np.concatenate(shares if blocks is None else self._block_shares(chunk, rng))
            yield _split(self.dataset[rows], np.cumsum([len(share) for share in shares]))

    def _block_shares(self, batches, rng):
        """Return rows of this process, as many as its shares, that lie together in storage."""
        rank, n_processes = self.processes
        n_rows = [sum(len(rows[r::n_processes]) for rows in batches) for r in range(n_processes)]
        parts = np.split(np.concatenate(batches), np.cumsum(n_rows)[:-1])
        return [rng.permutation(part) for part in parts][rank : rank + 1]

    def n_rows(self, step):
        """Return the size of a batch over all processes."""
        n_min, n_larger = divmod(self.size, self.n_batches)
        return n_min + (step < n_larger)


def _split(rows, ends):
    """Return consecutive parts of an array, or of each array in a tuple."""
    if isinstance(rows, tuple):
        return list(zip(*(_split(array, ends) for array in rows), strict=True))
    return [rows[start:end] for start, end in pairwise([0, *ends])]
