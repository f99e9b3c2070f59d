"""Tested versions: those that pyproject.toml allows, down to the lowest."""

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


def flatten(texts):
    """Yield the requirements of lines of pyproject.toml, and of the extras that they name."""
    for requirement in map(Requirement, texts):
        if requirement.name == PROJECT["name"]:
            for extra in sorted(requirement.extras):
                yield from flatten(PROJECT["optional-dependencies"][extra])
        else:
            yield requirement


def read_pins(constraints):
    """Return the pinned version of every package, by its canonical name."""
    lines = (ROOT / constraints).read_text().splitlines()
    pins = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pins}


CLIENTS = [*flatten([f"{PROJECT['name']}[clients]"])]
REQUIREMENTS = [*flatten(PROJECT["dependencies"]), *flatten([f"{PROJECT['name']}[test]"])]


@pytest.mark.parametrize("constraints", [NEWEST, LOWEST])
def test_constraints_pin_every_package_once_for_any_machine(constraints):
    lines = (ROOT / constraints).read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert [pin for pin in pins if not re.fullmatch(r"[\w.-]+==[\w.]+", pin)] == []
    assert len(read_pins(constraints)) == len(pins)


@pytest.mark.parametrize("constraints", [NEWEST, LOWEST])
@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=str)
def test_pinned_version_is_allowed(requirement, constraints):
    version = read_pins(constraints)[canonicalize_name(requirement.name)]
    assert version in requirement.specifier


@pytest.mark.parametrize("requirement", CLIENTS, ids=str)
def test_pinned_client_is_allowed(requirement):
    assert read_pins(NEWEST)[canonicalize_name(requirement.name)] in requirement.specifier


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=str)
def test_lowest_allowed_version_is_pinned(requirement):
    name = canonicalize_name(requirement.name)
    if name == "torch":  # a second build would take gigabytes
        assert read_pins(LOWEST)[name] == read_pins(NEWEST)[name]
        return
    bounds = [Version(spec.version) for spec in requirement.specifier if spec.operator == ">="]
    assert bounds == [Version(read_pins(LOWEST)[name])]
