"""Measure how far results move with what the same seed does not promise to be the same.

    python benchmarks/bench_reproducibility.py [--records 512] [--epochs 10] [--seeds 3]

BELLPretrainer, with its own encoder and with VGG16 of width 1/8, learns from synthetic records of
8 leads and 1000 samples, in batches of 64, with each seed in a process of its own: in float32 on
the CPU, with one thread. Others change one thing of that: two threads, bfloat16, batches of
another size in `transform`, the instructions of a processor without AVX-512, and a GPU, where there
is one. Compared are the latents of as many other records: of the plain model under the other
setting, and of a model that was trained under it too. Differences are in units of the deviation of
a latent over records, on average over all latents, seeds and records, and the greatest. AUROC is
the macro one of a logistic regression on the latents of records that were pretrained on.

How far another seed moves AUROC is told beside it. The mark: under each setting of the CPU, with
the first seed, a second process makes the same model and the same latents, bit by bit.
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
from _common import linear_probe, machine
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import label_binarize

from sklearn_bell import BELLPretrainer, load
from sklearn_bell.datasets import make_ecg
from sklearn_bell.nn.encoders import ResNet1d, VGG1d
from sklearn_bell.preprocessing import INDEPENDENT_LEADS

ENCODERS = {"ResNet1d": ResNet1d, "VGG1d": VGG1d}
PLAIN = {"device": "cpu", "precision": "float32", "threads": 1, "batch_size": 128}
AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}
OTHERS = {
    "two threads": {"threads": 2},
    "bfloat16": {"precision": "bfloat16"},
    "`transform` in batches of 1": {"batch_size": 1},
    "`transform` in batches of 512": {"batch_size": 512},
    "no AVX-512": {"environment": AVX2},
    "a GPU": {"device": "cuda"},
}


def records(n_records):
    """Return synthetic records to learn from, and as many others."""
    ecg = make_ecg(2 * n_records, leads=list(INDEPENDENT_LEADS), random_state=0)
    return np.split(ecg.data, 2), np.split(ecg.target, 2)


def make(options):
    """Write the latents of all records, of a model trained here or read, and say what they are."""
    torch.set_num_threads(options.threads)
    (known, others), _ = records(options.records)
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
    latents = np.stack([bell.transform(known), bell.transform(others)])
    np.save(f"{options.out}.npy", latents)
    weights = [one.cpu().numpy().tobytes() for one in bell._net.module_.state_dict().values()]
    print(hashlib.sha256(b"".join([latents.tobytes(), *weights])).hexdigest())


def made(options, encoder, seed, out, *, environment=None, model=None, **setting):
    """Return latents (2, n_records, n_latents) and a digest that a process of its own makes."""
    setting = PLAIN | setting
    given = {"encoder": encoder, "seed": seed, "out": out, "records": options.records}
    given |= {"epochs": options.epochs, **setting} | ({"model": model} if model else {})
    command = [sys.executable, __file__]
    command += [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]
    threads = {"OMP_NUM_THREADS": str(setting["threads"])}
    environment = {**os.environ, **threads, **(environment or {})}
    done = subprocess.run(
        command, check=True, env=environment, stdout=subprocess.PIPE, text=True
    ).stdout
    return np.load(f"{out}.npy"), done.split()[-1]


def difference(latents, plain):
    """Return how far each latent is from the plain one, in deviations of the latter."""
    deviation = plain.std(axis=0)
    varies = deviation > 1e-6 * deviation.max()
    return np.abs(latents - plain)[:, varies] / deviation[varies]


def auroc(latents, y):
    """Return the macro AUROC of a linear probe, trained on the first half."""
    model = linear_probe().fit(latents[0], y[0])
    indicator = label_binarize(y[1], classes=model.classes_)
    return roc_auc_score(indicator, model.predict_proba(latents[1]))


def cell(differences):
    """Return the mean of all, and the greatest."""
    if not differences:
        return "-"
    largest = max(one.max() for one in differences)
    return f"{np.mean([one.mean() for one in differences]):.1e} ({largest:.1e})"


def measure(options, encoder, folder):
    """Print a row for each setting, and return under which ones two runs differ."""
    _, y = records(options.records)
    seeds, missed = range(options.seeds), []
    plain = {seed: made(options, encoder, seed, folder / f"{seed}") for seed in seeds}
    aurocs = {seed: auroc(latents, y) for seed, (latents, _) in plain.items()}

    def twice(name, first, **setting):
        _, again = made(options, encoder, 0, folder / "again", **setting)
        if again != first and setting.get("device") != "cuda":
            missed.append(f"{name}, {encoder}")
        return "yes" if again == first else "no"

    same = twice("plain", plain[0][1])
    apart = [abs(aurocs[a] - aurocs[b]) for a, b in itertools.combinations(seeds, 2)]
    mean, moved = np.mean(list(aurocs.values())), "0" if same == "yes" else "not 0"
    print(f"| {encoder} | nothing (AUROC {mean:.3f}) | {same} | {moved} | {moved} | {moved} |")
    for name, setting in OTHERS.items():
        if setting.get("device") == "cuda" and not torch.cuda.is_available():
            print(f"| {encoder} | {name} | not measured: no GPU | | | |", flush=True)
            continue
        transformed, trained, moved, same = [], [], [], "-"
        for seed in seeds:
            expected, model = plain[seed][0][1], folder / f"{seed}.safetensors"
            latents, _ = made(options, encoder, seed, folder / "other", model=model, **setting)
            transformed.append(difference(latents[1], expected))
            if setting.keys() <= {"batch_size"}:
                moved.append(abs(auroc(latents, y) - aurocs[seed]))
                continue
            latents, digest = made(options, encoder, seed, folder / "other", **setting)
            trained.append(difference(latents[1], expected))
            moved.append(abs(auroc(latents, y) - aurocs[seed]))
            if seed == 0:
                same = twice(name, digest, **setting)
        of_auroc = f"{np.mean(moved):.4f} ({max(moved):.4f})"
        cells = [encoder, name, same, cell(transformed), cell(trained), of_auroc]
        print(f"| {' | '.join(cells)} |", flush=True)
    if apart:
        of_auroc = f"{np.mean(apart):.4f} ({max(apart):.4f})"
        print(f"| {encoder} | another seed | - | - | - | {of_auroc} |", flush=True)
    return missed


def main(options):
    """Print the table, and return what is missed."""
    print(machine())
    print("\nDifferences: mean (greatest)\n")
    print("| encoder | different | twice the same | latents, `transform` | `fit` too | AUROC |")
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
        make(options)
    else:
        missed = main(options)
        sys.exit("differ from run to run: " + "; ".join(missed) if missed else 0)
