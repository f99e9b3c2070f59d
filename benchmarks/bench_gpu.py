"""Measure the speed of pretraining on a GPU, against the rate of its memory.

    python benchmarks/bench_gpu.py [--device cuda] [--records 20480] [--batch 1024] [--epochs 20]

The time of `fit` from records in memory to the end, with the default encoder, on records of noise
(8 x 1000), matrix products in bfloat16, after a warm-up of one epoch. The baseline is a copy on the
same device: every layer of every branch reads its input and writes its output once in a forward
pass. In a backward pass it reads input and gradient and writes a gradient. All values have 16 bits.
Two views go through the online network forward and backward, and through the target network
forward. Weights, heads and views are smaller, and are not counted.

The script exits with an error where a mark is missed: RATE records per second, and SHARE of the
copy's rate. The marks are for one data-centre GPU, but the script also runs on a CPU, with fewer
records.
"""

import argparse
import sys
from functools import partial

import torch
from _common import describe_machine
from _timing import copy_rate, noise, resolve, timed
from torch import nn

from sklearn_bell import BELLPretrainer
from sklearn_bell.nn.augmentation import RandomCrop
from sklearn_bell.nn.encoders import ResNet1d

N_LEADS, RATE, SHARE = 8, 20_000, 0.4
LAYERS = (nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.AvgPool2d)


def count_traffic(n_samples):
    """Return the bytes that a step moves for a record of one lead."""
    n_values = 0

    def add(layer, inputs, output):
        nonlocal n_values
        n_values += inputs[0].numel() + output.numel()

    branch = ResNet1d().eval()
    for layer in branch.modules():
        if isinstance(layer, LAYERS):
            layer.register_forward_hook(add)
    branch(torch.zeros(1, 1, n_samples))
    forward = 2 * n_values  # bytes
    backward = 1.5 * forward  # reads input and gradient, writes the gradient of the input
    return 2 * (forward + backward) + 2 * forward


def main():
    """Print the figures, and return the missed marks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--records", type=int, default=20 * 1024)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()
    device = resolve(options.device)
    rate_of_copy = copy_rate(device)
    print(f"{describe_machine()}; {device}; copy: {rate_of_copy / 1e9:.0f} GB/s")
    X = noise(options.records, N_LEADS, 1000)
    bell = BELLPretrainer(
        max_epochs=1, batch_size=options.batch, device=device, precision="bfloat16", random_state=0
    ).fit(X)
    bell.set_params(max_epochs=options.epochs)
    rate = options.epochs * len(X) / timed(partial(bell.fit, X), device)
    bytes_per_record = N_LEADS * count_traffic(RandomCrop()(torch.zeros(1, 1, 1000)).shape[-1])
    share = rate * bytes_per_record / rate_of_copy
    print("| records/s | MB moved per record | share of the copy's rate |\n|---|---|---|")
    print(f"| {rate:.0f} | {bytes_per_record / 1e6:.1f} | {share:.0%} |")
    missed = [] if rate >= RATE else [f"{RATE} records per second"]
    return missed if share >= SHARE else [*missed, f"{SHARE:.0%} of the copy's rate"]


if __name__ == "__main__":
    missed = main()
    sys.exit("missed: " + ", ".join(missed) if missed else 0)
