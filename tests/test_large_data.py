"""Records that memory does not hold: read by batches or chunks, and written where one wants."""

import contextlib
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import zarr
from torch import nn

from sklearn_bell import BELLPretrainer, ECGClassifier, VQVAETransformer
from sklearn_bell._batches import RowDataset, ShuffledBatches
from sklearn_bell._validation import Records
from sklearn_bell.exceptions import InvalidECGError


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
    """Stored in chunks of 16 rows; remembers which are read together."""

    def __init__(self, X, n_rows=16):
        self.X, self.shape, self.dtype, self.chunks = X, X.shape, X.dtype, (n_rows, *X.shape[1:])
        self.read = []

    def __len__(self):
        return len(self.X)

    def __getitem__(self, rows):
        if not isinstance(rows, slice):
            assert (np.diff(rows) > 0).all(), "as HDF5 wants them"
        self.read.append(np.arange(len(self.X))[rows])
        return self.X[rows]


def make(**params):
    return BELLPretrainer(TinyEncoder, **{"max_epochs": 2, "random_state": 0, **params})


@pytest.mark.parametrize("batch_size", [8, 20, 64, 1000])
def test_every_row_comes_once_and_chunks_are_read_whole(X, batch_size):
    source = Chunked(X)
    batches = list(ShuffledBatches(RowDataset(Records(source, (np.float32,))), batch_size, seed=0))
    rows = [np.flatnonzero((X[:, 0, 0] == first).T)[0] for x in batches for first in x[:, 0, 0]]
    assert sorted(rows) == list(range(203))
    n_reads = sum(len(np.unique(read // 16)) for read in source.read)
    assert n_reads <= 13 + 2 * len(source.read)  # only the first and last may be read in part
    whole = ShuffledBatches(RowDataset(X), batch_size, seed=0)
    assert [len(one) for one in batches] == [len(one) for one in whole]
    if batch_size < 100:  # rows of a chunk do not come one after the other
        assert np.mean(np.abs(np.diff(rows)) == 1) < 0.1


def test_targets_go_with_their_rows(X):
    for records in (X, Records(Chunked(X), (np.float32,))):
        for x, y in ShuffledBatches(RowDataset(records, X[:, 0, 0]), 20, seed=0):
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
    read = np.concatenate([rows for rows in source.read if len(rows) == 25])
    assert len(read) == 3 * 50
    epochs = [set(read[start : start + 50]) for start in (0, 50, 100)]
    assert all(len(epoch) == 50 for epoch in epochs)
    assert len(set.union(*epochs)) > 90
    all_of_them, more = make().fit(X), make(epoch_size=1000).fit(X)
    np.testing.assert_array_equal(all_of_them.transform(X), more.transform(X))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_does_not_grow_with_the_records(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    from bench_memory import PRETRAIN, run

    small, large = (run(PRETRAIN, tmp_path, n_records) for n_records in (1_000, 20_000))
    for less, more in zip(small, large, strict=True):  # in fit, and in transform; in MB
        assert more < less + 60  # of 640 MB
