"""Measure what memory is needed for records that it does not hold, and how fast they are read.

    python benchmarks/bench_memory.py [--gigabytes 20] [--records 20000] [--folder DIR]

The most anonymous memory (``RssAnon``, which is not that of files), looked at every 10 ms, of a
process that pretrains 8 steps on a sparse memory-mapped array, and that writes the latents of all
records to another, for an array of .2 GB and one of ``--gigabytes``: a process of its own for each
size. The same for HDF5 in the chunks that h5py chooses, up to 2 GB. The encoder is tiny, so that it
is reading that takes time.

Then ``--records`` WFDB records of 12 leads, 10 s at 500 Hz, are written to ``--folder`` (a
temporary one), and read by ``read_wfdb(..., out=...)`` at 100 Hz, in turns by one process and by
two: the ratio of their times, and the memory of the process that reads, with its workers. The
script ends with an error where one of MOST or FASTER is missed.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import joblib
import numpy as np
import wfdb
from _common import machine

from sklearn_bell.preprocessing import STANDARD_LEADS

MOST = {"growth of memmap, MB": 300, "growth of hdf5, MB": 300, "read_wfdb, MB": 500}
FASTER = 1.8

PRETRAIN = """
import sys
import threading
import time
import h5py
import numpy as np
from torch import nn
from sklearn_bell import BELLPretrainer


class TinyEncoder(nn.Module):
    def __init__(self, in_channels=1):
        super().__init__()
        self.linear = nn.Linear(in_channels, 4)

    def forward(self, x):
        return self.linear(x.std(dim=-1))


def anonymous():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1024


def watch():
    global most
    while True:
        most = max(most, anonymous())
        time.sleep(0.01)


folder, store, n_records = sys.argv[1], sys.argv[2], int(sys.argv[3])
shape = n_records, 8, 1000
if store == "memmap":
    X = np.memmap(f"{folder}/X", np.float32, "w+", shape=shape)
else:
    X = h5py.File(f"{folder}/X.h5", "w").create_dataset("X", shape, np.float32, chunks=True)
most = 0
threading.Thread(target=watch, daemon=True).start()
bell = BELLPretrainer(TinyEncoder, max_epochs=1, epoch_size=1024, random_state=0).fit(X)
fitted, most = most, 0
n_features = len(bell.get_feature_names_out())
out = np.memmap(f"{folder}/latents", np.float32, "w+", shape=(n_records, n_features))
bell.transform(X, out=out)
print(fitted, most)
"""

READ = '''
import sys
import time
from pathlib import Path
import psutil
import threading
from sklearn_bell.datasets import read_wfdb

most, ended = 0, False


def anonymous(pid):
    """Bytes that a process has by itself; to ask for this takes hardly any time."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:  # it has just ended
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def watch():
    """Anonymous memory of this process and its workers."""
    global most
    while not ended:
        processes = [own.pid, *(child.pid for child in own.children(recursive=True))]
        for _ in range(10):
            most = max(most, sum(map(anonymous, processes)))
            time.sleep(0.2)


own = psutil.Process()
threading.Thread(target=watch, daemon=True).start()
folder, n_jobs = Path(sys.argv[1]), int(sys.argv[2])
records = sorted(folder.glob("**/*.hea"))
start = time.perf_counter()
read_wfdb(records, sampling_rate=100, n_jobs=n_jobs, out=folder / "out.npy")
print(time.perf_counter() - start, most / 2**20)
'''


def run(script, *args):
    """Return the numbers that a script prints at its end."""
    command = [sys.executable, "-W", "ignore", "-c", script, *map(str, args)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return [float(one) for one in done.stdout.split()]


def write_records(folder, n_records):
    """Write records of noise, a thousand to a folder."""
    rng = np.random.default_rng(0)
    x = rng.normal(0, 0.2, (5000, 12)).cumsum(axis=0) / 10
    joblib.Parallel(-1)(joblib.delayed(write_record)(folder, i, x) for i in range(n_records))


def write_record(folder, number, x):
    """Write a record, x shifted in time."""
    where = folder / f"{number // 1000:03}"
    where.mkdir(exist_ok=True)
    wfdb.wrsamp(
        f"{number:05}", fs=500, units=["mV"] * 12, sig_name=list(STANDARD_LEADS), fmt=["16"] * 12,
        p_signal=np.roll(x, number, axis=0), write_dir=str(where),
    )  # fmt: skip


def main():
    """Print the figures, and return what is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=20)
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--folder", metavar="DIR", default=None)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    found = {}
    print(machine())
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for store, gigabytes in (
            ("memmap", options.gigabytes),
            ("hdf5", min(2, options.gigabytes)),
        ):
            used = []
            for size in (0.2, gigabytes):
                start = time.perf_counter()
                used.append(run(PRETRAIN, folder, store, round(size * 1e9 / 32_000)))
                fitted, transformed = used[-1]
                print(
                    f"{store}, {size} GB: {fitted:.0f} MB in fit, {transformed:.0f} MB in "
                    f"transform, {time.perf_counter() - start:.0f} s"
                )
            found[f"growth of {store}, MB"] = max(b - a for a, b in zip(*used, strict=True))
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        write_records(Path(folder), options.records)
        runs = {1: [], 2: []}
        for _ in range(options.repeats):
            for n_jobs, of_jobs in runs.items():
                of_jobs.append(run(READ, folder, n_jobs))
    found["read_wfdb, MB"] = max(memory for of_jobs in runs.values() for _, memory in of_jobs)
    seconds = {n_jobs: statistics.median(s for s, _ in of) for n_jobs, of in runs.items()}
    faster = [a / b for (a, _), (b, _) in zip(*runs.values(), strict=True)]
    print(
        f"{options.records} records: {seconds[1]:.0f} s by one process, {seconds[2]:.0f} s by two, "
        f"{statistics.median(faster):.2f} times as fast ({min(faster):.2f} to {max(faster):.2f})"
    )
    print("; ".join(f"{what}: {value:.0f}" for what, value in found.items()))
    missed = [what for what, value in found.items() if value > MOST[what]]
    if statistics.median(faster) < FASTER:
        missed.append("read_wfdb by two processes")
    return missed


if __name__ == "__main__":
    missed = main()
    sys.exit("missed: " + ", ".join(missed) if missed else 0)
