"""Pretrain weights as those of the library, and measure the accuracy of their features.

    python benchmarks/pretrain_weights.py --data DIR [--out FOLDER] [--records N]

``DIR`` is the folder made by ``make data``, or the one around PTB-XL, LUDB and set A of the CinC
Challenge 2011. The weights of November 2026 were pretrained on 2,331 records of PTB-XL that are no
longer distributed, so no run gives the same bits. By default this takes a random subset of 2,400
records of whole patients; with ``--records 0``, all 17,418, both fits take hours.

BELL with its defaults, but EPOCHS, pretrains twice on 12 leads of 10 s at 100 Hz, without labels:

- ``held-out`` on folds 1-7 of PTB-XL and the records of CinC 2011. A linear probe on its features
  learns from labels of folds 1-7 and predicts the five superclasses of fold 8. Another learns from
  four fifths of LUDB, a hospital that the encoder has not seen, and predicts the last fifth: the
  rhythms, conduction abnormalities and hypertrophies of at least FEWEST of its 200 patients. An
  untrained encoder and hand-made features are measured in the same way. Figures are macro AUROCs
  with bootstrap 95 % intervals over patients, mean over SEEDS of labels and of fifths.
- ``bell-12-leads-100hz`` on all of these records, fold 8 and LUDB included. It is written to
  ``--out``, without heads; no records remain to test its features on.

Constant records of CinC 2011, and copies, are left out. Both fits run at the same time, in one
thread each, and write checkpoints, so that an interrupted run resumes.
"""

import argparse
from pathlib import Path

import joblib
import numpy as np
import torch
from _common import (
    add_records_option,
    bootstrap_auroc,
    describe_machine,
    draw_patients,
    format_interval,
    linear_probe,
    load_ptbxl_subset,
    predict_scores,
    trees,
)
from bench_uncurated import CINC_MICROVOLTS
from sklearn.model_selection import KFold

from sklearn_bell import BELLPretrainer, ECGFeatures
from sklearn_bell.datasets import get_data_home, load_ludb
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
    """Return the records of LUDB at 100 Hz, an indicator of its commoner classes, their names."""
    rhythm, conduction, hypertrophy = tasks = [
        load_ludb(path, task=task, sampling_rate=100)
        for task in ("rhythm", "conduction", "hypertrophy")
    ]
    rhythms = np.eye(len(rhythm.target_names), dtype=int)[rhythm.target]
    y = np.concatenate([rhythms, conduction.target, hypertrophy.target], axis=1)
    names = np.concatenate([task.target_names for task in tasks])
    common = np.minimum(y.sum(axis=0), (1 - y).sum(axis=0)) >= FEWEST
    return rhythm.data, y[:, common], names[common]


def pretrain(name, X, options):
    """Pretrain BELL on records, and return it."""
    torch.set_num_threads(1)
    bell = BELLPretrainer(
        max_epochs=EPOCHS,
        lead_names=list(STANDARD_LEADS),
        checkpoint=options.results / name,
        random_state=0,
    )
    return bell.fit(X)


def print_figure(title, y, scores, groups):
    """Print a macro AUROC with its interval."""
    print(f"| {title} | {format_interval(*bootstrap_auroc(y, scores, groups))} |", flush=True)


def measure(name, transformer, make_classifier, ptbxl, ludb):
    """Print the accuracy of classifiers on the features of a fitted transformer."""
    y, groups = ptbxl.target, ptbxl.groups
    features = transformer.transform(ptbxl.data)
    labelled = y.any(axis=1)
    test = labelled & (ptbxl.fold == 8)
    rows = np.flatnonzero(labelled & (ptbxl.fold < 8))
    for share in SHARES:
        repetitions = []
        for seed in SEEDS:
            drawn = draw_patients(rows, share, y, groups, seed)
            model = make_classifier().fit(features[drawn], y[drawn])
            repetitions.append(predict_scores(model, features[test]))
        title = f"{name} | fold 8 of PTB-XL, {share:.0%} of labels"
        print_figure(title, y[test], repetitions, groups[test])
    X, y, _ = ludb
    features = transformer.transform(X)
    repetitions = []
    for seed in SEEDS:
        scores = np.full(y.shape, np.nan)
        for train, held_out in KFold(5, shuffle=True, random_state=seed).split(X):
            model = make_classifier().fit(features[train], y[train])
            scores[held_out] = predict_scores(model, features[held_out])
        repetitions.append(scores)
    print_figure(f"{name} | LUDB, cross-validated", y, repetitions, np.arange(len(y)))


def main():
    """Pretrain and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", metavar="DIR", default=None)
    parser.add_argument("--results", metavar="DIR", type=Path, default="benchmarks/results")
    parser.add_argument("--out", metavar="DIR", type=Path, default="benchmarks/results")
    add_records_option(parser, default=2400)
    options = parser.parse_args()

    ptbxl = load_ptbxl_subset(options.data, options.records)
    ludb, cinc = load_ludb_classes(options.data), load_cinc2011(options.data)
    print(
        f"{describe_machine()}\n{len(ptbxl.data)} records of PTB-XL, {len(cinc)} of CinC 2011, "
        f"{len(ludb[0])} of LUDB with {', '.join(ludb[2])}"
    )
    seen = np.concatenate([ptbxl.data[ptbxl.fold < 8], cinc])
    every = np.concatenate([ptbxl.data, cinc, ludb[0]])
    held_out, bell = joblib.Parallel(2)(
        joblib.delayed(pretrain)(*job, options) for job in (("held-out", seen), (NAME, every))
    )
    print(f"{held_out!r}\nlast epoch: {held_out.history_[-1]}\n\n| features | records | AUROC |")
    print("|---|---|---|")
    untrained = BELLPretrainer(max_epochs=0, random_state=0).fit(seen)
    measure("BELL, linear", held_out, linear_probe, ptbxl, ludb)
    measure("untrained encoder, linear", untrained, linear_probe, ptbxl, ludb)
    hand_made = ECGFeatures().fit(seen)
    measure("hand-made features, linear", hand_made, linear_probe, ptbxl, ludb)
    measure("hand-made features, 300 extra trees", hand_made, trees, ptbxl, ludb)

    print(f"\n{NAME}, last epoch: {bell.history_[-1]}")
    options.out.mkdir(exist_ok=True)
    bell.save(options.out / f"{NAME}.safetensors", heads=False)


if __name__ == "__main__":
    main()
