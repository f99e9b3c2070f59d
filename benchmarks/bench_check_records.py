"""Compare the verdicts of check_records with those of human readers.

    python benchmarks/bench_check_records.py [--data DIR]

``DIR`` is the folder made by ``make data``, or the one around PTB-XL and set A of the CinC
Challenge 2011; by default ``SKLEARN_BELL_DATA``. Readers called 773 records of set A acceptable and
225 unacceptable. The limits of ``check_records`` were chosen on every second record of them, from
the first; the others are the test. The majority class is the accuracy of "acceptable" for all.
Intervals are bootstrap 95 % intervals over records.

The second table has the share of records of PTB-XL fold 8 with each finding, most of them false
alarms, and the share in which exchanged arms are suspected after they are exchanged there.

The script exits with an error where the accuracy is not above the majority class by its interval.
"""

import argparse
import sys

import numpy as np
import pandas as pd
from _common import describe_machine, format_interval
from bench_uncurated import CINC_MICROVOLTS
from pretrain_weights import CINC_LEADS

from sklearn_bell.datasets import get_data_home, load_ptbxl
from sklearn_bell.preprocessing import check_records

N_BOOTSTRAPS = 2000


def exchange_arms(X):
    """Return twelve standard leads as they are with the electrodes of both arms exchanged."""
    i, ii, iii, avr, avl, avf = X.swapaxes(0, 1)[:6]
    return np.concatenate([np.stack([-i, iii, ii, avl, avr, avf], axis=1), X[:, 6:]], axis=1)


def main():
    """Print both tables, and return whether the majority class is beaten."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", metavar="DIR", default=None)
    options = parser.parse_args()
    folder = get_data_home(options.data) / "cinc2011-set-a"
    X = np.load(folder / "signals_100hz_int16.npy") * np.float32(CINC_MICROVOLTS / 1000)
    quality = pd.read_csv(folder / "quality.csv")["quality"].to_numpy()
    predicted = check_records(X, 100, CINC_LEADS)["verdict"].to_numpy() == "unacceptable"
    print(describe_machine())
    print("| records of CinC 2011 | accuracy, % | majority class, % | sensitivity | specificity |")
    print("|---|---|---|---|---|")
    rng = np.random.default_rng(0)
    for name, start in (("to choose limits", 0), ("test", 1)):
        rows = np.arange(start, len(X), 2)
        rows = rows[quality[rows] != "none"]
        bad, is_right = (
            quality[rows] == "unacceptable",
            predicted[rows] == (quality[rows] != "acceptable"),
        )
        samples = rng.choice(is_right, (N_BOOTSTRAPS, len(rows))).mean(axis=1)
        majority = 100 * (~bad).mean()
        accuracy = format_interval(100 * is_right.mean(), 100 * samples, 1)
        print(
            f"| {name} | {accuracy} | {majority:.1f} | {100 * is_right[bad].mean():.1f} "
            f"| {100 * is_right[~bad].mean():.1f} |"
        )
    ptbxl = load_ptbxl(options.data, folds=[8], unlabelled=True)
    table = check_records(ptbxl.data, 100, ptbxl.lead_names)
    exchanged = check_records(exchange_arms(ptbxl.data), 100, ptbxl.lead_names)
    print(f"\n| finding in {len(table)} records of PTB-XL | % of the records |\n|---|---|")
    findings = {
        name: (table[name] != "").mean() for name in ("flat", "clipped", "noisy", "drifting")
    }
    findings |= {
        f"limb leads: {n}": (table["limb_leads"] == n).mean()
        for n in ("arms exchanged?", "leg exchanged?", "contradict each other")
    }
    findings["arms exchanged?, after they were"] = (
        exchanged["limb_leads"] == "arms exchanged?"
    ).mean()
    findings |= {
        verdict: (table["verdict"] == verdict).mean()
        for verdict in ("acceptable", "questionable", "unacceptable")
    }
    for name, share in findings.items():
        print(f"| {name} | {100 * share:.1f} |")
    return np.quantile(100 * samples, 0.025) > majority


if __name__ == "__main__":
    sys.exit(0 if main() else "not above the majority class by the interval")
