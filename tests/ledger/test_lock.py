"""The lock of a run directory: who holds it, what is printed, and when its label is trusted."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import sys
import threading
from pathlib import Path

import pytest

from batchgen.core.errors import LocalIOError, LockHeld
from batchgen.ledger.lock import LockHolder, ProcessState, RunLock, holder_in
from batchgen.system.clock import SystemClock
from batchgen.system.run_directory import RunDirectory
from tests.kit.holding import held

NOW_S = 1_795_312_801.0


def refusal(run_dir: Path, now_s: float | None = None) -> str:
    """Return the message that a second process gets."""
    with pytest.raises(LockHeld) as refused:
        RunLock.acquire(run_dir, now_s=now_s or SystemClock().now_s())
    return str(refused.value)


def test_who_holds_it_since_when_and_what_to_do(tmp_path: Path) -> None:
    """Process, host, age, and the command that would stop it."""
    with held(tmp_path) as holder:
        message = refusal(tmp_path)

    assert (
        f"in use by process {holder.pid} on {socket.gethostname()} (this host), since " in message
    )
    assert "(3 h 10 min ago)" in message
    assert "still at work" in message
    assert "--if-locked wait=" in message
    assert f"kill {holder.pid}" in message


def test_a_holder_that_has_ended_while_its_child_holds_on(tmp_path: Path) -> None:
    """The lock is still held, and the message says by whom it may be."""
    with held(tmp_path, "fork") as holder:
        holder.wait()
        message = refusal(tmp_path)

    assert f"process {holder.pid} on {socket.gethostname()} (this host)" in message
    assert "has ended" in message
    assert f"fuser {RunDirectory(tmp_path).lock}" in message
    assert "kill" not in message


def test_nothing_is_claimed_about_a_holder_on_another_machine(tmp_path: Path) -> None:
    """Its pid means nothing here, and no kill is proposed."""
    with held(tmp_path):
        (RunDirectory(tmp_path).lock).write_text(
            '{"pid":1,"host":"farm2","since":"2026-11-22T02:00:00Z"}'
        )
        message = refusal(tmp_path, NOW_S)
        seen = holder_in(tmp_path)

    assert "process 1 on farm2, since " in message
    assert "can only be seen there" in message
    assert "kill" not in message
    assert seen is not None
    assert seen.state() is ProcessState.UNKNOWN


HOSTILE = {
    "empty": b"",
    "garbage": b"\xff\xfe\x00hello",
    "huge": b'{"pid":1,"host":"' + b"x" * (1 << 20) + b'"}',
    "deep": b'{"x":' + b"[" * 4000,
    "no process": b'{"pid":0}',
    "every process": b'{"pid":-1}',
    "too large": b'{"pid":99999999999999999999}',
    "no number": b'{"pid":"1"}',
    "control codes": b'{"pid":1,"host":"a\\u001b[2Jb"}',
    "a list": b"[1,2]",
}


@pytest.mark.parametrize("label", HOSTILE.values(), ids=HOSTILE.keys())
def test_an_invalid_label_names_nobody(tmp_path: Path, label: bytes) -> None:
    """Held: another process. Free: it is taken, and a new label is written."""
    with held(tmp_path):
        (RunDirectory(tmp_path).lock).write_bytes(label)
        message = refusal(tmp_path)
        assert holder_in(tmp_path) is None

    (RunDirectory(tmp_path).lock).write_bytes(label)
    assert "in use by another process" in message
    assert message.isprintable()
    with RunLock.acquire(tmp_path, now_s=NOW_S):
        holder = holder_in(tmp_path)
        assert holder is not None
        assert holder.pid == os.getpid()


@pytest.mark.parametrize("since", ["soon", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00"])
def test_a_time_that_cannot_be_shown_is_left_out(since: str) -> None:
    """The rest of the label still counts."""
    message = LockHolder(pid=7, host="farm2", since=since).phrase(NOW_S)

    assert message.startswith("process 7 on farm2")


def test_a_lock_file_that_is_no_plain_file_is_refused(tmp_path: Path) -> None:
    """Neither a link nor a pipe nor a directory is opened, and what a link names stays as it is."""
    target = tmp_path / "precious"
    target.write_text("precious")
    for make in (
        lambda path: path.symlink_to(target),
        lambda path: path.symlink_to(tmp_path / "not there"),
        os.mkfifo,
        lambda path: path.mkdir(),
    ):
        path = RunDirectory(tmp_path).lock
        make(path)
        with pytest.raises(LocalIOError, match=r"ledger\.lock"):
            RunLock.acquire(tmp_path, now_s=NOW_S)
        assert holder_in(tmp_path) is None
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink()

    assert target.read_text() == "precious"
    assert not (tmp_path / "not there").exists()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_disk_that_cannot_lock_is_not_in_use(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says so, with what to do."""

    def refuse(fd: int, how: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)

    with pytest.raises(LocalIOError, match=r"cannot lock a file .*--run-dir"):
        RunLock.acquire(tmp_path, now_s=NOW_S)


def test_a_label_is_removed_with_its_lock(tmp_path: Path) -> None:
    """After a release nobody is named; a second release does nothing."""
    lock = RunLock.acquire(tmp_path, now_s=NOW_S)
    assert holder_in(tmp_path) is not None

    lock.release()
    lock.release()

    assert holder_in(tmp_path) is None


def test_a_label_that_a_kill_left_names_an_ended_process(tmp_path: Path) -> None:
    """Also before its parent has taken notice; and the lock is free at once."""
    with held(tmp_path) as holder:
        seen = holder_in(tmp_path)
        assert seen is not None
        assert (seen.pid, seen.host, seen.state()) == (
            holder.pid,
            socket.gethostname(),
            ProcessState.RUNS,
        )
        holder.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)

        left = holder_in(tmp_path)
        assert left is not None
        assert left.state() is ProcessState.ENDED
        RunLock.acquire(tmp_path, now_s=NOW_S).release()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells when a process began")
def test_a_pid_that_another_process_got_is_not_mistaken() -> None:
    """After a reboot, or when pids are used again, an ended run does not seem to run."""
    me = LockHolder.this_process(now="2026-11-22T02:00:00Z")
    earlier = LockHolder(pid=me.pid, host=me.host, born="another boot/1")

    assert (me.state(), earlier.state()) == (ProcessState.RUNS, ProcessState.ENDED)


def test_readers_never_get_in_the_way(tmp_path: Path) -> None:
    """However often the label is read, the lock can be taken."""
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            holder_in(tmp_path)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(500):
            RunLock.acquire(tmp_path, now_s=NOW_S).release()
    finally:
        done.set()
        reader.join()
