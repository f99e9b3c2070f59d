import numpy as np
import pytest
import torch
from scipy.fft import dct, idct

from sklearn_bell.nn.normalization import InputNormalization


@pytest.fixture
def x():
    """Two records of three leads, 4 s at 50 Hz."""
    return torch.randn(2, 3, 200, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("sampling_rate", [50, 200])
def test_normalization_equals_a_cosine_transform(x, sampling_rate):
    spectrum = dct(x.double().numpy(), norm="ortho")
    frequency = np.arange(200) * sampling_rate / (2 * 200)  # Hz
    spectrum[..., (frequency < 0.5) | (frequency > 40)] = 0
    expected = idct(spectrum, norm="ortho")
    expected /= np.sqrt(0.2 * expected.std(axis=-1, keepdims=True))
    np.testing.assert_allclose(InputNormalization(200, sampling_rate)(x), expected, atol=1e-5)


def test_normalization_removes_drift_and_offset(x):
    time = torch.arange(200) / 50
    prepare = InputNormalization(200, 50)
    # half a period, which one coefficient represents exactly
    drift = 5 * torch.cos(torch.pi * 0.25 * (time + 0.01)) + 1000
    torch.testing.assert_close(prepare(x + drift), prepare(x), rtol=0, atol=5e-3)


def test_normalization_compresses_amplitudes_by_a_square_root(x):
    typical = 0.2 * x / InputNormalization(200, 50).filter(x).std(-1, correction=0, keepdim=True)
    prepared = InputNormalization(200, 50)(typical * torch.tensor([1.0, 4.0, 0.01])[:, None])
    torch.testing.assert_close(prepared.mean(-1), torch.zeros(2, 3), rtol=0, atol=1e-5)
    expected = torch.tensor([1.0, 2.0, 0.1]).expand(2, 3)
    torch.testing.assert_close(prepared.std(-1, correction=0), expected)


@pytest.mark.parametrize("value", [0.0, 0.7, -3e4, 1e30])
def test_normalization_of_a_flat_lead_is_zero(x, value):
    x[:, 1] = value
    prepared = InputNormalization(200, 50)(x)
    assert (prepared[:, 1] == 0).all()
    assert torch.isfinite(prepared).all()


@pytest.mark.parametrize("n_samples", [1, 2, 3])
def test_normalization_accepts_short_records(n_samples):
    x = torch.arange(float(n_samples)).expand(2, 1, n_samples)
    assert torch.isfinite(InputNormalization(n_samples, 0.1)(x)).all()
