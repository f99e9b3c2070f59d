"""Do all that users do again and again, and see whether anything is left behind.

    python tests/soak.py [--minutes 60] [--folder DIR]

A cycle pretrains, pickles, saves and loads, goes on from a checkpoint, fine-tunes, makes new
records, reads WFDB records in two processes, and searches in two processes and in two threads.
After each, a line tells of the process: its anonymous memory (``RssAnon``), that of its children,
and what of its own is allocated (by glibc, which keeps some of what is freed); threads, children,
open files, the files in its folder, where those of ``TMPDIR`` go too, with its own in ``/dev/shm``,
and how many different results there were so far.

The first WARM_UP cycles do not count. Then medians are compared: of memory, which scatters, those
of the first and the last third of the cycles, which may differ by less than GROWTH; of counts,
those of the first and the last COMPARED cycles, and none may have grown. What is missed is printed,
and the script ends with an error.
"""

import argparse
import contextlib
import ctypes
import gc
import hashlib
import os
import pickle
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import wfdb
from joblib import parallel_config
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_bell import BELLPretrainer, ECGClassifier, VQVAEOverSampler, VQVAETransformer, load
from sklearn_bell.datasets import make_ecg, read_wfdb

WARM_UP = 30  # until glibc has taken all that threads ask for at worst
COMPARED, GROWTH = 5, 0.02
SMALL = {"max_epochs": 1, "batch_size": 32, "random_state": 0}
N_WFDB = 20


def cycle(folder, ecg):
    """Do what users do, and yield what comes out, as arrays."""
    X, y = ecg.data, ecg.target
    bell = BELLPretrainer(head_width=32, **SMALL)
    yield bell.fit(X).transform(X)
    yield pickle.loads(pickle.dumps(bell)).transform(X)
    bell.save(folder / "bell.safetensors")
    yield load(folder / "bell.safetensors").transform(X)

    for path in folder.glob("kept/*/epoch-*"):
        path.unlink()  # so that there is training to do; anything else stays, and is counted
    bell.set_params(checkpoint=folder / "kept").fit(X)
    yield bell.set_params(max_epochs=2).fit(X).transform(X)
    bell.set_params(checkpoint=None, max_epochs=1)

    few = np.where(np.arange(len(y)) < 60, y, -1)
    yield ECGClassifier(bell, n_trees=20, **SMALL).fit(X, few).predict_proba(X)

    vqvae = VQVAETransformer(n_codes=8, n_codebooks=2, n_features=4, width=8, **SMALL)
    rows = np.r_[np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:10]]
    for method in ("interpolate", "prior"):
        sampler = VQVAEOverSampler(method=method, vqvae=vqvae, prior_epochs=1, random_state=0)
        yield sampler.fit_resample(X[rows], y[rows])[0]

    records = sorted(folder.glob("wfdb/*.hea"))
    yield read_wfdb(records, n_jobs=2).data
    yield read_wfdb(records, sampling_rate=100, n_jobs=2, out=folder / "read.npy").data

    pipeline = make_pipeline(bell, StandardScaler(), LogisticRegression())
    grid = {"bellpretrainer__gamma": [0.2, 1.0]}
    for backend in ("loky", "threading"):
        with parallel_config(backend):
            search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2).fit(X, y)
        yield search.cv_results_["mean_test_score"]
        yield search.predict_proba(X)


def write_records(folder):
    """Write WFDB records of noise."""
    folder.mkdir()
    x = np.random.default_rng(0).normal(0, 0.2, (2500, 2))
    for number in range(N_WFDB):
        wfdb.wrsamp(
            f"{number:03}", fs=250, units=["mV"] * 2, sig_name=["II", "V1"], fmt=["16"] * 2,
            p_signal=np.roll(x, number, axis=0), write_dir=str(folder),
        )  # fmt: skip


def note(folder):
    """Return the figures of this process, and of its children."""
    own = psutil.Process()
    children = own.children(recursive=True)
    return {
        "memory, MB": anonymous(own.pid),
        "memory of children, MB": sum(anonymous(child.pid) for child in children),
        "allocated, MB": allocated(),
        "threads": own.num_threads(),
        "children": len(children),
        "open files": own.num_fds(),
        "files": n_files(folder, own.pid),
    }


def n_files(folder, pid):
    """Return how many files and folders are in a folder, and of a process in shared memory."""
    of_pid = [
        path for path in Path("/dev/shm").iterdir() if str(pid) in re.findall(r"\d+", path.name)
    ]
    inside = [path for one in [folder, *of_pid] for path in one.rglob("*")]
    # joblib leaves an empty folder for each Parallel, until the process ends
    return sum("joblib_memmapping_folder" not in path.name for path in [*of_pid, *inside])


def anonymous(pid):
    """Return the anonymous memory of a process in MB, 0 where it has ended."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon"):
                return int(line.split()[1]) / 1024
    return 0.0


class Allocations(ctypes.Structure):
    """What glibc tells of its memory, in bytes."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks",
                     "uordblks", "fordblks", "keepcost")
    ]  # fmt: skip


def allocated():
    """Return what of the memory of this process is not free, in MB."""
    glibc = ctypes.CDLL(None)
    glibc.mallinfo2.restype = Allocations
    found = glibc.mallinfo2()
    return (found.uordblks + found.hblkhd) / 2**20


def judge(noted):
    """Return for each figure what it was at first, and in the end, and whether the mark is met.

    Parameters
    ----------
    noted : list of dict
        The figures after each cycle.

    Returns
    -------
    judged : dict of tuple
    """
    counted = noted[WARM_UP:]
    if len(counted) < 3 * COMPARED:
        raise ValueError(f"{len(noted)} cycles are too few: {WARM_UP + 3 * COMPARED} are needed.")
    judged = {}
    for name in counted[0]:
        is_memory, figures = name.endswith("MB"), [one[name] for one in counted]
        n = len(counted) // 3 if is_memory else COMPARED
        first, last = statistics.median(figures[:n]), statistics.median(figures[-n:])
        met = last < (1 + GROWTH) * first if is_memory else last <= first
        judged[name] = first, last, met
    return judged


def soak(folder, minutes):
    """Return the figures after each cycle."""
    write_records(folder / "wfdb")
    ecg = make_ecg(160, classes=["normal", "lbbb"], leads=["II", "V1"], random_state=0)
    noted, results, start = [], set(), time.monotonic()
    while (passed := time.monotonic() - start) < 60 * minutes:
        digest = hashlib.sha256()
        for array in cycle(folder, ecg):
            digest.update(np.ascontiguousarray(array))
        results.add(digest.digest())
        gc.collect()
        noted.append(note(folder) | {"different results": len(results)})
        if len(noted) == 1:
            print("cycle, s, " + ", ".join(noted[0]))
        seconds = time.monotonic() - start - passed
        print(len(noted), f"{seconds:.1f}", *(f"{x:.5g}" for x in noted[-1].values()), flush=True)
    return noted


def main():
    """Print a line for each cycle and a table of all, and return what is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--folder", metavar="DIR", default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        os.environ["TMPDIR"] = tempfile.tempdir = f"{folder}/tmp"
        Path(tempfile.tempdir).mkdir()
        noted = soak(Path(folder), options.minutes)
    judged = judge(noted)
    print(f"\n| {len(noted)} cycles | at first | in the end | |\n|---|---|---|---|")
    for name, (first, last, met) in judged.items():
        print(f"| {name} | {first:.5g} | {last:.5g} | {'' if met else 'missed'} |")
    return [name for name, (*_, met) in judged.items() if not met]


if __name__ == "__main__":
    missed = main()
    sys.exit("missed: " + ", ".join(missed) if missed else 0)
