"""Compare BELL with other methods of pretraining, and with fewer unlabelled records.

    python benchmarks/bench_methods.py --data DIR [--rows NAME ...] [--only-table]

``DIR`` is the folder made by ``make data``, or that of PTB-XL; folds 1-8 must be complete. Twelve
leads at 100 Hz, 10 s, five superclasses. Every method pretrains once on all records of folds 1-7
without labels, and a logistic regression per class on its features learns from labels of folds 1-7
and predicts fold 8; ``_protocol.py`` describes draws, intervals and differences.

Methods have their defaults, 20 epochs and bfloat16 where the processor supports it: half an hour
each on two cores. That is twice the steps of the trials that chose the defaults of BELL, on folds
1-7; other methods share them where they have such a parameter. *An eighth* and *half* of the
records have as many steps. Intervals do not include the randomness of pretraining: one seed each.

MiniRocket runs only when it is named: it needs the extra ``bench``, in an environment of its own
(``python -m venv .venv-bench; .venv-bench/bin/pip install torch==2.13.0 -e .[bench]``).

Features and scores are cached in ``--out``, by the source of the package; figures are added to
``--figures``. ``--only-table`` prints the stored ones. The script exits with an error where a
difference of ``MARKS`` is not above zero by its interval. Branches against one encoder, and more
records against fewer, are no marks: neither made a difference.
"""

from functools import partial

from _common import draw_subset, linear_probe, trees
from _protocol import Features, Probe, run
from sklearn.base import BaseEstimator

from sklearn_bell import BELLPretrainer, ECGFeatures
from sklearn_bell.nn.encoders import ResNet1d
from sklearn_bell.pretraining import (
    BarlowTwinsPretrainer,
    BYOLPretrainer,
    CLOCSPretrainer,
    LFBTPretrainer,
    SimCLRPretrainer,
)

EPOCHS = 20
WIDE = partial(ResNet1d, channels=(32, 64, 128))


class Fewer(BaseEstimator):
    """A pretrainer on a share of the patients, with as many steps."""

    def __init__(self, pretrainer, n_times):
        self.pretrainer, self.n_times = pretrainer, n_times

    def fit(self, X, groups):
        """Pretrain on a share of the records."""
        rows = draw_subset(groups, len(X) // self.n_times)
        epochs = round(EPOCHS * len(X) / len(rows))
        self.pretrainer.set_params(max_epochs=epochs).fit(X[rows])
        return self

    def transform(self, X):
        """Return latents."""
        return self.pretrainer.transform(X)


def minirocket():
    """Return aeon's MiniRocket (extra ``bench``)."""
    from aeon.transformations.collection.convolution_based import MiniRocket

    return MiniRocket(random_state=0)


def pretrained(method=BELLPretrainer, **params):
    """Return a function that makes a pretrainer with the settings of the comparison."""
    return partial(
        method, **{"max_epochs": EPOCHS, "precision": "auto", "random_state": 0} | params
    )


BELL, WIDE_MEASURED = "BELL", "BELL, channels 32-64-128, with measurements"
wide_measured = pretrained(encoder=WIDE, measurements=ECGFeatures())
METHODS = {
    BELL: pretrained(),
    "BELL, intra-lead term alone": pretrained(gamma=1.0),
    "BELL, inter-lead term alone": pretrained(gamma=0.0),
    "BELL, one encoder for all leads": pretrained(shared_encoder=True),
    "BELL in float32": pretrained(precision="float32"),
    "BELL with measurements": pretrained(measurements=ECGFeatures()),
    "BELL, channels 32-64-128": pretrained(encoder=WIDE),
    WIDE_MEASURED: wide_measured,
    f"{WIDE_MEASURED}, an eighth of the records": lambda: Fewer(wide_measured(), 8),
    "BELL, an eighth of the records": lambda: Fewer(pretrained()(), 8),
    "BELL, half of the records": lambda: Fewer(pretrained()(), 2),
    "LFBT": pretrained(LFBTPretrainer),
    "CLOCS": pretrained(CLOCSPretrainer),
    "BYOL, all leads together": pretrained(BYOLPretrainer),
    "SimCLR, all leads together": pretrained(SimCLRPretrainer),
    "Barlow Twins, all leads together": pretrained(BarlowTwinsPretrainer),
    "untrained encoder": pretrained(max_epochs=0),
    "MiniRocket": minirocket,
    "hand-made features": ECGFeatures,
}
ROWS = {name: Probe(Features(name, make), linear_probe) for name, make in METHODS.items()}
TREES = "hand-made features, 300 extra trees"
ROWS[TREES] = Probe(Features("hand-made features", ECGFeatures), trees)
OTHERS = "LFBT", "CLOCS", *(name for name in METHODS if "together" in name), "untrained encoder"
MARKS = (  # rows of which the first is better than the second, for these numbers of labels
    (BELL, "BELL, intra-lead term alone", (1495, "all")),
    (BELL, "BELL, inter-lead term alone", (1495, "all")),
    *((BELL, name, (1495, "all")) for name in OTHERS),
    (BELL, "MiniRocket", (1495,)),
)


if __name__ == "__main__":
    task = ("superdiagnostic",)
    run(__doc__, ROWS, BELL, MARKS, file="methods", tasks=task, on_request=("MiniRocket",))
