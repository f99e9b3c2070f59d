"""Try a setting of a pretraining method, and print lines for the research log.

    python benchmarks/explore.py --data DIR --epochs 9 gamma=0.5 "encoder=partial(VGG1d, width=1/4)"

``DIR`` is the folder made by ``make data``, or that of PTB-XL. By default a random subset of 4,000
records of whole patients, which takes about an hour for 20 epochs in one thread; ``--records 0``
takes all of folds 1-7. Settings are ``parameter=expression`` in Python, with the names of
``sklearn_bell.pretraining``, ``sklearn_bell.nn.augmentation`` and ``sklearn_bell.nn.encoders``;
``method=...`` chooses the class, BELLPretrainer by default. ``classifier__parameter=expression`` is
for the ECGClassifier of ``--finetune``.

Each of two runs pretrains on five of folds 1-7, without labels, and predicts the other two: 6 and 7
with seed 0, 1 and 2 with seed 1 (superclasses, leads II, III, V1-V6, 100 Hz, 10 s). Figures are
macro AUROCs with 100 % / 10 % of the labels (mean of five draws), averaged over both runs: of a
logistic regression every few epochs; and at the end of 300 extra trees, of the average of both, and
with ``--finetune`` of an ECGClassifier that has the other training records as unlabelled ones.
Differences below .005 may be noise. Folds 8-10 are not used.
"""

import argparse
from functools import partial

import joblib
import numpy as np
import torch
from _common import (
    add_records_option,
    describe_machine,
    draw_patients,
    linear_probe,
    load_ptbxl_subset,
    macro_auroc,
    predict_scores,
    trees,
    vote,
)
from sklearn.frozen import FrozenEstimator

from sklearn_bell import ECGClassifier, feature_extraction, pretraining
from sklearn_bell.nn import augmentation, encoders
from sklearn_bell.preprocessing import INDEPENDENT_LEADS

NAMES = {
    name: getattr(module, name)
    for module in (pretraining, augmentation, encoders, feature_extraction)
    for name in module.__all__
} | {"partial": partial}
SPLITS = ((6, 7), (1, 2))
N_DRAWS = 5


def read_options():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("settings", nargs="*", metavar="PARAMETER=EXPRESSION")
    parser.add_argument("--data", metavar="DIR", default=None)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--every", type=int, default=10)
    parser.add_argument("--finetune", action="store_true")
    parser.add_argument("--jobs", type=int, default=1)
    add_records_option(parser, default=4000)
    return parser.parse_args()


def probe(features, make, data, train, test):
    """Return the macro AUROC with 100 % and with 10 % of the labels."""
    y, figures = data.target, []
    for share, n_draws in ((1.0, 1), (0.1, N_DRAWS)):
        scores = []
        for seed in range(n_draws):
            rows = draw_patients(np.flatnonzero(train), share, y, data.groups, seed)
            scores.append(predict_scores(make().fit(features[rows], y[rows]), features[test]))
        figures.append(macro_auroc(y[test], scores))
    return figures


def probe_finetuned(learner, params, data, train, test, unlabelled):
    """Return the same of ECGClassifier, with the other training records as unlabelled ones."""
    y, figures = data.target, []
    for share, n_draws in ((1.0, 1), (0.1, N_DRAWS)):
        scores = []
        for seed in range(n_draws):
            rows = draw_patients(np.flatnonzero(train), share, y, data.groups, seed)
            known = np.full(y.shape, -1)
            known[rows] = y[rows]
            model = ECGClassifier(FrozenEstimator(learner), random_state=seed, **params)
            model.fit(data.data[train | unlabelled], known[train | unlabelled])
            scores.append(model.predict_proba(data.data[test]))
        figures.append(macro_auroc(y[test], scores))
    return figures


def run(number, options, data):
    """Return the figures of a split by name, and statistics of the last epoch by name."""
    torch.set_num_threads(1)
    settings = dict(setting.split("=", 1) for setting in options.settings)
    settings = {name: eval(text, NAMES) for name, text in settings.items()}
    method = settings.pop("method", pretraining.BELLPretrainer)
    classifier_names = [name for name in settings if name.startswith("classifier__")]
    params = {name.removeprefix("classifier__"): settings.pop(name) for name in classifier_names}
    labelled, held_out = data.target.any(axis=1), np.isin(data.fold, SPLITS[number])
    rows = {"train": ~held_out & labelled, "test": held_out & labelled}
    figures, statistics = {}, {}
    if not hasattr(method, "partial_fit"):
        features = np.asarray(method(**settings).fit(data.data[~held_out]).transform(data.data))
        figures["linear"] = probe(features, linear_probe, data, **rows)
    else:
        learner = method(max_epochs=0, random_state=number, **settings).fit(data.data[~held_out])
        for epoch in range(options.epochs + 1):
            if epoch:
                learner.partial_fit(data.data[~held_out])
            if epoch % options.every == 0 or epoch == options.epochs:
                features = learner.transform(data.data)
                figures[f"epoch {epoch}, linear"] = probe(features, linear_probe, data, **rows)
        for entry in learner.history_[-1:]:
            names = ("intra", "inter", "effective_rank")
            statistics = {name: entry[name] for name in names if name in entry}
            statistics["seconds"] = sum(entry["duration"] for entry in learner.history_)
    figures["trees"] = probe(features, trees, data, **rows)
    figures["vote"] = probe(features, vote, data, **rows)
    if options.finetune:
        figures["fine-tuned"] = probe_finetuned(
            learner, params, data, **rows, unlabelled=~held_out & ~labelled
        )
    return figures, statistics


def main():
    """Pretrain, and print the figures."""
    options = read_options()
    data = load_ptbxl_subset(
        options.data, options.records, folds=range(1, 8), leads=INDEPENDENT_LEADS
    )
    (figures, statistics), (more_figures, more_statistics) = joblib.Parallel(options.jobs)(
        joblib.delayed(run)(number, options, data) for number in range(len(SPLITS))
    )
    cells = [
        f"{name} " + "/".join(f"{mean:.3f}" for mean in np.mean([pair, more_figures[name]], axis=0))
        for name, pair in figures.items()
    ]
    cells += [
        f"{name} {np.mean([value, more_statistics[name]]):.3g}"
        for name, value in statistics.items()
    ]
    print(f"- `{' '.join(options.settings)}`: " + "; ".join(cells))
    print(describe_machine())


if __name__ == "__main__":
    main()
