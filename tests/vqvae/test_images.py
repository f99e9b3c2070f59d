import numpy as np
import pytest

from sklearn_bell import VQVAEOverSampler
from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.vqvae import ImageVQVAETransformer, render_ecg


def slow_render(x, sampling_rate, dots_per_mm, lead_height, line_width):
    """Fill dots within half a line width of the signal, followed in small steps."""
    n_leads, n_samples = x.shape
    width = round(n_samples / sampling_rate * 25 * dots_per_mm)
    height = round(lead_height * dots_per_mm)
    image = np.zeros((n_leads * height, width))
    time = np.linspace(0, n_samples - 1, 4000 * width + 1)
    for lead in range(n_leads):
        y = height / 2 - 10 * dots_per_mm * np.interp(time, np.arange(n_samples), x[lead])
        for column in range(width):
            values = y[4000 * column : 4000 * (column + 1) + 1]
            top = values.min() - line_width * dots_per_mm / 2
            bottom = values.max() + line_width * dots_per_mm / 2
            for row in range(height):
                ink = min(bottom, row + 1) - max(top, row)
                image[lead * height + row, column] = min(max(ink, 0), 1)
    return image


@pytest.mark.parametrize("n_samples", [30, 100, 7])
def test_render_ecg_matches_slow_loop(n_samples):
    x = np.random.default_rng(0).normal(0, 0.5, (1, 2, n_samples))
    settings = {"dots_per_mm": 1.5, "lead_height": 12.0, "line_width": 0.4}
    image = render_ecg(x, 100, **settings)[0]
    expected = slow_render(x[0], 100, **settings)
    assert image.shape == expected.shape
    np.testing.assert_allclose(image, expected, atol=0.02)


def test_render_ecg_scale_is_10_mm_per_mv_and_25_mm_per_s():
    x = np.zeros((1, 1, 400))
    x[..., 200:] = 0.5
    image = render_ecg(x, 200, dots_per_mm=4, line_width=0.25)[0]
    assert image.shape == (80, 200)
    middle = (image * np.arange(80)[:, None]).sum(0) / image.sum(0) + 0.5
    assert middle[:99] == pytest.approx(40)
    assert middle[101:] == pytest.approx(40 - 5 * 4)
    assert image[:, :99].sum(0) == pytest.approx(1)  # dot of 0.25 mm


def test_render_ecg_clips_signal_at_strip():
    x = np.zeros((1, 2, 100))
    x[:, 0] = 10.0
    image = render_ecg(x, 100)[0]
    assert image[:20].sum() == 0
    np.testing.assert_array_equal(image[20:], render_ecg(x[:, 1], 100)[0])


@pytest.mark.parametrize("X", [np.zeros(5), [[np.nan, 1.0]], np.zeros((2, 0))])
def test_render_ecg_invalid_signals_raise(X):
    with pytest.raises(InvalidECGError):
        render_ecg(X)


def make_images(n=12):
    rng = np.random.default_rng(0)
    return render_ecg(rng.normal(0, 0.3, (n, 2, 100)).cumsum(-1) / 5, 100)


def small(**params):
    vqvae = ImageVQVAETransformer(
        n_codes=16, n_codebooks=4, n_features=8, width=8, max_epochs=1, random_state=0
    )
    return vqvae.set_params(**params)


def test_image_vqvae_reconstructions_have_shape_of_images():
    X = make_images()
    vqvae = small(max_epochs=2).fit(X)
    codes = vqvae.transform(X)
    assert codes.shape == (12, 5 * 4 * 4)  # 40 x 25 dots, in squares of 8 x 8, of 4 codes
    assert vqvae.inverse_transform(codes).shape == X.shape
    assert isinstance(vqvae.history_[-1]["reconstruction_error"], float)


def test_image_vqvae_error_falls_with_training():
    X = make_images()
    vqvaes = [small(lr=4e-3, max_epochs=n).fit(X) for n in (1, 100)]
    errors = [((v.inverse_transform(v.transform(X)) - X) ** 2).mean() for v in vqvaes]
    assert errors[1] < 0.7 * errors[0]


@pytest.mark.parametrize("method", ["interpolate", "sample", "prior"])
def test_sampler_synthesises_images(method):
    X, y = make_images(), np.repeat([0, 1], [8, 4])
    sampler = VQVAEOverSampler(vqvae=small(), method=method, prior_epochs=1, random_state=0)
    X_new, y_new = sampler.fit_resample(X, y)
    assert X_new.shape == (16, *X.shape[1:])
    np.testing.assert_array_equal(np.bincount(y_new), [8, 8])
    assert (sampler.height_in_, sampler.width_in_) == X.shape[1:]


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [(39, 25, r"12 images of 39 line\(s\), .* on 40"), (40, 20, "images of 20 columns, .* 25")],
)
def test_image_vqvae_transform_of_other_size_raises(rows, columns, message):
    X = make_images()
    with pytest.raises(InvalidECGError, match=message):
        small().fit(X).transform(X[:, :rows, :columns])


def test_image_errors_name_line_and_column():
    X = make_images()
    X[2, 3, 4] = np.inf
    with pytest.raises(InvalidECGError, match="image 2, line 3, column 4"):
        small().fit(X)
    with pytest.raises(InvalidECGError, match="image 2, line 3, column 4"):
        VQVAEOverSampler(vqvae=small()).fit_resample(X, np.arange(12) % 2)
