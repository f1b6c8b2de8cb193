"""The disk under the ledger: full, failing, pulled away, shared with a stranger."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from batchgen.core.errors import LocalIOError
from batchgen.core.events import Accepted
from batchgen.ledger import LEDGER_NAME, RunLedger, replay
from batchgen.ledger.disk_reserve import RESERVE_BYTES, RESERVE_NAME, DiskReserve
from batchgen.ledger.group_commit import GroupCommit
from batchgen.system.clock import SystemClock
from tests.kit.disks import file_limit, fill, remount, small_disk
from tests.ledger.histories import API, intent

INTENT = intent("f1")


def opened(run_dir: Path) -> RunLedger:
    """Open with the real clock."""
    return RunLedger.open(run_dir, api=API, clock=SystemClock())


def test_a_full_disk_takes_answers_and_no_intents(tmp_path: Path) -> None:
    """What was paid for is written into the room that was set aside; nothing new is begun."""

    async def main(run_dir: Path) -> None:
        book = opened(run_dir)
        for n in range(50):
            await book.record(f"j{n}", INTENT)
        fill(run_dir)
        results = await asyncio.gather(
            *(book.record(f"j{n}", Accepted(request_id=f"r{n}")) for n in range(50)),
            *(book.record(f"new{n}", INTENT) for n in range(100)),
            return_exceptions=True,
        )
        assert {type(result).__name__ for result in results[:50]} == {"JobRecord"}
        failures = [result for result in results[50:] if isinstance(result, LocalIOError)]
        assert len(failures) == 100
        assert "No space left" in str(failures[0])
        with pytest.raises(LocalIOError):
            await book.record("later", INTENT)
        await book.close()

    with small_disk(tmp_path / "disk", "1m") as run_dir:
        asyncio.run(main(run_dir))
        found = replay(run_dir / LEDGER_NAME)
        assert found.torn_bytes == 0
        assert {record.state.value for record in found.index.records()} == {"in_queue"}
        assert len(found.index) == 50


def test_a_run_does_not_begin_where_nothing_could_be_written_down(tmp_path: Path) -> None:
    """The room is taken before the first job; without it there is no first job."""
    with small_disk(tmp_path / "disk", "1m") as run_dir:
        fill(run_dir)
        with pytest.raises(LocalIOError, match="No space left"):
            asyncio.run(opening(run_dir))
        assert not (run_dir / RESERVE_NAME).exists()
        (run_dir / "filler").unlink()
        asyncio.run(opening(run_dir))


async def opening(run_dir: Path) -> None:
    """Open, look at the room that is set aside, close."""
    book = opened(run_dir)
    assert (run_dir / RESERVE_NAME).stat().st_size == RESERVE_BYTES
    await book.close()
    assert not (run_dir / RESERVE_NAME).exists()


def test_a_directory_that_may_not_be_written_is_said(tmp_path: Path) -> None:
    """Before anything is sent; and looking at it goes on."""
    with small_disk(tmp_path / "disk", "2m") as run_dir:
        asyncio.run(opening(run_dir))
        remount(run_dir, "ro")
        with pytest.raises(LocalIOError, match="Read-only file system"):
            opened(run_dir)
        assert replay(run_dir / LEDGER_NAME).header is not None


def test_a_file_in_place_of_the_directory_is_said(tmp_path: Path) -> None:
    """No traceback for what a person can mend."""
    (tmp_path / "run").write_text("")

    with pytest.raises(LocalIOError, match="run: "):
        opened(tmp_path / "run")


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
def test_a_ledger_that_is_pulled_away_is_noticed(tmp_path: Path, by: str) -> None:
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
        with path.open("ab") as stranger:
            stranger.write(b"a line of somebody else\n")
        with pytest.raises(LocalIOError, match="something else writes it"):
            await commit.append(b"two\n")

    committed(path, work)


def test_every_append_learns_where_its_line_stands(tmp_path: Path) -> None:
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
    """Answers among intents that were left out stand where their offsets say."""

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


def test_a_write_that_fails_otherwise_is_final(tmp_path: Path) -> None:
    """A limit on file sizes that leaves no room for anything."""

    async def main() -> None:
        book = opened(tmp_path)
        await book.record("a", INTENT)
        size = (tmp_path / LEDGER_NAME).stat().st_size
        with file_limit(size + 100), pytest.raises(LocalIOError):
            await book.record("a", Accepted(request_id="r" * 200))
        with pytest.raises(LocalIOError):
            await book.record("b", INTENT)
        await book.close()
        assert (tmp_path / LEDGER_NAME).stat().st_size == size

    asyncio.run(main())
