"""Objective, the module that trains it, and BasePretrainer, with a new method."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from sklearn_bell.nn.encoders import LeadwiseEncoder
from sklearn_bell.pretraining import BasePretrainer, Objective
from sklearn_bell.pretraining._objective import SSLModule
from tests.pretraining._cases import NormEncoder, make_sines


class Agreement(Objective):
    """Mean squared difference of the latents of two views; counts its steps."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder, self.n_steps, self.calls = encoder, 0, []

    def forward(self, view, other, *targets):
        self.calls.append((view, other, *targets))
        latents = self.encoder(view)
        difference = (latents - self.encoder(other)).square().mean()
        return {"loss": difference, "half": difference / 2}, latents

    def after_step(self):
        self.n_steps += 1


class AgreementPretrainer(BasePretrainer):
    def __init__(
        self,
        encoder=NormEncoder,
        *,
        augmentation=None,
        max_epochs=2,
        epoch_size=None,
        batch_size=8,
        lr=1e-3,
        lead_names=None,
        sampling_rate=100,
        missing="error",
        device="cpu",
        precision="float32",
        verbose=False,
        checkpoint=None,
        random_state=None,
    ):
        self.encoder, self.augmentation = encoder, augmentation
        self.max_epochs, self.epoch_size = max_epochs, epoch_size
        self.batch_size, self.lr = batch_size, lr
        self.lead_names, self.sampling_rate = lead_names, sampling_rate
        self.missing, self.device, self.precision = missing, device, precision
        self.verbose, self.checkpoint, self.random_state = verbose, checkpoint, random_state

    def _make_objective(self, encoder, n_parts, n_features):
        assert (n_parts, n_features) == (self.n_leads_in_, 4)
        return Agreement(encoder)


def make_module(n_leads=2):
    torch.manual_seed(0)
    objective = Agreement(LeadwiseEncoder([NormEncoder() for _ in range(n_leads)]))

    def make_views(x, generator):
        return x + 1, x + torch.rand((), generator=generator)

    return SSLModule(lambda x: 10 * x, make_views, objective)


class TestSSLModule:
    def test_objective_sees_two_views_of_normalised_records_and_the_targets(self):
        module, x, target = make_module(), torch.randn(4, 2, 20), torch.arange(4)
        module.begin_epoch(0)
        terms = module((x, target), torch.Generator().manual_seed(3))
        ((view, other, seen_target),) = module.objective.calls
        shift = torch.rand((), generator=torch.Generator().manual_seed(3))
        torch.testing.assert_close(view, 10 * x + 1)
        torch.testing.assert_close(other, 10 * x + shift)
        assert seen_target is target
        assert terms["half"] == terms["loss"] / 2

    def test_summary_holds_statistics_of_all_latents_of_the_epoch(self):
        module, x = make_module(), torch.randn(12, 2, 20)
        module.begin_epoch(0)
        batches = x.split(4)
        for batch in batches:
            module(batch, torch.Generator())
        latents = torch.cat([module.objective.encoder(10 * batch + 1) for batch in batches])
        size = latents.square().sum(2).mean(0).sqrt()  # (n_leads,)
        deviation = latents.var(0, correction=0).sum(1).sqrt() / size
        summary = module.summarize_epoch({"loss": 1.0}, lambda value: [value])
        assert summary["loss"] == 1.0
        assert summary["latent_deviation"] == pytest.approx(deviation.min().item(), rel=1e-4)
        assert 1 <= summary["effective_rank"] <= 4

    def test_statistics_of_other_processes_are_merged(self):
        module, x = make_module(), torch.randn(12, 2, 20)
        summaries, statistics = [], []
        for rows in (slice(0, 12), slice(0, 6), slice(6, 12)):
            module.begin_epoch(0)
            module.statistics.update(x[rows])
            statistics.append(module.statistics.cpu())
        module.statistics = statistics[0]
        summaries.append(module.summarize_epoch({}, lambda value: [value]))
        summaries.append(module.summarize_epoch({}, lambda value: statistics[1:]))
        assert summaries[1] == pytest.approx(summaries[0], rel=1e-4)

    def test_begin_epoch_forgets_the_latents_of_the_last(self):
        module = make_module()
        for epoch in range(2):
            module.begin_epoch(epoch)
            module(torch.randn(4, 2, 20), torch.Generator())
        assert module.statistics.n == 4

    def test_after_step_reaches_the_objective(self):
        module = make_module()
        module.after_step()
        assert module.objective.n_steps == 1


class TestObjective:
    def test_hooks_do_nothing_by_default(self):
        objective = Objective()
        assert objective.after_step() is None
        assert objective.reset_target() is None


class TestBasePretrainer:
    def test_abstract_class_cannot_be_constructed(self):
        with pytest.raises(TypeError, match="_make_objective"):
            BasePretrainer()

    def test_subclass_trains_and_records_every_term(self):
        X = make_sines(24)
        pretrainer = AgreementPretrainer(random_state=0).fit(X)
        objective = pretrainer._net.module_.objective
        assert objective.n_steps == 2 * 3  # epochs, batches
        assert pretrainer.transform(X).shape == (24, 3 * 4)
        keys = ["epoch", "loss", "half", "latent_deviation", "effective_rank", "duration"]
        for entry in pretrainer.history_:
            assert list(entry) == keys
            assert entry["half"] == pytest.approx(entry["loss"] / 2)

    def test_subclass_is_cloned_and_reproducible(self):
        X = make_sines(24)
        pretrainer = AgreementPretrainer(random_state=0)
        first, second = (clone(pretrainer).fit(X).transform(X) for _ in range(2))
        np.testing.assert_array_equal(first, second)

    def test_encoder_alone_takes_part_in_transform(self):
        X = make_sines(8)
        pretrainer = AgreementPretrainer(random_state=0).fit(X)
        assert isinstance(pretrainer.encoder_, nn.Sequential)
        with torch.no_grad():
            latents = pretrainer.encoder_(torch.from_numpy(X)).flatten(1)
        np.testing.assert_allclose(pretrainer.transform(X), latents, rtol=1e-4, atol=1e-5)
