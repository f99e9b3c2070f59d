"""Measure speed and size of the shipped weights and of the ready classifier.

    python benchmarks/bench_shipped.py --data DIR

``DIR`` is the folder made by ``make data``, or that of PTB-XL. ``transform`` of the weights and
``predict_proba`` of ``ECGClassifier.from_pretrained()`` take 1,024 records of fold 8, twelve leads
of 10 s at 100 Hz, on all processors: median and range of five calls in turns. The classifier has
learnt all labels of folds 1-7, without fine-tuning, which would change neither: three minutes. The
script exits with an error when a rate is below, or the classifier's file above its mark.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import torch
from _common import describe_machine
from _timing import print_rates, time_in_turns

from sklearn_bell import BELLPretrainer, ECGClassifier
from sklearn_bell.datasets import load_ptbxl

N_RECORDS = 1024
LEAST_RATES = {"transform": 300, "predict_proba": 200}  # records per s
MOST_BYTES = 30e6


def main():
    """Print rates and size, and return the missed marks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", metavar="DIR", default=None)
    options = parser.parse_args()
    print(f"{describe_machine()}, {torch.get_num_threads()} threads", flush=True)
    train = load_ptbxl(options.data, folds=range(1, 8), task="superdiagnostic")
    X = load_ptbxl(options.data, folds=[8], task="superdiagnostic").data[:N_RECORDS]
    bell = BELLPretrainer.from_pretrained()
    classifier = ECGClassifier.from_pretrained(max_epochs=0, random_state=0)
    classifier.fit(train.data, train.target)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "classifier.safetensors"
        classifier.save(path)
        n_bytes = path.stat().st_size
    print(f"classifier of {len(train.data)} records: {n_bytes / 1e6:.1f} MB")

    functions = {
        "transform": lambda: bell.transform(X),
        "predict_proba": lambda: classifier.predict_proba(X),
    }
    times = time_in_turns(functions, torch.device("cpu"), 5)
    print_rates("shipped", times, len(X), "transform")
    missed = [
        f"{name}: under {least} records/s"
        for name, least in LEAST_RATES.items()
        if len(X) / sorted(times[name])[2] < least
    ]
    return missed + [f"file over {MOST_BYTES / 1e6:.0f} MB"] * (n_bytes > MOST_BYTES)


if __name__ == "__main__":
    sys.exit("\n".join(main()) or 0)
