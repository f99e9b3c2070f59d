"""Same seed, same bits, in threads and processes; a fit changes no shared state."""

import inspect
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed
from sklearn.base import clone

from sklearn_bell import (
    BELLPretrainer,
    ECGClassifier,
    ECGFeatures,
    VQVAEOverSampler,
    VQVAETransformer,
    pretraining,
)

ROOT = os.path.dirname(os.path.dirname(__file__))
X = np.random.default_rng(0).normal(0, 0.2, (24, 2, 400)).astype(np.float32).cumsum(axis=-1) / 10
X[..., 40::80] += 1  # beats
y = np.r_[np.zeros(16, int), np.ones(8, int)]
SMALL = {"max_epochs": 2, "batch_size": 8, "random_state": 0, "device": "cpu"}
VQVAE = VQVAETransformer(n_codes=8, n_codebooks=2, n_features=4, width=8, **SMALL)
METHODS = {
    name: getattr(pretraining, name)
    for name in pretraining.__all__
    if issubclass(getattr(pretraining, name), pretraining.BasePretrainer)
    and not inspect.isabstract(getattr(pretraining, name))
}
ESTIMATORS = {
    **{name: method(head_width=16, **SMALL) for name, method in METHODS.items()},
    "BELL in bfloat16": BELLPretrainer(head_width=16, precision="bfloat16", **SMALL),
    "classifier": ECGClassifier(BELLPretrainer(head_width=16, **SMALL), n_trees=5, **SMALL),
    "VQ-VAE": VQVAE,
    "sampler": VQVAEOverSampler(vqvae=VQVAE, random_state=0),
    "features": ECGFeatures(),
}
MAIN = ["BELLPretrainer", "classifier", "sampler"]  # for runs that are not slow


def outcome(name, checkpoint=None):
    """Return the output of an estimator for the records, computed by one thread."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        estimator = clone(ESTIMATORS[name])
        if name != "features":
            estimator.set_params(checkpoint=checkpoint)
        if name == "sampler":
            return estimator.fit_resample(X, y)[0]
        estimator.fit(X, y)
        return (estimator.predict_proba if name == "classifier" else estimator.transform)(X)
    finally:
        torch.set_num_threads(n_threads)


@pytest.fixture(scope="module")
def expected():
    return {name: outcome(name) for name in ESTIMATORS}


def assert_same_bits(names, outcomes, expected):
    for name, values in zip(names, outcomes, strict=True):
        np.testing.assert_array_equal(values, expected[name], err_msg=name)


def test_fits_in_another_order_give_same_bits(expected):
    names = list(reversed(ESTIMATORS))
    assert_same_bits(names, map(outcome, names), expected)


def fit_in_parallel(backend, n_jobs, names, expected):
    if backend == "threading":  # threads share one setting of torch's own threads
        torch.set_num_threads(1)
    outcomes = Parallel(n_jobs, backend=backend)(delayed(outcome)(name) for name in names)
    assert_same_bits(names, outcomes, expected)


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_parallel_fits_give_same_bits(expected, backend):
    fit_in_parallel(backend, 2, MAIN, expected)


@pytest.mark.slow
@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("backend", ["loky", "threading", "sequential"])
def test_parallel_fits_of_all_estimators_give_same_bits(expected, backend, n_jobs):
    fit_in_parallel(backend, n_jobs, [*ESTIMATORS, *ESTIMATORS], expected)


def fit_in_one_folder(folder, names, expected):
    """Fit every estimator twice at once with the same checkpoints, then again from them."""
    for _ in range(2):
        jobs = [*names, *names]
        outcomes = Parallel(2, backend="loky")(delayed(outcome)(name, folder) for name in jobs)
        assert_same_bits(jobs, outcomes, expected)


def test_parallel_fits_share_a_checkpoint_folder(expected, tmp_path):
    fit_in_one_folder(tmp_path, ["BELLPretrainer", "classifier"], expected)


@pytest.mark.slow
def test_parallel_fits_of_all_estimators_share_a_checkpoint_folder(expected, tmp_path):
    fit_in_one_folder(tmp_path, list(ESTIMATORS), expected)


SCRIPT = """
import multiprocessing, sys
import numpy as np
import torch
from joblib import Parallel, delayed
sys.path.insert(0, sys.argv[1])
torch.set_num_threads(1)
if __name__ == "__main__":
    from tests.test_reproducibility import ESTIMATORS, outcome
    import sklearn_bell
    if sys.argv[2] == "joblib":
        outcomes = Parallel(2, backend="multiprocessing")(map(delayed(outcome), ESTIMATORS))
    else:
        with multiprocessing.get_context(sys.argv[2]).Pool(2) as pool:
            outcomes = pool.map(outcome, ESTIMATORS)
    np.savez(sys.argv[3], **dict(zip(ESTIMATORS, outcomes)))
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", [*multiprocessing.get_all_start_methods(), "joblib"])
def test_fits_in_processes_of_every_kind_give_same_bits(expected, method, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, tmp_path / "script.py", ROOT, method, tmp_path / "outcomes.npz"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(list(map(str, command)), check=True, timeout=300, env=environment)
    outcomes = np.load(tmp_path / "outcomes.npz")
    assert_same_bits(expected, [outcomes[name] for name in expected], expected)


def shared_state():
    """Return the state that all code of a process shares."""
    return {
        "numpy's generator": str(np.random.get_state()),
        "Python's generator": random.getstate(),
        "torch's generator": torch.get_rng_state().numpy().tobytes(),
        "threads of torch": torch.get_num_threads(),
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "gradients": torch.is_grad_enabled(),
        "determinism": torch.are_deterministic_algorithms_enabled(),
        # torch adds this name at the first optimizer of a process
        "environment": {**os.environ, "TORCHINDUCTOR_CACHE_DIR": None},
        "warnings": list(warnings.filters),
        "errors of numpy": np.geterr(),
        "signals": signal.getsignal(signal.SIGINT),
        "folder": os.getcwd(),
        "threads": threading.active_count(),
    }


@pytest.mark.parametrize("name", ESTIMATORS)
def test_fit_leaves_shared_state_alone(name, tmp_path, monkeypatch):
    estimator = clone(ESTIMATORS[name])
    if "checkpoint" in estimator.get_params():
        estimator.set_params(checkpoint=tmp_path / "checkpoints")
    monkeypatch.chdir(tmp_path)
    before = shared_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if name == "sampler":
            estimator.fit_resample(X, y)
        else:
            estimator.fit(X, y)
    assert shared_state() == before
    assert set(os.listdir(tmp_path)) <= {"checkpoints"}


def test_import_leaves_shared_state_alone():
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import os, warnings, numpy, torch, sklearn, skorch, imblearn.over_sampling, pandas, wfdb\n"
        "import matplotlib, joblib, scipy.signal, sklearn.ensemble, sklearn.callback, skorch\n"
        "from tests.test_reproducibility import shared_state\n"
        "import importlib, pkgutil\n"
        "for name in [n for n in sys.modules if n.startswith('sklearn_bell')]:\n"
        "    del sys.modules[name]\n"
        "before = shared_state()\n"
        "import sklearn_bell\n"
        "for module in pkgutil.walk_packages(sklearn_bell.__path__, 'sklearn_bell.'):\n"
        "    if not module.name.endswith('__main__'): importlib.import_module(module.name)\n"
        "after = shared_state()\n"
        "assert before == after, {k for k in after if before[k] != after[k]}\n"
    )
    command = [sys.executable, "-c", script, ROOT]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-2000:]
