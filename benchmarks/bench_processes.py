"""Measure what a second process is worth: to pretraining, and to a search.

    python benchmarks/bench_processes.py [--records 4096] [--repeats 3]

Pretraining, of BELLPretrainer's own encoder and of VGG16 of width 1/8, in batches of 128 and of 512
records: the same script alone, in two processes that torchrun starts, and in two that know nothing
of each other and have half of the records and of the batch each, which is what the machine has to
give; one thread each, in turns. The time is that of `fit`, without imports; records are noise of 8
leads and 1000 samples, precision is "auto" for the one encoder and float32 for the other. The marks
are that two processes are FASTER times as fast, and end with the same weights.

A search: four fits of BELLPretrainer by cross_val_score, with ``n_jobs=1`` and ``n_jobs=2``, in
turns; all threads that PyTorch takes by itself. The mark is that two jobs are not slower.
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
from _common import machine
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_bell import BELLPretrainer
from sklearn_bell.nn.encoders import ResNet1d, VGG1d

FASTER, BATCHES = 1.7, (128, 512)
SETTINGS = {"ResNet1d": (ResNet1d, "auto"), "VGG1d": (VGG1d, "float32")}


def noise(n_records):
    """Return records of noise, in mV, and half of them marked."""
    rng = np.random.default_rng(0)
    X = rng.normal(0, 0.2, (n_records, 8, 1000)).astype(np.float32)
    return X, np.arange(n_records) % 2


def pretrain(options):
    """Print how long `fit` took, and what its weights are."""
    torch.set_num_threads(1)
    X, _ = noise(options.records)
    encoder, precision = SETTINGS[options.encoder]
    bell = BELLPretrainer(
        encoder, max_epochs=1, batch_size=options.batch_size, random_state=0, precision=precision,
        device="cpu",
    )  # fmt: skip
    clone(bell).fit(X[:256])  # what is done once is done
    start = time.perf_counter()
    bell.fit(X)
    seconds = time.perf_counter() - start
    weights = [one.numpy().tobytes() for one in bell._net.module_.state_dict().values()]
    print(json.dumps([seconds, hashlib.sha256(b"".join(weights)).hexdigest()]), flush=True)


def start(encoder, batch_size, n_records, n_processes=1):
    """Start a process, or several that train together."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n_processes}"]
    command = [sys.executable, *(launcher if n_processes > 1 else []), __file__]
    command += ["--encoder", encoder, f"--records={n_records}", f"--batch-size={batch_size}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def ended(process):
    """Return what each process has printed."""
    lines, _ = process.communicate()
    if process.returncode:
        sys.exit(process.returncode)
    return [json.loads(line) for line in lines.splitlines() if line.startswith("[")]


def search(n_records, n_jobs):
    """Return how long cross-validation takes."""
    X, y = noise(n_records)
    bell = BELLPretrainer(max_epochs=1, random_state=0, precision="auto", device="cpu")
    pipeline = make_pipeline(bell, StandardScaler(), LogisticRegression())
    start = time.perf_counter()
    cross_val_score(pipeline, X, y, cv=4, n_jobs=n_jobs)
    return time.perf_counter() - start


def tell(what, times):
    """Print how many times as fast each is as the first, and return it of the second."""
    first, *others = times.values()
    cells = [f"{statistics.median(first):.1f} s"]
    ratios = [[a / b for a, b in zip(first, other, strict=True)] for other in others]
    for other, each in zip(others, ratios, strict=True):
        spread = f"{min(each):.2f} to {max(each):.2f}"
        median = statistics.median(each)
        cells.append(f"{statistics.median(other):.1f} s, {median:.2f} times as fast ({spread})")
    print(f"| {what} | {' | '.join(cells)} |", flush=True)
    return statistics.median(ratios[0])


def main(options):
    """Print the figures, and return what is missed."""
    missed = []
    print(machine())
    print("\n| encoder, batch | one process | two | two that do not train together |")
    print("|---|---|---|---|")
    for encoder in SETTINGS:
        for batch_size in BATCHES:
            times = {"one": [], "two": [], "apart": []}
            for _ in range(options.repeats):
                [(alone, _)] = ended(start(encoder, batch_size, options.records))
                two = ended(start(encoder, batch_size, options.records, 2))
                apart = [start(encoder, batch_size // 2, options.records // 2) for _ in range(2)]
                apart = [seconds for one in apart for seconds, _ in ended(one)]
                times["one"].append(alone)
                times["two"].append(max(seconds for seconds, _ in two))
                times["apart"].append(max(apart))
                if len({weights for _, weights in two}) > 1:
                    missed.append("equal weights")
            if tell(f"{encoder}, {batch_size}", times) < FASTER:
                missed.append(f"two processes with {encoder} in batches of {batch_size}")
    print("\n| | `n_jobs=1` | `n_jobs=2` |\n|---|---|---|")
    search(options.records // 8, 2)  # processes start
    times = {1: [], 2: []}
    for _ in range(options.repeats):
        for n_jobs, of_jobs in times.items():
            of_jobs.append(search(options.records // 4, n_jobs))
    if tell("cross-validation", times) < 1:
        missed.append("n_jobs=2")
    return missed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=4096)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--encoder", default=None, help=argparse.SUPPRESS)
    parser.add_argument("--batch-size", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.encoder:
        pretrain(options)
    else:
        missed = main(options)
        sys.exit("missed: " + ", ".join(missed) if missed else 0)
