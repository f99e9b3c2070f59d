"""Measure the memory for records on disk, and the speed of reading them.

    python benchmarks/bench_memory.py [--gigabytes 20] [--records 20000] [--folder DIR]

The greatest anonymous memory (``RssAnon``, which excludes files), sampled every 10 ms, of a process
that pretrains 8 steps on a sparse memory-mapped array, and that writes the latents of all records
to another. Arrays have .2 GB and ``--gigabytes``, each in its own process. The same for HDF5 in the
chunks that h5py chooses, up to 2 GB. The encoder is tiny, so reading dominates the time.

Then ``--records`` WFDB records of 12 leads, 10 s at 500 Hz, are written to ``--folder`` (a
temporary one), and read by ``read_wfdb(..., out=...)`` at 100 Hz, in turns by one process and by
two: the ratio of their times, and the memory of the reading process with its workers. The script
exits with an error where one of MOST or FASTER is missed. All records are synthetic.
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
from _common import describe_machine

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

most = 0


def anonymous(pid):
    """Return the bytes of anonymous memory of a process; this is fast."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:  # the process has just ended
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def watch():
    """Track the anonymous memory of this process and its workers."""
    global most
    while True:
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
    """Return the numbers printed by a script."""
    command = [sys.executable, "-W", "ignore", "-c", script, *map(str, args)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return [float(number) for number in done.stdout.split()]


def write_records(folder, n_records):
    """Write records of noise, a thousand to a folder."""
    rng = np.random.default_rng(0)
    x = rng.normal(0, 0.2, (5000, 12)).cumsum(axis=0) / 10
    joblib.Parallel(-1)(joblib.delayed(write_record)(folder, i, x) for i in range(n_records))


def write_record(folder, number, x):
    """Write a record, x shifted in time."""
    subfolder = folder / f"{number // 1000:03}"
    subfolder.mkdir(exist_ok=True)
    wfdb.wrsamp(
        f"{number:05}", fs=500, units=["mV"] * 12, sig_name=list(STANDARD_LEADS), fmt=["16"] * 12,
        p_signal=np.roll(x, number, axis=0), write_dir=str(subfolder),
    )  # fmt: skip


def main():
    """Print the figures, and return the missed marks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=20)
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--folder", metavar="DIR", default=None)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    figures = {}
    print(describe_machine())
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for store, gigabytes in (
            ("memmap", options.gigabytes),
            ("hdf5", min(2, options.gigabytes)),
        ):
            memory = []
            for size in (0.2, gigabytes):
                start = time.perf_counter()
                memory.append(run(PRETRAIN, folder, store, round(size * 1e9 / 32_000)))
                fit, transform = memory[-1]
                print(
                    f"{store}, {size} GB: {fit:.0f} MB in fit, {transform:.0f} MB in "
                    f"transform, {time.perf_counter() - start:.0f} s"
                )
            figures[f"growth of {store}, MB"] = max(b - a for a, b in zip(*memory, strict=True))
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        write_records(Path(folder), options.records)
        runs = {1: [], 2: []}
        for _ in range(options.repeats):
            for n_jobs in runs:
                runs[n_jobs].append(run(READ, folder, n_jobs))
    figures["read_wfdb, MB"] = max(mb for results in runs.values() for _, mb in results)
    alone, together = ([seconds for seconds, _ in results] for results in runs.values())
    ratios = [a / b for a, b in zip(alone, together, strict=True)]
    print(
        f"{options.records} records: {statistics.median(alone):.0f} s by one process, "
        f"{statistics.median(together):.0f} s by two, {statistics.median(ratios):.2f} times as "
        f"fast ({min(ratios):.2f} to {max(ratios):.2f})"
    )
    print("; ".join(f"{name}: {value:.0f}" for name, value in figures.items()))
    missed = [name for name, value in figures.items() if value > MOST[name]]
    if statistics.median(ratios) < FASTER:
        missed.append("read_wfdb by two processes")
    return missed


if __name__ == "__main__":
    missed = main()
    sys.exit("missed: " + ", ".join(missed) if missed else 0)
