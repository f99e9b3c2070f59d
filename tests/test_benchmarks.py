"""Metrics, draws of labels, subsets of records and stored figures of the benchmarks."""

import json
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import wfdb
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
rng = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def benchmarks_on_path(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield
    names = {path.stem for path in BENCHMARKS.glob("*.py")}
    for name in names & sys.modules.keys():
        del sys.modules[name]


@pytest.fixture
def three_leads():
    from sklearn_bell.datasets import make_ecg

    return make_ecg(5, leads=["I", "II", "III"], sampling_rate=100, random_state=0).data


def test_bootstrap_metrics_equal_scikit_learn():
    from _common import bootstrap_auroc, bootstrap_metrics

    y = rng.integers(0, 2, (200, 3))
    y[:, 2] = np.arange(200) < 2  # missing from many samples of patients
    scores = np.round(rng.random(y.shape) + 0.3 * y, 1)  # with ties
    groups = np.arange(200) // 2
    metrics = bootstrap_metrics(y, [(scores, scores > 0.6)], groups)
    expected = {
        "auroc": roc_auc_score(y, scores),
        "auprc": average_precision_score(y, scores),
        "f1": f1_score(y, scores > 0.6, average="macro"),
    }
    assert {name: value for name, (value, _) in metrics.items()} == pytest.approx(expected)
    assert np.isfinite([samples for _, samples in metrics.values()]).all()
    # the mean of two classes that are always present and one that may be missing
    assert metrics["auroc"][1].min() > 0.5
    value, samples = bootstrap_auroc(y, [scores, scores], groups)
    assert value == pytest.approx(expected["auroc"])
    np.testing.assert_allclose(samples, metrics["auroc"][1])


def test_best_thresholds_missing_class_is_half():
    from _common import best_thresholds

    y = np.stack([np.arange(20) > 9, np.zeros(20)], axis=1)
    assert best_thresholds(y, y + 0.01 * rng.random(y.shape))[1] == 0.5


def test_predict_scores_class_without_positives_is_zero():
    from _common import predict_scores

    X, y = rng.random((30, 4)), np.stack([rng.integers(0, 2, 30), np.zeros(30, int)], axis=1)
    y = np.c_[y, np.ones(30, int)]
    scores = predict_scores(ExtraTreesClassifier(10).fit(X, y), X)
    assert scores.shape == (30, 3)
    assert not scores[:, 1].any()
    assert (scores[:, 2] == 1).all()


def test_draw_subset_takes_whole_patients():
    from _common import draw_subset

    groups = rng.integers(0, 60, 200)
    rows = draw_subset(groups, 50)
    assert 45 < len(rows) <= 50
    np.testing.assert_array_equal(rows, np.flatnonzero(np.isin(groups, groups[rows])))
    np.testing.assert_array_equal(rows, draw_subset(groups, 50))


@pytest.mark.parametrize("n_records", [0, 200, 1000])
def test_draw_subset_takes_all_records(n_records):
    from _common import draw_subset

    np.testing.assert_array_equal(draw_subset(np.arange(200), n_records), np.arange(200))


def test_draw_patients_contain_every_class():
    from _common import draw_patients

    groups, y = np.repeat(np.arange(50), 2), np.eye(4, dtype=int)[np.arange(100) % 4]
    rows = np.flatnonzero(groups % 5)
    drawn = draw_patients(rows, 0.1, y, groups, seed=0)
    np.testing.assert_array_equal(drawn, rows[np.isin(groups[rows], groups[drawn])])
    assert len(np.unique(groups[drawn])) == 4
    assert y[drawn].any(axis=0).all()
    with pytest.raises(SystemExit, match="Use more records"):
        draw_patients(rows, 0.025, y, groups, seed=0, n_tries=20)


def test_draw_stratified_keeps_patients_and_class_frequencies():
    from _common import draw_stratified

    groups = np.repeat(np.arange(100), 2)
    y = np.eye(4, dtype=int)[rng.choice(4, 200, p=[0.7, 0.15, 0.1, 0.05])]
    rows = np.flatnonzero(groups % 5)
    drawn = draw_stratified(rows, 0.2, y, groups, seed=0)
    assert set(drawn) <= set(rows)
    assert set(np.flatnonzero(np.isin(groups, groups[drawn]))) == set(drawn)
    assert len(np.unique(groups[drawn])) == 16
    np.testing.assert_allclose(y[drawn].mean(axis=0), y[rows].mean(axis=0), atol=0.05)
    np.testing.assert_array_equal(drawn, draw_stratified(rows, 0.2, y, groups, seed=0))


def test_fit_linear_equals_classifier_without_rotation():
    from _common import fit_linear

    X, groups = rng.standard_normal((40, 100)), np.arange(40)
    y = (X[:, :2] + rng.standard_normal((40, 2)) > 0).astype(int)
    model = fit_linear(X, y, groups)
    linear = LogisticRegression(C=model[-1].estimator.C, max_iter=1000)
    plain = OneVsRestClassifier(make_pipeline(StandardScaler(), linear)).fit(X, y)
    X_new = rng.standard_normal((20, 100))
    np.testing.assert_allclose(model.predict_proba(X_new), plain.predict_proba(X_new), atol=1e-3)


def test_cache_array_computes_once(tmp_path):
    from _common import cache_array

    path = tmp_path / "values.npy"
    assert cache_array(path, lambda: np.arange(3)).tolist() == [0, 1, 2]
    assert cache_array(path, pytest.fail).tolist() == [0, 1, 2]
    assert list(tmp_path.iterdir()) == [path]


def test_format_interval_drops_leading_zeros_of_shares():
    from _common import format_difference, format_interval

    samples = np.linspace(0.8, 1.0 - 1e-6, 1001)
    assert format_interval(0.9, samples) == ".900 (.805 to .995)"
    assert format_difference(0.01, samples - 0.9) == "+1.0 (-9.5 to +9.5)"


@pytest.fixture
def task():
    from _protocol import Task

    rng = np.random.default_rng(0)  # every test has the same classes
    X = rng.random((1000, 1, 20)).astype(np.float32)
    y = np.eye(6, dtype=int)[rng.choice(6, 1000, p=[0.4, 0.25, 0.15, 0.15, 0.045, 0.005])]
    split = np.arange(0, 1000, 2), np.arange(1, 1000, 2)
    is_seen = np.arange(1000) % 2 == 0
    return Task("rhythm", X, y, np.arange(1000), is_seen, [split], {20: 2, "10 %": 1, "all": 1})


def test_task_leaves_rare_classes_out(task):
    assert task.y.shape == (1000, 5)


def test_task_draws_contain_every_class(task):
    ((train, _),) = task.splits
    for seed in range(5):
        drawn = task.draw(train, 20, seed)
        assert len(drawn) == 20
        assert set(drawn) <= set(train)
        assert task.y[drawn].any(axis=0).all()
    assert len(task.draw(train, "10 %", 0)) == 50
    np.testing.assert_array_equal(task.draw(train, "all", 0), train)


def test_measure_adds_figures_of_the_predicted_records(task, tmp_path):
    from _protocol import Features, Probe, measure, read_figures

    def flatten():
        return FunctionTransformer(lambda X: X.reshape(len(X), -1)[:, :5])

    task.X[:, 0, :5] = task.y + 0.5 * rng.standard_normal(task.y.shape)
    linear = OneVsRestClassifier(LogisticRegression())
    row = Probe(Features("samples", flatten), lambda seed: linear)
    options = Namespace(out=tmp_path, key="", sizes=None, machine="m")
    measure({"row": row}, task, tmp_path / "figures.json", options)
    cell = read_figures(tmp_path / "figures.json")["row"]["all"]
    ((train, test),) = task.splits
    X = task.X[:, 0, :5]
    model = linear.fit(X[train], task.y[train])
    expected = roc_auc_score(task.y[test], model.predict_proba(X[test]))
    assert cell["by_draw"] == [pytest.approx(expected, abs=1e-5)]


@pytest.mark.parametrize("with_unlabelled", [False, True])
def test_classifier_row_passes_other_records_as_unlabelled(task, with_unlabelled):
    from _protocol import Classifier

    seen = []

    class Recorder(LogisticRegression):
        def fit(self, X, y):
            seen.append((X, y))
            return self

        def predict_proba(self, X):
            return np.zeros((len(X), 5))

    drawn, test = np.arange(0, 40, 2), np.arange(1, 9, 2)
    row = Classifier(lambda seed: Recorder(), with_unlabelled)
    assert row.predict(task, drawn, test, 0, None).shape == (4, 5)
    ((X, y),) = seen
    np.testing.assert_array_equal(X[:20], task.X[drawn])
    np.testing.assert_array_equal(y[:20], task.y[drawn])
    assert len(X) == (500 if with_unlabelled else 20)
    assert (y[20:] == -1).all()


def test_bootstrap_resamples_draws_and_patients():
    from _protocol import bootstrap_auroc

    y = rng.integers(0, 2, (300, 2))
    good, bad = y + rng.standard_normal(y.shape), y + 3 * rng.standard_normal(y.shape)
    by_draw, samples = bootstrap_auroc(y, np.array([good, bad]), np.arange(300))
    assert by_draw == pytest.approx([roc_auc_score(y, good), roc_auc_score(y, bad)])
    assert samples.mean() == pytest.approx(by_draw.mean(), abs=0.02)
    only_patients = bootstrap_auroc(y, np.array([good]), np.arange(300))[1]
    assert samples.std() > 2 * only_patients.std()


def test_rows_are_added_to_stored_figures(tmp_path, capsys):
    from _protocol import missed_marks, print_tables, read_figures, write_figures

    def figure(auroc):
        noise = 0.01 * np.random.default_rng(0).standard_normal(50)
        return {"auroc": auroc, "by_draw": [auroc], "samples": (auroc + noise).tolist(), "run": "r"}

    path = tmp_path / "folder" / "figures.json"
    for row, auroc in (("first", 0.9), ("second", 0.91)):
        figures = read_figures(path)
        figures[row] = {"20": figure(auroc)}
        write_figures(figures, path)
    assert json.loads(path.read_text()) == read_figures(path) == figures
    print_tables(figures, ["first", "second", "not measured"], "first")
    assert "| second | +1.0 (+1.0 to +1.0) |" in capsys.readouterr().out
    assert missed_marks(figures, [("second", "first", (20, "all"))]) == []
    (missed,) = missed_marks(figures, [("first", "second", (20,))])
    assert missed == "first - second, 20: -1.0 (-1.0 to -1.0)"


def test_committed_figures_are_of_known_rows_and_meet_their_marks():
    import bench_fold8 as bench
    from _protocol import FIGURES, missed_marks, read_figures

    figures = read_figures(FIGURES / "fold8-superdiagnostic.json")
    assert figures
    assert set(figures) <= set(bench.ROWS)
    assert missed_marks(figures, bench.MARKS) == []


def test_average_row_is_the_mean_of_its_rows(task):
    from _protocol import Average, Classifier

    class Constant(LogisticRegression):
        def fit(self, X, y):
            return self

        def predict_proba(self, X):
            return np.full((len(X), 5), self.C)

    rows = [Classifier(lambda seed, C=C: Constant(C=C)) for C in (0.2, 0.6)]
    drawn, test = np.arange(10), np.arange(10, 14)
    assert Average(*rows).predict(task, drawn, test, 0, None) == pytest.approx(np.full((4, 5), 0.4))


def test_reconstruction_correlation_and_amplitude(three_leads):
    from bench_reconstruction import amplitude_errors, correlations

    x = three_leads
    y = x + 0.1 * rng.normal(size=x.shape).astype(np.float32)
    expected = np.empty((5, 3))
    for record, lead in np.ndindex(5, 3):
        expected[record, lead] = np.corrcoef(x[record, lead], y[record, lead])[0, 1]
    np.testing.assert_allclose(correlations(x, y), expected, rtol=1e-4)
    np.testing.assert_allclose(amplitude_errors(x, 0.9 * x), 0.1, rtol=1e-3)


def test_fidelity_nearest_distance_of_copies_is_zero(three_leads):
    from bench_fidelity import nearest_distance

    x, y = three_leads, np.ones((5, 1), int)
    assert nearest_distance(x, y, x, y) == 0
    assert nearest_distance(2 * x, y, x, y) == pytest.approx(0.5)


def test_fidelity_einthoven_error_detects_inverted_lead(three_leads):
    from bench_fidelity import einthoven_error

    assert einthoven_error(three_leads) < 0.1  # noise of electrodes
    assert einthoven_error(three_leads * [[1], [1], [-1]]) > 0.5


def test_fidelity_qrs_widths_separate_bundle_branch_block():
    from bench_fidelity import qrs_widths

    from sklearn_bell.datasets import make_ecg

    normal, block = (
        make_ecg(20, classes=[name], leads=["I", "V1"], sampling_rate=100, random_state=0).data
        for name in ("normal", "lbbb")
    )
    widths = [np.nanmedian(qrs_widths(x)) for x in (normal, block)]
    assert 0.05 < widths[0] < 0.12 < widths[1]


def test_rare_class_alternatives_share_sources(three_leads):
    from bench_rare_classes import make_sampler

    from sklearn_bell import VQVAETransformer

    x = three_leads.repeat(8, axis=0) * rng.uniform(0.5, 2, (40, 1, 1))
    x, y = x.astype(np.float32), np.zeros((40, 2), int)
    y[:20, 0], y[15:, 1] = 1, 1
    vqvae = VQVAETransformer(n_codes=16, width=8, n_features=8, max_epochs=1, random_state=0).fit(x)
    records, samplers = {}, {}
    for method in ("random", "jitter", "mixup", "SMOTE", "interpolate", "sample"):
        samplers[method] = make_sampler(method, vqvae, y, n_raised=90, seed=0)
        resampled, y_resampled = samplers[method].fit_resample(x, y)
        assert (y_resampled.sum(axis=0) >= 90).all()
        records[method] = resampled[40:]
    np.testing.assert_array_equal(records["random"], x[samplers["random"].parents_[:, 0]])
    for plain, ours in (("mixup", "interpolate"), ("random", "sample"), ("jitter", "sample")):
        np.testing.assert_array_equal(samplers[plain].parents_, samplers[ours].parents_)
    first, second = x[samplers["mixup"].parents_.T]
    alpha = samplers["mixup"].alpha_[:, None, None]
    np.testing.assert_allclose(records["mixup"], first + alpha * (second - first), atol=1e-4)
    assert 0 < np.abs(records["jitter"] - records["random"]).mean() < 0.2


def test_plain_bell_has_the_sizes_of_the_default_encoder():
    import torch
    from _plain_bell import PlainBELL, PlainResNet, plain_fit, plain_transform

    from sklearn_bell import BELLPretrainer
    from sklearn_bell.nn.encoders import ResNet1d

    def n_weights(module):
        return sum(tensor.numel() for tensor in module.parameters() if tensor.requires_grad)

    assert n_weights(PlainResNet()) == n_weights(ResNet1d())
    X = rng.normal(0, 0.2, (8, 2, 200)).astype(np.float32)
    model = plain_fit(X, torch.device("cpu"), batch_size=4)
    assert isinstance(model, PlainBELL)
    bell = BELLPretrainer(max_epochs=0, random_state=0).fit(X)
    latents = plain_transform(model.eval(), X, torch.device("cpu"))
    assert latents.shape == bell.transform(X).shape


@pytest.mark.slow
def test_checkout_times_its_own_package(tmp_path):
    import torch
    from bench_throughput import Checkout

    root, cpu = BENCHMARKS.parent, torch.device("cpu")
    checkout = Checkout(root, cpu, n_records=8)
    assert checkout.time("fit float32") > 0
    assert checkout.time("transform float32") > 0
    checkout.close()
    with pytest.raises(SystemExit, match="root folder of a checkout"):
        Checkout(tmp_path, cpu, n_records=8)


# bench_delineation


@pytest.fixture
def marked_record(tmp_path):
    """Write marks on twelve leads: five beats, later by 4 ms in each lead; one lead has no P."""
    from bench_delineation import LEADS

    for number, lead in enumerate(LEADS):
        times, symbols = [], []
        for beat in 1000 * np.arange(1, 6) + 4 * number:
            waves = {"p": (-160, -110, -60), "N": (-40, 0, 60), "t": (200, 280, 360)}
            for symbol, (onset, peak, offset) in waves.items():
                if symbol != "p" or number < 11:
                    times += [beat + onset, beat + peak, beat + offset]
                    symbols += ["(", symbol, ")"]
        samples = np.array(times) // 2  # 500 Hz
        wfdb.wrann("record", "marks", samples, symbol=symbols, fs=500, write_dir=str(tmp_path))
        (tmp_path / "record.marks").rename(tmp_path / f"record.{lead}")  # wfdb rejects "v1"
    return tmp_path / "record"


def test_boundaries_of_leads_read_the_marks(marked_record):
    from bench_delineation import boundaries_of_leads

    bounds = boundaries_of_leads(marked_record)
    shift = 4 * np.arange(12) - 22  # the beat is the median of 0, 4, ..., 44 ms
    expected = np.array([-160, -60, -40, 60, 200, 360]) + shift[:, None]
    np.testing.assert_allclose(bounds[:11], expected[:11])
    np.testing.assert_allclose(bounds[11], [np.nan, np.nan, *expected[11, 2:]])


@pytest.mark.parametrize(
    ("rule", "qrs", "pr"), [("extreme", 144, 120), ("third", 128, 120), ("median", 100, 122)]
)
def test_join_leads_follows_the_rule(marked_record, rule, qrs, pr):
    from bench_delineation import boundaries_of_leads, intervals, join_leads

    bounds = boundaries_of_leads(marked_record)[None]
    actual = intervals(join_leads(bounds, rule))[0]
    np.testing.assert_allclose(actual[:2], [qrs, pr])


def test_summarize_counts_missing_estimates_as_errors():
    from bench_delineation import summarize

    true = np.array([100, 100, 100, np.nan])
    text, median = summarize(np.array([104, 90, np.nan, 5]), true)
    assert median == 10
    assert "1 of 3 missing" in text
    assert summarize(np.array([104, np.nan, np.nan, 5]), true)[1] == np.inf
