"""Measure how closely synthetic records of rare classes resemble real ones.

    python benchmarks/bench_fidelity.py --data DIR [--out FOLDER] [--records N]

``DIR`` is the folder made by ``make data``, or that of PTB-XL. By default a random subset of 2,400
records of whole patients (about half an hour on two cores); ``--records 0`` takes all 17,418. The
VQ-VAE, with its defaults, and the sampler see folds 1-7, twelve leads at 100 Hz; the classes are
those of bench_rare_classes.py, and each is raised to RAISED records. Rows are methods of that
benchmark, and for comparison

- ``held out``: the real records of these classes in fold 8;
- ``codes``: the records of the classes, decoded from their codes.

Columns:

- *discriminated*: AUROC of 300 extra trees on hand-made features that discriminate synthetic
  records from those of the classes in folds 1-7. Synthetic records come from two separate halves of
  the patients, so that the trees learn from one half and are tested on the other; .5 is best;
- *heart rate*, *QRS width*: the greatest distance between the distribution functions of synthetic
  and real records of a class (Kolmogorov-Smirnov), averaged over classes. The width is the time,
  within 120 ms of the median beat, from the first to the last slope above a sixth of the steepest,
  of all leads together;
- *nearest*: the distance from the nearest record of its classes in folds 1-7, over the size of the
  record, the median. Near 0 is a copy; records of other patients are as far as those held out;
- *Einthoven*: the size of II - I - III over that of II, the median; in a real record, rounding;
- *train on synthetic*: macro AUPRC in fold 8 of one logistic regression per class, trained on
  synthetic records of the classes in place of the real ones, and real records of none. ``held out``
  has the figure of real ones.
"""

import argparse
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import joblib
import numpy as np
from _common import (
    add_records_option,
    describe_machine,
    linear_probe,
    predict_scores,
    settings_key,
    trees,
    write_whole,
)
from bench_rare_classes import OURS, RARE, load_rare_ptbxl, make_sampler
from scipy.stats import ks_2samp
from sklearn.metrics import average_precision_score, roc_auc_score

from sklearn_bell import ECGFeatures, VQVAETransformer
from sklearn_bell.feature_extraction import detect_qrs
from sklearn_bell.preprocessing import STANDARD_LEADS

RAISED = RARE["ptbxl"][2]
METHODS = ("mixup", *OURS)
COLUMNS = ("discriminated", "heart rate", "QRS width", "nearest", "Einthoven", "train on synthetic")


def load_vqvae(X, options):
    """Return the VQ-VAE of folds 1-7, cached."""
    vqvae = VQVAETransformer(max_epochs=options.max_epochs, random_state=0, precision="auto")
    path = options.out / f"fidelity-vqvae-{settings_key(str(vqvae.get_params()), X.shape)}.joblib"
    if not path.exists():
        write_whole(partial(joblib.dump, vqvae.fit(X)), path)
    return joblib.load(path)


def qrs_widths(X):
    """Return the width in s of the QRS complex of every record; NaN without beats."""
    widths = np.full(len(X), np.nan)
    for row, (x, beats) in enumerate(zip(X, detect_qrs(X, 100), strict=True)):
        positions = np.round(100 * beats).astype(int)
        inside = positions[(positions >= 12) & (positions < x.shape[1] - 12)]
        if len(inside):
            beat = np.median([x[:, at - 12 : at + 13] for at in inside], axis=0)
            slopes = np.abs(np.diff(beat, axis=1)).sum(axis=0)
            steep = np.flatnonzero(slopes > slopes.max() / 6)
            widths[row] = 0.01 * (steep[-1] - steep[0] + 1) if len(steep) else np.nan
    return widths


def distribution_distance(synthetic, y_synthetic, real, y_real):
    """Return the distance between distributions of a quantity, averaged over classes."""
    distances = [
        ks_2samp(synthetic[a > 0], real[b > 0], nan_policy="omit").statistic
        for a, b in zip(y_synthetic.T, y_real.T, strict=True)
    ]
    return np.mean(distances)


def nearest_distance(synthetic, y_synthetic, X, y):
    """Return the median distance to the nearest record of a common class, over the size."""
    flat = X.reshape(len(X), -1)
    distances = np.empty(len(synthetic))
    for row, (x, labels) in enumerate(zip(synthetic, y_synthetic, strict=True)):
        same_class = flat[y[:, labels > 0].any(axis=1)]
        squares = ((same_class - x.ravel()) ** 2).mean(axis=1)
        distances[row] = np.sqrt(squares.min() / (x**2).mean())
    return np.median(distances)


def einthoven_error(X):
    """Return the size of II - I - III over that of II, the median over records."""
    i, ii, iii = X[:, 0], X[:, 1], X[:, 2]
    sizes = np.sqrt(((ii - i - iii) ** 2).mean(axis=1)), np.sqrt((ii**2).mean(axis=1))
    return np.median(sizes[0] / np.maximum(sizes[1], 1e-6))


def discrimination(features, half, real, real_half):
    """Return the AUROC of trees that discriminate synthetic records, across patient halves."""
    X = np.concatenate([real, features])
    is_synthetic = np.repeat([0, 1], [len(real), len(features)])
    in_second = np.concatenate([real_half, half]) == 1
    aurocs = []
    for train in (~in_second, in_second):
        model = trees().fit(X[train], is_synthetic[train])
        scores = model.predict_proba(X[~train])[:, 1]
        aurocs.append(roc_auc_score(is_synthetic[~train], scores))
    return np.mean(aurocs)


def measure(synthetic, train, test):
    """Return the figures of synthetic records, compared with the training records."""
    features, rare = hand_made_features(synthetic.X), train.y.any(axis=1)
    real, y_real = train.features[rare], train.y[rare]
    X = np.concatenate([train.features[~rare], features])
    y = np.concatenate([train.y[~rare], synthetic.y])
    widths = qrs_widths(synthetic.X), qrs_widths(train.X[rare])
    return [
        discrimination(features, synthetic.half, real, train.half[rare]),
        distribution_distance(features[:, 0], synthetic.y, real[:, 0], y_real),
        distribution_distance(widths[0], synthetic.y, widths[1], y_real),
        nearest_distance(synthetic.X, synthetic.y, train.X[rare], y_real),
        einthoven_error(synthetic.X),
        probe_auprc(X, y, test),
    ]


def probe_auprc(X, y, test):
    """Return the macro AUPRC of a linear probe on the test records."""
    scores = predict_scores(linear_probe().fit(X, y), test.features)
    return average_precision_score(test.y, scores, average="macro")


def hand_made_features(X):
    """Return hand-made features of twelve leads."""
    return ECGFeatures(lead_names=STANDARD_LEADS).fit_transform(X)


def synthesize(method, half, train, vqvae):
    """Return synthetic records from a half of the patients; with them classes have RAISED / 2."""
    rows = train.half == half
    y = train.y[rows]
    sampler = make_sampler(method, vqvae, y, RAISED // 2, seed=half)
    X, y_resampled = sampler.fit_resample(train.X[rows], y, groups=train.groups[rows])
    return X[len(y) :], y_resampled[len(y) :]


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", metavar="DIR", default=None)
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--max-epochs", type=int, default=VQVAETransformer().max_epochs)
    add_records_option(parser, default=2400)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    machine, data = describe_machine(), load_rare_ptbxl(options, leads=STANDARD_LEADS)
    half = np.unique(data.groups, return_inverse=True)[1] % 2
    features = hand_made_features(data.X)
    train, test = (
        SimpleNamespace(
            X=data.X[rows], y=data.y[rows], groups=data.groups[rows], half=half[rows],
            features=features[rows],
        )
        for rows in (data.fold != 8, data.fold == 8)
    )  # fmt: skip
    vqvae = load_vqvae(train.X, options)

    rare, held_out = train.y.any(axis=1), test.y.any(axis=1)
    decoded = vqvae.inverse_transform(vqvae.transform(train.X[rare]))
    rows = {
        "held out": SimpleNamespace(
            X=test.X[held_out], y=test.y[held_out], half=test.half[held_out]
        ),
        "codes": SimpleNamespace(X=decoded, y=train.y[rare], half=train.half[rare]),
    }
    for method in METHODS:
        (X, y), (X2, y2) = (synthesize(method, number, train, vqvae) for number in (0, 1))
        rows[method] = SimpleNamespace(
            X=np.concatenate([X, X2]),
            y=np.concatenate([y, y2]),
            half=np.repeat([0, 1], [len(X), len(X2)]),
        )

    print(f"\n{machine}; {', '.join(data.names)}; raised to {RAISED} records each")
    print(f"| records | {' | '.join(COLUMNS)} |\n|{'---|' * (len(COLUMNS) + 1)}")
    for name, records in rows.items():
        figures = measure(records, train, test)
        if name == "held out":  # train on real records
            figures[-1] = probe_auprc(train.features, train.y, test)
        print(f"| {name} |", " | ".join(f"{figure:.3f}" for figure in figures), "|")


if __name__ == "__main__":
    main()
