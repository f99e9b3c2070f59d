import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from torch import nn

from sklearn_bell.nn.encoders import LeadwiseEncoder
from sklearn_bell.pretraining import BELLPretrainer
from sklearn_bell.pretraining._bell import BELL


class Encoder(nn.Module):
    def __init__(self, in_channels=1):
        super().__init__()
        self.conv, self.norm = nn.Conv1d(in_channels, 5, 3), nn.BatchNorm1d(5)

    def forward(self, x):
        return torch.relu(self.norm(self.conv(x))).mean(-1)


def bell(n_leads, gamma, decay=0.9):
    torch.manual_seed(0)
    encoder = LeadwiseEncoder([Encoder() for _ in range(n_leads)])
    return BELL(encoder, n_leads, n_features=5, head_width=6, gamma=gamma, decay=decay)


def views(n_leads, n_records=8):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, n_records, n_leads, 30, generator=generator)


def gradients(network, *two_views):
    terms, _ = network(*two_views)
    terms["loss"].backward()
    return {name: p.grad for name, p in network.named_parameters()}


def permuted(network, order):
    """The network with its leads (branches and heads) in another order."""
    n_leads = len(order)
    other = bell(n_leads, network.gamma)
    state = {}
    for name, value in network.state_dict().items():
        if "branches." in name:
            before, after = name.split("branches.")
            lead, rest = after.split(".", 1)
            name = f"{before}branches.{order.index(int(lead))}.{rest}"
        elif value.ndim == 3:  # weights and biases of the heads, one per lead
            value = value[order]
        elif value.ndim == 1:  # batch normalisation of the heads: features of all leads in a row
            value = value.reshape(n_leads, -1)[order].flatten()
        state[name] = value
    other.load_state_dict(state)
    return other


def test_relabelling_leads_and_branches_together_changes_nothing():
    network, (first, second) = bell(3, gamma=0.7), views(3)
    order = [2, 0, 1]
    terms, latent = network(first, second)
    other_terms, other_latent = permuted(network, order)(first[:, order], second[:, order])
    for name in ("loss", "intra", "inter"):
        torch.testing.assert_close(terms[name], other_terms[name])
    torch.testing.assert_close(latent[:, order], other_latent)


def test_intra_lead_alone_is_an_independent_byol_in_every_lead():
    network, (first, second) = bell(3, gamma=1.0), views(3)
    together = gradients(network, first, second)
    for lead in range(3):
        # BYOL of this lead, written out: its own branch and heads, on its own signal
        network.zero_grad()

        def head(mlp, x, lead=lead):
            hidden = x @ mlp.expand.weight[lead] + mlp.expand.bias[lead]
            width = slice(lead * 6, lead * 6 + 6)
            hidden = nn.functional.batch_norm(
                hidden, None, None, mlp.norm.weight[width], mlp.norm.bias[width], training=True
            )
            return torch.relu(hidden) @ mlp.contract.weight[lead] + mlp.contract.bias[lead]

        loss = 0
        for view, other in ((first, second), (second, first)):
            latent = network.encoder.branches[lead](view[:, [lead]])
            prediction = head(network.predictor, head(network.projector, latent))
            target_encoder, target_projector = network.target
            target = head(target_projector, target_encoder.branches[lead](other[:, [lead]]))
            cosine = nn.functional.cosine_similarity(prediction, target)
            loss = loss + (2 - 2 * cosine).mean() / 2
        loss.backward()
        for name, parameter in network.encoder.branches[lead].named_parameters():
            full_name = f"encoder.branches.{lead}.{name}"
            torch.testing.assert_close(
                parameter.grad / 3, together[full_name], rtol=1e-4, atol=1e-6
            )


def test_inter_lead_alone_ties_the_leads():
    first, second = views(3)
    changed = first.clone()
    changed[:, 2] += torch.randn_like(changed[:, 2])
    for gamma, tied in ((1.0, False), (0.0, True)):
        one = gradients(bell(3, gamma), first, second)["encoder.branches.0.conv.weight"]
        # only another lead differs, in the view that the target sees
        two = gradients(bell(3, gamma), changed, second)["encoder.branches.0.conv.weight"]
        assert torch.allclose(one, two, atol=1e-7) is not tied


@pytest.mark.parametrize(
    ("n_leads", "gamma", "two"), [(3, 0.3, True), (3, 0.0, False), (3, 1.0, False), (1, 0.3, False)]
)
def test_there_are_two_predictors_where_two_terms_count(n_leads, gamma, two):
    network = bell(n_leads, gamma)
    terms, _ = network(*views(n_leads))
    terms["loss"].backward()
    heads = [network.predictor, network.cross_predictor] if two else [network.predictor]
    assert (network.cross_predictor is not None) == two
    assert all(one.grad is not None for head in heads for one in head.parameters())


def test_gamma_fuses_the_two_terms():
    terms, _ = bell(3, gamma=0.3)(*views(3))
    torch.testing.assert_close(terms["loss"], 0.3 * terms["intra"] + 0.7 * terms["inter"])


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0])
def test_with_one_lead_the_loss_is_intra_lead_whatever_gamma(gamma):
    terms, _ = bell(1, gamma)(*views(1))
    assert terms["loss"] == terms["intra"]
    assert terms["inter"] == 0


def test_the_loss_is_symmetric_in_the_views():
    first, second = views(3)
    there, _ = bell(3, 0.5)(first, second)
    back, _ = bell(3, 0.5)(second, first)
    torch.testing.assert_close(there["loss"], back["loss"])


def test_the_target_receives_no_gradient_and_follows_by_its_average():
    network = bell(2, gamma=0.5, decay=0.75)
    found = gradients(network, *views(2))
    assert all(grad is None for name, grad in found.items() if name.startswith("target."))
    assert all(grad is not None for name, grad in found.items() if not name.startswith("target."))
    with torch.no_grad():
        for parameter in network.online.parameters():
            parameter += 1
    expected = [
        0.75 * old + 0.25 * new if old.is_floating_point() else new
        for old, new in zip(
            network.target.state_dict().values(), network.online.state_dict().values(), strict=True
        )
    ]
    network.after_step()
    for value, wanted in zip(network.target.state_dict().values(), expected, strict=True):
        torch.testing.assert_close(value, wanted)


def test_feature_names_are_lead_and_latent():
    X = np.random.RandomState(0).randn(4, 2, 20)
    fitted = BELLPretrainer(Encoder, max_epochs=0, lead_names=["II", "V1"]).fit(X)
    assert list(fitted.get_feature_names_out()) == [
        f"{lead}_{i}" for lead in ("II", "V1") for i in range(5)
    ]
    names = BELLPretrainer(Encoder, max_epochs=0).fit(X).get_feature_names_out()
    assert names[0] == "lead0_0"


def test_latents_stand_side_by_side_lead_by_lead():
    X = np.random.RandomState(0).randn(4, 2, 20).astype("f4")
    fitted = BELLPretrainer(Encoder, max_epochs=1, random_state=0).fit(X)
    changed = X.copy()
    changed[:, 1] = np.random.RandomState(1).randn(4, 20)
    before, after = fitted.transform(X), fitted.transform(changed)
    np.testing.assert_array_equal(before[:, :5], after[:, :5])
    assert (before[:, 5:] != after[:, 5:]).any()


def test_gamma_can_be_searched():
    rng = np.random.RandomState(0)
    X, y = rng.randn(12, 2, 20), np.arange(12) % 2
    pipeline = Pipeline(
        [("bell", BELLPretrainer(Encoder, max_epochs=1)), ("clf", LogisticRegression())]
    )
    search = GridSearchCV(pipeline, {"bell__gamma": [0.0, 0.5, 1.0]}, cv=2, n_jobs=2).fit(X, y)
    assert len(search.cv_results_["params"]) == 3


@torch.no_grad()
def test_a_lead_has_one_predictor_for_itself_and_one_for_the_others():
    network, both = bell(3, gamma=0.3), views(3)
    distances = torch.zeros(3, 3)
    for view, other in (both, both.flip(0)):
        projections = network.projector(network.encoder(view))
        own, others = network.predictor(projections), network.cross_predictor(projections)
        targets = network.target(other)
        for i in range(3):
            for j in range(3):
                prediction = own[:, i] if i == j else others[:, i]
                cosine = nn.functional.cosine_similarity(prediction, targets[:, j])
                distances[i, j] += (2 - 2 * cosine).mean() / 2
    terms, _ = network(*both)
    off_diagonal = ~torch.eye(3, dtype=torch.bool)
    torch.testing.assert_close(terms["intra"], distances.diag().mean())
    torch.testing.assert_close(terms["inter"], distances[off_diagonal].mean())
