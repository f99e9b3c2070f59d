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


def test_vqvae_reconstructs_records(ecg):
    vqvae = VQVAETransformer(n_codes=64, width=16, max_epochs=30, lr=4e-3, random_state=0)
    reconstructed = vqvae.fit(ecg.data).inverse_transform(vqvae.transform(ecg.data))
    assert ((reconstructed - ecg.data) ** 2).mean() / ecg.data.var() < 0.2


def test_vqvae_transforms_match_network(ecg, fitted):
    codes = fitted.transform(ecg.data)
    with torch.no_grad():
        quantized, expected = fitted.vqvae_.quantizer(fitted.vqvae_.encode(torch.tensor(ecg.data)))
        reconstructed = fitted.vqvae_.decode(quantized, (400,))
    np.testing.assert_array_equal(codes.reshape(expected.shape), expected)
    np.testing.assert_allclose(fitted.inverse_transform(codes), reconstructed, atol=1e-5)
    assert codes.shape == (24, 50 * 2)
    assert fitted.get_feature_names_out()[:3].tolist() == ["code_0_0", "code_0_1", "code_1_0"]


def test_vqvae_codes_depend_on_seed_only(ecg, fitted):
    codes = fitted.transform(ecg.data)
    repeated, other = (clone(fitted).set_params(random_state=seed).fit(ecg.data) for seed in (0, 1))
    np.testing.assert_array_equal(repeated.transform(ecg.data), codes)
    assert (other.transform(ecg.data) != codes).any()


def test_vqvae_history_has_error_of_each_lead(ecg, fitted):
    assert [epoch["epoch"] for epoch in fitted.history_] == [1, 2]
    last = fitted.history_[-1]
    assert list(last["reconstruction_error"]) == ["I", "II", "V2"]
    assert all(isinstance(error, float) for error in last["reconstruction_error"].values())
    assert len(last["perplexity"]) == 2
    assert all(1 <= perplexity <= 16 for perplexity in last["perplexity"])


def test_vqvae_reconstructs_2d_x_as_2d(ecg):
    X = ecg.data[:, 1]
    vqvae = small(max_epochs=1).fit(X)
    assert vqvae.inverse_transform(vqvae.transform(X)).shape == X.shape


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (np.zeros((3, 7), int), "100 codes per record, .* got 7"),
        (np.full((3, 100), 16), "from 0 to 15, got values from 16 to 16"),
        (np.full((3, 100), -1), "from 0 to 15, got values from -1 to -1"),
        (np.full((3, 100), 0.5), "integers from 0 to 15, got values from 0.5"),
    ],
)
def test_vqvae_inverse_transform_of_invalid_codes_raises(fitted, codes, message):
    with pytest.raises(InvalidECGError, match=message):
        fitted.inverse_transform(codes)


@pytest.mark.parametrize("strides", [(), (0,), (4, -1), (2.5,), ("2",)])
def test_vqvae_invalid_strides_raise(ecg, strides):
    with pytest.raises(InvalidECGError, match="positive integers"):
        small(strides=strides).fit(ecg.data)


def test_vqvae_is_unfitted_after_nan_in_training(tmp_path, ecg):
    X = np.tile(ecg.data, (50, 1, 1))
    checked_rows = np.linspace(0, len(X) - 1, 1024).astype(int)  # for the normalisation
    row = np.setdiff1d(np.arange(len(X)), checked_rows)[0]
    X[row, 0, 0] = np.nan
    np.save(tmp_path / "X.npy", X)  # values of memory-mapped files are checked as they are read
    X = np.load(tmp_path / "X.npy", mmap_mode="r")
    vqvae = small(max_epochs=1)
    with pytest.raises(InvalidECGError, match=f"record {row}, lead 0, sample 0"):
        vqvae.fit(X)
    assert not vqvae.__sklearn_is_fitted__()


def test_vqvae_transforms_ignore_parameters_set_after_fit(ecg, fitted):
    expected = fitted.inverse_transform(fitted.transform(ecg.data))
    other = copy.deepcopy(fitted).set_params(n_codebooks=5, n_codes=3)
    observed = other.inverse_transform(other.transform(ecg.data))
    np.testing.assert_array_equal(observed, expected)


def test_vqvae_is_unfitted_after_divergence(ecg):
    vqvae = small(lr=1e30)
    with pytest.raises(DivergenceError, match="smaller lr"):
        vqvae.fit(ecg.data)
    assert not vqvae.__sklearn_is_fitted__()
