import numpy as np
import pytest
import torch

from tests.over_sampling.conftest import ALIGNED, METHODS, count, make_multilabel, pool, small


def test_sampler_pairs_share_class_but_not_patient(ecg, vqvae):
    X, y, groups = ecg
    sampler = small(vqvae=vqvae)
    _, y_new = sampler.fit_resample(X, y, groups=groups)
    assert sampler.parents_.shape == (42, 2)
    np.testing.assert_array_equal(y[sampler.parents_], np.stack([y_new[48:]] * 2, axis=1))
    first, second = groups[sampler.parents_].T
    assert (first != second).all()
    assert ((sampler.alpha_ >= 0) & (sampler.alpha_ <= 0.5)).all()


@ALIGNED
def test_sampler_neighbors_are_nearest_of_other_patients(ecg, vqvae, sampling_rate):
    X, y, groups = ecg
    sampler = small(vqvae=vqvae, n_neighbors=2, sampling_strategy={"lbbb": 60})
    sampler.set_params(sampling_rate=sampling_rate).fit_resample(X, y, groups=groups)
    z = vqvae.estimator.vqvae_.encode(torch.tensor(X)).detach().numpy()
    z = z.reshape(48, -1) if sampling_rate is None else pool(z)
    rows = np.flatnonzero(y == "lbbb")
    for first, second in sampler.parents_:
        candidates = rows[groups[rows] != groups[first]]
        distances = np.linalg.norm(z[candidates] - z[first], axis=1)
        assert second in candidates[np.argsort(distances)[:2]]


@METHODS
def test_sampler_multilabel_adds_no_avoidable_labels(ecg, vqvae, method):
    X, y = ecg[0], make_multilabel()
    sampler = small(vqvae=vqvae, method=method, prior_epochs=1)
    X_new, y_new = sampler.fit_resample(X, y)
    counts, labels = y_new.sum(axis=0), y_new[48:]
    assert counts[0] == counts[1] == 40
    assert counts[2] == 40 + (labels[:, 0] == 1).sum()  # co-occurs always
    assert (labels[:, 1] * labels[:, 2] == 0).all()  # co-occurs in half of the records
    assert len(X_new) == len(y_new) == 48 + 32 + 24
    if method == "interpolate":
        np.testing.assert_array_equal(labels, y[sampler.parents_].all(axis=1))


@pytest.mark.parametrize("method", ["interpolate", "sample"])
def test_sampler_multilabel_counts_are_exact_if_possible(ecg, vqvae, method):
    X, _, _ = ecg
    y = np.zeros((48, 2), int)
    y[:12, 0], y[6:40, 1] = 1, 1  # half of the records of label 0 have label 1
    sampler = small(vqvae=vqvae, method=method, sampling_strategy={0: 40, 1: 36})
    assert sampler.fit_resample(X, y)[1].sum(axis=0).tolist() == [40, 36]


def test_sampler_prefers_pairs_with_equal_labels(ecg, vqvae):
    X, _, _ = ecg
    y = np.zeros((48, 2), int)
    y[:12, 0], y[6:24, 1] = 1, 1  # half of the records of label 0 have label 1
    sampler = small(vqvae=vqvae, sampling_strategy={0: 30, 1: 40})
    sampler.fit_resample(X, y)
    np.testing.assert_array_equal(*(y[rows] for rows in sampler.parents_.T))


def test_sampler_combines_rare_labels_that_add_a_frequent_one(ecg, vqvae):
    X, _, _ = ecg
    y = np.zeros((48, 3), int)
    y[:40, 2] = 1
    y[:16, 0], y[8:24, 1] = 1, 1  # always with label 2, half of them with each other
    _, y_new = small(vqvae=vqvae).fit_resample(X, y)
    assert y_new[:, 0].sum() == y_new[:, 1].sum() == 40
    assert y_new[:, 2].sum() <= 40 + 30  # instead of 24 for each rare label


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("minority", {"afib": 30, "lbbb": 12, "normal": 30}),
        ("not minority", {"afib": 6, "lbbb": 30, "normal": 30}),
        ({"afib": 20}, {"afib": 20, "lbbb": 12, "normal": 30}),
        (lambda y: {"lbbb": 2 * (y == "lbbb").sum()}, {"afib": 6, "lbbb": 24, "normal": 30}),
    ],
)
def test_sampler_follows_sampling_strategy(ecg, vqvae, strategy, expected):
    X, y, _ = ecg
    _, y_new = small(vqvae=vqvae, sampling_strategy=strategy).fit_resample(X, y)
    assert count(y_new) == expected


def test_sampler_float_strategy_is_ratio_of_two_classes(ecg, vqvae):
    X, y, _ = ecg
    rows = y != "afib"
    sampler = small(vqvae=vqvae, sampling_strategy=0.8)
    _, y_new = sampler.fit_resample(X[rows], y[rows])
    assert (y_new == "lbbb").sum() == 24
