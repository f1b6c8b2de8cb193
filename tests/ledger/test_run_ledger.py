"""The open ledger: durable when it says so, repaired if that is safe, refused if it is not."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from batchgen.core.errors import LedgerDamaged, LedgerForeign, LocalIOError, LockHeld
from batchgen.core.events import (
    Accepted,
    Intended,
    JobError,
    NotAccepted,
    Started,
    Succeeded,
)
from batchgen.core.lifecycle import JobState
from batchgen.ledger.replay import replay
from batchgen.ledger.run_ledger import RunLedger
from batchgen.system.clock import SystemClock
from batchgen.system.run_directory import RunDirectory
from tests.kit.disks import file_limit
from tests.kit.ledger_view import LedgerView

T = TypeVar("T")
API = "https://model-api.runcomfy.net"
INTENT = Intended(model="a/b", input={"prompt": "x"}, fingerprint="f")
ERROR = JobError(kind="k", message="m")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run one coroutine."""
    return asyncio.run(main)


def open_ledger(run_dir: Path, api: str = API) -> RunLedger:
    """Open a ledger with the real clock."""
    return RunLedger.open(run_dir, api=api, clock=SystemClock())


async def write_jobs(run_dir: Path, *names: str) -> None:
    """Record some accepted jobs and close the ledger."""
    ledger = open_ledger(run_dir)
    for name in names:
        await ledger.record(name, INTENT)
        await ledger.record(name, Accepted(request_id=f"r-{name}"))
    await ledger.close()


def lines(run_dir: Path) -> list[dict[str, Any]]:
    """Return every line as any other program reads it."""
    view = LedgerView.read(run_dir)
    return [view.header, *view.records]


def test_a_ledger_begins_with_its_header(tmp_path: Path) -> None:
    """Format, version and the API that its request_ids belong to."""
    run(write_jobs(tmp_path, "a"))

    header, *records = lines(tmp_path)
    assert (header["ledger"], header["v"], header["api"]) == ("batchgen", 1, API)
    assert [record["state"] for record in records] == ["submitting", "in_queue"]
    assert records[0]["input"] == {"prompt": "x"}
    assert records[1]["request_id"] == "r-a"


def test_a_record_can_be_read_by_another_reader_at_once(tmp_path: Path) -> None:
    """When `record` returns, the line is in the file."""

    async def main() -> None:
        ledger = open_ledger(tmp_path)
        for n in range(5):
            await ledger.record(f"j{n}", INTENT)
            assert replay(RunDirectory(tmp_path).ledger).index.get(f"j{n}") is not None
        await ledger.close()

    run(main())


def test_many_appends_share_few_fsyncs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand at once cost a handful of fsyncs, not a thousand."""
    count = 0

    def counted(fd: int) -> None:
        nonlocal count
        count += 1
        os.fsync(fd)

    monkeypatch.setattr("batchgen.ledger.group_commit.sync_file", counted)

    async def main() -> None:
        ledger = open_ledger(tmp_path)
        await asyncio.gather(*(ledger.record(f"j{n}", INTENT) for n in range(1000)))
        await ledger.close()

    run(main())

    assert len(lines(tmp_path)) == 1001
    assert 1 <= count < 10


def test_records_survive_reopening(tmp_path: Path) -> None:
    """Replay gives back what was folded."""
    run(write_jobs(tmp_path, "a", "b"))

    async def main() -> None:
        ledger = open_ledger(tmp_path)
        record = ledger.get("b")
        assert record is not None
        assert (record.state, record.request_id) == (JobState.IN_QUEUE, "r-b")
        await ledger.record("b", Started())
        await ledger.record("b", Succeeded(outputs=("https://x/1",), cost_usd=0.03))
        await ledger.close()

    run(main())

    again = replay(RunDirectory(tmp_path).ledger).index.get("b")
    assert again is not None
    assert (again.state, again.outputs, again.cost_usd) == ("completed", ("https://x/1",), 0.03)


def test_an_intent_without_an_answer_is_in_doubt(tmp_path: Path) -> None:
    """An intent that a crash left without an answer is recorded as a doubt, and never posted."""

    async def crash() -> None:
        ledger = open_ledger(tmp_path)
        await ledger.record("a", INTENT)
        await ledger.record("b", INTENT)
        await ledger.record("b", Accepted(request_id="r"))
        await ledger.close()

    async def next_run() -> int:
        ledger = open_ledger(tmp_path)
        crashed = await ledger.doubt_crashed_submissions()
        await ledger.close()
        return crashed

    run(crash())

    assert run(next_run()) == 1
    last = lines(tmp_path)[-1]
    assert (last["job"], last["state"], last["error"]["kind"]) == ("a", "in_doubt", "crash")


def test_a_torn_tail_is_cut_kept_and_written_over_at_every_byte(tmp_path: Path) -> None:
    """Wherever a crash tore the last line, nothing before it is lost and the ledger continues."""
    run(write_jobs(tmp_path, "a", "b"))
    whole = (RunDirectory(tmp_path).ledger).read_bytes()
    last = whole.rstrip(b"\n").rfind(b"\n") + 1

    for cut in range(last, len(whole)):
        run_dir = tmp_path / f"cut{cut}"
        run_dir.mkdir()
        (RunDirectory(run_dir).ledger).write_bytes(whole[:cut])
        run(write_jobs(run_dir, "c"))
        state = replay(RunDirectory(run_dir).ledger)
        kept = b"".join(path.read_bytes() for path in run_dir.glob("*.torn-*"))
        assert kept == whole[last:cut]
        assert [state.index.get(name) is not None for name in "abc"] == [True, True, True]
        record = state.index.get("b")
        assert record is not None
        only_newline_lost = cut == len(whole) - 1
        assert record.state == ("in_queue" if only_newline_lost else "submitting")
        run(write_jobs(run_dir, "d"))


def test_a_torn_header_is_written_again(tmp_path: Path) -> None:
    """A ledger in which nothing whole was written is a new ledger."""
    (RunDirectory(tmp_path).ledger).write_bytes(b'{"ledger":"batc')

    run(write_jobs(tmp_path, "a"))

    assert lines(tmp_path)[0]["ledger"] == "batchgen"
    assert len(list(tmp_path.glob("*.torn-*"))) == 1


def test_a_bad_line_in_the_middle_stops_with_file_and_line(tmp_path: Path) -> None:
    """Damage other than a torn tail needs the user's decision; nothing is changed."""
    run(write_jobs(tmp_path, "a", "b"))
    path = RunDirectory(tmp_path).ledger
    damaged = path.read_bytes().replace(b'"job":"a"', b'"job":a"', 1)
    path.write_bytes(damaged)

    with pytest.raises(LedgerDamaged, match=r"ledger\.jsonl:2: damaged line"):
        open_ledger(tmp_path)

    assert path.read_bytes() == damaged


def test_the_lock_is_free_again_after_a_refused_opening(tmp_path: Path) -> None:
    """An error while opening leaves nothing behind."""
    (RunDirectory(tmp_path).ledger).write_text("hello\n")

    for _ in range(2):
        with pytest.raises(LedgerForeign, match=r"ledger\.jsonl:1"):
            open_ledger(tmp_path)


@pytest.mark.parametrize(
    ("first", "second", "allowed"),
    [
        (API, API, True),
        (API, "https://other.example", False),
        ("http://127.0.0.1:5000", "http://localhost:6000", True),
        ("http://127.0.0.1:5000", API, False),
        ("http://127.0.0.1:5000", "http://127.0.0.1.evil.example", False),
    ],
)
def test_a_ledger_belongs_to_one_api(
    tmp_path: Path, first: str, second: str, allowed: bool
) -> None:
    """request_ids of one API mean nothing to another; loopback is one API."""
    run(open_ledger(tmp_path, first).close())

    if allowed:
        run(open_ledger(tmp_path, second).close())
    else:
        with pytest.raises(LedgerForeign, match="--base-url"):
            open_ledger(tmp_path, second)


def test_one_writer(tmp_path: Path) -> None:
    """A second process learns at once who holds the directory; the lock ends with its holder."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    try:
        with pytest.raises(LockHeld, match=f"process {holder.pid} "):
            open_ledger(tmp_path)
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        holder.stdout.close()

    run(open_ledger(tmp_path).close())


HOLD = """
import sys, time
from pathlib import Path
from batchgen.system.clock import SystemClock
from batchgen.ledger.run_ledger import RunLedger
ledger = RunLedger.open(Path(sys.argv[1]), api=None, clock=SystemClock())
print("held", flush=True)
time.sleep(60)
"""


def test_a_write_that_fails_leaves_no_half_line(tmp_path: Path) -> None:
    """The file is cut back, every caller gets the error, and nothing is accepted afterwards."""

    async def main() -> None:
        ledger = open_ledger(tmp_path)
        await ledger.record("a", INTENT)
        size = (RunDirectory(tmp_path).ledger).stat().st_size
        with file_limit(size + 100):
            results = await asyncio.gather(
                *(ledger.record(f"j{n}", INTENT) for n in range(5)), return_exceptions=True
            )
        assert [type(result) for result in results] == [LocalIOError] * 5
        with pytest.raises(LocalIOError):
            await ledger.record("later", INTENT)
        await ledger.close()
        assert (RunDirectory(tmp_path).ledger).stat().st_size == size

    run(main())

    assert replay(RunDirectory(tmp_path).ledger).torn_bytes == 0


def test_a_caller_that_is_cancelled_loses_the_answer_not_the_line(tmp_path: Path) -> None:
    """A fact that was handed over is written, whatever becomes of who brought it."""

    async def main() -> None:
        ledger = open_ledger(tmp_path)
        await ledger.record("a", INTENT)
        task = asyncio.create_task(ledger.record("a", Accepted(request_id="r")))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await ledger.close()

    run(main())

    record = replay(RunDirectory(tmp_path).ledger).index.get("a")
    assert record is not None
    assert record.request_id == "r"


def test_records_are_read_back_whatever_their_length_and_place(tmp_path: Path) -> None:
    """Over the edges of what is read at once; in order, and one by one in any order."""
    names = [f"job {n} " + "x" * (n * 37 % 900) for n in range(3000)]

    async def main() -> None:
        ledger = open_ledger(tmp_path)
        await asyncio.gather(*(ledger.record(name, INTENT) for name in names))
        await asyncio.gather(*(ledger.record(name, NotAccepted(error=ERROR)) for name in names))
        assert [record.job for record in ledger.records()] == names
        for name in (*names[::-7], *names[::11]):
            record = ledger.get(name)
            assert record is not None
            assert (record.job, record.state) == (name, "pending")
        await ledger.close()

    run(main())

    assert [record.job for record in replay(RunDirectory(tmp_path).ledger).index.records()] == names
