"""Two processes that train one model."""

import os
import pickle
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.base import clone

from sklearn_bell.nn.batch_norm import SharedBatchNorm1d
from sklearn_bell.training._distributed import SINGLE_PROCESS, Processes, current_processes
from tests.training._train_distributed import X, train_rank
from tests.training.test_checkpoint import CHILDREN

ROOT = Path(__file__).parents[2]


def test_process_without_torchrun_is_single():
    assert current_processes() == SINGLE_PROCESS == Processes(0, 1)


def test_single_process_communicates_with_itself():
    tensor = torch.ones(2)
    SINGLE_PROCESS.average([tensor])
    assert SINGLE_PROCESS.broadcast(3) == 3
    assert SINGLE_PROCESS.all_gather(3) == [3]
    assert tensor.tolist() == [1, 1]
    with SINGLE_PROCESS.parallel(torch.nn.Identity()) as module:
        assert isinstance(module, torch.nn.Identity)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_shares_cover_the_batch(size):
    shares = [Processes(rank, size).share(np.arange(8)) for rank in range(size)]
    assert sorted(np.concatenate(shares)) == list(range(8))


def test_shared_batch_norm_of_one_process_equals_torch():
    torch.manual_seed(0)
    shared, usual, x = SharedBatchNorm1d(3), torch.nn.BatchNorm1d(3), torch.randn(9, 3)
    torch.testing.assert_close(shared(x), usual(x))
    torch.testing.assert_close(shared.state_dict(), usual.state_dict())


def test_two_processes_end_with_the_same_weights():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    queue = CHILDREN.Queue()
    processes = [CHILDREN.Process(target=train_rank, args=(r, port, queue)) for r in range(2)]
    for process in processes:
        process.start()
    (first, losses), (second, other_losses) = (queue.get(timeout=120) for _ in range(2))
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert losses == other_losses
    for name, weight in first.items():
        np.testing.assert_array_equal(weight, second[name], err_msg=name)


def run(folder, *args, n_processes=2):
    launcher = (
        "torch.distributed.run",
        "--standalone",
        f"--nproc-per-node={n_processes}",
        "--module",
    )
    command = [
        sys.executable, "-m", *(launcher if n_processes > 1 else ()),
        "tests.training._train_distributed", str(folder), *args,
    ]  # fmt: skip
    return subprocess.run(
        command, env={**os.environ, "OMP_NUM_THREADS": "1"}, cwd=ROOT, timeout=300,
        capture_output=True, text=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Results of both processes, of a single process, and the printed text."""
    folder = tmp_path_factory.mktemp("distributed")
    both, single = run(folder), run(folder, n_processes=1)
    assert both.returncode == 0, both.stderr[-3000:]
    assert single.returncode == 0, single.stderr[-3000:]
    results = [
        pickle.loads((folder / f"{name}.pickle").read_bytes()) for name in ("0", "1", "single")
    ]
    names = "first", "second", "single"
    return SimpleNamespace(**dict(zip(names, results, strict=True)), output=both)


@pytest.mark.slow
class TestTorchrun:
    def test_each_process_reads_its_share_once_per_epoch(self, trained):
        checked = [0, 14, 29, 44]  # whether they are plausible
        assert trained.first["rows"][:12] == [*checked, *range(8)]  # 8 for the data signature
        assert trained.second["rows"][:4] == checked
        first = np.reshape(trained.first["rows"][12:], (2, -1))  # (n_epochs, n_rows)
        second = np.reshape(trained.second["rows"][4:], (2, -1))
        assert (first.shape[1], second.shape[1]) == (3 * 8, 3 * 7)  # of three batches
        for rows in np.concatenate([first, second], axis=1):
            assert sorted(rows) == list(range(45))

    def test_weights_and_history_are_the_same(self, trained):
        for name, weight in trained.first["weights"].items():
            np.testing.assert_array_equal(weight, trained.second["weights"][name], err_msg=name)
        for entry, other in zip(trained.first["history"], trained.second["history"], strict=True):
            assert {**entry, "duration": 0} == {**other, "duration": 0}
        probabilities = trained.first["probabilities"], trained.second["probabilities"]
        np.testing.assert_array_equal(*probabilities)

    def test_callback_of_the_first_process_stops_both(self, trained):
        assert trained.output.stdout.count("set up") == 2  # of a pretrainer and the classifier
        assert len(trained.first["history"]) == len(trained.second["history"]) == 2

    def test_first_process_alone_prints_and_warns(self, trained):
        first, *epochs, last = trained.output.stdout.splitlines()
        assert first == last == "set up"
        assert [line.split(":")[0] for line in epochs] == [
            f"[BELLPretrainer] epoch {number} of 3" for number in (1, 2)
        ]
        n_warnings = trained.output.stderr.count("Warning")
        assert n_warnings == trained.output.stderr.count("CollapseWarning") == 1

    def test_two_processes_learn_as_one(self, trained):
        first, single = trained.first, trained.single
        np.testing.assert_allclose(first["terms"][0], single["terms"][0], rtol=1e-4)
        np.testing.assert_allclose(first["terms"], single["terms"], rtol=1e-2)  # rounding grows
        np.testing.assert_allclose(first["latents"], single["latents"], rtol=1e-2, atol=1e-3)

    @pytest.mark.parametrize("name", ["first", "second"])
    def test_buffers_are_averaged_after_each_epoch(self, name, trained):
        buffers = getattr(trained, name)["buffers"]
        n_seen = {float(x) for name, x in buffers.items() if name.endswith("n_seen")}
        n_calls = {int(x) for name, x in buffers.items() if name.endswith("n_calls")}
        assert n_seen == {3 * 2 * 45 / 2}  # epochs, views; half of the records
        assert n_calls == {3 * 2 * 3}  # epochs, views, batches

    def test_resumed_training_ends_with_the_same_bits(self, trained):
        for results in (trained.first, trained.second):
            np.testing.assert_array_equal(results["resumed"], trained.first["uninterrupted"])

    def test_model_is_used_by_one_process(self, trained):
        bell = pickle.loads(trained.first["pickle"])
        np.testing.assert_allclose(bell.transform(X), trained.first["latents"], rtol=1e-4)
        assert bell.partial_fit(X).history_[-1]["epoch"] == 4
        clone(bell)

    def test_exit_of_one_process_ends_all(self, tmp_path):
        output = run(tmp_path, "exit")
        assert output.returncode != 0
        assert "process 1 exits" in output.stderr
