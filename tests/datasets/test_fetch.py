"""fetch_*: downloads that are whole or not there, from a publisher who drops, mangles and dawdles.

A server on this machine has small data sets in the layout of PhysioNet.
"""

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
    _download,
    _fetch,
    fetch_chapman,
    fetch_cpsc2018,
    fetch_georgia,
    fetch_ludb,
    fetch_ptbxl,
    load_challenge,
    load_ptbxl,
)
from sklearn_bell.datasets._sources import LUDB
from sklearn_bell.exceptions import InvalidECGError

# connections that the publisher has cut are closed when they are collected
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
    """Serves files, and does to them what `mischief` has for their names, as often as it says."""

    def do_GET(self):
        name = self.path.rsplit("/", 1)[-1]
        with self.server.lock:
            self.server.asked[name] += 1
            kind, times = self.server.mischief.get(name, (None, 0))
            self.server.mischief[name] = kind, times - 1
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
    """Return a server of three data sets; files are fetched from it, without long pauses."""
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
    server.lock, server.asked, server.mischief = threading.Lock(), Counter(), {}
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    for name in ("PTB_XL", "LUDB", "CHALLENGE_2021"):
        source = getattr(_fetch, name)
        monkeypatch.setattr(_fetch, name, source._replace(files=f"{address}/{source.folders[0]}/"))
    monkeypatch.setattr(_download, "_TIMEOUT", 0.5)
    hasty = SimpleNamespace(sleep=lambda seconds: time.sleep(seconds / 100))
    monkeypatch.setattr(pooch.core, "time", hasty)
    server.files = files
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def there(home):
    return sorted(str(p.relative_to(home)) for p in home.rglob("*") if p.is_file())


def test_what_is_asked_for_is_downloaded_and_loaded(publisher, tmp_path):
    home = tmp_path / "home"
    bunch = fetch_ptbxl(home, verbose=False, leads=["II"])
    expected = load_ptbxl(publisher.files, leads=["II"])
    np.testing.assert_array_equal(bunch.data, expected.data)
    assert there(home) == [
        "ptb-xl/LICENSE.txt",
        "ptb-xl/SHA256SUMS.txt",
        "ptb-xl/ptbxl_database.csv",
        *sorted(
            f"ptb-xl/records100/00000/0000{i}_lr.{x}" for i in range(4) for x in ("dat", "hea")
        ),
        "ptb-xl/scp_statements.csv",
    ]
    for name in there(home):
        assert (home / name).read_bytes() == (publisher.files / name).read_bytes()
    # the rest comes when it is asked for, and what is there is not asked for again
    publisher.asked.clear()
    fetch_ptbxl(home, verbose=False, sampling_rate=500)
    assert sorted(publisher.asked) == sorted(
        f"0000{i}_hr.{x}" for i in range(4) for x in ("dat", "hea")
    )
    publisher.asked.clear()
    fetch_ptbxl(home, verbose=False, sampling_rate=500)
    assert not publisher.asked


def test_sources_of_the_challenge_share_a_folder(publisher, tmp_path):
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


def test_ludb_is_downloaded_whole(publisher, tmp_path):
    home = tmp_path / "home"
    X, y = fetch_ludb(home, verbose=False, return_X_y=True)
    assert (X.shape, y.tolist()) == ((1, 2, 5000), [0])
    assert there(home / "ludb") == ["SHA256SUMS.txt", "data/1.dat", "data/1.hea", "ludb.csv"]


@pytest.mark.parametrize("mischief", ["dropped", "wrong", "silent", "slow", "gone"])
def test_what_goes_wrong_at_times_is_tried_again(publisher, tmp_path, mischief):
    publisher.mischief["1.dat"] = (mischief, 2)
    publisher.mischief["SHA256SUMS.txt"] = (mischief if mischief != "wrong" else None, 1)
    home = tmp_path / "home"
    fetch_ludb(home, verbose=False)
    assert (home / "ludb" / "data" / "1.dat").read_bytes() == (
        publisher.files / "ludb" / "data" / "1.dat"
    ).read_bytes()
    assert publisher.asked["1.dat"] == (1 if mischief == "slow" else 3)


@pytest.mark.parametrize("mischief", ["dropped", "wrong", "silent", "gone"])
def test_nothing_half_written_is_left_and_the_rest_is_kept(publisher, tmp_path, mischief):
    home = tmp_path / "home"
    publisher.mischief["00002_lr.dat"] = (mischief, 99)
    with pytest.raises(OSError, match=r"00002_lr\.dat of PTB-XL .* kept in .*; call again"):
        fetch_ptbxl(home, n_connections=1, verbose=False)
    assert publisher.asked["00002_lr.dat"] == 5
    left = there(home)
    assert "ptb-xl/records100/00000/00001_lr.dat" in left
    for name in left:
        assert (home / name).read_bytes() == (publisher.files / name).read_bytes()
    publisher.mischief.clear()
    publisher.asked.clear()
    assert len(fetch_ptbxl(home, verbose=False).data) == 4
    assert not publisher.asked.keys() & {name.rsplit("/", 1)[-1] for name in left}


def test_an_interruption_leaves_whole_files_and_the_next_call_goes_on(publisher, tmp_path):
    publisher.mischief["00002_lr.dat"] = ("silent", 99)
    source = _fetch.PTB_XL.files
    script = f"""
        from sklearn_bell.datasets import _fetch, fetch_ptbxl
        _fetch.PTB_XL = _fetch.PTB_XL._replace(files={source!r})
        fetch_ptbxl({str(tmp_path / "home")!r}, n_connections=2, verbose=False)
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stderr=subprocess.PIPE
    )
    for _ in range(600):
        if publisher.asked["00002_lr.dat"]:
            break
        time.sleep(0.1)
    child.kill()
    _, err = child.communicate()
    assert publisher.asked["00002_lr.dat"], err.decode()
    for name in there(tmp_path / "home"):
        if not os.path.basename(name).startswith("tmp"):
            content = (tmp_path / "home" / name).read_bytes()
            assert content == (publisher.files / name).read_bytes()
    publisher.mischief.clear()
    assert len(fetch_ptbxl(tmp_path / "home", verbose=False).data) == 4


def test_licence_and_citation_are_told_once(publisher, tmp_path, capsys):
    fetch_ludb(tmp_path / "home")
    out, err = capsys.readouterr()
    assert "ODC-By 1.0" in err
    assert "Kalyakulina" in err
    assert "100%" in err
    assert out == ""
    fetch_ludb(tmp_path / "home")
    assert capsys.readouterr() == ("", "")


def test_files_come_over_several_connections(publisher, tmp_path, monkeypatch):
    together, at_once = [], Counter()
    serve = Publisher.do_GET

    def counted(self):
        with self.server.lock:
            at_once["now"] += 1
            together.append(at_once["now"])
        time.sleep(0.2)
        serve(self)
        with self.server.lock:
            at_once["now"] -= 1

    monkeypatch.setattr(Publisher, "do_GET", counted)
    fetch_ptbxl(tmp_path / "home", n_connections=3, verbose=False)
    assert 1 < max(together) <= 3


def test_a_copy_from_elsewhere_is_loaded_as_it_is(publisher, tmp_path):
    (publisher.files / "ptb-xl" / "SHA256SUMS.txt").unlink()
    assert len(fetch_ptbxl(publisher.files, verbose=False).data) == 4
    assert not publisher.asked


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../b", "..\\b"])
def test_no_file_is_written_outside_the_folder(publisher, tmp_path, name):
    path = publisher.files / "ludb" / "SHA256SUMS.txt"
    path.write_text(f"{'0' * 64} {name}\n")
    with pytest.raises(InvalidECGError, match=re.escape(f"makes no sense: '{'0' * 64} ")):
        fetch_ludb(tmp_path / "home", verbose=False)
    assert there(tmp_path / "home") == ["ludb/SHA256SUMS.txt"]


@pytest.mark.parametrize(
    ("fetch", "options", "error", "message"),
    [
        (fetch_chapman, {"sources": ["ningbo"]}, TypeError, "fetch_chapman has no option sources"),
        (
            fetch_chapman,
            {"samplingrate": 100},
            TypeError,
            "no option samplingrate; .*sampling_rate",
        ),
        (fetch_cpsc2018, {"folder": "x"}, TypeError, "fetch_cpsc2018 has no option folder"),
        (fetch_georgia, {"task": "x"}, ValueError, "'task' parameter of fetch_georgia must be"),
        (fetch_ludb, {"verify": True}, TypeError, "no option verify; those of load_ludb"),
        (fetch_ludb, {"leads": ["II", "II"]}, InvalidECGError, "leads"),
        (fetch_ptbxl, {"sampling_rate": 250}, ValueError, "of fetch_ptbxl must be .*100.*500"),
        (fetch_ptbxl, {"folds": [10, 11]}, InvalidECGError, r"folds must be .* got \[10, 11\]"),
        (fetch_ptbxl, {"folds": 3}, InvalidECGError, "folds must be some of .*, but got 3"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_downloaded(
    tmp_path, monkeypatch, fetch, options, error, message
):
    monkeypatch.setattr(_fetch, "download", lambda *args: pytest.fail("it is downloaded"))
    with pytest.raises(error, match=message):
        fetch(tmp_path, **options)


def test_options_of_the_loaders_reach_them(publisher, tmp_path):
    folds = (number for number in [1, 1])
    bunch = fetch_ptbxl(tmp_path, verbose=False, folds=folds, leads=["II"], task="diagnostic")
    assert bunch.data.shape == (4, 1, 1000)
    assert fetch_georgia(tmp_path, verbose=False, duration=5).data.shape == (1, 2, 500)


def test_the_size_that_is_told_is_the_same_everywhere():
    size = re.search(r"about \d+ MB", LUDB.size)[0]
    assert size in fetch_ludb.__doc__


def test_pooch_is_as_talkative_afterwards_as_before(publisher, tmp_path):
    level = pooch.get_logger().level
    fetch_ludb(tmp_path / "home", verbose=False)
    assert pooch.get_logger().level == level


def test_without_pooch_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ImportError, match=r"sklearn_bell\[fetch\]"):
        fetch_ludb(tmp_path)
