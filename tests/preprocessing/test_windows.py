"""Windows of long records."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklearn_bell import ECGFeatures
from sklearn_bell.datasets import make_ecg
from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.preprocessing import Windows

X = np.random.default_rng(0).normal(0, 0.2, (3, 2, 1000)).astype(np.float32)


@pytest.mark.parametrize(("duration", "step"), [(2, None), (2.5, 1.5), (10, 3), (3, 3)])
def test_cut_equals_a_loop(duration, step):
    windows, record = Windows(duration, step).cut(X)
    expected = []
    for row, x in enumerate(X):
        start = 0
        while start + round(100 * duration) <= x.shape[1]:
            expected.append((row, x[:, start : start + round(100 * duration)]))
            start += round(100 * (step or duration))
    np.testing.assert_array_equal(record, [row for row, _ in expected])
    np.testing.assert_array_equal(windows, [window for _, window in expected])


def test_one_lead_stays_2d():
    windows, record = Windows(5).cut(X[:, 0])
    assert windows.shape == (6, 500)
    np.testing.assert_array_equal(windows[1], X[0, 0, 500:])
    np.testing.assert_array_equal(record, [0, 0, 1, 1, 2, 2])


@pytest.mark.parametrize("container", [list, lambda x: pd.Series(list(x))], ids=["list", "Series"])
def test_cut_of_a_container_keeps_all_leads(container):
    windows, _ = Windows(5).cut(container(X))
    np.testing.assert_array_equal(windows, Windows(5).cut(X)[0])
    assert windows.shape == (6, 2, 500)


def test_cut_keeps_leads_that_are_nan_as_a_whole():
    broken = X.copy()
    broken[1, 0] = np.nan
    np.testing.assert_array_equal(np.isnan(Windows(5).cut(broken)[0]).sum(axis=(1, 2)) / 500,
                                  [0, 0, 1, 1, 0, 0])  # fmt: skip


def test_pool_is_the_mean_of_each_record():
    values = np.arange(12.0).reshape(6, 2)
    pooled = Windows().pool(values, [0, 0, 0, 1, 2, 2])
    np.testing.assert_array_equal(pooled, [values[:3].mean(0), values[3], values[4:].mean(0)])


@pytest.mark.parametrize("params", [{"duration": 11}, {"duration": 0.001}, {"step": 0.001}])
def test_windows_that_do_not_fit_raise(params):
    with pytest.raises(InvalidECGError, match="Expected windows of 1 to 1000 samples"):
        Windows(**params).cut(X)


def test_pool_of_other_windows_raises():
    with pytest.raises(InvalidECGError, match="each of 3 windows, got 2"):
        Windows().pool([1, 2], [0, 0, 1])


def test_pool_takes_names_of_records():
    names = ["b/2", "b/2", "a/1", "b/2"]
    np.testing.assert_array_equal(Windows().pool([1.0, 2, 5, 6], names), [3, 5])
    for wrong in ([0.0, 1.0], [], [-1, 0]):
        with pytest.raises(InvalidECGError, match="Pass the second result of cut"):
            Windows().pool(np.ones(len(wrong)), wrong)


def test_predictions_of_windows_classify_records():
    ecg = make_ecg(40, classes=["normal", "afib"], leads=["II"], duration=30, random_state=0)
    windows = Windows(10, step=5)
    X_train, record = windows.cut(ecg.data[:20])
    model = make_pipeline(ECGFeatures(lead_names=["II"]), LogisticRegression(max_iter=10_000))
    model.fit(X_train, ecg.target[:20][record])
    X_test, record = windows.cut(ecg.data[20:])
    pooled = windows.pool(model.predict_proba(X_test), record)
    assert pooled.shape == (20, 2)
    assert (pooled.argmax(axis=1) == ecg.target[20:]).mean() >= 0.9


@pytest.mark.parametrize(
    "container", [list, lambda X: pd.Series(list(X)), lambda X: pd.DataFrame({"ecg": list(X)})]
)
def test_windows_of_any_container_keep_all_leads(container):
    X = np.arange(2 * 3 * 300.0).reshape(2, 3, 300)
    windows, record = Windows(duration=1).cut(container(X))
    assert windows.shape == (6, 3, 100)
    np.testing.assert_array_equal(windows[record == 1], Windows(duration=1).cut(X[1:])[0])
