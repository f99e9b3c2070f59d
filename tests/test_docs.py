"""Documentation: programs, links, API reference, and the examples of CONTRIBUTING.md."""

import contextlib
import importlib
import inspect
import io
import itertools
import os
import pkgutil
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import sklearn_bell
from sklearn_bell.datasets import make_ecg
from sklearn_bell.nn.augmentation import Compose, RandomCrop
from tests.datasets import test_common as datasets_common
from tests.datasets.test_read_ecg import LEADS, MICROVOLTS, write_dicom, write_muse
from tests.test_readme import own_folder  # noqa: F401

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
# a program, and what it prints if the page shows it
PROGRAM = re.compile(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", flags=re.DOTALL)
INCLUDE = re.compile(r"```{include} (\S+)\n.*?```", flags=re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
TOCTREE = re.compile(r"```{toctree}\n(.*?)```", flags=re.DOTALL)
ROLE = re.compile(r"[{:](?:func|class|meth|mod)[}:]`(?:[^`<]+<)?~?([\w.]+)>?`")
AUTOSUMMARY = r"currentmodule:: (\S+)\n.*?:toctree: generated/\n\n((?:   \w+\n)+)"

PAGES = sorted(page for folder in ("user_guide", "how_to") for page in (DOCS / folder).glob("*.md"))
PAGES += [DOCS / "weights.md", DOCS / "methods" / "features.md"]
TEXTS = [page for page in sorted(DOCS.rglob("*.md")) if "_build" not in page.parts]
TEXTS += [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md")]
EXAMPLES = sorted((ROOT / "examples").glob("plot_*.py"))
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
SECTIONS = "A pretraining method", "An encoder", "An augmentation", "A data set"


def public_names():
    """Qualified names and objects of all public classes and functions."""
    names = {}
    for package in pkgutil.walk_packages(sklearn_bell.__path__, "sklearn_bell."):
        if "._" in package.name or package.name == "sklearn_bell.demo":
            continue
        module = importlib.import_module(package.name)
        for name in module.__all__:
            if callable(getattr(module, name)):
                names[f"{package.name}.{name}"] = getattr(module, name)
    return names


PUBLIC = public_names()
NOT_ERRORS = {
    name: public
    for name, public in PUBLIC.items()
    if not (isinstance(public, type) and issubclass(public, Exception))
}


def page_id(page):
    return str(page.relative_to(ROOT))


def run_programs(text, filename):
    """Run the programs of a text in one namespace, with one epoch, and return the namespace.

    What they print must be what the text shows.
    """
    namespace = {}
    for program, shown in PROGRAM.findall(text):
        quick = program.replace("BELLPretrainer(\n", "BELLPretrainer(\n    max_epochs=1,")
        quick = quick.replace("(bell), random_state", "(bell), max_epochs=1, random_state")
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(quick, filename, "exec"), namespace)
        assert not shown or printed.getvalue() == shown, printed.getvalue()
    return namespace


@pytest.fixture
def patients(own_folder):  # noqa: F811
    """Table labels.csv with a column of patients, two records each."""
    labels = pd.read_csv("labels.csv", dtype=str)
    labels.insert(1, "patient", [f"p{row // 2}" for row in range(len(labels))])
    labels.to_csv("labels.csv", index=False)


@pytest.fixture
def exports(own_folder):  # noqa: F811
    """Folder of exports of a hospital, one of them cut off, and a table of diagnoses."""
    Path("exports").mkdir()
    microvolts = make_ecg(3, leads=LEADS, sampling_rate=250, random_state=0).data * 1000
    counts = (microvolts / MICROVOLTS).round().astype(np.int16)
    write_muse(Path("exports/000417.xml"), counts[0])
    write_muse(Path("exports/000418.xml"), counts[1])
    write_dicom(Path("exports/1.2.840.1"), counts[2])
    content = Path("exports/000418.xml").read_bytes()
    Path("exports/000419.xml").write_bytes(content[: len(content) // 2])
    rows = ["417;p1;AF", "418;p1;", "1.2.840.1;p2;normal", "500;p3;AF"]
    Path("diagnoses.csv").write_text("\n".join(["record;patient;diagnosis", *rows]))


@pytest.mark.usefixtures("patients", "exports", "figures")
@pytest.mark.filterwarnings("ignore:.* could not be read and are left out")
@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_page_programs_run(page):
    run_programs(page.read_text(), str(page))


class TestContributing:
    """Worked examples of CONTRIBUTING.md."""

    @pytest.mark.parametrize("title", SECTIONS)
    def test_example_changes_at_most_four_files(self, title):
        files = changed_files(title)
        assert 0 < len(files) <= 4
        assert len(set(files)) == len(files)
        assert all((ROOT / file).parent.is_dir() for file in files)

    def test_pretraining_example_fits(self):
        program = run_section("A pretraining method")
        X = make_ecg(40, leads=["II", "V1"], duration=5, random_state=0).data
        pretrainer = program["SimSiamPretrainer"](max_epochs=1, random_state=0)
        assert pretrainer.fit_transform(X).shape == (40, 2 * 112)
        assert -1 <= pretrainer.history_[0]["loss"] <= 1

    def test_encoder_example_fits(self):
        program = run_section("An encoder")
        X = make_ecg(8, leads=["II", "V1"], duration=5, random_state=0).data
        bell = sklearn_bell.BELLPretrainer(
            program["Conv1dEncoder"], max_epochs=1, head_width=16, random_state=0
        )
        assert bell.fit_transform(X).shape == (8, 2 * 8)

    def test_augmentation_example_fits(self):
        augmentation = run_section("An augmentation")["RandomGain"]()
        gain = augmentation(torch.ones(99, 2, 3), torch.Generator().manual_seed(0))
        assert 0.5 <= gain.min() < gain.max() <= 2
        X = make_ecg(8, leads=["II", "V1"], duration=5, random_state=0).data
        bell = sklearn_bell.BELLPretrainer(
            augmentation=Compose(RandomCrop(), augmentation), max_epochs=1, head_width=16
        )
        assert np.isfinite(bell.fit_transform(X)).all()

    @pytest.mark.filterwarnings("ignore::sklearn_bell.exceptions.RecordWarning")
    def test_data_set_example_passes_common_tests(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        program = run_section("A data set")
        assert program["ward"].target.tolist() == [0, 1, 1, -1]

        def load(**options):
            return program["load_ward"]("home", **options)

        tests = [
            test
            for name, test in vars(datasets_common).items()
            if name.startswith("test_") and [*inspect.signature(test).parameters] == ["load"]
        ]
        assert len(tests) >= 3
        for test in tests:
            test(load)

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("title", "name", "tests"),
        [
            (
                "A pretraining method",
                "SimSiamPretrainer",
                ["tests/test_common.py", "tests/pretraining/test_base.py"],
            ),
            ("An encoder", "Conv1dEncoder", ["tests/nn/test_encoders.py"]),
            ("An augmentation", "RandomGain", ["tests/nn/test_augmentation.py"]),
        ],
    )
    def test_named_files_suffice(self, tmp_path, title, name, tests):
        """A copy of the project with the example in the named files passes the common tests."""
        for folder in ("sklearn_bell", "tests", "docs", "examples", "benchmarks"):
            shutil.copytree(ROOT / folder, tmp_path / folder, ignore=IGNORED)
        for file in ("README.md", "CONTRIBUTING.md", "pyproject.toml", "constraints.txt"):
            shutil.copy(ROOT / file, tmp_path)
        add_example(tmp_path, title, name)
        module = changed_files(title)[0]
        select = f"({name} or {Path(module).stem} or titles) and not suffice"
        tests = [*tests, *(f"tests/test_{part}.py" for part in ("docs", "imports", "types"))]
        run = subprocess.run(
            [*PYTEST, *tests, module, "-k", select],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
        )
        assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-1000:]


PYTEST = sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"
IGNORED = shutil.ignore_patterns("__pycache__", "_build", "generated", "auto_examples", "results")


def contributing_section(title):
    return re.search(rf"^### {title}\n(.*?)^##", CONTRIBUTING, flags=re.DOTALL | re.MULTILINE)[1]


def changed_files(title):
    """Paths of the files that an addition changes, from the table of CONTRIBUTING.md."""
    row = re.search(rf"^\| {title} \| (.*?) \|$", CONTRIBUTING, re.MULTILINE | re.IGNORECASE)
    return re.findall(r"`([^`]+)`", row[1])


def run_section(title):
    return run_programs(contributing_section(title), f"CONTRIBUTING.md, {title}")


def add_example(root, title, name):
    """Write the program of a section of CONTRIBUTING.md into the files that it names."""
    program, (module, package, reference, changelog) = (
        PROGRAM.search(contributing_section(title))[1],
        changed_files(title),
    )
    dotted = module.removesuffix(".py").replace("/", ".")
    if title == "A pretraining method":
        (root / module).write_text(program)
        edit(root / package, r"\Z", f"from {dotted} import {name}\n__all__.append({name!r})\n")
        dotted = dotted.rpartition(".")[0]
    else:
        edit(root / module, r"\Z", "\n\n" + program.partition("nn\n\n\n")[2])
        edit(root / module, r"(?<=__all__ = \[)", f"{name!r}, ")
        if title == "An augmentation":
            edit(root / package, r"(?=AUGMENTATIONS = \[)", f"from {dotted} import {name}\n")
            edit(root / package, r"(?<=AUGMENTATIONS = \[)", f"{name}(), ")
    listing = rf"(?<=currentmodule:: {dotted}\n\n.. autosummary::\n   :toctree: generated/\n\n)"
    edit(root / reference, listing, f"   {name}\n")
    edit(root / changelog, r"\Z", f"- `{name}`.\n")


def edit(path, pattern, text):
    """Insert a text at the first match of a pattern."""
    edited, n_matches = re.subn(pattern, text, path.read_text(), count=1)
    assert n_matches == 1, f"{pattern} in {path}"
    path.write_text(edited)


@pytest.mark.parametrize("page", TEXTS, ids=page_id)
def test_links_resolve(page):
    text = page.read_text()
    for link in LINK.findall(text):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if "auto_examples" in target.parts:  # written by the gallery
            source = {"index.rst": "GALLERY_HEADER.rst"}.get(target.name, f"{target.stem}.py")
            target = ROOT / "examples" / source
        assert target.is_file(), link
        assert not anchor or anchor in anchors(target), link
    for included in INCLUDE.findall(text):
        assert (page.parent / included).is_file(), included
    for entry in " ".join(TOCTREE.findall(text)).split():
        if not entry.startswith(":") and not entry.isdecimal() and "auto_examples" not in entry:
            assert any((page.parent / f"{entry}.{end}").is_file() for end in ("md", "rst")), entry


def anchors(page):
    """Anchors of the headings of a page and of the pages it includes."""
    text = page.read_text()
    names = set().union(*(anchors(page.parent / path) for path in INCLUDE.findall(text)))
    for heading in re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.M):
        names.add(re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-"))
    return names


@pytest.mark.parametrize(
    "page", [*TEXTS, DOCS / "api.rst", *sorted((ROOT / "examples").glob("*.*"))], ids=page_id
)
def test_page_references_can_be_imported(page):
    for reference in ROLE.findall(page.read_text()):
        assert exists(reference), reference


@pytest.mark.parametrize("name", PUBLIC)
def test_docstring_references_can_be_imported(name):
    module = name.rpartition(".")[0]
    for doc in docstrings(PUBLIC[name]):
        for reference in ROLE.findall(doc):
            scopes = ("", f"{module}.", f"{name}.")
            assert any(exists(scope + reference) for scope in scopes), reference


def docstrings(public):
    """Docstrings of a public object and of its public members."""
    yield public.__doc__ or ""
    for member_name, member in inspect.getmembers(public) if isinstance(public, type) else ():
        module = getattr(getattr(member, "fget", member), "__module__", None) or ""
        if module.startswith("sklearn_bell") and not member_name.startswith("_"):
            yield member.__doc__ or ""


def exists(name):
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


def reference_names():
    """Qualified names listed in the API reference."""
    sections = re.findall(AUTOSUMMARY, (DOCS / "api.rst").read_text(), re.DOTALL)
    return [f"{module}.{name}" for module, names in sections for name in names.split()]


@pytest.mark.parametrize("name", reference_names())
def test_reference_name_exists(name):
    assert exists(name)


@pytest.mark.parametrize("name", PUBLIC)
def test_public_name_is_in_reference(name):
    listed = filter(exists, reference_names())
    assert any(PUBLIC[name] is pkgutil.resolve_name(reference) for reference in listed)


def test_reference_titles_are_underlined():
    lines = (DOCS / "api.rst").read_text().splitlines()
    titles = [
        (title, line)
        for title, line in itertools.pairwise(lines)
        if line and set(line) <= {"-", "="}
    ]
    assert all(len(title) == len(line) for title, line in titles)
    assert len({title for title, _ in titles}) == len(titles), "sections are unique"


@pytest.mark.parametrize("name", NOT_ERRORS)
def test_docstring_has_example(name):
    assert ">>>" in NOT_ERRORS[name].__doc__


@pytest.mark.parametrize("name", NOT_ERRORS)
def test_docstring_documents_raises(name):
    """A class or its base may document the errors of its methods."""
    parts = dict(functions(name, NOT_ERRORS[name]))
    documented = {part for part, code in parts.items() if "Raises\n" in (code.__doc__ or "")}
    if any(isinstance(parts[part], type) for part in documented):
        return
    for part, code in parts.items():
        private = part.rpartition(".")[2].startswith("_")
        if re.search(r"^ +raise (?!NotImplementedError)\w", source(code), re.M):
            assert part in documented or (private and documented), f"{part} has no section Raises"


def functions(name, public):
    """Names and objects: a function, or a class with its bases and all their methods."""
    yield name, public
    for base in public.__mro__ if isinstance(public, type) else ():
        if base.__module__.startswith("sklearn_bell"):
            yield f"{name}, base {base.__name__}", base
            yield from ((f"{name}.{part}", code) for part, code in vars(base).items())


def source(code):
    """Source of a function or method, empty for other objects and generated functions."""
    function = inspect.unwrap(getattr(code, "__func__", code))
    if not inspect.isfunction(function) or function.__code__.co_filename == "<string>":
        return ""
    return inspect.getsource(function)


def test_gallery_has_at_least_ten_examples():
    assert len(EXAMPLES) >= 10


@pytest.mark.parametrize("example", EXAMPLES, ids=page_id)
def test_example_has_title_and_introduction(example):
    assert re.match(r'"""\n(\S.+)\n=+\n\n\S', example.read_text())
