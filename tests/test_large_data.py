"""Records that do not fit in memory: batches, chunks and output arrays."""

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

N_CHUNKS = 13  # of 203 records, 16 in each


class TinyEncoder(nn.Module):
    """Encoder of the standard deviation of a lead."""

    def __init__(self, in_channels=1):
        super().__init__()
        self.linear = nn.Linear(in_channels, 4)

    def forward(self, x):
        return self.linear(x.std(dim=-1))


class Chunked:
    """Array in chunks of 16 rows that supports slices only, and records which rows are read."""

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
        """Return the number of chunks that were read, repeated readings included."""
        return sum(len(np.unique(rows // self.chunks[0])) for rows in self.read)


@pytest.fixture
def X():
    return np.random.default_rng(0).normal(0, 0.2, (203, 2, 80)).astype(np.float32)


def make(**params):
    return BELLPretrainer(TinyEncoder, **{"max_epochs": 2, "random_state": 0, **params})


def as_records(source):
    return Records(source, (np.float32,))


def read(source, batch_size, **options):
    """Return the shuffled batches of records."""
    dataset = RowDataset(as_records(source) if isinstance(source, Chunked) else source)
    return list(chain(*ShuffledBatches(dataset, batch_size, 0, **options)))


def rows_of(batches, X):
    """Return the row numbers of the records in batches."""
    return [int(np.flatnonzero(X[:, 0, 0] == first)[0]) for x in batches for first in x[:, 0, 0]]


@pytest.mark.parametrize("batch_size", [8, 20, 64, 1000])
def test_shuffled_batches_read_whole_chunks(batch_size, X):
    source = Chunked(X)
    batches = read(source, batch_size)
    rows = rows_of(batches, X)
    assert sorted(rows) == list(range(203))
    n_readings = len(read(X, 8 * 16))
    assert source.n_chunks() <= N_CHUNKS + 2 * n_readings  # the first and last may be partial
    assert [len(batch) for batch in batches] == [len(batch) for batch in read(X, batch_size)]
    if batch_size < 100:  # rows of a chunk are shuffled
        assert np.mean(np.abs(np.diff(rows)) == 1) < 0.1


def test_shuffled_batches_of_some_rows_read_whole_chunks(X):
    source, labelled = Chunked(X), np.sort(np.random.default_rng(0).permutation(203)[:100])
    batches = read(Rows(as_records(source), labelled), 8)
    assert sorted(rows_of(batches, X)) == labelled.tolist()
    assert source.n_chunks() <= N_CHUNKS + 2


@pytest.mark.parametrize("n_processes", [2, 3])
def test_each_process_reads_its_own_chunks(n_processes, X):
    X = np.tile(X, (5, 1, 1)) + np.arange(1015, dtype=np.float32)[:, None, None]
    rows, sizes = [], []
    for rank in range(n_processes):
        source = Chunked(X)
        batches = read(source, 16, processes=Processes(rank, n_processes))
        rows += rows_of(batches, X)
        sizes.append([len(batch) for batch in batches])
        assert source.n_chunks() < (64 + 2 * 8) / n_processes + 8
    assert sorted(rows) == list(range(1015))
    assert np.sum(sizes, axis=0).tolist() == [len(batch) for batch in read(X, 16)]
    assert np.ptp(sizes, axis=0).max() <= 1


def test_large_chunks_are_read_in_parts(monkeypatch):
    monkeypatch.setattr("sklearn_bell._utils.validation._BYTES_AT_ONCE", 20 * 2 * 80 * 4)
    X = np.random.default_rng(0).normal(size=(500, 2, 80)).astype(np.float32)
    source = Chunked(X, n_rows=130)
    assert as_records(source).rows_of_block == 19  # a seventh, since 20 rows are allowed
    assert sorted(rows_of(read(source, 8), X)) == list(range(500))
    assert max(map(len, source.read)) <= 20
    rows = np.array([400, 3, 3, 131])
    np.testing.assert_array_equal(as_records(source)[rows], X[rows])


@pytest.mark.parametrize("batch_size", [128, 24])  # 24 is no multiple of a chunk
def test_transform_reads_every_chunk_once_and_four_to_check(batch_size, X):
    bell = make(batch_size=batch_size).fit(X)
    latents = bell.transform(source := Chunked(X))
    np.testing.assert_allclose(latents, bell.transform(X), rtol=1e-5, atol=1e-6)
    assert source.n_chunks() == N_CHUNKS + 4


@pytest.mark.parametrize("is_chunked", [False, True])
def test_targets_stay_with_their_rows(is_chunked, X):
    source = as_records(Chunked(X) if is_chunked else X)
    for x, targets in chain(*ShuffledBatches(RowDataset(source, X[:, 0, 0]), 20, seed=0)):
        np.testing.assert_array_equal(x[:, 0, 0], targets)


@contextlib.contextmanager
def open_hdf5(path):
    with h5py.File(path / "data.h5", "w") as file:
        yield file.create_dataset


@contextlib.contextmanager
def open_zarr(path):
    yield zarr.open_group(path / "data.zarr", mode="w").create_array


@pytest.mark.parametrize("open_store", [open_hdf5, open_zarr])
def test_estimators_read_and_write_stores(open_store, X, tmp_path):
    with open_store(tmp_path) as create:
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


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float32, 0), (np.float64, 0), (np.float16, 1e-2)])
def test_latents_are_written_to_memory_map(dtype, rtol, X, tmp_path):
    bell = make().fit(X)
    expected = bell.transform(X)
    out = np.memmap(tmp_path / "latents", dtype, "w+", shape=expected.shape)
    assert bell.transform(X, out=out) is out
    latents = np.memmap(tmp_path / "latents", dtype, shape=expected.shape)
    np.testing.assert_allclose(latents, expected, rtol=rtol, atol=rtol)


@pytest.mark.parametrize(
    "out", [np.empty((203, 7), np.float32), np.empty((202, 8)), np.empty((203, 8), int)]
)
def test_other_output_arrays_are_refused(X, out):
    with pytest.raises(InvalidECGError, match=r"Expected out to be .* shape \(203, 8\), got"):
        make().fit(X).transform(X, out=out)


def test_epoch_size_draws_other_records_in_every_epoch(X):
    source = Chunked(X, n_rows=1)
    bell = make(epoch_size=50, batch_size=25, max_epochs=3).fit(source)
    assert len(bell.history_) == 3
    first, *batches = source.read[4:]  # after those of the checks
    assert first.tolist() == list(range(8))  # for the data signature
    epochs = np.concatenate(batches).reshape(3, 50)
    assert [len(set(rows)) for rows in epochs] == [50, 50, 50]
    assert len(set(epochs.ravel())) > 90


def test_epoch_size_larger_than_the_data_changes_nothing(X):
    latents = [make(epoch_size=size).fit(X).transform(X) for size in (None, 1000)]
    np.testing.assert_array_equal(*latents)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(("store", "most"), [("memmap", 60), ("hdf5", 250)])
def test_memory_does_not_grow_with_the_records(store, most, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    from bench_memory import PRETRAIN, run

    small, large = (run(PRETRAIN, tmp_path, store, n) for n in (1_000, 20_000))
    for less, more in zip(small, large, strict=True):  # MB in fit and in transform
        assert more < less + most  # of 640 MB
