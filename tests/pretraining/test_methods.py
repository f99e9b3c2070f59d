"""Comparison methods against slow, obvious references."""

import copy

import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity

from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.nn.encoders import JointEncoder, LeadwiseEncoder, SharedEncoder
from sklearn_bell.pretraining import (
    BarlowTwinsPretrainer,
    BELLPretrainer,
    BYOLPretrainer,
    CLOCSPretrainer,
    LFBTPretrainer,
    SimCLRPretrainer,
)
from sklearn_bell.pretraining._bell import BELL
from sklearn_bell.pretraining._clocs import CLOCS
from sklearn_bell.pretraining._lfbt import LFBT
from sklearn_bell.pretraining._simclr import SimCLR
from tests.pretraining._cases import NormEncoder, make_views, perturb, reference_mlp

N_LEADS = 3
SMALL = {"encoder": NormEncoder, "max_epochs": 2, "batch_size": 8, "head_width": 8}
SMALL |= {"random_state": 0, "device": "cpu"}


@pytest.fixture(scope="module")
def X():
    return np.random.default_rng(0).normal(size=(16, N_LEADS, 50)).astype("f4")


def reference_byol(objective, views):
    target_encoder, target_projector = objective.target
    distances = []
    for view, other in (views, views.flip(0)):
        projection = reference_mlp(objective.projector, objective.encoder(view))
        prediction = reference_mlp(objective.predictor, projection)
        target = reference_mlp(target_projector, target_encoder(other))
        cosines = cosine_similarity(prediction[:, 0], target[:, 0].detach())
        distances += [2 - 2 * cosine for cosine in cosines]
    return sum(distances) / len(distances)


def reference_simclr(objective, views):
    z, z2 = (reference_mlp(objective.projector, objective.encoder(view))[:, 0] for view in views)
    projections, n_records = [*z, *z2], len(z)
    losses = []
    for i, projection in enumerate(projections):
        similarity = [
            torch.exp(cosine_similarity(projection, other, dim=0) / objective.temperature)
            for other in projections
        ]
        positive = (i + n_records) % (2 * n_records)
        total = sum(similarity[k] for k in range(2 * n_records) if k != i)
        losses.append(-torch.log(similarity[positive] / total))
    return sum(losses) / len(losses)


def correlation(a, b):
    a, b = a - a.mean(), b - b.mean()
    return (a * b).mean() / (a.square().mean().sqrt() * b.square().mean().sqrt())


def reference_lfbt(objective, views):
    z, z2 = (reference_mlp(objective.projector, objective.encoder(view)) for view in views)
    n_parts, n_features = z.shape[1:]
    intra, inter = [], []
    for i in range(n_parts):
        for j in range(n_parts):
            loss = 0
            for a in range(n_features):
                for b in range(n_features):
                    c = correlation(z[:, i, a], z2[:, j, b])
                    loss += (1 - c) ** 2 if a == b else objective.trade_off * c**2
            (intra if i == j else inter).append(loss / n_features)
    if n_parts == 1:
        return intra[0]
    gamma = objective.gamma
    return gamma * sum(intra) / len(intra) + (1 - gamma) * sum(inter) / len(inter)


def reference_clocs(objective, views, patients):
    latents = torch.cat([objective.encoder(view) for view in views], dim=1)
    n_records, n_views = latents.shape[:2]
    rows = latents.reshape(n_records * n_views, 1, -1)
    z = reference_mlp(objective.projector, rows).reshape(n_records, n_views, -1)
    losses = []
    for v in range(n_views):
        for w in range(n_views):
            if v == w:
                continue
            for record in range(n_records):
                similarity = torch.stack(
                    [
                        torch.exp(cosine_similarity(z[record, v], other, dim=0) / 0.5)
                        for other in z[:, w]
                    ]
                )
                probabilities = similarity / similarity.sum()
                positives = [
                    -torch.log(probability)
                    for probability, patient in zip(probabilities, patients, strict=True)
                    if patient == patients[record]
                ]
                losses.append(sum(positives) / len(positives))
    return sum(losses) / len(losses)


def joint():
    return JointEncoder(NormEncoder(N_LEADS))


def leadwise():
    return LeadwiseEncoder([NormEncoder() for _ in range(N_LEADS)])


PATIENTS = torch.tensor([0, 1, 0, 2, 1])
OBJECTIVES = {
    "BYOL": (lambda: BELL(joint(), 1, 4, 6, gamma=1.0, decay=0.9), reference_byol, ()),
    "SimCLR": (lambda: SimCLR(joint(), 4, 6, temperature=0.5), reference_simclr, ()),
    "Barlow Twins": (lambda: LFBT(joint(), 1, 4, 6, 1.0, 0.05), reference_lfbt, ()),
    "LFBT": (lambda: LFBT(leadwise(), N_LEADS, 4, 6, 0.8, 0.05), reference_lfbt, ()),
    "LFBT, between leads": (lambda: LFBT(leadwise(), N_LEADS, 4, 6, 0.0, 0.05), reference_lfbt, ()),
    "CLOCS": (
        lambda: CLOCS(SharedEncoder(NormEncoder()), 4, 6, temperature=0.5),
        reference_clocs,
        (PATIENTS,),
    ),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_objective_and_gradients_match_reference(name):
    make, reference, targets = OBJECTIVES[name]
    torch.manual_seed(0)
    objective, views = perturb(make()), make_views(N_LEADS, n_records=len(PATIENTS))
    slow = copy.deepcopy(objective)
    terms, latents = objective(*views, *targets)
    expected = reference(slow, views, *targets)
    torch.testing.assert_close(terms["loss"], expected, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(latents, objective.encoder(views[0]))
    terms["loss"].backward()
    expected.backward()
    for weight, slow_weight in zip(objective.parameters(), slow.parameters(), strict=True):
        if weight.requires_grad:
            torch.testing.assert_close(weight.grad, slow_weight.grad, rtol=1e-2, atol=1e-4)


def test_clocs_takes_every_record_as_a_patient_by_default():
    torch.manual_seed(0)
    objective = CLOCS(SharedEncoder(NormEncoder()), 4, 6, temperature=0.5)
    views = make_views(N_LEADS)
    torch.testing.assert_close(
        objective(*views)[0]["loss"], objective(*views, torch.arange(5))[0]["loss"]
    )


@pytest.mark.parametrize("method", [BYOLPretrainer, SimCLRPretrainer, BarlowTwinsPretrainer])
def test_joint_methods_have_one_encoder_for_all_leads(method, X):
    fitted = method(**SMALL).fit(X)
    assert isinstance(fitted.encoder_[1], JointEncoder)
    assert fitted.transform(X).shape == (16, 4)
    name = method.__name__.lower()
    assert list(fitted.get_feature_names_out()) == [f"{name}_{i}" for i in range(4)]


@pytest.mark.parametrize(
    ("joint", "leadwise"),
    [(BYOLPretrainer, BELLPretrainer), (BarlowTwinsPretrainer, LFBTPretrainer)],
)
def test_joint_method_equals_leadwise_method_for_one_lead(joint, leadwise, X):
    lead = X[:, :1]
    latents = [method(**SMALL).fit(lead).transform(lead) for method in (joint, leadwise)]
    np.testing.assert_array_equal(*latents)


class TestCLOCSPretrainer:
    def test_groups_change_the_latents_only_if_records_share_patients(self, X):
        alone = CLOCSPretrainer(**SMALL).fit(X)
        distinct = CLOCSPretrainer(**SMALL).fit(X, groups=np.arange(16))
        shared = CLOCSPretrainer(**SMALL).fit(X, groups=np.repeat(["a", "b", "c", "d"], 4))
        np.testing.assert_array_equal(alone.transform(X), distinct.transform(X))
        assert (alone.transform(X) != shared.transform(X)).any()

    def test_partial_fit_takes_groups(self, X):
        clocs = CLOCSPretrainer(**SMALL).fit(X).partial_fit(X, groups=np.repeat([1, 2], 8))
        assert len(clocs.history_) == 3

    def test_groups_of_another_length_raise(self, X):
        with pytest.raises(InvalidECGError, match=r"groups.*3.*16"):
            CLOCSPretrainer(**SMALL).fit(X, groups=[1, 2, 3])

    def test_views_are_the_two_halves_of_a_record(self, X):
        views = []

        def augmentation(x, generator):
            views.append(x)
            return x

        clocs = CLOCSPretrainer(**{**SMALL, "batch_size": 16, "max_epochs": 1})
        clocs.set_params(augmentation=augmentation).fit(X)
        first, second = views[-2:]
        normalized = clocs.encoder_[0](torch.from_numpy(X))
        halves = torch.cat([first, second], dim=-1)
        distance = (halves[:, None] - normalized).abs().amax((2, 3))  # (batch, n_records)
        assert sorted(distance.argmin(dim=1).tolist()) == list(range(16))
        assert distance.amin(dim=1).max() < 1e-5
