"""BELL against an implementation with loops, and BELLPretrainer."""

import copy

import numpy as np
import pytest
import torch
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.random_projection import GaussianRandomProjection

from sklearn_bell import ECGFeatures, load
from sklearn_bell.datasets import make_ecg
from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.nn.encoders import LeadwiseEncoder, SharedEncoder
from sklearn_bell.pretraining import BELLPretrainer
from sklearn_bell.pretraining._bell import BELL
from sklearn_bell.pretraining._measurements import Measurer
from tests.pretraining._cases import NormEncoder, make_views, perturb, reference_mlp

SMALL = {"encoder": NormEncoder, "head_width": 8, "max_epochs": 1, "random_state": 0}


def make_bell(n_leads, gamma, decay=0.9):
    torch.manual_seed(0)
    encoder = LeadwiseEncoder([NormEncoder() for _ in range(n_leads)])
    return perturb(BELL(encoder, n_leads, n_features=4, head_width=6, gamma=gamma, decay=decay))


def reference_loss(network, views, gamma):
    """Return the loss and its terms by loops over directions, records and pairs of leads."""
    target_encoder, target_projector = network.target
    n_leads = views.shape[2]
    intra, inter = [], []
    for view, other in (views, views.flip(0)):
        y = torch.stack([network.encoder.branches[i](view[:, [i]]) for i in range(n_leads)], dim=1)
        projection = reference_mlp(network.projector, y)
        p = reference_mlp(network.predictor, projection)
        q = p
        if network.cross_predictor is not None:
            q = reference_mlp(network.cross_predictor, projection)
        with torch.no_grad():
            y2 = torch.stack(
                [target_encoder.branches[i](other[:, [i]]) for i in range(n_leads)], dim=1
            )
            z2 = reference_mlp(target_projector, y2)
        for record in range(len(view)):
            for i in range(n_leads):
                for j in range(n_leads):
                    prediction = p[record, i] if i == j else q[record, i]
                    prediction = prediction / prediction.norm()
                    target = z2[record, j] / z2[record, j].norm()
                    distance = (prediction - target).square().sum()
                    (intra if i == j else inter).append(distance)
    terms = {"intra": torch.stack(intra).mean()}
    terms["inter"] = torch.stack(inter).mean() if inter else torch.zeros(())
    gamma = gamma if n_leads > 1 else 1.0
    return {"loss": gamma * terms["intra"] + (1 - gamma) * terms["inter"], **terms}


def permuted(network, order):
    """Return the network with its leads (branches and heads) in another order."""
    n_leads = len(order)
    other = make_bell(n_leads, network.gamma)
    state = {}
    for name, value in network.state_dict().items():
        if "branches." in name:
            before, after = name.split("branches.")
            lead, rest = after.split(".", 1)
            name = f"{before}branches.{order.index(int(lead))}.{rest}"
        elif value.ndim == 3:  # weights and biases of the heads, by lead
            value = value[order]
        elif value.ndim == 1:  # batch normalisation of the heads: features of all leads in a row
            value = value.reshape(n_leads, -1)[order].flatten()
        state[name] = value
    other.load_state_dict(state)
    return other


class TestObjective:
    @pytest.mark.parametrize(
        ("n_leads", "gamma"), [(3, 0.0), (3, 0.2), (3, 0.8), (3, 1.0), (1, 0.0), (1, 0.3)]
    )
    def test_forward_matches_loops_over_leads_and_records(self, n_leads, gamma):
        network, views = make_bell(n_leads, gamma), make_views(n_leads)
        expected = reference_loss(copy.deepcopy(network), views, gamma)
        terms, latents = network(*views)
        assert set(terms) == set(expected)
        for name, value in terms.items():
            torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(latents, network.encoder(views[0]))

    @pytest.mark.parametrize(("n_leads", "gamma"), [(3, 0.0), (3, 0.2), (3, 1.0), (1, 0.3)])
    def test_gradients_match_loops_and_pass_through_the_online_network_alone(self, n_leads, gamma):
        network, views = make_bell(n_leads, gamma), make_views(n_leads)
        reference = copy.deepcopy(network)
        network(*views)[0]["loss"].backward()
        reference_loss(reference, views, gamma)["loss"].backward()
        online = dict(network.named_parameters())
        for name, weight in reference.named_parameters():
            if name.startswith("target."):
                assert not weight.requires_grad
                assert online[name].grad is None
            else:
                torch.testing.assert_close(online[name].grad, weight.grad, rtol=1e-3, atol=1e-5)

    def test_swapped_views_give_the_same_loss(self):
        first, second = make_views(3)
        there, _ = make_bell(3, 0.5)(first, second)
        back, _ = make_bell(3, 0.5)(second, first)
        torch.testing.assert_close(there["loss"], back["loss"])

    def test_permuted_leads_give_permuted_latents_and_the_same_loss(self):
        network, (first, second) = make_bell(3, gamma=0.7), make_views(3)
        order = [2, 0, 1]
        terms, latents = network(first, second)
        other_terms, other_latents = permuted(network, order)(first[:, order], second[:, order])
        for name in ("loss", "intra", "inter"):
            torch.testing.assert_close(terms[name], other_terms[name])
        torch.testing.assert_close(latents[:, order], other_latents)

    @pytest.mark.parametrize(("gamma", "is_tied"), [(1.0, False), (0.0, True)])
    def test_inter_lead_term_alone_ties_leads(self, gamma, is_tied):
        first, second = make_views(3)
        changed = first.clone()
        changed[:, 2] += torch.randn_like(changed[:, 2])  # in the target's view
        gradients = []
        for view in (first, changed):
            network = make_bell(3, gamma)
            network(view, second)[0]["loss"].backward()
            gradients.append(network.encoder.branches[0].conv.weight.grad)
        assert torch.allclose(*gradients, atol=1e-7) is not is_tied

    @pytest.mark.parametrize(
        ("n_leads", "gamma", "has_two"),
        [(3, 0.3, True), (3, 0.0, False), (3, 1.0, False), (1, 0.3, False)],
    )
    def test_cross_predictor_exists_if_both_terms_count(self, n_leads, gamma, has_two):
        assert (make_bell(n_leads, gamma).cross_predictor is not None) == has_two


class TestTarget:
    def test_target_starts_as_a_copy_of_the_online_network(self):
        network = make_bell(2, gamma=0.5)
        network.reset_target()
        online, target = network.online.state_dict(), network.target.state_dict()
        assert all(torch.equal(value, target[name]) for name, value in online.items())

    @pytest.mark.parametrize("decay", [0.0, 0.75])
    def test_target_is_the_moving_average_of_weights_and_buffers(self, decay):
        network = make_bell(2, gamma=0.5, decay=decay)
        expected = copy.deepcopy(network.target.state_dict())
        optimizer = torch.optim.SGD(network.parameters(), lr=0.5)
        for _ in range(3):
            optimizer.zero_grad()
            network(*make_views(2))[0]["loss"].backward()
            optimizer.step()
            network.after_step()
            for name, value in network.online.state_dict().items():
                if value.is_floating_point():
                    expected[name] = decay * expected[name] + (1 - decay) * value
                else:
                    expected[name] = value
        target = network.target.state_dict()
        assert any(name.endswith("running_mean") for name in target)
        for name, value in target.items():
            torch.testing.assert_close(value, expected[name])

    def test_forward_leaves_the_target_as_it_is(self):
        network = make_bell(2, gamma=0.5)
        names = [name for name, _ in network.target.named_parameters()]
        names += [name for name, _ in network.target.named_buffers() if "num_batches" not in name]
        before = copy.deepcopy(network.target.state_dict())
        network(*make_views(2))[0]["loss"].backward()
        after = network.target.state_dict()
        assert all(torch.equal(before[name], after[name]) for name in names)


class TestBELLPretrainer:
    def test_feature_names_are_lead_and_number(self):
        X = np.random.default_rng(0).normal(size=(4, 2, 20))
        bell = BELLPretrainer(NormEncoder, max_epochs=0, lead_names=["II", "V1"]).fit(X)
        expected = [f"{lead}_{i}" for lead in ("II", "V1") for i in range(4)]
        assert list(bell.get_feature_names_out()) == expected
        names = BELLPretrainer(NormEncoder, max_epochs=0).fit(X).get_feature_names_out()
        assert names[0] == "lead0_0"

    def test_latents_of_a_lead_depend_on_that_lead_alone(self):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(4, 2, 20)).astype("f4")
        bell = BELLPretrainer(**SMALL).fit(X)
        changed = X.copy()
        changed[:, 1] = rng.normal(size=(4, 20))
        before, after = bell.transform(X), bell.transform(changed)
        np.testing.assert_array_equal(before[:, :4], after[:, :4])
        assert (before[:, 4:] != after[:, 4:]).any()

    def test_shared_encoder_gives_permuted_leads_permuted_latents(self):
        X = np.random.default_rng(0).normal(size=(16, 3, 50)).astype("f4")
        bell = BELLPretrainer(shared_encoder=True, **SMALL).fit(X)
        assert isinstance(bell.encoder_[1], SharedEncoder)
        latents = bell.transform(X).reshape(16, 3, 4)
        permuted_latents = bell.transform(X[:, [2, 0, 1]]).reshape(16, 3, 4)
        np.testing.assert_allclose(permuted_latents, latents[:, [2, 0, 1]], rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("gamma", [0.0, 0.5])
    def test_lead_distances_hold_the_terms_of_the_loss(self, gamma):
        X = np.random.default_rng(0).normal(size=(10, 3, 50)).astype("f4")
        bell = BELLPretrainer(gamma=gamma, augmentation=lambda x, generator: x, **SMALL).fit(X)
        before = copy.deepcopy(bell._net.module_.state_dict())
        distances = bell.set_params(batch_size=4).lead_distances(X, random_state=0)
        module = bell._net.module_
        x = module.normalize(torch.from_numpy(X))
        with torch.no_grad():
            terms, _ = module.objective(x, x)
        assert distances.shape == (3, 3)
        assert np.diag(distances).mean() == pytest.approx(terms["intra"].item(), rel=1e-4)
        between = distances[~np.eye(3, dtype=bool)].mean()
        assert between == pytest.approx(terms["inter"].item(), rel=1e-4)
        after = module.state_dict()
        assert all(torch.equal(value, after[name]) for name, value in before.items())

    def test_heads_of_a_file_without_them_stay_new_until_an_epoch_ends(self, tmp_path):
        X = np.random.default_rng(0).normal(size=(10, 2, 100)).astype("f4")
        BELLPretrainer(head_width=8, max_epochs=0).fit(X).save(tmp_path / "bell", heads=False)
        bell = load(tmp_path / "bell")
        spoilt = np.memmap(tmp_path / "X", np.float32, "w+", shape=X.shape)
        spoilt[:] = X
        spoilt[7, 1, 9] = np.nan
        with pytest.raises(InvalidECGError, match="record 7"):
            bell.partial_fit(spoilt)
        with pytest.raises(NotFittedError, match=r"heads=False.*Call partial_fit, or fit"):
            bell.lead_distances(X)
        assert bell.partial_fit(X).lead_distances(X).shape == (2, 2)

    def test_target_of_a_file_without_heads_is_the_loaded_encoder(self, tmp_path):
        X = np.random.default_rng(0).normal(size=(10, 2, 100)).astype("f4")
        BELLPretrainer(head_width=8, max_epochs=0).fit(X).save(tmp_path / "bell", heads=False)
        net = load(tmp_path / "bell")._net
        online, target = net.module_.objective.online, net.module_.objective.target
        for name, value in online.state_dict().items():
            assert torch.equal(value, target.state_dict()[name])
        trained = [weight for group in net.optimizer_.param_groups for weight in group["params"]]
        assert {id(weight) for weight in trained} == {id(w) for w in net.module_.parameters()}

    def test_module_as_encoder_is_copied_for_every_lead(self):
        X = np.random.default_rng(0).normal(size=(4, 2, 20)).astype("f4")
        encoder = NormEncoder()
        bell = BELLPretrainer(encoder, max_epochs=0).fit(X)
        first, second = bell.encoder_[1].branches
        assert torch.equal(first.conv.weight, encoder.conv.weight)
        assert torch.equal(second.conv.weight, encoder.conv.weight)
        assert len({id(network) for network in (first, second, encoder)}) == 3


class TestMeasurements:
    X = make_ecg(
        48, classes=["normal", "lbbb"], leads=["II", "V1"], duration=5, random_state=0
    ).data

    def make(self, **params):
        params = {"max_epochs": 2, "batch_size": 16, "head_width": 16, "random_state": 0} | params
        return BELLPretrainer(measurements=ECGFeatures(), **params)

    def test_weight_zero_trains_as_without_measurements(self):
        bell = self.make(measurement_weight=0.0).fit(self.X)
        plain = self.make().set_params(measurements=None).fit(self.X)
        np.testing.assert_array_equal(bell.transform(self.X), plain.transform(self.X))
        assert bell.history_[-1]["loss"] == pytest.approx(plain.history_[-1]["loss"])

    def test_loss_is_the_sum_of_its_terms(self):
        bell = self.make(measurement_weight=0.5, gamma=0.2).fit(self.X)
        for entry in bell.history_:
            loss = 0.2 * entry["intra"] + 0.8 * entry["inter"] + 0.5 * entry["measurement"]
            assert entry["loss"] == pytest.approx(loss, rel=1e-5)

    def test_latents_predict_measurements_better_than_without(self):
        features = ECGFeatures().fit_transform(self.X)
        spread = features.std(axis=0) > 1e-3
        targets = StandardScaler().fit_transform(features[:, spread])
        errors = []
        for weight in (1.0, 0.0):
            bell = self.make(measurement_weight=weight, max_epochs=15).fit(self.X[:32])
            latents = StandardScaler().fit_transform(bell.transform(self.X))
            model = Ridge(100.0).fit(latents[:32], targets[:32])
            errors.append(np.square(model.predict(latents[32:]) - targets[32:]).mean())
        assert errors[0] < errors[1]

    def test_measurements_reach_the_loss_standardised(self):
        values = []

        def record(module, args):
            values.append(args[1])

        bell = self.make(max_epochs=1).fit(self.X)
        bell._net.module_.objective.measurer.register_forward_pre_hook(record)
        bell.partial_fit(self.X)
        values = torch.cat(values[::2]).numpy()  # of the first view
        expected = StandardScaler().fit_transform(ECGFeatures().fit_transform(self.X)).clip(-3, 3)
        np.testing.assert_allclose(np.sort(values, axis=0), np.sort(expected, axis=0), atol=1e-5)

    def test_error_is_the_mean_over_leads_and_measurements(self):
        torch.manual_seed(0)
        measurer, latents = Measurer(3, 4, 5), torch.randn(6, 3, 4)
        measurements = 3 * torch.randn(6, 5)
        flat = latents.flatten(1)
        flat = (flat - flat.mean(0)) / (flat.var(0, correction=0) + 1e-5).sqrt()
        latents_standardised, errors = flat.view_as(latents), []
        for lead in range(3):
            weight, bias = measurer.linear.weight[lead], measurer.linear.bias[lead]
            error = (latents_standardised[:, lead] @ weight + bias - measurements).abs()
            errors.append(torch.where(error < 1, error**2 / 2, error - 0.5).mean())
        torch.testing.assert_close(measurer(latents, measurements), torch.stack(errors).mean())

    @pytest.mark.parametrize("heads", [True, False])
    def test_saved_training_continues_with_the_same_scale(self, tmp_path, heads):
        bell = self.make().fit(self.X)
        bell.save(tmp_path / "bell", heads=heads)
        loaded = load(tmp_path / "bell")
        np.testing.assert_array_equal(loaded.transform(self.X), bell.transform(self.X))
        errors = [model.partial_fit(self.X[:16]).history_[-1] for model in (loaded, bell)]
        if heads:  # one step, whose error does not depend on the state of the optimiser
            assert errors[0]["measurement"] == pytest.approx(errors[1]["measurement"], rel=1e-5)
        assert errors[0]["measurement"] > 0

    def test_transformer_without_a_seed_measures_the_same_twice(self):
        class Projection(GaussianRandomProjection):
            def fit(self, X, y=None):
                return super().fit(X[:, 0])

            def transform(self, X):
                return super().transform(X[:, 0])

        params = {"max_epochs": 1, "batch_size": 16, "head_width": 16, "random_state": 0}
        bell = BELLPretrainer(measurements=Projection(3), **params)
        first, second = (clone(bell).fit(self.X).transform(self.X) for _ in range(2))
        np.testing.assert_array_equal(first, second)

    def test_transformer_sees_records_as_they_were_given(self):
        shapes = []

        class Means(TransformerMixin, BaseEstimator):
            def fit(self, X, y=None):
                shapes.append(X.shape[1:])
                return self

            def transform(self, X):
                shapes.append(X.shape[1:])
                return X.mean(axis=-1, keepdims=True)

        self.make(max_epochs=1).set_params(measurements=Means()).fit(self.X[:, 0])
        assert set(shapes) == {(500,)}

    def test_other_containers_of_transformers_train_the_same(self):
        expected = self.make(max_epochs=1).fit(self.X).transform(self.X)
        with config_context(transform_output="pandas"):
            bell = self.make(max_epochs=1).fit(self.X)
        np.testing.assert_array_equal(bell.transform(self.X), expected)

    def test_measurements_set_later_raise(self):
        bell = self.make().set_params(measurements=None).fit(self.X)
        with pytest.raises(InvalidECGError, match="Call fit"):
            bell.set_params(measurements=ECGFeatures()).partial_fit(self.X)

    def test_measurements_removed_later_have_no_effect(self):
        bell = self.make().fit(self.X).set_params(measurements=None).partial_fit(self.X)
        assert bell.history_[-1]["measurement"] > 0

    @pytest.mark.parametrize("in_pipeline", [False, True])
    def test_other_sampling_rate_raises(self, in_pipeline):
        bell = self.make().set_params(measurements__sampling_rate=200)
        if in_pipeline:
            bell.measurements = make_pipeline(bell.measurements, StandardScaler())
        with pytest.raises(InvalidECGError, match=r"100 Hz, got sampling_rate=200"):
            bell.fit(self.X)

    def test_checkpoint_resumes_to_the_same_bits(self, tmp_path):
        self.make(max_epochs=1, checkpoint=tmp_path).fit(self.X)
        resumed = self.make(max_epochs=3, checkpoint=tmp_path).fit(self.X)
        expected = self.make(max_epochs=3).fit(self.X)
        np.testing.assert_array_equal(resumed.transform(self.X), expected.transform(self.X))

    def test_missing_leads_are_measured_as_zeros(self):
        X = self.X.copy()
        X[3, 1] = np.nan
        bell = self.make(missing="zero").fit(X)
        expected = self.make().fit(np.nan_to_num(X))
        np.testing.assert_array_equal(bell.transform(X), expected.transform(np.nan_to_num(X)))
