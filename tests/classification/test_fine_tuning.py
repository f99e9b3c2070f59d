"""Fine-tuning: start, learning rates, frozen epochs, weights, pseudo-labels, samplers."""

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.utils import compute_class_weight

from sklearn_bell import BELLPretrainer
from sklearn_bell._utils.labels import weighted_targets
from sklearn_bell.exceptions import DivergenceError, InvalidECGError
from sklearn_bell.nn.augmentation import Compose
from sklearn_bell.pretraining import CLOCSPretrainer
from tests.classification._cases import (
    N_LEADS,
    N_RECORDS,
    N_SAMPLES,
    TinyEncoder,
    are_equal,
    copy_weights,
    make_spy,
    n_training_rows,
    tiny_classifier,
    tiny_pretrainer,
)

EVERY_FOURTH = np.arange(N_RECORDS) % 4 == 0


def hide(labels, is_known):
    """Return labels with -1 for unknown ones."""
    return np.where(is_known[:, None] if labels.ndim == 2 else is_known, labels, -1)


@pytest.fixture(params=["classes", "indicator"])
def labels(request, y, indicator):
    return {"classes": y, "indicator": indicator}[request.param]


class TestPretraining:
    def test_unfitted_pretrainer_sees_every_record(self, X, y, monkeypatch):
        n_records, fit = [], BELLPretrainer.fit

        def spy(self, X, y=None):
            n_records.append(len(X))
            return fit(self, X, y)

        monkeypatch.setattr(BELLPretrainer, "fit", spy)
        pretrainer = tiny_pretrainer(max_epochs=1, random_state=None)
        before = pretrainer.get_params()
        tiny_classifier(pretrainer, max_epochs=1).fit(X, hide(y, EVERY_FOURTH))
        assert n_records == [N_RECORDS]
        assert pretrainer.get_params() == before
        assert not hasattr(pretrainer, "encoder_")

    def test_groups_reach_a_pretrainer_that_takes_them(self, X, y, monkeypatch):
        calls, fit = [], CLOCSPretrainer.fit

        def spy(self, X, y=None, groups=None):
            calls.append(groups)
            return fit(self, X, groups=groups)

        monkeypatch.setattr(CLOCSPretrainer, "fit", spy)
        groups = np.arange(N_RECORDS) // 2
        clocs = CLOCSPretrainer(TinyEncoder, max_epochs=1, head_width=8, device="cpu")
        tiny_classifier(clocs, max_epochs=1).fit(X, y, groups=groups)
        np.testing.assert_array_equal(calls, [groups])

    def test_frozen_pretrainer_keeps_its_weights(self, X, y, pretrained):
        before = copy_weights(pretrained)
        classifier = tiny_classifier(FrozenEstimator(pretrained), max_epochs=0).fit(X, y)
        assert are_equal(copy_weights(classifier), before)
        tiny_classifier(FrozenEstimator(pretrained), max_epochs=2).fit(X, y)
        assert are_equal(copy_weights(pretrained), before)


class TestStart:
    @pytest.mark.parametrize("class_weight", [None, "balanced"])
    @pytest.mark.parametrize("kind", ["three classes", "two classes", "indicator"])
    def test_head_starts_as_logistic_regression_on_scaled_latents(
        self, X, y, indicator, pretrained, class_weight, kind
    ):
        target = {"three classes": y, "two classes": y == y[0], "indicator": indicator}[kind]
        latents = StandardScaler().fit_transform(pretrained.transform(X))
        model = LogisticRegression(C=0.3, class_weight=class_weight, max_iter=1000)
        model = OneVsRestClassifier(model) if target.ndim == 2 else model
        expected = model.fit(latents, target).predict_proba(latents)
        params = {"max_epochs": 0, "C": 0.3, "class_weight": class_weight}
        classifier = tiny_classifier(FrozenEstimator(pretrained), **params).fit(X, target)
        np.testing.assert_allclose(classifier.predict_proba(X), expected, atol=0.005)

    def test_latents_are_standardised_over_all_records(self, X, y, pretrained):
        few = hide(y, np.arange(N_RECORDS) < 6)
        classifier = tiny_classifier(FrozenEstimator(pretrained), max_epochs=0).fit(X, few)
        with torch.no_grad():
            latents = classifier._net.module_.latents(torch.tensor(X)).numpy()
        np.testing.assert_allclose(latents.mean(axis=0), 0, atol=1e-4)
        np.testing.assert_allclose(latents.std(axis=0), 1, rtol=1e-4)


class TestTraining:
    def test_frozen_epochs_train_the_head_alone(self, X, y, pretrained):
        before = copy_weights(pretrained)
        params = {"pretrainer": FrozenEstimator(pretrained), "n_frozen_epochs": 3}
        frozen = tiny_classifier(**params, max_epochs=3).fit(X, y)
        assert are_equal(copy_weights(frozen), before)
        assert frozen.history_[-1]["loss"] < frozen.history_[0]["loss"]
        trained = tiny_classifier(**params, max_epochs=4).fit(X, y)
        assert not are_equal(copy_weights(trained), before)
        assert [entry["frozen"] for entry in trained.history_] == [True, True, True, False]

    @pytest.mark.parametrize(
        ("rates", "encoder_moves", "head_moves"),
        [
            ({"lr": 0.1, "encoder_lr": 1e-9}, False, True),
            ({"lr": 1e-9, "encoder_lr": 0.1}, True, False),
        ],
    )
    @pytest.mark.parametrize("is_changed_later", [False, True])
    def test_encoder_and_head_have_their_own_learning_rates(
        self, X, y, pretrained, rates, encoder_moves, head_moves, is_changed_later
    ):
        frozen = FrozenEstimator(pretrained)
        if is_changed_later:  # and by partial_fit
            classifier = tiny_classifier(frozen, max_epochs=0).fit(X, y)
            classifier.set_params(**rates).partial_fit(X, y)
        else:
            classifier = tiny_classifier(frozen, max_epochs=1, **rates).fit(X, y)
        start = tiny_classifier(frozen, max_epochs=0).fit(X, y)
        weights, start_weights = (
            dict(model._net.module_.named_parameters()) for model in (classifier, start)
        )
        moves = {"encoder": 0.0, "linear": 0.0}
        for name, weight in weights.items():
            part = name.split(".")[0]
            moves[part] = max(moves[part], (weight - start_weights[name]).abs().max().item())
        assert (moves["encoder"] > 0.01) == encoder_moves
        assert (moves["linear"] > 0.01) == head_moves
        assert min(moves.values()) < 1e-6

    def test_augmentation_is_used_in_training_alone(self, X, y):
        spy = make_spy()
        classifier = tiny_classifier(augmentation=spy, max_epochs=2).fit(X, y)
        assert n_training_rows(spy) == 2 * N_RECORDS
        classifier.predict(X)
        assert n_training_rows(spy) == 2 * N_RECORDS

    def test_random_augmentation_leaves_global_generators_alone(self, X, y):
        before = torch.get_rng_state()
        tiny_classifier(augmentation=lambda x, generator: x + torch.rand(()), max_epochs=1).fit(
            X, y
        )
        assert torch.equal(torch.get_rng_state(), before)

    def test_divergence_leaves_no_fit_and_names_both_learning_rates(self, X, y):
        classifier = tiny_classifier(lr=1e30, encoder_lr=2e30)
        with pytest.raises(DivergenceError, match=r"lr=2e\+30 and lr=1e\+30\. .* smaller lr"):
            classifier.fit(X, y)
        with pytest.raises(NotFittedError):
            classifier.predict(X)

    def test_divergence_after_an_epoch_keeps_its_weights(self, X, y):
        classifier = tiny_classifier(max_epochs=1).fit(X, y)
        expected = classifier.predict_proba(X)
        with pytest.raises(DivergenceError, match="weights of epoch 1 are restored"):
            classifier.set_params(lr=1e30, encoder_lr=1e30).partial_fit(X, y)
        np.testing.assert_array_equal(classifier.predict_proba(X), expected)
        assert len(classifier.history_) == classifier.best_epoch_ == 1

    def test_invalid_record_on_disk_leaves_no_fit(self, X, y, pretrained, tmp_path):
        spoilt = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, X.shape)
        spoilt[:] = X
        spoilt[7, 1, 3] = np.nan
        classifier = tiny_classifier(FrozenEstimator(pretrained))
        with pytest.raises(InvalidECGError, match="record 7, lead 1, sample 3"):
            classifier.fit(spoilt, y)
        with pytest.raises(NotFittedError):
            classifier.predict(X)

    @pytest.mark.parametrize("kind", ["memory map", "array-like"])
    def test_records_on_disk_are_read_in_batches(self, X, y, tmp_path, kind):
        class OnDisk:
            shape, dtype = X.shape, X.dtype

            def __len__(self):
                return len(X)

            def __getitem__(self, rows):
                assert len(X[rows]) <= 16, "more rows than a batch are read at once"
                return X[rows]

        np.save(tmp_path / "X.npy", X)
        mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
        on_disk = {"memory map": mapped, "array-like": OnDisk()}[kind]
        half = hide(y, np.arange(N_RECORDS) % 2 == 0)
        expected = tiny_classifier(max_epochs=2).fit(X, half).predict_proba(X)
        probabilities = tiny_classifier(max_epochs=2).fit(on_disk, half).predict_proba(on_disk)
        np.testing.assert_array_equal(probabilities, expected)


class TestClassWeight:
    def test_balanced_weights_equal_those_of_scikit_learn(self, X, y):
        labels = np.where(np.arange(N_RECORDS) < 30, 0, y)
        classifier = tiny_classifier(max_epochs=0, class_weight="balanced").fit(X, labels)
        expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
        np.testing.assert_allclose(classifier._weights, expected, rtol=1e-6)

    @pytest.mark.parametrize("column", [0, 1])
    def test_balanced_weights_of_an_indicator_equal_those_by_column(self, X, indicator, column):
        classifier = tiny_classifier(max_epochs=0, class_weight="balanced").fit(X, indicator)
        labels = indicator[:, column]
        expected = compute_class_weight("balanced", classes=np.arange(2), y=labels)
        np.testing.assert_allclose(classifier._weights[:, column], expected, rtol=1e-6)

    def test_loss_is_weighted_cross_entropy(self, X, y):
        classifier = tiny_classifier(max_epochs=0, class_weight={0: 2.0, 2: 0.5}).fit(X, y)
        p = classifier.predict_proba(X)
        weight = np.array([2.0, 1.0, 0.5])[y]
        expected = -(weight * np.log(p[np.arange(len(p)), y])).sum() / weight.sum()
        assert self.loss(classifier, X, y) == pytest.approx(expected, rel=1e-4)

    def test_loss_of_an_indicator_is_weighted_binary_cross_entropy(self, X, indicator):
        class_weight = [{0: 1.0, 1: 3.0}, {0: 0.5}]
        classifier = tiny_classifier(max_epochs=0, class_weight=class_weight).fit(X, indicator)
        p = classifier.predict_proba(X)
        weight = np.where(indicator, [3.0, 1.0], [1.0, 0.5])
        expected = -(weight * np.log(np.where(indicator, p, 1 - p))).mean()
        assert self.loss(classifier, X, indicator) == pytest.approx(expected, rel=1e-4)

    @staticmethod
    def loss(classifier, X, labels):
        module = classifier._net.module_
        targets = torch.tensor(weighted_targets(labels, classifier._weights))
        return module.loss(module.logits(torch.tensor(X)), targets).item()

    def test_heavier_class_gets_higher_probabilities(self, X, y):
        rows = np.flatnonzero((y == 0) | (np.arange(N_RECORDS) < 8))
        noise = np.random.default_rng(0).normal(size=X[rows].shape)
        means = []
        for class_weight in (None, "balanced", {True: 50.0}):
            classifier = tiny_classifier(max_epochs=5, class_weight=class_weight)
            means.append(classifier.fit(noise, y[rows] > 0).predict_proba(noise)[:, 1].mean())
        assert means == sorted(means)
        assert means[2] - means[0] > 0.2

    def test_balanced_raises_in_partial_fit(self, X, y):
        classifier = tiny_classifier(class_weight="balanced")
        with pytest.raises(InvalidECGError, match="Pass the weights as a dict"):
            classifier.partial_fit(X, y, classes=[0, 1, 2])
        classifier.set_params(class_weight={0: 2.0}).partial_fit(X, y, classes=[0, 1, 2])

    def test_dict_for_an_indicator_raises_before_pretraining(self, X, indicator, monkeypatch):
        monkeypatch.setattr(BELLPretrainer, "fit", lambda self, X: pytest.fail("pretrained"))
        with pytest.raises(InvalidECGError, match="2 columns"):
            tiny_classifier(class_weight={0: 2.0}).fit(X, indicator)


class TestPseudoLabels:
    def test_targets_are_the_mean_of_network_and_forest(self, X, labels, pretrained):
        quarter = hide(labels, EVERY_FOURTH)
        frozen, is_multilabel = FrozenEstimator(pretrained), labels.ndim == 2
        start = tiny_classifier(frozen, max_epochs=0).fit(X, quarter).predict_proba(X)
        latents = StandardScaler().fit_transform(pretrained.transform(X))
        forest = ExtraTreesClassifier(300, random_state=0)
        forest = OneVsRestClassifier(forest) if is_multilabel else forest
        forest.fit(latents[EVERY_FOURTH], labels[EVERY_FOURTH])
        targets = (start + forest.predict_proba(latents)) / 2
        targets[EVERY_FOURTH] = (labels if is_multilabel else np.eye(3)[labels])[EVERY_FOURTH]
        entropy = -targets * np.log(start)
        if is_multilabel:
            expected = (entropy - (1 - targets) * np.log(1 - start)).mean()
        else:
            expected = entropy.sum(axis=1).mean()

        params = {"max_epochs": 1, "n_frozen_epochs": 1, "augmentation": Compose(), "lr": 1e-9}
        classifier = tiny_classifier(frozen, **params, batch_size=N_RECORDS)
        loss = classifier.fit(X, quarter).history_[0]["loss"]
        assert loss == pytest.approx(expected, abs=0.01)
        labelled_alone = tiny_classifier(frozen, **params, n_trees=0).fit(X, quarter)
        assert abs(labelled_alone.history_[0]["loss"] - loss) > 0.02

    def test_no_trees_train_on_labelled_records_alone(self, X, labels, pretrained):
        frozen, spy = FrozenEstimator(pretrained), make_spy()
        semi = tiny_classifier(frozen, augmentation=spy, max_epochs=3, n_trees=0)
        semi.fit(X, hide(labels, EVERY_FOURTH))
        assert n_training_rows(spy) == 3 * EVERY_FOURTH.sum()
        few = tiny_classifier(frozen, max_epochs=3, augmentation=Compose())
        few.fit(X[EVERY_FOURTH], labels[EVERY_FOURTH])
        # unlabelled records have an effect on the scale of latents alone
        logits = [model.decision_function(X).ravel() for model in (semi, few)]
        assert np.corrcoef(logits)[0, 1] > 0.99

    def test_at_most_ten_pseudo_labels_per_label(self, X, y, pretrained):
        spy = make_spy()
        few = hide(y, np.arange(N_RECORDS) < 3)
        tiny_classifier(FrozenEstimator(pretrained), augmentation=spy, max_epochs=1).fit(X, few)
        assert n_training_rows(spy) == 3 + 10 * 3

    @pytest.mark.parametrize("is_multilabel", [False, True])
    def test_class_weights_count_once(self, pretrained, is_multilabel):
        rng = np.random.default_rng(0)
        noise = rng.normal(size=(200, N_LEADS, N_SAMPLES)).astype("f4")
        labels = np.full(200, -1)
        labels[:50] = np.arange(50) % 10 == 0  # nothing distinguishes the rare class
        labels = np.stack([labels, labels], axis=1) if is_multilabel else labels
        params = {"class_weight": "balanced", "n_frozen_epochs": 30, "max_epochs": 30}
        classifier = tiny_classifier(FrozenEstimator(pretrained), **params, batch_size=32)
        mean = classifier.fit(noise, labels).predict_proba(noise)[50:, 1].mean()
        assert 0.1 < mean < 0.5  # between the weighted regression and the trees


class TestSampler:
    @pytest.mark.parametrize("n_trees", [0, 300])
    def test_sampler_sees_labelled_records_and_there_are_no_pseudo_labels(
        self, X, y, pretrained, doubling_sampler, n_trees
    ):
        spy, is_known = make_spy(), np.arange(N_RECORDS) % 4 == 0
        classifier = tiny_classifier(FrozenEstimator(pretrained), augmentation=spy, max_epochs=1)
        classifier.set_params(sampler=doubling_sampler, n_trees=n_trees).fit(X, hide(y, is_known))
        ((X_seen, y_seen),) = doubling_sampler.calls
        np.testing.assert_array_equal(X_seen, X[is_known])
        np.testing.assert_array_equal(y_seen, y[is_known])
        assert n_training_rows(spy) == 2 * is_known.sum()

    def test_sampler_sees_class_names(self, X, y, pretrained, doubling_sampler):
        names = np.array(["c", "a", "b"])[y]
        classifier = tiny_classifier(FrozenEstimator(pretrained), sampler=doubling_sampler)
        classifier.fit(X, names)
        np.testing.assert_array_equal(doubling_sampler.calls[0][1], names)
        assert classifier.score(X, names) > 0.9

    def test_head_starts_from_resampled_records(self, X, y, pretrained, doubling_sampler):
        # twice the records have the effect of twice the C
        frozen = FrozenEstimator(pretrained)
        sampled = tiny_classifier(frozen, sampler=doubling_sampler, C=0.1, max_epochs=0).fit(X, y)
        plain = tiny_classifier(frozen, C=0.2, max_epochs=0).fit(X, y)
        np.testing.assert_allclose(sampled.predict_proba(X), plain.predict_proba(X), atol=1e-3)

    @pytest.mark.parametrize("takes_groups", [False, True])
    def test_groups_reach_a_sampler_that_takes_them(self, X, y, pretrained, takes_groups):
        calls = []

        class Plain(BaseEstimator):
            def fit_resample(self, X, y):
                calls.append(None)
                return X, y

        class Grouped(BaseEstimator):
            def fit_resample(self, X, y, groups=None):
                calls.append(groups)
                return X, y

        sampler, groups = Grouped() if takes_groups else Plain(), np.arange(N_RECORDS) // 2
        classifier = tiny_classifier(FrozenEstimator(pretrained), sampler=sampler, max_epochs=1)
        classifier.fit(X, hide(y, EVERY_FOURTH), groups=groups)
        expected = [groups[EVERY_FOURTH]] if takes_groups else [None]
        np.testing.assert_array_equal(calls, expected)

    def test_seed_reaches_the_sampler(self, X, y, pretrained):
        seeds = []

        class Seeded(BaseEstimator):
            def __init__(self, random_state=None):
                self.random_state = random_state

            def fit_resample(self, X, y):
                seeds.append(self.random_state)
                return X, y

        sampler = Seeded()
        for _ in range(2):
            tiny_classifier(FrozenEstimator(pretrained), sampler=sampler, max_epochs=0).fit(X, y)
        assert seeds[0] == seeds[1] is not None
        assert clone(sampler).random_state is None
