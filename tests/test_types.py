"""Types are complete: every public name says what it takes and returns, and mypy believes it."""

import importlib
import inspect
import pkgutil

import pytest
from mypy import api

import sklearn_bell

USER = """
from typing import Any

import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import sklearn_bell
from sklearn_bell import BELLPretrainer, ECGClassifier, VQVAEOverSampler
from sklearn_bell.datasets import make_ecg
from sklearn_bell.evaluation import classification_report_ci, compare_readers
from sklearn_bell.plotting import ECGDisplay

ecg = make_ecg(20, random_state=0)
bell = BELLPretrainer(max_epochs=1, random_state=0).fit(ecg.data)
latents: NDArray[Any] = bell.transform(ecg.data)
names: NDArray[Any] = bell.get_feature_names_out()
bell.save("bell.safetensors")
same: BELLPretrainer = BELLPretrainer.from_pretrained(device="cpu")
pipeline = make_pipeline(bell, LogisticRegression()).fit(ecg.data, ecg.target)
classifier: ECGClassifier = ECGClassifier(bell).fit(ecg.data, ecg.target)
probabilities: NDArray[Any] = classifier.predict_proba(ecg.data)
X, y = VQVAEOverSampler().fit_resample(ecg.data, ecg.target)
display: ECGDisplay = ECGDisplay.from_record(ecg.data[0], 100)
report = classification_report_ci(ecg.target, probabilities)
truth = pd.DataFrame({"AF": [0, 1, 0]})
scores, pairs = compare_readers(truth, truth, {"student": truth})
print(sklearn_bell.load("bell.safetensors"))
"""


def public():
    """Yield the public functions and methods that are defined here, with their names."""
    packages = pkgutil.walk_packages(sklearn_bell.__path__, "sklearn_bell.")
    for package in ["sklearn_bell", *(package.name for package in packages)]:
        if "._" in package or package == "sklearn_bell.demo":
            continue
        module = importlib.import_module(package)
        for name in module.__all__:
            one = getattr(module, name)
            if inspect.isfunction(one):
                yield f"{package}.{name}", one
            elif inspect.isclass(one):
                for of_class in one.__mro__:
                    if of_class.__module__.startswith("sklearn_bell"):
                        yield from methods(of_class)


def methods(of_class):
    for name, one in vars(of_class).items():
        if name.startswith("_") and name not in ("__init__", "__call__"):
            continue
        one = one.fget if isinstance(one, property) else getattr(one, "__func__", one)
        if inspect.isfunction(one):
            yield f"{of_class.__module__}.{of_class.__qualname__}.{name}", one


@pytest.mark.parametrize(("name", "function"), dict(public()).items())
def test_every_public_name_says_what_it_takes_and_returns(name, function):
    function = inspect.unwrap(function)
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name not in ("self", "cls"):
            assert parameter.annotation is not parameter.empty, f"{name}: {parameter.name}"
    if not name.endswith("__init__"):
        assert inspect.signature(function).return_annotation is not inspect.Signature.empty, name


def test_a_program_that_uses_them_is_well_typed(tmp_path):
    (tmp_path / "program.py").write_text(USER)
    said, errors, status = api.run(
        ["--config-file", "pyproject.toml", "--strict", str(tmp_path / "program.py")]
    )
    assert status == 0, said + errors
