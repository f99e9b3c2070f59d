"""Transformers of signals, compared with slow, obvious versions."""

import itertools
import re

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import clone

from sklearn_bell.datasets import make_ecg
from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.feature_extraction import ECGFeatures
from sklearn_bell.preprocessing import (
    INDEPENDENT_LEADS,
    STANDARD_LEADS,
    BandpassFilter,
    Cropper,
    GapFiller,
    LeadSelector,
    RecordScaler,
    Resampler,
)


@pytest.fixture
def X():
    return np.random.default_rng(0).normal(size=(4, 3, 200))


def wave(frequency, sampling_rate, seconds=10.0):
    """Return a sine of 1 mV (1, 1, n_samples)."""
    time = np.arange(round(seconds * sampling_rate)) / sampling_rate
    return np.sin(2 * np.pi * frequency * time)[None, None]


# Missing leads


@pytest.mark.parametrize(
    "transformer",
    [
        LeadSelector(["III", "V1"], lead_names=["I", "II", "V1"]),
        Resampler(100, 250),
        BandpassFilter(),
        Cropper(100),
        Cropper(300),
        *[RecordScaler(method, per) for method in ("zscore", "max") for per in ("lead", "record")],
    ],
    ids=repr,
)
def test_lead_that_is_nan_as_a_whole_passes_and_changes_no_other_lead(X, transformer):
    broken = X.copy()
    broken[1, 2] = np.nan
    out, n_out = transformer.fit_transform(broken), transformer.fit_transform(X).shape[1]
    assert np.isnan(out[1, n_out - 1]).all()
    alone = transformer.fit_transform(X[:, :2]) if n_out == 3 else transformer.fit_transform(X)
    np.testing.assert_array_equal(out[1, : n_out - 1], alone[1, : n_out - 1])
    np.testing.assert_array_equal(out[0], transformer.fit_transform(X)[0])
    broken[1, 2, :5] = 0
    with pytest.raises(InvalidECGError, match="NaN: first in record 1, lead 2, sample 5"):
        transformer.fit(broken)


# LeadSelector


def test_lead_selector_selects_by_name_in_order(X):
    selector = LeadSelector(["V1", "i"], lead_names=["I", "II", "v1"]).fit(X)
    np.testing.assert_array_equal(selector.transform(X), X[:, [2, 0]])
    assert selector.derived_leads_ == {}


def test_lead_selector_keeps_all_leads_by_default(X):
    np.testing.assert_array_equal(LeadSelector().fit_transform(X), X)


def test_independent_leads_determine_the_others():
    rng = np.random.default_rng(0)
    i, ii = rng.normal(size=(2, 5, 1, 50))
    limbs = [i, ii, ii - i, -(i + ii) / 2, i - ii / 2, ii - i / 2]
    X = np.concatenate([*limbs, rng.normal(size=(5, 6, 50))], axis=1)
    ii, iii = LeadSelector(INDEPENDENT_LEADS).fit_transform(X)[:, :2].swapaxes(0, 1)
    rebuilt = np.stack([ii - iii, ii, iii, iii / 2 - ii, ii / 2 - iii, (ii + iii) / 2], axis=1)
    np.testing.assert_allclose(rebuilt, X[:, :6])


def test_lead_selector_names_the_second_axis(X):
    selector = LeadSelector(["avf"], lead_names=["I", "II", "AVF"]).fit(X)
    assert selector.get_feature_names_out().tolist() == ["aVF"]
    one_lead = LeadSelector(["II"], lead_names=["II"]).fit(X[:, 0])
    assert len(one_lead.get_feature_names_out()) == X.shape[-1]


@pytest.mark.parametrize(
    ("selector", "message"),
    [
        (LeadSelector(["II"]), r"X has 3 lead\(s\), but lead_names has 12"),
        (LeadSelector(["V9"], lead_names=["I", "II", "III"]), "No lead named V9 among I, II, III"),
        (LeadSelector([], lead_names=["I", "II", "III"]), "leads is empty"),
    ],
)
def test_lead_selector_rejects_wrong_names(X, selector, message):
    with pytest.raises(InvalidECGError, match=message):
        selector.fit(X)


# Resampler


@pytest.mark.parametrize(
    ("rate_in", "rate_out"), [(500, 100), (100, 250), (257, 100), (360.0, 128)]
)
def test_resampler_keeps_a_sine(rate_in, rate_out):
    actual = Resampler(rate_in, rate_out).fit_transform(wave(5.0, rate_in))
    expected = wave(5.0, rate_out)
    assert actual.shape == expected.shape
    middle = slice(rate_out, -rate_out)
    np.testing.assert_allclose(actual[..., middle], expected[..., middle], atol=0.01)


def test_resampler_prevents_aliasing():
    fast = wave(95.0, 500)  # every fifth sample of it alone would be a wave of 5 Hz
    assert np.abs(fast[..., ::5]).max() > 0.9
    assert np.abs(Resampler(500, 100).fit_transform(fast)[..., 50:-50]).max() < 0.01


@pytest.mark.parametrize(
    ("n_in", "n_out"), [(1, 1), (2, 1), (7, 1), (8, 2), (1000, 200), (1004, 201)]
)
def test_resampler_rounds_the_length(n_in, n_out):
    assert Resampler(500, 100).fit_transform(np.ones((1, 1, n_in))).shape == (1, 1, n_out)


@pytest.mark.parametrize("rates", [(500, 100), (100, 250), (257, 100)])
def test_resampler_keeps_a_flat_lead_flat(rates):
    flat = Resampler(*rates).fit_transform(np.full((1, 1, 500), 1.7))
    np.testing.assert_array_equal(flat, 1.7)


# BandpassFilter


@pytest.mark.parametrize(
    ("frequency", "gain"),
    [(0.05, 0.0), (0.5, 0.5), (5.0, 1.0), (10.0, 1.0), (40.0, 0.5), (49.0, 0.0)],
)
def test_bandpass_gain_is_one_in_the_band_and_half_at_its_ends(frequency, gain):
    sine = wave(frequency, 100, seconds=60)
    filtered = BandpassFilter().fit_transform(sine)
    middle = slice(1000, -1000)
    np.testing.assert_allclose(filtered[..., middle], gain * sine[..., middle], atol=0.02)


def test_bandpass_of_a_flat_lead_is_zero():
    flat = np.full((1, 2, 300), 1.7, dtype=np.float32)
    filtered = BandpassFilter().fit_transform(flat)
    np.testing.assert_array_equal(filtered, 0)
    np.testing.assert_array_equal(RecordScaler().fit_transform(filtered), 0)


def test_bandpass_pads_a_beat_at_the_end_without_a_step():
    time = np.arange(1000) / 100
    beats = sum(np.exp(-(((time - beat) / 0.03) ** 2)) for beat in np.arange(1.0, 9.5, 0.8))
    whole = BandpassFilter().fit_transform(beats[None])[0, 260:741]
    part = BandpassFilter().fit_transform(beats[None, 260:741])[0]  # from summit to summit
    np.testing.assert_allclose(part, whole, atol=0.1)


@pytest.mark.parametrize("n_samples", [1, 2, 3, 20])
def test_bandpass_accepts_records_shorter_than_its_padding(n_samples):
    x = np.random.default_rng(0).normal(size=(2, n_samples))
    assert np.isfinite(BandpassFilter().fit_transform(x)).all()


@pytest.mark.parametrize("wrong", [{"high": 50.0}, {"sampling_rate": 60}, {"low": 40.0}])
def test_bandpass_rejects_impossible_cutoffs(X, wrong):
    value = next(iter(wrong.values()))
    with pytest.raises(InvalidECGError, match=f"low < high < sampling_rate / 2, .*{value}"):
        BandpassFilter(**wrong).fit(X)


# RecordScaler


def obvious(part, method):
    """Scale one lead, or one record."""
    if method == "zscore":
        return (part - part.mean()) / part.std()
    if method == "robust":
        low, median, high = np.percentile(part, [25, 50, 75])
        return (part - median) / (high - low)
    return part / np.abs(part).max()


@pytest.mark.parametrize("method", ["zscore", "robust", "max"])
@pytest.mark.parametrize("per", ["lead", "record"])
def test_record_scaler_equals_a_loop(X, method, per):
    X = 3 * X + 1
    if per == "lead":
        expected = [[obvious(lead, method) for lead in record] for record in X]
    else:
        expected = [obvious(record, method) for record in X]
    actual = RecordScaler(method, per).fit_transform(X)
    np.testing.assert_allclose(actual, expected)


@pytest.mark.parametrize("method", ["zscore", "robust", "max"])
@pytest.mark.parametrize("per", ["lead", "record"])
@pytest.mark.parametrize("level", [0.0, 0.1, -7e3])
def test_record_scaler_of_a_flat_lead_is_zero(X, method, per, level):
    X = X.astype(np.float32)
    X[1, 2] = level
    scaled = RecordScaler(method, per).fit_transform(X)
    np.testing.assert_array_equal(scaled[1, 2], 0)
    assert np.ptp(scaled[1, 1]) > 0


def test_record_scaler_accepts_an_interquartile_range_of_zero():
    lead = np.zeros((1, 1, 100))
    lead[..., 50] = 2.0
    np.testing.assert_array_equal(RecordScaler("robust").fit_transform(lead), lead)


def test_record_scaler_does_not_overflow_on_large_values():
    lead = np.array([[[-1e12, 1e12]]], dtype=np.float32)  # the largest accepted values
    np.testing.assert_allclose(RecordScaler().fit_transform(lead), [[[-1, 1]]])


# Cropper


@pytest.mark.parametrize(("n_samples", "start"), [(200, 0), (100, 50), (99, 50), (1, 99)])
def test_cropper_cuts_the_centre(X, n_samples, start):
    np.testing.assert_array_equal(
        Cropper(n_samples).fit_transform(X), X[..., start : start + n_samples]
    )


def test_cropper_pads_with_zeros_on_both_sides(X):
    expected = np.pad(X, ((0, 0), (0, 0), (3, 4)))
    np.testing.assert_array_equal(Cropper(207).fit_transform(X), expected)


def test_cropper_keeps_the_length_by_default(X):
    cropper = Cropper().fit(X)
    np.testing.assert_array_equal(cropper.transform(X), X)
    assert cropper.n_samples_ == 200


def counting(n_records, n_samples=200):
    """Records of values 1000 * record + sample (n_records, 2, n_samples)."""
    values = 1000.0 * np.arange(n_records)[:, None, None] + np.arange(n_samples)
    return np.repeat(values, 2, axis=1)


def test_random_crops_start_everywhere():
    cropped = Cropper(150, position="random", random_state=0).fit_transform(counting(600))
    starts = cropped[:, 0, 0] % 1000
    np.testing.assert_array_equal(cropped[:, 0] % 1000, starts[:, None] + np.arange(150))
    np.testing.assert_array_equal(cropped[:, 0], cropped[:, 1])  # leads stay together
    assert set(starts) == set(range(51))


def test_random_crops_pad_short_records_at_random_positions():
    padded = Cropper(230, position="random", random_state=0).fit_transform(1 + counting(100))
    assert len(set((padded[:, 0] > 0).argmax(axis=-1))) > 20
    assert ((padded[:, 0] > 0).sum(axis=-1) == 200).all()


def test_random_crops_depend_on_record_and_seed_only():
    X = counting(50)
    crop = Cropper(20, position="random", random_state=0).fit(X)
    expected = crop.transform(X)
    np.testing.assert_array_equal(crop.transform(X), expected)
    np.testing.assert_array_equal(clone(crop).fit_transform(X), expected)
    np.testing.assert_array_equal(crop.transform(X[::-1])[::-1], expected)
    np.testing.assert_array_equal(crop.transform(X.astype(np.float32)), expected)
    another = Cropper(20, position="random", random_state=1).fit_transform(X)
    assert (another != expected).any()


def test_new_samples_get_numbered_names():
    X = np.ones((2, 4))
    assert Cropper(2).fit(X).get_feature_names_out().tolist() == ["cropper0", "cropper1"]
    assert Cropper().fit(X).get_feature_names_out().tolist() == ["x0", "x1", "x2", "x3"]
    leads = Cropper(2).fit(np.ones((2, 3, 4)))
    assert leads.get_feature_names_out(["I", "II", "III"]).tolist() == ["I", "II", "III"]


# set_output


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_records_of_several_leads_stay_arrays(X, kind):
    pytest.importorskip(kind)
    expected = Cropper(5).fit_transform(X)
    cropper = Cropper(5).set_output(transform=kind)
    for transformer in (cropper, clone(cropper), clone(cropper.fit(X)), cropper.set_output()):
        np.testing.assert_array_equal(transformer.fit_transform(X), expected)
    with config_context(transform_output=kind):
        np.testing.assert_array_equal(Cropper(5).fit_transform(X), expected)


def test_records_of_one_lead_become_tables(X):
    cropper = Cropper(5).set_output(transform="pandas").fit(X)
    table = clone(cropper).fit_transform(X[:, 0])
    assert isinstance(table, pd.DataFrame)
    np.testing.assert_array_equal(table, Cropper(5).fit_transform(X[:, 0]))


# GapFiller


def test_gap_filler_interpolates_short_gaps(X):
    gappy = X.copy()
    gappy[0, 0, 50:55] = gappy[1, 2, :3] = gappy[2, 1, -4:] = np.nan
    gappy[3, 1] = np.nan  # a missing lead
    filled = GapFiller(max_gap=0.05).fit_transform(gappy)
    expected = X.copy()
    expected[0, 0, 50:55] = np.linspace(X[0, 0, 49], X[0, 0, 55], 7)[1:-1]
    expected[1, 2, :3], expected[2, 1, -4:], expected[3, 1] = X[1, 2, 3], X[2, 1, -5], np.nan
    np.testing.assert_allclose(filled, expected)


def test_gap_filler_refuses_long_gaps_and_infinity(X):
    X[2, 1, 50:56] = np.nan
    with pytest.raises(InvalidECGError, match=r"0.06 s in lead 1 .*longer than max_gap=0.05"):
        GapFiller(max_gap=0.05).fit(X).transform(X)
    X[0, 0, 0] = np.inf
    with pytest.raises(InvalidECGError, match="infinity"):
        GapFiller().fit(X)


# LeadSelector with leads that follow from others


def test_lead_selector_computes_limb_leads():
    i, ii, v1 = np.random.default_rng(0).normal(size=(3, 5, 200))
    X = np.stack([v1, ii, i], axis=1)
    selector = LeadSelector(["I", "III", "aVR", "aVL", "aVF", "V1"], lead_names=["V1", "II", "I"])
    expected = [i, ii - i, -(i + ii) / 2, i - ii / 2, ii - i / 2, v1]
    np.testing.assert_allclose(selector.fit_transform(X), np.stack(expected, axis=1))
    assert list(selector.derived_leads_) == ["III", "aVR", "aVL", "aVF"]
    assert selector.get_feature_names_out().tolist() == ["I", "III", "aVR", "aVL", "aVF", "V1"]


@pytest.mark.parametrize("pair", [*itertools.combinations(STANDARD_LEADS[:6], 2)])
def test_lead_selector_computes_all_limb_leads_from_any_two(pair):
    X = make_ecg(3, random_state=0).data.astype(np.float64)
    rows = [STANDARD_LEADS.index(lead) for lead in pair]
    selector = LeadSelector(STANDARD_LEADS[:6], lead_names=pair)
    np.testing.assert_allclose(selector.fit_transform(X[:, rows]), X[:, :6], atol=1e-6)


def test_error_on_eight_leads_names_a_remedy_that_works():
    X = make_ecg(4, random_state=0).data
    features = ECGFeatures().fit(X)
    eight = X[:, [0, 1, 6, 7, 8, 9, 10, 11]]
    with pytest.raises(InvalidECGError, match="fitted on 12 lead") as caught:
        features.transform(eight)
    remedy = re.search(r"LeadSelector\(.*\)", str(caught.value))[0]
    selector = eval(remedy, {"LeadSelector": LeadSelector, "STANDARD_LEADS": STANDARD_LEADS})
    np.testing.assert_allclose(selector.fit_transform(eight), X, atol=1e-5)
    with pytest.raises(InvalidECGError, match=r"select the same leads with LeadSelector\.$"):
        features.transform(X[:, :7])


@pytest.mark.parametrize("names", [["II", "Lead II"], ["II", "ii"], ["ECG I", "DI"]])
def test_lead_selector_refuses_two_names_of_one_lead(names):
    with pytest.raises(InvalidECGError, match="Name each lead of X once"):
        LeadSelector(["II"], lead_names=names).fit(np.ones((2, 2, 100)))
