"""A directory as the manifest: one job for each media file in it."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from batchgen.app import paying_run
from batchgen.app.batch_ref import BatchRef
from batchgen.app.run_directories import default_directories
from batchgen.core.errors import ManifestNotFound
from batchgen.manifest.row_options import RowOptions
from tests.app.test_decisions import outputs_in_memory
from tests.app.test_local_files import EDIT, MP4, SCHEMA, Store
from tests.kit.live import Done
from tests.kit.world import World
from tests.outputs.host import png

NEEDS_PICTURE: Any = {**SCHEMA["input_schema"], "required": ["prompt", "image_url"]}  # type: ignore[dict-item]


class Stills:
    """A directory of pictures in a world."""

    def __init__(self, path: Path) -> None:
        self.world = World(schemas={EDIT: NEEDS_PICTURE})
        self.world.api.models |= {EDIT}
        self.directory = path / "stills"
        self.directory.mkdir()
        for number, name in enumerate(("fox.png", "owl.png")):
            (self.directory / name).write_bytes(png(1000, number))

    def run(self, *words: str, manifest: Path | None = None) -> Done:
        place = manifest or self.directory
        more = ("--model", EDIT, "--param", "prompt=move", "--assets", "s3://bucket/in")
        return self.world.command("run", place, *more, *words)

    def results(self) -> dict[str, dict[str, str]]:
        path = self.directory.with_name("stills.run") / "results.csv"
        return {row["job"]: row for row in csv.DictReader(io.StringIO(path.read_text()))}


@pytest.fixture
def stills(tmp_path: Path) -> Iterator[Stills]:
    @asynccontextmanager
    async def in_memory(*_: object, **__: object) -> AsyncIterator[Store]:
        yield Store()

    with outputs_in_memory(), patch.object(paying_run, "asset_store", in_memory):
        yield Stills(tmp_path)


def test_each_file_is_a_job_that_has_its_name(stills: Stills) -> None:
    assert stills.run().code == 0
    assert list(stills.results()) == ["fox", "owl"]
    assert stills.results()["fox"]["file"] == "fox.png"
    sent = [values for _, values in stills.world.api.created]
    assert [set(one) for one in sent] == [{"prompt", "image_url"}] * 2


def test_a_new_file_is_a_new_job_and_the_others_stay(stills: Stills) -> None:
    """Also one that has the name of another with another ending: both get their whole names."""
    assert stills.run().code == 0
    (stills.directory / "fox.jpg").write_bytes(b"\xff\xd8\xff" + bytes(100))
    done = stills.run()
    assert done.code == 0, done
    assert len(stills.world.api.created) == 3
    assert set(stills.results()) == {"fox.jpg", "fox.png", "owl"}


def test_what_is_not_a_media_file_is_left_out(stills: Stills) -> None:
    for name in ("notes.txt", ".hidden.png", "Thumbs.db"):
        (stills.directory / name).write_bytes(b"x")
    (stills.directory / "below").mkdir()
    done = stills.run()
    assert done.code == 0
    assert "left out, as they are not media files: Thumbs.db, notes.txt" in done.err
    assert len(stills.results()) == 2


def test_a_wrong_file_is_named(stills: Stills) -> None:
    (stills.directory / "film.png").write_bytes(MP4)
    done = stills.run()
    assert done.code == 65
    assert "film.png' is a video by its first bytes; image_url wants an image" in done.err


def test_a_model_that_takes_no_file(stills: Stills) -> None:
    del stills.world.schemas[EDIT]
    done = stills.run()
    assert (done.code, "has no known schema" in done.err) == (65, True)
    stills.world.schemas[EDIT] = {"properties": {"prompt": {"type": "string"}}}
    done = stills.run()
    assert (done.code, "takes no file; name the files in a spreadsheet" in done.err) == (65, True)


def test_every_command_takes_the_directory(stills: Stills) -> None:
    assert stills.run().code == 0
    for command in ("status", "report", "check"):
        assert stills.world.command(command, stills.directory).code == 0
    assert stills.world.command("status", f"{stills.directory}/").code == 0


def test_the_present_directory(stills: Stills, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(stills.directory)
    assert stills.run(manifest=Path()).code == 0
    assert len(stills.results()) == 2


def test_a_directory_of_manifests_is_still_a_mistake(stills: Stills, tmp_path: Path) -> None:
    other = tmp_path / "batches"
    other.mkdir()
    (other / "spring.csv").write_text("prompt\na\n")
    with pytest.raises(ManifestNotFound, match=r"name a manifest in it: spring\.csv"):
        default_directories(BatchRef(manifest=str(other), row_options=RowOptions()))
