"""Files on this machine: full disks, long paths, repairs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from batchgen.core.errors import LocalIOError
from batchgen.ports import FilesSaved, SaveLater
from tests.outputs.host import PNG, Host, files, png, server, store

FULL_DISK = """
import asyncio, resource, sys
from pathlib import Path
from batchgen.core.errors import LocalIOError
from tests.outputs.host import store

async def main(run_dir, url):
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
    async with store(run_dir) as outputs:
        try:
            print(await outputs.save("fox", (url,)))
        except LocalIOError as error:
            print("LocalIOError:", error)

asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
"""


async def test_a_full_disk_keeps_what_was_received(tmp_path: Path) -> None:
    """No room behind 50,000 bytes: an error of this machine that names the file, and once there
    is room the next run resumes it."""
    import asyncio

    host = Host()
    async with server(host) as origin:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", FULL_DISK, tmp_path, f"{origin}/a.png", stdout=subprocess.PIPE
        )
        out, _ = await child.communicate()
        assert out.startswith(b"LocalIOError: ")
        assert b"what was received is kept" in out
        async with store(tmp_path) as outputs:
            answer = await outputs.save("fox", (f"{origin}/a.png",))

    assert isinstance(answer, FilesSaved)
    assert host.asked[1] == ("bytes=50000-", '"1"')
    assert (tmp_path / "outputs/fox-1.png").read_bytes() == PNG


async def test_a_directory_that_cannot_be_made_is_reported_at_the_start(tmp_path: Path) -> None:
    """Before anything was fetched, or submitted for it."""
    (tmp_path / "outputs").write_text("a file instead of a directory")

    with pytest.raises(LocalIOError, match="outputs"):
        async with store(tmp_path):
            pass


async def test_a_long_path_leaves_short_names(tmp_path: Path) -> None:
    """What the system allows for a whole path is kept to, down to names that are digests only."""
    deep = tmp_path
    while len(str(deep)) < 3_900:
        deep /= "d" * min(200, 3_950 - len(str(deep)))
    deep.mkdir(parents=True)
    async with server(Host()) as origin, store(deep) as outputs:
        answer = await outputs.save("x" * 150, (f"{origin}/a.png",))

    assert isinstance(answer, FilesSaved)
    assert len(str(deep / answer.files[0].path)) < 4_096


async def test_a_missing_file_comes_back_to_its_recorded_path(tmp_path: Path) -> None:
    """One of two outputs was deleted by accident; the other is not touched."""
    host = Host()
    async with server(host) as origin:
        urls = (f"{origin}/a.png", f"{origin}/b.png")
        async with store(tmp_path) as outputs:
            saved = await outputs.save("fox", urls)
            outputs.settled("fox")
        assert isinstance(saved, FilesSaved)
        second = saved.files[1]
        (tmp_path / second.path).unlink()
        async with store(tmp_path, taken=tuple(file.path for file in saved.files)) as outputs:
            answer = await outputs.save("fox", urls, saved.files)
            outputs.settled("fox")

    assert answer == saved
    assert len(host.asked) == 3
    assert (tmp_path / second.path).read_bytes() == PNG
    assert files(tmp_path) == ["fox-1.png", "fox-2.png"]


async def test_a_repair_overwrites_nothing(tmp_path: Path) -> None:
    """What was put there meanwhile stays; the answer says so."""
    host = Host()
    async with server(host) as origin:
        async with store(tmp_path) as outputs:
            saved = await outputs.save("fox", (f"{origin}/a.png",))
            outputs.settled("fox")
        assert isinstance(saved, FilesSaved)
        (tmp_path / "outputs/fox-1.png").write_bytes(b"retouched")
        async with store(tmp_path, taken=("outputs/fox-1.png",)) as outputs:
            answer = await outputs.save("fox", (f"{origin}/a.png",), saved.files)

    assert isinstance(answer, SaveLater)
    assert answer.hopeless
    assert (tmp_path / "outputs/fox-1.png").read_bytes() == b"retouched"


async def test_a_repair_tells_other_bytes_by_their_digest(tmp_path: Path) -> None:
    """The server has another picture under the address now: it is kept, and not taken for the
    old one."""
    host = Host()
    async with server(host) as origin:
        async with store(tmp_path) as outputs:
            saved = await outputs.save("fox", (f"{origin}/a.png",))
            outputs.settled("fox")
        assert isinstance(saved, FilesSaved)
        (tmp_path / "outputs/fox-1.png").unlink()
        host.body = png(seed=9)
        async with store(tmp_path, taken=("outputs/fox-1.png",)) as outputs:
            answer = await outputs.save("fox", (f"{origin}/a.png",), saved.files)

    assert isinstance(answer, FilesSaved)
    assert answer.files[0].path == "outputs/fox-1.png"
    assert answer.files[0].sha256 != saved.files[0].sha256
