"""Measure how fast BELL is pretrained on a GPU, against what its memory allows.

    python benchmarks/bench_gpu.py [--device cuda] [--records 20480] [--batch 1024] [--epochs 20]

The time of `fit` from records in memory to the end, with the default encoder and with VGG16 of
width 1/8, on records of noise (8 x 1000), matrix products in bfloat16, after one of an epoch that
does not count. Beside it stands what a copy on
the same device lets expect: every layer of every branch reads its input and writes its output once
in a forward pass, and in a backward pass reads input and gradient and writes a gradient, all in 16
bits; two views go through the online network forward and backward, and through the target network
forward. What is smaller (weights, heads, views) is not counted.

The script ends with an error where a mark is missed: RATE records per second, and SHARE of what the
copy allows. It has a meaning on one data-centre GPU only, but runs on a CPU, with fewer records.
"""

import argparse
import sys
from functools import partial

import torch
from _common import machine
from bench_throughput import N_LEADS, copy_rate, noise, timed
from torch import nn

from sklearn_bell import BELLPretrainer
from sklearn_bell.nn.encoders import ResNet1d, VGG1d
from sklearn_bell.training._trainer import resolve_device

RATE, SHARE = 20_000, 0.4
_LAYERS = (nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.MaxPool2d, nn.AvgPool2d)


def traffic(encoder, n_samples):
    """Return the bytes that a step moves for a record of one lead."""
    n_values = 0

    def add(layer, inputs, output):
        nonlocal n_values
        n_values += inputs[0].numel() + output.numel()

    branch = encoder(1).eval()
    for layer in branch.modules():
        if isinstance(layer, _LAYERS):
            layer.register_forward_hook(add)
    branch(torch.zeros(1, 1, n_samples))
    forward = 2 * n_values  # bytes
    backward = 1.5 * forward  # reads input and gradient, writes the gradient of the input
    return 2 * (forward + backward) + 2 * forward


def main():
    """Print the table, and return what is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--records", type=int, default=20 * 1024)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()
    device, missed = resolve_device(options.device), []
    rate_of_copy = copy_rate(device)
    print(f"{machine()}; {device}; copy: {rate_of_copy / 1e9:.0f} GB/s")
    X = noise(options.records, N_LEADS, 1000)
    print("| encoder | records/s | MB moved per record | share of the copy's rate |")
    print("|---|---|---|---|")
    for encoder in (ResNet1d, VGG1d):
        bell = BELLPretrainer(
            encoder, max_epochs=1, batch_size=options.batch, device=device,
            precision="bfloat16", random_state=0,
        ).fit(X)  # fmt: skip
        bell.set_params(max_epochs=options.epochs)
        rate = options.epochs * len(X) / timed(partial(bell.fit, X), device)
        n_samples = bell._usual_augmentation()(torch.zeros(1, 1, 1000)).shape[-1]  # of a view
        moved = N_LEADS * traffic(encoder, n_samples)
        share = rate * moved / rate_of_copy
        print(f"| {encoder.__name__} | {rate:.0f} | {moved / 1e6:.1f} | {share:.0%} |")
        if rate < RATE:
            missed.append(f"{encoder.__name__}: {RATE} records per second")
        if share < SHARE:
            missed.append(f"{encoder.__name__}: {SHARE:.0%} of the copy's rate")
    return missed


if __name__ == "__main__":
    missed = main()
    sys.exit("missed: " + ", ".join(missed) if missed else 0)
