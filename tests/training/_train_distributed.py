"""Training in the processes of torchrun: ``torchrun -m tests.training._train_distributed DIR``."""

import multiprocessing
import os
import pickle
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from sklearn_bell import BELLPretrainer, ECGClassifier
from sklearn_bell.datasets import make_ecg
from sklearn_bell.nn.augmentation import Compose

X = make_ecg(45, leads=["II", "V1"], duration=2, random_state=0).data
y = np.arange(45) % 2
PARAMS = {"head_width": 16, "batch_size": 16, "max_epochs": 3, "device": "cpu"}
TERMS = "loss", "latent_deviation", "effective_rank"


class Encoder(nn.Module):
    """Encoder without batch normalisation that counts records and calls."""

    def __init__(self, in_channels):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv1d(in_channels, 8, 9, 4), nn.Tanh())
        self.unused = nn.Parameter(torch.zeros(1))
        self.register_buffer("n_seen", torch.zeros(()))
        self.register_buffer("n_calls", torch.zeros((), dtype=torch.long))

    def forward(self, x):
        if self.training:
            self.n_seen += len(x)
            self.n_calls += 1
        x = self.layers(x)
        return torch.cat([x.mean(-1), x.std(-1)], dim=1)


class RecordedArray:
    """Array that records which of its rows are read."""

    def __init__(self, X):
        self.X, self.shape, self.dtype, self.rows = X, X.shape, X.dtype, []

    def __getitem__(self, rows):
        self.rows += np.arange(len(self.X))[rows].tolist()
        return self.X[rows]

    def __len__(self):
        return len(self.X)


class Printer:
    """Callback that prints when it is set up, and may stop after an epoch."""

    max_propagation_depth = None

    def __init__(self, last_epoch=None):
        self.last_epoch = last_epoch

    def setup(self, estimator, context):
        print("set up", flush=True)

    def on_fit_task_begin(self, estimator, context, **kwargs):
        pass

    def on_fit_task_end(self, estimator, context, **kwargs):
        return context.task_name == "epoch" and len(estimator.history_) == self.last_epoch

    def teardown(self, estimator, context):
        pass


def weights(estimator):
    return {k: v.numpy() for k, v in estimator._net.module_.state_dict().items()}


def main(folder, mode=""):
    """Train, and pickle the results to a file named by the rank."""
    torch.set_num_threads(1)
    folder, rank = Path(folder), os.environ.get("RANK", "single")
    if mode == "exit":
        if rank == "1":
            sys.exit("process 1 exits")
        BELLPretrainer(Encoder, **PARAMS).fit(X)
    unseeded = BELLPretrainer(**PARAMS, verbose=True)  # with batch normalisation
    unseeded.set_callbacks(Printer(last_epoch=2)).fit(array := RecordedArray(X))
    bell = BELLPretrainer(Encoder, augmentation=Compose(), random_state=0, **PARAMS).fit(X)
    classifier = ECGClassifier(
        BELLPretrainer(Encoder, **PARAMS), max_epochs=2, n_trees=5, device="cpu",
        checkpoint=folder / "classifier",
    )  # fmt: skip
    classifier.set_callbacks(Printer()).fit(X, y)
    BELLPretrainer(Encoder, **PARAMS).fit(np.ones((8, 1, 200), np.float32))  # warns of a collapse
    stored = {**PARAMS, "random_state": 7, "checkpoint": folder / "states"}
    BELLPretrainer(**{**stored, "max_epochs": 1}).fit(X)
    results = {
        "rows": array.rows,
        "history": unseeded.history_,
        "weights": weights(unseeded),
        "latents": bell.transform(X),
        "buffers": {k: v.numpy() for k, v in bell.encoder_.named_buffers()},
        "terms": [[entry[name] for name in TERMS] for entry in bell.history_],
        "probabilities": classifier.predict_proba(X),
        "pickle": pickle.dumps(bell),
        "resumed": BELLPretrainer(**stored).fit(X).transform(X),
        "uninterrupted": BELLPretrainer(**PARAMS, random_state=7).fit(X).transform(X),
    }
    (folder / f"{rank}.pickle").write_bytes(pickle.dumps(results))


def train_rank(rank, port, queue):
    """Train as one of two processes, without torchrun."""
    multiprocessing.current_process().name = "MainProcess"
    os.environ.update(RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    torch.set_num_threads(1)
    bell = BELLPretrainer(Encoder, **{**PARAMS, "max_epochs": 2}).fit(X)
    queue.put((weights(bell), [entry["loss"] for entry in bell.history_]))


if __name__ == "__main__":
    from tests.training import _train_distributed

    _train_distributed.main(*sys.argv[1:])  # so that pickles name the module
