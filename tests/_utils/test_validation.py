import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator

from sklearn_bell._utils.validation import ECGInputMixin, check_ecg, check_groups, check_signals
from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.feature_extraction import detect_qrs
from sklearn_bell.preprocessing import Windows, check_records


class Estimator(ECGInputMixin, BaseEstimator):
    pass


class Sliced:
    """The interface of h5py and zarr arrays: shape, dtype, and slices in increasing order."""

    def __init__(self, values):
        self.values, self.shape, self.dtype = values, values.shape, values.dtype
        self.most_rows_read = 0

    def __len__(self):
        return len(self.values)

    def __getitem__(self, rows):
        if not isinstance(rows, slice):
            assert (np.diff(rows) > 0).all()
        values = self.values[rows]
        self.most_rows_read = max(self.most_rows_read, len(values))
        return values


@pytest.fixture
def X():
    return np.random.RandomState(0).randn(10, 3, 8)


def fitted(X):
    estimator = Estimator()
    check_ecg(estimator, X, reset=True)
    return estimator


@pytest.mark.parametrize(("index", "sizes"), [(np.s_[:], (3, 3, 8)), (np.s_[:, 0], (8, 1, 8))])
def test_check_ecg_sets_sizes(X, index, sizes):
    estimator = fitted(X[index])
    assert (estimator.n_features_in_, estimator.n_leads_in_, estimator.n_samples_in_) == sizes


def test_records_are_read_by_rows_as_float32(X):
    records = check_ecg(Estimator(), X, reset=True)
    rows = np.array([7, 2, 5])
    assert records[rows].dtype == np.float32
    np.testing.assert_array_equal(records[rows], X[rows].astype(np.float32))
    np.testing.assert_array_equal(np.concatenate(list(records.batches(4))), X.astype(np.float32))


@pytest.mark.parametrize(
    ("dtype", "expected"), [("f4", np.float32), ("f8", np.float64), ("i2", np.float32)]
)
def test_records_keep_accepted_dtypes_and_convert_others(X, dtype, expected):
    X = (100 * X).astype(dtype)
    records = check_ecg(Estimator(), X, reset=True, dtype=(np.float32, np.float64))
    assert records[:].dtype == expected
    np.testing.assert_array_equal(records[:], X)


@pytest.mark.parametrize("convert", [np.asarray, np.ndarray.tolist, Sliced, pd.DataFrame])
@pytest.mark.parametrize("n_dimensions", [2, 3])
def test_check_ecg_accepts_one_lead_in_two_or_three_dimensions(X, n_dimensions, convert):
    flat = X[:, 0]
    first, second = (flat, flat[:, None]) if n_dimensions == 3 else (flat[:, None], flat)
    if convert is pd.DataFrame:
        second = flat
    records = check_ecg(fitted(first), convert(second), reset=False)
    np.testing.assert_array_equal(records[:], flat[:, None].astype(np.float32))


def test_records_read_a_sliced_source_by_rows(X):
    source = Sliced(X)
    records = check_ecg(Estimator(), source, reset=True)
    assert source.most_rows_read == 0
    rows = np.array([7, 2, 5])
    np.testing.assert_array_equal(records[rows], X[rows].astype(np.float32))
    assert source.most_rows_read == 1


def test_records_check_a_memory_map_when_rows_are_read(X, tmp_path):
    X[4, 1, 2] = np.nan
    np.save(tmp_path / "X.npy", X)
    records = check_ecg(Estimator(), np.load(tmp_path / "X.npy", mmap_mode="r"), reset=True)
    records[:4]
    with pytest.raises(InvalidECGError, match="record 4, lead 1, sample 2"):
        records[np.array([0, 4])]


@pytest.mark.parametrize(
    ("value", "message"), [(np.nan, "NaN"), (np.inf, "infinity"), (1e300, "too large")]
)
def test_invalid_value_is_named_with_its_record(X, value, message):
    X[6, 2, 1] = value
    with pytest.raises(InvalidECGError, match=f"{message}.*record 6, lead 2, sample 1"):
        check_ecg(Estimator(), X, reset=True)
    with pytest.raises(InvalidECGError, match=f"{message}.*record 6"):
        check_signals(X)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((5, 4, 8), r"5 records of 4 lead\(s\), but Estimator was fitted on 3 lead"),
        ((5, 3, 9), r"records of 9 samples, but Estimator was fitted on records of 8.*Resampler"),
        ((5, 3, 8, 2), r"expected X of shape \(n_records, n_leads, n_samples\).*4 dimension"),
        ((5, 8), r"5 records of 1 lead\(s\), but Estimator was fitted on 3 lead"),
        ((0, 3, 8), r"0 sample\(s\)"),
        ((5, 3, 0), r"at least 1, but got \(5, 3, 0\)"),
        ((8,), r"got 1 dimension\(s\)"),
    ],
)
def test_wrong_shape_names_expected_and_observed(X, shape, message):
    with pytest.raises(InvalidECGError, match=message):
        check_ecg(fitted(X), np.zeros(shape), reset=False)


def as_objects(records):
    X = np.empty(len(records), dtype=object)
    X[:] = records
    return X


@pytest.mark.parametrize(
    "ragged",
    [[[np.zeros(8)], [np.zeros(9)]], as_objects([np.zeros((3, 8)), np.zeros((3, 9))])],
    ids=["list", "objects"],
)
def test_records_of_different_lengths_raise(ragged):
    with pytest.raises(InvalidECGError, match="the records differ in shape"):
        check_ecg(Estimator(), ragged, reset=True)


def test_check_ecg_requires_a_minimum_of_records(X):
    with pytest.raises(InvalidECGError, match="minimum of 2 is required by Estimator"):
        check_ecg(Estimator(), X[:1], reset=True, min_records=2)


@pytest.mark.parametrize("dtype", ["i2", "f4", "f8"])
def test_check_signals_returns_three_dimensions_of_float32(X, dtype):
    X = (100 * X).astype(dtype)
    assert check_signals(X[:, 0]).shape == (10, 1, 8)
    assert check_signals(X).dtype == np.float32
    np.testing.assert_allclose(check_signals(X), X, rtol=1e-6)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.zeros(3), "1 dimension"),
        (np.zeros((0, 3)), "Each record is a sample"),
        (np.zeros((2, 3, 0)), "each at least 1"),
        ([["a"]], "string"),
        ([np.zeros((2, 9)), np.zeros((2, 8))], "the records differ in shape"),
        (np.zeros((2, 9, 3)), "pass X.transpose"),
        ({"data": np.zeros((2, 3))}, "Pass its data"),
    ],
)
@pytest.mark.parametrize("function", [check_signals, check_records, detect_qrs, Windows(0.01).cut])
def test_functions_reject_other_arrays_with_the_remedy(X, message, function):
    with pytest.raises(InvalidECGError, match=message):
        function(X)


@pytest.mark.parametrize("function", [check_records, detect_qrs, Windows(0.04).cut])
def test_functions_read_arrays_of_objects(X, function):
    for result, plain in zip(function(X.astype(object)), function(X), strict=True):
        np.testing.assert_array_equal(result, plain)


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        (None, [0, 1, 2]),
        (["b", "a", "b"], [1, 0, 1]),
        (np.array([7, 7, -1]), [1, 1, 0]),
        (pd.Series(["x", "y", "x"], index=[5, 6, 7], dtype="category"), [0, 1, 0]),
    ],
)
def test_check_groups_numbers_patients_in_sorted_order(groups, expected):
    np.testing.assert_array_equal(check_groups(groups, 3), expected)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([1, 2], r"groups has shape \(2,\), but there are 3 records\. Do this\."),
        ([[1], [2], [3]], r"groups has shape \(3, 1\)"),
        ([1, None, np.nan], "2 are missing, first that of record 1"),
    ],
)
def test_check_groups_rejects_other_lengths_and_missing_values(groups, message):
    with pytest.raises(InvalidECGError, match=message):
        check_groups(groups, 3, remedy="Do this.")
