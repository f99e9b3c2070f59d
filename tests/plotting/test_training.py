"""Tests of PretrainingDisplay."""

import numpy as np
import pytest

from sklearn_bell import BELLPretrainer, ECGClassifier
from sklearn_bell.exceptions import InvalidECGError
from sklearn_bell.plotting import PretrainingDisplay


def test_history_is_drawn(fitted):
    bell, _ = fitted
    axes = PretrainingDisplay.from_estimator(bell).axes_
    lines = {line.get_label(): list(line.get_ydata()) for line in axes[0].get_lines()}
    terms = ("loss", "intra", "inter")
    assert lines == {term: [epoch[term] for epoch in bell.history_] for term in terms}
    latents = [list(ax.get_lines()[0].get_ydata()) for ax in axes[1:]]
    names = ("latent_deviation", "effective_rank")
    assert latents == [[epoch[name] for epoch in bell.history_] for name in names]
    assert "0.99" in axes[0].get_title()


def test_untrained_estimator_raises(fitted):
    bell, ecg = fitted
    untrained = BELLPretrainer(max_epochs=0, head_width=4).fit(ecg.data)
    with pytest.raises(InvalidECGError, match="Fit a pretrainer for one epoch or more"):
        PretrainingDisplay.from_estimator(untrained)
    classifier = ECGClassifier(bell, max_epochs=1, n_trees=2).fit(ecg.data, np.arange(20) % 2)
    with pytest.raises(InvalidECGError, match="ECGClassifier has no history of pretraining"):
        PretrainingDisplay.from_estimator(classifier)
