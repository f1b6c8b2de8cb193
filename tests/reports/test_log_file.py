"""The log file: rotation at a size, logrotate, and several runs that write to one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from batchgen.reports.log_file import KEPT, LogFile

WRITER = """
import sys
from pathlib import Path
from batchgen.reports.log_file import LogFile
log = LogFile(Path(sys.argv[1]), max_bytes=2000)
for n in range(300):
    log.write(f"{sys.argv[2]} {n} " + "x" * 20 + "\\n")
"""


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A directory with nothing else in it."""
    made = tmp_path / "logs"
    made.mkdir()
    return made


def test_it_is_rotated_at_its_size(logs: Path) -> None:
    """No file is longer, five older ones are kept, and the newest line is in the file itself."""
    path = logs / "l"
    log = LogFile(path, max_bytes=1_000)
    for n in range(200):
        log.write(f"line {n:03d} {'x' * 80}\n")
    log.close()
    names = sorted(one.name for one in logs.iterdir())
    assert names == ["l", *(f"l.{n}" for n in range(1, KEPT + 1))]
    assert all(one.stat().st_size <= 1_000 for one in logs.iterdir())
    assert "line 199" in path.read_text()
    lines = [one for n in range(KEPT, 0, -1) for one in (logs / f"l.{n}").read_text().split("\n")]
    numbers = [int(one.split()[1]) for one in lines if one]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))


def test_a_file_that_was_moved_is_opened_again(logs: Path) -> None:
    """logrotate moves it, or somebody removes it; the lines before stay in the moved one."""
    path = logs / "l"
    log = LogFile(path)
    log.write("one\n")
    path.rename(logs / "l.old")
    log.write("two\n")
    path.unlink()
    log.write("three\n")
    log.close()
    assert (logs / "l.old").read_text() == "one\n"
    assert path.read_text() == "three\n"


def test_several_processes_lose_no_line(logs: Path) -> None:
    """Each line is whole, in one of the files, as far as these are kept."""
    path = logs / "l"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), name]) for name in "abc"]
    assert [one.wait(60) for one in writers] == [0, 0, 0]
    lines = [line for one in logs.iterdir() for line in one.read_text().splitlines()]
    assert all(len(line.split()) == 3 and line.endswith("x" * 20) for line in lines)
    assert len(lines) == len(set(lines))
    last = {name: max(int(line.split()[1]) for line in lines if line[0] == name) for name in "abc"
        if any(line[0] == name for line in lines)}  # fmt: skip
    assert max(last.values()) == 299


def test_what_a_link_names_is_not_rotated(logs: Path) -> None:
    """The link would be moved instead of the file."""
    (logs / "l").symlink_to(logs / "real")
    log = LogFile(logs / "l", max_bytes=1_000)
    for _ in range(100):
        log.write("x" * 50 + "\n")
    log.close()
    assert sorted(one.name for one in logs.iterdir()) == ["l", "real"]


def test_a_directory_that_cannot_be_changed(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log goes on in one file: only its rotation fails."""
    log = LogFile(logs / "l", max_bytes=1_000)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "no")

    monkeypatch.setattr(Path, "replace", refuse)
    for _ in range(100):
        log.write("x" * 50 + "\n")
    log.close()
    assert (logs / "l").stat().st_size == 5_100


def test_a_pipe_needs_a_reader(tmp_path: Path) -> None:
    """Without one, a run at night would wait for ever; with one, every line arrives."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="without a reader"):
        LogFile(pipe)

    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    log = LogFile(pipe, max_bytes=1)
    assert os.get_blocking(log.fileno())
    log.write("one\n")
    log.write("two\n")
    assert os.read(reader, 100) == b"one\ntwo\n"
    log.close()
    os.close(reader)
