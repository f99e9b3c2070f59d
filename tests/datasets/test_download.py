"""Tests of downloads from an unreliable publisher: a local server in the layout of PhysioNet."""

import hashlib
import os
import re
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import numpy as np
import pooch
import pytest
import wfdb

from sklearn_bell.datasets import (
    _challenge,
    _download,
    _ludb,
    _ptbxl,
    fetch_chapman,
    fetch_cpsc2018,
    fetch_georgia,
    fetch_ludb,
    fetch_ptbxl,
    load_challenge,
    load_ptbxl,
)
from sklearn_bell.exceptions import InvalidECGError

# connections cut by the publisher are closed at garbage collection
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def record(folder, name, **options):
    folder.mkdir(parents=True, exist_ok=True)
    signal = np.random.default_rng(len(name)).normal(0, 0.1, (1000, 2))
    wfdb.wrsamp(
        name, fs=100, units=["mV"] * 2, sig_name=["I", "II"], fmt=["16"] * 2, p_signal=signal,
        write_dir=str(folder), **options,
    )  # fmt: skip


def sums(folder):
    """Write the checksums of all files in a folder, as PhysioNet does."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = [f"{hashlib.sha256(f.read_bytes()).hexdigest()} {f.relative_to(folder)}" for f in files]
    (folder / "SHA256SUMS.txt").write_text("\n".join([*lines, ""]))


class Publisher(SimpleHTTPRequestHandler):
    """Server of files with faults: by file name, a kind and a number of times."""

    def do_GET(self):
        name = self.path.rsplit("/", 1)[-1]
        with self.server.lock:
            self.server.requests[name] += 1
            kind, times = self.server.faults.get(name, (None, 0))
            self.server.faults[name] = kind, times - 1
        if kind is None or times <= 0:
            return super().do_GET()
        with open(self.translate_path(self.path), "rb") as file:
            content = file.read()
        if kind == "gone":
            self.send_error(404)
            return None
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if kind == "dropped":
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            self.connection.shutdown(2)
        elif kind == "wrong":
            self.wfile.write(bytes([content[0] ^ 1]) + content[1:])
        elif kind == "silent":
            self.wfile.write(content[:1])
            self.wfile.flush()
            time.sleep(1.5)
        else:  # byte by byte
            for byte in content[:20]:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(0.01)
            self.wfile.write(content[20:])
        return None

    def log_message(self, *args):
        pass


@pytest.fixture
def publisher(tmp_path, monkeypatch):
    """Return a server of three data sets, which the loaders use, without long pauses."""
    files = tmp_path / "physionet"
    ptbxl = files / "ptb-xl"
    for i in range(4):
        record(ptbxl / "records100" / "00000", f"0000{i}_lr")
        record(ptbxl / "records500" / "00000", f"0000{i}_hr")
    rows = [
        f"{i},{i},\"{{'NORM': 100.0}}\",1,records100/00000/0000{i}_lr,records500/00000/0000{i}_hr"
        for i in range(4)
    ]
    header = "ecg_id,patient_id,scp_codes,strat_fold,filename_lr,filename_hr"
    (ptbxl / "ptbxl_database.csv").write_text("\n".join([header, *rows, ""]))
    (ptbxl / "scp_statements.csv").write_text(
        ",diagnostic,diagnostic_class\nNORM,1.0,NORM\nCLBBB,1.0,CD\n"
    )
    (ptbxl / "LICENSE.txt").write_text("CC BY 4.0")
    sums(ptbxl)

    record(files / "ludb" / "data", "1")
    columns = "ID,Rhythms,Electric axis of the heart,Conduction abnormalities,Hypertrophies"
    (files / "ludb" / "ludb.csv").write_text(f"{columns}\n1,Sinus rhythm,,,\n")
    sums(files / "ludb")

    training = files / "challenge-2021" / "training"
    names = {"cpsc_2018": "A0001", "chapman_shaoxing": "JS00001", "ningbo": "JS10647",
             "georgia": "E00001"}  # fmt: skip
    for folder, name in names.items():
        record(training / folder / "g1", name, comments=["Age: 74", "Dx: 426783006"])
    sums(files / "challenge-2021")

    server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *a: Publisher(*a, directory=files))
    server.lock, server.requests, server.faults = threading.Lock(), Counter(), {}
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    for module, name in [(_ptbxl, "PTB_XL"), (_ludb, "LUDB"), (_challenge, "CHALLENGE_2021")]:
        source = getattr(module, name)
        monkeypatch.setattr(module, name, source._replace(files=f"{address}/{source.folders[0]}/"))
    monkeypatch.setattr(_download, "_TIMEOUT", 0.5)
    fast_clock = SimpleNamespace(sleep=lambda seconds: time.sleep(seconds / 100))
    monkeypatch.setattr(pooch.core, "time", fast_clock)
    server.files = files
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def list_files(home):
    return sorted(str(p.relative_to(home)) for p in home.rglob("*") if p.is_file())


def test_fetch_ptbxl_downloads_one_sampling_rate(publisher, tmp_path):
    home = tmp_path / "home"
    bunch = fetch_ptbxl(home, verbose=False, leads=["II"])
    expected = load_ptbxl(publisher.files, leads=["II"])
    np.testing.assert_array_equal(bunch.data, expected.data)
    assert list_files(home) == [
        "ptb-xl/LICENSE.txt",
        "ptb-xl/SHA256SUMS.txt",
        "ptb-xl/ptbxl_database.csv",
        *sorted(
            f"ptb-xl/records100/00000/0000{i}_lr.{x}" for i in range(4) for x in ("dat", "hea")
        ),
        "ptb-xl/scp_statements.csv",
    ]
    for name in list_files(home):
        assert (home / name).read_bytes() == (publisher.files / name).read_bytes()
    # another call downloads only missing files
    publisher.requests.clear()
    fetch_ptbxl(home, verbose=False, sampling_rate=500)
    assert sorted(publisher.requests) == sorted(
        f"0000{i}_hr.{x}" for i in range(4) for x in ("dat", "hea")
    )
    publisher.requests.clear()
    fetch_ptbxl(home, verbose=False, sampling_rate=500)
    assert not publisher.requests


def test_fetchers_of_challenge_share_folder(publisher, tmp_path):
    names = {
        fetch_cpsc2018: ["cpsc_2018/g1/A0001"],
        fetch_georgia: ["georgia/g1/E00001"],
        fetch_chapman: ["chapman_shaoxing/g1/JS00001", "ningbo/g1/JS10647"],
    }
    for fetch, expected in names.items():
        bunch = fetch(tmp_path, verbose=False)
        assert bunch.record_names.tolist() == expected
        assert bunch.target_names[bunch.target[0] == 1].tolist() == ["NSR"]
    everything = load_challenge(tmp_path / "challenge-2021")
    assert len(everything.data) == 4


def test_fetch_ludb_downloads_all_files(publisher, tmp_path):
    home = tmp_path / "home"
    X, y = fetch_ludb(home, verbose=False, return_X_y=True)
    assert (X.shape, y.tolist()) == ((1, 2, 5000), [0])
    assert list_files(home / "ludb") == ["SHA256SUMS.txt", "data/1.dat", "data/1.hea", "ludb.csv"]


@pytest.mark.parametrize("fault", ["dropped", "wrong", "silent", "slow", "gone"])
def test_temporary_failure_is_retried(publisher, tmp_path, fault):
    publisher.faults["1.dat"] = (fault, 2)
    publisher.faults["SHA256SUMS.txt"] = (fault if fault != "wrong" else None, 1)
    home = tmp_path / "home"
    fetch_ludb(home, verbose=False)
    assert (home / "ludb" / "data" / "1.dat").read_bytes() == (
        publisher.files / "ludb" / "data" / "1.dat"
    ).read_bytes()
    assert publisher.requests["1.dat"] == (1 if fault == "slow" else 3)


@pytest.mark.parametrize("fault", ["dropped", "wrong", "silent", "gone"])
def test_permanent_failure_keeps_complete_files(publisher, tmp_path, fault):
    home = tmp_path / "home"
    publisher.faults["00002_lr.dat"] = (fault, 99)
    with pytest.raises(OSError, match=r"download .*00002_lr\.dat of PTB-XL .* Call again"):
        fetch_ptbxl(home, n_connections=1, verbose=False)
    assert publisher.requests["00002_lr.dat"] == 5
    complete = list_files(home)
    assert "ptb-xl/records100/00000/00001_lr.dat" in complete
    for name in complete:
        assert (home / name).read_bytes() == (publisher.files / name).read_bytes()
    publisher.faults.clear()
    publisher.requests.clear()
    assert len(fetch_ptbxl(home, verbose=False).data) == 4
    assert not publisher.requests.keys() & {name.rsplit("/", 1)[-1] for name in complete}


@pytest.mark.slow
def test_killed_download_resumes(publisher, tmp_path):
    publisher.faults["00002_lr.dat"] = ("silent", 99)
    source = _ptbxl.PTB_XL.files
    script = f"""
        from sklearn_bell.datasets import _ptbxl, fetch_ptbxl
        _ptbxl.PTB_XL = _ptbxl.PTB_XL._replace(files={source!r})
        fetch_ptbxl({str(tmp_path / "home")!r}, n_connections=2, verbose=False)
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stderr=subprocess.PIPE
    )
    for _ in range(600):
        if publisher.requests["00002_lr.dat"]:
            break
        time.sleep(0.1)
    child.kill()
    _, err = child.communicate()
    assert publisher.requests["00002_lr.dat"], err.decode()
    for name in list_files(tmp_path / "home"):
        if not os.path.basename(name).startswith("tmp"):
            content = (tmp_path / "home" / name).read_bytes()
            assert content == (publisher.files / name).read_bytes()
    publisher.faults.clear()
    assert len(fetch_ptbxl(tmp_path / "home", verbose=False).data) == 4


def test_verbose_prints_licence_once(publisher, tmp_path, capsys):
    fetch_ludb(tmp_path / "home")
    out, err = capsys.readouterr()
    assert "ODC-By 1.0" in err
    assert "Kalyakulina" in err
    assert "100%" in err
    assert out == ""
    fetch_ludb(tmp_path / "home")
    assert capsys.readouterr() == ("", "")


def test_n_connections_downloads_in_parallel(publisher, tmp_path, monkeypatch):
    active, count = [], Counter()
    serve = Publisher.do_GET

    def counted(self):
        with self.server.lock:
            count["now"] += 1
            active.append(count["now"])
        time.sleep(0.2)
        with self.server.lock:  # before the client has its answer and asks for more
            count["now"] -= 1
        serve(self)

    monkeypatch.setattr(Publisher, "do_GET", counted)
    fetch_ptbxl(tmp_path / "home", n_connections=3, verbose=False)
    assert 1 < max(active) <= 3


def test_foreign_copy_is_loaded_unchanged(publisher, tmp_path):
    (publisher.files / "ptb-xl" / "SHA256SUMS.txt").unlink()
    assert len(fetch_ptbxl(publisher.files, verbose=False).data) == 4
    assert not publisher.requests


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../b", "..\\b"])
def test_checksum_file_pointing_outside_raises(publisher, tmp_path, name):
    path = publisher.files / "ludb" / "SHA256SUMS.txt"
    path.write_text(f"{'0' * 64} {name}\n")
    with pytest.raises(InvalidECGError, match=re.escape(f"an invalid line: '{'0' * 64} ")):
        fetch_ludb(tmp_path / "home", verbose=False)
    assert list_files(tmp_path / "home") == ["ludb/SHA256SUMS.txt"]


@pytest.mark.parametrize(
    ("fetch", "options", "error", "message"),
    [
        (fetch_chapman, {"sources": ["ningbo"]}, TypeError, "multiple values .*'sources'"),
        (fetch_chapman, {"samplingrate": 100}, TypeError, "unexpected .*'samplingrate'"),
        (fetch_cpsc2018, {"folder": "x"}, TypeError, "multiple values .*'folder'"),
        (fetch_georgia, {"task": "x"}, ValueError, "'task' parameter of load_challenge must be"),
        (fetch_georgia, {"n_connections": 0}, ValueError, "'n_connections' parameter"),
        (fetch_ludb, {"verify": True}, TypeError, "unexpected .*'verify'"),
        (fetch_ludb, {"leads": ["II", "II"]}, InvalidECGError, "leads"),
        (fetch_ptbxl, {"sampling_rate": 250}, ValueError, "of load_ptbxl must be .*100.*500"),
        (fetch_ptbxl, {"folds": [10, 11]}, InvalidECGError, r"Expected folds .* got \[10, 11\]"),
        (fetch_ptbxl, {"folds": 3}, InvalidECGError, "Expected folds out of .*, got 3"),
    ],
)
def test_invalid_option_raises_before_download(publisher, tmp_path, fetch, options, error, message):
    with pytest.raises(error, match=message):
        fetch(tmp_path, **options)
    assert not publisher.requests


def test_unknown_source_of_challenge_raises(publisher, tmp_path):
    with pytest.raises(InvalidECGError, match=r"under training/mars/, got none"):
        load_challenge(tmp_path, sources=["mars"], download_if_missing=True, verbose=False)


def test_fetchers_pass_options_to_loader(publisher, tmp_path):
    folds = (number for number in [1, 1])
    bunch = fetch_ptbxl(tmp_path, verbose=False, folds=folds, leads=["II"], task="diagnostic")
    assert bunch.data.shape == (4, 1, 1000)
    assert fetch_georgia(tmp_path, verbose=False, duration=5).data.shape == (1, 2, 500)


def test_log_level_of_pooch_is_restored(publisher, tmp_path):
    level = pooch.get_logger().level
    fetch_ludb(tmp_path / "home", verbose=False)
    assert pooch.get_logger().level == level


def test_missing_pooch_names_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ImportError, match=r"sklearn_bell\[fetch\]"):
        fetch_ludb(tmp_path)
