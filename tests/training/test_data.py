"""How records get to the network, and that all that meets them there is on the same device."""

import contextlib
import pickle
import threading
from itertools import chain

import numpy as np
import pytest
import torch

import sklearn_bell.pretraining
from sklearn_bell import BELLPretrainer, ECGClassifier, VQVAETransformer
from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.training._data import (
    DeviceArray,
    RowDataset,
    ShuffledBatches,
    prefetch,
    to_tensor,
)

CPU = torch.device("cpu")
PRETRAINERS = [getattr(sklearn_bell.pretraining, name) for name in sklearn_bell.pretraining.__all__]


@pytest.fixture
def X():
    return np.random.default_rng(0).normal(0, 0.2, (37, 2, 300)).astype(np.float32)


@pytest.mark.parametrize(("n_rows", "batch_size"), [(10, 4), (3, 2), (9, 2), (64, 64), (65, 64)])
def test_batches_hold_every_row_once_and_never_one_row_alone(n_rows, batch_size):
    batches = list(chain(*ShuffledBatches(RowDataset(np.arange(n_rows)), batch_size, seed=0)))
    assert sorted(np.concatenate(batches)) == list(range(n_rows))
    sizes = [len(batch) for batch in batches]
    assert min(sizes) >= 2
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= batch_size + 1


def test_the_seed_alone_decides_the_order():
    one, same, other = (
        np.concatenate(list(chain(*ShuffledBatches(RowDataset(np.arange(50)), 8, seed))))
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_an_array_that_is_read_only_is_copied():
    array = np.zeros(3, dtype=np.float32)
    array.flags.writeable = False
    tensor = to_tensor(array, "cpu")
    tensor += 1
    assert (array == 0).all()


def test_the_next_batch_is_read_while_one_is_used():
    reading = [threading.Event() for _ in range(4)]

    def batches():
        for number, event in enumerate(reading):
            event.set()
            yield [np.full(3, number)]

    for number, batch in enumerate(prefetch(batches(), CPU)):
        assert batch.tolist() == [number] * 3
        if number < 3:
            assert reading[number + 1].wait(timeout=30)
    assert number == 3


def test_an_error_in_reading_is_told_and_no_thread_is_left():
    def batches():
        yield [np.zeros(3)]
        raise InvalidECGError("a gap")

    before = threading.active_count()
    with pytest.raises(InvalidECGError, match="a gap"):
        list(prefetch(batches(), CPU))
    broken_off = prefetch(([np.zeros(3)] for _ in range(5)), CPU)
    next(broken_off)
    assert threading.active_count() == before + 1
    broken_off.close()
    assert threading.active_count() == before


def test_records_that_lie_on_the_device_are_the_same(X):
    near, rows = DeviceArray(X, CPU), np.array([5, 0, 36, 5])
    assert len(near) == 37
    np.testing.assert_array_equal(near[rows].numpy(), X[rows])
    near = DeviceArray(np.arange(5000), CPU)
    np.testing.assert_array_equal(near[np.arange(5000)].numpy(), np.arange(5000))


@pytest.fixture
def moved(monkeypatch):
    """Give the device room for so many bytes: ``moved(room)`` is a list of what is moved to it."""
    shapes = []

    class Noted(DeviceArray):
        def __init__(self, records, device):
            super().__init__(records, device)
            shapes.append(tuple(self.rows.shape))

    def moved_if(room):
        monkeypatch.setattr("sklearn_bell.training._data._room", lambda device: room)
        monkeypatch.setattr("sklearn_bell.training._data.DeviceArray", Noted)
        return shapes

    return moved_if


@pytest.mark.parametrize(
    "make",
    [
        lambda X: BELLPretrainer(max_epochs=2, random_state=0).fit(X),
        lambda X: VQVAETransformer(n_codes=8, width=8, max_epochs=2, random_state=0).fit(X),
        lambda X: ECGClassifier(max_epochs=2, n_trees=5, random_state=0).fit(X, np.arange(37) % 2),
    ],
)
def test_what_is_learnt_does_not_depend_on_where_records_lie(make, X, moved):
    expected = make(X)._net.module_.state_dict()
    shapes = moved(X.nbytes)
    found = make(X)._net.module_.state_dict()
    assert shapes == [X.shape]
    for name, value in found.items():
        assert torch.equal(value, expected[name]), name


def test_only_what_fits_and_is_read_whole_is_moved(X, moved):
    shapes = moved(X.nbytes - 1)
    bell = BELLPretrainer(max_epochs=2, random_state=0).fit(X)
    assert not shapes
    moved(X.nbytes)
    bell.set_params(max_epochs=3, epoch_size=12).fit(X)  # 36 of 37
    assert not shapes
    bell.set_params(max_epochs=4).fit(X)
    assert shapes == [X.shape]


def take_step(estimator, batch):
    """Take a step on torch's device "meta", which refuses to add what lies elsewhere."""
    learner = estimator._net.module_.to("meta").train()
    if hasattr(learner, "start_epoch"):
        learner.start_epoch()
    with pytest.MonkeyPatch.context() as patch:  # which knows no autocast
        patch.setattr("torch.autocast", lambda *args, **kwargs: contextlib.nullcontext())
        terms = learner(to_tensor(batch, "meta"), torch.Generator())
    terms["loss"].backward()
    torch.optim.Adam([p for p in learner.parameters() if p.requires_grad]).step()
    learner.after_step()
    assert {term.device.type for term in terms.values()} == {"meta"}


@pytest.mark.parametrize("pretrainer", PRETRAINERS)
def test_a_step_of_pretraining_makes_nothing_on_another_device(pretrainer, X):
    others = {"groups": np.arange(37) // 2} if pretrainer.__name__.startswith("CLOCS") else {}
    estimator = pretrainer(max_epochs=0).fit(X, **others)
    take_step(estimator, (X, *others.values()) if others else X)


def test_a_step_of_fine_tuning_makes_nothing_on_another_device(X):
    y = np.arange(37) % 3
    classifier = ECGClassifier(max_epochs=0, n_trees=5).fit(X, y)
    take_step(classifier, (X, np.eye(3, dtype=np.float32)[y]))


def test_what_lies_on_another_device_is_found(X):
    estimator = BELLPretrainer(max_epochs=0).fit(X)
    learner = estimator._net.module_
    learner.prepare.register_forward_hook(lambda module, args, output: output + torch.ones(300))
    with pytest.raises(RuntimeError, match="device"):
        take_step(estimator, X)


GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=GPU)])
def test_a_device_that_is_asked_for_learns_and_what_it_learnt_is_pickled(device, X):
    bell = BELLPretrainer(max_epochs=2, device=device, random_state=0).fit(X)
    assert {weight.device.type for weight in bell.encoder_.parameters()} == {device}
    latents = bell.transform(X)
    again = pickle.loads(pickle.dumps(bell))
    np.testing.assert_allclose(again.transform(X), latents, rtol=1e-4, atol=1e-4)
    y = np.arange(37) % 2
    classifier = ECGClassifier(bell, max_epochs=1, n_trees=5, device=device).fit(X, y)
    assert np.isfinite(classifier.predict_proba(X)).all()
    vqvae = VQVAETransformer(n_codes=8, width=8, max_epochs=1, device=device).fit(X)
    assert np.isfinite(vqvae.inverse_transform(vqvae.transform(X))).all()
