"""Measure how fast BELL is pretrained, against a plain reference and against the machine's limits.

    python benchmarks/bench_throughput.py [--device cpu] [--repeats 5] [--scaling]

The reference is BELL as one would write it down, in this file: a branch of ``nn.Conv1d`` for each
lead in a loop, in float32, heads in loops, pairs of leads in loops, records augmented one by one
with SciPy in a DataLoader. It has the same network (VGG16 of width 1/8 for each of 8 leads), heads,
views (resized crop and time-out), loss, optimiser, batches and number of steps as BELLPretrainer
is given; it does not filter records, which BELLPretrainer does.

Times are of whole calls of `fit` and `transform`, in one process, in turns (reference, float32,
bfloat16, reference, ...), after a call of each that does not count: medians, and from the least to
the greatest. Ratios are those of neighbours in turns, the median again. Then come

- the driver, history, the watch for collapse and a callback: an epoch of `fit` against a bare loop
  over the same steps;
- where the time of a step goes, each part measured by itself;
- by how much bfloat16 rounds the latents of a pretrained encoder, in deviations over records;
- the operations of the layers, of which a multiplication and an addition count as two, as a share
  of what the machine reaches in a large matrix product;
- with ``--scaling``, how the time of `fit` grows with records, leads, samples, batch (for as many
  steps) and width: the exponent, which is 1 where it is linear, as it should be but for the width,
  of which convolutions have the square.

Records are noise: what is computed does not depend on them. The script ends with an error where a
mark of MARKS is missed.
"""

import argparse
import copy
import statistics
import sys
import time
from functools import partial

import numpy as np
import torch
from _common import machine
from scipy.interpolate import interp1d
from torch import nn
from torch.nn import functional as F

from sklearn_bell import BELLPretrainer
from sklearn_bell.datasets import make_ecg
from sklearn_bell.nn.augmentation import Compose, RandomResizedCrop, TimeOut
from sklearn_bell.nn.encoders import VGG1d
from sklearn_bell.preprocessing import INDEPENDENT_LEADS
from sklearn_bell.training._data import to_tensor
from sklearn_bell.training._trainer import resolve_device

N_LEADS, BATCH, RATIOS = 8, 128, (("float32", 1.7, 1.3), ("bfloat16", 3.0, 2.5))
DRIVER = 0.03  # of the time of the steps


class PlainVGG(nn.Module):
    """The branch of a lead."""

    def __init__(self, width=1 / 8):
        super().__init__()
        layers, channels = [], 1
        for n_channels, n_convolutions in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
            for _ in range(n_convolutions):
                out = round(n_channels * width)
                layers += [nn.Conv1d(channels, out, 3, padding=1), nn.BatchNorm1d(out), nn.ReLU()]
                channels = out
            layers.append(nn.MaxPool1d(2, ceil_mode=True))
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        """Encode a lead."""
        return self.layers(x).mean(-1)


def plain_head(n_in, n_hidden=512):
    """Return the projector, or a predictor, of a lead."""
    return nn.Sequential(
        nn.Linear(n_in, n_hidden),
        nn.BatchNorm1d(n_hidden),
        nn.ReLU(),
        nn.Linear(n_hidden, n_hidden),
    )


class PlainBELL(nn.Module):
    """BELL, lead by lead."""

    def __init__(self, n_leads=N_LEADS, width=1 / 8, gamma=0.2):
        super().__init__()
        self.gamma, n_features = gamma, round(512 * width)
        self.encoders = nn.ModuleList(PlainVGG(width) for _ in range(n_leads))
        self.projectors = nn.ModuleList(plain_head(n_features) for _ in range(n_leads))
        self.predictors = nn.ModuleList(plain_head(512) for _ in range(n_leads))
        self.cross_predictors = nn.ModuleList(plain_head(512) for _ in range(n_leads))
        self.target_encoders = copy.deepcopy(self.encoders).requires_grad_(False)
        self.target_projectors = copy.deepcopy(self.projectors).requires_grad_(False)

    def online(self, x):
        """Return the projection of each lead."""
        both = zip(self.encoders, self.projectors, strict=True)
        return [project(encode(x[:, [lead]])) for lead, (encode, project) in enumerate(both)]

    @torch.no_grad()
    def target(self, x):
        """Return the projection of each lead by the target network."""
        both = zip(self.target_encoders, self.target_projectors, strict=True)
        return [project(encode(x[:, [lead]])) for lead, (encode, project) in enumerate(both)]

    def one_way(self, view, other):
        """Return the loss of predicting the second view from the first."""
        projections, targets = self.online(view), self.target(other)
        intra, inter = [], []
        for i, projection in enumerate(projections):
            own, cross = self.predictors[i](projection), self.cross_predictors[i](projection)
            for j, target in enumerate(targets):
                prediction, terms = (own, intra) if i == j else (cross, inter)
                terms.append((2 - 2 * F.cosine_similarity(prediction, target)).mean())
        return self.gamma * sum(intra) / len(intra) + (1 - self.gamma) * sum(inter) / len(inter)

    def forward(self, view, other):
        """Return the loss."""
        return (self.one_way(view, other) + self.one_way(other, view)) / 2

    @torch.no_grad()
    def follow(self, decay=0.99):
        """Move the target network."""
        both = [(self.target_encoders, self.encoders), (self.target_projectors, self.projectors)]
        for target, online in both:
            for old, new in zip(target.parameters(), online.parameters(), strict=True):
                old.data = decay * old.data + (1 - decay) * new.data


class PlainViews(torch.utils.data.Dataset):
    """Two views of a record, made with SciPy."""

    def __init__(self, X):
        self.X, self.rng = X, np.random.default_rng(0)

    def __len__(self):
        return len(self.X)

    def view(self, x):
        """Return a stretch of a record, with a part set to zero."""
        n = x.shape[-1]
        ratio = self.rng.uniform(0.5, 1)
        start = self.rng.uniform(0, 1 - ratio) * (n - 1)
        stretch = interp1d(np.arange(n), x, axis=-1)
        x = stretch(np.linspace(start, start + ratio * (n - 1), n)).astype(np.float32)
        out = int(self.rng.uniform(0, 0.5) * n)
        begin = self.rng.integers(n - out + 1)
        x[:, begin : begin + out] = 0
        return x

    def __getitem__(self, row):
        return self.view(self.X[row]), self.view(self.X[row])


def plain_fit(X, device, width=1 / 8, max_epochs=1, batch_size=BATCH):
    """Pretrain as one would write it down."""
    model = PlainBELL(X.shape[1], width).to(device).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    loader = torch.utils.data.DataLoader(PlainViews(X), batch_size, shuffle=True)
    for _ in range(max_epochs):
        for view, other in loader:
            loss = model(view.to(device), other.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            model.follow()
            loss.item()
    return model


@torch.no_grad()
def plain_transform(model, X, device, batch_size=BATCH):
    """Encode batch by batch, lead by lead."""
    found = []
    for start in range(0, len(X), batch_size):
        x = torch.as_tensor(X[start : start + batch_size]).to(device)
        latents = [encode(x[:, [lead]]) for lead, encode in enumerate(model.encoders)]
        found.append(torch.cat(latents, dim=1).cpu())
    return torch.cat(found).numpy()


def ours(device, precision, width=1 / 8, **params):
    """Return BELLPretrainer with the network and the views of the reference."""
    params = {"max_epochs": 1, "batch_size": BATCH, "random_state": 0} | params
    return BELLPretrainer(
        partial(VGG1d, width=width), augmentation=Compose(RandomResizedCrop(), TimeOut()),
        device=device, precision=precision, **params,
    )  # fmt: skip


def timed(function, device):
    """Return how long a call takes, in s."""
    wait(device)
    start = time.perf_counter()
    function()
    wait(device)
    return time.perf_counter() - start


def wait(device):
    """Let the device finish."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def in_turns(functions, device, repeats):
    """Return the times of each function by name, after one call that does not count."""
    for function in functions.values():
        function()
    times = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            times[name].append(timed(function, device))
    return times


def tell(title, times, n_records, first="reference"):
    """Print records per second and the ratios to the first, and return these."""
    print(f"\n| {title} | records/s | of {first} |\n|---|---|---|")
    ratios = {}
    for name, of_name in times.items():
        each = [a / b for a, b in zip(times[first], of_name, strict=True)]
        ratios[name] = statistics.median(each)
        rates = sorted(n_records / one for one in of_name)
        print(
            f"| {name} | {statistics.median(rates):.0f} ({rates[0]:.0f} to {rates[-1]:.0f}) | "
            f"{ratios[name]:.2f} ({min(each):.2f} to {max(each):.2f}) |"
        )
    return ratios


def tell_share(precision, work, times, peaks):
    """Print how much of the rate of a matrix product is reached."""
    share = work / statistics.median(times[precision]) / peaks[precision]
    print(f"{precision}: {share:.0%} of the matrix product's rate")


class Unwatched:
    """Stands for the statistics of latents that the bare loop does not keep."""

    def update(self, latent):
        """Do nothing."""


class Callback:
    """A callback that is told of everything and does nothing."""

    max_propagation_depth = None

    def setup(self, estimator, context):
        """Do nothing."""

    def on_fit_task_begin(self, estimator, context, **kwargs):
        """Do nothing."""

    def on_fit_task_end(self, estimator, context, **kwargs):
        """Do not end training."""
        return False

    def teardown(self, estimator, context):
        """Do nothing."""


def bare_epoch(net, X, n_steps):
    """Take the steps of an epoch without skorch, history or callbacks."""
    learner, device, optimizer = net.module_, torch.device(net.device), net.optimizer_
    learner.train()
    learner.statistics = Unwatched()
    order = np.random.default_rng(0).permutation(len(X))
    for number, rows in enumerate(np.array_split(order, n_steps)):
        generator = torch.Generator(device).manual_seed(number)
        optimizer.zero_grad()
        learner(to_tensor(X[rows], device), generator)["loss"].backward()
        optimizer.step()
        learner.after_step()


def driver_cost(device, precision, X, repeats):
    """Return by how much an epoch of `fit` is longer than its bare steps, as a part of these."""
    bell = ours(device, precision, max_epochs=0).fit(X).set_callbacks(Callback())
    n_steps = -(-len(X) // BATCH)
    times = in_turns(
        {
            "bare loop": lambda: bare_epoch(bell._net, X, n_steps),
            "fit": lambda: bell.partial_fit(X),
        },
        device,
        repeats,
    )
    each = [b / a for a, b in zip(*times.values(), strict=True)]
    return statistics.median(each) - 1


def parts_of_a_step(device, precision, X, repeats):
    """Return the time of each part of a step, in s, by name."""
    bell = ours(device, precision, max_epochs=1).fit(X[:BATCH])
    net, learner = bell._net, bell._net.module_.train()
    learner.start_epoch()
    method, generator = learner.method, torch.Generator(device)
    x = to_tensor(X[:BATCH], device)
    views = learner.views(learner.prepare(x), generator)
    cast = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")

    def target():
        with cast, torch.no_grad():
            for view in views:
                method.target(view)

    def forward():
        with cast:
            return method(*views)[0]["loss"]

    rows = np.random.default_rng(0).permutation(len(X))[:BATCH]
    parts = {
        "data": lambda: to_tensor(X[rows], device),
        "prepare": lambda: learner.prepare(x),
        "augment": lambda: learner.views(x, generator),
        "forward, target": target,
        "forward": forward,
        "forward and backward": lambda: forward().backward(),
        "optimiser": net.optimizer_.step,
        "moving average": method.after_step,
    }
    times = in_turns(parts, device, repeats)
    found = {name: statistics.median(of_part) for name, of_part in times.items()}
    found["backward"] = found.pop("forward and backward") - found["forward"]
    found["forward, online"] = found.pop("forward") - found["forward, target"]
    return found


def rounding(device, X):
    """Return the mean and the greatest difference of latents in bfloat16, in their deviations."""
    bell = ours(device, "float32", max_epochs=2).fit(X)
    exact = bell.transform(X)
    rounded = bell.set_params(precision="bfloat16").transform(X)
    deviation = exact.std(axis=0)
    off = np.abs(rounded - exact)[:, deviation > 0] / deviation[deviation > 0]
    return off.mean(), off.max()


def operations(n_leads, n_samples, width):
    """Return the operations of a forward pass of all branches for a record, of convolutions."""
    count = 0

    def add(layer, inputs, output):
        nonlocal count
        count += 2 * output.numel() * layer.weight[0].numel()

    branch = VGG1d(width=width).eval()
    for layer in branch.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(add)
    branch(torch.zeros(1, 1, n_samples))
    return n_leads * count


def peak(device, precision, n=2048):
    """Return the operations per s of a large matrix product."""
    a = torch.randn(n, n, device=device).to(getattr(torch, precision))
    times = in_turns({"product": lambda: a @ a}, device, 5)["product"]
    return 2 * n**3 / min(times)


def copy_rate(device, n=2**28):
    """Return the bytes per s that are read and written by a copy."""
    a = torch.zeros(n // 4, device=device)
    b = torch.empty_like(a)
    return 2 * n / min(in_turns({"copy": lambda: b.copy_(a)}, device, 5)["copy"])


def scaling(device, precision, n_records):
    """Print how the time of `fit` grows with each of what it depends on."""
    usual = {"n_records": n_records, "n_leads": N_LEADS, "n_samples": 1000, "batch_size": BATCH}
    usual["width"] = 1 / 8
    n_steps = -(-n_records // BATCH)
    values = {
        "n_records": [n_records, 2 * n_records, 4 * n_records],
        "n_leads": [2, 4, 8],
        "n_samples": [500, 1000, 2000],
        "batch_size": [32, 64, 128],
        "width": [1 / 16, 1 / 8, 1 / 4],
    }
    print(f"\n| {precision}, `fit` | s | exponent |\n|---|---|---|")
    for name, some in values.items():
        calls = {}
        for value in some:
            here = usual | {name: value}
            if name == "batch_size":
                here["n_records"] = n_steps * value
            X = noise(here["n_records"], here["n_leads"], here["n_samples"])
            bell = ours(device, precision, here["width"], batch_size=here["batch_size"])
            calls[value] = partial(bell.fit, X)
        seconds = [statistics.median(one) for one in in_turns(calls, device, 3).values()]
        exponent = np.polyfit(np.log(some), np.log(seconds), 1)[0]
        cells = ", ".join(f"{a:g}: {b:.1f}" for a, b in zip(some, seconds, strict=True))
        print(f"| {name} | {cells} | {exponent:.2f} |")


def noise(n_records, n_leads, n_samples):
    """Return records of noise, in mV."""
    rng = np.random.default_rng(0)
    return rng.normal(0, 0.2, (n_records, n_leads, n_samples)).astype(np.float32)


def main():
    """Print the tables, and return what is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--records", type=int, default=512)
    parser.add_argument("--samples", nargs="+", type=int, default=(1000, 2048))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--scaling", action="store_true")
    options = parser.parse_args()
    device, missed = resolve_device(options.device), []
    print(machine(), f"; {torch.get_num_threads()} threads; {options.records} records of 8 leads")
    peaks = {precision: peak(device, precision) for precision, *_ in RATIOS}
    for precision, rate in peaks.items():
        print(f"matrix product in {precision}: {rate / 1e9:.0f} GFLOP/s")
    print(f"copy: {copy_rate(device) / 1e9:.1f} GB/s")

    for n_samples in options.samples:
        X = noise(options.records, N_LEADS, n_samples)
        fits = {precision: ours(device, precision) for precision, *_ in RATIOS}
        times = in_turns(
            {"reference": lambda X=X: plain_fit(X, device)}
            | {name: partial(bell.fit, X) for name, bell in fits.items()},
            device,
            options.repeats,
        )
        ratios = tell(f"`fit`, 8 x {n_samples}", times, len(X))
        work = operations(N_LEADS, n_samples, 1 / 8) * len(X)
        for precision, of_fit, _ in RATIOS:
            # two views forward and, at twice the cost, backward; and the target forward
            tell_share(precision, 8 * work, times, peaks)
            if ratios[precision] < of_fit:
                missed.append(f"fit in {precision}, {n_samples} samples")

        plain = plain_fit(X[:BATCH], device).eval()
        times = in_turns(
            {"reference": lambda X=X, plain=plain: plain_transform(plain, X, device)}
            | {name: partial(bell.transform, X) for name, bell in fits.items()},
            device,
            options.repeats,
        )
        ratios = tell(f"`transform`, 8 x {n_samples}", times, len(X))
        for precision, _, of_transform in RATIOS:
            tell_share(precision, work, times, peaks)
            if ratios[precision] < of_transform:
                missed.append(f"transform in {precision}, {n_samples} samples")

    ecgs = make_ecg(options.records, leads=INDEPENDENT_LEADS, sampling_rate=100, random_state=0)
    mean, most = rounding(device, ecgs.data)
    print(f"\nbfloat16 rounds latents by {mean:.1%} of their deviation, {most:.0%} at most")
    X = noise(options.records, N_LEADS, 1000)
    for precision, *_ in RATIOS:
        cost = driver_cost(device, precision, np.tile(X, (2, 1, 1)), options.repeats)
        print(f"\n{precision}: an epoch of `fit` takes {cost:+.1%} more than a bare loop")
        if cost > DRIVER:
            missed.append(f"the driver in {precision}")
        parts = parts_of_a_step(device, precision, X, options.repeats)
        total = sum(parts.values())
        cells = "; ".join(f"{name} {seconds / total:.0%}" for name, seconds in parts.items())
        print(f"{precision}, {1000 * total:.0f} ms of a step: {cells}")
        if options.scaling:
            scaling(device, precision, options.records)
    return missed


if __name__ == "__main__":
    missed = main()
    sys.exit("missed: " + ", ".join(missed) if missed else 0)
