"""Programs of the README."""

import re
from pathlib import Path

import pytest
import wfdb

from sklearn_bell.datasets import make_ecg

README = Path(__file__).parent.parent / "README.md"
PROGRAMS = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)


@pytest.fixture
def own_folder(tmp_path, monkeypatch):
    """A folder of 12-lead WFDB records at 250 Hz, and a table with ten labels for each class."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_ecgs").mkdir()
    ecg = make_ecg(24, classes=["normal", "lbbb"], sampling_rate=250, random_state=0)
    names = [f"{number:05d}" for number in range(24)]  # which must not be read as numbers
    for name, record in zip(names, ecg.data, strict=True):
        wfdb.wrsamp(
            name,
            fs=250,
            units=["mV"] * 12,
            sig_name=ecg.lead_names,
            fmt=["16"] * 12,
            p_signal=record.T.astype(float),
            write_dir="my_ecgs",
        )
    rows = [row for kind in (0, 1) for row in (ecg.target == kind).nonzero()[0][:10]]
    lines = [f"{names[row]},{ecg.target_names[ecg.target[row]]}" for row in rows]
    (tmp_path / "labels.csv").write_text("record,diagnosis\n" + "\n".join(lines) + "\n")


@pytest.mark.usefixtures("own_folder")
@pytest.mark.parametrize("program", PROGRAMS)
def test_readme_program_runs(program):
    quick = program.replace("BELLPretrainer(lead_names", "BELLPretrainer(max_epochs=1, lead_names")
    exec(compile(quick, "README.md", "exec"), {})
