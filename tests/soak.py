"""Repeat everything that users do, and detect leaks.

    python tests/soak.py [--minutes 60] [--folder DIR]

A cycle pretrains, pickles, saves, loads, resumes from a checkpoint, fine-tunes, synthesises
records, reads WFDB records in two processes, and searches in two processes and in two threads. It
prints the anonymous memory (``RssAnon``) of the process and of its children, the memory allocated
by glibc, and the numbers of threads, children, open files, files in the folder, ``TMPDIR`` and
``/dev/shm``, and different results so far.

After WARM_UP cycles, medians must not grow: of memory, which scatters, between the first and the
last third of the cycles by less than GROWTH; of counts, between the first and the last COMPARED
cycles. Otherwise the script ends with an error.
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

WARM_UP = 30  # cycles until glibc has all memory that threads need at most
COMPARED, GROWTH = 5, 0.02
SMALL = {"max_epochs": 1, "batch_size": 32, "random_state": 0}
N_WFDB = 20


def run_cycle(folder, ecg):
    """Use the library, and yield all results as arrays."""
    X, y = ecg.data, ecg.target
    bell = BELLPretrainer(head_width=32, **SMALL)
    yield bell.fit(X).transform(X)
    yield pickle.loads(pickle.dumps(bell)).transform(X)
    bell.save(folder / "bell.safetensors")
    yield load(folder / "bell.safetensors").transform(X)

    for path in folder.glob("states/*/epoch-*.safetensors"):
        path.unlink()  # so that every cycle trains; all other files stay and count
    bell.set_params(checkpoint=folder / "states").fit(X)
    yield bell.set_params(max_epochs=2).fit(X).transform(X)
    bell.set_params(checkpoint=None, max_epochs=1)

    y_few = np.where(np.arange(len(y)) < 60, y, -1)
    yield ECGClassifier(bell, n_trees=20, **SMALL).fit(X, y_few).predict_proba(X)

    vqvae = VQVAETransformer(n_codes=8, n_codebooks=2, n_features=4, width=8, **SMALL)
    rows = np.r_[np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:10]]
    for method in ("interpolate", "prior"):
        sampler = VQVAEOverSampler(method=method, vqvae=vqvae, prior_epochs=1, random_state=0)
        yield sampler.fit_resample(X[rows], y[rows])[0]

    headers = sorted(folder.glob("wfdb/*.hea"))
    yield read_wfdb(headers, n_jobs=2).data
    yield read_wfdb(headers, sampling_rate=100, n_jobs=2, out=folder / "read.npy").data

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


def measure(folder):
    """Return the resources that this process and its children use."""
    process = psutil.Process()
    children = process.children(recursive=True)
    return {
        "memory, MB": anonymous_memory(process.pid),
        "memory of children, MB": sum(anonymous_memory(child.pid) for child in children),
        "allocated, MB": allocated_memory(),
        "threads": process.num_threads(),
        "children": len(children),
        "open files": process.num_fds(),
        "files": count_files(folder, process.pid),
    }


def count_files(folder, pid):
    """Return the number of files and folders in a folder, and of a process in shared memory."""
    number = re.compile(rf"(?<!\d){pid}(?!\d)")
    shared = [path for path in Path("/dev/shm").iterdir() if number.search(path.name)]
    paths = shared + [path for root in [folder, *shared] for path in root.rglob("*")]
    # joblib leaves an empty folder for each Parallel until the process ends
    return sum("joblib_memmapping_folder" not in path.name for path in paths)


def anonymous_memory(pid):
    """Return the anonymous memory of a process in MB, or 0 if it has ended."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        match = re.search(r"RssAnon:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
        return int(match[1]) / 1024 if match else 0.0
    return 0.0


class MallocInfo(ctypes.Structure):
    """Result of glibc's mallinfo2, in bytes."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks",
                     "uordblks", "fordblks", "keepcost")
    ]  # fmt: skip


def allocated_memory():
    """Return the memory of this process that is not free, in MB."""
    glibc = ctypes.CDLL(None)
    glibc.mallinfo2.restype = MallocInfo
    info = glibc.mallinfo2()
    return (info.uordblks + info.hblkhd) / 2**20


def compare(cycles):
    """Compare the first and the last cycles.

    Parameters
    ----------
    cycles : list of dict
        Resources after each cycle.

    Returns
    -------
    comparison : dict of tuple
        For each resource, the first and last median, and whether growth is within bounds.
    """
    counted = cycles[WARM_UP:]
    if len(counted) < 3 * COMPARED:
        raise ValueError(f"Expected at least {WARM_UP + 3 * COMPARED} cycles, got {len(cycles)}.")
    comparison = {}
    for name in counted[0]:
        is_memory, values = name.endswith("MB"), [cycle[name] for cycle in counted]
        n = len(counted) // 3 if is_memory else COMPARED
        first, last = statistics.median(values[:n]), statistics.median(values[-n:])
        comparison[name] = first, last, last < (1 + GROWTH) * first if is_memory else last <= first
    return comparison


def soak(folder, minutes):
    """Run cycles, print their resources, and return them."""
    write_records(folder / "wfdb")
    ecg = make_ecg(160, classes=["normal", "lbbb"], leads=["II", "V1"], random_state=0)
    cycles, results, start = [], set(), time.monotonic()
    while (begin := time.monotonic()) - start < 60 * minutes:
        digest = hashlib.sha256()
        for array in run_cycle(folder, ecg):
            digest.update(np.ascontiguousarray(array))
        results.add(digest.digest())
        gc.collect()
        cycles.append(measure(folder) | {"different results": len(results)})
        if len(cycles) == 1:
            print("cycle, s, " + ", ".join(cycles[0]))
        values = (f"{value:.5g}" for value in cycles[-1].values())
        print(len(cycles), f"{time.monotonic() - begin:.1f}", *values, flush=True)
    return cycles


def main():
    """Print a line per cycle and a table, and return the names of resources that have grown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--folder", metavar="DIR", default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        os.environ["TMPDIR"] = tempfile.tempdir = f"{folder}/tmp"
        Path(tempfile.tempdir).mkdir()
        cycles = soak(Path(folder), options.minutes)
    comparison = compare(cycles)
    print(f"\n| {len(cycles)} cycles | first | last | |\n|---|---|---|---|")
    for name, (first, last, is_bounded) in comparison.items():
        print(f"| {name} | {first:.5g} | {last:.5g} | {'' if is_bounded else 'grown'} |")
    return [name for name, (*_, is_bounded) in comparison.items() if not is_bounded]


if __name__ == "__main__":
    grown = main()
    sys.exit("grown: " + ", ".join(grown) if grown else 0)
