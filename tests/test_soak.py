"""Measurements of the soak test, and their comparison."""

import os
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager

import numpy as np
import pytest

from sklearn_bell.datasets import make_ecg
from tests.soak import COMPARED, WARM_UP, compare, measure, run_cycle, write_records

STEADY = {
    "memory, MB": 450.0, "memory of children, MB": 690.0, "allocated, MB": 160.0, "threads": 3,
    "children": 4, "open files": 16, "files": 50, "different results": 1,
}  # fmt: skip
MEMORY = [name for name in STEADY if name.endswith("MB")]
COUNTS = [name for name in STEADY if name not in MEMORY]


def grown(cycles):
    return {name for name, (*_, is_bounded) in compare(cycles).items() if not is_bounded}


def simulate(n_cycles=WARM_UP + 30, **growth):
    """Return resources that scatter as they do, and grow in every cycle."""
    rng = np.random.default_rng(0)
    scatter = {name: 10 if name.startswith("memory") else 0 for name in STEADY}
    return [
        {
            name: value + n * growth.get(name, 0) + scatter[name] * rng.uniform(-1, 1)
            for name, value in STEADY.items()
        }
        for n in range(n_cycles)
    ]


def test_steady_resources_pass():
    assert grown(simulate()) == set()


@pytest.mark.parametrize("name", STEADY)
def test_growth_in_every_cycle_is_named(name):
    assert grown(simulate(**{name: 1})) == {name}


@pytest.mark.parametrize("name", COUNTS)
def test_counts_must_not_grow(name):
    cycles = simulate()
    for cycle in cycles[-4:]:
        cycle[name] += 1
    assert grown(cycles) == {name}


@pytest.mark.parametrize("name", MEMORY)
@pytest.mark.parametrize(("factor", "is_grown"), [(1.019, False), (1.021, True)])
def test_memory_may_grow_by_two_percent(name, factor, is_grown):
    cycles = [dict(STEADY) for _ in range(WARM_UP + 30)]
    for cycle in cycles[-15:]:
        cycle[name] *= factor
    assert grown(cycles) == ({name} if is_grown else set())


def test_growth_during_warm_up_and_peaks_pass():
    cycles = simulate()
    cycles[-1]["threads"] += 5
    for cycle in cycles[WARM_UP - 2 :]:
        cycle["open files"] += 5
    assert grown(cycles) == set()


def test_too_few_cycles_raise():
    n_cycles = WARM_UP + 3 * COMPARED
    with pytest.raises(ValueError, match=f"Expected at least {n_cycles} cycles"):
        compare(simulate(n_cycles - 1))


@contextmanager
def memory(folder):
    array = np.ones(2**25)  # larger than the memory that earlier tests may have freed
    yield
    del array


@contextmanager
def open_file(folder):
    with open(os.devnull):
        yield


@contextmanager
def temporary_file(folder):
    (folder / "left").touch()
    yield


@contextmanager
def shared_memory(folder):
    with tempfile.NamedTemporaryFile(dir="/dev/shm", prefix=f"sem.of-{os.getpid()}-"):
        yield


@contextmanager
def thread(folder):
    ended = threading.Event()
    threading.Thread(target=ended.wait).start()
    yield
    ended.set()


@contextmanager
def child(folder):
    script = "import sys; x = bytearray(8 * 2**20); print(flush=True); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", script], **pipes) as process:
        process.stdout.readline()
        yield


LEAKS = {
    memory: {"memory, MB", "allocated, MB"},
    open_file: {"open files"},
    temporary_file: {"files"},
    shared_memory: {"files", "open files"},
    thread: {"threads"},
    child: {"children", "memory of children, MB", "open files"},
}


@pytest.mark.parametrize("leak", LEAKS)
def test_leak_is_measured(leak, tmp_path):
    before = measure(tmp_path)
    with leak(tmp_path):
        after = measure(tmp_path)
    larger = {name for name in before if after[name] > before[name] + 4 * name.endswith("MB")}
    assert larger == LEAKS[leak]


def test_empty_folders_of_joblib_are_ignored(tmp_path):
    before = measure(tmp_path)
    (tmp_path / "joblib_memmapping_folder_1").mkdir()
    assert measure(tmp_path)["files"] == before["files"]
    (tmp_path / "joblib_memmapping_folder_1" / "array.pkl").touch()
    assert measure(tmp_path)["files"] == before["files"] + 1


def test_all_resources_are_compared(tmp_path):
    assert STEADY.keys() == measure(tmp_path).keys() | {"different results"}


@pytest.mark.slow
def test_cycles_give_equal_results_and_leave_equal_files(tmp_path):
    write_records(tmp_path / "wfdb")
    ecg = make_ecg(160, classes=["normal", "lbbb"], leads=["II", "V1"], random_state=0)
    first = [array.copy() for array in run_cycle(tmp_path, ecg)]
    n_files = measure(tmp_path)["files"]
    for array, expected in zip(run_cycle(tmp_path, ecg), first, strict=True):
        np.testing.assert_array_equal(array, expected)
    assert measure(tmp_path)["files"] == n_files
