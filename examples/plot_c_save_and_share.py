"""
Save and share a model
======================

A saved model is one file of weights and text. Loading it runs no code from the file, and a checksum
detects any changed bit.
"""

# %%

import tempfile
from pathlib import Path

import numpy as np

import sklearn_bell
from sklearn_bell import BELLPretrainer
from sklearn_bell.datasets import make_ecg
from sklearn_bell.plotting import LatentDisplay

ecg = make_ecg(
    120, classes=["normal", "lbbb"], leads=["II", "V1"], duration=5, sampling_rate=100,
    random_state=0,
)  # fmt: skip
bell = BELLPretrainer(max_epochs=6, lead_names=ecg.lead_names, random_state=0).fit(ecg.data)
folder = tempfile.TemporaryDirectory()
path = Path(folder.name) / "bell.safetensors"
bell.save(path)

# %%
# The loaded model computes the same bits:

loaded = sklearn_bell.load(path)
print(np.array_equal(loaded.transform(ecg.data), bell.transform(ecg.data)))
LatentDisplay.from_estimator(loaded, ecg.data, ecg.target_names[ecg.target])

# %%
# A file with one changed bit raises an error:

content = bytearray(path.read_bytes())
content[len(content) // 2] ^= 1
path.write_bytes(content)
try:
    sklearn_bell.load(path)
except sklearn_bell.exceptions.InvalidFileError as error:
    print(str(error).replace(folder.name, "..."))
folder.cleanup()
