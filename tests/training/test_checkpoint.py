"""Training that was ended anywhere goes on, and ends bit by bit where it would have ended."""

import functools
import os
import pickle
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sklearn_bell import ECGClassifier, VQVAEOverSampler, VQVAETransformer, pretraining
from sklearn_bell._utils.validation import Records
from sklearn_bell.exceptions import CheckpointWarning, DivergenceError
from sklearn_bell.nn.augmentation import RandomCrop
from sklearn_bell.persistence._format import read_file
from sklearn_bell.pretraining import BELLPretrainer
from sklearn_bell.training import Checkpoint, LinearProbe
from sklearn_bell.training._run_hash import run_hash, sampled_rows_signature
from sklearn_bell.training._trainer import Trainer
from sklearn_bell.vqvae import ImageVQVAETransformer

X = np.random.default_rng(0).normal(0, 0.2, (24, 2, 120)).astype(np.float32).cumsum(axis=-1)
y = np.arange(24) % 2
SMALL = {"head_width": 8, "batch_size": 8, "max_epochs": 3, "device": "cpu"}
VQVAE = {"n_codes": 8, "n_codebooks": 2, "n_features": 4, "width": 8, "batch_size": 8}
TRAINED = {
    **{
        name: getattr(pretraining, name)(**SMALL, random_state=0)
        for name in pretraining.__all__
        if name != "BELLPretrainer"
    },
    "BELLPretrainer": BELLPretrainer(**SMALL, random_state=0),
    "VQVAETransformer": VQVAETransformer(**VQVAE, max_epochs=3, random_state=0),
    "ImageVQVAETransformer": ImageVQVAETransformer(
        **VQVAE, strides=(2, 2), max_epochs=3, random_state=0
    ),
    "ECGClassifier": ECGClassifier(
        BELLPretrainer(**SMALL), max_epochs=3, batch_size=8, n_trees=5, random_state=0
    ),
    "ECGClassifier, early stopping": ECGClassifier(
        early_stopping=True, validation_fraction=0.25, n_iter_no_change=2, n_frozen_epochs=1,
        max_epochs=4, batch_size=8, random_state=0,
    ),
    "VQVAEOverSampler": VQVAEOverSampler(
        vqvae=VQVAETransformer(**VQVAE, max_epochs=1), method="prior", prior_epochs=3,
        n_neighbors=2, random_state=0,
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def ctrl_c_is_heard():
    """Shells let what they start in the background ignore it."""
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, usual)


def outcome(estimator):
    """All that a fit makes of the records, as arrays."""
    if isinstance(estimator, VQVAEOverSampler):
        rows = np.r_[:10, 11, 13]  # ten of the one class and two of the other
        return {"new": estimator.fit_resample(X[rows], (rows > 9).astype(int))[0]}
    x = X[:, :, :64] if isinstance(estimator, ImageVQVAETransformer) else X
    estimator.fit(x, y)
    history = [{**one, "duration": 0} for one in estimator.history_]
    weights = {k: v.numpy() for k, v in estimator._net.module_.state_dict().items()}
    return {**weights, "history": history, "best": getattr(estimator, "best_epoch_", None)}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, one in expected.items():
        np.testing.assert_array_equal(found[name], one, err_msg=name)


def interrupt(monkeypatch, n_steps):
    """Let Ctrl-C come after so many steps, wherever training is by then."""
    left, usual = n_steps, Trainer.on_batch_end

    def on_batch_end(self, *args, **kwargs):
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGINT)
        return usual(self, *args, **kwargs)

    monkeypatch.setattr(Trainer, "on_batch_end", on_batch_end)


@pytest.mark.parametrize("name", TRAINED)
def test_what_was_interrupted_ends_where_it_would_have(name, tmp_path, monkeypatch):
    expected = outcome(clone(TRAINED[name]))
    for n_steps in (1, 2, 3, 5):
        folder = tmp_path / str(n_steps)
        estimator = clone(TRAINED[name]).set_params(checkpoint=folder)
        with monkeypatch.context() as patched:
            interrupt(patched, n_steps)
            with pytest.raises(KeyboardInterrupt):
                outcome(estimator)
        assert list(folder.glob("*/epoch-*"))
        assert_same(outcome(clone(estimator)), expected)


@pytest.mark.parametrize("name", TRAINED)
def test_a_finished_run_takes_no_step(name, tmp_path, monkeypatch):
    estimator = clone(TRAINED[name]).set_params(checkpoint=Checkpoint(tmp_path, epochs=1))
    expected = outcome(clone(estimator))
    monkeypatch.setattr("sklearn_bell.training._trainer.Trainer.fit_epoch", None)
    assert_same(outcome(estimator), expected)


def test_a_finished_classifier_does_not_vote_again(tmp_path, monkeypatch):
    some = np.where(np.arange(24) < 16, y, -1)
    classifier = clone(TRAINED["ECGClassifier"]).set_params(checkpoint=tmp_path)
    expected = classifier.fit(X, some).predict_proba(X)
    monkeypatch.setattr("sklearn_bell.classification.pseudo_label_probabilities", None)
    np.testing.assert_array_equal(clone(classifier).fit(X, some).predict_proba(X), expected)


def test_a_run_is_prolonged_and_a_shorter_one_is_not_mistaken_for_it(tmp_path):
    def run(n_epochs, checkpoint=None):
        return outcome(BELLPretrainer(**{**SMALL, "max_epochs": n_epochs}, random_state=0,
                                      checkpoint=checkpoint))  # fmt: skip

    assert_same(run(2, tmp_path), run(2))
    assert_same(run(4, tmp_path), run(4))
    assert_same(run(1, tmp_path), run(1))  # none so early is kept
    assert_same(run(5, tmp_path), run(5))
    assert len(list(tmp_path.iterdir())) == 1


def test_at_most_two_states_are_kept(tmp_path):
    bell = BELLPretrainer(**SMALL, random_state=0, checkpoint=Checkpoint(tmp_path, epochs=1))
    bell.set_params(max_epochs=5).fit(X)
    (folder,) = tmp_path.iterdir()
    names = sorted(path.name for path in folder.glob("epoch-*"))
    assert names == [f"epoch-{n:06}-step-{0:08}.safetensors" for n in (4, 5)]


def test_a_damaged_state_is_passed_over_with_a_warning(tmp_path):
    bell = BELLPretrainer(**SMALL, random_state=0, checkpoint=Checkpoint(tmp_path, epochs=1))
    expected = outcome(clone(bell))
    newest = sorted(tmp_path.glob("*/epoch-*"))[-1]
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    with pytest.warns(
        CheckpointWarning, match=rf"{newest.name}: it is damaged.*the checkpoint before"
    ):
        assert_same(outcome(clone(bell)), expected)
    assert_same(outcome(clone(bell)), expected)  # it is whole again


def test_a_damaged_state_takes_no_place_of_an_intact_one(tmp_path):
    bell = BELLPretrainer(**SMALL, random_state=0, checkpoint=Checkpoint(tmp_path, epochs=1))
    bell.fit(X)
    (folder,) = tmp_path.iterdir()
    (folder / "epoch-000003-step-00000002.safetensors").write_bytes(b"nothing")
    with pytest.warns(CheckpointWarning, match="it is no file of sklearn_bell"):
        bell.set_params(max_epochs=4).fit(X)
    names = sorted(path.name for path in folder.glob("epoch-*.safetensors"))
    assert names == [f"epoch-{n:06}-step-{0:08}.safetensors" for n in (3, 4)]


def test_a_state_that_the_disk_does_not_give_is_passed_over(tmp_path, monkeypatch):
    bell = BELLPretrainer(**SMALL, random_state=0, checkpoint=Checkpoint(tmp_path, epochs=1))
    expected = outcome(clone(bell))
    newest, usual = sorted(tmp_path.glob("*/epoch-*"))[-1], Path.read_bytes

    def read_bytes(path):
        if path == newest:
            raise OSError(5, "Input/output error", str(path))
        return usual(path)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", read_bytes)
        with pytest.warns(CheckpointWarning, match="Input/output error"):
            assert_same(outcome(clone(bell)), expected)


def test_a_state_of_another_training_is_refused(tmp_path):
    bell = BELLPretrainer(**SMALL, random_state=0)
    bell.set_params(checkpoint=tmp_path / "one").fit(X)
    other = clone(bell).set_params(lr=0.01, max_epochs=1, checkpoint=tmp_path / "other").fit(X)
    (there,) = (tmp_path / "one").glob("*/epoch-000003*")
    (here,) = (tmp_path / "other").iterdir()
    shutil.copy(there, here)
    with pytest.warns(CheckpointWarning, match="of a training with other parameters or data"):
        found = outcome(other.set_params(max_epochs=3))
    assert_same(found, outcome(other.set_params(checkpoint=None)))


def test_a_damaged_seed_is_told_and_found_again(tmp_path):
    classifier = clone(TRAINED["ECGClassifier, early stopping"])
    classifier.set_params(random_state=None, checkpoint=tmp_path)
    expected = outcome(clone(classifier))
    (path,) = tmp_path.glob("ECGClassifier-*/seed*")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.warns(CheckpointWarning, match="another seed, that of the newest state"):
        assert_same(outcome(clone(classifier)), expected)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_same(outcome(clone(classifier)), expected)


class Spoilt(torch.autograd.Function):
    """Gradients that are no numbers, of a loss that is one."""

    @staticmethod
    def forward(ctx, x, is_spoilt):
        ctx.is_spoilt = is_spoilt
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return (gradient * torch.nan if ctx.is_spoilt else gradient), None


class SpoiltLater(torch.nn.Module):
    def __init__(self, n):
        super().__init__()
        self.layer = torch.nn.Linear(8, 4)
        self.register_buffer("n_seen", torch.zeros(()))

    def forward(self, x):
        self.n_seen += self.training
        return Spoilt.apply(self.layer(x[..., :8].flatten(1)), bool(self.n_seen >= 8))


def test_what_is_no_number_is_never_kept(tmp_path):
    bell = BELLPretrainer(
        **{**SMALL, "max_epochs": 6}, encoder=SpoiltLater, shared_encoder=True, random_state=0,
        checkpoint=Checkpoint(tmp_path, minutes=1e-9),
    )  # fmt: skip
    for _ in range(2):  # and who goes on gets no further
        with pytest.raises(DivergenceError, match="in epoch 2, at step"):
            bell.fit(X)
        assert len(bell.history_) == 1
        assert np.isfinite(bell.transform(X)).all()
        for path in tmp_path.glob("*/epoch-*"):
            weights = read_file(path, "checkpoint")["net"]["weights"].values()
            assert all(torch.isfinite(one).all() for one in weights)


@pytest.mark.parametrize("n_steps", [2, 6])
def test_a_probe_ends_training_where_it_would_have_ended(n_steps, tmp_path, monkeypatch):
    def run(checkpoint):
        rising = LinearProbe(X, y, every=1, patience=2, scoring=lambda model, X, y: -X.mean())
        bell = BELLPretrainer(**{**SMALL, "max_epochs": 9}, random_state=0, checkpoint=checkpoint)
        found = outcome(bell.set_callbacks(rising))
        return found, rising.scores_

    expected, scores = run(None)
    assert 3 <= len(scores) < 9
    with monkeypatch.context() as patched:
        interrupt(patched, n_steps)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path)
    for _ in range(2):
        found, again = run(tmp_path)
        assert_same(found, expected)
        assert again == scores


def test_a_pickle_has_no_records_that_were_trained_on(tmp_path):
    for one in (BELLPretrainer(**SMALL), VQVAETransformer(**VQVAE, max_epochs=1)):
        assert X[5, 1].tobytes() not in pickle.dumps(one.fit(X))


def test_where_no_seed_is_given_a_run_keeps_the_one_it_had(tmp_path, monkeypatch):
    classifier = clone(TRAINED["ECGClassifier"]).set_params(random_state=None, checkpoint=tmp_path)
    with monkeypatch.context() as patched:
        interrupt(patched, 4)
        with pytest.raises(KeyboardInterrupt):
            outcome(clone(classifier))
    assert_same(outcome(clone(classifier)), outcome(clone(classifier)))
    assert len(list(tmp_path.iterdir())) == 2  # of the classifier, and of its pretrainer


def test_settings_and_folds_of_a_search_do_not_meet(tmp_path):
    def search(checkpoint):
        bell = BELLPretrainer(**SMALL, random_state=0, checkpoint=checkpoint)
        grid = {"bellpretrainer__lr": [1e-3, 1e-2], "bellpretrainer__max_epochs": [1, 2]}
        pipeline = make_pipeline(bell, LogisticRegression())
        return GridSearchCV(pipeline, grid, cv=2, scoring="neg_log_loss").fit(X, y)

    expected = search(None)
    for _ in range(2):  # and what is found there is what was trained
        found = search(tmp_path)
        np.testing.assert_array_equal(
            found.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"]
        )
    assert len(list(tmp_path.iterdir())) == 2 * 2 + 1  # rates, folds, and all records at the end


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch):
    bell = BELLPretrainer(**SMALL, random_state=0, checkpoint=Checkpoint(tmp_path, epochs=1))
    expected = outcome(clone(bell))
    for path in sorted(tmp_path.glob("*/epoch-*"))[1:]:
        path.unlink()  # that of two epochs stays

    def full(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"Could not write .* MB \(No space left") as error:
            bell.fit(X)
    assert "epoch-000003" in error.value.filename
    assert len(bell.history_) == 3  # what was trained is there
    np.testing.assert_array_equal(
        bell.transform(X), BELLPretrainer(**SMALL, random_state=0).fit(X).transform(X)
    )
    assert_same(outcome(clone(bell)), expected)


def test_a_file_that_may_not_grow_loses_nothing(tmp_path):
    bell = BELLPretrainer(**SMALL, random_state=0, checkpoint=Checkpoint(tmp_path, epochs=1))
    expected = outcome(clone(bell).set_params(checkpoint=None))
    bell.set_params(max_epochs=1).fit(X)
    (before,) = tmp_path.glob("*/epoch-*")
    content = before.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(content) // 2, limits[1]))
    try:
        with pytest.raises(OSError, match=r"Could not write .* MB \(File too large"):
            bell.set_params(max_epochs=3).fit(X)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(bell.history_) == 2
    assert np.isfinite(bell.transform(X)).all()
    assert [*tmp_path.glob("*/*epoch-*")] == [before]
    assert before.read_bytes() == content
    assert_same(outcome(clone(bell)), expected)


def test_a_folder_that_may_only_be_read_loses_nothing():
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)  # for others than root, who may write everywhere
        folder = Path(name, "kept")
        bell = BELLPretrainer(**SMALL, random_state=0, checkpoint=Checkpoint(folder, epochs=1))
        expected = outcome(clone(bell).set_params(checkpoint=None))
        bell.set_params(max_epochs=1).fit(X)
        (of_bell,) = folder.iterdir()
        of_bell.chmod(0o555)
        user = os.geteuid()
        os.seteuid(user or 65534)
        try:
            with pytest.raises(OSError, match=r"Could not write .* MB \(Permission denied"):
                bell.set_params(max_epochs=3).fit(X)
        finally:
            os.seteuid(user)
            of_bell.chmod(0o755)
        assert len(bell.history_) == 2
        assert np.isfinite(bell.transform(X)).all()
        assert_same(outcome(clone(bell)), expected)


def test_a_folder_that_cannot_be_made_is_told_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    bell = BELLPretrainer(**SMALL, checkpoint=tmp_path / "file" / "folder")
    with pytest.raises(OSError, match="file"):
        bell.fit(X)


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"minutes": 0}])
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        Checkpoint("folder", **wrong)


def test_ctrl_c_without_a_checkpoint_and_other_handlers_are_left_alone(tmp_path):
    seen = []
    usual = signal.signal(signal.SIGINT, lambda *args: seen.append(args))
    try:
        BELLPretrainer(**SMALL, checkpoint=tmp_path).fit(X)
        os.kill(os.getpid(), signal.SIGINT)
        assert len(seen) == 1
    finally:
        signal.signal(signal.SIGINT, usual)
    BELLPretrainer(**SMALL, checkpoint=tmp_path).fit(X)
    assert signal.getsignal(signal.SIGINT) is usual is signal.default_int_handler


KILLED = """
import sys
import numpy as np
import torch
from sklearn_bell import BELLPretrainer
from sklearn_bell.training import Checkpoint

torch.set_num_threads(1)
X = np.random.default_rng(0).normal(0, 0.2, (240, 2, 200)).astype(np.float32).cumsum(axis=-1)
print("ready", flush=True)
checkpoint = Checkpoint(sys.argv[1], minutes=1e-9) if sys.argv[1] else None
bell = BELLPretrainer(
    head_width=32, batch_size=16, max_epochs=6, random_state=0, device="cpu", checkpoint=checkpoint
)
bell.fit(X)
np.save(sys.argv[2], bell.transform(X))
"""


def start(*args):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", KILLED, *map(str, args)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    with process.stdout as output:
        assert output.readline() == "ready\n"
    return process


def test_what_was_killed_ends_where_it_would_have(tmp_path):
    begin = time.monotonic()
    assert start("", tmp_path / "expected.npy").wait() == 0
    usual = time.monotonic() - begin
    rng, n_kills = random.Random(0), int(os.environ.get("SKLEARN_BELL_KILLS", 3))
    killed = 0
    for _ in range(10 * n_kills):
        process = start(tmp_path / "kept", tmp_path / "found.npy")
        try:
            process.wait(rng.uniform(0, usual))
        except subprocess.TimeoutExpired:
            process.kill()  # a state is written after every step
            killed += process.wait() != 0
        if (tmp_path / "found.npy").exists():
            found, expected = np.load(tmp_path / "found.npy"), np.load(tmp_path / "expected.npy")
            np.testing.assert_array_equal(found, expected)
            if killed >= n_kills:
                return
            for path in sorted((tmp_path / "kept").glob("*/epoch-*")):
                path.unlink()
            (tmp_path / "found.npy").unlink()
    pytest.fail(f"{killed} kills, and no end")


def keys(**data):
    return run_hash(BELLPretrainer(), (), data)


def test_fingerprints_tell_parameters_and_data_from_each_other():
    def of(estimator):
        return run_hash(estimator, {"max_epochs"}, {})

    first, second = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    different = [
        BELLPretrainer(), BELLPretrainer(lr=1.0), BELLPretrainer(first), BELLPretrainer(second),
        BELLPretrainer(augmentation=RandomCrop()), BELLPretrainer(augmentation=RandomCrop(0.7)),
        BELLPretrainer(encoder=lambda n: torch.nn.Linear(n, 1)),
        BELLPretrainer(encoder=lambda n: torch.nn.Linear(n, 2)),
        BELLPretrainer(encoder=functools.partial(torch.nn.Linear, out_features=2)),
        BELLPretrainer(random_state=np.random.RandomState(0)),
        BELLPretrainer(random_state=np.random.RandomState(1)),
        ECGClassifier(), ECGClassifier(BELLPretrainer()), ECGClassifier(BELLPretrainer(lr=1.0)),
        ECGClassifier(BELLPretrainer(max_epochs=1)),
    ]  # fmt: skip
    assert len({of(one) for one in different}) == len(different)
    for one in different:
        assert of(one) == of(pickled(one)) == of(clone(one))
    assert of(BELLPretrainer(max_epochs=1)) == of(BELLPretrainer())
    x = Records(X, (np.float32,))
    other = X.copy()
    other[12] += 1
    assert sampled_rows_signature(x) == sampled_rows_signature(
        Records(X.astype(np.float64), (np.float32,))
    )
    data = [
        sampled_rows_signature(x),
        sampled_rows_signature(Records(other, (np.float32,))),
        y,
        y.astype(float),
        1 - y,
    ]
    assert len({keys(data=one) for one in data}) == len(data)


def made_of(source):
    """What a module of this text has by the name `it`."""
    names = {"__name__": "of_user", "nn": torch.nn}
    exec(source, names)
    return names["it"]


CODE = [
    "def it(n, *, width=4): return nn.Linear(n, width)",
    "def it(n, *, width=8): return nn.Linear(n, width)",
    "def it(n): return nn.Sequential(*[nn.Dropout(0.1) for _ in range(2)])",
    "def it(n): return nn.Sequential(*[nn.Dropout(0.9) for _ in range(2)])",
    "W = 4\ndef it(n): return nn.Linear(n, W)",
    "W = 8\ndef it(n): return nn.Linear(n, W)",
    "def f(n): return n\ndef it(n): return nn.Linear(f(n), 4)",
    "def f(n): return -n\ndef it(n): return nn.Linear(f(n), 4)",
    *(
        f"class A(nn.Module):\n    def forward(self, x): return x.{name}()\n"
        f"class it(A):\n    depth = {depth}"
        for name in ("relu", "tanh")
        for depth in (1, 2)
    ),
]


def test_fingerprints_tell_code_of_users_from_each_other():
    def of(source):
        return run_hash(BELLPretrainer(made_of(source)), (), {})

    assert len({of(source) for source in CODE}) == len(CODE)
    assert all(of(source) == of(source) for source in CODE)
    first, second = map(made_of, CODE[:2])
    assert keys(a=first, b=[first, second]) == keys(b=[first, second], a=first)
    assert keys(of={first, second}, then=first) == keys(of={second, first}, then=first)


def test_fingerprints_do_not_depend_on_where_it_is_trained():
    def of(estimator):
        return run_hash(estimator, (), {})

    one, other = (
        ECGClassifier(
            BELLPretrainer(device=device, checkpoint=folder), device=device, checkpoint=folder
        )
        for device, folder in (("cpu", "here"), ("cuda", "there"))
    )
    assert of(one) == of(other)
    forests = [RandomForestClassifier(n_jobs=n, verbose=n) for n in (1, 2)]
    first, second = (VQVAEOverSampler(filter=forest) for forest in forests)
    assert of(first) == of(second)
    assert of(first) != of(VQVAEOverSampler(filter=RandomForestClassifier(7)))


def test_patients_count_in_whatever_form_they_come():
    patients = np.arange(24) // 2
    series = pd.Series(patients)
    assert len({keys(groups=series), keys(groups=series[::-1]), keys(groups=patients)}) == 2
    assert keys(groups=series) == keys(groups=patients)
    assert keys(groups=pd.Series(list("ab"))) != keys(groups=pd.Series(list("ba")))


def pickled(estimator):
    try:
        return pickle.loads(pickle.dumps(estimator))
    except (pickle.PicklingError, AttributeError):  # a lambda
        return estimator


def test_fingerprints_are_those_of_every_process():
    script = (
        "from sklearn_bell.pretraining import BELLPretrainer\n"
        "from sklearn_bell.training._run_hash import run_hash\n"
        "from sklearn_bell.nn.augmentation import RandomCrop\n"
        "bell = BELLPretrainer(augmentation=RandomCrop(0.7))\n"
        "print(run_hash(bell, (), {'names': {'a', 'b', 'c'}}))\n"
    )
    command = [sys.executable, "-c", script]
    found = {
        subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": seed}, check=True,
                       capture_output=True, text=True).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    bell = BELLPretrainer(augmentation=RandomCrop(0.7))
    assert found == {run_hash(bell, (), {"names": {"c", "b", "a"}}) + "\n"}
