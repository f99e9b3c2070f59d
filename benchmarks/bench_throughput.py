"""Measure the speed of pretraining, against a plain loop of the same network or another checkout.

    python benchmarks/bench_throughput.py [--device cpu] [--repeats 5] [--scaling]
    python benchmarks/bench_throughput.py --against PATH [--repeats 11]

The reference (``_plain_bell.py``) is BELL written plainly: the default encoder as a branch of
``nn.Conv1d`` for each lead in a loop, in float32, heads in loops, pairs of leads in loops, views
cut record by record in a DataLoader. Network, heads, views, loss, optimiser, batches and number of
steps are equal; only BELLPretrainer filters records.

Times are of whole calls of `fit` (one epoch) and `transform`, in one process, in turns (reference,
float32, bfloat16, reference, ...), after a warm-up: medians, least and greatest. Ratios are those
of neighbours in turns, the median again. Marks: ``RATIOS``. The output also has

- the rounding of latents in bfloat16, in deviations over records;
- the operations of the convolutions (a multiplication and an addition count as two), as a share
  of the rate of a large matrix product;
- with ``--scaling``, the growth of the time of `fit` with records, leads, samples, batch (for as
  many steps) and width: the exponent, which is 1 where it is linear. Convolutions take the square
  of the width.

``--against PATH`` compares this checkout with another one, such as a worktree of an earlier commit:
a child process for each, with PYTHONPATH set to the checkout, runs `fit` and `transform` of the
default encoder in turns. Mark: no more than 5 % slower than the other (``SLOWER``).

Records are noise: times do not depend on them. The script exits with an error where a mark is
missed.
"""

import argparse
import os
import statistics
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import torch
from _common import describe_machine
from _plain_bell import plain_fit, plain_transform
from _timing import matrix_product_rate, noise, print_rates, resolve, time_in_turns
from torch import nn

from sklearn_bell import BELLPretrainer
from sklearn_bell.datasets import make_ecg
from sklearn_bell.nn.augmentation import RandomCrop
from sklearn_bell.nn.encoders import ResNet1d
from sklearn_bell.preprocessing import INDEPENDENT_LEADS

N_LEADS, BATCH = 8, 128
RATIOS = (("float32", 1.2, 1.0), ("bfloat16", 1.5, 1.1))  # precision; marks of fit, transform
SLOWER = 1.05
CHANNELS = (16, 32, 64)


def make_pretrainer(device, precision, width=1.0, **params):
    """Return BELLPretrainer with its defaults, one epoch, and a factor on the channels."""
    channels = [round(width * n) for n in CHANNELS]
    params = {"max_epochs": 1, "batch_size": BATCH, "random_state": 0} | params
    return BELLPretrainer(
        partial(ResNet1d, channels=channels), device=device, precision=precision, **params
    )


def bfloat16_rounding(device, X):
    """Return the mean and the greatest difference of latents in bfloat16, in their deviations."""
    bell = make_pretrainer(device, "float32", max_epochs=2).fit(X)
    exact = bell.transform(X)
    rounded = bell.set_params(precision="bfloat16").transform(X)
    deviation = exact.std(axis=0)
    difference = np.abs(rounded - exact)[:, deviation > 0] / deviation[deviation > 0]
    return difference.mean(), difference.max()


def count_operations(n_leads, n_samples):
    """Return the operations of the convolutions of all branches for a record."""
    count = 0

    def add(layer, inputs, output):
        nonlocal count
        count += 2 * output.numel() * layer.weight[0].numel()

    branch = ResNet1d().eval()
    for layer in branch.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(add)
    branch(torch.zeros(1, 1, n_samples))
    return n_leads * count


def print_share(precision, n_operations, times, peaks):
    """Print the share of the rate of a matrix product."""
    share = n_operations / statistics.median(times[precision]) / peaks[precision]
    print(f"{precision}: {share:.0%} of the rate of a matrix product")


def print_scaling(device, precision, n_records):
    """Print the growth of the time of `fit` with each size."""
    defaults = {"n_records": n_records, "n_leads": N_LEADS, "n_samples": 1000, "batch_size": BATCH}
    defaults["width"] = 1.0
    n_steps = -(-n_records // BATCH)
    sizes = {
        "n_records": [n_records, 2 * n_records, 4 * n_records],
        "n_leads": [2, 4, 8],
        "n_samples": [500, 1000, 2000],
        "batch_size": [32, 64, 128],
        "width": [0.5, 1.0, 2.0],
    }
    print(f"\n| {precision}, `fit` | s | exponent |\n|---|---|---|")
    for name, values in sizes.items():
        calls = {}
        for value in values:
            setting = defaults | {name: value}
            if name == "batch_size":
                setting["n_records"] = n_steps * value
            X = noise(setting["n_records"], setting["n_leads"], setting["n_samples"])
            bell = make_pretrainer(
                device, precision, setting["width"], batch_size=setting["batch_size"]
            )
            calls[value] = partial(bell.fit, X)
        seconds = [statistics.median(s) for s in time_in_turns(calls, device, 3).values()]
        exponent = np.polyfit(np.log(values), np.log(seconds), 1)[0]
        cells = ", ".join(f"{a:g}: {b:.1f}" for a, b in zip(values, seconds, strict=True))
        print(f"| {name} | {cells} | {exponent:.2f} |")


def compare_with_reference(device, options):
    """Print ratios to the reference for each length, and return the missed marks."""
    missed = []
    peaks = {precision: matrix_product_rate(device, precision) for precision, *_ in RATIOS}
    for precision, rate in peaks.items():
        print(f"matrix product in {precision}: {rate / 1e9:.0f} GFLOP/s")
    for n_samples in options.samples:
        X = noise(options.records, N_LEADS, n_samples)
        models = {precision: make_pretrainer(device, precision).fit(X) for precision, *_ in RATIOS}
        calls = {"reference": partial(plain_fit, X, device)}
        calls |= {name: partial(bell.fit, X) for name, bell in models.items()}
        times = time_in_turns(calls, device, options.repeats)
        ratios = print_rates(f"`fit`, 8 x {n_samples}", times, len(X), "reference")
        # two views forward and, at twice the cost, backward; and the target forward
        n_view_samples = RandomCrop()(torch.zeros(1, 1, n_samples)).shape[-1]
        n_operations = 8 * count_operations(N_LEADS, n_view_samples) * len(X)
        for precision, mark, _ in RATIOS:
            print_share(precision, n_operations, times, peaks)
            if ratios[precision] < mark:
                missed.append(f"fit in {precision}, {n_samples} samples")

        plain = plain_fit(X[:BATCH], device).eval()
        calls = {"reference": partial(plain_transform, plain, X, device)}
        calls |= {name: partial(bell.transform, X) for name, bell in models.items()}
        times = time_in_turns(calls, device, options.repeats)
        ratios = print_rates(f"`transform`, 8 x {n_samples}", times, len(X), "reference")
        for precision, _, mark in RATIOS:
            print_share(precision, count_operations(N_LEADS, n_samples) * len(X), times, peaks)
            if ratios[precision] < mark:
                missed.append(f"transform in {precision}, {n_samples} samples")
    return missed


class Checkout:
    """A child process that times calls with the package of a checkout."""

    def __init__(self, root, device, n_records):
        child = Path(__file__).with_name("_timed_child.py")
        command = [sys.executable, "-W", "ignore", str(child)]
        command += map(str, (n_records, N_LEADS, 1000, device))
        environment = os.environ | {"PYTHONPATH": str(root)}
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        imported = Path(self.process.stdout.readline().strip())
        if imported != Path(root).resolve():
            self.close()
            raise SystemExit(
                f"Expected sklearn_bell of {root}, got that of {imported}. Give the root folder of "
                "a checkout."
            )

    def time(self, call):
        """Return the time of ``"fit PRECISION"`` or ``"transform PRECISION"``, in s."""
        print(call, file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline())

    def close(self):
        """End the process."""
        self.process.communicate()


def compare_checkouts(other_root, device, options):
    """Print ratios to another checkout, and return the missed marks."""
    missed = []
    roots = {"other": Path(other_root).resolve(), "this": Path(__file__).resolve().parents[1]}
    for name, root in roots.items():
        command = ["git", "-C", str(root), "describe", "--always", "--dirty"]
        commit = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        print(f"{name}: commit {commit.strip() or 'unknown'}")
    checkouts = {name: Checkout(root, device, options.records) for name, root in roots.items()}
    for function in ("fit", "transform"):
        for precision, *_ in RATIOS:
            call = f"{function} {precision}"
            times = {name: [] for name in checkouts}
            for turn in range(options.repeats + 1):  # the first turn is a warm-up
                # in the order other, this, this, other, ..., so that drift cancels
                names = list(checkouts) if turn % 2 else list(checkouts)[::-1]
                for name in names:
                    seconds = checkouts[name].time(call)
                    if turn:
                        times[name].append(seconds)
            ratios = print_rates(f"`{function}`, {precision}", times, options.records, "other")
            if ratios["this"] < 1 / SLOWER:
                missed.append(call)
    for checkout in checkouts.values():
        checkout.close()
    return missed


def main():
    """Print the tables, and return the missed marks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--records", type=int, default=512)
    parser.add_argument("--samples", nargs="+", type=int, default=(1000, 2048))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--scaling", action="store_true")
    parser.add_argument("--against", metavar="PATH", help="root folder of another checkout")
    options = parser.parse_args()
    device = resolve(options.device)
    n_threads = torch.get_num_threads()
    print(f"{describe_machine()}; {n_threads} threads; {options.records} records of 8 leads")
    if options.against:
        return compare_checkouts(options.against, device, options)

    missed = compare_with_reference(device, options)
    ecgs = make_ecg(options.records, leads=INDEPENDENT_LEADS, sampling_rate=100, random_state=0)
    mean, greatest = bfloat16_rounding(device, ecgs.data)
    print(f"\nbfloat16 rounds latents by {mean:.1%} of their deviation, {greatest:.0%} at most")
    for precision, *_ in RATIOS if options.scaling else ():
        print_scaling(device, precision, options.records)
    return missed


if __name__ == "__main__":
    missed = main()
    sys.exit("missed: " + ", ".join(missed) if missed else 0)
