import copy

import numpy as np
import pytest
import torch
from sklearn.base import clone

from sklearn_bell import VQVAETransformer
from sklearn_bell.datasets import make_ecg
from sklearn_bell.exceptions import DivergenceError, InvalidECGError


def small(**params):
    vqvae = VQVAETransformer(
        n_codes=16, n_codebooks=2, n_features=8, width=8, max_epochs=2, random_state=0
    )
    return vqvae.set_params(**params)


@pytest.fixture(scope="module")
def ecg():
    return make_ecg(24, duration=4, sampling_rate=100, leads=["I", "II", "V2"], random_state=0)


@pytest.fixture(scope="module")
def fitted(ecg):
    return small(lead_names=ecg.lead_names).fit(ecg.data)


def test_records_come_back(ecg):
    vqvae = VQVAETransformer(n_codes=64, width=16, max_epochs=40, lr=4e-3, random_state=0)
    back = vqvae.fit(ecg.data).inverse_transform(vqvae.transform(ecg.data))
    lost = ((back - ecg.data) ** 2).mean() / ecg.data.var()
    assert lost < 0.2


def test_codes_and_records_are_what_the_network_makes(ecg, fitted):
    codes = fitted.transform(ecg.data)
    with torch.no_grad():
        quantized, expected = fitted.vqvae_.quantizer(fitted.vqvae_.encode(torch.tensor(ecg.data)))
        back = fitted.vqvae_.decode(quantized, (400,))
    np.testing.assert_array_equal(codes.reshape(expected.shape), expected)
    np.testing.assert_allclose(fitted.inverse_transform(codes), back, atol=1e-5)
    assert codes.shape == (24, 50 * 2)
    assert fitted.get_feature_names_out()[:3].tolist() == ["code_0_0", "code_0_1", "code_1_0"]


def test_the_same_seed_gives_the_same_codes(ecg, fitted):
    again = clone(fitted).fit(ecg.data)
    np.testing.assert_array_equal(again.transform(ecg.data), fitted.transform(ecg.data))
    other = clone(fitted).set_params(random_state=1).fit(ecg.data)
    assert (other.transform(ecg.data) != fitted.transform(ecg.data)).any()


def test_history_tells_what_is_lost_of_each_lead(ecg, fitted):
    assert [epoch["epoch"] for epoch in fitted.history_] == [1, 2]
    last = fitted.history_[-1]
    assert list(last["reconstruction_error"]) == ["I", "II", "V2"]
    assert all(isinstance(error, float) for error in last["reconstruction_error"].values())
    assert len(last["perplexity"]) == 2
    assert all(1 <= perplexity <= 16 for perplexity in last["perplexity"])


def test_one_lead_comes_back_in_as_many_dimensions(ecg):
    flat = ecg.data[:, 1]
    vqvae = small().fit(flat)
    assert vqvae.inverse_transform(vqvae.transform(flat)).shape == flat.shape


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (np.zeros((3, 7), int), "7 codes for each record, but .* makes 100"),
        (np.full((3, 100), 16), "from 0 to 15, but X has 16 to 16"),
        (np.full((3, 100), -1), "from 0 to 15, but X has -1 to -1"),
        (np.full((3, 100), 0.5), "whole numbers from 0 to 15, but X has 0.5"),
    ],
)
def test_what_are_no_codes_is_refused(fitted, codes, message):
    with pytest.raises(InvalidECGError, match=message):
        fitted.inverse_transform(codes)


@pytest.mark.parametrize("strides", [(), (0,), (4, -1), (2.5,), ("2",)])
def test_strides_are_whole_numbers(ecg, strides):
    with pytest.raises(InvalidECGError, match="whole numbers"):
        small(strides=strides).fit(ecg.data)


def test_a_gap_met_while_training_leaves_nothing(tmp_path, ecg):
    X = np.tile(ecg.data, (50, 1, 1))
    looked_at_before = np.linspace(0, len(X) - 1, 1024).astype(int)
    row = np.setdiff1d(np.arange(len(X)), looked_at_before)[0]
    X[row, 0, 0] = np.nan
    np.save(tmp_path / "X.npy", X)  # on disk, so that values are looked at when they are read
    X = np.load(tmp_path / "X.npy", mmap_mode="r")
    vqvae = small(max_epochs=1)
    with pytest.raises(InvalidECGError, match=f"record {row}, lead 0, sample 0"):
        vqvae.fit(X)
    assert not vqvae.__sklearn_is_fitted__()


def test_codes_are_read_as_they_were_fitted(ecg, fitted):
    expected = fitted.inverse_transform(fitted.transform(ecg.data))
    other = copy.deepcopy(fitted).set_params(n_codebooks=5, n_codes=3)
    found = other.inverse_transform(other.transform(ecg.data))
    np.testing.assert_array_equal(found, expected)


def test_a_training_that_diverges_says_so_and_leaves_nothing(ecg):
    vqvae = small(lr=1e30)
    with pytest.raises(DivergenceError, match="smaller lr"):
        vqvae.fit(ecg.data)
    assert not vqvae.__sklearn_is_fitted__()
