"""The journal: a sandbox that was killed continues as if nothing had happened."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import msgspec
import pytest

import batchgen
from batchgen.core.errors import LocalIOError
from batchgen.sandbox import Sandbox, SandboxConfig
from batchgen.sandbox.request_book import CancelledLine, Journal

from .conftest import Client, Start


async def seen(client: Client, ids: list[str]) -> list[Any]:
    """Everything that a client can learn of these requests, without ports."""
    answers = []
    for request_id in ids:
        for call in (client.status, client.result):
            answer = (await call(request_id)).json
            text = msgspec.json.encode(answer).decode()
            answers.append(text.replace(client.sandbox.origin, ""))
    return answers


async def test_requests_survive_a_restart(start: Start, tmp_path: Path) -> None:
    """States, positions, results, cancellations, failures and the wallet are the same after it."""
    settings: dict[str, Any] = {
        "journal": tmp_path / "deep" / "journal.jsonl",
        "capacity": 2, "duration_min_s": 1.0, "duration_max_s": 4.0, "images": 2,
        "faults": ("submit:failed:match=job 1", "result:failed:match=job 2:first=1"),
    }  # fmt: skip
    one = await start(**settings)
    ids = [await one.submit(f"job {number}") for number in range(8)]
    await one.cancel(ids[5])
    two = await start(**settings)
    for _ in range(8):
        answers = await seen(one, ids)
        assert answers == await seen(two, ids)
        one.clock.now += 1
    assert '"failed"' in answers[3]
    assert '"cancelled"' in answers[11]
    assert one.sandbox.audit.balance_usd == two.sandbox.audit.balance_usd
    assert one.sandbox.audit.requests == two.sandbox.audit.requests
    assert two.sandbox.audit.accepted("job 3") == 1
    url = f"{{}}/files/{ids[0]}/1.png"
    before, after = [await c.file(url.format(c.sandbox.origin)) for c in (one, two)]
    assert before.body == after.body


async def test_a_sent_result_does_not_change(start: Start, tmp_path: Path) -> None:
    """A rule that counts starts again after a restart, but results that were sent stay."""
    settings: dict[str, Any] = {
        "journal": tmp_path / "journal.jsonl", "faults": ("result:failed:first=1",)
    }  # fmt: skip
    one = await start(**settings)
    ids = [await one.submit(f"job {number}") for number in range(2)]
    one.clock.now += 5
    words = [(await one.result(request_id)).json["status"] for request_id in ids]
    assert words == ["failed", "succeeded"]
    two = await start(**settings)
    assert [(await two.result(request_id)).json["status"] for request_id in ids[::-1]] == words[
        ::-1
    ]


async def test_ids_are_new_even_from_the_same_source(start: Start, tmp_path: Path) -> None:
    """A random source with the same seed at each start gives no id twice."""
    ids = []
    for _ in range(3):
        client = await start(journal=tmp_path / "journal.jsonl", rng=random.Random(7))
        ids += [await client.submit("x") for _ in range(5)]
        assert len(client.sandbox.audit.requests) == len(set(ids)) == len(ids)


async def test_a_torn_last_line_is_cut(start: Start, tmp_path: Path) -> None:
    """Wherever the last write broke off, what is before it loads, and later lines are whole."""
    file = tmp_path / "journal.jsonl"
    one = await start(journal=file)
    ids = [await one.submit("first"), await one.submit("second")]
    await one.sandbox.stop()
    whole = file.read_bytes()
    end_of_first = whole.index(b"\n") + 1
    for size in (end_of_first, end_of_first + 1, len(whole) - 30, len(whole) - 1):
        file.write_bytes(whole[:size])
        for again in range(2):
            two = await start(journal=file)
            known = [request.request_id for request in two.sandbox.audit.requests]
            assert known[:1] == ids[:1]
            assert len(known) == 1 + again
            await two.submit("third")
            await two.sandbox.stop()


async def test_a_damaged_journal_is_refused(tmp_path: Path) -> None:
    """The error of a bad line has file and line number, and comes before the port is open."""
    file = tmp_path / "journal.jsonl"
    file.write_bytes(b'{"line":"cancelled","request_id":"x","at":1}\n{"line":"nope"}\n')
    with pytest.raises(LocalIOError, match=r"journal\.jsonl:2"):
        await Sandbox(SandboxConfig(journal=file)).start()
    with pytest.raises(LocalIOError, match="cannot be opened"):
        await Sandbox(SandboxConfig(journal=tmp_path)).start()


async def test_a_start_that_fails_leaves_nothing_open(start: Start, tmp_path: Path) -> None:
    """Neither a damaged journal nor a port in use leaves a file or socket behind."""
    first = await start()
    port = int(first.sandbox.origin.rpartition(":")[2])
    damaged = tmp_path / "damaged.jsonl"
    damaged.write_text("nope\n")
    before = len(list(Path("/dev/fd").iterdir()))
    for file in (damaged, tmp_path / "good.jsonl"):
        with pytest.raises(LocalIOError):
            await Sandbox(SandboxConfig(journal=file)).start(port)
    assert len(list(Path("/dev/fd").iterdir())) == before


async def test_what_cannot_be_written_is_not_accepted(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk turns submissions into 500s, and leaves no half line and no job behind."""
    file = tmp_path / "journal.jsonl"
    client = await start(journal=file)
    await client.submit("before")
    kept, write = file.read_bytes(), os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:20]))
    got = await client.post("during")
    monkeypatch.undo()
    assert got.status == 500
    assert file.read_bytes() == kept
    assert [request.prompt for request in client.sandbox.audit.requests] == ["before"]
    assert client.sandbox.audit.balance_usd == 999.97
    await client.submit("after")


async def test_no_token_is_written(start: Start, tmp_path: Path) -> None:
    """The journal tells accounts apart by fingerprint only, and still keeps them apart."""
    file = tmp_path / "journal.jsonl"
    one = await start(journal=file, token="first-secret")
    request_id = await one.submit("x")
    assert b"first-secret" not in file.read_bytes()
    two = await start(journal=file, token="second-secret")
    assert (await two.status(request_id)).json["error_code"] == 403001


async def test_a_model_may_leave_the_catalogue(start: Start, tmp_path: Path) -> None:
    """Requests of a model that is no longer known are kept all the same."""
    entry = tmp_path / "entry.json"
    entry.write_text('{"model_id": "a/text-to-audio"}')
    file = tmp_path / "journal.jsonl"
    one = await start(journal=file, models=(entry,))
    request_id = await one.submit({"tags": "x"}, model="a/text-to-audio")
    two = await start(journal=file)
    two.clock.now += 5
    assert list((await two.result(request_id)).json["output"]) == ["audio"]


ROOT = Path(batchgen.__file__).parents[1]
SERVE = """
import asyncio, sys
from pathlib import Path
from batchgen.sandbox import Sandbox, SandboxConfig
async def main():
    async with Sandbox(SandboxConfig(journal=Path(sys.argv[1]))) as sandbox:
        print(sandbox.base_url, flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


def test_sigkill_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    """The line is in the file before the answer leaves, so even SIGKILL right after it is safe."""
    file = tmp_path / "journal.jsonl"
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, str(file)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        try:
            assert process.stdout is not None
            url = f"{process.stdout.readline().strip()}/models/bytedance/dreamina-4-0/text-to-image"
            headers = {"Authorization": "Bearer sandbox-token"}
            request = urllib.request.Request(url, b'{"prompt": "x"}', headers)
            with urllib.request.urlopen(request) as answer:
                request_id = msgspec.json.decode(answer.read())["request_id"]
        finally:
            process.send_signal(signal.SIGKILL)
    assert request_id.encode() in file.read_bytes()


def test_lines_come_back_as_they_were(tmp_path: Path) -> None:
    """Appended lines are loaded in their order, in the same process or in the next one."""
    file = tmp_path / "journal.jsonl"
    lines = [CancelledLine(request_id=f"{n}", at=n / 3) for n in range(5)]
    for upto in range(5):
        journal = Journal(file)
        assert journal.load() == lines[:upto]
        journal.append(lines[upto])
        assert journal.load() == lines[: upto + 1]
        journal.close()
