import numpy as np
import pytest
import torch

from sklearn_bell.nn.augmentation import (
    Compose,
    RandomCrop,
    RandomResizedCrop,
    TimeOut,
    crop,
    resized_crop,
    time_out,
)

AUGMENTATIONS = [
    RandomCrop(0.5),
    RandomResizedCrop(),
    TimeOut(),
    Compose(RandomResizedCrop(), TimeOut()),
]


@pytest.fixture
def x():
    return torch.randn(6, 3, 50, generator=torch.Generator().manual_seed(0))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("augmentation", AUGMENTATIONS, ids=lambda module: type(module).__name__)
class TestAugmentation:
    def test_keeps_records_leads_and_dtype(self, augmentation, x):
        view = augmentation(x, generator())
        assert view.shape[:2] == x.shape[:2]
        assert view.dtype == x.dtype

    def test_does_not_change_the_input(self, augmentation, x):
        before = x.clone()
        augmentation(x, generator()).add_(1)
        assert torch.equal(x, before)

    def test_depends_on_the_seed_only(self, augmentation, x):
        before = torch.get_rng_state()
        assert torch.equal(augmentation(x, generator(1)), augmentation(x, generator(1)))
        assert not torch.equal(augmentation(x, generator(1)), augmentation(x, generator(2)))
        assert torch.equal(torch.get_rng_state(), before)

    def test_treats_leads_alike_and_records_differently(self, augmentation, x):
        view = augmentation(x[:1, :1].repeat(6, 3, 1), generator())
        assert torch.equal(view[:, 0], view[:, 1])
        assert not torch.equal(view[0], view[1])

    @pytest.mark.parametrize("n_samples", [1, 2, 3])
    def test_accepts_short_records(self, augmentation, n_samples):
        assert torch.isfinite(augmentation(torch.ones(2, 1, n_samples), generator())).all()


def test_resized_crop_equals_numpy_interpolation(x):
    start, ratio = torch.rand(6, generator=generator()) / 2, torch.full((6,), 0.5)
    view = resized_crop(x, start, ratio)
    for record, lead in np.ndindex(6, 3):
        first = float(start[record]) * 49
        time = np.linspace(first, first + 0.5 * 49, 50)
        expected = np.interp(time, np.arange(50), x[record, lead].numpy())
        np.testing.assert_allclose(view[record, lead], expected, atol=1e-4)


def test_resized_crop_of_a_whole_record_is_the_record(x):
    torch.testing.assert_close(resized_crop(x, torch.zeros(6), torch.ones(6)), x)


def test_crop_equals_slices(x):
    start = [0, 1, 2, 10, 20, 30]
    view = crop(x, torch.tensor(start), 20)
    expected = torch.stack([record[:, i : i + 20] for record, i in zip(x, start, strict=True)])
    assert torch.equal(view, expected)


def test_random_crop_starts_everywhere():
    ramp = torch.arange(10.0).expand(1000, 1, 10)
    starts = RandomCrop(0.7)(ramp, generator())[:, 0, 0]
    assert sorted(starts.unique().tolist()) == [0, 1, 2, 3]


def test_time_out_zeroes_only_the_segment(x):
    view = time_out(x, torch.full((6,), 0.2), torch.full((6,), 0.3))
    assert (view[..., 10:25] == 0).all()
    assert torch.equal(view[..., :10], x[..., :10])
    assert torch.equal(view[..., 25:], x[..., 25:])


def test_time_out_ratios_fill_their_range():
    view = TimeOut(0.1, 0.4)(torch.ones(2000, 1, 100), generator())
    ratios = (view == 0).float().mean((1, 2))
    assert 0.08 <= ratios.min() < 0.12
    assert 0.38 < ratios.max() <= 0.42


def test_resized_crop_ratios_fill_their_range():
    ramp = torch.linspace(0, 1, 100).expand(2000, 1, 100)
    view = RandomResizedCrop(0.5, 0.8)(ramp, generator())
    ratios = (view[..., -1] - view[..., 0]).squeeze()
    assert 0.49 < ratios.min() < 0.52
    assert 0.78 < ratios.max() < 0.81
    assert view.min() >= 0
    assert view.max() <= 1
