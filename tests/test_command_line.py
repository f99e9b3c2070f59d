"""Tests of the command line: equal to the public API, one line for each error."""

import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import wfdb

import sklearn_bell
from sklearn_bell import BELLPretrainer, VQVAETransformer, demo
from sklearn_bell.__main__ import main
from sklearn_bell.datasets import make_ecg, read_wfdb

ECG = make_ecg(12, leads=["II", "V1"], duration=4, sampling_rate=200, random_state=0)


@pytest.fixture(autouse=True)
def _threads():
    """Read records in threads, which start faster than processes."""
    with joblib.parallel_config("threading"):
        yield


def write_records(folder):
    """Write WFDB records into subfolders of ``ecgs``."""
    for number, record in enumerate(ECG.data):
        place = folder / "ecgs" / str(number % 2)
        place.mkdir(parents=True, exist_ok=True)
        wfdb.wrsamp(
            f"r{number:02}", fs=200, units=["mV"] * 2, sig_name=["II", "V1"], fmt=["16"] * 2,
            p_signal=record.T.astype(float), write_dir=str(place),
        )  # fmt: skip
    return folder / "ecgs"


@pytest.fixture
def records(tmp_path):
    return write_records(tmp_path)


def run(*arguments):
    return main([str(argument) for argument in arguments])


def pretrain(records, model, *more):
    return run("pretrain", records, model, "--epochs", 2, "--duration", 3, "--batch-size", 8,
               "--device", "cpu", "--precision", "float32", *more)  # fmt: skip


def test_pretrain_and_embed_equal_the_library(records, tmp_path, capsys):
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


def test_pretrain_reads_an_array_unchanged(tmp_path):
    np.save(tmp_path / "ecgs.npy", ECG.data)
    arguments = "--leads", "II", "V1", "--sampling-rate", 200
    assert pretrain(tmp_path / "ecgs.npy", tmp_path / "bell.safetensors", *arguments) == 0
    bell = sklearn_bell.load(tmp_path / "bell.safetensors")
    assert (bell.n_samples_in_, bell.sampling_rate) == (800, 200)
    assert list(bell.lead_names) == ["II", "V1"]


def test_csv_files_equal_an_array(tmp_path, capsys):
    (tmp_path / "csv" / "more").mkdir(parents=True)
    for number, record in enumerate(ECG.data):
        table = pd.DataFrame(
            record.T, columns=["II", "V1"], index=pd.Index(range(800), name="time")
        )
        table.to_csv(tmp_path / "csv" / ("more" if number > 9 else "") / f"{number:02}.csv")
    np.save(tmp_path / "ecgs.npy", ECG.data)
    model = tmp_path / "new" / "bell.safetensors"
    arguments = "--sampling-rate", 200, "--duration", 4
    assert pretrain(tmp_path / "csv", model, *arguments) == 0
    for source in ("csv", "ecgs.npy"):
        out = tmp_path / f"of-{source}.csv"
        assert run("embed", tmp_path / source, out, "--model", model) == 0
    err = capsys.readouterr().err
    assert err.splitlines() == ["sklearn-bell: note: column time is not a lead"] * 2
    latents, expected = (pd.read_csv(tmp_path / f"of-{kind}.csv") for kind in ("csv", "ecgs.npy"))
    np.testing.assert_array_equal(latents.iloc[:, 1:], expected.iloc[:, 1:])
    assert latents["record"].tolist() == [
        *(f"{tmp_path}/csv/{number:02}" for number in range(10)),
        *(f"{tmp_path}/csv/more/{number}" for number in (10, 11)),
    ]
    bell = sklearn_bell.load(model)
    assert (bell.lead_names, bell.sampling_rate) == (["II", "V1"], 200)
    assert os.listdir(tmp_path / "new") == ["bell.safetensors"]


def test_plot_reads_a_table_of_a_german_excel(tmp_path, capsys):
    lines = [f"{i};{i / 200:.3f};0,5" for i in range(0, 800)]
    text = "\n".join(["sep=;", "Zeit (ms);II;V1", *lines]).replace(".", ",")
    (tmp_path / "a.csv").write_text(text, "utf-16")
    arguments = tmp_path / "a.csv", tmp_path / "a.png", "--dpi", 50, "--sampling-rate"
    assert run("plot", *arguments, 1000) == 0
    assert run("plot", *arguments, 500) == 1
    assert "Pass the rate of the file as --sampling-rate, or" in capsys.readouterr().err


def test_embed_uses_the_weights_of_the_library_by_default(tmp_path, capsys, monkeypatch):
    X = make_ecg(12, random_state=0).data
    np.save(tmp_path / "ecgs.npy", X)
    assert run("embed", tmp_path / "ecgs.npy", tmp_path / "a.npy") == 0
    assert capsys.readouterr().err == ""  # not a terminal
    bell = BELLPretrainer.from_pretrained()
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), bell.transform(X))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    bell.set_params(batch_size=5).save(tmp_path / "bell.safetensors")
    assert run("embed", tmp_path / "ecgs.npy", tmp_path / "b.npy", "--model",
               tmp_path / "bell.safetensors") == 0  # fmt: skip
    shown = "".join(f"\r{n} of 12 records" for n in (5, 10, 12))
    assert capsys.readouterr().err == f"{shown}\n"


@pytest.mark.parametrize("suffix", ["npy", "csv"])
@pytest.mark.parametrize("failing", [(BELLPretrainer, "transform"), (os, "fsync")])
def test_failed_embed_leaves_the_previous_latents(tmp_path, monkeypatch, suffix, failing):
    model, latents = tmp_path / "bell.safetensors", tmp_path / f"latents.{suffix}"
    params = {"sampling_rate": 200, "lead_names": ["II", "V1"], "max_epochs": 0}
    BELLPretrainer(**params).fit(ECG.data).save(model)
    np.save(tmp_path / "ecgs.npy", ECG.data)
    latents.write_text("previous")
    before = sorted(tmp_path.rglob("*"))

    def fail(*args, **kwargs):
        raise OSError("no room")

    with monkeypatch.context() as patched:
        patched.setattr(*failing, fail)
        assert run("embed", tmp_path / "ecgs.npy", latents, "--model", model) == 1
    assert latents.read_text() == "previous"
    assert sorted(tmp_path.rglob("*")) == before
    assert run("embed", tmp_path / "ecgs.npy", latents, "--model", model) == 0
    assert sorted(tmp_path.rglob("*")) == before


GAPPY = np.where(np.arange(800) == 7, np.nan, ECG.data)


@pytest.mark.parametrize(
    ("data", "arguments", "message"),
    [
        (ECG.data, ["--leads", "II"], "has 2 leads, but leads= names"),
        (GAPPY, [], "record 0, lead 0, sample 7"),  # detected in the first epoch
        (GAPPY, ["--checkpoint", "states/here"], "sample 7"),
        (None, [], "there is no folder or file"),
        (ECG.data, ["--device", "nonsense"], "--device nonsense is not available"),
        (ECG.data, ["--batch-size", 1], "batch_size"),
    ],
)
def test_refused_pretrain_leaves_nothing(tmp_path, monkeypatch, capsys, data, arguments, message):
    monkeypatch.chdir(tmp_path)
    if data is not None:
        np.save("ecgs.npy", data)
    before = sorted(tmp_path.rglob("*"))
    assert pretrain("ecgs.npy", "new/deep/bell.safetensors", *arguments) == 1
    assert message in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("source", "options"),
    [
        ("ecgs/0/r00.hea", []),
        ("ecgs.npy", ["--sampling-rate", 200, "--number", 3]),
        ("record.csv", ["--sampling-rate", 200, "--leads", "V1"]),
    ],
)
def test_plot_writes_a_picture(records, tmp_path, source, options):
    np.save(tmp_path / "ecgs.npy", ECG.data)
    table = pd.DataFrame(ECG.data[0].T, columns=["II", "V1"])
    table.to_csv(tmp_path / "record.csv", index=False)
    assert run("plot", tmp_path / source, tmp_path / "a.png", "--dpi", 80, *options) == 0
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


ERRORS = {  # messages, and commands in a folder of good and bad files
    "has no ECG files of a known format": "pretrain empty m.safetensors",
    "must end in .safetensors": "pretrain ecgs m.pickle",
    "No lead named V6": "pretrain ecgs m.safetensors --leads V6",
    "shape": "pretrain flat.npy m.safetensors",
    "bad.safetensors": "embed ecgs a.npy --model bad.safetensors",
    "bad.npy": "pretrain bad.npy m.safetensors",
    "there is no folder nowhere": "embed ecgs nowhere/a.npy",
    "No such file or directory: 'm'": "embed ecgs a.npy --model m",
    "no folder or file r": "embed r a.npy",
    "holds a VQVAETransformer": "embed ecgs a.npy --model vqvae.safetensors",
    "Record two: No lead named I among": "embed two.csv a.npy",
    "Record two: No lead named V9": "plot two.csv a.png --sampling-rate 200 --leads V9",
    "must end in .npy or .csv": "embed ecgs a.txt --model m",
    "--sampling-rate": "plot ecgs.npy a.png",
    "from 0 to 11, got 12": "plot ecgs.npy a.png --sampling-rate 200 --number 12",
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Return a folder of good and bad files."""
    folder = tmp_path_factory.mktemp("files")
    write_records(folder)
    np.save(folder / "flat.npy", ECG.data[0])
    np.save(folder / "ecgs.npy", ECG.data)
    (folder / "empty").mkdir()
    (folder / "bad.safetensors").write_text("nothing")
    (folder / "bad.npy").write_text("")
    (folder / "two.csv").write_text("II,V1\n1,2\n3,4\n")
    vqvae = VQVAETransformer(n_codes=8, width=8, max_epochs=1, device="cpu").fit(ECG.data)
    vqvae.save(folder / "vqvae.safetensors")
    return folder


@pytest.mark.parametrize(("message", "command"), ERRORS.items(), ids=ERRORS.values())
def test_error_is_one_line_and_exit_code_1(files, capsys, monkeypatch, message, command):
    monkeypatch.chdir(files)
    assert run(*command.split()) == 1
    out, err = capsys.readouterr()
    assert err.startswith("sklearn-bell: error: ")
    assert message in err
    assert err.count("\n") == 1
    assert out == ""


@pytest.mark.parametrize("value", ["0", "-1", "nan", "fast"])
@pytest.mark.parametrize("option", ["--sampling-rate", "--duration"])
def test_rates_and_durations_must_be_positive(capsys, option, value):
    with pytest.raises(SystemExit, match="2"):
        run("pretrain", "ecgs", "bell.safetensors", f"{option}={value}")
    assert f"{option}: expected a positive number, got {value}" in capsys.readouterr().err


class Counter:
    """Callback that counts epochs."""

    def __init__(self):
        self.n_epochs = 0

    def setup(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        self.n_epochs += context.task_name == "epoch"

    def on_fit_task_end(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass


class Interrupter(Counter):
    """Callback that presses Ctrl-C in the third epoch."""

    def on_fit_task_begin(self, estimator, context):
        super().on_fit_task_begin(estimator, context)
        if context.task_name == "epoch" and self.n_epochs == 3:
            signal.raise_signal(signal.SIGINT)


INTERRUPTED = ["pretrain", "ecgs.npy", "bell.safetensors", "--epochs", "4", "--batch-size", "6",
               "--device", "cpu", "--precision", "float32"]  # fmt: skip


def check_interrupted(interrupt, monkeypatch):
    """Interrupt a run, repeat the command, and compare with a run without interruption."""
    np.save("ecgs.npy", ECG.data)
    assert interrupt() == 130
    assert not os.path.exists("bell.safetensors")
    assert list(Path("bell.checkpoint").rglob("epoch-*"))
    counter = Counter()
    monkeypatch.setattr("sklearn.callback.ProgressBar", lambda: counter)
    assert run(*INTERRUPTED) == 0
    assert not os.path.exists("bell.checkpoint")
    assert counter.n_epochs <= 3  # two epochs, and a report of the resumed one  # of four
    bell = sklearn_bell.load("bell.safetensors")
    expected = BELLPretrainer(max_epochs=4, batch_size=6, device="cpu", random_state=0)
    expected.fit(ECG.data)
    np.testing.assert_array_equal(bell.transform(ECG.data), expected.transform(ECG.data))
    losses = [[epoch["loss"] for epoch in model.history_] for model in (bell, expected)]
    assert losses[0] == losses[1]


def test_interrupted_pretrain_resumes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sklearn_bell.__main__.find_spec", lambda name: True)

    def interrupt():
        monkeypatch.setattr("sklearn.callback.ProgressBar", Interrupter)
        handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in background
        try:
            return run(*INTERRUPTED)
        finally:
            signal.signal(signal.SIGINT, handler)

    check_interrupted(interrupt, monkeypatch)


@pytest.mark.slow
def test_interrupted_process_resumes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sklearn_bell.__main__.find_spec", lambda name: True)
    script = f"""
        import signal, sys
        import sklearn.callback
        import sklearn_bell.__main__ as command_line
        from tests.test_command_line import Interrupter

        signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background
        sklearn.callback.ProgressBar = Interrupter
        command_line.find_spec = lambda name: True
        sys.exit(command_line.main({INTERRUPTED}))
    """
    root = Path(__file__).parent.parent
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root), *sys.path])}

    def interrupt():
        command = [sys.executable, "-c", textwrap.dedent(script)]
        process = subprocess.run(command, env=environment, capture_output=True, check=False)
        assert b"interrupted" in process.stderr, process.stderr
        return process.returncode

    check_interrupted(interrupt, monkeypatch)


def test_demo_command_runs_the_demo(monkeypatch):
    calls = []
    monkeypatch.setattr(demo, "main", lambda *arguments: calls.append(arguments))
    assert run("demo") == 0
    assert run("demo", "--data", "ptb-xl", "--picture", "here.png") == 0
    assert calls == [(None, "demo.png"), ("ptb-xl", "here.png")]


def test_missing_arguments_are_wrong_usage():
    with pytest.raises(SystemExit, match="2"):
        run("pretrain")


def test_help_lists_commands_and_examples(capsys):
    with pytest.raises(SystemExit, match="0"):
        run("--help")
    text = capsys.readouterr().out
    words = ("pretrain", "embed", "plot", "demo", "examples", "exit codes", ".csv files")
    assert [word for word in words if word not in text] == []
    assert re.search(r"pretrain\s+learn from records", text)


@pytest.mark.parametrize("name", ["pretrain", "embed", "plot"])
def test_help_of_a_command_names_its_python(capsys, name):
    with pytest.raises(SystemExit, match="0"):
        run(name, "--help")
    assert "In Python: " in capsys.readouterr().out


@pytest.mark.slow
def test_installed_script_prints_its_usage():
    script = os.path.join(os.path.dirname(sys.executable), "sklearn-bell")
    text = subprocess.run([script, "--help"], check=True, capture_output=True, text=True).stdout
    assert text.startswith("usage: sklearn-bell")


def test_help_does_not_import_torch():
    code = """
        import sys
        from sklearn_bell.__main__ import main
        try:
            main(["--help"])
        except SystemExit:
            assert "torch" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, capture_output=True)
