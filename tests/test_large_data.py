"""Records that memory does not hold: read by batches or chunks, and written where one wants."""

import contextlib
import sys
from itertools import chain
from pathlib import Path

import h5py
import numpy as np
import pytest
import zarr
from torch import nn

from sklearn_bell import BELLPretrainer, ECGClassifier, VQVAETransformer
from sklearn_bell._utils.validation import Records
from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.training._data import RowDataset, Rows, ShuffledBatches
from sklearn_bell.training._distributed import Processes


class TinyEncoder(nn.Module):
    """Sees the deviation of a lead."""

    def __init__(self, in_channels=1):
        super().__init__()
        self.linear = nn.Linear(in_channels, 4)

    def forward(self, x):
        return self.linear(x.std(dim=-1))


@pytest.fixture
def X():
    return np.random.default_rng(0).normal(0, 0.2, (203, 2, 80)).astype(np.float32)


class Chunked:
    """Stored in chunks of 16 rows, of which it knows slices only; remembers which are read."""

    def __init__(self, X, n_rows=16):
        self.X, self.shape, self.dtype, self.chunks = X, X.shape, X.dtype, (n_rows, *X.shape[1:])
        self.read = []

    def __len__(self):
        return len(self.X)

    def __getitem__(self, rows):
        assert isinstance(rows, slice)
        self.read.append(np.arange(len(self.X))[rows])
        return self.X[rows]

    def n_chunks(self):
        """Say how many chunks have been read, each as often as it was."""
        return sum(len(np.unique(read // self.chunks[0])) for read in self.read)


def make(**params):
    return BELLPretrainer(TinyEncoder, **{"max_epochs": 2, "random_state": 0, **params})


def batches_of(*args, **kwargs):
    return list(chain(*ShuffledBatches(*args, **kwargs)))


def records(source):
    return Records(source, (np.float32,))


def rows_of(batches, X):
    return [int(np.flatnonzero(X[:, 0, 0] == first)[0]) for x in batches for first in x[:, 0, 0]]


@pytest.mark.parametrize("batch_size", [8, 20, 64, 1000])
def test_every_row_comes_once_and_chunks_are_read_whole(X, batch_size):
    source = Chunked(X)
    batches = batches_of(RowDataset(records(source)), batch_size, seed=0)
    rows = rows_of(batches, X)
    assert sorted(rows) == list(range(203))
    n_readings = len(list(ShuffledBatches(RowDataset(records(X)), 8 * 16, seed=0)))
    assert source.n_chunks() <= 13 + 2 * n_readings  # only the first and last may be read in part
    whole = batches_of(RowDataset(X), batch_size, seed=0)
    assert [len(one) for one in batches] == [len(one) for one in whole]
    if batch_size < 100:  # rows of a chunk do not come one after the other
        assert np.mean(np.abs(np.diff(rows)) == 1) < 0.1


def test_of_rows_with_labels_chunks_are_read_whole_too(X):
    source, some = Chunked(X), np.sort(np.random.default_rng(0).permutation(203)[:100])
    batches = batches_of(RowDataset(Rows(records(source), some)), 8, seed=0)
    assert sorted(rows_of(batches, X)) == sorted(some)
    assert source.n_chunks() <= 13 + 2


@pytest.mark.parametrize("n_processes", [2, 3])
def test_each_process_reads_chunks_of_its_own(X, n_processes):
    X = np.tile(X, (5, 1, 1)) + np.arange(1015, dtype=np.float32)[:, None, None]
    rows, sizes, n_chunks = [], [], []
    for rank in range(n_processes):
        source = Chunked(X)
        batches = batches_of(
            RowDataset(records(source)), 16, seed=0, processes=Processes(rank, n_processes)
        )
        rows += rows_of(batches, X)
        sizes.append([len(batch) for batch in batches])
        n_chunks.append(source.n_chunks())
    assert sorted(rows) == list(range(1015))
    alone = batches_of(RowDataset(records(X)), 16, seed=0)
    assert np.sum(sizes, axis=0).tolist() == [len(batch) for batch in alone]
    assert np.ptp(sizes, axis=0).max() <= 1
    assert max(n_chunks) < (64 + 2 * 8) / n_processes + 8


def test_chunks_that_hold_no_whole_records_are_not_read_all_at_once(monkeypatch):
    monkeypatch.setattr("sklearn_bell._utils.validation._BYTES_AT_ONCE", 20 * 2 * 80 * 4)
    X = np.random.default_rng(0).normal(size=(500, 2, 80)).astype(np.float32)
    source = Chunked(X, n_rows=130)
    assert records(source).rows_of_block == 19  # a seventh, for twenty are allowed
    rows = rows_of(batches_of(RowDataset(records(source)), 8, seed=0), X)
    assert sorted(rows) == list(range(500))
    assert max(map(len, source.read)) <= 20
    np.testing.assert_array_equal(records(source)[np.array([400, 3, 3, 131])], X[[400, 3, 3, 131]])


def test_in_order_chunks_are_read_once(X):
    bell = make().fit(X)
    for batch_size in (128, 24):  # which is no multiple of a chunk
        bell.set_params(batch_size=batch_size)
        found = bell.transform(source := Chunked(X))
        np.testing.assert_allclose(found, bell.transform(X), rtol=1e-5, atol=1e-6)
        assert source.n_chunks() == 13


def test_targets_go_with_their_rows(X):
    for source in (X, Chunked(X)):
        for x, y in batches_of(RowDataset(records(source), X[:, 0, 0]), 20, seed=0):
            np.testing.assert_array_equal(x[:, 0, 0], y)


@contextlib.contextmanager
def hdf5(path):
    with h5py.File(path / "data.h5", "w") as file:
        yield file.create_dataset


@contextlib.contextmanager
def zarr_group(path):
    yield zarr.open_group(path / "data.zarr", mode="w").create_array


@pytest.mark.parametrize("store", [hdf5, zarr_group])
def test_chunks_on_disk_are_learnt_from(store, X, tmp_path):
    with store(tmp_path) as create:
        source = create("X", shape=X.shape, dtype=X.dtype, chunks=(16, 2, 80))
        source[:] = X
        bell = make().fit(source)
        expected = bell.transform(X)
        np.testing.assert_array_equal(bell.transform(source), expected)
        out = create("latents", shape=expected.shape, dtype=np.float32)
        assert bell.transform(source, out=out) is out
        np.testing.assert_array_equal(out[:], expected)
        y = np.arange(203) % 2
        classifier = ECGClassifier(bell, max_epochs=1, n_trees=5, random_state=0).fit(source, y)
        assert classifier.predict(source).shape == (203,)
        codes = VQVAETransformer(n_codes=8, width=8, max_epochs=1).fit(source).transform(source)
        assert len(codes) == 203
        assert len(bell.partial_fit(source).history_) == 3


def test_latents_are_written_where_one_wants(X, tmp_path):
    bell = make().fit(X)
    expected = bell.transform(X)
    out = np.memmap(tmp_path / "latents", np.float32, "w+", shape=expected.shape)
    assert bell.transform(X, out=out) is out
    np.testing.assert_array_equal(np.memmap(tmp_path / "latents", np.float32).ravel(), out.ravel())
    np.testing.assert_array_equal(out, expected)
    rough = np.empty(expected.shape, np.float16)
    np.testing.assert_allclose(bell.transform(X, rough), expected, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(
    "out", [np.empty((203, 7), np.float32), np.empty((202, 8)), np.empty((203, 8), int)]
)
def test_what_latents_do_not_fit_into_is_refused(X, out):
    with pytest.raises(InvalidECGError, match=r"out must have floating-point .* shape \(203, 8\)"):
        make().fit(X).transform(X, out=out)


def test_an_epoch_may_see_a_part_drawn_anew(X):
    source = Chunked(X, n_rows=1)
    bell = make(epoch_size=50, batch_size=25, max_epochs=3).fit(source)
    assert len(bell.history_) == 3
    first, *read = source.read
    assert first.tolist() == list(range(8))  # by which a saved file knows them
    read = np.concatenate(read)
    assert len(read) == 3 * 50
    epochs = [set(read[start : start + 50]) for start in (0, 50, 100)]
    assert all(len(epoch) == 50 for epoch in epochs)
    assert len(set.union(*epochs)) > 90
    all_of_them, more = make().fit(X), make(epoch_size=1000).fit(X)
    np.testing.assert_array_equal(all_of_them.transform(X), more.transform(X))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(("store", "most"), [("memmap", 60), ("hdf5", 250)])
def test_memory_does_not_grow_with_the_records(store, most, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    from bench_memory import PRETRAIN, run

    small, large = (run(PRETRAIN, tmp_path, store, n) for n in (1_000, 20_000))
    for less, more in zip(small, large, strict=True):  # in fit, and in transform; in MB
        assert more < less + most  # of 640 MB
