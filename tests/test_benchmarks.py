"""What the published figures rest on: metrics, draws of labels, and which records count."""

import sys
from argparse import Namespace
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

rng = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    yield
    for name in [name for name in sys.modules if name.startswith(("_common", "bench_"))]:
        del sys.modules[name]


def test_metrics_of_draws_equal_those_of_scikit_learn():
    from _common import metrics_by_bootstrap

    y = rng.integers(0, 2, (200, 3))
    y[:, 2] = np.arange(200) < 2  # missing from many draws of patients
    scores = np.round(rng.random(y.shape) + 0.3 * y, 1)  # many are equal
    found = metrics_by_bootstrap(y, [(scores, scores > 0.6)], np.arange(200) // 2)
    expected = {
        "auroc": roc_auc_score(y, scores),
        "auprc": average_precision_score(y, scores),
        "f1": f1_score(y, scores > 0.6, average="macro"),
    }
    for metric, value in expected.items():
        assert found[metric][0] == pytest.approx(value)
        assert np.isfinite(found[metric][1]).all()
    # of two classes that are always there and one that may be missing, the mean stays in between
    assert found["auroc"][1].min() > 0.5


def test_a_class_that_is_missing_has_a_plain_threshold():
    from _common import best_thresholds

    y = np.stack([np.arange(20) > 9, np.zeros(20)], axis=1)
    assert best_thresholds(y, y + 0.01 * rng.random(y.shape))[1] == 0.5


def test_a_class_without_positives_has_probability_zero():
    from _common import scores_of

    X, y = rng.random((30, 4)), np.stack([rng.integers(0, 2, 30), np.zeros(30, int)], axis=1)
    y = np.c_[y, np.ones(30, int)]
    scores = scores_of(ExtraTreesClassifier(10).fit(X, y), X)
    assert scores.shape == (30, 3)
    assert not scores[:, 1].any()
    assert (scores[:, 2] == 1).all()


def test_drawn_patients_are_whole_and_of_all_classes():
    from _common import draw_alike

    groups = np.repeat(np.arange(100), 2)
    y = np.eye(4, dtype=int)[rng.choice(4, 200, p=[0.7, 0.15, 0.1, 0.05])]
    rows = np.flatnonzero(groups % 5)
    drawn = draw_alike(rows, 0.2, y, groups, seed=0)
    assert set(drawn) <= set(rows)
    assert set(np.flatnonzero(np.isin(groups, groups[drawn]))) == set(drawn)
    assert len(np.unique(groups[drawn])) == 16
    np.testing.assert_allclose(y[drawn].mean(axis=0), y[rows].mean(axis=0), atol=0.05)
    np.testing.assert_array_equal(drawn, draw_alike(rows, 0.2, y, groups, seed=0))


def test_rotated_features_give_the_same_classifier():
    from _common import fit_linear

    X, groups = rng.standard_normal((40, 100)), np.arange(40)
    y = (X[:, :2] + rng.standard_normal((40, 2)) > 0).astype(int)
    found = fit_linear(X, y, groups)
    linear = LogisticRegression(C=found[-1].estimator.C, max_iter=1000)
    plain = OneVsRestClassifier(make_pipeline(StandardScaler(), linear)).fit(X, y)
    others = rng.standard_normal((20, 100))
    np.testing.assert_allclose(found.predict_proba(others), plain.predict_proba(others), atol=1e-3)


def test_no_finding_is_a_label_in_ludb_but_none_in_ptbxl():
    from bench_label_efficiency import Task

    target = np.array([[1, 0], [0, 0], [0, 1], [-1, -1]])
    groups = np.arange(4)
    ludb = Task("ludb-hypertrophy", None, target, groups, groups)
    ptbxl = Task("ptbxl-superdiagnostic", None, target, groups, groups)
    assert ludb.labelled.tolist() == [True, True, True, False]
    assert ptbxl.labelled.tolist() == [True, False, True, False]


def test_seeds_and_methods_of_different_days_give_the_table_of_one(tmp_path, monkeypatch):
    import bench_label_efficiency as bench
    from _common import metrics_by_bootstrap

    groups = np.repeat(np.arange(40), 2)
    y = np.eye(3, dtype=int)[rng.integers(0, 3, 80)]
    task = bench.Task("ptbxl-rhythm", np.empty((80, 1, 1)), y, groups, groups % 2)
    found = {
        (name, seed): (scores := y + rng.standard_normal(y.shape), scores > 0.5)
        for name in ("BELL", "hand-made")
        for seed in (0, 1)
    }
    monkeypatch.setattr(bench, "gather", lambda name, seed, *_: found[name, seed])
    options = Namespace(
        out=tmp_path, figures=tmp_path / "figures", seeds=[0, 1], methods=["BELL", "hand-made"],
        protocols=["linear"], fractions=[1.0], folds=[1, 2], device="cpu", precision="auto",
        max_epochs=None, pretrainings=2, ptbxl=task,
    )  # fmt: skip
    for name, seed in found:
        file = bench.file_of(name, seed, 0, options)
        file.parent.mkdir(exist_ok=True)
        joblib.dump({"epochs": 2, "seconds": 4.0, "megabytes": 1.0, "machine": "a"}, file)
        bench.keep_figures(name, seed, [task], [0], options)
    table = bench.tabulate([task], options)

    both = {
        name: metrics_by_bootstrap(y, [found[name, 0], found[name, 1]], groups)
        for name in options.methods
    }
    for line in table.itertuples():
        value, samples = both[line.method][line.metric]
        best, of_best = both["BELL"][line.metric]
        assert line.value == pytest.approx(value)
        assert line.minus_bell == pytest.approx(value - best)
        for given, draws in (
            ((line.low, line.high), samples),
            ((line.minus_bell_low, line.minus_bell_high), samples - of_best),
        ):
            assert given == pytest.approx(np.quantile(draws, (0.025, 0.975)), abs=1e-4)
    assert len(table) == 6
    assert bench.costs(options)["seconds_per_epoch"].tolist() == [2.0, 2.0]


def beats_of_three_leads():
    from sklearn_bell.datasets import make_ecg

    return make_ecg(5, leads=["I", "II", "III"], sampling_rate=100, random_state=0).data


def test_reconstructions_are_compared_by_correlation_and_amplitude():
    from bench_reconstruction import amplitude_errors, correlations

    x = beats_of_three_leads()
    y = x + 0.1 * rng.normal(size=x.shape).astype(np.float32)
    expected = np.empty((5, 3))
    for record, lead in np.ndindex(5, 3):
        expected[record, lead] = np.corrcoef(x[record, lead], y[record, lead])[0, 1]
    np.testing.assert_allclose(correlations(x, y), expected, rtol=1e-4)
    np.testing.assert_allclose(amplitude_errors(x, 0.9 * x), 0.1, rtol=1e-3)


def test_fidelity_knows_copies_leads_that_do_not_add_up_and_broad_complexes():
    from bench_fidelity import einthoven, nearest, qrs_widths

    from sklearn_bell.datasets import make_ecg

    x, y = beats_of_three_leads(), np.ones((5, 1), int)
    assert nearest(x, y, x, y) == 0
    assert nearest(2 * x, y, x, y) == pytest.approx(0.5)
    assert einthoven(x) < 0.1  # noise of electrodes
    assert einthoven(x * [[1], [1], [-1]]) > 0.5
    normal, block = (
        make_ecg(20, classes=[name], leads=["I", "V1"], sampling_rate=100, random_state=0).data
        for name in ("normal", "lbbb")
    )
    widths = [np.nanmedian(qrs_widths(x)) for x in (normal, block)]
    assert 0.05 < widths[0] < 0.12 < widths[1]


def test_plain_alternatives_are_made_of_the_same_parents_as_ours():
    from bench_rare_classes import sampler_of

    from sklearn_bell import VQVAETransformer

    x = beats_of_three_leads().repeat(8, axis=0) * rng.uniform(0.5, 2, (40, 1, 1))
    x, y = x.astype(np.float32), np.zeros((40, 2), int)
    y[:20, 0], y[15:, 1] = 1, 1
    vqvae = VQVAETransformer(n_codes=16, width=8, n_features=8, max_epochs=1, random_state=0).fit(x)
    made, samplers = {}, {}
    for method in ("random", "jitter", "mixup", "SMOTE", "interpolate", "sample"):
        samplers[method] = sampler_of(method, vqvae, y, n_raised=90, seed=0)
        new, y_new = samplers[method].fit_resample(x, y)
        assert (y_new.sum(axis=0) >= 90).all()
        made[method] = new[40:]
    np.testing.assert_array_equal(made["random"], x[samplers["random"].parents_[:, 0]])
    for one, other in (("mixup", "interpolate"), ("random", "sample"), ("jitter", "sample")):
        np.testing.assert_array_equal(samplers[one].parents_, samplers[other].parents_)
    first, second = x[samplers["mixup"].parents_.T]
    alpha = samplers["mixup"].alpha_[:, None, None]
    np.testing.assert_allclose(made["mixup"], first + alpha * (second - first), atol=1e-4)
    assert 0 < np.abs(made["jitter"] - made["random"]).mean() < 0.2
