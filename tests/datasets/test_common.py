"""Properties of all loaders, found by ``datasets.__all__``.

The test module of a loader ``load_x``, ``test_x.py``, defines ``make_folder(home)``: it writes a
small copy of the data set, without duplicates, into a folder of `home`, which it returns.
"""

import importlib
import inspect
import re
import socket
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from sklearn_bell import datasets
from sklearn_bell.datasets import make_ecg
from sklearn_bell.exceptions import InvalidECGError

pytestmark = pytest.mark.filterwarnings("ignore::sklearn_bell.exceptions.RecordWarning")

LOADERS = [name for name in datasets.__all__ if name.startswith("load_")]
FETCHERS = [name for name in datasets.__all__ if name.startswith("fetch_")]


def make_folder(name, home):
    module = importlib.import_module(f"tests.datasets.test_{name.removeprefix('load_')}")
    return module.make_folder(home)


@pytest.fixture
def folder(request, tmp_path):
    """Return the folder of a small copy of the data set."""
    return make_folder(request.node.callspec.params["name"], tmp_path / "home")


@pytest.fixture
def load(request, tmp_path):
    """Return a loader of a small copy of the data set."""
    if request.param == "make_ecg":
        return lambda **options: make_ecg(6, duration=2, random_state=0, **options)
    folder = make_folder(request.param, tmp_path / "home")
    return lambda **options: getattr(datasets, request.param)(folder, **options)


@pytest.mark.parametrize("load", ["make_ecg", *LOADERS], indirect=True)
def test_bunch_has_common_entries(load):
    bunch = load()
    n_records, n_leads, n_samples = bunch.data.shape
    assert bunch.data.dtype == np.float32
    assert n_samples > 1
    assert bunch.units == "mV"
    assert isinstance(bunch.sampling_rate, float)
    assert len(bunch.lead_names) == n_leads
    assert all(isinstance(name, str) for name in bunch.lead_names)
    for name in ("target", "groups", "record_names"):
        assert len(bunch[name]) == n_records, name
        assert isinstance(bunch[name], np.ndarray), name
    assert len(set(bunch.record_names.tolist())) == n_records
    assert bunch.target.dtype == np.int64
    assert bunch.target_names.dtype.kind == "U"
    if bunch.target.ndim == 2:
        assert bunch.target.shape[1] == len(bunch.target_names)
        assert set(np.unique(bunch.target)) <= {0, 1}
    else:
        assert 0 <= bunch.target.min() <= bunch.target.max() < len(bunch.target_names)
    if "metadata" in bunch:
        assert isinstance(bunch.metadata, pd.DataFrame)
        assert len(bunch.metadata) == n_records
        assert isinstance(bunch.skipped, dict)
    assert isinstance(bunch.DESCR, str)
    assert len(bunch.DESCR) > 100


@pytest.mark.parametrize("load", ["make_ecg", *LOADERS], indirect=True)
def test_leads_follow_requested_order(load):
    all_leads, two = load(), load(leads=["V1", "II"])
    assert two.lead_names == ["V1", "II"]
    rows = [all_leads.lead_names.index(lead) for lead in two.lead_names]
    np.testing.assert_array_equal(two.data, all_leads.data[:, rows])


@pytest.mark.parametrize("load", LOADERS, indirect=True)
def test_return_X_y_matches_bunch(load):
    bunch = load()
    X, y = load(return_X_y=True)
    np.testing.assert_array_equal(X, bunch.data)
    np.testing.assert_array_equal(y, bunch.target)


@pytest.mark.parametrize("load", LOADERS, indirect=True)
def test_out_writes_same_records(load, tmp_path):
    bunch = load(out=tmp_path / "ecg.npy")
    assert isinstance(bunch.data, np.memmap)
    np.testing.assert_array_equal(np.load(tmp_path / "ecg.npy"), load().data)


@pytest.mark.parametrize("name", LOADERS)
def test_bunch_entries_are_documented(name, folder):
    documented = "\n".join(getattr(datasets, load).__doc__ for load in (name, "load_ptbxl"))
    lines = re.findall(r"^ +(\w+(?:, \w+)*)(?: : .*)?$", documented, flags=re.MULTILINE)
    entries = {entry for line in lines for entry in line.split(", ")}
    assert set(getattr(datasets, name)(folder)) <= entries


@pytest.mark.parametrize("name", LOADERS)
def test_data_set_is_found_by_home_and_environment(name, folder, monkeypatch):
    load = getattr(datasets, name)
    expected = load(folder, unlabelled=True).data
    home = folder
    while home.name != "home":
        home = home.parent
    monkeypatch.setenv("SKLEARN_BELL_DATA", str(home))
    for data_home in (str(folder), home, None):
        np.testing.assert_array_equal(load(data_home, unlabelled=True).data, expected)


@pytest.mark.parametrize("name", LOADERS)
def test_links_out_of_folder_need_allow_links(name, folder, tmp_path):
    load = getattr(datasets, name)
    expected = load(folder, unlabelled=True).data
    (header, *_) = sorted(folder.rglob("*.hea"))
    header.parent.rename(tmp_path / "disk")
    header.parent.symlink_to(tmp_path / "disk")
    options = {"unlabelled": True}
    if name == "load_challenge":  # which does not search linked folders
        options["sources"] = [path.name for path in sorted(folder.iterdir())]
    with pytest.raises(InvalidECGError, match=r"is a link out of .*allow_links=True"):
        load(folder, **options)
    np.testing.assert_array_equal(load(folder, allow_links=True, **options).data, expected)


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("name", LOADERS)
def test_missing_data_set_names_fetcher_without_network(name, tmp_path):
    home = tmp_path / "absent"
    with pytest.raises(FileNotFoundError, match=r"absent.* fetch_\w+") as caught:
        getattr(datasets, name)(home)
    for fetcher in re.findall(r"fetch_\w+", str(caught.value)):
        assert fetcher in datasets.__all__
    assert not home.exists()


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("name", LOADERS)
def test_loading_opens_no_socket(name, folder):
    assert len(getattr(datasets, name)(folder, unlabelled=True).data)


@pytest.mark.parametrize("name", [*LOADERS, *FETCHERS])
def test_downloads_have_common_parameters(name):
    parameters = inspect.signature(getattr(datasets, name)).parameters
    if name in FETCHERS:
        assert list(parameters) == ["data_home", "options"]
    else:
        assert parameters["download_if_missing"].default is False
        assert {"n_connections", "verbose"} <= set(parameters)


@pytest.mark.slow
def test_import_needs_no_torch():
    script = "import sys, sklearn_bell.datasets; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
