"""Encoder that fine-tuning starts from, and the statistics of its latents."""

import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.preprocessing import StandardScaler
from torch import nn

from sklearn_bell import BELLPretrainer
from sklearn_bell.classification._encoder import (
    build_encoder,
    count_latents,
    latent_mean_std,
    pretrained_encoder,
)
from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.nn.augmentation import Compose, RandomCrop
from sklearn_bell.nn.encoders import ResNet1d
from sklearn_bell.preprocessing import RecordScaler
from sklearn_bell.pretraining import CLOCSPretrainer
from tests.classification._cases import (
    N_LEADS,
    N_RECORDS,
    N_SAMPLES,
    TinyEncoder,
    are_equal,
    copy_weights,
    tiny_pretrainer,
)

SHAPE = N_LEADS, N_SAMPLES


class TestPretrainedEncoder:
    def test_frozen_pretrainer_is_copied(self, X, pretrained):
        encoder = pretrained_encoder(FrozenEstimator(pretrained), X, SHAPE, None, None)
        assert are_equal(encoder.state_dict(), pretrained.encoder_.state_dict())
        before = copy_weights(pretrained)
        with torch.no_grad():
            for weight in encoder.parameters():
                weight.zero_()
        assert are_equal(copy_weights(pretrained), before)

    def test_unfitted_pretrainer_is_cloned_and_fitted_with_missing_parameters(self, X):
        pretrainer = tiny_pretrainer(max_epochs=1, random_state=None)
        before = pretrainer.get_params()
        encoder = pretrained_encoder(pretrainer, X, SHAPE, None, None, random_state=3)
        assert pretrainer.get_params() == before
        assert not hasattr(pretrainer, "encoder_")
        expected = tiny_pretrainer(max_epochs=1, random_state=3).fit(X)
        assert are_equal(encoder.state_dict(), expected.encoder_.state_dict())

    def test_default_is_an_untrained_bell(self, X):
        encoder = pretrained_encoder(None, X, SHAPE, None, None, random_state=0)
        assert isinstance(encoder[1].branches[0], ResNet1d)
        expected = BELLPretrainer(max_epochs=0, random_state=0).fit(X).encoder_
        assert are_equal(encoder.state_dict(), expected.state_dict())

    @pytest.mark.parametrize("method", [BELLPretrainer, CLOCSPretrainer])
    def test_groups_reach_a_pretrainer_that_takes_them(self, X, monkeypatch, method):
        calls = []
        monkeypatch.setattr(
            CLOCSPretrainer, "_fit", lambda self, X, targets: calls.append(targets) or self
        )
        pretrainer = method(TinyEncoder, max_epochs=0, head_width=8)
        groups = np.arange(N_RECORDS) // 2
        if method is CLOCSPretrainer:
            with pytest.raises(InvalidECGError, match="has no encoder_"):
                pretrained_encoder(pretrainer, X, SHAPE, groups, None)
            np.testing.assert_array_equal(calls, [groups])
        else:
            pretrained_encoder(pretrainer, X, SHAPE, groups, None)

    def test_pretrainer_of_other_records_raises(self, X, pretrained):
        frozen = FrozenEstimator(pretrained)
        with pytest.raises(InvalidECGError, match=r"1 lead.* of 60 samples.*fitted on 2 of 60"):
            pretrained_encoder(frozen, X[:, :1], (1, N_SAMPLES), None, None)

    @pytest.mark.parametrize("is_frozen", [False, True])
    def test_transformer_without_encoder_raises(self, X, is_frozen):
        scaler = FrozenEstimator(RecordScaler().fit(X)) if is_frozen else RecordScaler()
        with pytest.raises(InvalidECGError, match="got RecordScaler, which has no encoder_"):
            pretrained_encoder(scaler, X, SHAPE, None, None)


@pytest.mark.parametrize("kind", ["frozen", "unfitted", "default"])
def test_built_encoder_has_the_layers_of_the_pretrained_one(X, pretrained, kind):
    pretrainer = {"frozen": FrozenEstimator(pretrained), "unfitted": tiny_pretrainer()}.get(kind)
    built = build_encoder(pretrainer, SHAPE).state_dict()
    expected = pretrained_encoder(pretrainer, X, SHAPE, None, None).state_dict()
    assert {name: value.shape for name, value in built.items()} == {
        name: value.shape for name, value in expected.items()
    }


class TestCountLatents:
    def test_latents_of_all_leads_count(self, pretrained):
        encoder = pretrained.encoder_[1]
        assert count_latents(encoder, RandomCrop(), SHAPE, torch.device("cpu")) == N_LEADS * 6

    def test_views_too_short_raise_and_whole_records_work(self):
        encoder = nn.Sequential(nn.Conv1d(N_LEADS, 4, N_SAMPLES), nn.Flatten())
        message = r"cannot take views of 30 samples.*Compose\(\) without any keeps records of 60"
        with pytest.raises(InvalidECGError, match=message):
            count_latents(encoder, RandomCrop(), SHAPE, torch.device("cpu"))
        assert count_latents(encoder, Compose(), SHAPE, torch.device("cpu")) == 4


class TestLatentMeanStd:
    @pytest.mark.parametrize("batch_size", [1, 7, 48])
    @pytest.mark.parametrize("offset", [0.0, 1000.0])
    def test_statistics_equal_those_of_all_records_at_once(self, X, batch_size, offset):
        records = X.reshape(N_RECORDS, -1) + np.float32(offset)
        device = torch.device("cpu")
        mean, deviation = latent_mean_std(lambda x: x, records, batch_size, device)
        scaler = StandardScaler().fit(records.astype(np.float64))
        np.testing.assert_allclose(mean, scaler.mean_, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(deviation, scaler.scale_, rtol=1e-4)

    def test_constant_latents_have_deviation_one(self):
        records = np.stack([np.full(20, 0.3), np.arange(20)], axis=1).astype(np.float32)
        _, deviation = latent_mean_std(lambda x: x, records, 8, torch.device("cpu"))
        assert deviation[0] == 1.0
        assert deviation[1] == pytest.approx(np.arange(20).std())
