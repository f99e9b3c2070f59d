import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator

from sklearn_bell._utils.validation import ECGInputMixin, check_ecg
from sklearn_bell.exceptions import InvalidECGError


class Estimator(ECGInputMixin, BaseEstimator):
    pass


class Sliced:
    """Only what h5py and zarr arrays have: shape, dtype, and slices in increasing order."""

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


def test_three_dimensions_are_records_leads_and_samples(X):
    estimator = fitted(X)
    assert (estimator.n_features_in_, estimator.n_leads_in_, estimator.n_samples_in_) == (3, 3, 8)


def test_two_dimensions_are_records_of_one_lead(X):
    estimator = fitted(X[:, 0])
    assert (estimator.n_features_in_, estimator.n_leads_in_, estimator.n_samples_in_) == (8, 1, 8)


def test_records_are_read_by_rows_as_float32(X):
    records = check_ecg(Estimator(), X, reset=True)
    rows = np.array([7, 2, 5])
    assert records[rows].dtype == np.float32
    np.testing.assert_array_equal(records[rows], X[rows].astype(np.float32))
    np.testing.assert_array_equal(np.concatenate(list(records.batches(4))), X.astype(np.float32))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_dtype_that_is_asked_for_is_kept(X, dtype):
    records = check_ecg(Estimator(), X.astype(dtype), reset=True, dtype=(np.float32, np.float64))
    assert records[:].dtype == dtype


def test_integers_become_the_first_dtype(X):
    X = (100 * X).astype(np.int16)
    records = check_ecg(Estimator(), X, reset=True, dtype=(np.float32, np.float64))
    assert records[:].dtype == np.float32
    np.testing.assert_array_equal(records[:], X)


def test_one_lead_may_be_given_in_either_form(X):
    flat = X[:, 0]
    for first, second in ((flat, flat[:, None]), (flat[:, None], flat)):
        for given in (second, second.tolist(), Sliced(second)):
            records = check_ecg(fitted(first), given, reset=False)
            np.testing.assert_array_equal(records[:], flat[:, None].astype(np.float32))
    frame = pd.DataFrame(flat)
    np.testing.assert_array_equal(
        check_ecg(fitted(flat[:, None]), frame, reset=False)[:], flat[:, None].astype(np.float32)
    )


def test_what_is_read_by_slices_is_never_read_whole(X):
    source = Sliced(X)
    records = check_ecg(Estimator(), source, reset=True)
    assert source.most_rows_read == 0
    rows = np.array([7, 2, 5])
    np.testing.assert_array_equal(records[rows], X[rows].astype(np.float32))
    assert source.most_rows_read == 1


def test_a_memory_mapped_array_is_not_read_before_its_rows_are_asked_for(X, tmp_path):
    X[4, 1, 2] = np.nan
    np.save(tmp_path / "X.npy", X)
    records = check_ecg(Estimator(), np.load(tmp_path / "X.npy", mmap_mode="r"), reset=True)
    records[:4]
    with pytest.raises(InvalidECGError, match="record 4, lead 1, sample 2"):
        records[np.array([0, 4])]


@pytest.mark.parametrize(
    ("value", "message"), [(np.nan, "NaN"), (np.inf, "infinity"), (1e300, "too large")]
)
def test_a_value_that_is_no_number_is_named_with_its_record(X, value, message):
    X[6, 2, 1] = value
    with pytest.raises(InvalidECGError, match=f"{message}.*record 6, lead 2, sample 1"):
        check_ecg(Estimator(), X, reset=True)


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
def test_a_wrong_shape_says_what_was_given_and_what_was_expected(X, shape, message):
    with pytest.raises(InvalidECGError, match=message):
        check_ecg(fitted(X), np.zeros(shape), reset=False)


def test_records_of_different_lengths_are_refused():
    ragged = [[np.zeros(8)], [np.zeros(9)]]
    with pytest.raises(InvalidECGError, match="the records differ in shape"):
        check_ecg(Estimator(), ragged, reset=True)
    as_objects = np.empty(2, dtype=object)
    as_objects[:] = [np.zeros((3, 8)), np.zeros((3, 9))]
    with pytest.raises(InvalidECGError, match="the records differ in shape"):
        check_ecg(Estimator(), as_objects, reset=True)


def test_a_minimum_of_records_is_asked_for(X):
    with pytest.raises(InvalidECGError, match="minimum of 2 is required by Estimator"):
        check_ecg(Estimator(), X[:1], reset=True, min_records=2)
