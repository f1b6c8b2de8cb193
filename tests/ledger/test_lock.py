"""The lock of a run directory: who holds it, what is said of him, and what his label is worth."""

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
from batchgen.ledger import LOCK_NAME, LockHolder, ProcessState, RunLock, holder_in
from batchgen.system.clock import SystemClock
from tests.kit.holding import held

NOW_S = 1_795_312_801.0


def refusal(run_dir: Path, now_s: float | None = None) -> str:
    """What a second one is told."""
    with pytest.raises(LockHeld) as refused:
        RunLock.acquire(run_dir, now_s=now_s or SystemClock().now_s())
    return str(refused.value)


def test_who_holds_it_since_when_and_what_to_do(tmp_path: Path) -> None:
    """Process, host, age, and the command that would stop it."""
    with held(tmp_path) as holder:
        said = refusal(tmp_path)

    assert f"in use by process {holder.pid} on {socket.gethostname()} (this host), since " in said
    assert "(3 h 10 min ago)" in said
    assert "still at work" in said
    assert "--if-locked wait=" in said
    assert f"kill {holder.pid}" in said


def test_a_holder_that_has_ended_while_its_child_holds_on(tmp_path: Path) -> None:
    """The lock is held all the same, and the message says by whom it may be."""
    with held(tmp_path, "fork") as holder:
        holder.wait()
        said = refusal(tmp_path)

    assert f"process {holder.pid} on {socket.gethostname()} (this host)" in said
    assert "has ended" in said
    assert f"fuser {tmp_path / LOCK_NAME}" in said
    assert "kill" not in said


def test_a_holder_on_another_machine_is_not_judged(tmp_path: Path) -> None:
    """Its number means nothing here, and no kill is proposed."""
    with held(tmp_path):
        (tmp_path / LOCK_NAME).write_text('{"pid":1,"host":"farm2","since":"2026-11-22T02:00:00Z"}')
        said = refusal(tmp_path, NOW_S)
        seen = holder_in(tmp_path)

    assert "process 1 on farm2, since " in said
    assert "can only be seen there" in said
    assert "kill" not in said
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
def test_a_label_that_makes_no_sense_is_nobody(tmp_path: Path, label: bytes) -> None:
    """Held: another process. Free: it is taken, and the label is written anew."""
    with held(tmp_path):
        (tmp_path / LOCK_NAME).write_bytes(label)
        said = refusal(tmp_path)
        assert holder_in(tmp_path) is None

    (tmp_path / LOCK_NAME).write_bytes(label)
    assert "in use by another process" in said
    assert said.isprintable()
    with RunLock.acquire(tmp_path, now_s=NOW_S):
        holder = holder_in(tmp_path)
        assert holder is not None
        assert holder.pid == os.getpid()


@pytest.mark.parametrize("since", ["soon", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00"])
def test_a_moment_that_no_calendar_has_is_left_out(since: str) -> None:
    """The rest of the label still counts."""
    said = LockHolder(pid=7, host="farm2", since=since).phrase(NOW_S)

    assert said.startswith("process 7 on farm2")


def test_a_lock_file_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    """Neither a link nor a pipe nor a directory is opened, and what a link names stays as it is."""
    target = tmp_path / "precious"
    target.write_text("precious")
    for make in (
        lambda path: path.symlink_to(target),
        lambda path: path.symlink_to(tmp_path / "not there"),
        os.mkfifo,
        lambda path: path.mkdir(),
    ):
        path = tmp_path / LOCK_NAME
        make(path)
        with pytest.raises(LocalIOError, match=LOCK_NAME):
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
    """It is said as what it is, with what to do."""

    def refuse(fd: int, how: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)

    with pytest.raises(LocalIOError, match=r"cannot lock a file .*--run-dir"):
        RunLock.acquire(tmp_path, now_s=NOW_S)


def test_a_name_goes_with_its_lock(tmp_path: Path) -> None:
    """After a release nobody is named; a second release does nothing."""
    lock = RunLock.acquire(tmp_path, now_s=NOW_S)
    assert holder_in(tmp_path) is not None

    lock.release()
    lock.release()

    assert holder_in(tmp_path) is None


def test_a_name_that_a_kill_left_is_known_to_be_dead(tmp_path: Path) -> None:
    """Also before its parent took notice; and the lock is free at once."""
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
def test_a_number_that_another_process_got_is_not_mistaken() -> None:
    """A reboot or a full circle of numbers does not bring a dead run to life."""
    me = LockHolder.this_process(now="2026-11-22T02:00:00Z")
    earlier = LockHolder(pid=me.pid, host=me.host, born="another boot/1")

    assert (me.state(), earlier.state()) == (ProcessState.RUNS, ProcessState.ENDED)


def test_looking_never_gets_in_the_way(tmp_path: Path) -> None:
    """However often someone looks, whoever wants the lock gets it."""
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            holder_in(tmp_path)

    onlooker = threading.Thread(target=look)
    onlooker.start()
    try:
        for _ in range(500):
            RunLock.acquire(tmp_path, now_s=NOW_S).release()
    finally:
        done.set()
        onlooker.join()
