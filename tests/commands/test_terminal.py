"""Progress and watch in real terminals: narrow, wide, dumb, resized, without colours."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.kit import MODEL


@dataclass
class Terminal:
    """A pseudo terminal in which a command runs."""

    process: subprocess.Popen[bytes]
    fd: int
    seen: bytes = b""
    moments: list[float] = field(default_factory=list)
    """When something was printed."""

    def read(self, for_s: float, until: bytes | None = None) -> None:
        """Read what is printed, for some time, or until a text was seen or the command ended."""
        ends_s = time.monotonic() + for_s
        while (left_s := ends_s - time.monotonic()) > 0:
            if not select.select([self.fd], [], [], min(left_s, 0.2))[0]:
                continue
            try:
                data = os.read(self.fd, 65_536)
            except OSError:
                return
            self.seen += data
            self.moments.append(time.monotonic())
            if not data or (until is not None and until in self.seen):
                return

    def resize(self, columns: int) -> None:
        """Change the width, as a person who drags a window does."""
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.process.send_signal(signal.SIGWINCH)

    @property
    def lines(self) -> list[str]:
        """What was drawn, each state of a line for itself, without control sequences."""
        text = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", self.seen).decode("utf-8", "replace")
        return [line for line in re.split(r"[\r\n]+", text) if line]


def start(home: Path, columns: int, *words: str, **environment: str) -> Terminal:
    """Start a command in a terminal of that width."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "batchgen", *words], cwd=home, stdin=theirs, stdout=theirs,
        stderr=theirs, start_new_session=True,
        env={**os.environ, "HOME": str(home), "TERM": "xterm-256color", **environment},
    )  # fmt: skip
    os.close(theirs)
    return Terminal(process, ours)


def run(home: Path, columns: int, *words: str, **environment: str) -> Terminal:
    """Run the batch in a terminal to its end."""
    terminal = start(
        home, columns, "run", "m.csv", "--model", MODEL, "--sandbox", *words, **environment
    )
    terminal.read(40)
    assert terminal.process.wait(20) == 0
    os.close(terminal.fd)
    return terminal


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A batch of twelve rows, one with a hostile name."""
    rows = "".join(f"j{n},a lake\n" for n in range(12))
    (tmp_path / "m.csv").write_text(f"id,prompt\n{rows}", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    "columns", [20, *(pytest.param(n, marks=pytest.mark.slow) for n in (80, 250))]
)
@pytest.mark.slow
def test_the_bar_fits_the_terminal(home: Path, columns: int) -> None:
    """Nothing that is drawn over again is wider than the terminal, and it moves every second."""
    terminal = run(home, columns, "--concurrency", "2", "--max-runtime", "1m")
    drawn = [line for line in terminal.lines if "12" in line and "batchgen:" not in line]
    assert drawn
    assert max(map(len, drawn)) <= columns
    gaps = [after - before for before, after in zip(terminal.moments, terminal.moments[1:],
        strict=False)]  # fmt: skip
    assert max(gaps) < 2.5


@pytest.mark.slow
def test_the_pace_is_one_that_reads_well(home: Path) -> None:
    """Per second or per minute, whichever is not below one."""
    terminal = run(home, 120)
    assert any(re.search(r"\d jobs/(s|min)", line) for line in terminal.lines)


@pytest.mark.slow
@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"NO_COLOR": "1"}])
def test_plain_terminals(home: Path, environment: dict[str, str]) -> None:
    """A dumb one gets lines and no control character; without colours there are none."""
    terminal = run(home, 80, **environment)
    if environment.get("TERM") == "dumb":
        assert not re.search(rb"\x1b|\r(?!\n)", terminal.seen)
    assert not re.search(rb"\x1b\[[0-9;]*m", terminal.seen)


def test_a_line_for_each_job(home: Path) -> None:
    """With -v: what became of it, after how long, for how much, and where it is."""
    terminal = run(home, 100, "-v")
    lines = [line for line in terminal.lines if line.startswith("batchgen: j")]
    assert len(lines) == 12
    shape = r"batchgen: j\d+: downloaded after \d+ (?:s|ms), \$0\.03: outputs/j\d+-1\.png"
    assert all(re.fullmatch(shape, line.strip()) for line in lines), lines


@pytest.mark.slow
def test_quiet_wins_over_verbose(home: Path) -> None:
    """Nothing is printed if all goes well."""
    assert run(home, 100, "-v", "--quiet").seen == b""


@pytest.mark.parametrize("columns", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_the_watch_fits_and_follows_the_size(home: Path, columns: int) -> None:
    """It never wraps, is drawn again at once if the window changes, and leaves it as it was."""
    watch = start(home, columns, "status", "m.csv", "--sandbox", "--watch", "30")
    watch.read(30, until=b"Ctrl-C")
    assert b"\x1b[?7l" in watch.seen
    watch.seen = b""
    watch.resize(15)
    watch.read(30, until=b"Ctrl-C")
    assert b"m.run.sandbox" in watch.seen
    watch.process.send_signal(signal.SIGINT)
    watch.read(30, until=b"\x1b[?7h")
    assert b"\x1b[?7h" in watch.seen
    watch.read(10)
    assert watch.process.wait(10) == 0
    os.close(watch.fd)


@pytest.mark.slow
def test_the_watch_in_a_dumb_terminal(home: Path) -> None:
    """Lines, and no control character."""
    watch = start(home, 80, "status", "m.csv", "--sandbox", "--watch", "0.3", TERM="dumb")
    watch.read(30, until=b"12 ")
    watch.process.send_signal(signal.SIGINT)
    watch.read(5)
    assert watch.process.wait(10) == 0
    assert not re.search(rb"\x1b|\r(?!\n)", watch.seen)
    os.close(watch.fd)
