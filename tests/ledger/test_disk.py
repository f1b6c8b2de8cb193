"""The disk under the ledger: full, failing, read-only, or written by another process."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from batchgen.core.errors import LocalIOError
from batchgen.core.events import Accepted
from batchgen.ledger.disk_reserve import RESERVE_BYTES, DiskReserve
from batchgen.ledger.group_commit import GroupCommit
from batchgen.ledger.replay import replay
from batchgen.ledger.run_ledger import RunLedger
from batchgen.system.clock import SystemClock
from batchgen.system.run_directory import RunDirectory
from tests.kit.disks import fill, remount, small_disk
from tests.ledger.histories import API, intent

INTENT = intent("f1")


def open_ledger(run_dir: Path) -> RunLedger:
    """Open a ledger with the real clock."""
    return RunLedger.open(run_dir, api=API, clock=SystemClock())


def test_a_full_disk_takes_answers_and_no_intents(tmp_path: Path) -> None:
    """What was paid for is written into the room that was set aside; no job is begun."""

    async def main(run_dir: Path) -> None:
        ledger = open_ledger(run_dir)
        for n in range(50):
            await ledger.record(f"j{n}", INTENT)
        fill(run_dir)
        results = await asyncio.gather(
            *(ledger.record(f"j{n}", Accepted(request_id=f"r{n}")) for n in range(50)),
            *(ledger.record(f"new{n}", INTENT) for n in range(100)),
            return_exceptions=True,
        )
        assert {type(result).__name__ for result in results[:50]} == {"JobRecord"}
        failures = [result for result in results[50:] if isinstance(result, LocalIOError)]
        assert len(failures) == 100
        assert "No space left" in str(failures[0])
        with pytest.raises(LocalIOError):
            await ledger.record("later", INTENT)
        await ledger.close()

    with small_disk(tmp_path / "disk", "1m") as run_dir:
        asyncio.run(main(run_dir))
        found = replay(RunDirectory(run_dir).ledger)
        assert found.torn_bytes == 0
        assert {record.state.value for record in found.index.records()} == {"in_queue"}
        assert len(found.index) == 50


def test_a_run_does_not_begin_if_nothing_could_be_recorded(tmp_path: Path) -> None:
    """The room is taken before the first job; without it there is no first job."""
    with small_disk(tmp_path / "disk", "1m") as run_dir:
        fill(run_dir)
        with pytest.raises(LocalIOError, match="No space left"):
            asyncio.run(opening(run_dir))
        assert not (RunDirectory(run_dir).disk_reserve).exists()
        (run_dir / "filler").unlink()
        asyncio.run(opening(run_dir))


async def opening(run_dir: Path) -> None:
    """Open a ledger, check the room that is set aside, close it."""
    ledger = open_ledger(run_dir)
    assert (RunDirectory(run_dir).disk_reserve).stat().st_size == RESERVE_BYTES
    await ledger.close()
    assert not (RunDirectory(run_dir).disk_reserve).exists()


def test_a_directory_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    """Before anything is sent; and it can still be read."""
    with small_disk(tmp_path / "disk", "2m") as run_dir:
        asyncio.run(opening(run_dir))
        remount(run_dir, "ro")
        with pytest.raises(LocalIOError, match="Read-only file system"):
            open_ledger(run_dir)
        assert replay(RunDirectory(run_dir).ledger).header is not None


def test_a_file_in_place_of_the_directory_is_reported(tmp_path: Path) -> None:
    """No traceback for what the user can correct."""
    (tmp_path / "run").write_text("")

    with pytest.raises(LocalIOError, match="run: "):
        open_ledger(tmp_path / "run")


def committed(
    path: Path, work: Callable[[GroupCommit], object], *, sync: Callable[[int], None] = os.fsync
) -> None:
    """Do something with a group commit on an empty file."""
    path.write_bytes(b"")

    async def main() -> None:
        commit = GroupCommit(path, size_bytes=0, sync=sync)
        try:
            await work(commit)  # type: ignore[misc]
        finally:
            await commit.close()

    asyncio.run(main())


def test_a_failed_fsync_is_final(tmp_path: Path) -> None:
    """The kernel may have dropped what it could not write: nothing is acknowledged ever after."""
    calls = 0

    def sync(fd: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError(errno.EIO, "Input/output error")

    async def work(commit: GroupCommit) -> None:
        assert await commit.append(b"one\n") == 0
        for _ in range(3):
            with pytest.raises(LocalIOError, match="Input/output error"):
                await commit.append(b"two\n")

    committed(tmp_path / "ledger", work, sync=sync)

    assert calls == 2, "an fsync after a failed one would say that all is well"


@pytest.mark.parametrize("by", ["unlink", "replace"])
def test_a_ledger_that_is_removed_or_replaced_is_noticed(tmp_path: Path, by: str) -> None:
    """Writing on into a file without a name would lose every payment at the end of the run."""
    path = tmp_path / "ledger"

    async def work(commit: GroupCommit) -> None:
        await commit.append(b"one\n")
        if by == "unlink":
            path.unlink()
        else:
            (tmp_path / "other").write_bytes(b"other\n")
            (tmp_path / "other").replace(path)
        with pytest.raises(LocalIOError, match="removed or replaced"):
            await commit.append(b"two\n")

    committed(path, work)


def test_another_writer_is_noticed(tmp_path: Path) -> None:
    """As a second machine might be, on a shared disk whose locks do not reach it."""
    path = tmp_path / "ledger"

    async def work(commit: GroupCommit) -> None:
        await commit.append(b"one\n")
        with path.open("ab") as other:
            other.write(b"a line of another process\n")
        with pytest.raises(LocalIOError, match="something else writes it"):
            await commit.append(b"two\n")

    committed(path, work)


def test_every_append_returns_the_offset_of_its_line(tmp_path: Path) -> None:
    """In one batch and over many; that is how a record is found again without holding it."""
    path = tmp_path / "ledger"
    lines = [f"line number {n}\n".encode() * (1 + n % 3) for n in range(500)]
    offsets: list[int] = []

    async def work(commit: GroupCommit) -> None:
        for begin in range(0, 500, 100):
            part = lines[begin : begin + 100]
            offsets.extend(await asyncio.gather(*(commit.append(line) for line in part)))

    committed(path, work)

    data = path.read_bytes()
    assert [data[at : at + len(line)] for at, line in zip(offsets, lines, strict=True)] == lines


def test_on_a_full_disk_every_line_that_was_taken_is_found(tmp_path: Path) -> None:
    """Answers among intents that were left out are at the offsets that were returned."""

    async def main(path: Path, reserve: DiskReserve) -> None:
        commit = GroupCommit(path, size_bytes=0, reserve=reserve)
        lines = [f"line {n} ".encode() + b"x" * (n % 7) + b"\n" for n in range(100)]
        found = await asyncio.gather(
            *(commit.append(line, optional=n % 3 == 0) for n, line in enumerate(lines)),
            return_exceptions=True,
        )
        await commit.close()
        data = path.read_bytes()
        for n, (line, offset) in enumerate(zip(lines, found, strict=True)):
            assert isinstance(offset, LocalIOError) == (n % 3 == 0)
            if isinstance(offset, int):
                assert data[offset : offset + len(line)] == line

    with small_disk(tmp_path / "disk", "1m") as directory:
        path = directory / "ledger"
        path.write_bytes(b"")
        reserve = DiskReserve.take(directory)
        fill(directory)
        asyncio.run(main(path, reserve))
