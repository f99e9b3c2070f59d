"""Properties common to all public estimators and docstrings, found through ``__all__``."""

import doctest
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
from sklearn_bell.classification import ECGClassifier
from sklearn_bell.feature_extraction import ECGFeatures
from sklearn_bell.preprocessing import BandpassFilter, RecordScaler
from sklearn_bell.preprocessing._base import SignalTransformer
from sklearn_bell.pretraining import BELLPretrainer

# loaders and networks have tests of their own
MODULES = [
    "sklearn_bell." + module.name
    for module in pkgutil.iter_modules(sklearn_bell.__path__)
    if module.name not in {"__main__", "datasets", "nn"} and not module.name.startswith("_")
]


def public_estimators():
    """Return an instance of each public estimator class, with one epoch if it trains."""
    estimators = {}
    for name in MODULES:
        module = importlib.import_module(name)
        for public in getattr(module, "__all__", ()):
            candidate = getattr(module, public)
            is_estimator = inspect.isclass(candidate) and issubclass(candidate, BaseEstimator)
            if is_estimator and not inspect.isabstract(candidate):
                estimators[public] = candidate()
    for estimator in estimators.values():
        if "max_epochs" in estimator.get_params(deep=False):
            estimator.set_params(max_epochs=1)
    return [estimators[name] for name in sorted(estimators)]


ESTIMATORS = public_estimators()
TRANSFORMERS = [estimator for estimator in ESTIMATORS if hasattr(estimator, "transform")]
TRAINED = [
    estimator for estimator in ESTIMATORS if "max_epochs" in estimator.get_params(deep=False)
]
SIGNAL_TRANSFORMERS = [
    estimator for estimator in TRANSFORMERS if isinstance(estimator, SignalTransformer)
]
PIPELINES = [
    make_pipeline(BandpassFilter(), RecordScaler(), ECGFeatures()),
    make_pipeline(RecordScaler(), BELLPretrainer(max_epochs=1, random_state=0)),
]
METHODS = ("transform", "predict", "fit_resample")
GAP = "(record 3, lead 1, sample 5|image 3, line 1, column 5)"


class OnDisk:
    """The interface of h5py and zarr arrays; reading the whole array is an error."""

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
    return pytest.mark.parametrize(
        "estimator", estimators, ids=lambda estimator: type(estimator).__name__
    )


def records(n_leads=3, n_samples=300, dtype=np.float32, n_records=5):
    """Make beats and noise of whole numbers, which an integer dtype represents exactly."""
    rng = np.random.default_rng(0)
    X = rng.integers(-100, 100, (n_records, n_leads, n_samples))
    X[..., 40::80] += 1000
    return X.astype(dtype)


def without_gaps(estimators):
    """Return the estimators that reject NaN."""
    return [e for e in estimators if not get_tags(e).input_tags.allow_nan]


def records_with_gap():
    X = records()
    X[3, 1, 5] = np.nan
    return X


def transformed(estimator, X):
    estimator = clone(estimator)
    if "random_state" in estimator.get_params(deep=False):
        estimator.set_params(random_state=0)
    return estimator.fit(X).transform(X)


def expected_to_fail(estimator):
    """Return the checks of scikit-learn that cannot hold, with the reason."""
    if isinstance(estimator, ECGClassifier):
        reason = "mini-batches and trees draw rows, so a weight of 2 is not a row given twice"
        return {"check_sample_weight_equivalence_on_dense_data": reason}
    return {}


@checks.parametrize_with_checks(ESTIMATORS, expected_failed_checks=expected_to_fail)
def test_estimator_passes_scikit_learn_checks(estimator, check):
    check(estimator)


@checks.parametrize_with_checks(
    PIPELINES,
    expected_failed_checks=lambda pipeline: dict.fromkeys(
        ["check_dont_overwrite_parameters", "check_estimators_overwrite_params"],
        "scikit-learn expects both of every Pipeline, which changes its `steps`",
    ),
)
def test_pipeline_passes_scikit_learn_checks(estimator, check):
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
def test_estimator_passes_checks_outside_check_estimator(estimator, check):
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
def test_output_passes_checks_outside_check_estimator(estimator, check):
    with warnings.catch_warnings():  # the checks fit on a dataframe and transform an array
        warnings.filterwarnings("ignore", message="X (does not have valid|has) feature names")
        check(type(estimator).__name__, estimator)


@each(ESTIMATORS)
def test_training_estimator_has_epochs_batches_and_a_seed(estimator):
    parameters = estimator.get_params(deep=False).keys()
    if {"max_epochs", "batch_size", "lr", "encoder"} & parameters:
        assert parameters >= {"max_epochs", "batch_size", "random_state"}


@each(TRAINED)
def test_verbose_prints_a_line_per_epoch_and_keeps_the_weights(estimator, capsys):
    X, name = records(n_records=8), type(estimator).__name__
    estimator = clone(estimator).set_params(max_epochs=2, random_state=0)
    quiet = clone(estimator).fit(X, [0, 1] * 4)
    assert capsys.readouterr() == ("", "")
    verbose = clone(estimator).set_params(verbose=True).fit(X, [0, 1] * 4)
    out, err = capsys.readouterr()
    assert err == ""
    assert out.splitlines() == [
        f"[{name}] epoch {number} of 2: loss {epoch['loss']:.4g}, {epoch['duration']:.1f} s"
        for number, epoch in enumerate(verbose.history_, 1)
    ]
    weights = verbose._net.module_.state_dict()
    for key, expected in quiet._net.module_.state_dict().items():
        np.testing.assert_array_equal(weights[key].cpu(), expected.cpu(), err_msg=key)


@each(TRAINED)
def test_verbose_fit_resumes_the_checkpoint_of_a_quiet_fit(estimator, tmp_path, capsys):
    X, y = records(n_records=8), [0, 1] * 4
    estimator = clone(estimator).set_params(random_state=0, checkpoint=tmp_path)
    if hasattr(estimator, "predict"):  # its pretrainer has a parameter verbose, too
        estimator.set_params(pretrainer=BELLPretrainer(max_epochs=0, random_state=0))
    clone(estimator).fit(X, y)
    files = sorted(tmp_path.iterdir())
    names = [name for name in estimator.get_params() if name.split("__")[-1] == "verbose"]
    verbose = clone(estimator).set_params(**dict.fromkeys(names, 1)).fit(X, y)
    assert sorted(tmp_path.iterdir()) == files
    assert capsys.readouterr().out == ""  # no epoch is left
    if not hasattr(verbose, "inverse_transform"):  # the schedule of a VQ-VAE depends on max_epochs
        verbose.set_params(max_epochs=3).fit(X, y)
        lines = capsys.readouterr().out.splitlines()
        epochs = [line.split(":")[0].split("] ")[1] for line in lines]
        assert epochs == ["epoch 2 of 3", "epoch 3 of 3"]


@each(TRANSFORMERS)
def test_fitted_transformer_pickles(estimator):
    X = records()
    fitted = clone(estimator).fit(X)
    restored = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(restored.transform(X), fitted.transform(X))


@each(TRANSFORMERS)
def test_transform_returns_no_view_of_X(estimator):
    X = records()
    transformed(estimator, X)[:] = 7.0
    np.testing.assert_array_equal(X, records())


@pytest.mark.parametrize("dtype", [np.float64, np.int16])
@each(TRANSFORMERS)
def test_transform_does_not_depend_on_dtype(estimator, dtype):
    expected = transformed(estimator, records())
    actual = transformed(estimator, records(dtype=dtype))
    np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


@each(TRANSFORMERS)
def test_records_on_disk_are_read_in_batches(estimator, tmp_path):
    X = records(n_records=300)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    expected = transformed(estimator, X)
    np.testing.assert_allclose(transformed(estimator, mapped), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(transformed(estimator, OnDisk(X)), expected, rtol=1e-5, atol=1e-5)


@each(TRANSFORMERS)
def test_one_lead_in_two_or_three_dimensions_gives_equal_features(estimator):
    X = records(n_leads=1)
    flat = X[:, 0]
    from_flat, from_3d = clone(estimator).fit(flat), clone(estimator).fit(X)
    np.testing.assert_array_equal(from_3d.transform(flat), from_3d.transform(X))
    np.testing.assert_array_equal(from_flat.transform(X), from_flat.transform(flat))
    expected = transformed(estimator, X)
    actual = transformed(estimator, flat)
    assert actual.ndim == 2
    np.testing.assert_array_equal(actual, expected.reshape(actual.shape))


@each(without_gaps(TRANSFORMERS))
def test_failed_fit_leaves_the_transformer_unfitted(estimator):
    fitted = clone(estimator).fit(records())
    with pytest.raises(ValueError, match=GAP):
        fitted.fit(records_with_gap())
    with pytest.raises(NotFittedError):
        fitted.transform(records())


@each(TRAINED)
def test_gap_read_in_training_leaves_the_estimator_unfitted(estimator, tmp_path):
    X = records(n_records=1100)
    # a record on disk outside of the sample of about a thousand that is read before training
    row = np.setdiff1d(np.arange(1100), np.linspace(0, 1099, 1024).astype(int))[0]
    X[row, 1, 5] = np.nan
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    estimator = clone(estimator)
    with pytest.raises(ValueError, match=rf"(record|image) {row}, (lead|line) 1, .* 5"):
        estimator.fit(mapped, np.arange(1100) % 2)
    with pytest.raises(NotFittedError):
        check_is_fitted(estimator)


@each(TRANSFORMERS)
def test_records_are_transformed_independently(estimator):
    X = records()
    fitted = clone(estimator).fit(X)
    together = fitted.transform(X)
    apart = np.concatenate([fitted.transform(X[i : i + 1]) for i in range(len(X))])
    np.testing.assert_allclose(together, apart, rtol=1e-4, atol=1e-4 * np.abs(apart).max())


@each(without_gaps(ESTIMATORS))
def test_fit_rejects_nan_and_names_the_record(estimator):
    with pytest.raises(ValueError, match=GAP):
        clone(estimator).fit(records_with_gap(), [0, 1, 0, 1, 0])


@each(without_gaps(ESTIMATORS))
def test_fitted_estimator_rejects_nan_and_names_the_record(estimator):
    fitted = clone(estimator).fit(records(), [0, 1, 0, 1, 0])
    method = next(getattr(fitted, name) for name in METHODS if hasattr(fitted, name))
    y = [[0, 1, 0, 1, 0]] if hasattr(fitted, "fit_resample") else []
    with pytest.raises(ValueError, match=GAP):
        method(records_with_gap(), *y)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@each(SIGNAL_TRANSFORMERS)
def test_signal_transformer_keeps_the_dtype(estimator, dtype):
    assert transformed(estimator, records(dtype=dtype)).dtype == dtype
    assert np.dtype(dtype).name in get_tags(estimator).transformer_tags.preserves_dtype


@each(SIGNAL_TRANSFORMERS)
def test_signal_transformer_keeps_flat_records_finite(estimator):
    flat = np.full((2, 3, 300), 1.7, dtype=np.float32)
    assert np.isfinite(transformed(estimator, flat)).all()


@each(ESTIMATORS)
def test_html_shows_the_parameters_of_an_unfitted_estimator(estimator):
    html = estimator._repr_html_()
    assert type(estimator).__name__ in html
    assert "Not fitted" in html
    assert all(f">{name}" in html for name in estimator.get_params(deep=False))
    assert "href=" not in html  # scikit-learn has no page about it


def test_html_shows_fitted_attributes():
    html = BELLPretrainer(max_epochs=0).fit(records())._repr_html_()
    assert "Not fitted" not in html
    assert all(f">{name}" in html for name in ("n_features_in_", "history_", "lead0_0"))


def test_public_estimators_of_every_kind_are_tested():
    names = {type(estimator).__name__ for estimator in ESTIMATORS}
    assert {"BandpassFilter", "ECGFeatures", "LeadSelector", "Resampler"} <= names
    assert len(SIGNAL_TRANSFORMERS) >= 5


# Examples in docstrings, also of names that a package exports from another module


def public_modules():
    yield sklearn_bell
    for module in pkgutil.walk_packages(sklearn_bell.__path__, "sklearn_bell."):
        if not any(part.startswith("_") for part in module.name.split(".")):
            yield importlib.import_module(module.name)


def with_methods(name, public):
    yield name, public
    for attribute, value in inspect.getmembers(public) if inspect.isclass(public) else ():
        if inspect.isroutine(value) or isinstance(value, property):
            yield f"{name}.{attribute}", value


def public_doctests():
    """Return the examples of all names in all ``__all__`` and of their methods, each once."""
    finder, tests = doctest.DocTestFinder(recurse=False), {}
    for module in public_modules():
        for public in getattr(module, "__all__", ()):
            for name, value in with_methods(public, getattr(module, public)):
                code = getattr(value, "fget", None) or getattr(value, "__func__", value)
                if str(getattr(code, "__module__", "")).startswith("sklearn_bell"):
                    for test in finder.find(code, name, module=False, globs=dict(vars(module))):
                        tests.setdefault(code, test)
    return [test for test in tests.values() if test.examples]


DOCTESTS = public_doctests()


@pytest.mark.parametrize("test", DOCTESTS, ids=lambda test: test.name)
def test_examples_in_docstrings_run(test, figures):
    runner = doctest.DocTestRunner(
        verbose=False, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    )
    report = []
    runner.run(test, out=report.append, clear_globs=False)
    assert not runner.failures, "".join(report)


def test_examples_in_docstrings_are_not_lost():
    assert len(DOCTESTS) >= 81
    assert sum(len(test.examples) for test in DOCTESTS) >= 256
