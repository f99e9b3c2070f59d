"""Estimate the cost of one and ten million records, from measured rates.

    python benchmarks/plan_scaling.py --fit RATE --transform RATE --read RATE

The rates are those that other benchmarks print on one machine: records per second and core of `fit`
(bench_processes.py, one process), of `transform` (bench_throughput.py, the whole machine) and of
`read_wfdb` (bench_memory.py, one process). This script measures the rate of reading shuffled
batches of 128 from a memory-mapped array of 2 GB and from an HDF5 file of 0.5 GB. Both have just
been written and are still in memory: the limit of the reading thread, with any disk. Sizes are
counted for the default encoder and heads: 8 leads, 10 s at 100 Hz. The rate of a GPU is the mark
that the library has set itself; rates of disks and networks are those stated by vendors; both are
marked so. The rest is arithmetic, and prints the tables of docs/scaling.md.
"""

import argparse
import tempfile
import time

import h5py
import numpy as np
import torch
from _common import describe_machine

from sklearn_bell import BELLPretrainer
from sklearn_bell._utils.validation import Records
from sklearn_bell.datasets import make_ecg
from sklearn_bell.preprocessing import INDEPENDENT_LEADS
from sklearn_bell.training._data import RowDataset, ShuffledBatches, prefetch

N_EPOCHS = 10  # for a million records; the default of 60 is for 2,000
GPU = 20_000  # records per second: the mark, not measured
DISK, NETWORK = 3000, 1250  # MB per second: an NVMe disk, and 10 Gbit/s; stated by vendors
MACHINES = {  # name: cores, GPUs of a node, nodes, GB of memory of a node
    "workstation of 16 cores, at best": (16, 0, 1, 64),
    "workstation with a GPU": (16, 1, 1, 64),
    "node of 8 GPUs": (64, 8, 1, 512),
    "4 nodes of 8 GPUs": (64, 8, 4, 512),
}


def sizes():
    """Return the bytes of a record, its latents, a WFDB record, gradients and a checkpoint."""
    ecg = make_ecg(8, leads=list(INDEPENDENT_LEADS), duration=10, sampling_rate=100, random_state=0)
    bell = BELLPretrainer(max_epochs=1, batch_size=8, random_state=0).fit(ecg.data)
    parameters = list(bell._net.module_.parameters())
    gradients = 4 * sum(tensor.numel() for tensor in parameters if tensor.requires_grad)
    weights = 4 * sum(tensor.numel() for tensor in parameters)
    return {
        "record, float32": ecg.data[0].nbytes,
        "record, float16": ecg.data[0].nbytes // 2,
        "record, WFDB (12 leads, 500 Hz, 16 bits)": 12 * 5000 * 2,
        "latents": bell.transform(ecg.data)[0].nbytes,
        "gradients of a step": gradients,
        "checkpoint": weights + 2 * gradients,
    }


def read_rate(X):
    """Return the MB per second of reading shuffled batches as `fit` does."""
    batches = ShuffledBatches(RowDataset(Records(X, (np.float32,))), 128, seed=0)
    start = time.perf_counter()
    for _ in prefetch(batches, torch.device("cpu")):
        pass
    return len(X) * X[0].nbytes / 1e6 / (time.perf_counter() - start)


def read_rates():
    """Return the rates of a memory-mapped array of 2 GB, and of HDF5."""
    block = np.random.default_rng(0).normal(0, 0.2, (1024, 8, 1000)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder, h5py.File(f"{folder}/X.h5", "w") as file:
        mapped = np.memmap(f"{folder}/X", np.float32, "w+", shape=(64 * 1024, 8, 1000))
        hdf5 = file.create_dataset("X", (16 * 1024, 8, 1000), np.float32, chunks=True)
        for X in (mapped, hdf5):
            for start in range(0, len(X), len(block)):
                X[start : start + len(block)] = block
        return read_rate(mapped), read_rate(hdf5)


def hours(seconds):
    """Return a time in a readable unit."""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("fit", "transform", "read"):
        parser.add_argument(f"--{name}", type=float, required=True, metavar="RATE")
    options = parser.parse_args()
    print(describe_machine())
    print(f"{vars(options)}\n")
    n_bytes_of = sizes()
    print("| unit | bytes |\n|---|---|")
    for name, n_bytes in n_bytes_of.items():
        print(f"| {name} | {n_bytes:,} |")
    for n_records in (1_000_000, 10_000_000):
        print(f"\n| {n_records:,} records | on disk |\n|---|---|")
        for name in list(n_bytes_of)[:4]:
            print(f"| {name} | {n_records * n_bytes_of[name] / 1e9:,.0f} GB |")
        print(
            f"\n| {n_records:,} records | reading WFDB | an epoch | {N_EPOCHS} epochs "
            "| `transform` | read by each node | in its memory |\n|---|---|---|---|---|---|---|"
        )
        for name, (n_cores, n_gpus, n_nodes, memory) in MACHINES.items():
            rate = n_nodes * n_gpus * GPU if n_gpus else n_cores * options.fit
            n_bytes = n_records * n_bytes_of["record, float32"]
            transform = n_gpus * n_nodes * GPU or n_cores / 2 * options.transform
            cells = [
                hours(n_records / (n_nodes * n_cores * options.read)),
                hours(n_records / rate),
                hours(N_EPOCHS * n_records / rate),
                hours(n_records / transform),
                f"{rate * n_bytes_of['record, float32'] / 1e6 / n_nodes:,.0f} MB/s",
                "yes" if n_bytes < 0.7e9 * memory else "no",
            ]
            print(f"| {name} | {' | '.join(cells)} |")
    seconds = 2 * n_bytes_of["gradients of a step"] / 1e6 / NETWORK
    print("\n| read by | MB/s | records/s |\n|---|---|---|")
    mapped, hdf5 = read_rates()
    rates = {
        "one thread, memory-mapped": mapped,
        "one thread, HDF5": hdf5,
        "a disk (stated by vendors)": DISK,
    }
    for name, rate in rates.items():
        print(f"| {name} | {rate:,.0f} | {rate * 1e6 / n_bytes_of['record, float32']:,.0f} |")
    print(
        "\n"
        f"Gradients over a network of {NETWORK} MB/s (stated by vendors): {seconds:.2f} s for each "
        f"step, in which a GPU at {GPU} records/s sees {seconds * GPU:,.0f} records."
    )


if __name__ == "__main__":
    main()
