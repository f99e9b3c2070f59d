"""check_records on records with one defect each."""

import numpy as np
import pandas as pd
import pytest

from sklearn_bell._utils.leads import mix_leads
from sklearn_bell.datasets import make_ecg
from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.preprocessing import STANDARD_LEADS, Resampler, check_records

LEADS = ["I", "II", "V1", "V2", "V3", "V4", "V5", "V6"]
CLEAN = mix_leads(STANDARD_LEADS, LEADS)(make_ecg(6, leads=LEADS, random_state=0).data)
V1 = STANDARD_LEADS.index("V1")
rng = np.random.default_rng(0)


def check(damage, rate=100, names=STANDARD_LEADS):
    """Return the rows of the table for damaged records and for clean ones after them."""
    X = CLEAN.copy()
    damage(X[:3])
    table = check_records(X, rate, names)
    return table.iloc[:3], table.iloc[3:]


def scale_lead(x, factor=0.0):
    x[:, V1] *= factor


def saturate(x):
    n = x.shape[-1] // 50  # 0.2 s
    x[:, V1, 10 * n : 11 * n] = 5


def drift(x):
    x[:, V1] += 3 * np.sin(np.linspace(0, 4, x.shape[-1]))


def bury(x, leads=slice(V1, V1 + 1)):
    sizes = 4 * x[:, leads].std(axis=-1, keepdims=True)
    x[:, leads] += sizes * rng.normal(size=x[:, leads].shape)


def exchange_arms(x):
    i, ii, iii, avr, avl = (x[:, k].copy() for k in range(5))
    x[:, 0], x[:, 1], x[:, 2], x[:, 3], x[:, 4] = -i, iii, ii, avl, avr


def exchange_right_leg(x):
    """Put the right arm's electrode on the right leg: II has hardly any voltage."""
    i, ii = x[:, 0] - x[:, 1], 0.03 * x[:, 1]
    x[:, 0], x[:, 1], x[:, 2] = i, ii, ii - i
    x[:, 3], x[:, 4], x[:, 5] = -(i + ii) / 2, i - ii / 2, ii - i / 2


def exchange_names(x):
    x[:, [4, 5]] = x[:, [5, 4]]


DAMAGE = {
    "flat": (scale_lead, "flat", "V1", "unacceptable"),
    "clipped": (saturate, "clipped", "V1", "questionable"),
    "drifting": (drift, "drifting", "V1", "questionable"),
    "noisy": (bury, "noisy", "V1", "questionable"),
    "arms": (exchange_arms, "limb_leads", "arms exchanged?", "questionable"),
    "leg": (exchange_right_leg, "limb_leads", "leg exchanged?", "questionable"),
    "order": (exchange_names, "limb_leads", "contradict each other", "questionable"),
}


@pytest.mark.parametrize(("damage", "column", "text", "verdict"), DAMAGE.values(), ids=DAMAGE)
def test_damage_is_named(damage, column, text, verdict):
    damaged, clean = check(damage)
    assert (damaged[column] == text).all()
    assert (damaged["verdict"] == verdict).all()
    assert (clean[column] == "").all()
    assert (clean["verdict"] == "acceptable").all()


def test_few_bad_leads_are_questionable_and_many_unacceptable():
    for n_leads, verdict in ((2, "questionable"), (3, "unacceptable")):
        damaged, _ = check(lambda x, n=n_leads: bury(x, slice(6, 6 + n)))
        assert (damaged["verdict"] == verdict).all()


@pytest.mark.parametrize(("factor", "unit"), [(1000, "uV"), (0.001, "V"), (1, "mV")])
def test_unit_is_that_of_each_record(factor, unit):
    damaged, clean = check(lambda x: np.multiply(x, factor, out=x))
    assert (damaged["unit"] == unit).all()
    assert (clean["unit"] == "mV").all()


def test_missing_samples_are_counted():
    damaged, clean = check(lambda x: x[:, V1, 100:220].fill(np.nan))
    np.testing.assert_allclose(damaged["missing"], 120 / (12 * 1000))
    assert (damaged["verdict"] == "questionable").all()
    assert (clean["missing"] == 0).all()


def test_missing_lead_is_flat():
    damaged, _ = check(lambda x: x[:, V1].fill(np.nan))
    assert (damaged["flat"] == "V1").all()


def test_heart_rate_is_that_of_spikes():
    time = np.arange(2000) / 100
    rates = [40, 60, 90, 230]
    X = [np.exp(-(((time % (60 / rate) - 0.1) / 0.02) ** 2)) for rate in rates]
    table = check_records(X, 100)
    np.testing.assert_allclose(table["heart_rate"], rates, rtol=0.02)
    assert table["verdict"].tolist() == ["acceptable"] * 3 + ["questionable"]


def test_sampling_rate_does_not_change_verdicts():
    X = CLEAN.copy()
    scale_lead(X[:1])
    drift(X[1:2])
    saturate(X[2:3])
    fine = Resampler(100, 500).fit_transform(X)
    saturate(fine[2:3])
    at_100, at_500 = (check_records(x, len(x[0, 0]) / 10, STANDARD_LEADS) for x in (X, fine))
    np.testing.assert_allclose(at_500.pop("heart_rate"), at_100.pop("heart_rate"), rtol=0.02)
    pd.testing.assert_frame_equal(at_500, at_100)


def test_duplicates_name_the_first_record():
    X = np.concatenate([CLEAN, CLEAN[[4, 1]], CLEAN[4:5]])
    table = check_records(X, 100)
    assert table["duplicate_of"].fillna(-1).tolist() == [-1] * 6 + [4, 1, 4]
    assert (table["verdict"] == "acceptable").tolist() == [True] * 6 + [False] * 3


def test_batches_do_not_matter(tmp_path):
    X = np.concatenate([CLEAN, rng.normal(0, 0.2, (700, 12, 1000)).astype(np.float32), CLEAN])
    np.save(tmp_path / "x.npy", X)
    table = check_records(np.load(tmp_path / "x.npy", mmap_mode="r"), 100)
    alone = check_records(CLEAN, 100)
    columns = ["heart_rate", "noisy", "drifting"]
    pd.testing.assert_frame_equal(table[columns][:6], alone[columns])
    assert table["duplicate_of"].tail(6).tolist() == [*range(6)]


@pytest.mark.parametrize("view", [np.s_[:, [1, 0]], np.s_[..., :500], np.s_[..., ::2]], ids=str)
def test_views_of_arrays_equal_their_copies(view):
    X = CLEAN[view]
    pd.testing.assert_frame_equal(check_records(X), check_records(np.ascontiguousarray(X)))


def test_leads_have_numbers_without_names():
    damaged, _ = check(scale_lead, names=None)
    assert (damaged["flat"] == "lead6").all()


@pytest.mark.parametrize("shape", [(3, 200), (3, 1, 200), (1, 1, 1), (2, 3, 7)])
def test_short_records_and_one_lead(shape):
    table = check_records(rng.normal(0, 0.2, shape), 100)
    assert len(table) == shape[0]
    assert table["verdict"].isin(["acceptable", "questionable", "unacceptable"]).all()


@pytest.mark.parametrize("X", [np.zeros((2, 3, 0)), np.zeros(5), np.full((1, 1, 9), np.inf), "X"])
def test_invalid_records_raise(X):
    with pytest.raises(InvalidECGError):
        check_records(X)


def test_names_of_another_number_raise():
    with pytest.raises(InvalidECGError, match="lead_names"):
        check_records(CLEAN, 100, LEADS)


@pytest.mark.parametrize(
    "change",
    [
        lambda X: X[:, [1, 0, 2]],
        lambda X: X[..., :500],
        lambda X: X[:, ::-1],
        np.asfortranarray,
    ],
)
def test_views_of_arrays_are_read(change):
    X = make_ecg(4, random_state=0).data[:, :3]
    expected = check_records(np.ascontiguousarray(change(X)))
    pd.testing.assert_frame_equal(check_records(change(X)), expected)


@pytest.mark.parametrize(("factor", "unit"), [(1000, "uV"), (0.001, "V")])
def test_records_in_other_units_are_judged_in_millivolts(factor, unit):
    X = make_ecg(8, random_state=0).data
    expected, table = check_records(X), check_records(X * factor)
    assert (table["unit"] == unit).all()
    assert (table["verdict"] == "questionable").all()
    names = ["flat", "drifting", "noisy", "clipped"]
    pd.testing.assert_frame_equal(table[names], expected[names])
