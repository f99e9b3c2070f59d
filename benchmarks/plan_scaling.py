"""Reckon what one and ten million records cost on machines, from what was measured.

    python benchmarks/plan_scaling.py --fit RATE --transform RATE --read RATE

The rates are those that the other benchmarks print on one machine: records per second and core of
`fit` (bench_processes.py, one process), of `transform` (bench_throughput.py, the whole machine) and
of `read_wfdb` (bench_memory.py, one process). Measured here is how fast shuffled batches of 128 are
read from a memory-mapped array of 2 GB and from an HDF5 file of 0.5 GB, both just written and thus
still in memory: it is what the reading thread can do, whatever the disk. Sizes are counted, of
BELLPretrainer's own encoder and heads: 8 leads, 10 s at 100 Hz. What is not measured is taken from
the marks that the library has set itself (a GPU) or from what sellers state (disks, networks), and
marked so. The rest is arithmetic, and prints the tables of docs/scaling.md.
"""

import argparse
import tempfile
import time

import h5py
import numpy as np
import torch
from _common import machine

from sklearn_bell import BELLPretrainer
from sklearn_bell._utils.validation import Records
from sklearn_bell.datasets import make_ecg
from sklearn_bell.preprocessing import INDEPENDENT_LEADS
from sklearn_bell.training._data import RowDataset, ShuffledBatches, prefetch

N_EPOCHS = 10  # of so many records; 60 are for 2,000
GPU = 20_000  # records per second: the mark, not measured
DISK, NETWORK = 3000, 1250  # MB per second: an NVMe disk, and 10 Gbit/s; as sold
MACHINES = {  # name: cores, GPUs of a node, nodes, GB of memory of a node
    "workstation of 16 cores, at best": (16, 0, 1, 64),
    "workstation with a GPU": (16, 1, 1, 64),
    "node of 8 GPUs": (64, 8, 1, 512),
    "4 nodes of 8 GPUs": (64, 8, 4, 512),
}


def sizes():
    """Return bytes of a record, of its latents, of a WFDB record, of gradients and of a state."""
    ecg = make_ecg(8, leads=list(INDEPENDENT_LEADS), duration=10, sampling_rate=100, random_state=0)
    bell = BELLPretrainer(max_epochs=1, batch_size=8, random_state=0).fit(ecg.data)
    trained = [one for one in bell._net.module_.parameters() if one.requires_grad]
    gradients = 4 * sum(one.numel() for one in trained)
    weights = 4 * sum(one.numel() for one in bell._net.module_.parameters())
    return {
        "record, float32": ecg.data[0].nbytes,
        "record, float16": ecg.data[0].nbytes // 2,
        "record, WFDB (12 leads, 500 Hz, 16 bits)": 12 * 5000 * 2,
        "latents": bell.transform(ecg.data)[0].nbytes,
        "gradients of a step": gradients,
        "checkpoint": weights + 2 * gradients,
    }


def stream_rates():
    """Return the MB per second of shuffled batches of a memory-mapped array, and of HDF5."""
    block = np.random.default_rng(0).normal(0, 0.2, (1024, 8, 1000)).astype(np.float32)
    rates = []
    with tempfile.TemporaryDirectory() as folder:
        X = np.memmap(f"{folder}/X", np.float32, "w+", shape=(64 * 1024, 8, 1000))
        with h5py.File(f"{folder}/X.h5", "w") as file:
            H = file.create_dataset("X", (16 * 1024, 8, 1000), np.float32, chunks=True)
            for source in (X, H):
                for start in range(0, len(source), len(block)):
                    source[start : start + len(block)] = block
                batches = ShuffledBatches(RowDataset(Records(source, (np.float32,))), 128, seed=0)
                start = time.perf_counter()
                for _ in prefetch(batches, torch.device("cpu")):
                    pass
                n_bytes = len(source) * block[0].nbytes
                rates.append(n_bytes / 1e6 / (time.perf_counter() - start))
    return rates


def hours(seconds):
    """Return a time as one reads it."""
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
    print(machine())
    print(f"{vars(options)}\n")
    found = sizes()
    print("| of one | bytes |\n|---|---|")
    for name, n_bytes in found.items():
        print(f"| {name} | {n_bytes:,} |")
    for n_records in (1_000_000, 10_000_000):
        print(f"\n| {n_records:,} records | on disk |\n|---|---|")
        for name in list(found)[:4]:
            print(f"| {name} | {n_records * found[name] / 1e9:,.0f} GB |")
        print(
            f"\n| {n_records:,} records | reading WFDB | an epoch | {N_EPOCHS} epochs "
            "| `transform` | read by each node | in its memory |\n|---|---|---|---|---|---|---|"
        )
        for name, (n_cores, n_gpus, n_nodes, memory) in MACHINES.items():
            rate = n_nodes * n_gpus * GPU if n_gpus else n_cores * options.fit
            n_bytes = n_records * found["record, float32"]
            transform = n_gpus * n_nodes * GPU or n_cores / 2 * options.transform
            cells = [
                hours(n_records / (n_nodes * n_cores * options.read)),
                hours(n_records / rate),
                hours(N_EPOCHS * n_records / rate),
                hours(n_records / transform),
                f"{rate * found['record, float32'] / 1e6 / n_nodes:,.0f} MB/s",
                "yes" if n_bytes < 0.7e9 * memory else "no",
            ]
            print(f"| {name} | {' | '.join(cells)} |")
    seconds = 2 * found["gradients of a step"] / 1e6 / NETWORK
    print("\n| read by | MB/s | records/s |\n|---|---|---|")
    mapped, hdf5 = stream_rates()
    rates = {
        "one thread, memory-mapped": mapped,
        "one thread, HDF5": hdf5,
        "a disk (as sold)": DISK,
    }
    for name, rate in rates.items():
        print(f"| {name} | {rate:,.0f} | {rate * 1e6 / found['record, float32']:,.0f} |")
    print(
        "\n"
        f"Gradients over a network of {NETWORK} MB/s (as sold): {seconds:.2f} s for each step, in "
        f"which a GPU at {GPU} records/s sees {seconds * GPU:,.0f} records."
    )


if __name__ == "__main__":
    main()
