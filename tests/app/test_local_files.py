"""Local files as inputs through whole commands, in virtual time: what is checked, sent and kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from batchgen.app import paying_run
from batchgen.core.api_answers import Gone
from batchgen.core.errors import LocalIOError, UsageError
from batchgen.core.events import ErrorKind, JobError
from batchgen.core.jobs import Asset
from batchgen.ports import AssetChanged
from tests.app.test_decisions import outputs_in_memory
from tests.app.test_steps import Chains
from tests.kit.live import Done
from tests.kit.world import World
from tests.outputs.host import png

EDIT = "maker/paint/edit"
MP4 = b"\x00\x00\x00\x18ftypmp42" + bytes(100)
URL = {"type": "string", "format": "image_uri"}
SCHEMA = {
    "model_id": EDIT,
    "input_schema": {
        "type": "object",
        "properties": {
            "prompt": {"type": "string"},
            "image_url": URL,
            "image_urls": {"type": "array", "items": URL, "maxItems": 3},
            "video_url": {"type": "string", "format": "video_uri"},
            "mask_url": {
                **URL,
                "validations": [{"validation_rule": "file_size_mb<", "validation_value": 1}],
            },
        },
        "required": ["prompt"],
    },
}


@dataclass
class Store:
    """An `AssetStore` in memory."""

    uploads: list[str] = field(default_factory=list)
    fail: Exception | None = None

    async def address_of(self, asset: Asset) -> str:
        if self.fail is not None:
            raise self.fail
        self.uploads.append(asset.name)
        return f"https://store.example/{asset.sha256}.{asset.extension}?X-Amz-Signature=secret"


class Files:
    """A manifest that names files, in a world."""

    def __init__(self, path: Path, store: Store) -> None:
        self.world, self.store, self.path = World(), store, path
        self.world.api.models |= {EDIT}
        self.manifest, self.run_dir = path / "m.yaml", path / "m.run"
        (path / "model.json").write_text(json.dumps(SCHEMA))
        (path / "a.png").write_bytes(png(1000))
        (path / "b.png").write_bytes(png(2000))

    def rows(self, *rows: str, model: str = EDIT) -> None:
        listed = "".join(f"  - {{id: r{n}, prompt: x, {row}}}\n" for n, row in enumerate(rows))
        self.manifest.write_text(f"model: {model}\nschema: model.json\nprompts:\n{listed}")

    def run(self, *words: str, assets: bool = True) -> Done:
        more = ("--assets", "s3://bucket/in") if assets else ()
        return self.world.command("run", self.manifest, *more, *words)

    def check(self, assets: bool = True) -> Done:
        more = ("--assets", "s3://bucket/in") if assets else ()
        return self.world.command("check", self.manifest, *more)

    @property
    def sent(self) -> list[dict[str, Any]]:
        return [dict(values) for _, values in self.world.api.created]

    @property
    def text(self) -> str:
        return (self.run_dir / "ledger.jsonl").read_text()


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    store = Store()

    @asynccontextmanager
    async def in_memory(*_: object, **__: object) -> AsyncIterator[Store]:
        yield store

    with outputs_in_memory(), patch.object(paying_run, "asset_store", in_memory):
        yield Files(tmp_path, store)


def test_what_is_sent_and_what_is_kept(files: Files) -> None:
    files.rows("image_url: a.png", "image_urls: [b.png, 'https://x.net/c.png', ./a.png]")
    assert files.run().code == 0
    digest = hashlib.sha256((files.path / "a.png").read_bytes()).hexdigest()
    first, second = files.sent
    assert first["image_url"] == f"https://store.example/{digest}.png?X-Amz-Signature=secret"
    assert second["image_urls"][1] == "https://x.net/c.png"
    assert second["image_urls"][2].startswith(f"https://store.example/{digest}")
    assert {"file": "a.png", "sha256": digest} == json.loads(files.text.splitlines()[1])["input"][
        "image_url"
    ]
    kept = [path for path in files.path.rglob("*") if path.is_file()]
    assert not [path for path in kept if b"Signature" in path.read_bytes()]


def test_identity_is_what_is_in_a_file(files: Files) -> None:
    """Another name of the same content is the same job; another content is an edited row."""
    files.rows("image_url: a.png")
    assert files.run().code == 0
    (files.path / "a.png").rename(files.path / "c.png")
    files.rows("image_url: c.png")
    assert files.run().code == 0
    assert len(files.sent) == 1
    (files.path / "c.png").write_bytes(png(3000))
    plan = json.loads(files.run("--dry-run", "--json").out)
    assert plan["groups"] == {"submit_edited": {"jobs": 1, "cost_usd": 0.03}}


def test_nothing_is_uploaded_for_what_is_done(files: Files) -> None:
    files.rows("image_url: a.png")
    assert files.run().code == 0
    assert files.run().code == 0
    assert files.store.uploads == ["a.png"]


MISTAKES = {
    "no such file": ("image_url: c.png", "'c.png' is not an address, and there is no such file"),
    "outside": ("image_url: ../secret.png", "outside of the manifest's directory"),
    "a directory": ("image_url: deep", "'deep' is not a file that can be read"),
    "empty": ("image_url: empty.png", "'empty.png' is empty"),
    "a film": ("image_url: film.mp4", "is a video by its first bytes; image_url wants an image"),
    "a picture": ("video_url: a.png", "is an image by its first bytes; video_url wants a video"),
    "a text": ("image_url: text.png", "is not media by its first bytes; image_url wants an image"),
    "too large": ("mask_url: large.png", "is 1.2 MB; at most 1 MB are taken"),
    "in a list": ("image_urls: [a.png, c.png]", "'c.png' is not an address"),
    "too many": ("image_urls: [a.png, b.png, a.png, b.png]", "has 4 entries, at most 3"),
    "plain http": ("image_url: http://x.net/a.png", "is not an https address"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_file_is_checked_without_network(files: Files, mistake: str) -> None:
    row, expected = MISTAKES[mistake]
    outside = files.path.parent / "secret.png"
    outside.write_bytes(png(1000))
    (files.path / "deep").mkdir()
    (files.path / "empty.png").write_bytes(b"")
    (files.path / "film.mp4").write_bytes(MP4)
    (files.path / "text.png").write_bytes(b"not a picture")
    (files.path / "large.png").write_bytes(png(1_200_000))
    files.rows("image_url: a.png", row)
    for done in (files.check(), files.run()):
        assert done.code == 65, done
        assert expected in done.err
        assert "1 problem" in done.err
    assert files.sent == []
    outside.unlink()


def test_without_a_place_to_upload_to(files: Files) -> None:
    files.rows("image_url: a.png")
    for done in (files.check(assets=False), files.run(assets=False)):
        assert done.code == 65
        assert "'a.png' is a file on this machine" in done.err
        assert "--assets s3://BUCKET/PREFIX" in done.err


def test_the_place_is_remembered_and_never_from_a_manifest(files: Files) -> None:
    files.rows("image_url: a.png")
    assert files.run().code == 0
    assert files.run(assets=False).code == 0
    text = files.manifest.read_text()
    files.manifest.write_text(text + "run: {assets: 's3://theirs/in'}\n")
    done = files.run()
    assert (done.code, "use --assets" in done.err) == (65, True)
    with pytest.raises(UsageError, match="is not a place for files"):
        files.run("--assets", "ftp://host/in", assets=False)


def test_a_file_that_changes_during_the_run_waits(files: Files) -> None:
    files.rows("image_url: a.png")
    files.store.fail = AssetChanged("a.png has changed since it was checked")
    done = files.run()
    assert (done.code, files.sent) == (75, [])
    assert "a.png has changed since it was checked; it is left for the next run" in done.err
    files.store.fail = None
    assert files.run().code == 0


def test_a_store_that_fails_fails_no_job(files: Files) -> None:
    files.rows("image_url: a.png", "image_url: b.png")
    files.store.fail = LocalIOError("s3://bucket/in: access denied")
    done = files.run()
    assert (done.code, files.sent) == (74, [])
    assert '"failed"' not in files.text if (files.run_dir / "ledger.jsonl").exists() else True
    files.store.fail = None
    assert files.run().code == 0
    assert len(files.sent) == 2


def test_a_step_can_name_a_file(files: Files) -> None:
    files.manifest.write_text(
        f"model: {EDIT}\nschema: model.json\nprompts: [{{id: one, prompt: x, image_url: a.png}}]\n"
        "steps:\n  - name: still\n  - name: second\n"
        f"    model: {EDIT}\n"
        '    input: {image_urls: ["{{ still.url }}", b.png], prompt: "y"}\n'
    )
    assert files.run().code == 0
    second = files.sent[1]
    digest = hashlib.sha256((files.path / "b.png").read_bytes()).hexdigest()
    assert second["image_urls"][1] == (f"https://store.example/{digest}.png?X-Amz-Signature=secret")
    assert second["image_urls"][0].startswith("https://files.")
    assert files.run().code == 0
    assert len(files.sent) == 2


def test_the_file_of_an_output_that_the_api_no_longer_has(tmp_path: Path) -> None:
    """With a place to upload to, a clip is made from the file of its still."""
    store = Store()

    class Expired:
        async def is_gone(self, _: str) -> bool:
            return True

    @asynccontextmanager
    async def check(*_: object) -> AsyncIterator[Expired]:
        yield Expired()

    @asynccontextmanager
    async def in_memory(*_: object, **__: object) -> AsyncIterator[Store]:
        yield store

    with (
        outputs_in_memory() as disk,
        patch.object(paying_run, "address_check", check),
        patch.object(paying_run, "asset_store", in_memory),
    ):
        chains = Chains(tmp_path)
        assert chains.run("--job", "fox").code == 0
        for file in chains.record("fox")["files"]:
            path = chains.run_dir / file["path"]
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(png(1000))
        gone = Gone(error=JobError(kind=ErrorKind.EXPIRED, message="?"))
        chains.world.api.on_result = lambda _: gone
        assert disk is not None
        chains.run("--job", "fox@clip", "--assets", "s3://bucket/in")
    assert chains.posts == 2
    assert store.uploads == [chains.record("fox")["files"][0]["path"]]
    line = next(one for one in chains.lines() if one["job"] == "fox@clip")
    assert set(line["input"]["image_url"]) == {"file", "sha256"}
