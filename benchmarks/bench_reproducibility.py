"""Measure how much results vary where equal bits are not promised for equal seeds.

    python benchmarks/bench_reproducibility.py [--records 512] [--epochs 10] [--seeds 3]

BELLPretrainer, with its default encoder and with VGG16 of width 1/8, learns from synthetic records
of 8 leads and 1000 samples, in batches of 64, each seed in its own process: in float32 on the CPU,
with one thread. Each other setting has one change: two threads, bfloat16, other batch sizes
in `transform`, the instructions of a processor without AVX-512, and a GPU, where available.
Compared are the latents of as many new records: of the baseline model under the other setting, and
of a model also trained under it. Differences are in units of the deviation of a latent over
records: the mean over all latents, seeds and records, and the greatest. AUROC is the macro AUROC of
a linear probe, trained on the latents of the pretraining records.

The effect of another seed on AUROC is printed beside it. The mark: under each setting of the CPU,
with the first seed, a second process gives the same model and the same latents, bit by bit.
"""

import argparse
import hashlib
import itertools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from _common import describe_machine, linear_probe
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import label_binarize

from sklearn_bell import BELLPretrainer, load
from sklearn_bell.datasets import make_ecg
from sklearn_bell.nn.encoders import ResNet1d, VGG1d
from sklearn_bell.preprocessing import INDEPENDENT_LEADS

ENCODERS = {"ResNet1d": ResNet1d, "VGG1d": VGG1d}
BASELINE = {"device": "cpu", "precision": "float32", "threads": 1, "batch_size": 128}
AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}
SETTINGS = {
    "two threads": {"threads": 2},
    "bfloat16": {"precision": "bfloat16"},
    "`transform` in batches of 1": {"batch_size": 1},
    "`transform` in batches of 512": {"batch_size": 512},
    "no AVX-512": {"environment": AVX2},
    "a GPU": {"device": "cuda"},
}


def records(n_records):
    """Return synthetic records for pretraining, and as many new ones."""
    ecg = make_ecg(2 * n_records, leads=list(INDEPENDENT_LEADS), random_state=0)
    return np.split(ecg.data, 2), np.split(ecg.target, 2)


def write_latents(options):
    """Write latents of all records, from a model trained here or loaded; print their digest."""
    torch.set_num_threads(options.threads)
    (known, new), _ = records(options.records)
    params = {"device": options.device, "precision": options.precision}
    if options.model:
        bell = load(options.model, **params)
    else:
        bell = BELLPretrainer(
            ENCODERS[options.encoder], max_epochs=options.epochs, batch_size=64,
            random_state=options.seed, **params,
        ).fit(known)  # fmt: skip
        bell.save(f"{options.out}.safetensors")
    bell.set_params(batch_size=options.batch_size)
    latents = np.stack([bell.transform(known), bell.transform(new)])
    np.save(f"{options.out}.npy", latents)
    weights = [tensor.cpu().numpy().tobytes() for tensor in bell.encoder_.state_dict().values()]
    print(hashlib.sha256(b"".join([latents.tobytes(), *weights])).hexdigest())


def compute_latents(options, encoder, seed, out, *, environment=None, model=None, **setting):
    """Return latents (2, n_records, n_latents) and a digest, computed in a new process."""
    setting = BASELINE | setting
    arguments = {"encoder": encoder, "seed": seed, "out": out, "records": options.records}
    arguments |= {"epochs": options.epochs, **setting} | ({"model": model} if model else {})
    command = [sys.executable, __file__]
    command += [f"--{name.replace('_', '-')}={value}" for name, value in arguments.items()]
    threads = {"OMP_NUM_THREADS": str(setting["threads"])}
    environment = {**os.environ, **threads, **(environment or {})}
    output = subprocess.run(
        command, check=True, env=environment, stdout=subprocess.PIPE, text=True
    ).stdout
    return np.load(f"{out}.npy"), output.split()[-1]


def difference(latents, baseline):
    """Return the absolute differences of latents, in deviations of the baseline."""
    deviation = baseline.std(axis=0)
    varies = deviation > 1e-6 * deviation.max()
    return np.abs(latents - baseline)[:, varies] / deviation[varies]


def auroc(latents, y):
    """Return the macro AUROC of a linear probe, trained on the first half."""
    model = linear_probe().fit(latents[0], y[0])
    indicator = label_binarize(y[1], classes=model.classes_)
    return roc_auc_score(indicator, model.predict_proba(latents[1]))


def format_differences(differences):
    """Return the mean of all differences, and the greatest."""
    if not differences:
        return "-"
    largest = max(values.max() for values in differences)
    return f"{np.mean([values.mean() for values in differences]):.1e} ({largest:.1e})"


def print_row(*cells):
    """Print a row of the table."""
    print(f"| {' | '.join(cells)} |", flush=True)


def measure(options, encoder, folder):
    """Print a row for each setting, and return the settings under which two runs differ."""
    _, y = records(options.records)
    seeds, missed = range(options.seeds), []
    baseline = {seed: compute_latents(options, encoder, seed, folder / f"{seed}") for seed in seeds}
    aurocs = {seed: auroc(latents, y) for seed, (latents, _) in baseline.items()}

    def repeat(name, digest, **setting):
        _, repeated = compute_latents(options, encoder, 0, folder / "repeated", **setting)
        if repeated != digest and setting.get("device") != "cuda":
            missed.append(f"{name}, {encoder}")
        return "yes" if repeated == digest else "no"

    repeats = repeat("baseline", baseline[0][1])
    mean, change = np.mean(list(aurocs.values())), "0" if repeats == "yes" else "not 0"
    print_row(encoder, f"nothing (AUROC {mean:.3f})", repeats, change, change, change)
    for name, setting in SETTINGS.items():
        if setting.get("device") == "cuda" and not torch.cuda.is_available():
            print_row(encoder, name, "not measured: no GPU", "", "", "")
            continue
        transformed, trained, changes, repeats = [], [], [], "-"
        for seed in seeds:
            expected, model = baseline[seed][0][1], folder / f"{seed}.safetensors"
            out = folder / "changed"
            latents, _ = compute_latents(options, encoder, seed, out, model=model, **setting)
            transformed.append(difference(latents[1], expected))
            if "batch_size" not in setting:  # which training does not depend on
                latents, digest = compute_latents(options, encoder, seed, out, **setting)
                trained.append(difference(latents[1], expected))
                if seed == 0:
                    repeats = repeat(name, digest, **setting)
            changes.append(abs(auroc(latents, y) - aurocs[seed]))
        cells = [format_differences(transformed), format_differences(trained)]
        print_row(encoder, name, repeats, *cells, f"{np.mean(changes):.4f} ({max(changes):.4f})")
    between = [abs(aurocs[a] - aurocs[b]) for a, b in itertools.combinations(seeds, 2)]
    if between:
        change = f"{np.mean(between):.4f} ({max(between):.4f})"
        print_row(encoder, "another seed", "-", "-", "-", change)
    return missed


def main(options):
    """Print the table, and return the missed marks."""
    print(describe_machine())
    print("\nDifferences: mean (greatest)\n")
    print("| encoder | change | repeats | latents, `transform` | `fit` too | AUROC |")
    print("|---|---|---|---|---|---|", flush=True)
    missed = []
    for encoder in ENCODERS:
        with tempfile.TemporaryDirectory() as folder:
            missed += measure(options, encoder, Path(folder))
    return missed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=512)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    for name in ("encoder", "device", "precision", "model", "out"):
        parser.add_argument(f"--{name}", default=None, help=argparse.SUPPRESS)
    for name in ("seed", "threads", "batch-size"):
        parser.add_argument(f"--{name}", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.encoder:
        write_latents(options)
    else:
        missed = main(options)
        sys.exit("differ from run to run: " + "; ".join(missed) if missed else 0)
