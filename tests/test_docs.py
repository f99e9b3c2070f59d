"""The documentation is whole: its programs run, and every public name stands in the reference."""

import importlib
import pkgutil
import re
from pathlib import Path

import pandas as pd
import pytest
import test_datasets_common
from test_readme import own_folder  # noqa: F401

import sklearn_bell
from sklearn_bell.datasets import make_ecg

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PROGRAM = re.compile(r"```python\n(.*?)```", flags=re.DOTALL)
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

    test_datasets_common.test_the_bunch_has_what_every_bunch_has(load)
    test_datasets_common.test_leads_come_in_the_order_asked_for(load)
    test_datasets_common.test_X_and_y_alone_are_those_of_the_bunch(load)
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
