import threading

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_bell.exceptions import DivergenceError
from sklearn_bell.training._trainer import (
    Trainer,
    default_generators_seeded,
    derived_seed,
    resolve_device,
    set_where_missing,
)


def test_derived_seeds_differ_in_every_part_of_the_key():
    seeds = {derived_seed(a, b, c) for a in range(5) for b in range(5) for c in range(5)}
    assert len(seeds) == 125


def test_torch_generators_are_given_back_as_they_were():
    before = torch.get_rng_state()
    with default_generators_seeded(3):
        first = torch.rand(4)
    assert torch.equal(torch.get_rng_state(), before)
    with default_generators_seeded(3):
        assert torch.equal(torch.rand(4), first)


def test_threads_that_borrow_the_generators_do_not_disturb_each_other():
    drawn = {}

    def draw(name):
        with default_generators_seeded(3):
            drawn[name] = torch.cat([torch.rand(1) for _ in range(2000)])

    threads = [threading.Thread(target=draw, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(values, drawn[0]) for values in drawn.values())


def test_a_device_that_is_named_is_taken():
    assert resolve_device("cpu") == torch.device("cpu")
    assert isinstance(resolve_device("auto"), torch.device)


def test_a_seed_reaches_what_has_none_and_leaves_alone_what_is_frozen():
    frozen = LogisticRegression()
    pipeline = make_pipeline(
        FrozenEstimator(frozen), StandardScaler(), RandomForestClassifier(random_state=3)
    )
    pipeline.steps.append(("last", RandomForestClassifier()))
    set_where_missing(pipeline, random_state=7, verbose=None, missing=1)
    assert frozen.random_state is None
    assert pipeline[2].random_state == 3
    assert pipeline[3].random_state == 7


class Rooted(torch.nn.Module):
    """Its loss is a number, but the gradient of it is none."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(2))

    def forward(self, batch, generator):
        return {"loss": (self.weight - 1).sqrt().sum() + batch.sum()}

    def after_step(self):
        pass


@pytest.mark.parametrize("n_steps", [1, 3])
def test_a_gradient_that_is_no_number_ends_the_training_and_spoils_no_weight(n_steps):
    net = Trainer(Rooted(), seed=0, optimizer=torch.optim.SGD, lr=0.1, batch_size=2).initialize()
    with pytest.raises(DivergenceError, match=f"or a gradient, .* epoch 6, at step . of {n_steps}"):
        net.fit_epoch(np.zeros((2 * n_steps, 1), np.float32), number=5)
    assert torch.equal(net.module_.weight.data, torch.ones(2))
