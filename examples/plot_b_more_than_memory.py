"""
Records larger than memory
==========================

Records can stay in a file. They are read in batches, and latents are written in batches.
"""

# %%
# ``read_wfdb(..., out="ecgs.npy")`` writes such a file from WFDB records. Here NumPy writes it:

import tempfile
from pathlib import Path

import numpy as np

from sklearn_bell import BELLPretrainer
from sklearn_bell.datasets import make_ecg

folder = tempfile.TemporaryDirectory()
path = Path(folder.name)
ecg = make_ecg(300, leads=["II", "V1"], duration=5, sampling_rate=100, random_state=0)
np.save(path / "ecgs.npy", ecg.data)
X = np.load(path / "ecgs.npy", mmap_mode="r")

# %%
# ``epoch_size`` bounds an epoch to a random part of the records, so history, callbacks and
# checkpoints are updated more often. ``checkpoint`` saves the state at the end of each epoch. After an
# interruption, the same call resumes.

bell = BELLPretrainer(
    max_epochs=6, epoch_size=100, batch_size=50, checkpoint=path / "states", random_state=0
).fit(X)

# %%
# ``transform`` writes the latents to a second file, which is much smaller than the records:

n_features = len(bell.get_feature_names_out())
out = np.lib.format.open_memmap(
    path / "latents.npy", mode="w+", dtype=np.float32, shape=(len(X), n_features)
)
bell.transform(X, out=out)
print(f"{X.nbytes / 1e6:.1f} MB of records, {out.nbytes / 1e6:.1f} MB of latents")

# %%

from sklearn_bell.plotting import PretrainingDisplay

PretrainingDisplay.from_estimator(bell)
del X, out
folder.cleanup()
