"""Encoder that fine-tuning starts from."""

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator

from sklearn_bell import BELLPretrainer, ECGClassifier
from sklearn_bell.classification._encoder import build_encoder, fit_pretrainer
from sklearn_bell.exceptions import InvalidECGError
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
    tiny_classifier,
    tiny_pretrainer,
)

SHAPE = N_LEADS, N_SAMPLES


class TestPretrainedEncoder:
    def test_frozen_pretrainer_is_used_as_it_is(self, X, pretrained):
        assert fit_pretrainer(FrozenEstimator(pretrained), X, SHAPE, None, None) is pretrained

    def test_fine_tuning_leaves_the_frozen_pretrainer_alone(self, X, y, pretrained):
        before = copy_weights(pretrained)
        classifier = tiny_classifier(FrozenEstimator(pretrained), max_epochs=2).fit(X, y)
        assert are_equal(copy_weights(pretrained), before)
        assert not are_equal(copy_weights(classifier), before)

    def test_unfitted_pretrainer_is_cloned_and_fitted_with_missing_parameters(self, X):
        pretrainer = tiny_pretrainer(max_epochs=1, random_state=None)
        before = pretrainer.get_params()
        encoder = fit_pretrainer(pretrainer, X, SHAPE, None, None, random_state=3).encoder_
        assert pretrainer.get_params() == before
        assert not hasattr(pretrainer, "encoder_")
        expected = tiny_pretrainer(max_epochs=1, random_state=3).fit(X)
        assert are_equal(encoder.state_dict(), expected.encoder_.state_dict())

    def test_default_is_an_untrained_bell(self, X):
        default = ECGClassifier()._pretrainer
        encoder = fit_pretrainer(default, X, SHAPE, None, None, random_state=0).encoder_
        assert isinstance(encoder[1].branches[0], ResNet1d)
        expected = BELLPretrainer(max_epochs=0, random_state=0).fit(X).encoder_
        assert are_equal(encoder.state_dict(), expected.state_dict())

    def test_default_pretrainer_replaces_missing_leads_like_the_classifier(self, X, y):
        broken, zero = X.copy(), X.copy()
        broken[3, 1], zero[3, 1] = np.nan, 0
        classifier = ECGClassifier(missing="zero", max_epochs=0, n_trees=2, random_state=0)
        expected = ECGClassifier(max_epochs=0, n_trees=2, random_state=0).fit(zero, y)
        np.testing.assert_array_equal(
            classifier.fit(broken, y).predict_proba(broken), expected.predict_proba(zero)
        )

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
                fit_pretrainer(pretrainer, X, SHAPE, groups, None)
            np.testing.assert_array_equal(calls, [groups])
        else:
            fit_pretrainer(pretrainer, X, SHAPE, groups, None)

    def test_pretrainer_of_other_records_raises(self, X, pretrained):
        frozen = FrozenEstimator(pretrained)
        with pytest.raises(InvalidECGError, match=r"1 lead.* of 60 samples.*fitted on 2 of 60"):
            fit_pretrainer(frozen, X[:, :1], (1, N_SAMPLES), None, None)

    @pytest.mark.parametrize("is_frozen", [False, True])
    def test_transformer_without_encoder_raises(self, X, is_frozen):
        scaler = FrozenEstimator(RecordScaler().fit(X)) if is_frozen else RecordScaler()
        with pytest.raises(InvalidECGError, match="got RecordScaler, which has no encoder_"):
            fit_pretrainer(scaler, X, SHAPE, None, None)


@pytest.mark.parametrize("kind", ["frozen", "unfitted", "default"])
def test_built_encoder_has_the_layers_of_the_pretrained_one(X, pretrained, kind):
    pretrainer = {
        "frozen": FrozenEstimator(pretrained),
        "unfitted": tiny_pretrainer(),
        "default": ECGClassifier()._pretrainer,
    }[kind]
    built = build_encoder(pretrainer, SHAPE).state_dict()
    expected = fit_pretrainer(pretrainer, X, SHAPE, None, None).encoder_.state_dict()
    assert {name: value.shape for name, value in built.items()} == {
        name: value.shape for name, value in expected.items()
    }
