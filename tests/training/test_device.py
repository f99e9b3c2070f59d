"""Devices, precision, and transfer of batches."""

import contextlib
import pickle
import threading

import numpy as np
import pytest
import torch

from sklearn_bell import BELLPretrainer, ECGClassifier, VQVAETransformer
from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.training import _device
from sklearn_bell.training._device import (
    DeviceArray,
    autocast,
    cache_on_device,
    prefetch,
    resolve_device,
    resolve_dtype,
    to_tensor,
)
from tests.training._estimators import PRETRAINERS, SMALL, VQVAE, X, y

CPU = torch.device("cpu")
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def test_resolve_device_accepts_names():
    assert resolve_device("cpu") == CPU
    assert resolve_device("auto").type in {"cpu", "cuda"}


@pytest.mark.parametrize(("precision", "dtype"), [("float32", "float32"), ("bfloat16", "bfloat16")])
def test_resolve_dtype_accepts_names(precision, dtype):
    assert resolve_dtype(precision, CPU) == getattr(torch, dtype)


@pytest.mark.parametrize(("is_fast", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_resolve_dtype_asks_the_cpu(is_fast, dtype, monkeypatch):
    capabilities = {"avx512_bf16": is_fast}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert resolve_dtype("auto", CPU) == dtype


def test_autocast_takes_turns_in_threads():
    n_inside, most = [0], [0]

    def multiply():
        for _ in range(20):
            with autocast(torch.bfloat16, CPU):
                n_inside[0] += 1
                most[0] = max(most[0], n_inside[0])
                assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
                n_inside[0] -= 1

    threads = [threading.Thread(target=multiply) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


def test_to_tensor_copies_read_only_arrays():
    array = np.zeros(3, dtype=np.float32)
    array.flags.writeable = False
    tensor = to_tensor(array, "cpu")
    tensor += 1
    assert (array == 0).all()


def test_to_tensor_keeps_tuples():
    x, targets = to_tensor((np.zeros((2, 3)), torch.ones(2)), "cpu")
    assert x.shape == (2, 3)
    assert targets.tolist() == [1, 1]


def test_prefetch_reads_ahead():
    is_read = [threading.Event() for _ in range(4)]

    def chunks():
        for number, event in enumerate(is_read):
            event.set()
            yield [np.full(3, number)]

    for number, batch in enumerate(prefetch(chunks(), CPU)):
        assert batch.tolist() == [number] * 3
        assert is_read[min(number + 1, 3)].wait(timeout=30)
    assert number == 3


def test_prefetch_raises_reading_errors():
    def chunks():
        yield [np.zeros(3)]
        raise InvalidECGError("a gap")

    n_threads = threading.active_count()
    with pytest.raises(InvalidECGError, match="a gap"):
        list(prefetch(chunks(), CPU))
    assert threading.active_count() == n_threads


def test_prefetch_ends_its_thread_when_closed():
    n_threads = threading.active_count()
    batches = prefetch(([np.zeros(3)] for _ in range(5)), CPU)
    next(batches)
    assert threading.active_count() == n_threads + 1
    batches.close()
    assert threading.active_count() == n_threads


@pytest.mark.parametrize("n_rows", [37, 1024, 2500])
def test_device_array_equals_its_source(n_rows):
    source = np.arange(2 * n_rows).reshape(n_rows, 2)
    array = DeviceArray(source, CPU)
    rows = np.array([5, 0, n_rows - 1, 5])
    assert len(array) == n_rows
    np.testing.assert_array_equal(array[np.arange(n_rows)].numpy(), source)
    np.testing.assert_array_equal(array[rows].numpy(), source[rows])


@pytest.mark.parametrize(
    ("free", "n_rows", "is_cached"),
    [(X.nbytes, 24, True), (X.nbytes - 1, 24, False), (X.nbytes, 23, False), (0, 24, False)],
)
def test_cache_on_device_needs_memory_and_reads(free, n_rows, is_cached, monkeypatch):
    monkeypatch.setattr(_device, "_free_bytes", lambda device: free)
    assert isinstance(cache_on_device(X, CPU, n_rows), DeviceArray) == is_cached


@pytest.mark.parametrize(
    "fit",
    [
        lambda: BELLPretrainer(**SMALL, random_state=0).fit(X),
        lambda: VQVAETransformer(**VQVAE, max_epochs=2, random_state=0).fit(X),
        lambda: ECGClassifier(max_epochs=2, n_trees=5, random_state=0).fit(X, y),
    ],
    ids=["BELLPretrainer", "VQVAETransformer", "ECGClassifier"],
)
def test_cached_records_give_the_same_weights(fit, monkeypatch):
    expected = fit()._net.module_.state_dict()
    monkeypatch.setattr(_device, "_free_bytes", lambda device: 10 * X.nbytes)
    observed = fit()._net.module_.state_dict()
    for name, value in observed.items():
        assert torch.equal(value, expected[name]), name


def take_step(estimator, batch):
    """Take a step on the device "meta", which refuses operations with other devices."""
    module = estimator._net.module_.to("meta").train()
    module.begin_epoch(0)
    with pytest.MonkeyPatch.context() as patch:  # autocast does not support it
        patch.setattr("torch.autocast", lambda *args, **kwargs: contextlib.nullcontext())
        terms = module(to_tensor(batch, "meta"), torch.Generator())
    terms["loss"].backward()
    torch.optim.Adam([p for p in module.parameters() if p.requires_grad]).step()
    module.after_step()
    assert {term.device.type for term in terms.values()} == {"meta"}


@pytest.mark.parametrize("name", PRETRAINERS)
def test_pretraining_step_uses_one_device(name):
    groups = {"groups": np.arange(24) // 2} if name.startswith("CLOCS") else {}
    estimator = PRETRAINERS[name](max_epochs=0).fit(X, **groups)
    take_step(estimator, (X, *groups.values()) if groups else X)


def test_fine_tuning_step_uses_one_device():
    classifier = ECGClassifier(max_epochs=0, n_trees=5).fit(X, np.arange(24) % 3)
    take_step(classifier, (X, np.eye(3, dtype=np.float32)[np.arange(24) % 3]))


def test_take_step_detects_other_devices():
    estimator = BELLPretrainer(max_epochs=0).fit(X)
    normalize = estimator._net.module_.normalize
    normalize.register_forward_hook(lambda module, args, output: output + torch.ones(120))
    with pytest.raises(RuntimeError, match="device"):
        take_step(estimator, X)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=GPU)])
def test_estimators_train_on_device(device):
    bell = BELLPretrainer(**{**SMALL, "device": device}, random_state=0).fit(X)
    assert {weight.device.type for weight in bell.encoder_.parameters()} == {device}
    unpickled = pickle.loads(pickle.dumps(bell))
    np.testing.assert_allclose(unpickled.transform(X), bell.transform(X), rtol=1e-4, atol=1e-4)
    classifier = ECGClassifier(bell, max_epochs=1, n_trees=5, device=device).fit(X, y)
    assert np.isfinite(classifier.predict_proba(X)).all()
    vqvae = VQVAETransformer(**VQVAE, max_epochs=1, device=device).fit(X)
    assert np.isfinite(vqvae.inverse_transform(vqvae.transform(X))).all()
