"""Several run directories with one output directory: no file is ever replaced by another."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest
from aiohttp import web

from batchgen.outputs.local_directory import LocalDirectory
from batchgen.outputs.part_file import PartFile
from batchgen.outputs.store import Store
from batchgen.ports import FilesSaved
from batchgen.system.files import rename_if_absent
from tests.kit.waiting import let_pass_async
from tests.outputs.host import png, server, store

JOBS = 10


@pytest.fixture(params=["links", "no links"])
def hard_links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system with hard links, and one without."""
    if request.param == "no links":

        def refuse(*_: object, **__: object) -> None:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))

        monkeypatch.setattr(os, "link", refuse)


def sharing(run_dir: Path, shared: Path) -> Store:
    """Return a store whose output directory is not its own."""
    run_dir.mkdir(parents=True, exist_ok=True)
    return store(run_dir, destination=LocalDirectory(run_dir=run_dir, path=shared))


@pytest.mark.usefixtures("hard_links")
async def test_two_runs_with_the_same_ids_keep_every_file_of_both(tmp_path: Path) -> None:
    """At the same time and slowed, so that they meet: each file is whole and as its run says."""

    async def slow(request: web.Request) -> web.StreamResponse:
        body = png(40_000, seed=sum(request.path.encode()))
        response = web.StreamResponse(headers={"Content-Type": "image/png"})
        response.content_length = len(body)
        await response.prepare(request)
        for begin in range(0, len(body), 10_000):
            await response.write(body[begin : begin + 10_000])
            await let_pass_async(0.01, "the other run gets its turn")
        return response

    shared = tmp_path / "shared"
    async with (
        server(slow) as origin,
        sharing(tmp_path / "a.run", shared) as one,
        sharing(tmp_path / "b.run", shared) as other,
    ):
        saves = [
            outputs.save(f"j{number}", (f"{origin}/{name}/{number}.png",))
            for number in range(JOBS)
            for name, outputs in (("first", one), ("second", other))
        ]
        answers = await asyncio.gather(*saves)

    assert all(isinstance(answer, FilesSaved) for answer in answers)
    for number, answer in enumerate(answers):
        outputs = (one, other)[number % 2]
        assert isinstance(answer, FilesSaved)
        assert outputs.destination.difference(answer.files[0]) == ""
    assert len(list(shared.iterdir())) == 2 * JOBS, "and no part is left"


async def test_parts_belong_to_one_run_directory(tmp_path: Path) -> None:
    """No two run directories receive bytes in the same file, whatever their place."""
    shared = tmp_path / "shared"
    places = [tmp_path / "a.run", tmp_path / "b.run", tmp_path / "deep/a.run", shared, tmp_path]
    directories = [LocalDirectory(run_dir=run_dir, path=shared) for run_dir in places]

    parts = {directory.part_path("fox-1", "") for directory in directories}

    assert len(parts) == len(places)
    own = LocalDirectory(run_dir=shared, path=shared / "outputs")
    assert own.part_path("fox-1", "") == shared / "outputs/fox-1.part"


@pytest.mark.usefixtures("hard_links")
@pytest.mark.parametrize("there", ["file", "directory", "link to nothing", "nothing"])
def test_a_rename_replaces_nothing(tmp_path: Path, there: str) -> None:
    """What has the name keeps it, and the other file keeps its own."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_text("new")
    if there == "file":
        target.write_text("old")
    elif there == "directory":
        target.mkdir()
    elif there == "link to nothing":
        target.symlink_to("nowhere")

    renamed = rename_if_absent(source, target)

    assert renamed == (there == "nothing")
    assert source.exists() != renamed
    assert target.is_file() == (there in ("file", "nothing"))
    assert (target.read_text() if target.is_file() else "") == {
        "file": "old", "nothing": "new"
    }.get(there, "")  # fmt: skip


def test_a_part_that_is_published_is_not_written_to(tmp_path: Path) -> None:
    """A kill between link and unlink leaves one file under two names; the final one is safe."""
    final, part = tmp_path / "fox-1.png", tmp_path / "fox-1.part"
    final.write_bytes(b"whole")
    os.link(final, part)

    with PartFile(part) as file:
        file.writelines([b"other bytes"])

    assert final.read_bytes() == b"whole"
    assert part.read_bytes() == b"other bytes"


def test_a_sidecar_replaces_nothing_but_a_sidecar(tmp_path: Path) -> None:
    """The name may have been taken since it was looked at."""
    place = tmp_path / "outputs"
    place.mkdir()
    directory = LocalDirectory(run_dir=place, path=place)
    (place / "a.json").write_text("somebody's")

    assert not directory.put_text("a.json", b"ours", replaces=False)
    assert directory.put_text("b.json", b"ours", replaces=False)
    assert directory.put_text("b.json", b"newer", replaces=True)

    assert sorted(path.name for path in place.iterdir()) == ["a.json", "b.json"]
    assert (place / "a.json").read_text() == "somebody's"
    assert (place / "b.json").read_text() == "newer"
