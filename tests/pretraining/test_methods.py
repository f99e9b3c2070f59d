"""What is particular to the methods beside BELL."""

import numpy as np
import pytest
import torch
from torch import nn

from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.nn.encoders import JointEncoder, SharedEncoder
from sklearn_bell.pretraining import (
    BarlowTwinsPretrainer,
    BELLPretrainer,
    BYOLPretrainer,
    CLOCSPretrainer,
    LFBTPretrainer,
    SimCLRPretrainer,
)


class Tiny(nn.Module):
    def __init__(self, in_channels):
        super().__init__()
        self.layer = nn.Conv1d(in_channels, 4, 5)

    def forward(self, x):
        return self.layer(x).relu().mean(-1)


SMALL = {"encoder": Tiny, "max_epochs": 2, "batch_size": 8, "head_width": 8, "random_state": 0}


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).normal(size=(16, 3, 50)).astype("f4")


@pytest.mark.parametrize("method", [BYOLPretrainer, SimCLRPretrainer, BarlowTwinsPretrainer])
def test_one_encoder_sees_all_leads(method, X):
    fitted = method(**SMALL).fit(X)
    assert isinstance(fitted.encoder_[1], JointEncoder)
    assert fitted.transform(X).shape == (16, 4)
    name = method.__name__.lower()
    assert list(fitted.get_feature_names_out()) == [f"{name}_{i}" for i in range(4)]


@pytest.mark.parametrize(
    ("joint", "by_lead"),
    [(BYOLPretrainer, BELLPretrainer), (BarlowTwinsPretrainer, LFBTPretrainer)],
)
def test_for_one_lead_it_is_the_method_by_leads(joint, by_lead, X):
    one = X[:, :1]
    joint, by_lead = joint(**SMALL).fit(one), by_lead(**SMALL).fit(one)
    np.testing.assert_array_equal(joint.transform(one), by_lead.transform(one))


def test_bell_with_a_shared_encoder_has_one_for_all_leads(X):
    fitted = BELLPretrainer(shared_encoder=True, **SMALL).fit(X)
    assert isinstance(fitted.encoder_[1], SharedEncoder)
    latents = fitted.transform(X).reshape(16, 3, 4)
    swapped = fitted.transform(X[:, [2, 0, 1]]).reshape(16, 3, 4)
    np.testing.assert_allclose(swapped, latents[:, [2, 0, 1]], rtol=1e-4, atol=1e-5)


def test_clocs_uses_the_patients(X):
    alone = CLOCSPretrainer(**SMALL).fit(X)
    every = CLOCSPretrainer(**SMALL).fit(X, groups=np.arange(16))
    pairs = CLOCSPretrainer(**SMALL).fit(X, groups=np.repeat(["a", "b", "c", "d"], 4))
    np.testing.assert_array_equal(alone.transform(X), every.transform(X))
    assert (alone.transform(X) != pairs.transform(X)).any()
    further = pairs.partial_fit(X, groups=np.repeat([1, 2], 8))
    assert len(further.history_) == 3


def test_clocs_names_groups_that_do_not_fit(X):
    with pytest.raises(InvalidECGError, match=r"patient of each record.*\[16, 3\]"):
        CLOCSPretrainer(**SMALL).fit(X, groups=[1, 2, 3])


def test_clocs_sees_halves_of_the_same_record(X):
    seen = []

    def augmentation(x, generator):
        seen.append(x)
        return x

    CLOCSPretrainer(**{**SMALL, "batch_size": 16}, augmentation=augmentation).fit(X)
    first, second = seen[-2:]
    assert first.shape == second.shape == (16, 3, 25)
    assert not torch.equal(first, second)
