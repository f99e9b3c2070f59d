"""Programs of other packages that use the estimators; each is skipped without its package."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_bell import BELLPretrainer, ECGClassifier, ECGFeatures
from sklearn_bell.datasets import make_ecg

ecg = make_ecg(40, classes=["normal", "lbbb"], leads=["II", "V1"], duration=5, random_state=0)
X, y = ecg.data, ecg.target
PIPELINE = make_pipeline(
    BELLPretrainer(max_epochs=1, head_width=16, random_state=0),
    StandardScaler(),
    LogisticRegression(),
)
CLASSIFIER = ECGClassifier(max_epochs=1, n_trees=10, random_state=0)


@pytest.fixture(scope="module")
def fitted():
    return PIPELINE.fit(X, y)


def test_optuna_tunes_the_pipeline():
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def objective(trial):
        pipeline = PIPELINE.set_params(
            bellpretrainer__gamma=trial.suggest_float("gamma", 0.1, 0.9),
            logisticregression__C=trial.suggest_float("C", 1e-3, 1, log=True),
        )
        return cross_val_score(pipeline, X, y, cv=2).mean()

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(objective, n_trials=3)
    assert study.best_value > 0.5
    assert set(study.best_params) == {"gamma", "C"}


@pytest.mark.filterwarnings("ignore")
def test_skopt_searches_the_pipeline():
    skopt = pytest.importorskip("skopt")
    spaces = {"logisticregression__C": (1e-3, 1.0, "log-uniform")}
    search = skopt.BayesSearchCV(PIPELINE, spaces, n_iter=2, cv=2, random_state=0).fit(X, y)
    assert search.best_score_ > 0.5


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("model", [PIPELINE, CLASSIFIER], ids=["pipeline", "classifier"])
def test_mlflow_saves_and_loads(model, tmp_path):
    mlflow = pytest.importorskip("mlflow")
    model = model.fit(X, y)
    options = {"serialization_format": "cloudpickle", "pip_requirements": []}
    mlflow.sklearn.save_model(model, tmp_path / "model", **options)
    loaded = mlflow.sklearn.load_model(str(tmp_path / "model"))
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))


@pytest.mark.filterwarnings("ignore")
def test_mapie_calibrates_prediction_sets(fitted):
    classification = pytest.importorskip("mapie.classification")
    conformal = classification.SplitConformalClassifier(
        fitted, confidence_level=0.9, prefit=True, conformity_score="lac"
    )
    conformal.conformalize(X[:20], y[:20])
    predicted, sets = conformal.predict_set(X[20:])
    np.testing.assert_array_equal(predicted, fitted.predict(X[20:]))
    assert sets.shape == (20, 2, 1)


def test_fairlearn_compares_groups(fitted):
    metrics = pytest.importorskip("fairlearn.metrics")
    sex = np.tile(["f", "m"], 20)
    frame = metrics.MetricFrame(
        metrics=accuracy_score, y_true=y, y_pred=fitted.predict(X), sensitive_features=sex
    )
    assert frame.by_group.loc["f"] == accuracy_score(y[::2], fitted.predict(X[::2]))


def test_cleanlab_finds_a_wrong_label():
    filters = pytest.importorskip("cleanlab.filter")
    wrong = y.copy()
    wrong[3] = 1 - wrong[3]
    model = make_pipeline(ECGFeatures(), StandardScaler(), LogisticRegression())
    scores = cross_val_predict(model, X, wrong, cv=4, method="predict_proba")
    assert filters.find_label_issues(wrong, scores)[3]


@pytest.mark.filterwarnings("ignore")
def test_lightgbm_learns_from_features():
    lightgbm = pytest.importorskip("lightgbm")
    trees = lightgbm.LGBMClassifier(n_estimators=5, min_child_samples=2, verbose=-1)
    model = make_pipeline(ECGFeatures().set_output(transform="pandas"), trees)
    assert model.fit(X, y).score(X, y) > 0.9


def test_xarray_records_are_read(fitted):
    xarray = pytest.importorskip("xarray")
    array = xarray.DataArray(X, dims=["record", "lead", "sample"], coords={"lead": ["II", "V1"]})
    np.testing.assert_array_equal(fitted.predict_proba(array), fitted.predict_proba(X))


def test_dask_records_are_read(fitted):
    dask_array = pytest.importorskip("dask.array")
    array = dask_array.from_array(X, chunks=(16, 2, 500))
    np.testing.assert_allclose(fitted.predict_proba(array), fitted.predict_proba(X), rtol=1e-6)


def test_torch_records_are_read(fitted):
    np.testing.assert_array_equal(fitted.predict_proba(torch.as_tensor(X)), fitted.predict_proba(X))


@pytest.mark.parametrize("package", ["h5py", "zarr"])
def test_arrays_on_disk_are_read(package, fitted, tmp_path):
    module = pytest.importorskip(package)
    if package == "h5py":
        array = module.File(tmp_path / "x.h5", "w").create_dataset("x", data=X, chunks=(16, 2, 500))
    else:
        array = module.create_array(tmp_path / "x.zarr", data=X, chunks=(16, 2, 500))
    np.testing.assert_allclose(fitted.predict_proba(array), fitted.predict_proba(X), rtol=1e-6)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_tables_are_returned(library, fitted):
    pytest.importorskip(library)
    latents = BELLPretrainer(max_epochs=0, random_state=0).set_output(transform=library)
    table = latents.fit_transform(X)
    assert type(table).__module__.startswith(library)
    assert list(table.columns) == latents.get_feature_names_out().tolist()


def test_polars_labels_are_read():
    polars = pytest.importorskip("polars")
    text = np.array(["normal", "lbbb"])[y]
    model = make_pipeline(ECGFeatures(), StandardScaler(), LogisticRegression())
    expected = model.fit(X, text).predict(X)
    np.testing.assert_array_equal(model.fit(X, polars.Series(text)).predict(X), expected)


@pytest.mark.filterwarnings("ignore")
def test_onnx_computes_the_same_latents(fitted, tmp_path):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    encoder = fitted[0].encoder_.eval().cpu()
    batch = torch.as_tensor(X[:4])
    path = tmp_path / "encoder.onnx"
    torch.onnx.export(encoder, (batch,), path, input_names=["x"], verbose=False)
    (latents,) = runtime.InferenceSession(str(path)).run(None, {"x": batch.numpy()})
    with torch.no_grad():
        expected = encoder(batch)
    np.testing.assert_allclose(latents, expected.numpy(), rtol=1e-3, atol=1e-4)


def test_captum_attributes_the_latents(fitted):
    attr = pytest.importorskip("captum.attr")
    encoder = fitted[0].encoder_.eval()
    batch = torch.tensor(X[:2], requires_grad=True)
    attribution = attr.Saliency(lambda x: encoder(x).sum(dim=(1, 2))).attribute(batch)
    assert attribution.shape == batch.shape
    assert torch.isfinite(attribution).all()
    assert (attribution != 0).any()


def test_shap_explains_features():
    shap = pytest.importorskip("shap")
    features = ECGFeatures().fit_transform(X)
    model = LogisticRegression().fit(StandardScaler().fit_transform(features), y)
    explainer = shap.LinearExplainer(model, np.zeros((1, features.shape[1])))
    values = explainer.shap_values(StandardScaler().fit_transform(features))
    assert values.shape == features.shape


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_ray_cross_validates():
    ray = pytest.importorskip("ray")
    joblib_backend = pytest.importorskip("ray.util.joblib")
    import joblib

    joblib_backend.register_ray()
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        with joblib.parallel_backend("ray"):
            scores = cross_val_score(PIPELINE, X, y, cv=2, n_jobs=2)
    finally:
        ray.shutdown()
    np.testing.assert_allclose(scores, cross_val_score(PIPELINE, X, y, cv=2))
