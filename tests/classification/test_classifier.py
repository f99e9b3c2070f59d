"""ECGClassifier: what it learns, what it leaves alone, and where it fits."""

import pickle

import numpy as np
import pytest
import torch
from imblearn.pipeline import make_pipeline as make_imblearn_pipeline
from sklearn.base import BaseEstimator, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.callback import ProgressBar
from sklearn.ensemble import ExtraTreesClassifier, StackingClassifier
from sklearn.exceptions import NotFittedError
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
from sklearn.preprocessing import StandardScaler
from torch import nn

import sklearn_bell.training._trainer
from sklearn_bell import BELLPretrainer, ECGClassifier
from sklearn_bell._utils.labels import hold_out, weighted_targets
from sklearn_bell.exceptions import DivergenceError, InvalidECGError
from sklearn_bell.nn.augmentation import Compose
from sklearn_bell.nn.encoders import ResNet1d
from sklearn_bell.preprocessing import RecordScaler
from sklearn_bell.pretraining import CLOCSPretrainer

N_RECORDS, N_LEADS, N_SAMPLES = 48, 2, 60


class Tiny(nn.Module):
    """An encoder that trains in no time."""

    def __init__(self, in_channels=1):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv1d(in_channels, 6, 9), nn.BatchNorm1d(6), nn.ReLU())

    def forward(self, x):
        return self.layers(x).mean(-1)


@pytest.fixture(scope="module")
def y():
    return np.arange(N_RECORDS) % 3


@pytest.fixture(scope="module")
def X(y):
    """Sines of another frequency for each class, in noise."""
    rng = np.random.default_rng(0)
    time, phase = np.arange(N_SAMPLES), rng.uniform(0, 6, (N_RECORDS, N_LEADS, 1))
    rate = np.array([0.3, 0.8, 1.6])[y][:, None, None]
    noise = rng.normal(scale=0.3, size=(N_RECORDS, N_LEADS, N_SAMPLES))
    return (np.sin(rate * time + phase) + noise).astype("f4")


@pytest.fixture(scope="module")
def indicator(y):
    return np.stack([y > 0, y == 2], axis=1).astype(int)


@pytest.fixture(scope="module")
def fitted(X):
    """A pretrainer that was fitted before."""
    return tiny_pretrainer(max_epochs=3).fit(X)


def tiny_pretrainer(**params):
    defaults = {"encoder": Tiny, "max_epochs": 0, "head_width": 8, "batch_size": 16}
    return BELLPretrainer(**{**defaults, "random_state": 0, "device": "cpu", **params})


def tiny(pretrainer=None, **params):
    defaults = {"max_epochs": 20, "lr": 0.02, "encoder_lr": 0.02, "batch_size": 8}
    pretrainer = tiny_pretrainer() if pretrainer is None else pretrainer
    return ECGClassifier(pretrainer, **{**defaults, "random_state": 0, "device": "cpu", **params})


def weights(classifier):
    return {name: one.clone() for name, one in classifier.encoder_.state_dict().items()}


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


class TestLearning:
    def test_classes(self, X, y):
        classifier = tiny().fit(X[::2], y[::2])
        assert classifier.score(X[1::2], y[1::2]) > 0.9
        np.testing.assert_allclose(classifier.predict_proba(X).sum(axis=1), 1)
        decision = classifier.decision_function(X)
        np.testing.assert_array_equal(decision.argmax(axis=1), classifier.predict(X))

    def test_an_indicator(self, X, indicator):
        classifier = tiny().fit(X[::2], indicator[::2])
        assert classifier.score(X[1::2], indicator[1::2]) > 0.9
        predicted = classifier.predict(X)
        np.testing.assert_array_equal(predicted, classifier.predict_proba(X) > 0.5)
        np.testing.assert_array_equal(predicted, classifier.decision_function(X) > 0)
        np.testing.assert_array_equal(classifier.classes_, [0, 1])

    @pytest.mark.parametrize("names", [["no", "yes"], [-1, 1], [1.0, 7.0], [False, True]])
    def test_two_classes_of_any_kind(self, X, y, names):
        names = np.array(names)
        labels = names[(y > 0).astype(int)]
        classifier = tiny().fit(X, labels)
        assert classifier.classes_.dtype == names.dtype
        assert classifier.score(X, labels) > 0.9
        decision = classifier.decision_function(X)
        np.testing.assert_array_equal(decision > 0, classifier.predict(X) == names[1])
        np.testing.assert_allclose(1 / (1 + np.exp(-decision)), classifier.predict_proba(X)[:, 1])

    @pytest.mark.parametrize("multilabel", [False, True])
    def test_unlabelled_records_teach_no_class_without_a_vote(
        self, X, y, indicator, fitted, multilabel
    ):
        known = np.arange(N_RECORDS) % 4 == 0
        labels = indicator if multilabel else y
        some = np.where(known[:, None] if multilabel else known, labels, -1)
        seen = []

        def augmentation(x, generator):
            seen.append(len(x))
            return x

        semi = tiny(FrozenEstimator(fitted), augmentation=augmentation, max_epochs=3, n_trees=0)
        semi.fit(X, some)
        assert sum(seen[1:]) == 3 * known.sum()  # after a dry run
        few = tiny(FrozenEstimator(fitted), max_epochs=3, augmentation=Compose())
        few = few.fit(X[known], labels[known])
        # the others tell how large latents are, and nothing else
        logits = [one.decision_function(X).ravel() for one in (semi, few)]
        assert np.corrcoef(logits)[0, 1] > 0.99

    @pytest.mark.parametrize("multilabel", [False, True])
    def test_learns_labels_and_what_a_vote_makes_of_other_records(
        self, X, y, indicator, fitted, multilabel
    ):
        known = np.arange(N_RECORDS) % 4 == 0
        labels = indicator if multilabel else y
        some = np.where(known[:, None] if multilabel else known, labels, -1)
        start = tiny(FrozenEstimator(fitted), max_epochs=0).fit(X, some)
        latents, center = fitted.transform(X), fitted.transform(X).mean(axis=0)
        scaled = (latents - center) / latents.std(axis=0)
        forest = ExtraTreesClassifier(300, random_state=0)
        if multilabel:
            forest = OneVsRestClassifier(forest)
        forest.fit(scaled[known], labels[known])
        vote = (start.predict_proba(X) + forest.predict_proba(scaled)) / 2
        vote[known] = labels[known] if multilabel else np.eye(3)[labels[known]]

        shorter = {"max_epochs": 1, "n_frozen_epochs": 1, "augmentation": Compose()}
        semi = tiny(FrozenEstimator(fitted), **shorter, lr=1e-9, batch_size=N_RECORDS)
        loss = semi.fit(X, some).history_[0]["loss"]
        entropy = -vote * np.log(start.predict_proba(X))
        if multilabel:
            entropy -= (1 - vote) * np.log(1 - start.predict_proba(X))
            assert loss == pytest.approx(entropy.mean(), abs=0.01)
        else:
            assert loss == pytest.approx(entropy.sum(axis=1).mean(), abs=0.01)
        labelled = tiny(FrozenEstimator(fitted), **shorter, lr=1e-9, n_trees=0).fit(X, some)
        assert abs(labelled.history_[0]["loss"] - loss) > 0.02  # of the labelled records alone

    def test_a_sampler_sees_labelled_records_only_and_there_is_no_vote(self, X, y, fitted):
        class Twice(BaseEstimator):
            def fit_resample(self, X, y):
                assert (y >= 0).all()
                return np.concatenate([X, X]), np.concatenate([y, y])

        some = np.where(np.arange(N_RECORDS) % 4 == 0, y, -1)
        both = [
            tiny(FrozenEstimator(fitted), max_epochs=2, sampler=Twice(), n_trees=n).fit(X, some)
            for n in (0, 300)
        ]
        assert same(*map(weights, both))

    def test_a_sampler_sees_the_classes_by_their_names(self, X, y, fitted):
        names, seen = np.array(["c", "a", "b"])[y], []

        class Spy(BaseEstimator):
            def fit_resample(self, X, y):
                seen.append(y)
                return X[::-1], y[::-1]

        classifier = tiny(FrozenEstimator(fitted), sampler=Spy()).fit(X, names)
        np.testing.assert_array_equal(seen[0], names)
        assert classifier.score(X, names) > 0.9

    @pytest.mark.parametrize("multilabel", [False, True])
    def test_weights_of_classes_count_once_in_what_is_voted(self, X, y, fitted, multilabel):
        rng = np.random.default_rng(0)
        noise = rng.normal(size=(200, N_LEADS, N_SAMPLES)).astype("f4")
        some = np.full(200, -1)
        some[:50] = np.arange(50) % 10 == 0  # few are of class 1, and nothing tells which
        some = np.stack([some, some], axis=1) if multilabel else some
        classifier = tiny(
            FrozenEstimator(fitted), class_weight="balanced", n_frozen_epochs=30, max_epochs=30
        ).fit(noise, some)
        # as the vote has it, between what weighted regression and trees say of noise
        assert 0.1 < classifier.predict_proba(noise)[50:, 1].mean() < 0.5

    def test_many_unlabelled_records_do_not_drown_the_labels(self, X, y, fitted):
        few = np.where(np.arange(N_RECORDS) < 3, y, -1)
        seen = []

        def augmentation(x, generator):
            seen.append(len(x))
            return x

        tiny(FrozenEstimator(fitted), augmentation=augmentation, max_epochs=1).fit(X, few)
        assert sum(seen[1:]) == 3 + 10 * 3  # after a dry run

    def test_latents_are_scaled_by_their_spread_over_all_records(self, X, y, fitted):
        few = np.where(np.arange(N_RECORDS) < 6, y, -1)
        learner = tiny(FrozenEstimator(fitted), max_epochs=0).fit(X, few)._net.module_
        with torch.no_grad():
            latents = learner.latents(torch.tensor(X)).numpy()
        np.testing.assert_allclose(latents.mean(axis=0), 0, atol=1e-4)
        np.testing.assert_allclose(latents.std(axis=0), 1, rtol=1e-4)

    def test_what_pretrains_by_patient_is_given_the_patients(self, X, y, monkeypatch):
        seen, fit = [], CLOCSPretrainer.fit

        def spy(self, X, y=None, groups=None):
            seen.append(groups)
            return fit(self, X, groups=groups)

        monkeypatch.setattr(CLOCSPretrainer, "fit", spy)
        groups = np.arange(N_RECORDS) // 2
        clocs = CLOCSPretrainer(Tiny, max_epochs=1, head_width=8, device="cpu")
        tiny(clocs, max_epochs=1).fit(X, y, groups=groups)
        np.testing.assert_array_equal(seen[0], groups)

    def test_weights_of_classes_move_the_predictions(self, X, y):
        rare = np.flatnonzero((y == 0) | (np.arange(N_RECORDS) < 8))
        noise = np.random.default_rng(0).normal(size=X[rare].shape)
        plain = tiny(max_epochs=5).fit(noise, y[rare] > 0)
        heavy = tiny(max_epochs=5, class_weight={True: 50.0}).fit(noise, y[rare] > 0)
        balanced = tiny(max_epochs=5, class_weight="balanced").fit(noise, y[rare] > 0)
        means = [one.predict_proba(noise)[:, 1].mean() for one in (plain, balanced, heavy)]
        assert means == sorted(means)
        assert means[2] - means[0] > 0.2

    def test_balanced_weights_equal_those_of_scikit_learn(self, X, y, indicator):
        from sklearn.utils import compute_class_weight

        labels = np.where(np.arange(N_RECORDS) < 30, 0, y)
        classifier = tiny(max_epochs=0, class_weight="balanced").fit(X, labels)
        expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
        np.testing.assert_allclose(classifier._weights, expected, rtol=1e-6)
        several = tiny(max_epochs=0, class_weight="balanced").fit(X, indicator)
        for column, of_column in zip(indicator.T, several._weights.T, strict=True):
            expected = compute_class_weight("balanced", classes=np.arange(2), y=column)
            np.testing.assert_allclose(of_column, expected, rtol=1e-6)

    def test_the_loss_equals_weighted_cross_entropy_written_out(self, X, y, indicator):
        each = [{0: 1.0, 1: 3.0}, {0: 0.5}]
        for labels, class_weight in ((y, {0: 2.0, 2: 0.5}), (indicator, each)):
            classifier = tiny(max_epochs=0, class_weight=class_weight).fit(X, labels)
            p = classifier.predict_proba(X)
            if labels.ndim == 1:
                weight = np.array([2.0, 1.0, 0.5])[labels]
                expected = -(weight * np.log(p[np.arange(len(p)), labels])).sum() / weight.sum()
            else:
                weight = np.where(labels, [3.0, 1.0], [1.0, 0.5])
                expected = -(weight * np.log(np.where(labels, p, 1 - p))).mean()
            learner = classifier._net.module_
            targets = torch.tensor(weighted_targets(labels, classifier._weights))
            loss = learner.loss(learner.logits(torch.tensor(X)), targets)
            assert loss.item() == pytest.approx(expected, rel=1e-4)


class TestPretraining:
    def test_an_unfitted_pretrainer_sees_every_record_and_stays_as_it_was(self, X, y, monkeypatch):
        seen, fit = [], BELLPretrainer.fit

        def counted(self, X, y=None):
            seen.append(len(X))
            return fit(self, X, y)

        monkeypatch.setattr(BELLPretrainer, "fit", counted)
        pretrainer = tiny_pretrainer(max_epochs=1, random_state=None)
        before = pretrainer.get_params()
        tiny(pretrainer, max_epochs=1).fit(X, np.where(np.arange(N_RECORDS) < 6, y, -1))
        assert seen == [N_RECORDS]
        assert pretrainer.get_params() == before
        assert not hasattr(pretrainer, "encoder_")

    def test_a_frozen_pretrainer_lends_its_weights_and_keeps_them(self, X, y, fitted):
        before = weights(fitted)
        classifier = tiny(FrozenEstimator(fitted), max_epochs=0).fit(X, y)
        assert same(weights(classifier), before)
        tiny(FrozenEstimator(fitted), max_epochs=2).fit(X, y)
        assert same(weights(fitted), before)

    def test_without_a_pretrainer_the_encoder_starts_untrained(self, X, y):
        classifier = ECGClassifier(max_epochs=0, random_state=0).fit(X, y)
        assert isinstance(classifier.encoder_[1].branches[0], ResNet1d)
        assert classifier.predict(X).shape == y.shape

    @pytest.mark.parametrize("class_weight", [None, "balanced"])
    def test_it_starts_from_the_logistic_regression_on_the_latents(
        self, X, y, indicator, fitted, class_weight
    ):
        latents = StandardScaler().fit_transform(fitted.transform(X))
        linear = LogisticRegression(C=0.3, class_weight=class_weight, max_iter=1000)
        for target in (y, y == y[0], indicator):
            model = OneVsRestClassifier(linear) if target.ndim == 2 else linear
            expected = clone(model).fit(latents, target).predict_proba(latents)
            classifier = tiny(
                FrozenEstimator(fitted), max_epochs=0, C=0.3, class_weight=class_weight
            )
            found = classifier.fit(X, target).predict_proba(X)
            np.testing.assert_allclose(found, expected, atol=0.005)

    def test_a_pretrainer_of_other_records_is_refused(self, X, y, fitted):
        with pytest.raises(InvalidECGError, match=r"1 lead.* of 60 samples.*fitted on 2 of 60"):
            tiny(FrozenEstimator(fitted)).fit(X[:, :1], y)

    def test_views_too_short_for_the_encoder_are_refused(self, X, y):
        def encoder(in_channels):
            return nn.Sequential(nn.Conv1d(in_channels, 4, N_SAMPLES), nn.Flatten())

        whole = tiny_pretrainer(encoder=encoder, augmentation=Compose()).fit(X)
        with pytest.raises(InvalidECGError, match=r"cannot take views of 30 samples.*Compose\(\)"):
            tiny(FrozenEstimator(whole)).fit(X, y)
        tiny(FrozenEstimator(whole), augmentation=Compose(), max_epochs=1).fit(X, y)

    def test_what_has_no_encoder_is_refused(self, X, y):
        with pytest.raises(InvalidECGError, match="RecordScaler has no encoder_"):
            tiny(RecordScaler()).fit(X, y)

    def test_frozen_epochs_train_the_head_alone(self, X, y, fitted):
        before = weights(fitted)
        frozen = tiny(FrozenEstimator(fitted), n_frozen_epochs=3, max_epochs=3).fit(X, y)
        assert same(weights(frozen), before)
        assert frozen.history_[-1]["loss"] < frozen.history_[0]["loss"]
        thawed = tiny(FrozenEstimator(fitted), n_frozen_epochs=3, max_epochs=4).fit(X, y)
        assert not same(weights(thawed), before)
        assert [entry["frozen"] for entry in thawed.history_] == [True, True, True, False]

    def test_each_part_has_its_own_learning_rate(self, X, y, fitted):
        slow = tiny(FrozenEstimator(fitted), max_epochs=1, encoder_lr=1e-9, lr=0.1).fit(X, y)
        moved = [
            (now - weights(fitted)[name]).abs().max()
            for name, now in weights(slow).items()
            if name.endswith("layers.0.weight")
        ]
        assert max(moved) < 1e-6
        still = tiny(FrozenEstimator(fitted), max_epochs=0).fit(X, y)
        head = [one._net.module_.linear.weight for one in (slow, still)]
        assert (head[0] - head[1]).abs().max() > 0.01


class TestEarlyStopping:
    def test_the_best_epoch_is_kept(self, X, y):
        noisy = np.where(np.arange(N_RECORDS) % 5, y, 0)  # some labels can only be learnt by heart
        params = {"max_epochs": 60, "early_stopping": True, "n_iter_no_change": 4, "lr": 0.01}
        params["encoder_lr"] = 0.005
        classifier = tiny(**params, validation_fraction=0.3).fit(X, noisy)
        losses = [entry["valid_loss"] for entry in classifier.history_]
        assert classifier.best_epoch_ == 1 + int(np.argmin(losses)) > 1
        assert len(losses) == classifier.best_epoch_ + 4 < 60
        params["max_epochs"] = classifier.best_epoch_
        again = tiny(**params, validation_fraction=0.3).fit(X, noisy)
        np.testing.assert_array_equal(again.predict_proba(X), classifier.predict_proba(X))

    def test_the_start_is_kept_where_no_epoch_is_better(self, X, y, fitted):
        shuffled = np.random.default_rng(0).permutation(y)
        params = {"early_stopping": True, "n_iter_no_change": 2, "validation_fraction": 0.3}
        classifier = tiny(FrozenEstimator(fitted), C=1e-6, lr=1.0, **params).fit(X, shuffled)
        assert classifier.best_epoch_ == 0
        assert len(classifier.history_) == 2
        start = tiny(FrozenEstimator(fitted), C=1e-6, max_epochs=0, **params).fit(X, shuffled)
        np.testing.assert_array_equal(classifier.predict_proba(X), start.predict_proba(X))

    def test_frozen_epochs_are_not_waited_for(self, X, y):
        classifier = tiny(
            early_stopping=True, n_frozen_epochs=5, n_iter_no_change=1, lr=1e-9, encoder_lr=1e-9
        ).fit(X, np.random.default_rng(0).permutation(y))
        assert len(classifier.history_) > 5

    def test_patients_are_on_one_side(self, X, y, monkeypatch):
        sides = []

        def spy(codes, groups, fraction, seed):
            sides.append([set(groups[rows]) for rows in hold_out(codes, groups, fraction, seed)])
            return hold_out(codes, groups, fraction, seed)

        monkeypatch.setattr("sklearn_bell.classification.hold_out", spy)
        groups = np.arange(N_RECORDS) // 4
        tiny(early_stopping=True, max_epochs=2).fit(X, y, groups=groups)
        (here, there) = sides[0]
        assert not here & there
        assert len(here | there) == 12

    def test_unlabelled_records_of_patients_held_out_are_not_learnt_from(self, X, y, fitted):
        groups = np.arange(N_RECORDS) // 2  # of every patient, one record is labelled
        some = np.where(np.arange(N_RECORDS) % 2 == 0, y, -1)
        prepared, seen = fitted.encoder_[0](torch.from_numpy(X)), set()

        def augmentation(x, generator):
            distance = (x[:, None] - prepared).abs().sum((2, 3))  # (batch, n_records)
            if x.any():  # not the dry run
                seen.update(distance.argmin(dim=1).tolist())
            return x

        classifier = tiny(FrozenEstimator(fitted), augmentation=augmentation, max_epochs=2)
        classifier.set_params(early_stopping=True, validation_fraction=0.25)
        classifier.fit(X, some, groups=groups)
        assert len(seen) == N_RECORDS * 3 / 4
        assert len(np.unique(groups[list(seen)])) == len(seen) / 2

    def test_a_warm_start_holds_the_same_records_out(self, X, y, fitted, monkeypatch):
        held_out = []

        def spy(*args):
            held_out.append(hold_out(*args)[1].tolist())
            return hold_out(*args)

        monkeypatch.setattr("sklearn_bell.classification.hold_out", spy)
        classifier = tiny(FrozenEstimator(fitted), early_stopping=True, max_epochs=1)
        classifier.set_params(warm_start=True, random_state=None)
        classifier.fit(X, y).fit(X, y)
        assert held_out[0] == held_out[1]

    def test_groups_of_another_length_are_refused_before_any_work(self, X, y, monkeypatch):
        monkeypatch.setattr(BELLPretrainer, "fit", lambda self, X: pytest.fail("it pretrained"))
        with pytest.raises(InvalidECGError, match="groups has 5 entries, but X has 48 records"):
            tiny(early_stopping=True).fit(X, y, groups=np.zeros(5))
        with pytest.raises(InvalidECGError, match="y has 2 columns, so class_weight must be"):
            tiny(class_weight={0: 2.0}).fit(X, np.stack([y > 0, y > 1], axis=1).astype(int))

    def test_a_sampler_works_on_what_is_trained_on_alone(self, X, y, fitted):
        class Doubling:
            seen: list = []

            def get_params(self, deep=False):
                return {}

            def fit_resample(self, X, y):
                self.seen.append(X.shape)
                return np.concatenate([X, X]), np.concatenate([y, y])

            def __sklearn_clone__(self):
                return self

        params = {"early_stopping": True, "validation_fraction": 0.25, "max_epochs": 2}
        tiny(sampler=Doubling(), **params).fit(X, y)
        tiny(tiny_pretrainer(), sampler=Doubling(), **params).fit(X[:, 0], y)
        assert Doubling.seen == [(36, N_LEADS, N_SAMPLES), (36, N_SAMPLES)]

        # and the linear layer starts from what the sampler made: twice the records, as twice the C
        sampled = tiny(FrozenEstimator(fitted), sampler=Doubling(), C=0.1, max_epochs=0).fit(X, y)
        plain = tiny(FrozenEstimator(fitted), C=0.2, max_epochs=0).fit(X, y)
        np.testing.assert_allclose(sampled.predict_proba(X), plain.predict_proba(X), atol=1e-3)


class TestGoingOn:
    def test_the_same_seed_gives_the_same_bits_and_another_not(self, X, y):
        state = torch.random.get_rng_state()
        one, two, other = (tiny(max_epochs=2, random_state=seed).fit(X, y) for seed in (0, 0, 1))
        np.testing.assert_array_equal(one.predict_proba(X), two.predict_proba(X))
        assert not np.array_equal(one.predict_proba(X), other.predict_proba(X))
        assert torch.equal(torch.random.get_rng_state(), state)

    def test_epochs_one_by_one_equal_epochs_at_once(self, X, y):
        at_once = tiny(max_epochs=3).fit(X, y)
        by_one = tiny()
        for _ in range(3):
            by_one.partial_fit(X, y, classes=[0, 1, 2])
        np.testing.assert_array_equal(by_one.predict_proba(X), at_once.predict_proba(X))
        assert [entry["epoch"] for entry in by_one.history_] == [1, 2, 3]

    def test_a_warm_start_goes_on(self, X, y):
        warm = tiny(max_epochs=2, warm_start=True).fit(X, y).fit(X, y)
        at_once = tiny(max_epochs=4).fit(X, y)
        np.testing.assert_array_equal(warm.predict_proba(X), at_once.predict_proba(X))
        cold = tiny(max_epochs=2).fit(X, y).fit(X, y)
        assert len(cold.history_) == 2

    def test_partial_fit_may_miss_classes_but_must_know_them(self, X, y):
        classifier = tiny().partial_fit(X[y < 2], y[y < 2], classes=[0, 1, 2])
        assert classifier.predict_proba(X).shape == (N_RECORDS, 3)
        classifier.partial_fit(X[y == 2], y[y == 2])
        with pytest.raises(InvalidECGError, match=r"\[5\], but expected \[0 1 2\]"):
            classifier.partial_fit(X, np.full(N_RECORDS, 5))
        with pytest.raises(InvalidECGError, match="before it was"):
            classifier.partial_fit(X, y, classes=[0, 1])
        with pytest.raises(InvalidECGError, match="must be passed on the first call"):
            tiny().partial_fit(X, y)

    def test_one_labelled_record_is_not_enough(self, X, y):
        some = np.where(np.arange(N_RECORDS) < 1, y, -1)
        with pytest.raises(InvalidECGError, match="At least 2 records must have a label"):
            tiny().partial_fit(X, some, classes=[0, 1, 2])

    def test_a_loss_that_is_no_number_ends_the_training(self, X, y):
        with pytest.raises(DivergenceError, match="smaller lr"):
            (classifier := tiny(lr=1e30, encoder_lr=1e30)).fit(X, y)
        with pytest.raises(NotFittedError):
            classifier.predict(X)

    def test_a_pickle_goes_on_as_the_original(self, X, y):
        classifier = tiny(max_epochs=2).fit(X, y)
        again = pickle.loads(pickle.dumps(classifier))
        np.testing.assert_array_equal(again.predict_proba(X), classifier.predict_proba(X))
        for one in (classifier, again):
            one.partial_fit(X, y)
        np.testing.assert_array_equal(again.predict_proba(X), classifier.predict_proba(X))

    def test_augmentation_is_for_training_alone(self, X, y):
        seen = []

        def augmentation(x, generator):
            seen.append(len(x))
            return x

        classifier = tiny(augmentation=augmentation, max_epochs=2).fit(X, y)
        assert sum(seen[1:]) == 2 * N_RECORDS  # after a dry run
        classifier.predict(X)
        assert sum(seen[1:]) == 2 * N_RECORDS  # after a dry run

    def test_a_fit_that_fails_leaves_nothing_that_looks_fitted(self, X, y, fitted, tmp_path):
        spoilt = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, X.shape)
        spoilt[:] = X
        spoilt[7, 1, 3] = np.nan
        classifier = tiny(FrozenEstimator(fitted))
        with pytest.raises(InvalidECGError, match="record 7, lead 1, sample 3"):
            classifier.fit(spoilt, y)
        with pytest.raises(NotFittedError):
            classifier.predict(X)

    def test_records_on_disk_are_read_by_batches(self, X, y, tmp_path):
        class OnDisk:
            shape, dtype = X.shape, X.dtype

            def __len__(self):
                return len(X)

            def __getitem__(self, rows):
                assert len(X[rows]) <= 16, "many rows are read at once"
                return X[rows]

        np.save(tmp_path / "X.npy", X)
        mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
        some = np.where(np.arange(N_RECORDS) % 2 == 0, y, -1)
        in_memory = tiny(max_epochs=2).fit(X, some).predict_proba(X)
        for on_disk in (mapped, OnDisk()):
            found = tiny(max_epochs=2).fit(on_disk, some).predict_proba(on_disk)
            np.testing.assert_array_equal(found, in_memory)


class TestInScikitLearn:
    def test_a_search_over_fine_tuning_that_routes_groups(self, X, y, fitted, monkeypatch):
        import sklearn

        seen = []
        monkeypatch.setattr(
            "sklearn_bell.classification.hold_out",
            lambda codes, groups, *rest: seen.append(groups) or hold_out(codes, groups, *rest),
        )
        with sklearn.config_context(enable_metadata_routing=True):
            classifier = tiny(FrozenEstimator(fitted), early_stopping=True, max_epochs=3)
            search = GridSearchCV(
                classifier.set_fit_request(groups=True),
                {"encoder_lr": [1e-3, 1e-2]},
                cv=GroupKFold(2),
                error_score="raise",
            )
            search.fit(X, y, groups=np.arange(N_RECORDS) // 2)
        # two settings in two parts of half of the patients, and the best on all
        assert [len(np.unique(groups)) for groups in seen] == [12, 12, 12, 12, 24]

    @pytest.mark.parametrize(
        "wrap",
        [
            lambda one: CalibratedClassifierCV(one, cv=2),
            lambda one: StackingClassifier([("one", one)], LogisticRegression(), cv=2),
            lambda one: OneVsRestClassifier(one),
            lambda one: make_pipeline(RecordScaler(), one),
            lambda one: make_imblearn_pipeline(RecordScaler(), one),
        ],
        ids=["calibrated", "stacking", "one-vs-rest", "pipeline", "imblearn-pipeline"],
    )
    def test_it_goes_where_classifiers_go(self, X, y, wrap):
        outer = wrap(tiny())
        scores = cross_validate(outer, X, y, cv=2, error_score="raise")
        assert scores["test_score"].mean() > 0.7

    def test_thresholds_are_tuned(self, X, y):
        noise = np.random.default_rng(0).normal(size=X.shape)
        tuned = TunedThresholdClassifierCV(
            tiny(max_epochs=5), scoring="balanced_accuracy", cv=2, thresholds=[0.0, 0.5, 1.0]
        )
        assert tuned.fit(X, y > 0).best_threshold_ == 0.5
        counted = TunedThresholdClassifierCV(tiny(), scoring="recall", cv=2, thresholds=[0.0, 1.0])
        assert counted.fit(noise, y > 1).best_threshold_ == 0.0

    def test_the_progress_bar_shows_both_trainings(self, X, y, capsys):
        pretrainer = tiny_pretrainer(max_epochs=2)
        tiny(pretrainer, max_epochs=3).set_callbacks(ProgressBar()).fit(X, y)
        shown = capsys.readouterr().out
        assert "pretrain" in shown
        assert "fine-tune" in shown

    def test_clone_keeps_a_frozen_pretrainer(self, X, y, fitted):
        classifier = clone(tiny(FrozenEstimator(fitted), max_epochs=0))
        assert same(weights(classifier.fit(X, y)), weights(fitted))


def test_the_mean_loss_of_an_epoch_counts_records_not_batches():
    class Mean(nn.Module):
        def __init__(self):
            super().__init__()
            self.shift = nn.Parameter(torch.zeros(()))

        def forward(self, x, generator):
            return {"loss": x.mean() + 0 * self.shift}

        def after_step(self):
            pass

    X = np.array([1.0, 2.0, 3.0, 4.0, 100.0], dtype="f4")
    net = sklearn_bell.training._trainer.Trainer(Mean(), seed=0, batch_size=3, device="cpu")
    assert net.initialize().fit_epoch(X, number=0) == {"loss": pytest.approx(22.0)}
