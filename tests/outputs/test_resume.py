"""Downloads that resume an earlier one, in this process and in the next."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from email.utils import formatdate
from pathlib import Path

import pytest

from batchgen.ports import FilesSaved, SaveLater
from tests.kit.waiting import let_pass_async, wait_until_async
from tests.outputs.host import PNG, Host, files, png, server, store, whole

OLD = formatdate(1_700_000_000, usegmt=True)


async def try_once(tmp_path: Path, url: str, **more: object) -> object:
    """One try in a store of its own, as a run of its own would make it."""
    async with store(tmp_path, **more) as outputs:
        return await outputs.save("fox", (url,))


async def test_the_next_process_resumes_what_this_one_left(tmp_path: Path) -> None:
    """The part has kept its validator: Range from where it ends, If-Range with the ETag."""
    host = Host(breaks=[60_000])
    async with server(host) as origin:
        first = await try_once(tmp_path, f"{origin}/a.png")
        second = await try_once(tmp_path, f"{origin}/a.png")

    assert isinstance(first, SaveLater)
    assert isinstance(second, FilesSaved)
    assert host.asked == [(None, None), (f"bytes={first.received_bytes}-", '"1"')]
    assert (tmp_path / "outputs/fox-1.png").read_bytes() == PNG
    assert files(tmp_path) == ["fox-1.png"]


@pytest.mark.parametrize(
    ("validators", "if_range"),
    [
        ({"Last-Modified": OLD, "Date": formatdate(usegmt=True)}, OLD),
        ({"Last-Modified": OLD, "Date": OLD}, None),
        ({"ETag": 'W/"1"', "Last-Modified": OLD}, None),
        ({}, None),
    ],
)
async def test_a_download_is_resumed_only_if_its_bytes_are_identified(
    tmp_path: Path, validators: dict[str, str], if_range: str | None
) -> None:
    """A date that is older than the answer is as good as an ETag; one just set, a weak ETag or
    nothing at all means to begin again."""
    host = Host(validators=validators, breaks=[60_000])
    async with server(host) as origin:
        await try_once(tmp_path, f"{origin}/a.png")
        answer = await try_once(tmp_path, f"{origin}/a.png")

    assert isinstance(answer, FilesSaved)
    assert host.asked[1][1] == if_range
    assert (host.asked[1][0] is None) == (if_range is None)
    assert (tmp_path / "outputs/fox-1.png").read_bytes() == PNG


async def test_another_file_in_the_same_place_is_not_glued_to_the_part(tmp_path: Path) -> None:
    """The server sends the new one whole, because If-Range does not fit."""
    host = Host(breaks=[60_000])
    async with server(host) as origin:
        await try_once(tmp_path, f"{origin}/a.png")
        host.body, host.validators = png(seed=5), {"ETag": '"2"'}
        await try_once(tmp_path, f"{origin}/a.png")

    assert (tmp_path / "outputs/fox-1.png").read_bytes() == png(seed=5)


async def test_a_part_that_was_changed_meanwhile_is_not_resumed(tmp_path: Path) -> None:
    """A power cut may leave zeros: the digest of what was received counts, not the length."""
    host = Host(breaks=[60_000])
    async with server(host) as origin:
        await try_once(tmp_path, f"{origin}/a.png")
        part = tmp_path / "outputs/fox-1.part"
        part.write_bytes(bytes(part.stat().st_size))
        await try_once(tmp_path, f"{origin}/a.png")

    assert host.asked[1] == (None, None)
    assert (tmp_path / "outputs/fox-1.png").read_bytes() == PNG


async def test_a_part_without_a_note_begins_again(tmp_path: Path) -> None:
    """Its note is gone: its bytes may be of anything."""
    host = Host(breaks=[60_000])
    async with server(host) as origin:
        await try_once(tmp_path, f"{origin}/a.png")
        for note in (tmp_path / "downloads").iterdir():
            note.unlink()
        await try_once(tmp_path, f"{origin}/a.png")

    assert host.asked[1] == (None, None)
    assert (tmp_path / "outputs/fox-1.png").read_bytes() == PNG


async def test_another_url_begins_again(tmp_path: Path) -> None:
    """An ETag says nothing about another address; a new signature in the query is ignored."""
    for number, (first, second, resumes) in enumerate(
        [("a.png?sig=1", "a.png?sig=2", True), ("a.png", "b.png", False)]
    ):
        host = Host(breaks=[60_000])
        async with server(host) as origin:
            run_dir = tmp_path / str(number)
            await try_once(run_dir, f"{origin}/{first}")
            await try_once(run_dir, f"{origin}/{second}")

        assert (host.asked[1][0] is not None) is resumes


async def test_a_server_that_continues_elsewhere_is_not_believed(tmp_path: Path) -> None:
    """A 206 for other bytes than were asked for: nothing of it is used, and it begins again."""
    host = Host(breaks=[60_000])
    async with server(host) as origin:
        await try_once(tmp_path, f"{origin}/a.png")
        host.shifted = 1000
        second = await try_once(tmp_path, f"{origin}/a.png")
        third = await try_once(tmp_path, f"{origin}/a.png")

    assert isinstance(second, SaveLater)
    assert isinstance(third, FilesSaved)
    assert (tmp_path / "outputs/fox-1.png").read_bytes() == PNG


async def test_a_whole_file_that_a_crash_left_unrecorded_is_not_fetched_again(
    tmp_path: Path,
) -> None:
    """It is proven to be this one by its digest; nothing is asked of the server."""
    host = Host()
    async with server(host) as origin:
        await try_once(tmp_path, f"{origin}/a.png")
        again = await try_once(tmp_path, f"{origin}/a.png?sig=2")

    assert isinstance(again, FilesSaved)
    assert len(host.asked) == 1
    assert files(tmp_path) == ["fox-1.png"]


async def test_a_whole_file_that_was_changed_is_fetched_again_beside_it(tmp_path: Path) -> None:
    """That file is not the output any more, and is not overwritten either."""
    host = Host()
    async with server(host) as origin:
        await try_once(tmp_path, f"{origin}/a.png")
        (tmp_path / "outputs/fox-1.png").write_bytes(b"retouched")
        again = await try_once(tmp_path, f"{origin}/a.png")

    assert isinstance(again, FilesSaved)
    assert (tmp_path / "outputs/fox-1.png").read_bytes() == b"retouched"
    assert (tmp_path / again.files[0].path).read_bytes() == PNG


async def test_outputs_of_a_job_that_are_there_are_not_fetched_with_the_missing_ones(
    tmp_path: Path,
) -> None:
    """Four pictures, the third breaks off: the next run asks for the third and the fourth."""
    host = Host(breaks=[-1, -1, 50_000])
    async with server(host) as origin:
        urls = tuple(f"{origin}/{n}.png" for n in range(4))
        async with store(tmp_path) as outputs:
            assert isinstance(await outputs.save("fox", urls), SaveLater)
        async with store(tmp_path) as outputs:
            assert isinstance(await outputs.save("fox", urls), FilesSaved)

    assert len(host.asked) == 5
    assert files(tmp_path) == [f"fox-{n}.png" for n in (1, 2, 3, 4)]


async def test_nothing_is_left_beside_the_files_once_the_ledger_knows_them(tmp_path: Path) -> None:
    """Notes are for what is not recorded yet."""
    async with server(Host()) as origin, store(tmp_path) as outputs:
        await outputs.save("fox", (f"{origin}/a.png", f"{origin}/b.png"))
        outputs.settled("fox")

    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "home") == ["outputs"]


async def test_notes_of_files_that_the_ledger_knows_are_swept_up(tmp_path: Path) -> None:
    """A crash between record and clean-up leaves one; the next run removes it."""
    async with server(Host()) as origin:
        await try_once(tmp_path, f"{origin}/a.png")
        assert (tmp_path / "downloads").exists()
        await_nothing = store(tmp_path, taken=("outputs/fox-1.png",))
        async with await_nothing:
            pass

    assert not (tmp_path / "downloads").exists()
    assert files(tmp_path) == ["fox-1.png"]


async def test_names_of_unfinished_downloads_stay_theirs(tmp_path: Path) -> None:
    """A job of another run whose id makes the same name does not get the part of this one."""
    host = Host(breaks=[60_000])
    async with server(host) as origin:
        async with store(tmp_path) as outputs:
            await outputs.save("a/b", (f"{origin}/1.png",))
        async with store(tmp_path) as outputs:
            await outputs.save("a-b", (f"{origin}/2.png",))
            await outputs.save("a/b", (f"{origin}/1.png",))

    assert files(tmp_path) == ["a-b-1.png", "a-b-1~2.png"]
    assert host.asked[1] == (None, None)
    assert host.asked[2][0] is not None


CHILD = """
import asyncio, sys
from pathlib import Path
from tests.outputs.host import store

async def main(run_dir, url):
    async with store(run_dir) as outputs:
        print(await outputs.save("fox", (url,)))

asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
"""


async def test_a_kill_in_mid_download_costs_what_came_since_the_last_note(tmp_path: Path) -> None:
    """SIGKILL while bytes come in: the next process resumes, and the file is right."""
    host = Host(body=png(3_000_000), breaks=[2_000_000], pause_s=0.7)
    async with server(host) as origin:
        child = subprocess.Popen([sys.executable, "-c", CHILD, tmp_path, f"{origin}/a.png"])
        await wait_until_async(
            lambda: list((tmp_path / "downloads").glob("*.json")), "the first resume note"
        )
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        assert whole(tmp_path) == []
        answer = await try_once(tmp_path, f"{origin}/a.png")

    assert isinstance(answer, FilesSaved)
    assert host.asked[1][0] is not None
    assert (tmp_path / "outputs/fox-1.png").read_bytes() == host.body


async def test_a_cancelled_download_keeps_what_it_has(tmp_path: Path) -> None:
    """As a signal does it: the task ends, no thread is left at the file, the next one resumes."""
    host = Host(body=png(3_000_000), breaks=[2_000_000], pause_s=5)
    async with server(host) as origin:
        async with store(tmp_path) as outputs:
            saving = asyncio.create_task(outputs.save("fox", (f"{origin}/a.png",)))
            await wait_until_async((tmp_path / "outputs/fox-1.part").exists, "the part")
            await let_pass_async(0.3, "what was received is on its way to the disk")
            saving.cancel()
            await asyncio.wait([saving])
        host.pause_s = 0
        answer = await try_once(tmp_path, f"{origin}/a.png")

    assert isinstance(answer, FilesSaved)
    assert host.asked[1] == ("bytes=1000000-", '"1"')
    assert (tmp_path / "outputs/fox-1.png").read_bytes() == host.body
