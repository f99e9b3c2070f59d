"""What the soak looks at, and when it fails."""

import os
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager

import numpy as np
import pytest

from tests.soak import COMPARED, WARM_UP, judge, note

STEADY = {
    "memory, MB": 450.0, "memory of children, MB": 690.0, "allocated, MB": 160.0, "threads": 3,
    "children": 4, "open files": 16, "files": 50, "different results": 1,
}  # fmt: skip


def missed(noted):
    return {name for name, (*_, met) in judge(noted).items() if not met}


def soaked(n_cycles=WARM_UP + 30, **growth):
    """Figures that grow by so much in every cycle, and scatter as they do."""
    rng = np.random.default_rng(0)
    scatter = {name: 10 if name.startswith("memory") else 0 for name in STEADY}
    return [
        {
            name: value + n * growth.get(name, 0) + scatter[name] * rng.uniform(-1, 1)
            for name, value in STEADY.items()
        }
        for n in range(n_cycles)
    ]


def test_what_is_steady_passes():
    assert missed(soaked()) == set()


@pytest.mark.parametrize("name", STEADY)
def test_what_grows_with_every_cycle_is_missed_by_name(name):
    assert missed(soaked(**{name: 1})) == {name}


@pytest.mark.parametrize("name", [name for name in STEADY if not name.endswith("MB")])
def test_one_of_anything_is_too_many(name):
    noted = soaked()
    for one in noted[-4:]:
        one[name] += 1
    assert missed(noted) == {name}


@pytest.mark.parametrize("name", [name for name in STEADY if name.endswith("MB")])
def test_memory_may_grow_by_less_than_two_percent(name):
    noted = [dict(STEADY) for _ in range(WARM_UP + 30)]
    for one in noted[-15:]:
        one[name] *= 1.019
    assert missed(noted) == set()
    for one in noted[-15:]:
        one[name] *= 1.002
    assert missed(noted) == {name}


def test_what_comes_and_goes_or_is_there_before_the_warm_up_ends_is_no_leak():
    noted = soaked()
    noted[-1]["threads"] += 5
    for one in noted[WARM_UP - 2 :]:
        one["open files"] += 5
    assert missed(noted) == set()


def test_too_few_cycles_say_nothing():
    with pytest.raises(ValueError, match="too few"):
        judge(soaked(WARM_UP + 3 * COMPARED - 1))


@contextmanager
def memory(folder):
    kept = np.ones(2**25)  # more than what earlier tests may have left to be taken
    yield
    del kept


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


LEFT = {
    memory: {"memory, MB", "allocated, MB"},
    open_file: {"open files"},
    temporary_file: {"files"},
    shared_memory: {"files", "open files"},
    thread: {"threads"},
    child: {"children", "memory of children, MB", "open files"},
}


@pytest.mark.parametrize("leave", LEFT)
def test_what_is_left_is_seen(leave, tmp_path):
    before = note(tmp_path)
    with leave(tmp_path):
        after = note(tmp_path)
    grown = {name for name in before if after[name] > before[name] + 4 * name.endswith("MB")}
    assert grown == LEFT[leave]


def test_empty_folders_of_joblib_are_no_leak(tmp_path):
    before = note(tmp_path)
    (tmp_path / "joblib_memmapping_folder_1").mkdir()
    assert note(tmp_path)["files"] == before["files"]
    (tmp_path / "joblib_memmapping_folder_1" / "array.pkl").touch()
    assert note(tmp_path)["files"] == before["files"] + 1


def test_all_figures_are_judged_here(tmp_path):
    assert STEADY.keys() == note(tmp_path).keys() | {"different results"}
