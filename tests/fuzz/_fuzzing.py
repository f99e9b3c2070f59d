"""Shared parts of the fuzz tests: mutation of files, and limits on what a file may cause."""

import faulthandler
import inspect
import os
import re
import sys
import tempfile
import tracemalloc
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

N_CASES = int(os.environ.get("SKLEARN_BELL_FUZZ", "200"))  # of each slow test
N_SAMPLE = min(N_CASES, 30)  # of each test in every run
LONG = N_CASES > 1000

# a short run is reproducible, so that it fails for those who change something
FUZZ = settings(
    max_examples=N_CASES,
    deadline=None,
    derandomize=not LONG,
    database=None,
    suppress_health_check=list(HealthCheck),
)
# for tests that train networks, which takes a tenth of a second
FUZZ_SLOW = settings(FUZZ, max_examples=max(40, N_CASES // 20))
SECONDS = 60  # a longer case hangs: the interpreter prints its stack and exits
MOST_BYTES = 2**28  # limit on allocations of Python and numpy; the files have a few KB


def fuzz(check):
    """Turn ``check(data, **fixtures)`` into a test of a small sample, and a slow one of N_CASES."""
    fixtures = [name for name in inspect.signature(check).parameters if name != "data"]

    def test(n_cases, **values):
        @settings(FUZZ, max_examples=n_cases)
        @given(data=st.data())
        def run(data):
            check(data=data, **values)

        run()

    test.__name__, test.__doc__ = check.__name__, check.__doc__
    test.__signature__ = inspect.Signature(
        [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in ["n_cases", *fixtures]]
    )
    cases = [N_SAMPLE, pytest.param(N_CASES, marks=pytest.mark.slow)]
    return pytest.mark.parametrize("n_cases", cases, ids=["sample", "long"])(test)


NUMBERS = [b"0", b"-1", b"1", b"2", b"3.5", b"1000000", b"1000000000000", b"999999999999999",
           b"9" * 400, b"1e12", b"1e400", b"1e-400", b"nan", b"inf", b"-0", b"0x10", b"1_000",
           "\u0661".encode()]  # fmt: skip
WORDS = [b"", b" ", b"~", b".", b"..", b"../outside.dat", b"/etc/passwd", b"link.dat", b"link",
         b"pipe.dat", b"a.hea", b"RECORDS", b"s3://bucket/a.dat", b"http://127.0.0.1:9/a.dat",
         b"file::a.dat", b"C:\\a.dat", b"a.dat\0", b"\xff\xfe", b"\xc2\xb5V", b"#", b'"', b"'",
         b",", b"{", b"[" * 5000, b"x" * 5000, b"mmHg", b"I"]  # fmt: skip


def mutated(content, text, aims=()):
    """Return a strategy of the content after one to four changes.

    `aims` are pairs of a pattern and its replacements. A case is one seed: hypothesis is slow at
    drawing thousands of bytes one by one, and shrinks them little.
    """
    return SEEDED.map(lambda random: _mutate(random, content, text, aims))


SEEDED = st.integers(0, 2**64 - 1).map(Random)


def _mutate(random, content, text, aims):
    number, word = _aimed(rb"[0-9.]+", NUMBERS, 0), _aimed(rb"[^ \t\r\n,:/()+x]+", WORDS, 0)
    for _ in range(random.randint(1, 4)):
        changes = [_flip, _overwrite, _cut, _repeat, _insert, _truncate]
        if text:
            changes += [*2 * (number, word), _line]
        changes += [_aimed(*aim) for aim in aims for _ in range(2)]
        content = random.choice(changes)(random, content)
    return content


def _aimed(pattern, new, p_all=0.5):
    """Return a change that replaces a match, or at times all matches."""

    def change(random, content):
        places = [match.span() for match in re.finditer(pattern, content)]
        if not places:
            return content
        replacement = random.choice(new)
        if random.random() < p_all:
            return re.sub(pattern, lambda _: replacement, content)
        start, end = random.choice(places)
        return content[:start] + replacement + content[end:]

    return change


def _place(random, content):
    return random.randrange(max(len(content), 1))


def _slice(random, content):
    start = _place(random, content)
    return start, start + random.randint(1, 64)


def _flip(random, content):
    if not content:
        return content
    place, bit = _place(random, content), random.randrange(8)
    return content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]


def _overwrite(random, content):
    place, new = _place(random, content), random.randbytes(random.randint(1, 8))
    return content[:place] + new + content[place + len(new) :]


def _cut(random, content):
    start, end = _slice(random, content)
    return content[:start] + content[end:]


def _repeat(random, content):
    start, end = _slice(random, content)
    return content[:end] + content[start:end] + content[end:]


def _insert(random, content):
    place = _place(random, content)
    return content[:place] + random.randbytes(random.randint(1, 64)) + content[place:]


def _truncate(random, content):
    return content[: _place(random, content)]


def _line(random, content):
    """Delete a line, repeat it, or swap two."""
    lines = content.split(b"\n")
    i, j = (random.randrange(len(lines)) for _ in range(2))
    change = random.choice(["delete", "repeat", "swap"])
    if change == "delete":
        del lines[i]
    elif change == "repeat":
        lines.insert(i, lines[i])
    else:
        lines[i], lines[j] = lines[j], lines[i]
    return b"\n".join(lines)


# Limits on what a file may cause ------------------------------------------------------------------

_watched: dict = {}
_FORBIDDEN = ("socket.", "subprocess.", "os.system", "os.exec", "os.fork", "os.spawn", "ctypes.",
              "pickle.find", "urllib.", "ftplib.", "webbrowser.", "shutil.")  # fmt: skip
_SCRATCH = os.path.realpath(os.path.join(tempfile.gettempdir(), "sklearn_bell-"))  # of readers
_PYTHON = (sys.prefix, sys.base_prefix, str(Path(__file__).parents[2] / "sklearn_bell"),
           "/proc/self", "/sys/", "/dev/null")  # fmt: skip


def _hook(event, args):
    if not _watched:
        return
    if event == "shutil.rmtree" and os.path.realpath(args[0]).startswith(_SCRATCH):
        return
    if event.startswith(_FORBIDDEN):
        _watched["events"].append(f"{event} {args}")
    elif event == "open" and isinstance(args[0], str | bytes):
        path = os.path.realpath(os.fsdecode(args[0]))
        if not path.startswith((_watched["folder"], _SCRATCH, *_PYTHON)):
            _watched["events"].append(f"open {path}")


sys.addaudithook(_hook)


@contextmanager
def watched(folder, most_bytes=MOST_BYTES):
    """Fail on opening files outside the folder, hanging, networking or allocating much memory.

    Audit events of the interpreter report every file, process and connection.
    """
    events = []
    faulthandler.dump_traceback_later(SECONDS, exit=True)
    tracemalloc.start(1)
    _watched.update(folder=os.path.realpath(folder) + os.sep, events=events)
    try:
        yield
    finally:
        _watched.clear()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        faulthandler.cancel_dump_traceback_later()
    assert not events, events
    assert peak < most_bytes, f"{peak / 1e6:.0f} MB were allocated"


class Outcomes(Counter):
    """Counts of outcomes, printed after a long run."""

    def report(self, name):
        if LONG and self:
            counts = ", ".join(f"{n:,} {outcome}" for outcome, n in self.most_common())
            print(f"\n{name}: {sum(self.values()):,} cases: {counts}")
