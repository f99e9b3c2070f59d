"""Pretrain the weights that come with the library, and measure what such features are worth.

    python benchmarks/pretrain_weights.py --data DIR [--out sklearn_bell/weights]

``DIR`` is the folder around those of PTB-XL, LUDB and set A of the CinC Challenge 2011. BELL with
its defaults, but EPOCHS, pretrains twice on 12 leads of 10 s at 100 Hz, without labels:

- ``held-out`` on folds 1-7 of PTB-XL and the records of CinC 2011. A linear probe on its features
  learns from labels of folds 1-7, and is tested on fold 8: the five superclasses. Another learns
  from four fifths of LUDB, a hospital that the encoder has not seen, and is tested on the last
  fifth: those rhythms, conduction abnormalities and hypertrophies that at least FEWEST of its 200
  patients have. The same of what no one has pretrained, and of features by hand. Figures are macro
  AUROCs with bootstrap 95 % intervals over patients, mean over SEEDS of labels and of fifths.
- ``bell-12-leads-100hz`` on all of these records, fold 8 and LUDB included. It is written to
  ``--out``, without heads; its features cannot be tested on anything that it has not seen.

Of CinC 2011 records that are constant, or copies of another, are left out. Both fits run at the
same time, in one thread each, and keep checkpoints, so that a run that was ended goes on.
"""

import argparse
from pathlib import Path

import joblib
import numpy as np
import torch
from _common import draw_labels, linear_probe, machine, metrics_by_bootstrap, scores_of, trees
from bench_uncurated import CINC_MICROVOLTS
from sklearn.model_selection import KFold

from sklearn_bell import BELLPretrainer, ECGFeatures
from sklearn_bell.datasets import get_data_home, load_ludb, load_ptbxl
from sklearn_bell.preprocessing import STANDARD_LEADS

EPOCHS = 40  # of 3,000 records, which are as many steps as the 60 of 2,000 that are the default
SEEDS = (0, 1, 2)
SHARES = (0.01, 0.1, 1.0)
FEWEST = 10
NAME = "bell-12-leads-100hz"


def load_cinc2011(path):
    """Return the records of set A in mV that are neither constant nor copies, (n, 12, 1000)."""
    X = np.load(get_data_home(path) / "cinc2011-set-a" / "signals_100hz_int16.npy")
    _, first = np.unique(X.reshape(len(X), -1), axis=0, return_index=True)
    X = X[np.sort(first)]
    return X[np.ptp(X, axis=-1).any(axis=-1)].astype(np.float32) * (CINC_MICROVOLTS / 1000)


def load_ludb_classes(path):
    """Return the records of LUDB at 100 Hz, and which of its commoner classes each has."""
    loaded = [
        load_ludb(path, task=task, sampling_rate=100)
        for task in ("rhythm", "conduction", "hypertrophy")
    ]
    rhythms = np.eye(len(loaded[0].target_names), dtype=int)[loaded[0].target]
    y = np.concatenate([rhythms, *(one.target for one in loaded[1:])], axis=1)
    names = np.concatenate([one.target_names for one in loaded])
    common = np.minimum(y.sum(axis=0), (1 - y).sum(axis=0)) >= FEWEST
    return loaded[0].data, y[:, common], names[common]


def pretrained(name, X, options):
    """Return BELL, pretrained on these records."""
    torch.set_num_threads(1)
    bell = BELLPretrainer(
        max_epochs=EPOCHS,
        lead_names=list(STANDARD_LEADS),
        checkpoint=options.results / name,
        random_state=0,
    )
    return bell.fit(X)


def tell(what, y, several, groups):
    """Print a macro AUROC with its interval."""
    value, draws = metrics_by_bootstrap(y, [(one, one > 0.5) for one in several], groups)["auroc"]
    low, high = np.quantile(draws, (0.025, 0.975))
    print(f"| {what} | {value:.3f} ({low:.3f} to {high:.3f}) |", flush=True)


def measure(name, transformer, classifier, ptbxl, ludb):
    """Print what the features of a fitted transformer are worth."""
    y, groups = ptbxl.target, ptbxl.groups
    features = transformer.transform(ptbxl.data)
    labelled = y.any(axis=1)
    test = labelled & (ptbxl.fold == 8)
    for share in SHARES:
        several = []
        for seed in SEEDS:
            rows = draw_labels(np.flatnonzero(labelled & (ptbxl.fold < 8)), share, y, groups, seed)
            model = classifier().fit(features[rows], y[rows])
            several.append(scores_of(model, features[test]))
        tell(f"{name} | fold 8 of PTB-XL, {share:.0%} of labels", y[test], several, groups[test])
    X, y, _ = ludb
    features = transformer.transform(X)
    several = []
    for seed in SEEDS:
        scores = np.full(y.shape, np.nan)
        for train, held_out in KFold(5, shuffle=True, random_state=seed).split(X):
            model = classifier().fit(features[train], y[train])
            scores[held_out] = scores_of(model, features[held_out])
        several.append(scores)
    tell(f"{name} | LUDB, cross-validated", y, several, np.arange(len(y)))


def main():
    """Pretrain and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", metavar="DIR", default=None)
    parser.add_argument("--results", metavar="DIR", type=Path, default="benchmarks/results")
    parser.add_argument("--out", metavar="DIR", type=Path, default="sklearn_bell/weights")
    options = parser.parse_args()

    ptbxl = load_ptbxl(options.data, folds=range(1, 9), unlabelled=True)
    ludb, cinc = load_ludb_classes(options.data), load_cinc2011(options.data)
    print(
        f"{machine()}\n{len(ptbxl.data)} records of PTB-XL, {len(cinc)} of CinC 2011, "
        f"{len(ludb[0])} of LUDB with {', '.join(ludb[2])}"
    )
    seen = np.concatenate([ptbxl.data[ptbxl.fold < 8], cinc])
    every = np.concatenate([ptbxl.data, cinc, ludb[0]])
    held_out, bell = joblib.Parallel(2)(
        joblib.delayed(pretrained)(*one, options) for one in (("held-out", seen), (NAME, every))
    )
    print(f"{held_out!r}\nlast epoch: {held_out.history_[-1]}\n\n| features | records | AUROC |")
    print("|---|---|---|")
    untrained = BELLPretrainer(max_epochs=0, random_state=0).fit(seen)
    measure("BELL, linear", held_out, linear_probe, ptbxl, ludb)
    measure("untrained encoder, linear", untrained, linear_probe, ptbxl, ludb)
    by_hand = ECGFeatures().fit(seen)
    measure("hand-made features, linear", by_hand, linear_probe, ptbxl, ludb)
    measure("hand-made features, 300 extra trees", by_hand, trees, ptbxl, ludb)

    print(f"\n{NAME}, last epoch: {bell.history_[-1]}")
    options.out.mkdir(exist_ok=True)
    bell.save(options.out / f"{NAME}.safetensors", heads=False)


if __name__ == "__main__":
    main()
