"""The documentation is whole: its programs run, and every public name stands in the reference."""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pandas as pd
import pytest

import sklearn_bell
from sklearn_bell.datasets import make_ecg
from tests.datasets import test_common as datasets_common
from tests.test_readme import own_folder  # noqa: F401

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PROGRAM = re.compile(r"```python\n(.*?)```", flags=re.DOTALL)
INCLUDE = re.compile(r"```{include} (\S+)\n.*?```", flags=re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
TOCTREE = re.compile(r"```{toctree}\n(.*?)```", flags=re.DOTALL)
ROLE = re.compile(r"[{:](?:func|class|meth|mod)[}:]`(?:[^`<]+<)?~?([\w.]+)>?`")
PAGES = sorted(page for folder in ("user_guide", "how_to") for page in (DOCS / folder).glob("*.md"))
PAGES.append(DOCS / "weights.md")


@pytest.fixture
def patients(own_folder):  # noqa: F811
    """Give labels.csv a column of patients, of two records each."""
    labels = pd.read_csv("labels.csv", dtype=str)
    labels.insert(1, "patient", [f"p{row // 2}" for row in range(len(labels))])
    labels.to_csv("labels.csv", index=False)


@pytest.mark.usefixtures("patients", "figures")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_programs_of_the_documentation_run(page):
    run_programs(page)


@pytest.mark.filterwarnings("ignore::sklearn_bell.exceptions.RecordWarning")
def test_what_contributors_are_shown_is_as_the_common_tests_want_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = run_programs(ROOT / "CONTRIBUTING.md")
    assert shown["latents"].shape == (40, 224)
    assert shown["ward"].target.tolist() == [0, 1, 1, -1]

    def load(**options):
        return shown["load_ward"]("home", **options)

    datasets_common.test_the_bunch_has_what_every_bunch_has(load)
    datasets_common.test_leads_come_in_the_order_asked_for(load)
    datasets_common.test_X_and_y_alone_are_those_of_the_bunch(load)
    ecg = make_ecg(8, leads=["II", "V1"], random_state=0)
    bell = sklearn_bell.BELLPretrainer(shown["Tiny1d"], max_epochs=1, random_state=0)
    assert bell.fit_transform(ecg.data).shape == (8, 2 * 8)


def run_programs(page):
    """Run the programs of a page one after the other, and return what they have defined."""
    namespace = {}
    for program in PROGRAM.findall(page.read_text()):
        quick = program.replace("BELLPretrainer(\n", "BELLPretrainer(\n    max_epochs=1,")
        quick = quick.replace("(bell), random_state", "(bell), max_epochs=1, random_state")
        exec(compile(quick, str(page), "exec"), namespace)
    return namespace


TEXTS = [*sorted(DOCS.rglob("*.md")), *(ROOT / name for name in ("README.md", "CONTRIBUTING.md"))]
TEXTS = [page for page in TEXTS if "_build" not in page.parts]
TEXTS.append(ROOT / "benchmarks" / "README.md")


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = page.read_text()
    for link in LINK.findall(text):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if "auto_examples" in target.parts:  # which the gallery makes
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
    """Return the anchors of the headings of a page, and of what it includes."""
    text = page.read_text()
    found = set().union(*(anchors(page.parent / one) for one in INCLUDE.findall(text)))
    for heading in re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.M):
        found.add(re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-"))
    return found


def test_what_texts_refer_to_can_be_imported():
    pages = [*TEXTS, DOCS / "api.rst", *(ROOT / "examples").glob("*.*")]
    told = [(page.name, page.read_text(), []) for page in pages]
    told += [(name, text, scopes) for name, text, scopes in docstrings() if text]
    for where, text, scopes in told:
        for name in ROLE.findall(text):
            assert any(exists(full) for full in (name, *(f"{s}.{name}" for s in scopes))), (
                f"{where} refers to {name}, which is not there"
            )


def docstrings():
    """Yield names, docstrings and where their references are looked for, of what is public."""
    for name, one in public():
        module = name.rpartition(".")[0]
        yield name, one.__doc__, (module, name)
        if isinstance(one, type):
            for of_it, member in inspect.getmembers(one):
                module_of_it = getattr(getattr(member, "fget", member), "__module__", None) or ""
                if module_of_it.startswith("sklearn_bell") and not of_it.startswith("_"):
                    yield f"{name}.{of_it}", member.__doc__, (module, name)


def exists(name):
    """Whether a dotted name leads to something."""
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


def test_every_public_name_stands_in_the_reference():
    text = (DOCS / "api.rst").read_text()
    listed = set()
    for module, names in re.findall(
        r"currentmodule:: (\S+)\n.*?:toctree: generated/\n\n((?:   \w+\n)+)", text, re.DOTALL
    ):
        listed |= {getattr(importlib.import_module(module), name) for name in names.split()}
    for name, one in public():
        assert one in listed, f"{name} is not in docs/api.rst"


def test_every_public_name_has_a_program_that_shows_it():
    for name, one in public():
        if not (isinstance(one, type) and issubclass(one, Exception)):
            assert ">>>" in one.__doc__, name


def test_what_raises_an_error_says_when():
    for name, one in public():
        if not (isinstance(one, type) and issubclass(one, Exception)):
            told = {part for part, doc in parts(name, one) if "Raises\n" in (doc.__doc__ or "")}
            for part, code in parts(name, one):
                private = part.rpartition(".")[2].startswith("_")
                if re.search(r"^ +raise \w", source_of(code), re.M) and name not in told:
                    assert part in told or (private and told), f"{part} has no section Raises"


def parts(name, one):
    """Yield a function, or a class and its methods, those of its bases among them."""
    yield name, one
    for base in one.__mro__ if isinstance(one, type) else ():
        if base.__module__.startswith("sklearn_bell"):
            yield from ((f"{name}.{part}", code) for part, code in vars(base).items())


def source_of(code):
    """Return the source of a function or method; of anything else, and of what is made, nothing."""
    function = inspect.unwrap(getattr(code, "__func__", code))
    if not inspect.isfunction(function) or function.__code__.co_filename == "<string>":
        return ""
    return inspect.getsource(function)


def public():
    """Yield what is public and can be called; of tuples and numbers the modules tell."""
    for package in pkgutil.walk_packages(sklearn_bell.__path__, "sklearn_bell."):
        if "._" in package.name or package.name == "sklearn_bell.demo":
            continue
        module = importlib.import_module(package.name)
        for name in module.__all__:
            if callable(getattr(module, name)):
                yield f"{package.name}.{name}", getattr(module, name)


def test_examples_are_at_least_ten_and_say_what_they_show():
    examples = sorted((ROOT / "examples").glob("plot_*.py"))
    assert len(examples) >= 10
    for example in examples:
        assert re.match(r'"""\n(\S.+)\n=+\n\n\S', example.read_text()), example
