"""Timing of calls in turns, and the rates that a device can reach."""

import statistics
import time

import numpy as np
import torch


def resolve(device):
    """Return a device; "auto" is a GPU where there is one."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)


def noise(n_records, n_leads, n_samples):
    """Return records of noise, in mV."""
    rng = np.random.default_rng(0)
    return rng.normal(0, 0.2, (n_records, n_leads, n_samples)).astype(np.float32)


def synchronize(device):
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def timed(function, device):
    """Return the time of a call, in s."""
    synchronize(device)
    start = time.perf_counter()
    function()
    synchronize(device)
    return time.perf_counter() - start


def time_in_turns(functions, device, repeats):
    """Return the times of each function by name, after one call as warm-up."""
    for function in functions.values():
        function()
    times = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            times[name].append(timed(function, device))
    return times


def print_rates(title, times, n_records, baseline):
    """Print records per second, and ratios of neighbours in turns; return median ratios."""
    print(f"\n| {title} | records/s | of {baseline} |\n|---|---|---|")
    medians = {}
    for name, seconds in times.items():
        ratios = [a / b for a, b in zip(times[baseline], seconds, strict=True)]
        medians[name] = statistics.median(ratios)
        rates = sorted(n_records / value for value in seconds)
        print(
            f"| {name} | {statistics.median(rates):.0f} ({rates[0]:.0f} to {rates[-1]:.0f}) | "
            f"{medians[name]:.2f} ({min(ratios):.2f} to {max(ratios):.2f}) |",
            flush=True,
        )
    return medians


def matrix_product_rate(device, precision, n=2048):
    """Return the operations per s of a large matrix product."""
    a = torch.randn(n, n, device=device).to(getattr(torch, precision))
    times = time_in_turns({"product": lambda: a @ a}, device, 5)["product"]
    return 2 * n**3 / min(times)


def copy_rate(device, n=2**28):
    """Return the bytes per s that a copy reads and writes."""
    a = torch.zeros(n // 4, device=device)
    b = torch.empty_like(a)
    return 2 * n / min(time_in_turns({"copy": lambda: b.copy_(a)}, device, 5)["copy"])
