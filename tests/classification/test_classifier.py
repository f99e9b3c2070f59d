"""ECGClassifier as users see it: predictions, continued training, scikit-learn."""

import pickle

import numpy as np
import pytest
import sklearn
import torch
from imblearn.pipeline import make_pipeline as make_imblearn_pipeline
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.callback import ProgressBar
from sklearn.ensemble import StackingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    TunedThresholdClassifierCV,
    cross_validate,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline

from sklearn_bell import ECGClassifier, load
from sklearn_bell._utils.labels import hold_out
from sklearn_bell.classification import _fine_tuning
from sklearn_bell.datasets import make_ecg
from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.preprocessing import RecordScaler
from tests.classification._cases import (
    N_RECORDS,
    are_equal,
    copy_weights,
    tiny_classifier,
    tiny_pretrainer,
)


class TestPredictions:
    def test_classes_are_learned(self, X, y):
        classifier = tiny_classifier().fit(X[::2], y[::2])
        assert classifier.score(X[1::2], y[1::2]) > 0.9
        np.testing.assert_allclose(classifier.predict_proba(X).sum(axis=1), 1)
        logits = classifier.decision_function(X)
        np.testing.assert_array_equal(logits.argmax(axis=1), classifier.predict(X))

    def test_indicator_is_learned(self, X, indicator):
        classifier = tiny_classifier().fit(X[::2], indicator[::2])
        assert classifier.score(X[1::2], indicator[1::2]) > 0.9
        predicted = classifier.predict(X)
        np.testing.assert_array_equal(predicted, classifier.predict_proba(X) > 0.5)
        np.testing.assert_array_equal(predicted, classifier.decision_function(X) > 0)
        np.testing.assert_array_equal(classifier.classes_, [0, 1])

    @pytest.mark.parametrize(
        "names", [["no", "yes"], [-1, 1], [1.0, 7.0], [False, True]], ids=lambda names: str(names)
    )
    def test_two_classes_of_any_type_are_learned(self, X, y, names):
        names = np.array(names)
        labels = names[(y > 0).astype(int)]
        classifier = tiny_classifier().fit(X, labels)
        assert classifier.classes_.dtype == names.dtype
        assert classifier.score(X, labels) > 0.9
        logits = classifier.decision_function(X)
        np.testing.assert_array_equal(logits > 0, classifier.predict(X) == names[1])
        np.testing.assert_allclose(1 / (1 + np.exp(-logits)), classifier.predict_proba(X)[:, 1])

    def test_default_pretrainer_is_an_untrained_encoder(self, X, y):
        classifier = ECGClassifier(max_epochs=0, random_state=0).fit(X, y)
        assert classifier.predict(X).shape == y.shape
        assert classifier.history_ == []
        assert classifier.best_epoch_ == 0


class TestContinuedTraining:
    def test_same_seed_gives_same_bits(self, X, y):
        before = torch.random.get_rng_state()
        first, second, other = (
            tiny_classifier(max_epochs=2, random_state=seed).fit(X, y).predict_proba(X)
            for seed in (0, 0, 1)
        )
        np.testing.assert_array_equal(first, second)
        assert not np.array_equal(first, other)
        assert torch.equal(torch.random.get_rng_state(), before)

    def test_epochs_one_by_one_equal_epochs_at_once(self, X, y):
        at_once, one_by_one = tiny_classifier(max_epochs=3).fit(X, y), tiny_classifier()
        for _ in range(3):
            one_by_one.partial_fit(X, y, classes=[0, 1, 2])
        np.testing.assert_array_equal(one_by_one.predict_proba(X), at_once.predict_proba(X))
        assert [entry["epoch"] for entry in one_by_one.history_] == [1, 2, 3]

    def test_warm_start_continues(self, X, y):
        warm = tiny_classifier(max_epochs=2, warm_start=True).fit(X, y).fit(X, y)
        at_once = tiny_classifier(max_epochs=4).fit(X, y)
        np.testing.assert_array_equal(warm.predict_proba(X), at_once.predict_proba(X))

    @pytest.mark.parametrize("early_stopping", [False, True])
    def test_warm_start_with_checkpoints_gives_same_bits(self, X, y, tmp_path, early_stopping):
        params = {"max_epochs": 2, "warm_start": True, "early_stopping": early_stopping}
        expected = tiny_classifier(**params).fit(X, y).fit(X, y)
        for _ in range(2):  # trained, then read from the checkpoints
            classifier = tiny_classifier(**params, checkpoint=tmp_path).fit(X, y).fit(X, y)
            np.testing.assert_array_equal(classifier.predict_proba(X), expected.predict_proba(X))
            assert [entry["epoch"] for entry in classifier.history_] == [1, 2, 3, 4]

    def test_second_fit_starts_anew_by_default(self, X, y):
        classifier = tiny_classifier(max_epochs=2).fit(X, y)
        expected = classifier.predict_proba(X)
        np.testing.assert_array_equal(classifier.fit(X, y).predict_proba(X), expected)
        assert len(classifier.history_) == 2

    def test_pickle_continues_like_the_original(self, X, y):
        classifier = tiny_classifier(max_epochs=2).fit(X, y)
        copy = pickle.loads(pickle.dumps(classifier))
        np.testing.assert_array_equal(copy.predict_proba(X), classifier.predict_proba(X))
        expected = classifier.partial_fit(X, y).predict_proba(X)
        np.testing.assert_array_equal(copy.partial_fit(X, y).predict_proba(X), expected)

    def test_partial_fit_may_miss_classes(self, X, y):
        classifier = tiny_classifier().partial_fit(X[y < 2], y[y < 2], classes=[0, 1, 2])
        assert classifier.predict_proba(X).shape == (N_RECORDS, 3)
        assert len(classifier.partial_fit(X[y == 2], y[y == 2]).history_) == 2


class TestSampleWeight:
    """Half of the records have wrong labels, with weight 0 or without weights."""

    @pytest.fixture
    def wrong(self, y):
        return np.where(np.arange(N_RECORDS) % 2, (y + 1) % 3, y)

    @pytest.fixture
    def weight(self):
        return 1.0 - np.arange(N_RECORDS) % 2

    @pytest.mark.parametrize(
        "params",
        [
            {"max_epochs": 0},
            {"max_epochs": 20, "C": 1e-9},
            {"max_epochs": 20, "early_stopping": True},
            {"max_epochs": 0, "features": "hand-made", "n_trees": 50},
        ],
        ids=["linear start", "epochs", "early stopping", "forests"],
    )
    def test_records_of_weight_zero_teach_nothing(self, X, y, wrong, weight, params):
        classifier = tiny_classifier(**params).fit(X, wrong, sample_weight=weight)
        assert (classifier.predict(X) == y)[weight == 0].mean() > 0.9
        classifier.fit(X, wrong)
        assert (classifier.predict(X) == y)[weight == 0].mean() < 0.7

    def test_indicator_takes_weights(self, X, indicator, weight):
        wrong = np.where(weight[:, None] > 0, indicator, 1 - indicator)
        classifier = tiny_classifier().fit(X, wrong, sample_weight=weight)
        assert (classifier.predict(X) == indicator)[weight == 0].mean() > 0.9

    def test_partial_fit_takes_weights(self, X, y, wrong, weight):
        classifier = tiny_classifier()
        for _ in range(20):
            classifier.partial_fit(X, wrong, [0, 1, 2], sample_weight=weight)
        assert (classifier.predict(X) == y)[weight == 0].mean() > 0.9

    @pytest.mark.parametrize("value", [1, 1024])
    def test_equal_weights_change_nothing(self, X, y, value):
        params = {"max_epochs": 2, "features": "hand-made", "n_trees": 5}
        expected = tiny_classifier(**params).fit(X, y).predict_proba(X)
        weighed = tiny_classifier(**params).fit(X, y, sample_weight=np.full(N_RECORDS, value))
        np.testing.assert_array_equal(weighed.predict_proba(X), expected)

    def test_grid_search_routes_weights_to_fit(self, X, y, wrong, weight):
        with sklearn.config_context(enable_metadata_routing=True):
            classifier = tiny_classifier().set_fit_request(sample_weight=True)
            classifier.set_score_request(sample_weight=True)
            search = GridSearchCV(classifier, {"encoder_lr": [1e-3, 0.02]}, cv=3)
            search.fit(X, wrong, sample_weight=weight)
        assert search.best_score_ > 0.9
        assert (search.predict(X) == y).mean() > 0.9

    @pytest.mark.parametrize(
        ("value", "message"),
        [(np.ones(3), "of shape"), (["a"] * N_RECORDS, "number for each"), (-1, "not negative"),
         (np.nan, "finite"), (0, "not zero")],
        ids=["length", "text", "negative", "NaN", "zero"],
    )  # fmt: skip
    def test_invalid_weights_raise(self, X, y, value, message):
        weight = np.full(N_RECORDS, value) if np.isscalar(value) else value
        with pytest.raises(InvalidECGError, match=message):
            tiny_classifier().fit(X, y, sample_weight=weight)

    def test_held_out_records_of_weight_zero_raise(self, X, y, monkeypatch):
        held_out = np.arange(5)
        monkeypatch.setattr(
            _fine_tuning, "hold_out", lambda *args: (np.arange(5, N_RECORDS), held_out)
        )
        weight = np.where(np.arange(N_RECORDS) < 5, 0, 1)
        with pytest.raises(InvalidECGError, match="holds out have weight 0"):
            tiny_classifier(early_stopping=True).fit(X, y, sample_weight=weight)

    def test_weights_with_a_sampler_raise(self, X, y, weight, doubling_sampler):
        with pytest.raises(InvalidECGError, match="cannot resample sample_weight"):
            tiny_classifier(sampler=doubling_sampler).fit(X, y, sample_weight=weight)


class TestInvalidLabels:
    def test_unknown_class_raises_in_partial_fit(self, X, y):
        classifier = tiny_classifier().partial_fit(X, y, classes=[0, 1, 2])
        with pytest.raises(InvalidECGError, match=r"\[5\].*\[0 1 2\]"):
            classifier.partial_fit(X, np.full(N_RECORDS, 5))

    def test_other_classes_raise_in_partial_fit(self, X, y):
        classifier = tiny_classifier().partial_fit(X, y, classes=[0, 1, 2])
        message = r"Expected the classes of the first call, \[0 1 2\], got \[0 1\]"
        with pytest.raises(InvalidECGError, match=message):
            classifier.partial_fit(X, y, classes=[0, 1])

    def test_missing_classes_raise_in_the_first_partial_fit(self, X, y):
        with pytest.raises(InvalidECGError, match="Expected classes in the first call"):
            tiny_classifier().partial_fit(X, y)

    @pytest.mark.parametrize("is_multilabel", [False, True])
    def test_other_kind_of_labels_raises_in_partial_fit(self, X, y, indicator, is_multilabel):
        labels = np.c_[indicator, indicator[:, 0]], y
        first, second = labels if is_multilabel else labels[::-1]
        classifier = tiny_classifier(max_epochs=0).fit(X, first)
        kinds = ("an indicator", "classes") if is_multilabel else ("classes", "an indicator")
        message = f"Expected y to be {kinds[0]} as in the first fit, got {kinds[1]}"
        with pytest.raises(InvalidECGError, match=message):
            classifier.partial_fit(X, second)

    def test_single_labelled_record_raises(self, X, y):
        labels = np.where(np.arange(N_RECORDS) < 1, y, -1)
        with pytest.raises(InvalidECGError, match="at least 2 labelled records, got 1"):
            tiny_classifier().partial_fit(X, labels, classes=[0, 1, 2])


class TestInScikitLearn:
    def test_grid_search_routes_groups_to_fit(self, X, y, pretrained, monkeypatch):
        n_groups = []

        def spy(codes, groups, *args):
            n_groups.append(len(np.unique(groups)))
            return hold_out(codes, groups, *args)

        monkeypatch.setattr(_fine_tuning, "hold_out", spy)
        with sklearn.config_context(enable_metadata_routing=True):
            classifier = tiny_classifier(FrozenEstimator(pretrained), max_epochs=3)
            search = GridSearchCV(
                classifier.set_params(early_stopping=True).set_fit_request(groups=True),
                {"encoder_lr": [1e-3, 1e-2]},
                cv=GroupKFold(2),
                error_score="raise",
            )
            search.fit(X, y, groups=np.arange(N_RECORDS) // 2)
        # two candidates in two folds of half of the patients, and the best on all
        assert n_groups == [12, 12, 12, 12, 24]

    @pytest.mark.parametrize(
        "wrap",
        [
            lambda model: CalibratedClassifierCV(model, cv=2),
            lambda model: StackingClassifier([("ecg", model)], LogisticRegression(), cv=2),
            lambda model: OneVsRestClassifier(model),
            lambda model: make_pipeline(RecordScaler(), model),
            lambda model: make_imblearn_pipeline(RecordScaler(), model),
        ],
        ids=["calibrated", "stacking", "one-vs-rest", "pipeline", "imblearn-pipeline"],
    )
    def test_meta_estimators_take_the_classifier(self, X, y, wrap):
        scores = cross_validate(wrap(tiny_classifier()), X, y, cv=2, error_score="raise")
        assert scores["test_score"].mean() > 0.7

    def test_thresholds_are_tuned(self, X, y):
        noise = np.random.default_rng(0).normal(size=X.shape)
        tuned = TunedThresholdClassifierCV(
            tiny_classifier(max_epochs=5),
            scoring="balanced_accuracy",
            cv=2,
            thresholds=[0.0, 0.5, 1.0],
        )
        assert tuned.fit(X, y > 0).best_threshold_ == 0.5
        tuned = TunedThresholdClassifierCV(
            tiny_classifier(), scoring="recall", cv=2, thresholds=[0.0, 1.0]
        )
        assert tuned.fit(noise, y > 1).best_threshold_ == 0.0

    def test_progress_bar_shows_pretraining_and_fine_tuning(self, X, y, capsys):
        pretrainer = tiny_pretrainer(max_epochs=2)
        tiny_classifier(pretrainer, max_epochs=3).set_callbacks(ProgressBar()).fit(X, y)
        printed = capsys.readouterr().out
        assert "pretrain" in printed
        assert "fine-tune" in printed

    def test_verbose_prints_a_line_per_epoch(self, X, y, capsys):
        tiny_classifier(max_epochs=2, verbose=True).fit(X, y)
        lines = capsys.readouterr().out.splitlines()
        assert [line.split(":")[0] for line in lines] == [
            f"[ECGClassifier] epoch {epoch} of 2" for epoch in (1, 2)
        ]

    def test_clone_keeps_a_frozen_pretrainer(self, X, y, pretrained):
        classifier = clone(tiny_classifier(FrozenEstimator(pretrained), max_epochs=0))
        assert are_equal(copy_weights(classifier.fit(X, y)), copy_weights(pretrained))


def test_missing_leads_are_zero_for_the_default_pretrainer(tmp_path):
    ecg = make_ecg(12, classes=["normal", "lbbb"], leads=["II", "V1"], duration=3, random_state=0)
    X = ecg.data.copy()
    X[::2, 1] = np.nan
    classifier = ECGClassifier(missing="zero", n_trees=3, max_epochs=1, random_state=0)
    expected = classifier.fit(X, ecg.target).predict_proba(X)
    zeros = clone(classifier).fit(np.nan_to_num(X), ecg.target).predict_proba(np.nan_to_num(X))
    np.testing.assert_allclose(expected, zeros, atol=1e-6)
    classifier.save(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(load(tmp_path / "a.safetensors").predict_proba(X), expected)
