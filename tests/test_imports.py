"""Structure of the package: imports run one way, exports are listed, files stay small."""

import ast
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import sklearn_bell

PACKAGE = Path(sklearn_bell.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

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
    {"__init__", "__main__"},
]
RANKS = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
ROOT_RANK = RANKS["classification"]  # of names that the root exports

MAX_LINES_PER_FILE, MAX_LINES, MAX_ROOT_ENTRIES = 450, 15_600, 18
OPTIONAL = ["captum", "dask", "h5py", "matplotlib", "pooch", "shap", "skops", "torchvision"]


def file_id(path):
    return str(path.relative_to(PACKAGE))


def module_name(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def package_of(path):
    """Return the entry at the package root that a file belongs to."""
    return Path(path.relative_to(PACKAGE).parts[0]).stem


def read_imports(path):
    """Yield module and name of all imports of a file; the name is None for plain imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            yield from ((node.module, alias.name) for alias in node.names)


def read_own_imports(path):
    """Yield module and name of all imports from this package."""
    for module, name in read_imports(path):
        if module.split(".")[0] == "sklearn_bell":
            yield module, name


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


PUBLIC_FILES = [
    path
    for path in FILES
    if path.stem != "__main__" and not any(map(is_private, module_name(path).split(".")))
]
in_every_file = pytest.mark.parametrize("path", FILES, ids=file_id)


class TestImports:
    @in_every_file
    def test_packages_import_from_lower_layers(self, path):
        package = package_of(path)
        assert package in RANKS, f"add {package} to LAYERS"
        for module, name in read_own_imports(path):
            target = (module.split(".")[1:] or [name])[0]
            if target != package:
                rank = RANKS.get(target, ROOT_RANK)
                assert rank < RANKS[package], f"{path} imports {name} from {module}"

    @in_every_file
    def test_private_modules_are_imported_by_their_full_path(self, path):
        """Private names stay in their module; another package imports names, not modules."""
        for module, name in read_own_imports(path):
            assert name is None or not is_private(name), f"from {module} import {name}"
            assert name is not None or not any(map(is_private, module.split("."))), module

    @pytest.mark.parametrize("package", ["nn", "_utils"])
    def test_lowest_packages_import_nothing_of_the_others(self, package):
        for path in (PACKAGE / package).glob("*.py"):
            for module, _ in read_own_imports(path):
                assert module.split(".")[1] in {"exceptions", "nn", "_utils"}

    @pytest.mark.parametrize(
        "path", [path for path in FILES if package_of(path) == "nn"], ids=file_id
    )
    def test_nn_knows_torch_but_not_scikit_learn(self, path):
        packages = {module.split(".")[0] for module, _ in read_imports(path)}
        assert "torch" in packages or path.stem == "__init__"
        assert not packages & {"sklearn", "skorch", "imblearn"}

    @pytest.mark.parametrize(
        "path", [path for path in FILES if package_of(path) == "_utils"], ids=file_id
    )
    def test_utils_do_not_import_torch(self, path):
        if path.stem == "types":  # imported where torch is, or by type checkers alone
            return
        assert "torch" not in {module.split(".")[0] for module, _ in read_imports(path)}


class TestExports:
    @in_every_file
    def test_all_is_defined_by_public_modules_alone(self, path):
        if path.stem != "__main__":
            module = importlib.import_module(module_name(path))
            assert hasattr(module, "__all__") == (path in PUBLIC_FILES)

    @pytest.mark.parametrize("path", PUBLIC_FILES, ids=file_id)
    def test_all_lists_existing_names_once(self, path):
        module = importlib.import_module(module_name(path))
        assert len(set(module.__all__)) == len(module.__all__)
        assert [name for name in module.__all__ if not hasattr(module, name)] == []

    @pytest.mark.parametrize(
        "path", [path for path in PUBLIC_FILES if path.stem == "__init__"], ids=file_id
    )
    def test_all_of_a_package_lists_everything_it_imports(self, path):
        module = importlib.import_module(module_name(path))
        assert set(module.__all__) == {name for _, name in read_own_imports(path)}

    def test_root_exports_are_imported_on_access(self):
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

    def test_unknown_attribute_of_the_root_raises(self):
        with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
            sklearn_bell.Nothing  # noqa: B018

    def test_every_public_module_is_an_attribute_of_the_root(self):
        names = {module.name for module in pkgutil.iter_modules([str(PACKAGE)])}
        public = {name for name in names if not name.startswith("_")}
        assert public - {"demo"} == sklearn_bell._SUBMODULES

    def test_main_estimators_import_nothing_optional(self):
        script = (
            "import sys\n"
            "from sklearn_bell import BELLPretrainer, ECGClassifier, VQVAEOverSampler\n"
            f"print(*[name for name in {OPTIONAL} if name in sys.modules])\n"
        )
        command = [sys.executable, "-c", script]
        result = subprocess.run(command, check=True, capture_output=True, text=True)
        assert result.stdout.split() == []


class TestSize:
    @in_every_file
    def test_file_is_short(self, path):
        assert len(path.read_text().splitlines()) <= MAX_LINES_PER_FILE

    def test_package_is_small(self):
        assert sum(len(path.read_text().splitlines()) for path in FILES) <= MAX_LINES

    def test_package_root_has_few_entries(self):
        entries = {path.name for path in PACKAGE.iterdir()} - {"__pycache__"}
        entries -= {"py.typed", "weights"}
        assert len(entries) <= MAX_ROOT_ENTRIES, sorted(entries)
        assert {name for name in entries if is_private(name)} == {"_utils"}
