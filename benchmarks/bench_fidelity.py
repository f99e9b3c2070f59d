"""Measure how like real records those are that VQVAEOverSampler makes of rare classes.

    python benchmarks/bench_fidelity.py --data DIR [--out FOLDER]

``DIR`` is the folder of PTB-XL, or the one around it. The VQ-VAE, with its defaults, and the
sampler see folds 1-7, twelve leads at 100 Hz; the classes are those of bench_rare_classes.py, and
each is raised to RAISED records. The rows are methods of that benchmark, and to compare with them

- ``held out``: the real records of these classes in fold 8;
- ``codes``: the records of the classes as they come back from their codes.

The columns:

- *told apart*: AUROC of 300 extra trees on hand-made features that tell new records from those of
  the classes in folds 1-7. New records are made of two halves of the patients apart, so that the
  trees learn from one half and are asked about the other; .5 is best;
- *heart rate*, *QRS width*: the greatest distance between the distribution functions of new and of
  real records of a class (Kolmogorov-Smirnov), averaged over classes. The width is the time, within
  120 ms of the median beat, from the first to the last slope above a sixth of the steepest, of all
  leads together;
- *nearest*: the distance from the nearest record of its classes in folds 1-7, over the size of the
  record, the median. Near 0 is a copy; records of other patients are as far as those held out;
- *Einthoven*: the size of II - I - III over that of II, the median; a real record has rounding;
- *train on new*: macro AUPRC in fold 8 of one logistic regression for each class that has learnt
  from new records of the classes instead of the real ones, and the real ones of none. ``held out``
  has what real ones give.
"""

import argparse
from pathlib import Path
from types import SimpleNamespace

import joblib
import numpy as np
from _common import linear_probe, machine, scores_of, settings_key, trees
from bench_rare_classes import OURS, RARE, keep, load_rare_of_ptbxl, sampler_of
from scipy.stats import ks_2samp
from sklearn.metrics import average_precision_score, roc_auc_score

from sklearn_bell import ECGFeatures, VQVAETransformer
from sklearn_bell.feature_extraction import detect_qrs
from sklearn_bell.preprocessing import STANDARD_LEADS

RAISED = RARE["ptbxl"][2]
METHODS = ("mixup", *OURS)


def vqvae_of(X, options):
    """Return the VQ-VAE of folds 1-7, or the one that is kept."""
    vqvae = VQVAETransformer(max_epochs=options.max_epochs, random_state=0, precision="auto")
    path = options.out / f"fidelity-vqvae-{settings_key(str(vqvae.get_params()), X.shape)}.joblib"
    if not path.exists():
        keep(vqvae.fit(X), path)
    return joblib.load(path)


def qrs_widths(X):
    """Return the width in s of the QRS complex of every record; NaN without beats."""
    widths = np.full(len(X), np.nan)
    for row, (x, beats) in enumerate(zip(X, detect_qrs(X, 100), strict=True)):
        positions = np.round(100 * beats).astype(int)
        inside = positions[(positions >= 12) & (positions < x.shape[1] - 12)]
        if len(inside):
            beat = np.median([x[:, one - 12 : one + 13] for one in inside], axis=0)
            slopes = np.abs(np.diff(beat, axis=1)).sum(axis=0)
            steep = np.flatnonzero(slopes > slopes.max() / 6)
            widths[row] = 0.01 * (steep[-1] - steep[0] + 1) if len(steep) else np.nan
    return widths


def unlike(new, y_new, real, y_real):
    """Return the distance between distributions of a quantity, averaged over classes."""
    return np.mean(
        [
            ks_2samp(new[a > 0], real[b > 0], nan_policy="omit").statistic
            for a, b in zip(y_new.T, y_real.T, strict=True)
        ]
    )


def nearest(new, y_new, X, y):
    """Return how far the nearest record of one of its classes is, over its size; the median."""
    flat, others = new.reshape(len(new), -1), X.reshape(len(X), -1)
    found = np.empty(len(new))
    for row, (x, labels) in enumerate(zip(flat, y_new, strict=True)):
        same = others[y[:, labels > 0].any(axis=1)]
        found[row] = np.sqrt(((same - x) ** 2).mean(axis=1).min() / (x**2).mean())
    return np.median(found)


def einthoven(X):
    """Return the size of II - I - III over that of II, the median over records."""
    one, two, three = X[:, 0], X[:, 1], X[:, 2]
    sizes = np.sqrt(((two - one - three) ** 2).mean(axis=1)), np.sqrt((two**2).mean(axis=1))
    return np.median(sizes[0] / np.maximum(sizes[1], 1e-6))


def told_apart(features, half, real, real_half):
    """Return how well trees of one half of the patients tell records of the other half apart."""
    found = []
    for one in (0, 1):
        both = np.concatenate([real, features])
        which = np.repeat([0, 1], [len(real), len(features)])
        here = np.concatenate([real_half, half]) == one
        model = trees().fit(both[here], which[here])
        found.append(roc_auc_score(which[~here], model.predict_proba(both[~here])[:, 1]))
    return np.mean(found)


def row_of(new, train, test):
    """Return the figures of new records, compared with the training records."""
    features, rare = features_of(new.X), train.y.any(axis=1)
    real, y_real = train.features[rare], train.y[rare]
    X = np.concatenate([train.features[~rare], features])
    y = np.concatenate([train.y[~rare], new.y])
    scores = scores_of(linear_probe().fit(X, y), test.features)
    return [
        told_apart(features, new.half, real, train.half[rare]),
        unlike(features[:, 0], new.y, real[:, 0], y_real),
        unlike(qrs_widths(new.X), new.y, qrs_widths(train.X[rare]), y_real),
        nearest(new.X, new.y, train.X[rare], y_real),
        einthoven(new.X),
        average_precision_score(test.y, scores, average="macro"),
    ]


def features_of(X):
    """Return hand-made features of twelve leads."""
    return ECGFeatures(lead_names=STANDARD_LEADS).fit_transform(X)


def raised(method, half, train, vqvae):
    """Return new records of the patients of a half, RAISED of each class with those there are."""
    of_half = train.half == half
    y = train.y[of_half]
    sampler = sampler_of(method, vqvae, y, RAISED // 2, seed=half)
    X, y_new = sampler.fit_resample(train.X[of_half], y, groups=train.groups[of_half])
    return X[len(y) :], y_new[len(y) :]


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", metavar="DIR", default=None)
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--max-epochs", type=int, default=VQVAETransformer().max_epochs)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    ran_on, data = machine(), load_rare_of_ptbxl(options, leads=STANDARD_LEADS)
    half = np.unique(data.groups, return_inverse=True)[1] % 2
    features = features_of(data.X)
    train, test = (
        SimpleNamespace(
            X=data.X[rows], y=data.y[rows], groups=data.groups[rows], half=half[rows],
            features=features[rows],
        )
        for rows in (data.fold != 8, data.fold == 8)
    )  # fmt: skip
    vqvae = vqvae_of(train.X, options)

    rare, held_out = train.y.any(axis=1), test.y.any(axis=1)
    back = vqvae.inverse_transform(vqvae.transform(train.X[rare]))
    rows = {
        "held out": SimpleNamespace(
            X=test.X[held_out], y=test.y[held_out], half=test.half[held_out]
        ),
        "codes": SimpleNamespace(X=back, y=train.y[rare], half=train.half[rare]),
    }
    for method in METHODS:
        made = [raised(method, one, train, vqvae) for one in (0, 1)]
        X, y = (np.concatenate(some) for some in zip(*made, strict=True))
        rows[method] = SimpleNamespace(X=X, y=y, half=np.repeat([0, 1], [len(x) for x, _ in made]))

    print(f"\n{ran_on}; {', '.join(data.names)}; raised to {RAISED} records each")
    heads = ("told apart", "heart rate", "QRS width", "nearest", "Einthoven", "train on new")
    print(f"| records | {' | '.join(heads)} |\n|{'---|' * (len(heads) + 1)}")
    for name, new in rows.items():
        found = row_of(new, train, test)
        if name == "held out":  # train on real ones, instead
            scores = scores_of(linear_probe().fit(train.features, train.y), test.features)
            found[-1] = average_precision_score(test.y, scores, average="macro")
        print(f"| {name} |", " | ".join(f"{one:.3f}" for one in found), "|")


if __name__ == "__main__":
    main()
