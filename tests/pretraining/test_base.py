"""Properties of every pretraining method; a new one is covered once it is exported."""

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
from sklearn_bell.exceptions import DivergenceError, InvalidECGError
from sklearn_bell.nn.encoders import JointEncoder, ResNet1d
from tests.pretraining._cases import (
    METHODS,
    N_LEADS,
    N_SAMPLES,
    NormEncoder,
    NullCallback,
    TinyEncoder,
    make_sines,
)

# of costly tests: BELL always, the other methods in the slow run
SLOW_BUT_BELL = [
    name if name == "BELLPretrainer" else pytest.param(name, marks=pytest.mark.slow)
    for name in METHODS
]
bell_unless_slow = pytest.mark.parametrize("make", SLOW_BUT_BELL, indirect=True)


class InvalidView(nn.Module):
    """Returns NaN in one call of a network in training, and otherwise records as they are."""

    def __init__(self, number):
        super().__init__()
        self.number, self.n_calls = number, 0

    def forward(self, x, generator=None):
        self.n_calls += self.training and len(x) > 2  # not in dry runs
        return x * torch.nan if self.n_calls == self.number else x


def make_spy():
    """Return an augmentation, a function that is not copied, with all that it sees and draws."""

    def spy(x, generator):
        spy.records.append(x)
        spy.draws.append(torch.rand(1, generator=generator).item())
        spy.views.append(x + torch.randn(x.shape, generator=generator))
        return spy.views[-1]

    spy.records, spy.draws, spy.views = [], [], []
    return spy


@pytest.fixture(params=METHODS)
def make(request):
    """Make a small pretrainer of each public class."""

    def make(**params):
        defaults = {"encoder": TinyEncoder, "max_epochs": 2, "batch_size": 8, "head_width": 16}
        defaults |= {"random_state": 0, "device": "cpu"}
        return getattr(pretraining, request.param)(**{**defaults, **params})

    return make


@pytest.fixture
def in_channels(make):
    """Number of channels of the method's encoders."""
    encoder = make(max_epochs=0).fit(np.zeros((2, N_LEADS, N_SAMPLES))).encoder_[1]
    return N_LEADS if isinstance(encoder, JointEncoder) else 1


@pytest.fixture(scope="module")
def X():
    return make_sines(24)


@pytest.fixture(scope="module")
def y():
    return np.arange(24) % 2


class TestFit:
    def test_same_seed_gives_same_bits(self, make, X):
        first, second, other = make().fit(X), make().fit(X), make(random_state=1).fit(X)
        np.testing.assert_array_equal(first.transform(X), second.transform(X))
        assert (first.transform(X) != other.transform(X)).any()

    def test_fit_leaves_global_generators_alone(self, make, X):
        before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
        make(augmentation=lambda x, generator: x + torch.rand(())).fit(X)
        assert torch.equal(torch.get_rng_state(), before[0])
        np.testing.assert_array_equal(np.random.get_state()[1], before[1])
        assert random.getstate() == before[2]

    def test_fits_in_threads_equal_fits_one_by_one(self, make, X):
        latents = joblib.Parallel(n_jobs=4, backend="threading")(
            joblib.delayed(lambda: make().fit(X).transform(X))() for _ in range(4)
        )
        expected = make().fit(X).transform(X)
        np.testing.assert_array_equal(latents, [expected] * 4)

    def test_history_has_an_entry_for_every_epoch(self, make, X):
        history = make(max_epochs=3).fit(X).history_
        assert [entry["epoch"] for entry in history] == [1, 2, 3]
        for entry in history:
            assert {"loss", "latent_deviation", "effective_rank", "duration"}.issubset(entry)
            assert all(np.isfinite(value) for value in entry.values())

    def test_no_epochs_leave_the_encoder_untrained(self, make, X):
        untrained, trained = make(max_epochs=0).fit(X), make(max_epochs=1).fit(X)
        assert untrained.history_ == []
        weights = zip(untrained.encoder_.parameters(), trained.encoder_.parameters(), strict=True)
        assert not all(torch.equal(before, after) for before, after in weights)
        assert untrained.transform(X).shape == trained.transform(X).shape

    def test_two_views_of_a_step_differ(self, make, X):
        spy = make_spy()
        make(max_epochs=1, batch_size=len(X), augmentation=spy).fit(X)
        first, second = spy.views[-2:]
        assert not torch.equal(first, second)
        correlation = torch.corrcoef(torch.stack([first, second]).flatten(1))[0, 1]
        assert correlation > 0.1  # the same records

    def test_every_view_has_its_own_random_numbers(self, make, X):
        spy = make_spy()
        make(max_epochs=3, augmentation=spy).fit(X)
        assert len(spy.draws) >= 3 * 2 * 3  # epochs, views, steps
        assert len(set(spy.draws)) == len(spy.draws)

    def test_every_epoch_has_its_own_order(self, make, X):
        spy = make_spy()
        make(max_epochs=2, batch_size=2, augmentation=spy).fit(X)
        values = [x[:, 0, 0].tolist() for x in spy.records]
        first, second = np.concatenate(values)[-4 * len(X) :].reshape(2, -1)  # two views of each
        assert sorted(first) == sorted(second)
        assert (first != second).any()

    def test_encoder_and_augmentation_modules_are_copied(self, make, X, in_channels):
        class Noise(nn.Module):
            def __init__(self):
                super().__init__()
                self.scale = nn.Parameter(torch.tensor(0.1))

            def forward(self, x, generator):
                return x + self.scale * torch.randn(x.shape, generator=generator)

        encoder, noise = TinyEncoder(in_channels), Noise()
        before = {name: value.clone() for name, value in encoder.state_dict().items()}
        pretrainer = make(encoder=encoder, augmentation=noise).fit(X)
        after = encoder.state_dict()
        assert all(torch.equal(value, after[name]) for name, value in before.items())
        assert noise.scale.grad is None
        assert pretrainer.encoder is encoder

    def test_module_as_encoder_keeps_its_weights_in_clone(self, make, X, in_channels):
        pretrainer = make(encoder=TinyEncoder(in_channels))
        np.testing.assert_array_equal(
            pretrainer.fit(X).transform(X), clone(pretrainer).fit(X).transform(X)
        )

    def test_untrained_module_as_encoder_keeps_weights_and_statistics(self, make, X, in_channels):
        encoder = NormEncoder(in_channels)
        encoder.norm.running_mean += 1
        fitted = make(max_epochs=0, encoder=encoder).fit(X).encoder_.state_dict()
        for name, value in encoder.state_dict().items():
            copies = [copy for key, copy in fitted.items() if key.endswith(name)]
            assert copies
            assert all(torch.equal(copy, value) for copy in copies)

    def test_untrained_encoder_has_calibrated_batch_norm(self, make, X):
        pretrainer = make(max_epochs=0, encoder=NormEncoder, batch_size=len(X)).fit(X)
        calibrated = pretrainer.transform(X)
        with torch.no_grad():
            by_batch = pretrainer.encoder_.train()(torch.from_numpy(X)).flatten(1)
        np.testing.assert_allclose(calibrated, by_batch, rtol=0.02, atol=0.02)

    def test_encoder_may_work_in_place_and_be_lazy(self, make, X):
        class InPlace(nn.Module):
            def __init__(self, in_channels):
                super().__init__()
                self.layers = nn.Sequential(nn.ReLU(inplace=True), nn.LazyConv1d(4, 5))

            def forward(self, x):
                return self.layers(x).mean(-1)

        assert np.isfinite(make(encoder=InPlace).fit(X).transform(X)).all()

    def test_baseline_drift_hardly_changes_latents(self, make, X):
        time = np.arange(400) / 100
        X = np.tile(X, 10)  # 4 s
        drift = 3 * np.cos(2 * np.pi * 0.25 * (time + 0.005)).astype("f4")
        pretrainer = make().fit(X)
        expected = pretrainer.transform(X)
        np.testing.assert_allclose(pretrainer.transform(X + drift), expected, rtol=0.01, atol=1e-3)

    def test_memory_map_gives_same_bits_and_is_read_in_batches(
        self, make, X, tmp_path, monkeypatch
    ):
        np.save(tmp_path / "X.npy", X)
        mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
        expected = make().fit(X).transform(X)
        n_rows, read = [], np.memmap.__getitem__

        def spy(self, rows):
            values = read(self, rows)
            n_rows.append(len(values))
            return values

        monkeypatch.setattr(np.memmap, "__getitem__", spy)
        np.testing.assert_array_equal(make().fit(mapped).transform(mapped), expected)
        assert max(n_rows) <= 9


class TestInterruption:
    def test_divergence_before_the_first_epoch_ends_leaves_no_fit(self, make, X):
        with pytest.raises(DivergenceError, match=r"epoch 1, .*lr=1e\+30\. .* smaller lr\.$"):
            (pretrainer := make(lr=1e30, max_epochs=5)).fit(X)
        with pytest.raises(NotFittedError):
            pretrainer.transform(X)

    def test_divergence_keeps_the_last_complete_epoch(self, make, X):
        n_batches, n_views = 3, 6
        params = {"max_epochs": 4, "batch_size": -(-len(X) // n_batches)}
        view = InvalidView(2 * n_views + 2 + 1)  # in the third epoch, at the second step
        with pytest.raises(DivergenceError, match=r"epoch 3, step 2 of 3.*weights of epoch 2"):
            (pretrainer := make(**params, augmentation=view)).fit(X)
        expected = make(**{**params, "max_epochs": 2}, augmentation=InvalidView(0)).fit(X)
        np.testing.assert_array_equal(pretrainer.transform(X), expected.transform(X))
        assert [entry["epoch"] for entry in pretrainer.history_] == [1, 2]
        assert len(pretrainer.set_params(lr=1e-4).partial_fit(X).history_) == 3

    def test_interrupt_between_epochs_keeps_a_state_that_resumes(self, make, X):
        class Interrupt(NullCallback):
            def on_fit_task_begin(self, estimator, context):
                if context.task_name == "epoch" and len(estimator.history_) == 1:
                    raise KeyboardInterrupt

        pretrainer = make(max_epochs=3).set_callbacks(Interrupt())
        with pytest.raises(KeyboardInterrupt):
            pretrainer.fit(X)
        assert not pretrainer.encoder_.training
        pretrainer.set_callbacks().partial_fit(X)
        expected = make(max_epochs=2).fit(X)
        np.testing.assert_array_equal(pretrainer.transform(X), expected.transform(X))

    def test_callback_stops_training(self, make, X):
        class Stop(NullCallback):
            def on_fit_task_end(self, estimator, context, *, metadata=None, fitted_estimator=None):
                if context.task_name == "epoch":
                    self.latents = fitted_estimator.transform(X)
                    return metadata["epoch"] == 2

        stop = Stop()
        pretrainer = make(max_epochs=5).set_callbacks(stop).fit(X)
        assert len(pretrainer.history_) == 2
        np.testing.assert_array_equal(pretrainer.transform(X), stop.latents)

    @pytest.mark.parametrize("method", ["fit", "partial_fit"])
    def test_invalid_record_on_disk_leaves_no_fit(self, tmp_path, method):
        spoilt = np.memmap(tmp_path / "X", np.float32, "w+", shape=(8, 2, 300))
        spoilt[:] = np.random.default_rng(0).normal(size=spoilt.shape)
        spoilt[5, 1, 7] = np.nan
        bell = BELLPretrainer(TinyEncoder, head_width=8, max_epochs=1)
        with pytest.raises(InvalidECGError, match="record 5, lead 1, sample 7"):
            getattr(bell, method)(spoilt)
        with pytest.raises(NotFittedError):
            bell.transform(spoilt[:5])

    def test_invalid_record_in_a_later_partial_fit_keeps_the_fit(self, tmp_path):
        spoilt = np.memmap(tmp_path / "X", np.float32, "w+", shape=(8, 2, 300))
        spoilt[:] = np.random.default_rng(0).normal(size=spoilt.shape)
        spoilt[5, 1, 7] = np.nan
        bell = BELLPretrainer(TinyEncoder, head_width=8).partial_fit(spoilt[:5])
        with pytest.raises(InvalidECGError, match="NaN"):
            bell.partial_fit(spoilt)
        assert bell.transform(spoilt[:5]).shape == (5, 8)


class TestPartialFit:
    def test_epochs_one_by_one_equal_epochs_at_once(self, make, X):
        at_once, one_by_one = make(max_epochs=3).fit(X), make()
        for _ in range(3):
            one_by_one.partial_fit(X)
        np.testing.assert_array_equal(at_once.transform(X), one_by_one.transform(X))
        assert [entry["epoch"] for entry in one_by_one.history_] == [1, 2, 3]

    def test_pickle_continues_like_the_original(self, make, X):
        pretrainer = make().fit(X)
        copy = pickle.loads(pickle.dumps(pretrainer))
        np.testing.assert_array_equal(
            pretrainer.partial_fit(X).transform(X), copy.partial_fit(X).transform(X)
        )

    @pytest.mark.parametrize("change", [{"lr": 0.1}, {"batch_size": 12}])
    def test_changed_parameter_has_an_effect(self, make, X, change):
        same, changed = make().fit(X), make().fit(X).set_params(**change)
        assert (same.partial_fit(X).transform(X) != changed.partial_fit(X).transform(X)).any()


class TestTransform:
    @pytest.mark.parametrize("batch_size", [2, 7, 100])
    def test_latents_do_not_depend_on_the_batch_size(self, make, X, batch_size):
        pretrainer = make().fit(X)
        expected = pretrainer.transform(X)
        latents = pretrainer.set_params(batch_size=batch_size).transform(X)
        np.testing.assert_allclose(latents, expected, rtol=1e-4, atol=1e-6)

    @bell_unless_slow
    def test_record_has_the_same_bits_alone_and_among_others(self, make):
        X = make_sines(40)
        pretrainer = make(encoder=ResNet1d, max_epochs=1, batch_size=64).fit(X)
        expected = pretrainer.transform(X)
        for rows in ([3], [5, 1], range(7), range(30)):
            np.testing.assert_array_equal(pretrainer.transform(X[rows]), expected[rows])

    @pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i2"])
    @pytest.mark.filterwarnings("ignore:Expected millivolts")
    def test_latents_are_float32_for_any_dtype(self, make, X, dtype):
        pretrainer, records = make().fit(X), (100 * X).astype(dtype)
        latents = pretrainer.transform(records)
        assert latents.dtype == np.float32
        np.testing.assert_array_equal(latents, pretrainer.transform(records.astype("f4")))

    def test_out_receives_the_latents(self, make, X):
        pretrainer = make().fit(X)
        expected = pretrainer.transform(X)
        out = np.empty(expected.shape, np.float64)
        assert pretrainer.transform(X, out=out) is out
        np.testing.assert_array_equal(out, expected)

    def test_out_of_another_shape_or_dtype_raises(self, make, X):
        pretrainer = make(max_epochs=0).fit(X)
        shape = pretrainer.transform(X).shape
        for out in (np.empty(shape, int), np.empty((shape[0], shape[1] + 1))):
            with pytest.raises(InvalidECGError, match=r"Expected out to be a floating-point array"):
                pretrainer.transform(X, out=out)

    @pytest.mark.filterwarnings("ignore:Expected millivolts")
    def test_unit_of_the_records_hardly_matters(self, make, X):
        latents = make(max_epochs=20).fit_transform(X)
        in_microvolts = make(max_epochs=20).fit_transform(1000 * X)
        scaled, other = (StandardScaler().fit_transform(Z) for Z in (latents, in_microvolts))
        np.testing.assert_allclose(other, scaled, atol=0.3)
        assert np.corrcoef(other.ravel(), scaled.ravel())[0, 1] > 0.99

    def test_flat_leads_give_finite_latents(self, make, X):
        flat = X.copy()
        flat[:5] = 0.7
        assert np.isfinite(make().fit(flat).transform(flat)).all()


class TestPrecision:
    @bell_unless_slow
    def test_bfloat16_learns_like_float32(self, make):
        X = make_sines(80)
        exact, rough = (make(precision=precision).fit(X) for precision in ("float32", "bfloat16"))
        difference = rough.history_[-1]["loss"] - exact.history_[-1]["loss"]
        assert 0 < abs(difference) < 0.03 * abs(exact.history_[-1]["loss"])
        latents = [pretrainer.transform(X) for pretrainer in (exact, rough)]
        assert all(Z.dtype == np.float32 for Z in latents)
        assert np.corrcoef(latents[0].ravel(), latents[1].ravel())[0, 1] > 0.9

    @bell_unless_slow
    def test_bfloat16_rounds_latents_by_hundredths_of_their_deviation(self, make):
        X = make_sines(80)
        pretrainer = make(encoder=ResNet1d).fit(X)
        exact = pretrainer.transform(X)
        rough = pretrainer.set_params(precision="bfloat16").transform(X)
        error = np.abs(rough - exact) / exact.std(axis=0)
        assert 0 < error.mean() < 0.03

    @pytest.mark.parametrize("is_capable", [False, True])
    def test_auto_is_bfloat16_if_the_processor_has_it(self, make, X, monkeypatch, is_capable):
        expected = make(precision="bfloat16" if is_capable else "float32").fit(X)
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": is_capable})
        automatic = make(precision="auto").fit(X)
        np.testing.assert_array_equal(automatic.transform(X), expected.transform(X))


def with_gap(X):
    X = X.copy()
    X[5, 1, 2] = np.nan
    return X


class TestInvalidInput:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda X: X[:, :2], "2 lead.*3 lead"),
            (lambda X: X[..., :30], "30 samples.* 40"),
            (lambda X: X[..., None], r"4.dimension"),
            (lambda X: X[:0], r"0 sample\(s\)"),
            (with_gap, "NaN.*record 5, lead 1, sample 2"),
        ],
        ids=["leads", "samples", "dimensions", "empty", "gap"],
    )
    def test_transform_names_the_difference(self, make, X, change, message):
        with pytest.raises(InvalidECGError, match=message):
            make(max_epochs=0).fit(X).transform(change(X))

    def test_single_record_raises_in_fit(self, make, X):
        with pytest.raises(InvalidECGError, match="minimum of 2 is required"):
            make().fit(X[:1])

    def test_augmentation_that_drops_leads_raises(self, make, X):
        with pytest.raises(InvalidECGError, match="Expected augmentation to keep records and lead"):
            make(augmentation=lambda x, generator: x[:, :1]).fit(X)

    def test_records_too_short_for_the_encoder_raise(self, make, X):
        with pytest.raises(
            InvalidECGError, match=r"cannot take records of 4 samples or views of [12]"
        ):
            make().fit(X[..., :4])

    def test_encoder_that_returns_no_vectors_raises(self, make, X):
        with pytest.raises(InvalidECGError, match="Expected encoder to map"):
            make(encoder=lambda in_channels: nn.Conv1d(in_channels, 4, 3)).fit(X)

    def test_wrong_number_of_lead_names_raises(self, make, X):
        with pytest.raises(InvalidECGError, match=r"lead_names.* 2"):
            make(lead_names=["II", "V1"]).fit(X)


class TestInScikitLearn:
    def test_feature_names_are_columns_of_dataframes(self, make, X):
        pretrainer = make(lead_names=["II", "V1", "V5"]).fit(X)
        latents = pretrainer.set_output(transform="pandas").transform(X)
        assert list(latents.columns) == list(pretrainer.get_feature_names_out())
        assert latents.columns[0].endswith("_0")

    @pytest.mark.slow  # worker processes
    def test_grid_search_in_processes(self, make, X, y):
        pipeline = Pipeline([("pretrain", make(max_epochs=1)), ("clf", LogisticRegression())])
        search = GridSearchCV(pipeline, {"pretrain__lr": [1e-3, 1e-2]}, cv=2, n_jobs=2)
        assert search.fit(X, y).predict(X).shape == (24,)

    @bell_unless_slow
    def test_grid_search_with_a_skorch_net(self, make, X, y):
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

    @bell_unless_slow
    def test_grouped_cross_validation(self, make, X, y):
        pipeline = make_pipeline(make(max_epochs=1), StandardScaler(), LogisticRegression())
        groups = np.arange(24) // 2
        scores = cross_val_score(pipeline, X, y, groups=groups, cv=StratifiedGroupKFold(3))
        assert np.isfinite(scores).all()

    def test_frozen_pretrainer_is_not_trained_again(self, make, X, y):
        pretrainer = make().fit(X)
        expected = pretrainer.transform(X)
        pipeline = make_pipeline(FrozenEstimator(pretrainer), LogisticRegression())
        assert np.isfinite(cross_val_score(pipeline, X, y, cv=2)).all()
        np.testing.assert_array_equal(pretrainer.transform(X), expected)

    def test_pickle_holds_every_weight_once(self, make, X):
        pretrainer = make(max_epochs=0, head_width=512).fit(X)
        network = pretrainer._net.module_
        n_bytes = sum(t.nbytes for t in [*network.parameters(), *network.buffers()])
        assert len(pickle.dumps(pretrainer)) < 1.2 * n_bytes + 200_000

    def test_joblib_and_pickle_keep_every_bit(self, make, X, tmp_path):
        pretrainer = make().fit(X)
        joblib.dump(pretrainer, tmp_path / "pretrainer.joblib")
        loaded = joblib.load(tmp_path / "pretrainer.joblib")
        unpickled = pickle.loads(pickle.dumps(pretrainer))
        for copy in (loaded, unpickled):
            np.testing.assert_array_equal(copy.transform(X), pretrainer.transform(X))

    def test_cached_pipeline_pretrains_once(self, make, X, y, tmp_path):
        pipeline = Pipeline(
            [("pretrain", make()), ("clf", LogisticRegression())],
            memory=joblib.Memory(tmp_path, verbose=0),
        )
        first = pipeline.fit(X, y)["pretrain"]
        again = pipeline.set_params(clf__C=0.1).fit(X, y)["pretrain"]
        assert again.history_ == first.history_  # durations would differ

    @bell_unless_slow
    def test_progress_bar_counts_epochs(self, make, X, y, capsys):
        search = GridSearchCV(
            Pipeline([("pretrain", make(max_epochs=2)), ("clf", LogisticRegression())]),
            {"pretrain__lr": [1e-3]},
            cv=2,
        )
        search.set_callbacks(ProgressBar(max_propagation_depth=None)).fit(X, y)
        printed = capsys.readouterr().out
        assert type(make()).__name__ in printed
        assert "100%" in printed


@bell_unless_slow
def test_default_encoder_learns_an_unlabelled_difference(make):
    X, y = make_sines(80), np.arange(80) % 2
    latents = make(encoder=ResNet1d, max_epochs=10).fit(X).transform(X)
    probe = make_pipeline(StandardScaler(), LogisticRegression())
    assert cross_val_score(probe, latents, y, cv=4).mean() > 0.75


def test_default_view_is_half_of_the_record(make, X):
    lengths = set()

    class Encoder(TinyEncoder):
        def forward(self, x):
            if self.training:
                lengths.add(x.shape[-1])
            return super().forward(x)

    make(encoder=Encoder, max_epochs=1).fit(X)
    assert lengths == {N_SAMPLES // 2}
