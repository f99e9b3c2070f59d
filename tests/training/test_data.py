"""Batches of records."""

from itertools import chain

import numpy as np
import pytest
import torch

from sklearn_bell.training._data import (
    RowDataset,
    Rows,
    ShuffledBatches,
    forward_batches,
    read_batches,
)
from sklearn_bell.training._distributed import Processes

CPU = torch.device("cpu")


def shuffled(n_rows, batch_size, seed=0, **kwargs):
    batches = ShuffledBatches(RowDataset(np.arange(n_rows)), batch_size, seed, **kwargs)
    return list(chain(*batches))


@pytest.mark.parametrize(("n_rows", "batch_size"), [(10, 4), (3, 2), (9, 2), (64, 64), (65, 64)])
def test_shuffled_batches_have_nearly_equal_sizes(n_rows, batch_size):
    batches = shuffled(n_rows, batch_size)
    assert sorted(np.concatenate(batches)) == list(range(n_rows))
    sizes = [len(batch) for batch in batches]
    assert min(sizes) >= 2  # batch normalisation needs two
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= batch_size + 1


def test_shuffled_batches_depend_on_seed_alone():
    first, again, other = (np.concatenate(shuffled(50, 8, seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("size", [20, 50, 1000, None])
def test_shuffled_batches_draw_without_replacement(size):
    rows = np.concatenate(shuffled(50, 8, size=size))
    assert len(rows) == len(set(rows)) == min(size or 50, 50)


@pytest.mark.parametrize("n_processes", [2, 3])
def test_shuffled_batches_are_shared_by_processes(n_processes):
    whole = shuffled(50, 16)
    parts = [shuffled(50, 16, processes=Processes(r, n_processes)) for r in range(n_processes)]
    for batch, *shares in zip(whole, *parts, strict=True):
        assert sorted(np.concatenate(shares)) == sorted(batch)
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
        assert min(map(len, shares)) >= 2


def test_shuffled_batches_know_the_size_of_whole_batches():
    batches = ShuffledBatches(RowDataset(np.arange(50)), 16, 0, processes=Processes(1, 2))
    assert [batches.n_rows(step) for step in range(4)] == [len(b) for b in shuffled(50, 16)]


def test_row_dataset_keeps_targets_with_rows():
    X = np.arange(60).reshape(20, 3)
    for x, targets in chain(*ShuffledBatches(RowDataset(X, X[:, 0]), 8, 0)):
        np.testing.assert_array_equal(x[:, 0], targets)


def test_rows_are_a_view():
    rows = Rows(np.arange(10) * 10, np.array([7, 1, 4]))
    assert len(rows) == 3
    assert rows[np.array([2, 0])].tolist() == [40, 70]
    assert Rows(rows, np.array([1]))[:].tolist() == [10]


@pytest.mark.parametrize("batch_size", [1, 4, 10, 64])
def test_read_batches_keeps_the_order(batch_size):
    batches = list(read_batches(np.arange(10), batch_size, CPU))
    assert [len(batch) for batch in batches][:-1] == [batch_size] * (len(batches) - 1)
    assert torch.cat(batches).tolist() == list(range(10))


@pytest.mark.parametrize("n_rows", [1, 5, 16, 40])
def test_forward_batches_pads_small_batches(n_rows):
    sizes, X = [], np.random.default_rng(0).normal(size=(n_rows, 2)).astype(np.float32)

    def square(x):
        sizes.append(len(x))
        return x**2

    outputs = np.empty_like(X)
    for rows, values in forward_batches(square, X, 32, CPU):
        outputs[rows] = values
    np.testing.assert_array_equal(outputs, X**2)
    assert min(sizes) >= 16
