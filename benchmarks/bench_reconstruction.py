"""Measure how well records come back from the codes of a VQ-VAE, how fast, and draw some.

    python benchmarks/bench_reconstruction.py --data DIR [--out FOLDER]

``DIR`` is the folder of PTB-XL, or the one around it. VQVAETransformer learns, with its defaults,
the twelve leads of folds 1-7 at 100 Hz, and what is asked is how records of fold 8 come back, by
lead: the correlation with the original, and by how much the amplitude of the QRS complex differs,
which is the distance between highest and lowest sample within 60 ms of a beat, of all beats of a
record the median; of all records the median again, with bootstrap 95 % intervals over patients.

Then each method of VQVAEOverSampler makes 1,000 new records with the VQ-VAE, of a hundred. The
script ends with an error where a lead's correlation is below CORRELATION or its amplitude off by
more than AMPLITUDE, or where it takes more than the time and memory of MOST. ``--out`` gets
pictures of records that came back, and of new ones.
"""

import argparse
import resource
import sys
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from _common import machine
from sklearn.frozen import FrozenEstimator

from sklearn_bell import VQVAEOverSampler, VQVAETransformer
from sklearn_bell.datasets import load_ptbxl
from sklearn_bell.feature_extraction import detect_qrs
from sklearn_bell.over_sampling._synthesis import fit_prior
from sklearn_bell.preprocessing import STANDARD_LEADS

CORRELATION, AMPLITUDE = 0.95, 0.10
METHODS = ("interpolate", "sample", "prior")
NEW = "1,000 new records by {}, s"
MOST = {"fit, with a prior, s": 600, "memory, MB": 2000} | dict.fromkeys(
    map(NEW.format, METHODS), 10
)
SHOWN = {name: STANDARD_LEADS.index(name) for name in ("II", "V2", "V5")}


def correlations(x, y):
    """Return those of every lead of every record, (n_records, n_leads)."""
    x, y = (one - one.mean(axis=-1, keepdims=True) for one in (x, y))
    norms = np.linalg.norm(x, axis=-1) * np.linalg.norm(y, axis=-1)
    return (x * y).sum(axis=-1) / np.maximum(norms, 1e-9)


def qrs_amplitudes(x, beats):
    """Return the median over beats of peak to peak, (n_leads,), in mV."""
    around = [x[:, max(0, beat - 6) : beat + 7] for beat in beats]
    return np.median([np.ptp(one, axis=1) for one in around], axis=0)


def amplitude_errors(x, y):
    """Return by which part QRS amplitudes differ, (n_records, n_leads); NaN without beats."""
    errors = np.full(x.shape[:2], np.nan)
    for row, beats in enumerate(detect_qrs(x, 100)):
        if len(beats):
            beats = np.round(beats * 100).astype(int)
            before, after = (qrs_amplitudes(one[row], beats) for one in (x, y))
            errors[row] = np.abs(after - before) / np.maximum(before, 1e-3)
    return errors


def median_with_interval(values, groups):
    """Return the median over records by lead, and the interval over patients."""
    rng = np.random.default_rng(0)
    patients = [np.flatnonzero(groups == patient) for patient in np.unique(groups)]
    drawn = []
    for _ in range(500):
        chosen = rng.integers(len(patients), size=len(patients))
        drawn.append(np.nanmedian(values[np.concatenate([patients[i] for i in chosen])], axis=0))
    return np.nanmedian(values, axis=0), *np.quantile(drawn, (0.025, 0.975), axis=0)


def draw_pairs(pairs, labels, title, path):
    """Draw leads of pairs of records, one in each column: wide and grey, and thin on top of it.

    A record may be None, and ``title(column, lead)`` gives the title of a panel.
    """
    figure, axes = plt.subplots(
        len(SHOWN), len(pairs), figsize=(12, 6.5), sharex=True, layout="constrained"
    )
    styles = {"color": "0.6", "linewidth": 2.5}, {"color": "C3", "linewidth": 0.9}
    for column, pair in enumerate(pairs):
        for line, lead in enumerate(SHOWN.values()):
            axis = axes[line, column]
            for x, label, style in zip(pair, labels, styles, strict=True):
                if x is not None:
                    axis.plot(np.arange(x.shape[-1]) / 100, x[lead], label=label, **style)
            axis.set(xlim=(0, 4), title=title(column, lead))
    for line in axes:
        line[0].set_ylabel("mV")
    for axis in axes[-1]:
        axis.set_xlabel("s")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    figure.savefig(path, dpi=100)


def draw_back(x, y, found, path):
    """Draw the records that come back better than 10, 50 and 90 % of the others."""
    order = np.argsort(np.median(found, axis=1))
    rows = order[[len(order) // 10, len(order) // 2, 9 * len(order) // 10]]
    draw_pairs(
        [(x[row], y[row]) for row in rows],
        ("record", "from its codes"),
        lambda column, lead: f"{STANDARD_LEADS[lead]}: correlation {found[rows[column], lead]:.3f}",
        path,
    )


def make_records(method, vqvae, x, groups):
    """Return 1,000 new records, the first parents of each, and the s for a prior and for them."""
    of_prior = 0.0

    def timed(*args):
        nonlocal of_prior
        start = time.perf_counter()
        prior = fit_prior(*args)
        of_prior = time.perf_counter() - start
        return prior

    sampler = VQVAEOverSampler(
        method=method, vqvae=FrozenEstimator(vqvae), sampling_strategy={0: 1100}, random_state=0
    )
    sampler._fit_prior = timed
    labels = (np.arange(len(x)) >= 100).astype(int)  # a hundred that are to be eleven hundred
    start = time.perf_counter()
    new, _ = sampler.fit_resample(x, labels, groups=groups)
    return new[len(x) :], sampler.parents_, of_prior, time.perf_counter() - start - of_prior


def draw_new(x, made, path):
    """Draw the first new record of each method, and that of which it mostly is, if any."""
    draw_pairs(
        [(x[row] if row >= 0 else None, new[0]) for new, [[row, _], *_], *_ in made.values()],
        ("parent", "new record"),
        lambda column, lead: f"{list(made)[column]}: {STANDARD_LEADS[lead]}",
        path,
    )


def main():
    """Print the table, and return what is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", metavar="DIR", default=None)
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--max-epochs", type=int, default=VQVAETransformer().max_epochs)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    ran_on = machine()
    ecg = load_ptbxl(options.data, folds=range(1, 9), unlabelled=True)
    train, test = ecg.fold != 8, ecg.fold == 8

    start = time.perf_counter()
    vqvae = VQVAETransformer(
        max_epochs=options.max_epochs, lead_names=ecg.lead_names, random_state=0
    ).fit(ecg.data[train])
    fit = time.perf_counter() - start
    x, groups = ecg.data[test], ecg.groups[test]
    y = vqvae.inverse_transform(vqvae.transform(x))
    found = correlations(x, y)
    by_lead = [median_with_interval(one, groups) for one in (found, amplitude_errors(x, y))]
    draw_back(x, y, found, options.out / "reconstruction.png")

    x, groups = ecg.data[train], ecg.groups[train]
    made = {method: make_records(method, vqvae, x, groups) for method in METHODS}
    draw_new(x, made, options.out / "new_records.png")
    cost = {"fit, with a prior, s": fit + sum(of_prior for *_, of_prior, _ in made.values())}
    cost |= {NEW.format(method): of_records for method, (*_, of_records) in made.items()}
    cost["memory, MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    print("| lead | correlation | QRS amplitude off by |\n|---|---|---|")
    for lead, name in enumerate(ecg.lead_names):
        r, e = ([values[lead] for values in one] for one in by_lead)
        print(
            f"| {name} | {r[0]:.3f} ({r[1]:.3f} to {r[2]:.3f}) "
            f"| {100 * e[0]:.1f} % ({100 * e[1]:.1f} to {100 * e[2]:.1f}) |"
        )
    print(f"\n{ran_on}; trained on {train.sum()} records, read on {test.sum()}")
    print("; ".join(f"{what}: {value:.0f}" for what, value in cost.items()))
    last = vqvae.history_[-1]
    print(f"{options.max_epochs} epochs; perplexities {np.round(last['perplexity']).tolist()}")
    (r, *_), (e, *_) = by_lead
    missed = [f"correlation of {ecg.lead_names[i]}" for i in np.flatnonzero(r < CORRELATION)]
    missed += [f"QRS amplitude of {ecg.lead_names[i]}" for i in np.flatnonzero(e > AMPLITUDE)]
    return missed + [what for what, value in cost.items() if value > MOST[what]]


if __name__ == "__main__":
    missed = main()
    sys.exit("missed: " + ", ".join(missed) if missed else 0)
