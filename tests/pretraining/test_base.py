"""Properties of every pretraining method; a newcomer is covered the day it is exported."""

import pickle
import random

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.callback import ProgressBar
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier
from torch import nn

from sklearn_bell import BELLPretrainer, pretraining
from sklearn_bell.exceptions import CollapseWarning, DivergenceError, InvalidECGError
from sklearn_bell.nn.encoders import JointEncoder, ResNet1d

N_LEADS, N_SAMPLES = 3, 40


class LineEncoder(nn.Module):
    """Makes latents that differ, but along one line."""

    def __init__(self, in_channels=1):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(5))

    def forward(self, x):
        size = x.square().mean((1, 2)).sqrt()
        return size[:, None] * self.weight.detach() + 0 * self.weight


class BadView(nn.Module):
    """Returns records as they are, but NaN when it is called so often by a network in training."""

    def __init__(self, number):
        super().__init__()
        self.number, self.n_calls = number, 0

    def forward(self, x, generator=None):
        self.n_calls += self.training and len(x) > 2  # but in dry runs
        return x * torch.nan if self.n_calls == self.number else x


class TinyEncoder(nn.Module):
    """Small, so that the tests are fast, and with dropout, so that it draws random numbers."""

    def __init__(self, in_channels=1):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(in_channels, 4, 5), nn.BatchNorm1d(4), nn.ReLU(), nn.Dropout(0.2)
        )

    def forward(self, x):
        return self.layers(x).mean(-1)


class Normed(nn.Module):
    """Without dropout: all that differs between training and evaluation are the statistics."""

    def __init__(self, in_channels=1):
        super().__init__()
        self.conv, self.norm = nn.Conv1d(in_channels, 4, 5), nn.BatchNorm1d(4)

    def forward(self, x):
        return torch.relu(self.norm(self.conv(x))).mean(-1)


class Callback:
    """A callback of scikit-learn that does nothing."""

    def setup(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass


class ConstantEncoder(nn.Module):
    def __init__(self, in_channels):
        super().__init__()
        self.latent = nn.Parameter(torch.ones(4))

    def forward(self, x):
        return self.latent.expand(len(x), 4)


@pytest.fixture(params=pretraining.__all__)
def make(request):
    """Make a small pretrainer of each public class."""

    def make(**params):
        defaults = {"encoder": TinyEncoder, "max_epochs": 2, "batch_size": 8, "random_state": 0}
        return getattr(pretraining, request.param)(**{**defaults, "device": "cpu", **params})

    return make


@pytest.fixture
def tiny_module(make):
    """An encoder that is a module, of as many channels as the class wants."""
    encoder = make(max_epochs=0).fit(np.zeros((2, N_LEADS, N_SAMPLES))).encoder_[1]
    return TinyEncoder(N_LEADS if isinstance(encoder, JointEncoder) else 1)


def two_kinds(n_records):
    """Slow and fast sines of random phase, in turns, in noise: what is to be told apart."""
    rng = np.random.RandomState(0)
    time, phase = np.arange(N_SAMPLES), rng.uniform(0, 6, (n_records, N_LEADS, 1))
    rate = np.where(np.arange(n_records) % 2, 0.9, 0.3)[:, None, None]
    noise = 0.3 * rng.randn(n_records, N_LEADS, N_SAMPLES)
    return (np.sin(rate * time + phase) + noise).astype("f4")


@pytest.fixture(scope="module")
def X():
    return two_kinds(24)


@pytest.fixture(scope="module")
def y():
    return np.arange(24) % 2


def states(pretrainer):
    return list(pretrainer.encoder_.state_dict().values())


class TestFit:
    def test_the_same_seed_gives_the_same_bits(self, make, X):
        first, second, other = make().fit(X), make().fit(X), make(random_state=1).fit(X)
        np.testing.assert_array_equal(first.transform(X), second.transform(X))
        assert (first.transform(X) != other.transform(X)).any()

    def test_generators_of_the_caller_are_left_alone(self, make, X):
        before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
        make().fit(X)
        assert torch.equal(torch.get_rng_state(), before[0])
        np.testing.assert_array_equal(np.random.get_state()[1], before[1])
        assert random.getstate() == before[2]

    def test_threads_do_not_disturb_each_other(self, make, X):
        fits = joblib.Parallel(n_jobs=4, backend="threading")(
            joblib.delayed(lambda: make().fit(X).transform(X))() for _ in range(4)
        )
        for latents in fits:
            np.testing.assert_array_equal(latents, fits[0])

    def test_epochs_one_by_one_equal_epochs_at_once(self, make, X):
        at_once, one_by_one = make(max_epochs=3).fit(X), make()
        for _ in range(3):
            one_by_one.partial_fit(X)
        np.testing.assert_array_equal(at_once.transform(X), one_by_one.transform(X))
        assert [epoch["epoch"] for epoch in one_by_one.history_] == [1, 2, 3]

    def test_partial_fit_goes_on_after_a_pickle_as_without(self, make, X):
        pretrainer = make().fit(X)
        copy = pickle.loads(pickle.dumps(pretrainer))
        np.testing.assert_array_equal(
            pretrainer.partial_fit(X).transform(X), copy.partial_fit(X).transform(X)
        )

    def test_no_epochs_leave_the_encoder_untrained(self, make, X):
        untrained = make(max_epochs=0).fit(X)
        assert untrained.history_ == []
        trained = make(max_epochs=1).fit(X)
        assert any(
            not torch.equal(a, b) for a, b in zip(states(untrained), states(trained), strict=True)
        )
        assert untrained.transform(X).shape == trained.transform(X).shape

    def test_the_dry_run_leaves_the_encoder_as_it_is_given(self, make, X, tiny_module):
        expected = {name: value.clone() for name, value in tiny_module.state_dict().items()}
        fitted = make(max_epochs=0, encoder=tiny_module).fit(X).encoder_.state_dict()
        for name, value in expected.items():
            copies = [one for key, one in fitted.items() if key.endswith(name)]
            assert copies
            assert all(torch.equal(one, value) for one in copies)

    def test_history_tells_of_every_epoch(self, make, X):
        history = make(max_epochs=3).fit(X).history_
        assert [epoch["epoch"] for epoch in history] == [1, 2, 3]
        for epoch in history:
            assert {"loss", "latent_deviation", "effective_rank", "duration"}.issubset(epoch)
            assert all(np.isfinite(value) for value in epoch.values())

    def test_a_constant_encoder_is_told_as_a_collapse(self, make, X):
        with pytest.warns(CollapseWarning, match=r"latents of \w+ differ") as warned:
            make(encoder=ConstantEncoder).fit(X)
        assert warned[0].filename == __file__

    @pytest.mark.parametrize("encoder", [ConstantEncoder, LineEncoder])
    def test_a_collapse_is_told_while_it_happens_and_once(self, make, X, encoder):
        with pytest.warns(CollapseWarning, match="collapsed in epoch 1: the latents") as warned:
            make(encoder=encoder, max_epochs=3).fit(np.tile(X, (-(-256 // len(X)), 1, 1)))
        assert len(warned) == 1

    def test_the_two_views_of_a_step_are_drawn_apart(self, make, X):
        views = []

        def augmentation(x, generator):
            views.append(x + torch.randn(x.shape, generator=generator))
            return views[-1]

        make(max_epochs=1, batch_size=len(X), augmentation=augmentation).fit(X)
        assert not torch.equal(*views[-2:])
        assert torch.corrcoef(torch.stack(views[-2:]).flatten(1))[0, 1] > 0.2  # the same records

    def test_every_step_draws_views_of_its_own(self, make, X):
        draws = []

        def augmentation(x, generator):
            draws.append(torch.rand(1, generator=generator).item())
            return x

        make(max_epochs=3, batch_size=8, augmentation=augmentation).fit(X)
        assert len(draws) >= 3 * 2 * 3  # epochs, views, steps
        assert len(set(draws)) == len(draws)

    def test_every_epoch_has_an_order_of_its_own(self, make, X):
        seen = []

        def augmentation(x, generator):
            seen.extend(x[:, 0, 0].tolist())
            return x

        make(max_epochs=2, batch_size=2, augmentation=augmentation).fit(X)
        first, second = np.array(seen[-4 * len(X) :]).reshape(2, -1)  # two views of each
        assert sorted(first) == sorted(second)
        assert (first != second).any()

    def test_an_encoder_and_an_augmentation_that_are_modules_are_copied(self, make, X, tiny_module):
        class Noise(nn.Module):
            def __init__(self):
                super().__init__()
                self.scale = nn.Parameter(torch.tensor(0.1))

            def forward(self, x, generator):
                return x + self.scale * torch.randn(x.shape, generator=generator)

        encoder, noise = tiny_module, Noise()
        before = {k: v.clone() for k, v in encoder.state_dict().items()}
        fitted = make(encoder=encoder, augmentation=noise).fit(X)
        for name, value in encoder.state_dict().items():
            assert torch.equal(value, before[name])
        assert noise.scale.grad is None
        assert fitted.encoder is encoder

    def test_a_module_as_encoder_survives_clone_with_its_weights(self, make, X, tiny_module):
        pretrainer = make(encoder=tiny_module)
        np.testing.assert_array_equal(
            pretrainer.fit(X).transform(X), clone(pretrainer).fit(X).transform(X)
        )

    def test_encoders_may_work_in_place_or_be_lazy(self, make, X):
        class InPlace(nn.Module):
            def __init__(self, in_channels):
                super().__init__()
                self.layers = nn.Sequential(nn.ReLU(inplace=True), nn.LazyConv1d(4, 5))

            def forward(self, x):
                return self.layers(x).mean(-1)

        pretrainer = make(encoder=InPlace).fit(X)
        assert np.isfinite(pretrainer.transform(X)).all()

    def test_drift_of_the_baseline_is_not_learnt(self, make, X):
        time = np.arange(400) / 100
        X = np.tile(X, 10)  # 4 s
        drift = 3 * np.cos(2 * np.pi * 0.25 * (time + 0.005)).astype("f4")
        pretrainer = make().fit(X)
        expected = pretrainer.transform(X)
        np.testing.assert_allclose(pretrainer.transform(X + drift), expected, rtol=0.01, atol=1e-3)

    def test_a_loss_that_is_no_number_ends_the_training(self, make, X):
        with pytest.raises(DivergenceError, match=r"epoch \d.*lr=1e\+30"):
            (pretrainer := make(lr=1e30, max_epochs=5)).fit(X)
        with pytest.raises(NotFittedError):
            pretrainer.transform(X)

    def test_what_was_learnt_before_the_loss_was_no_number_is_kept(self, make, X):
        n_views = 2 * (n_batches := 3)
        of = {"max_epochs": 4, "batch_size": -(-len(X) // n_batches), "random_state": 0}
        bad = BadView(2 * n_views + 2 + 1)  # in the third epoch, at the second step
        with pytest.raises(DivergenceError, match=r"epoch 3, at step 2 of 3, with lr"):
            (pretrainer := make(**of, augmentation=bad)).fit(X)
        expected = make(**{**of, "max_epochs": 2}, augmentation=BadView(0)).fit(X)
        np.testing.assert_array_equal(pretrainer.transform(X), expected.transform(X))
        assert [one["epoch"] for one in pretrainer.history_] == [1, 2]
        pretrainer.set_params(augmentation=None).partial_fit(X)

    def test_an_untrained_encoder_knows_the_spread_of_its_layers(self, make, X):
        pretrainer = make(max_epochs=0, encoder=Normed, batch_size=len(X)).fit(X)
        settled = pretrainer.transform(X)
        encoder = pretrainer.encoder_.train()  # by the statistics of the batch itself
        with torch.no_grad():
            by_batch = encoder(torch.from_numpy(X)).flatten(1)
        np.testing.assert_allclose(settled, by_batch, rtol=0.02, atol=0.02)

    def test_an_encoder_that_was_given_with_its_weights_stays_as_it_is(self, make, X):
        joint = isinstance(make().fit(X)._net.module_.method.encoder, JointEncoder)
        given = Normed(N_LEADS if joint else 1)
        fitted = make(max_epochs=0, encoder=given).fit(X)
        found = [one for one in fitted.encoder_.modules() if isinstance(one, nn.BatchNorm1d)]
        assert all(torch.equal(one.running_mean, given.norm.running_mean) for one in found)
        assert len(found) >= 1

    def test_an_interrupt_ends_the_training_between_two_epochs(self, make, X):
        class Interrupt(Callback):
            def on_fit_task_begin(self, estimator, context):
                if context.task_name == "epoch" and len(estimator.history_) == 1:
                    raise KeyboardInterrupt

        pretrainer = make(max_epochs=3).set_callbacks(Interrupt())
        with pytest.raises(KeyboardInterrupt):
            pretrainer.fit(X)
        assert not pretrainer.encoder_.training
        whole = make(max_epochs=2).fit(X)
        pretrainer.set_callbacks().partial_fit(X)  # goes on where it was interrupted
        np.testing.assert_array_equal(pretrainer.transform(X), whole.transform(X))

    @pytest.mark.parametrize("change", [{"lr": 0.1}, {"batch_size": 12}])
    def test_partial_fit_follows_what_it_says_it_follows(self, make, X, change):
        one, other = make().fit(X), make().fit(X)
        other.set_params(**change)
        assert (one.partial_fit(X).transform(X) != other.partial_fit(X).transform(X)).any()

    def test_memory_mapped_records_give_the_same_and_are_read_by_batches(
        self, make, X, tmp_path, monkeypatch
    ):
        np.save(tmp_path / "X.npy", X)
        mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
        expected = make().fit(X).transform(X)
        most_rows = []
        read = np.memmap.__getitem__

        def counted(self, rows):
            values = read(self, rows)
            most_rows.append(len(values))
            return values

        monkeypatch.setattr(np.memmap, "__getitem__", counted)
        latents = make().fit(mapped).transform(mapped)
        np.testing.assert_array_equal(latents, expected)
        assert max(most_rows) <= 9


class TestTransform:
    def test_one_record_equals_its_row_whatever_the_batch_size(self, make, X):
        pretrainer = make().fit(X)
        latents = pretrainer.transform(X)
        np.testing.assert_allclose(pretrainer.transform(X[3:4]), latents[3:4], rtol=1e-4, atol=1e-6)
        for batch_size in (2, 7, 100):
            pretrainer.set_params(batch_size=batch_size)
            np.testing.assert_allclose(pretrainer.transform(X), latents, rtol=1e-4, atol=1e-6)

    def test_features_are_float32_whatever_comes_in(self, make, X):
        pretrainer = make().fit(X)
        for dtype in (np.float32, np.float64, np.float16):
            latents = pretrainer.transform(X.astype(dtype))
            assert latents.dtype == np.float32
        whole = (100 * X).astype(np.int16)
        expected = pretrainer.transform(whole.astype(np.float32))
        np.testing.assert_array_equal(pretrainer.transform(whole), expected)

    def test_it_scales_for_itself_whatever_the_unit(self, make, X):
        latents = make(max_epochs=20).fit_transform(X)
        in_microvolts = make(max_epochs=20).fit_transform(1000 * X)
        scaled, other = (StandardScaler().fit_transform(one) for one in (latents, in_microvolts))
        np.testing.assert_allclose(other, scaled, atol=0.3)
        assert np.corrcoef(other.ravel(), scaled.ravel())[0, 1] > 0.99

    def test_flat_leads_give_finite_features(self, make, X):
        flat = X.copy()
        flat[:5] = 0.7
        assert np.isfinite(make().fit(flat).transform(flat)).all()


def with_a_gap(X):
    X = X.copy()
    X[5, 1, 2] = np.nan
    return X


class TestBadInput:
    def test_an_augmentation_that_loses_leads_is_named(self, make, X):
        with pytest.raises(InvalidECGError, match="augmentation must keep records and leads"):
            make(augmentation=lambda x, generator: x[:, :1]).fit(X)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda X: X[:, :2], "24 records of 2 lead.s., but .* was fitted on 3 lead"),
            (lambda X: X[..., :30], "30 samples, but .* was fitted on records of 40"),
            (lambda X: X[..., None], r"got 4 dimension"),
            (lambda X: X[:0], r"0 sample\(s\)"),
            (with_a_gap, "NaN.*record 5, lead 1, sample 2"),
        ],
    )
    def test_transform_names_what_was_given_and_expected(self, make, X, change, message):
        with pytest.raises(InvalidECGError, match=message):
            make(max_epochs=0).fit(X).transform(change(X))

    def test_one_record_is_not_enough_to_fit(self, make, X):
        with pytest.raises(InvalidECGError, match="minimum of 2 is required"):
            make().fit(X[:1])

    def test_records_too_short_for_the_encoder(self, make, X):
        with pytest.raises(
            InvalidECGError, match=r"cannot take records of 4 samples, or views of [12]"
        ):
            make().fit(X[..., :4])

    def test_an_encoder_that_returns_no_vectors(self, make, X):
        with pytest.raises(InvalidECGError, match="encoder must map"):
            make(encoder=lambda in_channels: nn.Conv1d(in_channels, 4, 3)).fit(X)

    def test_lead_names_that_do_not_fit(self, make, X):
        with pytest.raises(InvalidECGError, match="but lead_names has 2: II, V1"):
            make(lead_names=["II", "V1"]).fit(X)


class TestInScikitLearn:
    def test_feature_names_say_lead_and_latent(self, make, X):
        pretrainer = make(lead_names=["II", "V1", "V5"]).fit(X)
        latents = pretrainer.set_output(transform="pandas").transform(X)
        assert list(latents.columns) == list(pretrainer.get_feature_names_out())
        assert latents.columns[0].endswith("0")

    def test_grid_search_over_pretraining_in_processes(self, make, X, y):
        pipeline = Pipeline([("pretrain", make(max_epochs=1)), ("clf", LogisticRegression())])
        search = GridSearchCV(pipeline, {"pretrain__lr": [1e-3, 1e-2]}, cv=2, n_jobs=2)
        assert search.fit(X, y).predict(X).shape == (24,)

    def test_grouped_cross_validation(self, make, X, y):
        scores = cross_val_score(
            make_pipeline(make(max_epochs=1), StandardScaler(), LogisticRegression()),
            X,
            y,
            groups=np.arange(24) // 2,
            cv=StratifiedGroupKFold(3),
        )
        assert np.isfinite(scores).all()

    def test_a_skorch_net_follows_in_a_grid_search_over_both(self, make, X, y):
        net = NeuralNetClassifier(
            nn.Linear(make().fit(X).transform(X).shape[1], 2),
            criterion=nn.CrossEntropyLoss,
            train_split=None,
            verbose=0,
            max_epochs=2,
        )
        pipeline = Pipeline(
            [("pretrain", make(max_epochs=1)), ("scale", StandardScaler()), ("net", net)]
        )
        search = GridSearchCV(pipeline, {"pretrain__lr": [1e-3, 1e-2], "net__lr": [0.1]}, cv=2)
        assert search.fit(X, y).predict_proba(X).shape == (24, 2)

    def test_a_frozen_pretrainer_is_not_trained_again(self, make, X, y):
        pretrainer = make().fit(X)
        expected = pretrainer.transform(X)
        pipeline = make_pipeline(FrozenEstimator(pretrainer), LogisticRegression())
        assert np.isfinite(cross_val_score(pipeline, X, y, cv=2)).all()
        np.testing.assert_array_equal(pretrainer.transform(X), expected)

    def test_a_pickle_holds_every_weight_once(self, make, X):
        pretrainer = make(max_epochs=0).fit(X)
        network = pretrainer._net.module_
        n_bytes = sum(t.nbytes for t in [*network.parameters(), *network.buffers()])
        assert len(pickle.dumps(pretrainer)) < 1.2 * n_bytes + 200_000

    def test_joblib_and_pickle_keep_every_bit(self, make, X, tmp_path):
        pretrainer = make().fit(X)
        joblib.dump(pretrainer, tmp_path / "pretrainer.joblib")
        for copy in (
            joblib.load(tmp_path / "pretrainer.joblib"),
            pickle.loads(pickle.dumps(pretrainer)),
        ):
            np.testing.assert_array_equal(copy.transform(X), pretrainer.transform(X))

    def test_a_cached_pipeline_pretrains_once(self, make, X, y, tmp_path):
        pipeline = Pipeline(
            [("pretrain", make()), ("clf", LogisticRegression())],
            memory=joblib.Memory(tmp_path, verbose=0),
        )
        first = pipeline.fit(X, y)["pretrain"]
        again = pipeline.set_params(clf__C=0.1).fit(X, y)["pretrain"]
        # seconds are measured anew by whoever trains anew
        assert again.history_ == first.history_

    def test_the_progress_bar_of_scikit_learn_counts_epochs(self, make, X, y, capsys):
        search = GridSearchCV(
            Pipeline([("pretrain", make(max_epochs=2)), ("clf", LogisticRegression())]),
            {"pretrain__lr": [1e-3]},
            cv=2,
        )
        search.set_callbacks(ProgressBar(max_propagation_depth=None)).fit(X, y)
        shown = capsys.readouterr().out
        assert type(make()).__name__ in shown
        assert "100%" in shown

    def test_a_callback_can_end_the_training(self, make, X):
        class Stop(Callback):
            def on_fit_task_end(self, estimator, context, *, metadata=None, fitted_estimator=None):
                if context.task_name == "epoch":
                    self.latents = fitted_estimator.transform(X)
                    return metadata["epoch"] == 2

        stop = Stop()
        pretrainer = make(max_epochs=5).set_callbacks(stop).fit(X)
        assert len(pretrainer.history_) == 2
        np.testing.assert_array_equal(pretrainer.transform(X), stop.latents)


def test_the_default_encoder_learns_a_difference_it_was_never_told(make):
    X, y = two_kinds(80), np.arange(80) % 2
    latents = make(encoder=ResNet1d, max_epochs=15).fit(X).transform(X)
    probe = make_pipeline(StandardScaler(), LogisticRegression())
    assert cross_val_score(probe, latents, y, cv=4).mean() > 0.75


def test_a_record_has_the_same_latents_alone_and_among_others(make):
    X = two_kinds(40)
    pretrainer = make(encoder=ResNet1d, max_epochs=1, batch_size=64).fit(X)
    together = pretrainer.transform(X)
    for rows in ([3], [5, 1], range(7), range(30)):
        np.testing.assert_array_equal(pretrainer.transform(X[rows]), together[rows])


def test_bfloat16_learns_what_float32_learns(make):
    X = two_kinds(80)
    exact, rough = (make(precision=precision).fit(X) for precision in ("float32", "bfloat16"))
    difference = rough.history_[-1]["loss"] - exact.history_[-1]["loss"]
    assert 0 < abs(difference) < 0.03 * abs(exact.history_[-1]["loss"])
    for pretrainer in (exact, rough):
        assert pretrainer.transform(X).dtype == np.float32
    latents = [pretrainer.transform(X).ravel() for pretrainer in (exact, rough)]
    assert np.corrcoef(latents)[0, 1] > 0.98


def test_latents_in_bfloat16_are_rounded_by_hundredths_of_their_deviation(make):
    X = two_kinds(80)
    pretrainer = make(encoder=ResNet1d).fit(X)
    exact = pretrainer.transform(X)
    rough = pretrainer.set_params(precision="bfloat16").transform(X)
    error = np.abs(rough - exact) / exact.std(axis=0)
    assert 0 < error.mean() < 0.03


@pytest.mark.parametrize("capable", [False, True])
def test_auto_is_bfloat16_where_the_processor_can(make, monkeypatch, capable):
    X = two_kinds(20)
    expected = make(precision="bfloat16" if capable else "float32").fit(X)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": capable})
    found = make(precision="auto").fit(X)
    np.testing.assert_array_equal(found.transform(X), expected.transform(X))


@pytest.mark.parametrize("method", pretraining.__all__)
def test_by_default_a_view_is_half_of_the_record(method):
    lengths = set()

    class Encoder(TinyEncoder):
        def forward(self, x):
            if self.training:
                lengths.add(x.shape[-1])
            return super().forward(x)

    getattr(pretraining, method)(Encoder, max_epochs=1, random_state=0).fit(two_kinds(20))
    assert lengths == {N_SAMPLES // 2}


def test_records_that_cannot_be_learnt_from_leave_nothing_that_looks_fitted(tmp_path):
    X = np.memmap(tmp_path / "X", np.float32, "w+", shape=(8, 2, 300))
    X[:] = np.random.default_rng(0).normal(size=X.shape)
    X[5, 1, 7] = np.nan
    for learn in (BELLPretrainer(max_epochs=1).fit, BELLPretrainer().partial_fit):
        with pytest.raises(InvalidECGError, match="record 5, lead 1, sample 7"):
            learn(X)
        with pytest.raises(NotFittedError):
            learn.__self__.transform(X[:5])
    bell = BELLPretrainer().partial_fit(X[:5])
    with pytest.raises(InvalidECGError, match="NaN"):
        bell.partial_fit(X)
    bell.transform(X[:5])
