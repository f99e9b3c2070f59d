"""Imports run one way, and what a module exports is what it says it exports."""

import ast
import importlib
import pkgutil
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import sklearn_bell

PACKAGE = Path(sklearn_bell.__file__).parent
MODULES = sorted(
    "sklearn_bell." + ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if path.stem not in {"__init__", "__main__"}
)

# packages, lower ones first: each imports only from lines above its own
LAYERS = [
    {"exceptions"},
    {"nn"},
    {"_utils"},
    {"persistence"},
    {"training", "preprocessing", "datasets", "evaluation"},
    {"feature_extraction", "pretraining", "vqvae", "plotting"},
    {"classification", "over_sampling"},
    {"inspection", "demo"},
]


def imported_by(module):
    """Names of all that a module imports anywhere in its text."""
    source = importlib.util.find_spec(module).origin
    for node in ast.walk(ast.parse(Path(source).read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from names


def part(module):
    return module.split(".")[1]


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_one_way(module):
    rank = {name: i for i, layer in enumerate(LAYERS) for name in layer}
    assert part(module) in rank, f"add the package of {module} to LAYERS"
    for name in imported_by(module):
        if name.startswith("sklearn_bell.") and part(name) != part(module):
            lower = rank.get(part(name), len(LAYERS) - 2)  # names exported by the root
            assert lower < rank[part(module)], f"{module} imports {name}"


@pytest.mark.parametrize("module", [m for m in MODULES if part(m) == "nn"])
def test_torch_code_knows_nothing_of_scikit_learn(module):
    packages = {name.split(".")[0] for name in imported_by(module)}
    assert "torch" in packages
    assert not packages & {"sklearn", "skorch", "imblearn"}


@pytest.mark.parametrize(
    "package",
    ["sklearn_bell", *(f"sklearn_bell.{m.name}" for m in pkgutil.iter_modules([str(PACKAGE)]))],
)
def test_what_is_exported_is_what_all_lists(package):
    if package == "sklearn_bell.__main__":
        return
    module = importlib.import_module(package)
    if package.rsplit(".", 1)[-1].startswith("_"):
        assert not hasattr(module, "__all__"), "private modules export nothing"
        return
    assert len(set(module.__all__)) == len(module.__all__)
    for name in module.__all__:
        assert hasattr(module, name)


def test_constraints_name_no_place_of_one_machine():
    lines = (PACKAGE.parent / "constraints.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines if line[:1] != "#")


def test_what_the_package_exports_is_imported_when_asked_for():
    script = (
        "import sys, sklearn_bell\n"
        "import sklearn_bell.datasets\n"
        "assert 'torch' not in sys.modules\n"
        "for name in (*sklearn_bell.__all__, *sklearn_bell._SUBMODULES):\n"
        "    assert name in dir(sklearn_bell)\n"
        "    getattr(sklearn_bell, name)\n"
        "assert 'torch' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        sklearn_bell.Nothing  # noqa: B018
    public = {m.name for m in pkgutil.iter_modules([str(PACKAGE)]) if not m.name.startswith("_")}
    assert public - {"demo"} == sklearn_bell._SUBMODULES


def test_import_takes_little_more_than_that_of_torch_and_scikit_learn():
    def seconds(script):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", script], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    ratios = []
    for _ in range(3):  # in turns
        both = seconds("import torch, sklearn")
        ratios.append(seconds("from sklearn_bell import BELLPretrainer") / both)
    assert sorted(ratios)[1] < 1.5


def test_what_is_not_always_needed_is_imported_when_used():
    script = (
        "import sys\n"
        "from sklearn_bell import BELLPretrainer, ECGClassifier, VQVAEOverSampler\n"
        "for name in 'captum', 'dask', 'matplotlib', 'pooch', 'skops', 'torchvision':\n"
        "    assert name not in sys.modules, name\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
