"""
A first record on paper
=======================

Records are arrays in millivolts of shape ``(n_records, n_leads, n_samples)``. This example uses
synthetic records. :func:`~sklearn_bell.datasets.read_wfdb`,
:func:`~sklearn_bell.datasets.load_ptbxl` and the other loaders return real ones in the same form.
"""

# %%
# Generate sixteen 12-lead ECGs of 10 s at 500 Hz:

from sklearn_bell.datasets import make_ecg

ecg = make_ecg(16, classes=["normal", "afib", "lbbb"], sampling_rate=500, random_state=0)
print(ecg.data.shape, ecg.units, ecg.sampling_rate, ecg.lead_names)

# %%
# :class:`~sklearn_bell.plotting.ECGDisplay` draws the usual sheet at 25 mm/s and 10 mm/mV. Each lead
# shows a quarter of the time, and the rhythm strip below shows lead II for the whole record.

from sklearn_bell.plotting import ECGDisplay

names = ecg.target_names[ecg.target]
first = {name: list(names).index(name) for name in ecg.target_names}
ECGDisplay.from_record(ecg.data[first["normal"]], ecg.sampling_rate)

# %%
# Left bundle branch block: the QRS complexes are wide, and negative in V1.

ECGDisplay.from_record(ecg.data[first["lbbb"]], ecg.sampling_rate, rhythm_leads=["II", "V1"])

# %%
# Atrial fibrillation, in two leads: P waves are absent and the RR intervals irregular. ``spans``
# tints a time span.

rows = [ecg.lead_names.index(lead) for lead in ("II", "V1")]
ECGDisplay.from_record(
    ecg.data[first["afib"], rows], ecg.sampling_rate, lead_names=["II", "V1"], spans=[(2, 5)]
)
