"""Measure how well records are reconstructed from the codes of a VQ-VAE, and the time it takes.

    python benchmarks/bench_reconstruction.py --data DIR [--out FOLDER] [--records N]

``DIR`` is the folder made by ``make data``, or that of PTB-XL. By default a random subset of 2,400
records of whole patients, on which the marks of time and memory rest; ``--records 0`` takes all
17,418. VQVAETransformer, with its defaults, learns the twelve leads of folds 1-7 at 100 Hz. For
records of fold 8, by lead: the correlation with the original, and the relative error of the QRS
amplitude. The amplitude is the distance between the highest and lowest sample within 60 ms of a
beat, the median over beats. Figures are medians over records, with bootstrap 95 % intervals over
patients.

Then each method of VQVAEOverSampler synthesizes 1,000 records from a hundred. The script exits with
an error where the correlation of a lead is below CORRELATION, its amplitude error above AMPLITUDE,
or time or memory above MOST. Pictures of reconstructed and of synthetic records go to ``--out``.
"""

import argparse
import sys
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from _common import add_records_option, describe_machine, load_ptbxl_subset
from sklearn.frozen import FrozenEstimator

from sklearn_bell import VQVAEOverSampler, VQVAETransformer
from sklearn_bell.feature_extraction import detect_qrs
from sklearn_bell.over_sampling._synthesis import fit_prior
from sklearn_bell.preprocessing import STANDARD_LEADS

CORRELATION, AMPLITUDE = 0.95, 0.10
METHODS = ("interpolate", "sample", "prior")
SYNTHETIC = "1,000 synthetic records by {}, s"
MOST = {"fit, with a prior, s": 600, "memory, MB": 2000} | dict.fromkeys(
    map(SYNTHETIC.format, METHODS), 10
)
SHOWN = {name: STANDARD_LEADS.index(name) for name in ("II", "V2", "V5")}


def correlations(x, y):
    """Return the correlation of every lead of every record, (n_records, n_leads)."""
    x, y = (signals - signals.mean(axis=-1, keepdims=True) for signals in (x, y))
    norms = np.linalg.norm(x, axis=-1) * np.linalg.norm(y, axis=-1)
    return (x * y).sum(axis=-1) / np.maximum(norms, 1e-9)


def qrs_amplitudes(x, beats):
    """Return the median over beats of peak to peak, (n_leads,), in mV."""
    complexes = [x[:, max(0, beat - 6) : beat + 7] for beat in beats]
    return np.median([np.ptp(signals, axis=1) for signals in complexes], axis=0)


def amplitude_errors(x, y):
    """Return the relative error of QRS amplitudes, (n_records, n_leads); NaN without beats."""
    errors = np.full(x.shape[:2], np.nan)
    for row, seconds in enumerate(detect_qrs(x, 100)):
        if len(seconds):
            beats = np.round(seconds * 100).astype(int)
            before, after = (qrs_amplitudes(signals[row], beats) for signals in (x, y))
            errors[row] = np.abs(after - before) / np.maximum(before, 1e-3)
    return errors


def median_with_interval(values, groups):
    """Return the median over records by lead, and the interval over patients."""
    rng = np.random.default_rng(0)
    patients = [np.flatnonzero(groups == patient) for patient in np.unique(groups)]
    medians = []
    for _ in range(500):
        chosen = rng.integers(len(patients), size=len(patients))
        rows = np.concatenate([patients[i] for i in chosen])
        medians.append(np.nanmedian(values[rows], axis=0))
    return np.nanmedian(values, axis=0), *np.quantile(medians, (0.025, 0.975), axis=0)


def reset_peak_memory():
    """Set the peak memory of this process to its present memory (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_memory():
    """Return the peak memory of this process since the reset, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def plot_pairs(pairs, labels, title, path):
    """Plot leads of pairs of records, a pair in each column: the first wide and grey.

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


def plot_reconstructions(x, y, r, path):
    """Plot records at the 10th, 50th and 90th percentile of correlation."""
    order = np.argsort(np.median(r, axis=1))
    rows = order[[len(order) // 10, len(order) // 2, 9 * len(order) // 10]]
    plot_pairs(
        [(x[row], y[row]) for row in rows],
        ("record", "from its codes"),
        lambda column, lead: f"{STANDARD_LEADS[lead]}: correlation {r[rows[column], lead]:.3f}",
        path,
    )


def synthesize(method, vqvae, x, groups):
    """Return 1,000 synthetic records, their sources, and seconds for the prior and the rest."""
    prior_seconds = 0.0

    def fit_prior_timed(*args):
        nonlocal prior_seconds
        start = time.perf_counter()
        prior = fit_prior(*args)
        prior_seconds = time.perf_counter() - start
        return prior

    sampler = VQVAEOverSampler(
        method=method, vqvae=FrozenEstimator(vqvae), sampling_strategy={0: 1100}, random_state=0
    )
    sampler._prior_fitter = fit_prior_timed
    labels = (np.arange(len(x)) >= 100).astype(int)  # a hundred records of the rare class
    start = time.perf_counter()
    resampled, _ = sampler.fit_resample(x, labels, groups=groups)
    seconds = time.perf_counter() - start - prior_seconds
    return resampled[len(x) :], sampler.parents_, prior_seconds, seconds


def plot_synthetic(x, results, path):
    """Plot the first synthetic record of each method, over its first source if there is one."""
    plot_pairs(
        [
            (x[row] if row >= 0 else None, records[0])
            for records, [[row, _], *_], *_ in results.values()
        ],
        ("source", "synthetic record"),
        lambda column, lead: f"{list(results)[column]}: {STANDARD_LEADS[lead]}",
        path,
    )


def main():
    """Print the table, and return the missed marks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", metavar="DIR", default=None)
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--max-epochs", type=int, default=VQVAETransformer().max_epochs)
    add_records_option(parser, default=2400)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    machine = describe_machine()
    ecg = load_ptbxl_subset(options.data, options.records)
    reset_peak_memory()  # reading all records before the subset is drawn does not count
    train, test = ecg.fold != 8, ecg.fold == 8

    start = time.perf_counter()
    vqvae = VQVAETransformer(
        max_epochs=options.max_epochs, lead_names=ecg.lead_names, random_state=0
    ).fit(ecg.data[train])
    fit_seconds = time.perf_counter() - start
    x, groups = ecg.data[test], ecg.groups[test]
    y = vqvae.inverse_transform(vqvae.transform(x))
    r = correlations(x, y)
    by_lead = [median_with_interval(values, groups) for values in (r, amplitude_errors(x, y))]
    plot_reconstructions(x, y, r, options.out / "reconstruction.png")

    x, groups = ecg.data[train], ecg.groups[train]
    results = {method: synthesize(method, vqvae, x, groups) for method in METHODS}
    plot_synthetic(x, results, options.out / "new_records.png")
    prior_seconds = sum(prior for *_, prior, _ in results.values())
    costs = {"fit, with a prior, s": fit_seconds + prior_seconds}
    costs |= {SYNTHETIC.format(method): seconds for method, (*_, seconds) in results.items()}
    costs["memory, MB"] = peak_memory()

    print("| lead | correlation | error of QRS amplitude |\n|---|---|---|")
    for lead, name in enumerate(ecg.lead_names):
        r, e = ([values[lead] for values in figures] for figures in by_lead)
        print(
            f"| {name} | {r[0]:.3f} ({r[1]:.3f} to {r[2]:.3f}) "
            f"| {100 * e[0]:.1f} % ({100 * e[1]:.1f} to {100 * e[2]:.1f}) |"
        )
    print(f"\n{machine}; trained on {train.sum()} records, tested on {test.sum()}")
    print("; ".join(f"{name}: {value:.0f}" for name, value in costs.items()))
    last = vqvae.history_[-1]
    print(f"{options.max_epochs} epochs; perplexities {np.round(last['perplexity']).tolist()}")
    (r, *_), (e, *_) = by_lead
    missed = [f"correlation of {ecg.lead_names[i]}" for i in np.flatnonzero(r < CORRELATION)]
    missed += [f"QRS amplitude of {ecg.lead_names[i]}" for i in np.flatnonzero(e > AMPLITUDE)]
    return missed + [name for name, value in costs.items() if value > MOST[name]]


if __name__ == "__main__":
    missed = main()
    sys.exit("missed: " + ", ".join(missed) if missed else 0)
