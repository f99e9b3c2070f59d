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


@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
class TestEvery:
    def test_keeps_records_leads_and_dtype(self, augmentation, x):
        view = augmentation(x, generator())
        assert view.shape[:2] == x.shape[:2]
        assert view.dtype == x.dtype

    def test_leaves_its_input_alone(self, augmentation, x):
        before = x.clone()
        view = augmentation(x, generator())
        view.add_(1)
        assert torch.equal(x, before)

    def test_same_seed_same_view_and_another_seed_another_view(self, augmentation, x):
        assert torch.equal(augmentation(x, generator(1)), augmentation(x, generator(1)))
        assert not torch.equal(augmentation(x, generator(1)), augmentation(x, generator(2)))

    def test_leaves_the_global_generator_alone(self, augmentation, x):
        before = torch.get_rng_state()
        augmentation(x, generator())
        assert torch.equal(torch.get_rng_state(), before)

    def test_treats_all_leads_alike_and_records_differently(self, augmentation, x):
        same = x[:1, :1].repeat(6, 3, 1)
        view = augmentation(same, generator())
        assert torch.equal(view[:, 0], view[:, 1])
        assert not torch.equal(view[0], view[1])

    @pytest.mark.parametrize("n_samples", [1, 2, 3])
    def test_takes_the_shortest_records(self, augmentation, n_samples):
        assert torch.isfinite(augmentation(torch.ones(2, 1, n_samples), generator())).all()


def test_resized_crop_equals_interpolation_by_numpy(x):
    start, ratio = torch.rand(6, generator=generator()) / 2, torch.full((6,), 0.5)
    view = resized_crop(x, start, ratio)
    time = np.arange(50)
    for record in range(6):
        begin = float(start[record]) * 49
        wanted = np.linspace(begin, begin + 0.5 * 49, 50)
        for lead in range(3):
            expected = np.interp(wanted, time, x[record, lead].numpy())
            np.testing.assert_allclose(view[record, lead], expected, atol=1e-4)


def test_a_crop_of_the_whole_record_is_the_record(x):
    torch.testing.assert_close(resized_crop(x, torch.zeros(6), torch.ones(6)), x)


def test_a_crop_is_a_stretch_of_the_record(x):
    start = torch.tensor([0, 1, 2, 10, 20, 30])
    view = crop(x, start, 20)
    for record in range(6):
        assert torch.equal(view[record], x[record, :, start[record] : start[record] + 20])


def test_crops_begin_anywhere_in_the_record():
    ramp = torch.arange(10.0).expand(1000, 1, 10)
    starts = RandomCrop(0.7)(ramp, generator())[:, 0, 0]
    assert sorted(starts.unique().tolist()) == [0, 1, 2, 3]


def test_time_out_zeroes_the_stretch_and_nothing_else(x):
    view = time_out(x, torch.full((6,), 0.2), torch.full((6,), 0.3))
    assert (view[..., 10:25] == 0).all()
    assert torch.equal(view[..., :10], x[..., :10])
    assert torch.equal(view[..., 25:], x[..., 25:])


def test_ratios_fill_the_range_that_was_asked_for():
    ones = torch.ones(2000, 1, 100)
    zeroed = (TimeOut(0.1, 0.4)(ones, generator()) == 0).float().mean((1, 2))
    assert 0.08 <= zeroed.min() < 0.12
    assert 0.38 < zeroed.max() <= 0.42
    ramp = torch.linspace(0, 1, 100).expand(2000, 1, 100)
    view = RandomResizedCrop(0.5, 0.8)(ramp, generator())
    ratio = (view[..., -1] - view[..., 0]).squeeze()
    assert 0.49 < ratio.min() < 0.52
    assert 0.78 < ratio.max() < 0.81
    assert view.min() >= 0
    assert view.max() <= 1
