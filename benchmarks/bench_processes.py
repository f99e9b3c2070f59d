"""Measure the gain from a second process: in pretraining, and in a search.

    python benchmarks/bench_processes.py [--records 4096] [--repeats 3]

Pretraining, of the default encoder in bfloat16 where possible and in float32, in batches of 128 and
of 512 records: the same script alone, in two processes that torchrun starts, and in two independent
processes with half of the records and of the batch each, the limit of the machine. One thread each,
in turns. The time is that of `fit`, without imports; records are noise of 8 leads and 1000 samples.
The marks: two processes are FASTER times as fast, and end with the same weights.

A search: four fits of BELLPretrainer by cross_val_score, with ``n_jobs=1`` and ``n_jobs=2``, in
turns; with the default number of threads. The mark: two jobs are not slower.
"""

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import time

import numpy as np
import torch
from _common import describe_machine
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_bell import BELLPretrainer

FASTER, BATCHES, PRECISIONS = 1.7, (128, 512), ("auto", "float32")


def noise(n_records):
    """Return records of noise, in mV, and alternating labels."""
    rng = np.random.default_rng(0)
    X = rng.normal(0, 0.2, (n_records, 8, 1000)).astype(np.float32)
    return X, np.arange(n_records) % 2


def pretrain(options):
    """Print the time of `fit`, and a digest of the weights."""
    torch.set_num_threads(1)
    X, _ = noise(options.records)
    bell = BELLPretrainer(
        max_epochs=1, batch_size=options.batch_size, random_state=0, precision=options.precision,
        device="cpu",
    )  # fmt: skip
    clone(bell).fit(X[:256])  # warm up
    start = time.perf_counter()
    bell.fit(X)
    seconds = time.perf_counter() - start
    weights = [tensor.numpy().tobytes() for tensor in bell.encoder_.state_dict().values()]
    print(json.dumps([seconds, hashlib.sha256(b"".join(weights)).hexdigest()]), flush=True)


def start(precision, batch_size, n_records, n_processes=1):
    """Start a process, or several that train together."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n_processes}"]
    command = [sys.executable, *(launcher if n_processes > 1 else []), __file__]
    command += ["--precision", precision, f"--records={n_records}", f"--batch-size={batch_size}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def wait_for(process):
    """Return the results printed by a process and its children."""
    lines, _ = process.communicate()
    if process.returncode:
        sys.exit(process.returncode)
    return [json.loads(line) for line in lines.splitlines() if line.startswith("[")]


def search(n_records, n_jobs):
    """Return the time of a cross-validation."""
    X, y = noise(n_records)
    bell = BELLPretrainer(max_epochs=1, random_state=0, precision="auto", device="cpu")
    pipeline = make_pipeline(bell, StandardScaler(), LogisticRegression())
    start = time.perf_counter()
    cross_val_score(pipeline, X, y, cv=4, n_jobs=n_jobs)
    return time.perf_counter() - start


def print_ratios(title, baseline, *alternatives):
    """Print times, and their ratios to those of the baseline; return the first ratio."""
    cells, medians = [f"{statistics.median(baseline):.1f} s"], []
    for times in alternatives:
        ratios = [a / b for a, b in zip(baseline, times, strict=True)]
        medians.append(statistics.median(ratios))
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        cells.append(
            f"{statistics.median(times):.1f} s, {medians[-1]:.2f} times as fast ({spread})"
        )
    print(f"| {title} | {' | '.join(cells)} |", flush=True)
    return medians[0]


def main(options):
    """Print the figures, and return the missed marks."""
    missed = []
    print(describe_machine())
    print("\n| precision, batch | one process | two | two independent ones |")
    print("|---|---|---|---|")
    for precision in PRECISIONS:
        for batch_size in BATCHES:
            alone, together, independent = [], [], []
            for _ in range(options.repeats):
                [(seconds, _)] = wait_for(start(precision, batch_size, options.records))
                alone.append(seconds)
                results = wait_for(start(precision, batch_size, options.records, 2))
                together.append(max(seconds for seconds, _ in results))
                if len({weights for _, weights in results}) > 1:
                    missed.append("equal weights")
                pair = [start(precision, batch_size // 2, options.records // 2) for _ in range(2)]
                independent.append(max(seconds for p in pair for seconds, _ in wait_for(p)))
            title = f"{precision}, {batch_size}"
            if print_ratios(title, alone, together, independent) < FASTER:
                missed.append(f"two processes in {precision}, batches of {batch_size}")
    print("\n| | `n_jobs=1` | `n_jobs=2` |\n|---|---|---|")
    search(options.records // 8, 2)  # start the workers
    times = {1: [], 2: []}
    for _ in range(options.repeats):
        for n_jobs in times:
            times[n_jobs].append(search(options.records // 4, n_jobs))
    if print_ratios("cross-validation", times[1], times[2]) < 1:
        missed.append("n_jobs=2")
    return missed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=4096)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--precision", default=None, help=argparse.SUPPRESS)
    parser.add_argument("--batch-size", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.precision:
        pretrain(options)
    else:
        missed = main(options)
        sys.exit("missed: " + ", ".join(missed) if missed else 0)
