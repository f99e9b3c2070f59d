"""What all fuzzers share: how files are mutated, and what no file may bring about."""

import faulthandler
import os
import re
import sys
import tracemalloc
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

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
MOST_BYTES = 2**28  # that a case may allocate; the files have a few KB

NUMBERS = [b"0", b"-1", b"1", b"2", b"3.5", b"1000000", b"1000000000000", b"999999999999999",
           b"9" * 400, b"1e12", b"1e400", b"1e-400", b"nan", b"inf", b"-0", b"0x10", b"1_000",
           "\u0661".encode()]  # fmt: skip
WORDS = [b"", b" ", b"~", b".", b"..", b"../outside.dat", b"/etc/passwd", b"link.dat", b"link",
         b"pipe.dat", b"a.hea", b"RECORDS", b"s3://bucket/a.dat", b"http://127.0.0.1:9/a.dat",
         b"file::a.dat", b"C:\\a.dat", b"a.dat\0", b"\xff\xfe", b"\xc2\xb5V", b"#", b'"', b"'",
         b",", b"{", b"[" * 5000, b"x" * 5000, b"mmHg", b"I"]  # fmt: skip


@st.composite
def mutated(draw, content, text, aims=()):
    """Return the content with one to four things changed.

    `aims` are pairs of a pattern and of what may be put in its place.
    """
    for _ in range(draw(st.integers(1, 4))):
        changes = [_flip, _overwrite, _cut, _repeat, _insert, _truncate]
        if text:
            changes += [_number, _number, _word, _word, _line]
        changes += [_aimed(*aim) for aim in aims for _ in range(2)]
        content = draw(st.sampled_from(changes))(draw, content)
    return content


def _aimed(pattern, new):
    def change(draw, content):
        places = [found.span() for found in re.finditer(pattern, content)]
        if not places:
            return content
        other = draw(st.sampled_from(new))
        if draw(st.booleans()):
            return re.sub(pattern, lambda _: other, content)
        start, end = draw(st.sampled_from(places))
        return content[:start] + other + content[end:]

    return change


def _place(draw, content):
    return draw(st.integers(0, max(len(content) - 1, 0)))


def _slice(draw, content):
    start = _place(draw, content)
    return start, start + draw(st.integers(1, 64))


def _flip(draw, content):
    if not content:
        return content
    place, bit = _place(draw, content), draw(st.integers(0, 7))
    return content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]


def _overwrite(draw, content):
    place, new = _place(draw, content), draw(st.binary(min_size=1, max_size=8))
    return content[:place] + new + content[place + len(new) :]


def _cut(draw, content):
    start, end = _slice(draw, content)
    return content[:start] + content[end:]


def _repeat(draw, content):
    start, end = _slice(draw, content)
    return content[:end] + content[start:end] + content[end:]


def _insert(draw, content):
    place = _place(draw, content)
    return content[:place] + draw(st.binary(min_size=1, max_size=64)) + content[place:]


def _truncate(draw, content):
    return content[: _place(draw, content)]


def _number(draw, content):
    return _replaced(draw, content, b"0123456789.", NUMBERS)


def _word(draw, content):
    return _replaced(draw, content, None, WORDS)


def _replaced(draw, content, letters, new):
    """Replace one of the runs of these letters, or of letters that do not part words."""
    apart = b" \t\r\n,:/()+x"
    runs, start = [], None
    for place, letter in enumerate(content + b" "):
        within = letter in letters if letters else letter not in apart
        if within and start is None:
            start = place
        elif not within and start is not None:
            runs.append((start, place))
            start = None
    if not runs:
        return content
    start, end = draw(st.sampled_from(runs))
    return content[:start] + draw(st.sampled_from(new)) + content[end:]


def _line(draw, content):
    """Leave a line out, or have it twice, or exchange two."""
    lines = content.split(b"\n")
    i, j = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
    how = draw(st.sampled_from(["out", "twice", "exchanged"]))
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
