"""Tests of the demo."""

import os
import re

import numpy as np
import pytest

from sklearn_bell import demo
from sklearn_bell.datasets import make_ecg


@pytest.mark.parametrize("n_records", [160, pytest.param(800, marks=pytest.mark.slow)])
def test_demo_prints_a_table_and_draws_a_picture(tmp_path, capsys, monkeypatch, n_records):
    monkeypatch.setattr(demo, "make_ecg", lambda n, **options: make_ecg(n_records, **options))
    demo.main(picture=tmp_path / "demo.png", max_epochs=1, n_seeds=2)
    text = capsys.readouterr().out
    methods = ["BELL", "untrained encoder", "hand-made features"]
    assert [method for method in methods if method not in text] == []
    rows = re.findall(r"^(1|10|100)% .*", text, flags=re.MULTILINE)
    figures = [float(figure) for figure in re.findall(r"\b\d\.\d{3}", text)]
    assert rows == ["1", "10", "100"]
    assert len(figures) == 3 * 3 * 2
    assert all(0 <= figure <= 1 for figure in figures)
    assert (tmp_path / "demo.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.skipif("SKLEARN_BELL_DATA" not in os.environ, reason="SKLEARN_BELL_DATA is not set")
@pytest.mark.filterwarnings("ignore::sklearn_bell.exceptions.RecordWarning")
@pytest.mark.parametrize("fraction", [0.01, 0.1, 1])
def test_demo_draws_every_class_of_ptbxl(fraction):
    ecg = demo.load(os.environ["SKLEARN_BELL_DATA"])
    rows = np.arange(len(ecg.data))
    labelled = demo.draw(rows, ecg.target, fraction, seed=0)
    assert len(labelled) == max(round(fraction * len(rows)), ecg.target.shape[1])
    assert ecg.target[labelled].any(axis=0).all()
