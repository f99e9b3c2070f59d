"""The same seed gives the same bits, wherever a fit runs, and no fit changes what all share."""

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

X = np.random.default_rng(0).normal(0, 0.2, (24, 2, 400)).astype(np.float32).cumsum(axis=-1) / 10
y = np.r_[np.zeros(16, int), np.ones(8, int)]
SMALL = {"max_epochs": 2, "batch_size": 8, "random_state": 0, "device": "cpu"}
VQVAE = VQVAETransformer(n_codes=8, n_codebooks=2, n_features=4, width=8, **SMALL)
ESTIMATORS = {
    "BELL": BELLPretrainer(head_width=16, **SMALL),
    "BELL in bfloat16": BELLPretrainer(head_width=16, precision="bfloat16", **SMALL),
    "classifier": ECGClassifier(BELLPretrainer(head_width=16, **SMALL), n_trees=5, **SMALL),
    "VQ-VAE": VQVAE,
    "sampler": VQVAEOverSampler(vqvae=VQVAE, random_state=0),
    "features": ECGFeatures(),
    **{
        name: getattr(pretraining, name)(head_width=16, **SMALL)
        for name in pretraining.__all__
        if name != "BELLPretrainer"
    },
}


def outcome(name, checkpoint=None):
    """What an estimator makes of the records, computed by one thread."""
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


def test_again_and_after_others(expected):
    for name in reversed(ESTIMATORS):
        np.testing.assert_array_equal(outcome(name), expected[name], err_msg=name)


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("backend", ["loky", "threading", "sequential"])
def test_in_parallel(expected, backend, n_jobs):
    names = [*ESTIMATORS, *ESTIMATORS]
    if backend == "threading":  # which has one number of threads for all
        torch.set_num_threads(1)
    found = Parallel(n_jobs, backend=backend)(delayed(outcome)(name) for name in names)
    for name, one in zip(names, found, strict=True):
        np.testing.assert_array_equal(one, expected[name], err_msg=name)


def test_in_parallel_with_checkpoints(expected, tmp_path):
    """Several at once in one folder, and once more, when all is there."""
    for _ in range(2):
        names = [*ESTIMATORS, *ESTIMATORS]
        found = Parallel(2, backend="loky")(delayed(outcome)(name, tmp_path) for name in names)
        for name, one in zip(names, found, strict=True):
            np.testing.assert_array_equal(one, expected[name], err_msg=name)


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
        found = Parallel(2, backend="multiprocessing")(map(delayed(outcome), ESTIMATORS))
    else:
        with multiprocessing.get_context(sys.argv[2]).Pool(2) as pool:
            found = pool.map(outcome, ESTIMATORS)
    np.savez(sys.argv[3], **dict(zip(ESTIMATORS, found)))
"""


@pytest.mark.parametrize("method", [*multiprocessing.get_all_start_methods(), "joblib"])
def test_in_processes_of_every_kind(expected, method, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    folder = os.path.dirname(os.path.dirname(__file__))
    command = [sys.executable, tmp_path / "script.py", folder, method, tmp_path / "found.npz"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(list(map(str, command)), check=True, timeout=300, env=environment)
    found = np.load(tmp_path / "found.npz")
    for name, one in expected.items():
        np.testing.assert_array_equal(found[name], one, err_msg=name)


def shared():
    """What all of a process share, and may not be changed by one."""
    return {
        "numpy's generator": str(np.random.get_state()),
        "Python's generator": random.getstate(),
        "torch's generator": torch.get_rng_state().numpy().tobytes(),
        "threads of torch": torch.get_num_threads(),
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "gradients": torch.is_grad_enabled(),
        "determinism": torch.are_deterministic_algorithms_enabled(),
        "environment": dict(os.environ),
        "warnings": list(warnings.filters),
        "errors of numpy": np.geterr(),
        "signals": signal.getsignal(signal.SIGINT),
        "folder": os.getcwd(),
        "threads": threading.active_count(),
    }


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_fit_leaves_what_is_shared_as_it_was(name, tmp_path, monkeypatch):
    estimator = clone(ESTIMATORS[name])
    if "checkpoint" in estimator.get_params():
        estimator.set_params(checkpoint=tmp_path / "kept")
    monkeypatch.chdir(tmp_path)
    before = shared()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if name == "sampler":
            estimator.fit_resample(X, y)
        else:
            estimator.fit(X, y)
    assert shared() == before
    assert set(os.listdir(tmp_path)) <= {"kept"}


def test_importing_leaves_what_is_shared_as_it_was():
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import os, warnings, numpy, torch, sklearn, skorch, imblearn.over_sampling, pandas, wfdb\n"
        "import matplotlib, joblib, scipy.signal, sklearn.ensemble, sklearn.callback, skorch\n"
        "from tests.test_reproducibility import shared\n"
        "import importlib, pkgutil\n"
        "for name in [n for n in sys.modules if n.startswith('sklearn_bell')]:\n"
        "    del sys.modules[name]\n"
        "before = shared()\n"
        "import sklearn_bell\n"
        "for module in pkgutil.walk_packages(sklearn_bell.__path__, 'sklearn_bell.'):\n"
        "    if not module.name.endswith('__main__'): importlib.import_module(module.name)\n"
        "after = shared()\n"
        "assert before == after, {k for k in after if before[k] != after[k]}\n"
    )
    command = [sys.executable, "-c", script, os.path.dirname(os.path.dirname(__file__))]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
