"""Seeds and the generators of torch."""

import threading

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklearn_bell.training._random import (
    default_generators_seeded,
    derived_seed,
    resolve_seed,
    set_missing_params,
)


def test_derived_seed_differs_in_every_part_and_in_length_of_the_key():
    keys = [(a, *key) for a in range(5) for n in range(4) for key in np.ndindex(*[4] * n)]
    seeds = {derived_seed(*key) for key in keys}
    assert len(seeds) == len(keys) == 5 * (1 + 4 + 16 + 64)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_resolve_seed_depends_on_random_state():
    assert resolve_seed(3) == resolve_seed(3) != resolve_seed(4)
    random_state = np.random.RandomState(3)
    assert resolve_seed(random_state) == resolve_seed(3) != resolve_seed(random_state)


def test_resolve_seed_prefers_seed_of_checkpoint():
    class Manager:
        def first_seed(self, seed):
            return 17

    assert resolve_seed(3, Manager()) == 17


def test_default_generators_are_restored():
    before = torch.get_rng_state()
    with default_generators_seeded(3):
        values = torch.rand(4)
    assert torch.equal(torch.get_rng_state(), before)
    with default_generators_seeded(3):
        assert torch.equal(torch.rand(4), values)


def test_default_generators_are_restored_after_error():
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError), default_generators_seeded(3):
        torch.rand(4) @ torch.rand(5)
    assert torch.equal(torch.get_rng_state(), before)


def test_default_generators_are_used_by_one_thread_at_a_time():
    drawn = {}

    def draw(name):
        with default_generators_seeded(3):
            drawn[name] = torch.cat([torch.rand(1) for _ in range(500)])

    threads = [threading.Thread(target=draw, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(values, drawn[0]) for values in drawn.values())


def test_set_missing_params_leaves_set_and_frozen_params():
    frozen = LogisticRegression()
    pipeline = make_pipeline(
        FrozenEstimator(frozen), RandomForestClassifier(random_state=3), LogisticRegression()
    )
    set_missing_params(pipeline, random_state=7, verbose=None, unknown=1)
    assert frozen.random_state is None
    assert pipeline[1].random_state == 3
    assert pipeline[2].random_state == 7
