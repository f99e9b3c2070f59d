"""The command line does what the public API does, and says what is wrong in one line."""

import os
import re
import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pytest
import wfdb

import sklearn_bell
from sklearn_bell import BELLPretrainer, VQVAETransformer, demo
from sklearn_bell.__main__ import main
from sklearn_bell.datasets import make_ecg, read_wfdb

ECG = make_ecg(12, leads=["II", "V1"], duration=4, sampling_rate=200, random_state=0)


@pytest.fixture
def records(tmp_path):
    """Return a folder of WFDB records, in folders."""
    for number, one in enumerate(ECG.data):
        folder = tmp_path / "ecgs" / str(number % 2)
        folder.mkdir(parents=True, exist_ok=True)
        wfdb.wrsamp(
            f"r{number:02}", fs=200, units=["mV"] * 2, sig_name=["II", "V1"], fmt=["16"] * 2,
            p_signal=one.T.astype(float), write_dir=str(folder),
        )  # fmt: skip
    return tmp_path / "ecgs"


def run(*arguments):
    return main([str(argument) for argument in arguments])


def pretrain(records, model, *more):
    return run("pretrain", records, model, "--epochs", 2, "--duration", 3, "--batch-size", 8,
               "--device", "cpu", "--precision", "float32", *more)  # fmt: skip


def test_pretrain_and_embed_are_those_of_the_library(records, tmp_path, capsys):
    assert pretrain(records, tmp_path / "bell.safetensors") == 0
    assert run("embed", records, tmp_path / "a.csv", "--model", tmp_path / "bell.safetensors") == 0
    assert run("embed", records, tmp_path / "a.npy", "--model", tmp_path / "bell.safetensors") == 0
    out = capsys.readouterr().out
    assert "bell.safetensors: 12 records of 2 leads" in out
    assert "a.csv: 12 records, 224 features" in out
    ecg = read_wfdb(sorted(records.rglob("*.hea")), sampling_rate=100, duration=3)
    bell = BELLPretrainer(
        max_epochs=2, batch_size=8, lead_names=["II", "V1"], device="cpu", random_state=0
    ).fit(ecg.data)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), bell.transform(ecg.data))
    table = pd.read_csv(tmp_path / "a.csv", index_col="record")
    np.testing.assert_allclose(table, bell.transform(ecg.data), rtol=1e-5)
    assert table.index.tolist() == ecg.record_names.tolist()
    assert table.columns.tolist() == bell.get_feature_names_out().tolist()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "a.csv", "a.npy", "bell.safetensors", "ecgs",
    ]  # fmt: skip


def test_an_array_is_read_as_it_is(tmp_path):
    np.save(tmp_path / "ecgs.npy", ECG.data)
    arguments = "--leads", "II", "V1", "--sampling-rate", 200
    assert pretrain(tmp_path / "ecgs.npy", tmp_path / "bell.safetensors", *arguments) == 0
    bell = sklearn_bell.load(tmp_path / "bell.safetensors")
    assert (bell.n_samples_in_, bell.sampling_rate) == (800, 200)
    assert list(bell.lead_names) == ["II", "V1"]


def test_a_folder_of_csv_files_is_read_as_an_array_of_the_same(tmp_path, capsys):
    (tmp_path / "csv" / "more").mkdir(parents=True)
    for number, one in enumerate(ECG.data):
        table = pd.DataFrame(one.T, columns=["II", "V1"], index=pd.Index(range(800), name="time"))
        table.to_csv(tmp_path / "csv" / ("more" if number > 9 else "") / f"{number:02}.csv")
    np.save(tmp_path / "ecgs.npy", ECG.data)
    model = tmp_path / "new" / "bell.safetensors"
    assert pretrain(tmp_path / "csv", model, "--sampling-rate", 200) == 0
    for source in ("csv", "ecgs.npy"):
        out = tmp_path / f"of-{source}.csv"
        assert run("embed", tmp_path / source, out, "--model", model) == 0
    err = capsys.readouterr().err
    assert err.splitlines() == ["sklearn-bell: note: column time is no lead, and is left out"] * 2
    found, expected = (pd.read_csv(tmp_path / f"of-{one}.csv") for one in ("csv", "ecgs.npy"))
    np.testing.assert_array_equal(found.iloc[:, 1:], expected.iloc[:, 1:])
    assert found["record"].tolist() == [
        *(f"{tmp_path}/csv/{number:02}" for number in range(10)),
        *(f"{tmp_path}/csv/more/{number}" for number in (10, 11)),
    ]
    bell = sklearn_bell.load(model)
    assert (bell.lead_names, bell.sampling_rate) == (["II", "V1"], 200)
    assert os.listdir(tmp_path / "new") == ["bell.safetensors"]


def test_twelve_leads_are_embedded_without_a_model_of_ones_own(tmp_path, capsys, monkeypatch):
    X = make_ecg(40, random_state=0).data
    np.save(tmp_path / "ecgs.npy", X)
    assert run("embed", tmp_path / "ecgs.npy", tmp_path / "a.npy") == 0
    assert capsys.readouterr().err == ""  # it is no terminal
    bell = BELLPretrainer.from_pretrained()
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), bell.transform(X))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    bell.set_params(batch_size=16).save(tmp_path / "bell.safetensors")
    assert run("embed", tmp_path / "ecgs.npy", tmp_path / "b.npy", "--model",
               tmp_path / "bell.safetensors") == 0  # fmt: skip
    shown = "".join(f"\r{n} of 40 records" for n in (16, 32, 40))
    assert capsys.readouterr().err == f"{shown}\n"


@pytest.mark.parametrize(
    ("suffix", "writer"), [("npy", (np, "save")), ("csv", (pd.DataFrame, "to_csv"))]
)
def test_latents_are_written_whole_or_not_at_all(records, tmp_path, monkeypatch, suffix, writer):
    model, latents = tmp_path / "bell.safetensors", tmp_path / f"latents.{suffix}"
    params = {"sampling_rate": 200, "lead_names": ["II", "V1"], "max_epochs": 0}
    BELLPretrainer(**params).fit(ECG.data).save(model)
    latents.write_text("what was there")
    before = sorted(tmp_path.rglob("*"))

    def fails(*args, **kwargs):
        raise OSError("no room")

    for where, name in ((BELLPretrainer, "transform"), writer):
        with monkeypatch.context() as patched:
            patched.setattr(where, name, fails)
            assert run("embed", records, latents, "--model", model) == 1
        assert latents.read_text() == "what was there"
        assert sorted(tmp_path.rglob("*")) == before
    assert run("embed", records, latents, "--model", model) == 0
    assert sorted(tmp_path.rglob("*")) == before


def test_a_refused_pretrain_leaves_nothing(records, tmp_path, capsys):
    np.save(tmp_path / "ecgs.npy", ECG.data)
    np.save(tmp_path / "gap.npy", np.where(np.arange(800) == 7, np.nan, ECG.data))
    before = sorted(tmp_path.rglob("*"))
    model = tmp_path / "new" / "deep" / "bell.safetensors"
    for message, arguments in {
        "No lead named V9": (records, model, "--leads", "V9"),
        "lead_names has 1": (tmp_path / "ecgs.npy", model, "--leads", "II"),  # found in fit
        "record 0, lead 0, sample 7": (tmp_path / "gap.npy", model),  # found in the first epoch
        "there is no folder or file": (tmp_path / "nothing", model),
        "--device nonsense cannot be computed on": (records, model, "--device", "nonsense"),
        "batch_size": (records, model, "--batch-size", 1),
        "sample 7": (tmp_path / "gap.npy", model, "--checkpoint", tmp_path / "kept" / "here"),
    }.items():
        assert pretrain(*arguments) == 1
        assert message in capsys.readouterr().err
        assert sorted(tmp_path.rglob("*")) == before


def test_records_are_drawn(records, tmp_path):
    np.save(tmp_path / "ecgs.npy", ECG.data)
    table = pd.DataFrame(ECG.data[0].T, columns=["II", "V1"])
    table.to_csv(tmp_path / "one.csv", index=False)
    for source, options in {
        records / "0" / "r00.hea": (),
        tmp_path / "ecgs.npy": ("--sampling-rate", 200, "--number", 3),
        tmp_path / "one.csv": ("--sampling-rate", 200, "--leads", "V1"),
    }.items():
        picture = tmp_path / f"{source.stem}.png"
        assert run("plot", source, picture, "--dpi", 80, *options) == 0
        assert picture.read_bytes().startswith(b"\x89PNG")


def test_what_is_wrong_is_one_line_and_an_exit_code(records, tmp_path, capsys):
    np.save(tmp_path / "flat.npy", ECG.data[0])
    np.save(tmp_path / "ecgs.npy", ECG.data)
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.safetensors").write_text("nothing")
    (tmp_path / "bad.npy").write_text("")
    (tmp_path / "two.csv").write_text("II,V1\n1,2\n3,4\n")
    vqvae = VQVAETransformer(n_codes=8, width=8, max_epochs=1, device="cpu").fit(ECG.data)
    vqvae.save(tmp_path / "vqvae.safetensors")
    cases = {
        "has no WFDB records": ("pretrain", tmp_path / "empty", tmp_path / "m.safetensors"),
        "must end in .safetensors": ("pretrain", records, tmp_path / "m.pickle"),
        "No lead named V6": ("pretrain", records, tmp_path / "m.safetensors", "--leads", "V6"),
        "must be of shape": ("pretrain", tmp_path / "flat.npy", tmp_path / "m.safetensors"),
        "bad.safetensors": ("embed", records, tmp_path / "a.npy", "--model",
                            tmp_path / "bad.safetensors"),
        "bad.npy is no .npy file": ("pretrain", tmp_path / "bad.npy", tmp_path / "m.safetensors"),
        "no folder or file nowhere": ("embed", records, "nowhere/a.npy"),
        "no folder or file m": ("embed", records, tmp_path / "a.npy", "--model", "m"),
        "no folder or file r": ("embed", "r", tmp_path / "a.npy"),
        "holds a VQVAETransformer": ("embed", records, tmp_path / "a.npy", "--model",
                                     tmp_path / "vqvae.safetensors"),
        "two.csv: No lead named I, III, aVR": ("embed", tmp_path / "two.csv", tmp_path / "a.npy"),
        "two.csv: No lead named V9 among II, V1": (
            "plot", tmp_path / "two.csv", tmp_path / "a.png", "--sampling-rate", 200, "--leads",
            "V9",
        ),
        "must end in .npy or .csv": ("embed", records, tmp_path / "a.txt", "--model", "m"),
        "give --sampling-rate": ("plot", tmp_path / "ecgs.npy", tmp_path / "a.png"),
        "no number 12": ("plot", tmp_path / "ecgs.npy", tmp_path / "a.png", "--sampling-rate",
                         200, "--number", 12),
    }  # fmt: skip
    for message, arguments in cases.items():
        assert run(*arguments) == 1
        out, err = capsys.readouterr()
        assert err.startswith("sklearn-bell: error: ")
        assert message in err
        assert err.count("\n") == 1
        assert out == ""
    with pytest.raises(SystemExit, match="2"):
        run("pretrain")


@pytest.mark.parametrize("given", ["0", "-1", "nan", "fast"])
def test_rates_and_lengths_are_more_than_nothing(capsys, given):
    for option in ("--sampling-rate", "--duration"):
        with pytest.raises(SystemExit, match="2"):
            run("pretrain", "ecgs", "bell.safetensors", f"{option}={given}")
        message = f"{option}: expected a number more than 0, but got {given}"
        assert message in capsys.readouterr().err


def test_what_was_interrupted_goes_on(records, tmp_path):
    """Ctrl-C in the middle, the same command again, and the model is that of one run."""
    model, kept = tmp_path / "bell.safetensors", tmp_path / "bell.kept"
    arguments = ["pretrain", str(records), str(model), "--epochs", "15", "--duration", "3",
                 "--batch-size", "6", "--device", "cpu", "--precision", "float32"]  # fmt: skip
    script = f"""
        import signal
        import sys
        from sklearn_bell.training import _checkpoint as checkpoints
        from sklearn_bell.__main__ import main

        class Often(checkpoints.Checkpoint):
            def __init__(self, folder):
                super().__init__(folder, epochs=2)

        def write_file(path, *args):  # Ctrl-C as soon as two epochs are kept
            write(path, *args)
            if path.name.startswith("epoch-"):
                checkpoints.write_file = write
                signal.raise_signal(signal.SIGINT)

        signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background
        import sklearn_bell.training
        sklearn_bell.training.Checkpoint, write = Often, checkpoints.write_file
        checkpoints.Checkpoint = Often
        checkpoints.write_file = write_file
        sys.exit(main({arguments}))
    """
    said = tmp_path / "said"  # no pipe, which processes that read records would hold for long
    with open(said, "wb") as file:
        command = [sys.executable, "-c", textwrap.dedent(script)]
        code = subprocess.run(command, stderr=file, stdout=file, check=False).returncode
    assert code == 130, said.read_text()
    assert "interrupted" in said.read_text()
    assert not model.exists()
    assert run(*arguments) == 0
    assert not kept.exists()
    found = sklearn_bell.load(model)
    ecg = read_wfdb(sorted(records.rglob("*.hea")), sampling_rate=100, duration=3)
    expected = BELLPretrainer(max_epochs=15, batch_size=6, device="cpu", random_state=0)
    expected.fit(ecg.data)
    np.testing.assert_array_equal(found.transform(ecg.data), expected.transform(ecg.data))
    assert [one["loss"] for one in found.history_] == [one["loss"] for one in expected.history_]


def test_the_command_line_runs_the_demo(monkeypatch):
    given = []
    monkeypatch.setattr(demo, "main", lambda *arguments: given.append(arguments))
    assert run("demo") == 0
    assert run("demo", "--data", "ptb-xl", "--picture", "here.png") == 0
    assert given == [(None, "demo.png"), ("ptb-xl", "here.png")]


def test_help_teaches(capsys):
    with pytest.raises(SystemExit, match="0"):
        run("--help")
    shown = capsys.readouterr().out
    for word in ("pretrain", "embed", "plot", "demo", "examples", "exit codes", ".csv files"):
        assert word in shown
    for name in ("pretrain", "embed", "plot"):
        with pytest.raises(SystemExit, match="0"):
            run(name, "--help")
        assert "In Python: " in capsys.readouterr().out


def test_the_script_is_installed_and_help_does_not_wait_for_pytorch():
    script = os.path.join(os.path.dirname(sys.executable), "sklearn-bell")
    shown = subprocess.run([script, "--help"], check=True, capture_output=True, text=True).stdout
    assert shown.startswith("usage: sklearn-bell")
    code = """
        import sys
        from sklearn_bell.__main__ import main
        try:
            main(["--help"])
        except SystemExit:
            assert "torch" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, capture_output=True)
    assert re.search(r"pretrain\s+learn from records", shown)
