"""Steps of training."""

import pickle

import numpy as np
import pytest
import torch
from torch import nn

from sklearn_bell.exceptions import DivergenceError
from sklearn_bell.nn.trainable import TrainableModule
from sklearn_bell.training._loop import Reporter, fit_loop
from sklearn_bell.training._random import default_generators_seeded
from sklearn_bell.training._trainer import Trainer

X = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)


class Regression(TrainableModule):
    """Predicts the mean of a record; notes all calls."""

    def __init__(self):
        super().__init__()
        with default_generators_seeded(0):
            self.layer = nn.Linear(3, 1)
        self.dropout = nn.Dropout(0.5)
        self.calls = []

    def begin_epoch(self, epoch):
        self.calls.append(("begin", epoch))

    def forward(self, batch, generator):
        noise = torch.randn(len(batch), generator=generator)
        self.calls.append(("forward", len(batch), noise[0].item()))
        errors = self.layer(self.dropout(batch))[:, 0] - batch.mean(1)
        return {"loss": errors.square().mean(), "size": torch.tensor(float(len(batch)))}

    def after_step(self):
        self.calls.append(("after",))

    def summarize_epoch(self, terms, all_gather):
        return {**terms, "n_calls": len(self.calls)}


def make_trainer(module=None, seed=0, batch_size=8, **options):
    return Trainer(
        module or Regression(), seed=seed, optimizer=torch.optim.Adam, lr=0.01,
        batch_size=batch_size, device=torch.device("cpu"), optimizer__fused=True, **options,
    ).initialize()  # fmt: skip


def train(trainer, last_epoch=1, records=X):
    history = []
    fit_loop(trainer, records, last_epoch=last_epoch, history=history, reporter=Reporter("", False))
    return history


def weights(trainer):
    return {name: value.clone() for name, value in trainer.module_.state_dict().items()}


def test_epoch_calls_hooks_in_order():
    trainer = make_trainer()
    train(trainer, 2)
    epoch = ["begin", *["forward", "after"] * 3]
    assert [name for name, *_ in trainer.module_.calls] == 2 * epoch
    assert [call[1] for call in trainer.module_.calls if call[0] == "begin"] == [0, 1]


def test_history_weighs_terms_by_batch_size():
    (entry,) = train(make_trainer())
    assert entry["epoch"] == 1
    assert entry["size"] == pytest.approx((7 * 7 + 7 * 7 + 6 * 6) / 20)
    assert entry["n_calls"] == 7
    assert entry["duration"] > 0
    assert "batches" not in entry


def test_seed_determines_weights_and_draws():
    trainers = [make_trainer(seed=seed) for seed in (1, 1, 2)]
    for trainer in trainers:
        train(trainer, 2)
    first, again, other = (trainer.module_.calls for trainer in trainers)
    assert first == again != other
    assert torch.equal(*(weights(trainer)["layer.weight"] for trainer in trainers[:2]))


def test_draws_differ_in_every_step():
    trainer = make_trainer()
    train(trainer, 3)
    noise = [call[2] for call in trainer.module_.calls if call[0] == "forward"]
    assert len(set(noise)) == 9


def test_draws_of_generator_and_dropout_are_independent():
    class Draws(Regression):
        def forward(self, batch, generator):
            self.draws = torch.rand(64, generator=generator), torch.rand(64)
            return super().forward(batch, generator)

    trainer = make_trainer(Draws())
    train(trainer)
    assert np.abs(np.corrcoef(*trainer.module_.draws)[0, 1]) < 0.5


def test_default_generator_is_left_alone():
    before = torch.get_rng_state()
    train(make_trainer())
    assert torch.equal(torch.get_rng_state(), before)


def test_epoch_size_limits_rows():
    trainer = make_trainer(epoch_size=10)
    train(trainer)
    assert [call[1] for call in trainer.module_.calls if call[0] == "forward"] == [5, 5]


def test_training_equals_plain_torch():
    trainer, module = make_trainer(batch_size=20), Regression()
    for net in (trainer.module_, module):
        net.dropout.p = 0.0
    train(trainer, 3)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        module(torch.from_numpy(X), torch.Generator())["loss"].backward()
        optimizer.step()
    torch.testing.assert_close(weights(trainer), module.state_dict())


def test_state_resumes_to_the_same_bits():
    expected = make_trainer()
    train(expected, 4)
    interrupted = make_trainer()
    train(interrupted, 2)
    resumed = make_trainer(seed=5)
    resumed.set_state(interrupted.get_state())
    train(resumed, 4)
    assert resumed.epoch_ == 4
    for name, value in weights(expected).items():
        assert torch.equal(weights(resumed)[name], value), name


def test_interrupted_trainer_keeps_no_second_copy_of_the_weights():
    class Interrupting(Regression):
        def forward(self, batch, generator):
            raise KeyboardInterrupt

    trainer = make_trainer(Interrupting())
    with pytest.raises(KeyboardInterrupt):
        fit_loop(trainer, X, last_epoch=1, history=[], reporter=Reporter("", False))
    assert trainer.start_weights_ is None


def test_pickled_trainer_trains_to_the_same_bits():
    trainer = make_trainer()
    train(trainer)
    unpickled = pickle.loads(pickle.dumps(trainer))
    train(trainer, 2)
    train(unpickled, 2)
    assert torch.equal(weights(trainer)["layer.weight"], weights(unpickled)["layer.weight"])


def test_pickle_holds_no_records():
    trainer = make_trainer()
    train(trainer)
    assert X[3].tobytes() not in pickle.dumps(trainer)


class Diverging(nn.Module):
    """Layer whose gradient or output is NaN from a step on."""

    def __init__(self, first_step, part):
        super().__init__()
        self.first_step, self.part, self.n_steps = first_step, part, 0

    def forward(self, x):
        self.n_steps += 1
        if self.n_steps < self.first_step:
            return x
        if self.part == "loss":
            return x * torch.nan
        return x + (x - x).abs().sqrt()  # the gradient of the root at zero is NaN


@pytest.mark.parametrize("part", ["loss", "gradient"])
@pytest.mark.parametrize(("step", "n_epochs"), [(1, 0), (3, 0), (4, 1), (5, 1)])
def test_divergence_restores_weights_of_previous_epoch(part, step, n_epochs):
    module = Regression()
    module.layer = nn.Sequential(module.layer, Diverging(step, part))
    trainer, expected = make_trainer(module), make_trainer()
    train(expected, n_epochs)
    with pytest.raises(DivergenceError, match=rf"in epoch {n_epochs + 1}, step . of 3.*smaller lr"):
        train(trainer, 2)
    assert trainer.epoch_ == n_epochs
    assert torch.equal(weights(trainer)["layer.0.weight"], weights(expected)["layer.weight"])
