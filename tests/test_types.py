"""Type annotations: complete on every public name, and accepted by mypy."""

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


def public_functions():
    """Yield the public functions and methods that are defined here, with their names."""
    packages = pkgutil.walk_packages(sklearn_bell.__path__, "sklearn_bell.")
    for package in ["sklearn_bell", *(package.name for package in packages)]:
        if "._" in package or package == "sklearn_bell.demo":
            continue
        module = importlib.import_module(package)
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isfunction(value):
                yield f"{package}.{name}", value
            elif inspect.isclass(value):
                for base in value.__mro__:
                    if base.__module__.startswith("sklearn_bell"):
                        yield from methods(base)


def methods(base):
    for name, value in vars(base).items():
        if name.startswith("_") and name not in ("__init__", "__call__"):
            continue
        value = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if inspect.isfunction(value):
            yield f"{base.__module__}.{base.__qualname__}.{name}", value


@pytest.mark.parametrize(("name", "function"), dict(public_functions()).items())
def test_public_function_is_annotated(name, function):
    signature = inspect.signature(inspect.unwrap(function))
    parameters = [p for p in signature.parameters.values() if p.name not in ("self", "cls")]
    assert [p.name for p in parameters if p.annotation is p.empty] == []
    if not name.endswith("__init__"):
        assert signature.return_annotation is not inspect.Signature.empty


@pytest.mark.slow  # mypy reads torch and scikit-learn
def test_mypy_accepts_a_typical_program(tmp_path):
    (tmp_path / "program.py").write_text(USER)
    # silent imports: errors count in the program alone, as if the package were installed
    options = ["--config-file", "pyproject.toml", "--strict", "--follow-imports=silent"]
    report, errors, status = api.run([*options, str(tmp_path / "program.py")])
    assert status == 0, report + errors
