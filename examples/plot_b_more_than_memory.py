"""
More records than memory holds
==============================

Records may lie in a file: they are read batch by batch, and latents are written so.
"""

# %%
# ``read_wfdb(..., out="ecgs.npy")`` writes such a file from WFDB records. Here it is written by hand:

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
# An epoch may be a part of the records, drawn anew each time, so that history and callbacks tell
# sooner how it goes. The state is kept: what is ended goes on from where it was.

bell = BELLPretrainer(
    max_epochs=6, epoch_size=100, batch_size=50, checkpoint=path / "kept", random_state=0
).fit(X)

# %%
# Latents go to a file, too, and classifiers are then fitted to these few numbers for each record.

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
