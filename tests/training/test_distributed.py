"""Two processes train one model: each on its share of every batch, and with the same outcome."""

import os
import pickle
import subprocess
import sys
from itertools import chain

import numpy as np
import pytest
import torch
from sklearn.base import clone

from sklearn_bell.training._data import RowDataset, ShuffledBatches
from sklearn_bell.training._distributed import SINGLE_PROCESS, Processes, processes

SCRIPT = '''
import os
import pickle
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sklearn_bell import BELLPretrainer, ECGClassifier
from sklearn_bell.nn.augmentation import Compose

torch.set_num_threads(1)
TERMS = "loss", "latent_deviation", "effective_rank"
OUT, RANK = Path(sys.argv[1]), os.environ.get("RANK", "alone")


class Encoder(nn.Module):
    """Sees each record by itself: no batch normalisation."""

    def __init__(self, in_channels):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv1d(in_channels, 8, 9, 4), nn.Tanh())
        self.unused = nn.Parameter(torch.zeros(1))  # as in many a network of others
        self.register_buffer("n_seen", torch.zeros(()))
        self.register_buffer("n_calls", torch.zeros((), dtype=torch.long))

    def forward(self, x):
        if self.training:
            self.n_seen += len(x)
            self.n_calls += 1
        x = self.layers(x)
        return torch.cat([x.mean(-1), x.std(-1)], dim=1)


class Seen:
    """An array that remembers which of its rows are read."""

    def __init__(self, X):
        self.X, self.shape, self.dtype, self.rows = X, X.shape, X.dtype, []

    def __getitem__(self, rows):
        self.rows += np.arange(len(self.X))[rows].tolist()
        return self.X[rows]

    def __len__(self):
        return len(self.X)


class Tells:
    """A callback that says what it is told."""

    max_propagation_depth = None

    def setup(self, estimator, context):
        print("told", flush=True)

    def on_fit_task_begin(self, estimator, context, **kwargs):
        pass

    def on_fit_task_end(self, estimator, context, **kwargs):
        pass

    def teardown(self, estimator, context):
        pass


class Twice(Tells):
    """Ends training after two epochs."""

    def on_fit_task_end(self, estimator, context, **kwargs):
        return context.task_name == "epoch" and len(estimator.history_) == 2


X = np.random.default_rng(0).normal(0, 0.2, (45, 2, 200)).astype(np.float32).cumsum(axis=-1)
params = {"head_width": 16, "batch_size": 16, "max_epochs": 3, "device": "cpu"}
free = BELLPretrainer(**params, verbose=True)  # batch normalisation, and no seed of its own
free.set_callbacks(Twice()).fit(seen := Seen(X))
bell = BELLPretrainer(Encoder, augmentation=Compose(), random_state=0, **params).fit(X)
classifier = ECGClassifier(BELLPretrainer(Encoder, **params), max_epochs=1, n_trees=5)
classifier.set_params(device="cpu").set_callbacks(Tells()).fit(X, np.arange(45) % 2)
BELLPretrainer(Encoder, **params).fit(np.ones((8, 1, 200), np.float32))  # all the same
kept = {**params, "random_state": 7, "checkpoint": OUT / "kept"}
BELLPretrainer(**{**kept, "max_epochs": 1}).fit(X)
prolonged = BELLPretrainer(**kept).fit(X)
at_once = BELLPretrainer(**params, random_state=7).fit(X)
found = {
    "rows": seen.rows,
    "history": free.history_,
    "weights": {k: v.numpy() for k, v in free._net.module_.state_dict().items()},
    "latents": bell.transform(X),
    "buffers": {k: v.numpy() for k, v in bell.encoder_.named_buffers()},
    "terms": [[one[name] for name in TERMS] for one in bell.history_],
    "probabilities": classifier.predict_proba(X),
    "pickled": pickle.dumps(bell),
    "prolonged": [prolonged.transform(X), at_once.transform(X)],
}
(OUT / f"{RANK}.pickle").write_bytes(pickle.dumps(found))
if "die" in sys.argv:
    if RANK == "1":
        sys.exit("no more")
    BELLPretrainer(Encoder, **params).fit(X)
'''


def run(folder, *args, n_processes=2, timeout=300):
    script = folder / "script.py"
    script.write_text(SCRIPT)
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n_processes}"]
    command = [sys.executable, *(launcher if n_processes > 1 else []), script, folder, *args]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        list(map(str, command)), env=environment, timeout=timeout, capture_output=True, text=True
    )


def results(folder, *names):
    return [pickle.loads((folder / f"{name}.pickle").read_bytes()) for name in names]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    done = run(folder)
    assert done.returncode == 0, done.stderr[-3000:]
    return results(folder, 0, 1), done


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("one")
    done = run(folder, n_processes=1)
    assert done.returncode == 0, done.stderr[-3000:]
    return results(folder, "alone")[0]


def test_each_reads_its_share_and_all_is_read_once_an_epoch(both):
    (one, other), _ = both
    assert one["rows"][:8] == list(range(8))  # by which a saved file knows them
    rows = [np.reshape(read, (2, -1)) for read in (one["rows"][8:], other["rows"])]  # two epochs
    assert [of.shape[1] for of in rows] == [3 * 8, 3 * 7]  # of three batches
    for first, second in zip(*rows, strict=True):
        assert sorted([*first, *second]) == list(range(45))


def test_all_end_with_the_same_weights_and_history(both):
    (one, other), _ = both
    for name, weight in one["weights"].items():
        np.testing.assert_array_equal(weight, other["weights"][name], err_msg=name)
    for a, b in zip(one["history"], other["history"], strict=True):
        assert {**a, "duration": 0} == {**b, "duration": 0}
    np.testing.assert_array_equal(one["probabilities"], other["probabilities"])


def test_one_is_told_and_stops_all(both):
    (one, other), done = both
    assert done.stdout.count("told") == 2  # of pretraining, and of the classifier
    assert len(one["history"]) == len(other["history"]) == 2


def test_nothing_else_is_printed(both):
    told, *epochs, told_again = both[1].stdout.splitlines()
    assert told == told_again == "told"
    assert [line.split(":")[0] for line in epochs] == [
        f"[BELLPretrainer] epoch {number} of 3" for number in (1, 2)
    ]
    assert both[1].stderr.count("Warning") == both[1].stderr.count("CollapseWarning") == 1


def test_two_learn_what_one_learns_where_records_are_seen_by_themselves(both, alone):
    (one, _), _ = both
    np.testing.assert_allclose(one["terms"][0], alone["terms"][0], rtol=1e-4)
    np.testing.assert_allclose(one["terms"], alone["terms"], rtol=1e-2)  # roundings have grown
    np.testing.assert_allclose(one["latents"], alone["latents"], rtol=1e-2, atol=1e-3)


def test_buffers_are_averaged_after_each_epoch_and_not_before(both, alone):
    (one, other), _ = both
    for of in (one, other):
        seen = {name: float(x) for name, x in of["buffers"].items() if name.endswith("n_seen")}
        assert set(seen.values()) == {3 * 2 * 45 / 2}  # epochs, views
        assert set(seen) == {name for name in alone["buffers"] if name.endswith("n_seen")}
        calls = [int(x) for name, x in of["buffers"].items() if name.endswith("n_calls")]
        assert set(calls) == {3 * 2 * 3}  # epochs, views, batches


def test_a_run_of_two_goes_on_from_a_checkpoint(both):
    (one, other), _ = both
    np.testing.assert_array_equal(one["prolonged"][0], other["prolonged"][0])
    np.testing.assert_array_equal(*one["prolonged"])


def test_what_was_trained_by_two_is_used_by_one(both, alone, tmp_path):
    (one, _), _ = both
    module = type(sys)("__main__")
    exec(SCRIPT.split("class Seen")[0].replace("sys.argv[1]", "'.'"), module.__dict__)
    sys.modules["__main__"], before = module, sys.modules["__main__"]
    try:
        bell = pickle.loads(one["pickled"])
    finally:
        sys.modules["__main__"] = before
    X = np.random.default_rng(0).normal(0, 0.2, (45, 2, 200)).astype(np.float32).cumsum(axis=-1)
    np.testing.assert_allclose(bell.transform(X), one["latents"], rtol=1e-4, atol=1e-5)
    assert bell.partial_fit(X).history_[-1]["epoch"] == 4
    clone(bell)


def test_when_one_dies_all_end_with_an_error(tmp_path):
    done = run(tmp_path, "die", timeout=120)
    assert done.returncode != 0
    assert "no more" in done.stderr


def test_a_process_by_itself_is_alone():
    assert processes() == SINGLE_PROCESS == Processes(0, 1)
    assert SINGLE_PROCESS.first(3) == 3
    assert SINGLE_PROCESS.every(3) == [3]


def batches_of(dataset, *args, **kwargs):
    return list(chain(*ShuffledBatches(dataset, *args, **kwargs)))


def test_batches_are_shared_out():
    parts = [
        batches_of(RowDataset(np.arange(50)), 16, 0, processes=Processes(rank, 3))
        for rank in range(3)
    ]
    whole = batches_of(RowDataset(np.arange(50)), 16, 0)
    for number, batch in enumerate(whole):
        shares = [part[number] for part in parts]
        assert sorted(np.concatenate(shares)) == sorted(batch)
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert all(len(share) >= 2 for part in parts for share in part)
    batches = ShuffledBatches(RowDataset(np.arange(50)), 16, 0)
    assert [batches.n_rows(step) for step in range(4)] == [len(one) for one in whole]


def test_batch_normalisation_alone_is_that_of_pytorch():
    from sklearn_bell.nn.batch_norm import SharedBatchNorm1d

    torch.manual_seed(0)
    ours, usual, x = SharedBatchNorm1d(3), torch.nn.BatchNorm1d(3), torch.randn(9, 3)
    torch.testing.assert_close(ours(x), usual(x))
    torch.testing.assert_close(ours.state_dict(), usual.state_dict())
