"""Whatever stands in a saved model, it is the one that was saved, or an error names the file."""

import hashlib
import json
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sklearn_bell
from sklearn_bell import BELLPretrainer, ECGClassifier
from sklearn_bell.exceptions import InvalidECGError, InvalidFileError
from sklearn_bell.persistence._format import from_bytes, to_bytes
from tests.fuzz._fuzzing import FUZZ, FUZZ_SLOW, NUMBERS, SEEDED, Outcomes, mutated, watched

X = np.random.default_rng(0).normal(0, 0.2, (12, 2, 120)).astype(np.float32)
y = np.arange(12) % 2
outcomes = Outcomes()


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Return the files of two models, as bytes, and what they make of X."""
    folder = tmp_path_factory.mktemp("models")
    small = {"head_width": 4, "batch_size": 8, "max_epochs": 1, "device": "cpu"}
    bell = BELLPretrainer(**small, random_state=0)
    classifier = ECGClassifier(bell.fit(X), max_epochs=1, n_trees=2, random_state=0).fit(X, y)
    found = []
    for number, (model, options) in enumerate(
        [(bell, {}), (classifier, {}), (bell, {"heads": False})]
    ):
        path = folder / f"{number}.safetensors"
        model.save(path, **options)
        sklearn_bell.load(path)
        method = "predict_proba" if model is classifier else "transform"
        found.append((path.read_bytes(), method, getattr(model, method)(X)))
    yield folder, found
    outcomes.report("models")
    shutil.rmtree(folder)


def loaded(folder, content):
    """Return the model in a file of this content, or nothing where it is refused by name."""
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
def test_no_byte_changes_unnoticed(models, data):
    folder, found = models
    content, method, expected = data.draw(st.sampled_from(found))
    changed = data.draw(mutated(content, text=False))
    model = loaded(folder, changed)
    if model is not None:
        assert changed == content
        np.testing.assert_array_equal(getattr(model, method)(X), expected)
        outcomes["unchanged"] += 1


def places(value, path=()):
    """Yield the path of every part of a description."""
    yield path
    if isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(part, (*path, key))


def with_part(value, path, new):
    if not path:
        return new
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[path[0]] = with_part(value[path[0]], path[1:], new)
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
@FUZZ_SLOW
def test_whoever_seals_a_file_anew_gets_no_further(models, data):
    """The checksum is right, but not what is in it."""
    folder, found = models
    content, method, _ = data.draw(st.sampled_from(found))
    random, tree = data.draw(SEEDED), from_bytes(content, "model")
    for _ in range(random.randint(1, 3)):
        tree = with_part(tree, random.choice([*places(tree)]), random.choice(STRANGE))
    model = loaded(folder, to_bytes(tree, "model"))
    if model is None:
        return
    # what does not matter to what it computes may be another; but it computes, or says why not
    try:
        with watched(folder):
            assert np.isfinite(getattr(model, method)(X)).all()
        outcomes["another model"] += 1
    except InvalidECGError:  # of records of another size
        outcomes["for other records"] += 1


@given(data=st.data())
@FUZZ_SLOW
def test_a_description_may_be_any_text(models, data):
    folder, found = models
    content, *_ = data.draw(st.sampled_from(found))
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    described = data.draw(mutated(header["__metadata__"]["description"].encode(), text=True))
    header["__metadata__"] |= {"description": described.decode("utf-8", "replace"),
                               "sha256": "0" * 64}  # fmt: skip
    if loaded(folder, sealed(header, content)) is not None:
        outcomes["another model"] += 1


def sealed(header, content):
    """Return the arrays of a file behind another header, with a right checksum."""
    arrays = content[8 + int.from_bytes(content[:8], "little") :]
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    data = len(text).to_bytes(8, "little") + text + arrays
    digest = hashlib.sha256(data).hexdigest().encode()
    start = data.rfind(b'"sha256":"') + 10
    return data[:start] + digest + data[start + 64 :]
