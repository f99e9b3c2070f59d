"""Measure the shipped weights, the ready classifier and hand-made features with few labels.

    python benchmarks/bench_fold8.py --data DIR [--task NAME] [--rows NAME ...] [--only-table]

``DIR`` is the folder made by ``make data``, or that of PTB-XL; folds 1-8 must be complete. Twelve
leads at 100 Hz, 10 s. Classifiers learn from labels of folds 1-7 and predict fold 8;
``_protocol.py`` describes draws, intervals and differences. Tasks are the five superclasses, and
with ``--task`` the subclasses, forms or rhythms, or all classes of LUDB in five parts. Classes with
fewer than 20 records in folds 1-7 or 5 in fold 8 are left out; in LUDB, with fewer than 8 to learn
from.

Rows are a logistic regression per class (*linear*) on the weights, of all leads or of a few;
``ECGClassifier.from_pretrained()``, complete, without forest, or with the other records of folds
1-7 as unlabelled ones; the same network from random weights, with its own learning rate and epochs;
and baselines without pretraining.

The shipped weights have seen folds 1-7 without labels, but no record of fold 8 and of LUDB. Fold 8
is easier than fold 10: never set a figure of this script beside a published one.

Features and scores are cached in ``--out``, by the source and weights of the package. Figures are
added to ``--figures``. ``--only-table`` prints the stored ones. The script exits with an error
where a difference of ``MARKS`` is not above zero by its interval.
"""

from functools import partial

from _common import linear_probe, trees
from _protocol import Average, Classifier, Features, Probe, run

from sklearn_bell import BELLPretrainer, ECGClassifier, ECGFeatures
from sklearn_bell.nn.encoders import ResNet1d
from sklearn_bell.preprocessing import INDEPENDENT_LEADS, STANDARD_LEADS

LEADS = {  # subsets of the twelve
    "8 leads": INDEPENDENT_LEADS,
    "6 limb leads": STANDARD_LEADS[:6],
    "II and V1": ("II", "V1"),
    "I alone": ("I",),
    "II alone": ("II",),
}
ENCODER = partial(ResNet1d, channels=(32, 64, 112), n_features=96)  # that of the shipped weights
HAND_MADE = Features("hand-made", ECGFeatures)
SHIPPED = Features("shipped", BELLPretrainer.from_pretrained, is_fitted=True)
UNTRAINED = Features("untrained", partial(BELLPretrainer, ENCODER, max_epochs=0, random_state=0))
BASELINE = "hand-made features, 300 extra trees"
AVERAGE = "shipped weights, linear, and hand-made features, 300 extra trees: average"
READY = "ECGClassifier.from_pretrained()"
LINEAR = "shipped weights, linear"
SCRATCH = "network from random weights"
NETWORK = f"{READY}, network alone"


def ready(seed, **params):
    """Return the ready classifier."""
    return ECGClassifier.from_pretrained(random_state=seed, **params)


def from_scratch(seed):
    """Return the network of the ready classifier with random weights."""
    bell = BELLPretrainer(ENCODER, max_epochs=0)
    return ECGClassifier(bell, features=None, encoder_lr=1e-3, max_epochs=30, random_state=seed)


def of_leads(leads):
    """Return the features of some leads by the shipped weights."""
    transformer = partial(BELLPretrainer.from_pretrained, leads=leads)
    return Features("shipped", transformer, [STANDARD_LEADS.index(x) for x in leads], True)


ROWS = {
    READY: Classifier(ready),
    f"{READY}, other records unlabelled": Classifier(ready, with_unlabelled=True),
    NETWORK: Classifier(partial(ready, features=None)),
    SCRATCH: Classifier(from_scratch),
    LINEAR: Probe(SHIPPED, linear_probe),
    "untrained encoder, linear": Probe(UNTRAINED, linear_probe),
    BASELINE: Probe(HAND_MADE, trees),
    AVERAGE: Average(Probe(SHIPPED, linear_probe), Probe(HAND_MADE, trees)),
    "hand-made features, linear": Probe(HAND_MADE, linear_probe),
    **{
        f"shipped weights, {name}, linear": Probe(of_leads(leads), linear_probe)
        for name, leads in LEADS.items()
    },
}
# rows of which the first is better than the second, for these numbers of labels. With 20 labels the
# ready classifier is no better than trees
MARKS = (
    (LINEAR, "untrained encoder, linear", (20, 150, 1495, "10 %", "all")),
    (AVERAGE, BASELINE, (150, 1495, "all")),
    (READY, BASELINE, (150, 1495, "10 %", "all")),
    (NETWORK, SCRATCH, (1495, "10 %")),
)


if __name__ == "__main__":
    run(__doc__, ROWS, BASELINE, MARKS, file="fold8-{}")
