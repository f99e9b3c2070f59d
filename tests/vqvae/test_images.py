import numpy as np
import pytest

from sklearn_bell import VQVAEOverSampler
from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.vqvae import ImageVQVAETransformer, render_ecg


def slow_render(x, sampling_rate, dots_per_mm, lead_height, line_width):
    """Ink where the signal, followed in small steps, passes within half a line's width above."""
    n_leads, n_samples = x.shape
    width = round(n_samples / sampling_rate * 25 * dots_per_mm)
    height = round(lead_height * dots_per_mm)
    image = np.zeros((n_leads * height, width))
    time = np.linspace(0, n_samples - 1, 4000 * width + 1)
    for lead in range(n_leads):
        y = height / 2 - 10 * dots_per_mm * np.interp(time, np.arange(n_samples), x[lead])
        for column in range(width):
            there = y[4000 * column : 4000 * (column + 1) + 1]
            top = there.min() - line_width * dots_per_mm / 2
            bottom = there.max() + line_width * dots_per_mm / 2
            for row in range(height):
                inked = min(bottom, row + 1) - max(top, row)
                image[lead * height + row, column] = min(max(inked, 0), 1)
    return image


@pytest.mark.parametrize("n_samples", [30, 100, 7])
def test_ink_is_where_the_signal_is(n_samples):
    x = np.random.default_rng(0).normal(0, 0.5, (1, 2, n_samples))
    settings = {"dots_per_mm": 1.5, "lead_height": 12.0, "line_width": 0.4}
    image = render_ecg(x, 100, **settings)[0]
    expected = slow_render(x[0], 100, **settings)
    assert image.shape == expected.shape
    np.testing.assert_allclose(image, expected, atol=0.02)


def test_a_millivolt_is_ten_millimetres_high_and_a_second_25_wide():
    x = np.zeros((1, 1, 400))
    x[..., 200:] = 0.5
    image = render_ecg(x, 200, dots_per_mm=4, line_width=0.25)[0]
    assert image.shape == (80, 200)
    middle = (image * np.arange(80)[:, None]).sum(0) / image.sum(0) + 0.5
    assert middle[:99] == pytest.approx(40)
    assert middle[101:] == pytest.approx(40 - 5 * 4)
    assert image[:, :99].sum(0) == pytest.approx(1)  # dot of 0.25 mm


def test_what_leaves_the_strip_is_cut_off_and_stays_out_of_others():
    x = np.zeros((1, 2, 100))
    x[:, 0] = 10.0
    image = render_ecg(x, 100)[0]
    assert image[:20].sum() == 0
    np.testing.assert_array_equal(image[20:], render_ecg(x[:, 1], 100)[0])


@pytest.mark.parametrize("X", [np.zeros(5), [[np.nan, 1.0]], np.zeros((2, 0))])
def test_what_are_no_signals_is_refused(X):
    with pytest.raises(InvalidECGError):
        render_ecg(X)


def images(n=12):
    rng = np.random.default_rng(0)
    return render_ecg(rng.normal(0, 0.3, (n, 2, 100)).cumsum(-1) / 5, 100)


def small(**params):
    vqvae = ImageVQVAETransformer(
        n_codes=16, n_codebooks=4, n_features=8, width=8, max_epochs=1, random_state=0
    )
    return vqvae.set_params(**params)


def test_images_come_back_in_their_size():
    X = images()
    vqvae = small(max_epochs=2).fit(X)
    codes = vqvae.transform(X)
    assert codes.shape == (12, 5 * 4 * 4)  # 40 x 25 dots, in squares of 8 x 8, of 4 codes
    back = vqvae.inverse_transform(codes)
    assert back.shape == X.shape
    assert isinstance(vqvae.history_[-1]["reconstruction_error"], float)


def test_longer_training_loses_less():
    X = images()
    short, long = (small(lr=4e-3, max_epochs=n).fit(X) for n in (1, 100))
    lost = [((one.inverse_transform(one.transform(X)) - X) ** 2).mean() for one in (short, long)]
    assert lost[1] < 0.7 * lost[0]


@pytest.mark.parametrize("method", ["interpolate", "sample", "prior"])
def test_the_sampler_makes_images(method):
    X, y = images(), np.repeat([0, 1], [8, 4])
    sampler = VQVAEOverSampler(vqvae=small(), method=method, prior_epochs=1, random_state=0)
    X_new, y_new = sampler.fit_resample(X, y)
    assert X_new.shape == (16, *X.shape[1:])
    np.testing.assert_array_equal(np.bincount(y_new), [8, 8])
    assert (sampler.height_in_, sampler.width_in_) == X.shape[1:]


def test_errors_speak_of_images():
    X = images()
    vqvae = small().fit(X)
    with pytest.raises(InvalidECGError, match=r"12 images of 39 line\(s\), .* on 40"):
        vqvae.transform(X[:, :-1])
    with pytest.raises(InvalidECGError, match=r"images of 20 columns, .* on images of 25;"):
        vqvae.transform(X[:, :, :20])
    X[2, 3, 4] = np.inf
    with pytest.raises(InvalidECGError, match="image 2, line 3, column 4"):
        vqvae.fit(X)
    with pytest.raises(InvalidECGError, match="image 2, line 3, column 4"):
        VQVAEOverSampler(vqvae=small()).fit_resample(X, np.arange(12) % 2)
