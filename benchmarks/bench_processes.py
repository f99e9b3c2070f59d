"""Measure what a second process is worth: to pretraining, and to a search.

    python benchmarks/bench_processes.py [--records 2048] [--repeats 3]

Pretraining: the same script alone and in two processes that torchrun starts, with one thread each,
in turns. The time is that of `fit`, without imports; records are noise of 8 leads and 1000 samples,
and BELLPretrainer has its defaults. The marks are that two processes are FASTER times as fast, and
end with the same weights.

A search: four fits of BELLPretrainer by cross_val_score, with ``n_jobs=1`` and ``n_jobs=2``, in
turns; all threads that PyTorch takes by itself. The mark is that two jobs are not slower.
"""

import argparse
import hashlib
import json
import statistics
import subprocess
import sys
import time

import numpy as np
import torch
from _common import machine
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_bell import BELLPretrainer

FASTER = 1.7


def noise(n_records):
    """Return records of noise, in mV, and half of them marked."""
    rng = np.random.default_rng(0)
    X = rng.normal(0, 0.2, (n_records, 8, 1000)).astype(np.float32)
    return X, np.arange(n_records) % 2


def pretrain(n_records):
    """Print how long `fit` took, and what its weights are."""
    torch.set_num_threads(1)
    X, _ = noise(n_records)
    bell = BELLPretrainer(max_epochs=1, random_state=0, precision="auto", device="cpu")
    clone(bell).fit(X[:256])  # what is done once is done
    start = time.perf_counter()
    bell.fit(X)
    seconds = time.perf_counter() - start
    weights = [one.numpy().tobytes() for one in bell._net.module_.state_dict().values()]
    print(json.dumps([seconds, hashlib.sha256(b"".join(weights)).hexdigest()]), flush=True)


def run(n_records, n_processes):
    """Return what each process has printed."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n_processes}"]
    command = [sys.executable, *(launcher if n_processes > 1 else []), __file__]
    command += ["--pretrain", "--records", str(n_records)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]


def search(n_records, n_jobs):
    """Return how long cross-validation takes."""
    X, y = noise(n_records)
    bell = BELLPretrainer(max_epochs=1, random_state=0, precision="auto", device="cpu")
    pipeline = make_pipeline(bell, StandardScaler(), LogisticRegression())
    start = time.perf_counter()
    cross_val_score(pipeline, X, y, cv=4, n_jobs=n_jobs)
    return time.perf_counter() - start


def tell(what, times):
    """Print how many times as fast the second is, and return it."""
    ratios = [a / b for a, b in zip(*times, strict=True)]
    medians = [statistics.median(one) for one in times]
    print(
        f"{what}: {medians[0]:.1f} s and {medians[1]:.1f} s, {statistics.median(ratios):.2f} times "
        f"as fast ({min(ratios):.2f} to {max(ratios):.2f})"
    )
    return statistics.median(ratios)


def main(options):
    """Print the figures, and return what is missed."""
    missed = []
    print(machine())
    times = [], []
    for _ in range(options.repeats):
        [(alone, _)] = run(options.records, 1)
        two = run(options.records, 2)
        times[0].append(alone)
        times[1].append(max(seconds for seconds, _ in two))
        if len({weights for _, weights in two}) > 1:
            missed.append("equal weights")
    if tell("one process and two", times) < FASTER:
        missed.append("two processes")
    search(options.records // 4, 2)  # processes start
    times = [], []
    for _ in range(options.repeats):
        for n_jobs, of_jobs in zip((1, 2), times, strict=True):
            of_jobs.append(search(options.records // 2, n_jobs))
    if tell("n_jobs=1 and n_jobs=2", times) < 1:
        missed.append("n_jobs=2")
    return missed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--pretrain", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.pretrain:
        pretrain(options.records)
    else:
        missed = main(options)
        sys.exit("missed: " + ", ".join(missed) if missed else 0)
