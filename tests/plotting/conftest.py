"""Fixtures of the display tests: drawing without a screen, and a fitted pretrainer."""

import pytest

from sklearn_bell import BELLPretrainer
from sklearn_bell.datasets import make_ecg


@pytest.fixture(autouse=True)
def _without_screen(figures):
    """Draw without a screen in every test of this folder."""


@pytest.fixture(scope="session")
def fitted():
    """Return a fitted pretrainer and its records."""
    ecg = make_ecg(20, leads=["II", "V1", "V5"], duration=2, sampling_rate=100, random_state=0)
    bell = BELLPretrainer(
        max_epochs=2, head_width=16, batch_size=8, lead_names=ecg.lead_names, random_state=0
    )
    return bell.fit(ecg.data), ecg
