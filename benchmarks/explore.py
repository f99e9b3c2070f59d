"""Try a setting of a pretraining method, and print a line for the research log.

    python benchmarks/explore.py --data DIR --epochs 9 gamma=0.5 "encoder=partial(VGG1d, width=1/4)"

``DIR`` is the folder of PTB-XL or the one around it. Settings are ``parameter=expression``, of
Python, with the names of ``sklearn_bell.pretraining``, ``sklearn_bell.nn.augmentation`` and
``sklearn_bell.nn.encoders``; ``method=...`` chooses the class, BELLPretrainer by default. It
pretrains on folds 1-5, without labels, and predicts folds 6-7 (superclasses, leads II, III, V1-V6,
100 Hz): macro AUROC of a logistic regression with 100 % and 10 % of the labels (mean of five
draws), every few epochs; and at the end of 300 extra trees. Folds 8-10 are not looked at. One seed:
small differences are noise.
"""

import argparse
from functools import partial

import numpy as np
import torch
from _common import draw_labels, linear_probe, machine, mean_auroc, scores_of
from sklearn.ensemble import ExtraTreesClassifier

from sklearn_bell import pretraining
from sklearn_bell.datasets import load_ptbxl
from sklearn_bell.nn import augmentation, encoders
from sklearn_bell.preprocessing import INDEPENDENT_LEADS

NAMES = {
    name: getattr(module, name)
    for module in (pretraining, augmentation, encoders)
    for name in module.__all__
} | {"partial": partial}
N_DRAWS = 5


def read_options():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("settings", nargs="*", metavar="PARAMETER=EXPRESSION")
    parser.add_argument("--data", metavar="DIR", default=None)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--every", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def main():
    """Pretrain, and print the figures on the way."""
    options = read_options()
    torch.set_num_threads(options.threads)
    settings = dict(one.split("=", 1) for one in options.settings)
    settings = {name: eval(text, NAMES) for name, text in settings.items()}
    method = settings.pop("method", pretraining.BELLPretrainer)
    data = load_ptbxl(options.data, leads=INDEPENDENT_LEADS, folds=range(1, 8), unlabelled=True)
    y, labelled = data.target, data.target.any(axis=1)
    train, test = data.fold <= 5, (data.fold > 5) & labelled

    def probe(features, make):
        figures = []
        for share, n_draws in ((1.0, 1), (0.1, N_DRAWS)):
            scores = []
            for seed in range(n_draws):
                rows = np.flatnonzero(train & labelled)
                rows = draw_labels(rows, share, y, data.groups, seed)
                model = make().fit(features[rows], y[rows])
                scores.append(scores_of(model, features[test]))
            figures.append(f"{mean_auroc(y[test], scores):.3f}")
        return "/".join(figures)

    print(f"{machine()}; {method.__name__} {' '.join(options.settings)}; seed {options.seed}")
    learner = method(max_epochs=0, random_state=options.seed, **settings).fit(data.data[train])
    for epoch in range(options.epochs + 1):
        if epoch:
            learner.partial_fit(data.data[train])
        if epoch % options.every == 0 or epoch == options.epochs:
            features = learner.transform(data.data)
            seconds = sum(entry["duration"] for entry in learner.history_)
            told = learner.history_[-1] if epoch else {}
            terms = [f"{name} {told[name]:.2f}" for name in ("intra", "inter") if name in told]
            rank = f"rank {told.get('effective_rank', 0):.1f}"
            print(
                f"epoch {epoch}: linear {probe(features, linear_probe)}",
                *terms, rank, f"{seconds:.0f} s", sep=", ", flush=True,
            )  # fmt: skip
    trees = partial(ExtraTreesClassifier, n_estimators=300, random_state=options.seed)
    print(f"epoch {options.epochs}: trees {probe(features, trees)}")


if __name__ == "__main__":
    main()
