"""Pretrain the weights that come with the library.

    python benchmarks/pretrain_weights.py --data DIR [--out FOLDER] [--checkpoint FOLDER]

``DIR`` is the folder made by ``make data``. BELL pretrains without labels on twelve leads of 10 s
at 100 Hz: all records of folds 1-7 of PTB-XL, and set A of the CinC Challenge 2011 without constant
records and copies. No record of fold 8 and of LUDB is seen, on which ``bench_fold8.py``
measures the features.

The settings are the defaults of ``BELLPretrainer`` but for ENCODER, EPOCHS and hand-made
measurements, which the latents also predict (``docs/research_log.md`` has the trials). Splines of
degree 1 make overlapping bins of them. The file in ``--out`` has large weights in float16, and no
heads. Hours on two cores; an interrupted run resumes from ``--checkpoint``. Equal seeds give equal
bits on the same kind of machine only. The shipped weights were made before aVL and aVF of CinC 2011
were put in order.
"""

import argparse
from functools import partial
from pathlib import Path

import numpy as np
from _common import describe_machine
from bench_uncurated import CINC_MICROVOLTS
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer

from sklearn_bell import BELLPretrainer, ECGFeatures
from sklearn_bell.datasets import get_data_home, load_ptbxl
from sklearn_bell.nn.encoders import ResNet1d
from sklearn_bell.preprocessing import STANDARD_LEADS

NAME = "bell-12-leads-100hz"
EPOCHS = 60
# of the file: by Einthoven's law, its fifth lead is aVF
CINC_LEADS = *STANDARD_LEADS[:4], "aVF", "aVL", *STANDARD_LEADS[6:]
ENCODER = partial(ResNet1d, channels=(32, 64, 112), n_features=96)


def load_cinc2011(path):
    """Return the records of set A in mV that are neither constant nor copies, (n, 12, 1000)."""
    X = np.load(get_data_home(path) / "cinc2011-set-a" / "signals_100hz_int16.npy")
    _, first = np.unique(X.reshape(len(X), -1), axis=0, return_index=True)
    X = X[np.sort(first)][:, [CINC_LEADS.index(lead) for lead in STANDARD_LEADS]]
    return X[np.ptp(X, axis=-1).any(axis=-1)].astype(np.float32) * (CINC_MICROVOLTS / 1000)


def make_measurements(names):
    """Return the transformer whose outputs the latents predict."""
    bins = SplineTransformer(5, degree=1, knots="quantile")
    return make_pipeline(ECGFeatures(lead_names=names), bins)


def save_half(bell, path):
    """Save the encoder with its convolutions and linear layers rounded to float16."""
    bell.set_params(measurements=None)  # a file has estimators of the library only
    for weight in bell.encoder_.parameters():
        if weight.ndim > 1:
            weight.data = weight.data.half()
    bell.save(path, heads=False)


def main():
    """Pretrain, and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", metavar="DIR", default=None)
    parser.add_argument("--out", metavar="DIR", type=Path, default="benchmarks/results")
    parser.add_argument("--checkpoint", metavar="DIR", default="benchmarks/results/weights")
    options = parser.parse_args()

    ptbxl = load_ptbxl(options.data, folds=range(1, 8), unlabelled=True)
    cinc = load_cinc2011(options.data)
    print(f"{describe_machine()}\n{len(ptbxl.data)} records of PTB-XL, {len(cinc)} of CinC 2011")
    names = list(STANDARD_LEADS)
    bell = BELLPretrainer(
        ENCODER,
        measurements=make_measurements(names),
        max_epochs=EPOCHS,
        lead_names=names,
        precision="bfloat16",
        checkpoint=options.checkpoint,
        verbose=True,
        random_state=0,
    )
    bell.fit(np.concatenate([ptbxl.data, cinc]))
    print(f"last epoch: {bell.history_[-1]}")
    options.out.mkdir(exist_ok=True)
    save_half(bell, options.out / f"{NAME}.safetensors")


if __name__ == "__main__":
    main()
