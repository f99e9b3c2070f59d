import os
import re

import numpy as np
import pytest

from sklearn_bell import demo


def test_the_demo_prints_its_table_and_draws_its_picture(tmp_path, capsys):
    demo.main(picture=tmp_path / "demo.png", max_epochs=1, n_seeds=2)
    shown = capsys.readouterr().out
    for method in ("BELL", "untrained encoder", "hand-made features"):
        assert method in shown
    for share in ("1%", "10%", "100%"):
        row = re.search(rf"^{share} .*", shown, flags=re.MULTILINE)[0]
        figures = [float(figure) for figure in re.findall(r"\d\.\d+", row)]
        assert len(figures) == 6
        assert all(0 <= figure <= 1 for figure in figures)
    assert (tmp_path / "demo.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.skipif("SKLEARN_BELL_DATA" not in os.environ, reason="SKLEARN_BELL_DATA is not set")
@pytest.mark.filterwarnings("ignore::sklearn_bell.exceptions.RecordWarning")
def test_the_demo_draws_every_class_of_ptbxl():
    ecg = demo.load(os.environ["SKLEARN_BELL_DATA"])
    rows = np.arange(len(ecg.data))
    for fraction in (0.01, 0.1, 1):
        drawn = demo.draw(rows, ecg.target, fraction, seed=0)
        assert len(drawn) == max(round(fraction * len(rows)), ecg.target.shape[1])
        assert ecg.target[drawn].any(axis=0).all()
