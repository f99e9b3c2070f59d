"""Saved models with random changes load with equal content, or an error names the file."""

import functools
import json
import shutil

import numpy as np
import pytest
import safetensors.torch
from hypothesis import given, settings
from hypothesis import strategies as st

import sklearn_bell
from sklearn_bell import BELLPretrainer, ECGClassifier
from sklearn_bell.exceptions import InvalidECGError, InvalidFileError
from sklearn_bell.nn.encoders import ResNet1d
from sklearn_bell.persistence._format import _digest, from_bytes, to_bytes
from tests.fuzz._fuzzing import FUZZ, N_CASES, NUMBERS, SEEDED, Outcomes, mutated, watched

X = np.random.default_rng(0).normal(0, 0.2, (12, 2, 120)).astype(np.float32)
y = np.arange(12) % 2
FUZZ_LOADING = settings(FUZZ, max_examples=max(15, N_CASES // 20))  # makes two networks a case
outcomes = Outcomes()


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Return a folder, and for three models the bytes of the file, a method and its output."""
    folder = tmp_path_factory.mktemp("models")
    small = {"head_width": 4, "batch_size": 8, "max_epochs": 1, "device": "cpu"}
    encoder = functools.partial(ResNet1d, channels=(4,))
    bell = BELLPretrainer(encoder, shared_encoder=True, **small, random_state=0).fit(X)
    classifier = ECGClassifier(bell, max_epochs=1, n_trees=2, random_state=0).fit(X, y)
    files = []
    for model, options in [(bell, {}), (classifier, {}), (bell, {"heads": False})]:
        path = folder / "model.safetensors"
        model.save(path, **options)
        method = "predict_proba" if model is classifier else "transform"
        files.append((path.read_bytes(), method, getattr(model, method)(X)))
    sklearn_bell.load(path)  # imports what it needs before files are watched
    yield folder, files
    outcomes.report("models")
    shutil.rmtree(folder)


def load(folder, content):
    """Return the model in a file with this content, or None if it is refused."""
    path = folder / "changed.safetensors"
    path.write_bytes(content)
    try:
        with watched(folder):
            return sklearn_bell.load(path)
    except InvalidFileError as error:
        assert str(path) in str(error)  # noqa: PT017
        outcomes["refused"] += 1
        return None


@given(data=st.data())
@FUZZ
def test_changed_bytes_are_detected(models, data):
    folder, files = models
    content, method, expected = data.draw(st.sampled_from(files))
    model = load(folder, data.draw(mutated(content, text=False)))
    if model is not None:  # blanks may be added to JSON, for instance
        np.testing.assert_array_equal(getattr(model, method)(X), expected)
        outcomes["equal"] += 1


def paths(value, path=()):
    """Yield the path of every part of a tree."""
    yield path
    if isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from paths(part, (*path, key))


def with_part(value, path, part):
    """Return a tree with the part at a path replaced."""
    if not path:
        return part
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[path[0]] = with_part(value[path[0]], path[1:], part)
    return changed


STRANGE = [
    None, True, -1, 0, 1, 2.5, 10**6, 10**12, 10**400, float("nan"), float("inf"), "", "II", "../x",
    "cuda:7", "float16", [], {}, [[]], {"a": 1, "b": 2}, {"name": "VGG1d"}, {"name": "system"},
    {"tuple": [1, 2]}, {"dict": [[[], 1]]}, {"partial": [{"name": "VGG1d"}, {"tuple": []}, 1]},
    {"object": ["Compose", {"tuple": [{"tuple": []}, {"dict": []}]}]}, {"random_state": [0]},
    {"unknown": "os.system"}, {"estimator": {}}, {"frozen": {}}, "0" * 1000,
    *map(bytes.decode, NUMBERS),
]  # fmt: skip


@given(data=st.data())
@FUZZ_LOADING
def test_changed_content_with_right_checksum_is_harmless(models, data):
    folder, files = models
    content, method, _ = data.draw(st.sampled_from(files))
    random, tree = data.draw(SEEDED), from_bytes(content, "model")
    for _ in range(random.randint(1, 3)):
        tree = with_part(tree, random.choice([*paths(tree)]), random.choice(STRANGE))
    model = load(folder, to_bytes(tree, "model"))
    if model is None:
        return
    try:
        with watched(folder):
            assert np.isfinite(getattr(model, method)(X)).all()
        outcomes["another model"] += 1
    except InvalidECGError:
        outcomes["for records of another shape"] += 1


@given(data=st.data())
@FUZZ_LOADING
def test_changed_description_with_right_checksum_is_harmless(models, data):
    folder, files = models
    content, *_ = data.draw(st.sampled_from(files))
    n_header = int.from_bytes(content[:8], "little")
    description = json.loads(content[8 : 8 + n_header])["__metadata__"]["description"]
    description = data.draw(mutated(description.encode(), text=True)).decode("utf-8", "replace")
    tensors = safetensors.torch.load(content)
    metadata = {"description": description, "sha256": _digest(description, tensors)}
    if load(folder, safetensors.torch.save(tensors, metadata)) is not None:
        outcomes["another model"] += 1
