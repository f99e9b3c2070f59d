"""The versions that are tested are those that pyproject.toml allows, down to the lowest."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NEWEST, LOWEST = "constraints.txt", "constraints-lowest.txt"


def asked_for(texts):
    """Requirements of some lines of pyproject.toml, those of the extras they name among them."""
    for requirement in map(Requirement, texts):
        if requirement.name == PROJECT["name"]:
            for extra in sorted(requirement.extras):
                yield from asked_for(PROJECT["optional-dependencies"][extra])
        else:
            yield requirement


def pinned(constraints):
    lines = (ROOT / constraints).read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in pins), "of any machine"
    versions = {canonicalize_name(name): version for name, version in (p.split("==") for p in pins)}
    assert len(versions) == len(pins), "each once"
    return versions


REQUIREMENTS = [*asked_for(PROJECT["dependencies"]), *asked_for([f"{PROJECT['name']}[test]"])]


@pytest.mark.parametrize("constraints", [NEWEST, LOWEST])
@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=str)
def test_what_is_tested_is_allowed(requirement, constraints):
    version = pinned(constraints)[canonicalize_name(requirement.name)]
    assert version in requirement.specifier


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=str)
def test_the_lowest_that_is_allowed_is_tested(requirement):
    name = canonicalize_name(requirement.name)
    if name == "torch":  # each build takes gigabytes: the one that is there already
        assert pinned(LOWEST)[name] == pinned(NEWEST)[name]
        return
    bounds = [one for one in requirement.specifier if one.operator == ">="]
    assert [Version(one.version) for one in bounds] == [Version(pinned(LOWEST)[name])]
