"""Small encoders and classifiers for the tests of classification."""

import torch
from torch import nn

from sklearn_bell import BELLPretrainer, ECGClassifier

N_RECORDS, N_LEADS, N_SAMPLES = 48, 2, 60


class TinyEncoder(nn.Module):
    def __init__(self, in_channels=1):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv1d(in_channels, 6, 9), nn.BatchNorm1d(6), nn.ReLU())

    def forward(self, x):
        return self.layers(x).mean(-1)


def tiny_pretrainer(**params):
    defaults = {"encoder": TinyEncoder, "max_epochs": 0, "head_width": 8, "batch_size": 16}
    return BELLPretrainer(**{**defaults, "random_state": 0, "device": "cpu", **params})


def tiny_classifier(pretrainer=None, **params):
    """Return a classifier whose predictions are those of its network alone."""
    defaults = {"max_epochs": 20, "lr": 0.02, "encoder_lr": 0.02, "batch_size": 8, "features": None}
    pretrainer = tiny_pretrainer() if pretrainer is None else pretrainer
    return ECGClassifier(pretrainer, **{**defaults, "random_state": 0, "device": "cpu", **params})


def make_spy():
    """Return an augmentation that keeps its records and returns them as they are."""

    def spy(x, generator):
        spy.records.append(x)
        return x

    spy.records = []
    return spy


def n_training_rows(spy):
    """Number of rows that a spy has seen after the dry run."""
    return sum(map(len, spy.records[1:]))


def copy_weights(estimator):
    return {name: value.clone() for name, value in estimator.encoder_.state_dict().items()}


def are_equal(first, second):
    assert first.keys() == second.keys()
    return all(torch.equal(first[name], second[name]) for name in first)
