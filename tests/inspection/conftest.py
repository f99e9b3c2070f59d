"""Records with a planted signal, and models trained on them."""

import pytest

from sklearn_bell import BELLPretrainer, ECGClassifier
from tests.inspection._planted import make_planted


@pytest.fixture(scope="session")
def planted():
    return make_planted()


@pytest.fixture(scope="session")
def bell(planted):
    bell = BELLPretrainer(max_epochs=4, head_width=32, batch_size=32, random_state=0)
    return bell.fit(planted[0][:80])


@pytest.fixture(scope="session")
def classifier(planted, bell):
    X, y = planted
    classifier = ECGClassifier(bell, max_epochs=12, batch_size=16, n_trees=0, random_state=0)
    return classifier.fit(X[:80], y[:80])
