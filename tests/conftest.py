"""Fixtures of several tests."""

import matplotlib.pyplot as plt
import pytest


@pytest.fixture
def figures():
    """Draw without a screen, and close what was drawn."""
    backend = plt.get_backend()
    plt.switch_backend("Agg")
    yield
    plt.close("all")
    plt.switch_backend(backend)
