"""Time `fit` or `transform` of BELLPretrainer for each line of standard input.

    python benchmarks/_timed_child.py RECORDS LEADS SAMPLES DEVICE

A line is ``fit PRECISION`` or ``transform PRECISION``; the answer is a time in s. The first line of
the output is the folder of the package. Only the package's public names appear here, so that the
script runs with any checkout that comes first in PYTHONPATH.
"""

import sys
import time
from pathlib import Path

import numpy as np
import torch

import sklearn_bell


def main():
    """Answer until the input ends."""
    n_records, n_leads, n_samples = map(int, sys.argv[1:4])
    print(Path(sklearn_bell.__file__).parents[1], flush=True)
    rng = np.random.default_rng(0)
    X = rng.normal(0, 0.2, (n_records, n_leads, n_samples)).astype(np.float32)
    fitted = {}
    for line in sys.stdin:
        name, precision = line.split()
        if precision not in fitted:  # also a warm-up
            bell = sklearn_bell.BELLPretrainer(
                max_epochs=1, random_state=0, precision=precision, device=sys.argv[4]
            )
            fitted[precision] = bell.fit(X)
            bell.transform(X)
        start = time.perf_counter()
        getattr(fitted[precision], name)(X)
        if sys.argv[4] != "cpu":
            torch.cuda.synchronize()
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
