"""
A first record, on paper
========================

Records are arrays of millivolts, ``(n_records, n_leads, n_samples)``. Here they are made; real ones
come from :func:`~sklearn_bell.datasets.read_wfdb`, :func:`~sklearn_bell.datasets.load_ptbxl` and
others, which return the same.
"""

# %%
# Sixteen synthetic ECGs of twelve leads, 10 s at 500 Hz:

from sklearn_bell.datasets import make_ecg

ecg = make_ecg(16, classes=["normal", "afib", "lbbb"], sampling_rate=500, random_state=0)
print(ecg.data.shape, ecg.units, ecg.sampling_rate, ecg.lead_names)

# %%
# :class:`~sklearn_bell.plotting.ECGDisplay` draws the sheet that cardiologists read: 25 mm/s and 10
# mm/mV, each lead with a quarter of the time, and lead II below for all of it.

from sklearn_bell.plotting import ECGDisplay

names = ecg.target_names[ecg.target]
first = {name: list(names).index(name) for name in ecg.target_names}
ECGDisplay.from_record(ecg.data[first["normal"]], ecg.sampling_rate)

# %%
# A left bundle branch block: wide QRS complexes, down in V1.

ECGDisplay.from_record(ecg.data[first["lbbb"]], ecg.sampling_rate, rhythm_leads=["II", "V1"])

# %%
# Atrial fibrillation, in two leads only: no P waves, and no beat comes when it is expected. A span
# can be tinted.

rows = [ecg.lead_names.index(lead) for lead in ("II", "V1")]
ECGDisplay.from_record(
    ecg.data[first["afib"], rows], ecg.sampling_rate, lead_names=["II", "V1"], spans=[(2, 5)]
)
