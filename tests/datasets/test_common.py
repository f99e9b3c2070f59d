"""Every loader returns the same Bunch."""

import inspect

import numpy as np
import pandas as pd
import pytest

from sklearn_bell import datasets
from sklearn_bell.datasets import load_challenge, load_ludb, load_ptbxl, make_ecg
from tests.datasets.test_challenge import folder as challenge_folder  # noqa: F401
from tests.datasets.test_ludb import folder as ludb_folder  # noqa: F401
from tests.datasets.test_ptbxl import folder as ptbxl_folder  # noqa: F401

pytestmark = pytest.mark.filterwarnings("ignore::sklearn_bell.exceptions.RecordWarning")


@pytest.fixture
def load(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def synthetic():
    return lambda **options: make_ecg(6, duration=2, sampling_rate=100, random_state=0, **options)


@pytest.fixture
def ludb(ludb_folder):  # noqa: F811
    return lambda **options: load_ludb(ludb_folder, **options)


@pytest.fixture
def challenge(challenge_folder):  # noqa: F811
    return lambda **options: load_challenge(challenge_folder, **options)


@pytest.fixture
def ptbxl(ptbxl_folder):  # noqa: F811
    return lambda **options: load_ptbxl(ptbxl_folder, **options)


LOADERS = ("synthetic", "ludb", "challenge", "ptbxl")


def test_all_loaders_are_asked():
    names = {name for name in datasets.__all__ if name.startswith(("load_", "make_"))}
    assert names == {"make_ecg", "load_ludb", "load_challenge", "load_ptbxl"}


@pytest.mark.parametrize("load", LOADERS, indirect=True)
def test_the_bunch_has_what_every_bunch_has(load):
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
    assert isinstance(bunch.DESCR, str)
    assert len(bunch.DESCR) > 100


@pytest.mark.parametrize("load", LOADERS, indirect=True)
def test_leads_come_in_the_order_asked_for(load):
    whole, two = load(), load(leads=["V1", "II"])
    assert two.lead_names == ["V1", "II"]
    rows = [whole.lead_names.index(lead) for lead in two.lead_names]
    np.testing.assert_array_equal(two.data, whole.data[:, rows])


@pytest.mark.parametrize("load", LOADERS[1:], indirect=True)
def test_X_and_y_alone_are_those_of_the_bunch(load):
    bunch = load()
    X, y = load(return_X_y=True)
    np.testing.assert_array_equal(X, bunch.data)
    np.testing.assert_array_equal(y, bunch.target)


def test_fetchers_take_what_their_loaders_take():
    for name in datasets.__all__:
        if name.startswith("fetch_"):
            parameters = inspect.signature(getattr(datasets, name)).parameters
            assert list(parameters) == ["data_home", "n_connections", "verbose", "options"]
