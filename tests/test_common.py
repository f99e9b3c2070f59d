"""What every public estimator promises, whichever it is: found through ``__all__``."""

import importlib
import inspect
import pickle
import pkgutil
import warnings

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks as checks
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

import sklearn_bell
from sklearn_bell.feature_extraction import ECGFeatures
from sklearn_bell.preprocessing import BandpassFilter, RecordScaler
from sklearn_bell.preprocessing._base import SignalTransformer
from sklearn_bell.pretraining import BELLPretrainer

# loaders and networks keep other contracts, and have tests of their own
MODULES = [
    "sklearn_bell." + module.name
    for module in pkgutil.iter_modules(sklearn_bell.__path__)
    if module.name not in {"__main__", "datasets", "nn"} and not module.name.startswith("_")
]


def public_estimators():
    """One of each public estimator class, with its defaults, or few epochs where it trains."""
    found = {}
    for name in MODULES:
        module = importlib.import_module(name)
        for public in getattr(module, "__all__", ()):
            candidate = getattr(module, public)
            if not inspect.isclass(candidate) or inspect.isabstract(candidate):
                continue
            if issubclass(candidate, BaseEstimator):
                found[public] = candidate()
    for estimator in found.values():
        if "max_epochs" in estimator.get_params(deep=False):
            estimator.set_params(max_epochs=1)
    return [found[name] for name in sorted(found)]


ESTIMATORS = public_estimators()
TRANSFORMERS = [estimator for estimator in ESTIMATORS if hasattr(estimator, "transform")]
TRAINED = [one for one in ESTIMATORS if "max_epochs" in one.get_params(deep=False)]
SIGNAL_TRANSFORMERS = [one for one in TRANSFORMERS if isinstance(one, SignalTransformer)]
PIPELINES = [
    make_pipeline(BandpassFilter(), RecordScaler(), ECGFeatures()),
    make_pipeline(RecordScaler(), BELLPretrainer(max_epochs=1, random_state=0)),
]


USES = ("transform", "predict", "fit_resample")
THE_GAP = "(record 3, lead 1, sample 5|image 3, line 1, column 5)"


class OnDisk:
    """Only what h5py and zarr arrays have, and an error for whoever wants the whole of it."""

    def __init__(self, values):
        self.values, self.shape, self.dtype = values, values.shape, values.dtype

    def __len__(self):
        return len(self.values)

    def __getitem__(self, rows):
        values = self.values[rows]
        if len(values) > 256:
            raise AssertionError(f"{len(values)} rows are read at once")
        return values

    def __array__(self, *args, **kwargs):
        raise AssertionError("the whole array is read")


def each(estimators):
    return pytest.mark.parametrize("estimator", estimators, ids=lambda one: type(one).__name__)


def records(n_leads=3, n_samples=300, dtype=np.float32, n_records=5):
    """Whole numbers of beats and noise, so that an integer dtype holds the same values."""
    rng = np.random.default_rng(0)
    X = rng.integers(-100, 100, (n_records, n_leads, n_samples))
    X[..., 40::80] += 1000
    return X.astype(dtype)


def transformed(estimator, X):
    estimator = clone(estimator)
    if "random_state" in estimator.get_params(deep=False):
        estimator.set_params(random_state=0)
    return estimator.fit(X).transform(X)


@checks.parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@checks.parametrize_with_checks(
    PIPELINES,
    expected_failed_checks=lambda pipeline: dict.fromkeys(
        ["check_dont_overwrite_parameters", "check_estimators_overwrite_params"],
        "scikit-learn expects both of every Pipeline, which changes its `steps`",
    ),
)
def test_scikit_learn_checks_of_a_pipeline(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    "check",
    [
        checks.check_param_validation,
        checks.check_dataframe_column_names_consistency,
        checks.check_inplace_ensure_writeable,
    ],
    ids=lambda check: check.__name__,
)
@each(ESTIMATORS)
def test_checks_that_check_estimator_leaves_out(estimator, check):
    check(type(estimator).__name__, estimator)


@pytest.mark.parametrize(
    "check",
    [
        checks.check_set_output_transform,
        checks.check_set_output_transform_pandas,
        checks.check_global_output_transform_pandas,
        checks.check_set_output_transform_polars,
        checks.check_global_set_output_transform_polars,
        checks.check_transformer_get_feature_names_out,
        checks.check_transformer_get_feature_names_out_pandas,
        checks.check_get_feature_names_out_error,
    ],
    ids=lambda check: check.__name__,
)
@each([*TRANSFORMERS, *PIPELINES])
def test_output_checks_that_check_estimator_leaves_out(estimator, check):
    with warnings.catch_warnings():  # the checks give an array to what was fitted on a dataframe
        warnings.filterwarnings("ignore", message="X (does not have valid|has) feature names")
        check(type(estimator).__name__, estimator)


@each(ESTIMATORS)
def test_what_trains_has_epochs_batches_and_a_seed(estimator):
    parameters = estimator.get_params(deep=False).keys()
    if {"max_epochs", "batch_size", "lr", "encoder"} & parameters:
        assert parameters >= {"max_epochs", "batch_size", "random_state"}


@each(TRAINED)
def test_an_epoch_is_told_in_a_line_by_who_is_asked_and_changes_nothing(estimator, capsys):
    X, name = records(n_records=8), type(estimator).__name__
    estimator = clone(estimator).set_params(max_epochs=2, random_state=0)
    quiet = clone(estimator).fit(X, [0, 1] * 4)
    assert capsys.readouterr() == ("", "")
    loud = clone(estimator).set_params(verbose=True).fit(X, [0, 1] * 4)
    out, err = capsys.readouterr()
    assert err == ""
    for number, (line, one) in enumerate(zip(out.splitlines(), loud.history_, strict=True), 1):
        loss, seconds = f"{one['loss']:.4g}", f"{one['duration']:.1f}"
        assert line == f"[{name}] epoch {number} of 2: loss {loss}, {seconds} s"
    weights = loud._net.module_.state_dict()
    for key, one in quiet._net.module_.state_dict().items():
        np.testing.assert_array_equal(weights[key].cpu(), one.cpu(), err_msg=key)


@each(TRAINED)
def test_what_a_quiet_fit_has_kept_goes_on_when_epochs_are_told(estimator, tmp_path, capsys):
    X, y = records(n_records=8), [0, 1] * 4
    estimator = clone(estimator).set_params(random_state=0, checkpoint=tmp_path)
    if hasattr(estimator, "predict"):  # what is within has a parameter of its own
        estimator.set_params(pretrainer=BELLPretrainer(max_epochs=0, random_state=0))
    clone(estimator).fit(X, y)
    kept = sorted(tmp_path.iterdir())
    names = [name for name in estimator.get_params() if name.split("__")[-1] == "verbose"]
    loud = clone(estimator).set_params(**dict.fromkeys(names, 1)).fit(X, y)
    assert sorted(tmp_path.iterdir()) == kept
    assert capsys.readouterr().out == ""  # there was nothing left to do
    if not hasattr(loud, "inverse_transform"):  # a VQ-VAE of more epochs trains otherwise
        loud.set_params(max_epochs=3).fit(X, y)
        numbers = [
            line.split(":")[0].split("] ")[1] for line in capsys.readouterr().out.splitlines()
        ]
        assert numbers == ["epoch 2 of 3", "epoch 3 of 3"]


@each(TRANSFORMERS)
def test_transformers_pickle_once_fitted(estimator):
    X = records()
    fitted = clone(estimator).fit(X)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.transform(X), fitted.transform(X))


@each(TRANSFORMERS)
def test_transform_leaves_X_alone(estimator):
    X = records()
    transformed(estimator, X)[:] = 7.0  # what comes out is not a view of what went in
    np.testing.assert_array_equal(X, records())


@pytest.mark.parametrize("dtype", [np.float64, np.int16])
@each(TRANSFORMERS)
def test_the_same_records_in_another_dtype_give_the_same(estimator, dtype):
    expected = transformed(estimator, records())
    actual = transformed(estimator, records(dtype=dtype))
    np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


@each(TRANSFORMERS)
def test_records_on_disk_give_the_same_and_are_never_read_whole(estimator, tmp_path):
    X = records(n_records=300)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    expected = transformed(estimator, X)
    np.testing.assert_allclose(transformed(estimator, mapped), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(transformed(estimator, OnDisk(X)), expected, rtol=1e-5, atol=1e-5)


@each(TRANSFORMERS)
def test_one_lead_is_taken_in_either_form(estimator):
    X = records(n_leads=1)
    flat = X[:, 0]
    for first, second in ((X, flat), (flat, X)):
        fitted = clone(estimator).fit(first)
        np.testing.assert_array_equal(fitted.transform(second), fitted.transform(first))


@each(TRANSFORMERS)
def test_a_refused_fit_does_not_look_fitted(estimator):
    fitted = clone(estimator).fit(records())
    with pytest.raises(ValueError, match=THE_GAP):
        fitted.fit(with_a_gap())
    with pytest.raises(NotFittedError):
        fitted.transform(records())


@each(TRAINED)
def test_a_gap_that_is_met_while_training_leaves_nothing_that_looks_fitted(estimator, tmp_path):
    X = records(n_records=1100)  # on disk, whose values are looked at when they are read
    row = np.setdiff1d(np.arange(1100), np.linspace(0, 1099, 1024).astype(int))[0]
    X[row, 1, 5] = np.nan  # not one of the thousand that some look at before they train
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    estimator = clone(estimator)
    with pytest.raises(ValueError, match=rf"(record|image) {row}, (lead|line) 1, .* 5"):
        estimator.fit(mapped, np.arange(1100) % 2)
    with pytest.raises(NotFittedError):
        check_is_fitted(estimator)


@each(TRANSFORMERS)
def test_two_dimensions_are_one_lead(estimator):
    X = records(n_leads=1)
    three, two = transformed(estimator, X), transformed(estimator, X[:, 0])
    np.testing.assert_array_equal(two, three.reshape(two.shape))
    assert two.ndim == 2


@each(TRANSFORMERS)
def test_records_do_not_influence_each_other(estimator):
    X = records()
    fitted = clone(estimator).fit(X)
    together = fitted.transform(X)
    apart = np.concatenate([fitted.transform(X[i : i + 1]) for i in range(len(X))])
    np.testing.assert_allclose(together, apart, rtol=1e-4, atol=1e-4 * np.abs(apart).max())


def with_a_gap():
    X = records()
    X[3, 1, 5] = np.nan
    return X


@each(ESTIMATORS)
def test_fit_refuses_nan_and_names_the_record(estimator):
    with pytest.raises(ValueError, match=THE_GAP):
        clone(estimator).fit(with_a_gap(), [0, 1, 0, 1, 0])


@each(ESTIMATORS)
def test_a_fitted_estimator_refuses_nan_and_names_the_record(estimator):
    fitted = clone(estimator).fit(records(), [0, 1, 0, 1, 0])
    y = [[0, 1, 0, 1, 0]] if hasattr(fitted, "fit_resample") else []
    with pytest.raises(ValueError, match=THE_GAP):
        next(getattr(fitted, name) for name in USES if hasattr(fitted, name))(with_a_gap(), *y)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@each(SIGNAL_TRANSFORMERS)
def test_signals_keep_their_precision(estimator, dtype):
    assert transformed(estimator, records(dtype=dtype)).dtype == dtype
    assert np.dtype(dtype).name in get_tags(estimator).transformer_tags.preserves_dtype


@each(SIGNAL_TRANSFORMERS)
def test_flat_records_stay_finite(estimator):
    flat = np.full((2, 3, 300), 1.7, dtype=np.float32)
    assert np.isfinite(transformed(estimator, flat)).all()


@each(ESTIMATORS)
def test_a_notebook_shows_the_parameters_and_whether_it_is_fitted(estimator):
    shown = estimator._repr_html_()
    assert type(estimator).__name__ in shown
    assert "Not fitted" in shown
    assert all(f">{name}" in shown for name in estimator.get_params(deep=False))
    assert "href=" not in shown  # scikit-learn has no page of it


def test_a_notebook_shows_what_was_learnt():
    shown = BELLPretrainer(max_epochs=0).fit(records())._repr_html_()
    assert "Not fitted" not in shown
    assert all(f">{name}" in shown for name in ("n_features_in_", "history_", "lead0_0"))


def test_every_kind_of_public_estimator_is_found():
    names = {type(estimator).__name__ for estimator in ESTIMATORS}
    assert {"BandpassFilter", "ECGFeatures", "LeadSelector", "Resampler"} <= names
    assert len(SIGNAL_TRANSFORMERS) >= 5
