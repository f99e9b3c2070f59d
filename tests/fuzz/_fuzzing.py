"""What all fuzzers share: how files are mutated, and what no file may bring about."""

import faulthandler
import os
import re
import sys
import tracemalloc
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from random import Random

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

N_CASES = int(os.environ.get("SKLEARN_BELL_FUZZ", "200"))  # of each test
LONG = N_CASES > 1000

# a short run is the same every time, so that it fails for those who change something
FUZZ = settings(
    max_examples=N_CASES,
    deadline=None,
    derandomize=not LONG,
    database=None,
    suppress_health_check=list(HealthCheck),
)
# where networks are made, which takes a tenth of a second
FUZZ_SLOW = settings(FUZZ, max_examples=max(40, N_CASES // 20))
SECONDS = 60  # a case that takes longer hangs: the interpreter tells where, and ends
MOST_BYTES = 2**28  # that a case may allocate in Python and numpy; the files have a few KB

NUMBERS = [b"0", b"-1", b"1", b"2", b"3.5", b"1000000", b"1000000000000", b"999999999999999",
           b"9" * 400, b"1e12", b"1e400", b"1e-400", b"nan", b"inf", b"-0", b"0x10", b"1_000",
           "\u0661".encode()]  # fmt: skip
WORDS = [b"", b" ", b"~", b".", b"..", b"../outside.dat", b"/etc/passwd", b"link.dat", b"link",
         b"pipe.dat", b"a.hea", b"RECORDS", b"s3://bucket/a.dat", b"http://127.0.0.1:9/a.dat",
         b"file::a.dat", b"C:\\a.dat", b"a.dat\0", b"\xff\xfe", b"\xc2\xb5V", b"#", b'"', b"'",
         b",", b"{", b"[" * 5000, b"x" * 5000, b"mmHg", b"I"]  # fmt: skip


def mutated(content, text, aims=()):
    """Return the content with one to four things changed, as a strategy.

    `aims` are pairs of a pattern and of what may be put in its place. A case is one seed: where
    thousands of bytes could be drawn one by one, hypothesis is slow, and has little to shrink.
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


def _aimed(pattern, new, all_of_them=0.5):
    """Return what puts one of the new in place of a match, or at times of all of them."""

    def change(random, content):
        places = [found.span() for found in re.finditer(pattern, content)]
        if not places:
            return content
        other = random.choice(new)
        if random.random() < all_of_them:
            return re.sub(pattern, lambda _: other, content)
        start, end = random.choice(places)
        return content[:start] + other + content[end:]

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
    """Leave a line out, or have it twice, or exchange two."""
    lines = content.split(b"\n")
    i, j = (random.randrange(len(lines)) for _ in range(2))
    how = random.choice(["out", "twice", "exchanged"])
    if how == "out":
        del lines[i]
    elif how == "twice":
        lines.insert(i, lines[i])
    else:
        lines[i], lines[j] = lines[j], lines[i]
    return b"\n".join(lines)


# What no file may bring about ---------------------------------------------------------------------

_watched: dict = {}
_FORBIDDEN = ("socket.", "subprocess.", "os.system", "os.exec", "os.fork", "os.spawn", "ctypes.",
              "pickle.find", "urllib.", "ftplib.", "webbrowser.", "shutil.")  # fmt: skip
_PYTHON = (sys.prefix, sys.base_prefix, str(Path(__file__).parents[2] / "sklearn_bell"),
           "/proc/self", "/sys/", "/dev/null")  # fmt: skip


def _hook(event, args):
    if not _watched:
        return
    if event.startswith(_FORBIDDEN):
        _watched["seen"].append(f"{event} {args}")
    elif event == "open" and isinstance(args[0], str | bytes):
        path = os.path.realpath(os.fsdecode(args[0]))
        if not path.startswith((_watched["folder"], *_PYTHON)):
            _watched["seen"].append(f"open {path}")


sys.addaudithook(_hook)


@contextmanager
def watched(folder):
    """Fail if a file outside the folder is opened, or a hang, a network or much memory comes of it.

    The interpreter reports whatever is opened, started or connected to by audit events.
    """
    seen = []
    faulthandler.dump_traceback_later(SECONDS, exit=True)
    tracemalloc.start(1)
    _watched.update(folder=os.path.realpath(folder) + os.sep, seen=seen)
    try:
        yield
    finally:
        _watched.clear()
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        faulthandler.cancel_dump_traceback_later()
    assert not seen, seen
    assert most < MOST_BYTES, f"{most / 1e6:.0f} MB were allocated"


class Outcomes(Counter):
    """What became of the cases, printed by a long run."""

    def report(self, what):
        if LONG and self:
            said = ", ".join(f"{n:,} {outcome}" for outcome, n in self.most_common())
            print(f"\n{what}: {sum(self.values()):,} cases: {said}")
