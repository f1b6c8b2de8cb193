"""Durable, atomic file writes: a file is replaced whole or not at all, and nothing is left over."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from contextlib import nullcontext
from pathlib import Path

import pytest

from batchgen.core.errors import LocalIOError
from batchgen.system.files import remove_leftovers, replace_file, replacing
from tests.kit.disks import file_limit

BEFORE = b"the old content\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that exists, in a directory of its own."""
    path = tmp_path / "directory" / "file.txt"
    path.parent.mkdir()
    path.write_bytes(BEFORE)
    return path


def names(path: Path) -> list[str]:
    """Return the names beside a file, its own included."""
    return sorted(entry.name for entry in path.parent.iterdir())


def test_a_reader_sees_the_old_content_until_the_new_one_is_whole(path: Path) -> None:
    """Then the new one, under the same name, and nothing else is left."""
    with replacing(path) as file:
        file.write(b"new ")
        file.flush()
        assert path.read_bytes() == BEFORE
        file.write(b"content\n")

    assert path.read_bytes() == b"new content\n"
    assert names(path) == ["file.txt"]


@pytest.mark.parametrize("error", [ValueError("wrong"), KeyboardInterrupt()])
def test_an_error_leaves_the_old_content_and_no_leftover(path: Path, error: BaseException) -> None:
    """Whatever the error is; it goes on to the caller."""

    def write() -> None:
        with replacing(path) as file:
            file.write(b"half of it")
            raise error

    with pytest.raises(type(error)):
        write()

    assert path.read_bytes() == BEFORE
    assert names(path) == ["file.txt"]


@pytest.mark.parametrize("by_link", [False, True])
@pytest.mark.parametrize("durable", [False, True])
def test_a_pipe_or_device_is_not_replaced(tmp_path: Path, by_link: bool, durable: bool) -> None:
    """A report to /dev/stdout would otherwise take the place of /dev/stdout."""
    directory = tmp_path / "directory"
    directory.mkdir()
    pipe = path = directory / "pipe"
    os.mkfifo(pipe)
    if by_link:
        path = directory / "link"
        path.symlink_to(pipe)

    with pytest.raises(OSError, match="not a regular file"), replacing(path, durable=durable):
        pass

    assert pipe.is_fifo()
    assert path.is_symlink() == by_link
    assert len(names(path)) == 1 + by_link


def test_a_full_disk_leaves_the_old_content(path: Path) -> None:
    """And it is reported with the name of the file."""
    with file_limit(10), pytest.raises(LocalIOError, match=r"file\.txt: "):
        replace_file(path, lambda file: file.write("x" * 100_000))

    assert path.read_bytes() == BEFORE
    assert names(path) == ["file.txt"]


@pytest.mark.parametrize("durable", [True, False])
def test_durable_means_synced_before_the_rename_and_the_name_after_it(
    path: Path, monkeypatch: pytest.MonkeyPatch, durable: bool
) -> None:
    """In the other order, a power failure could leave a new file full of zeros."""
    steps: list[str] = []

    def step(name: str) -> None:
        steps.append(f"{name}, {'new' if path.read_bytes() == b'new' else 'old'} content")

    monkeypatch.setattr("batchgen.system.files.sync_file", lambda _: step("file"))
    monkeypatch.setattr("batchgen.system.files.sync_directory", lambda _: step("name"))

    with replacing(path, durable=durable) as file:
        file.write(b"new")

    assert steps == (["file, old content", "name, new content"] if durable else [])
    assert path.read_bytes() == b"new"


def test_two_threads_that_replace_a_file_do_not_mix(path: Path) -> None:
    """Each has a temporary file of its own; the last to end wins."""
    is_open, may_end = threading.Event(), threading.Event()

    def slow() -> None:
        with replacing(path) as file:
            file.write(b"slow")
            is_open.set()
            may_end.wait(10)

    thread = threading.Thread(target=slow)
    thread.start()
    assert is_open.wait(10)
    with replacing(path) as file:
        file.write(b"quick")
    assert path.read_bytes() == b"quick"
    may_end.set()
    thread.join()

    assert path.read_bytes() == b"slow"
    assert names(path) == ["file.txt"]


KILLED = """
import os, signal, sys
from pathlib import Path
from batchgen.system.files import replacing
with replacing(Path(sys.argv[1])) as file:
    file.write(b"half of it")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_writer_left_is_removed_and_nothing_else(path: Path) -> None:
    """The old content is whole, and files of other names stay, similar ones too."""
    (path.parent / "file.txt.new").write_text("the user's")
    (path.parent / ".other.txt.1-1.new").write_text("of another file")
    subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert path.read_bytes() == BEFORE
    assert len(names(path)) == 4

    remove_leftovers(path)

    assert path.read_bytes() == BEFORE
    assert names(path) == [".other.txt.1-1.new", "file.txt", "file.txt.new"]


def test_a_long_name_can_be_replaced(tmp_path: Path) -> None:
    """The temporary name is not longer than a file system allows."""
    path = tmp_path / "directory" / ("x" * 250)
    path.parent.mkdir()

    replace_file(path, lambda file: file.write("new"))
    remove_leftovers(path)

    assert path.read_text() == "new"
    assert names(path) == [path.name]


def test_text_is_written_as_it_is(path: Path) -> None:
    """UTF-8, line ends untouched; what UTF-8 cannot write becomes a question mark."""
    replace_file(path, lambda file: file.write("é\r\n\ud800\n"))

    assert path.read_bytes() == "é\r\n?\n".encode()


def test_a_directory_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    """As an error about the disk, with the path."""
    with pytest.raises(LocalIOError, match=os.strerror(2)):
        replace_file(tmp_path / "missing" / "file.txt", lambda file: file.write("x"))


@pytest.mark.parametrize(
    ("number", "is_error"),
    [
        (errno.EINVAL, False), (errno.ENOTSUP, False), (errno.EOPNOTSUPP, False),
        (errno.EIO, True), (errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EROFS, True),
    ],
)  # fmt: skip
def test_a_directory_that_cannot_be_synced_is_no_error_but_a_failed_sync_is(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int, is_error: bool
) -> None:
    """Some file systems have no such call; a real fault is raised."""

    def fsync(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)

    with pytest.raises(LocalIOError) if is_error else nullcontext():
        replace_file(path, lambda file: file.write("new"))

    assert path.read_text() == "new"


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.EIO, errno.ENOSPC])
def test_every_error_of_a_file_s_sync_is_an_error(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A file that could not be made durable is not put in the place of the old one."""

    def sync(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("batchgen.system.files.sync_file", sync)

    with pytest.raises(LocalIOError):
        replace_file(path, lambda file: file.write("new"))

    assert path.read_bytes() == BEFORE
