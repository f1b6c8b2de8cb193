"""Local input files in an object store, against a real S3 server."""

from __future__ import annotations

import asyncio
import hashlib
import json
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import obstore
import pytest

from batchgen.core.errors import LocalIOError
from batchgen.core.jobs import Asset
from batchgen.core.model_entry import ModelEntry
from batchgen.outputs.asset_store import BucketAssets
from batchgen.ports import AssetChanged
from batchgen.sandbox import SandboxConfig
from batchgen.system.clock import SystemClock
from tests.kit.live import batchgen, live_sandbox
from tests.outputs.host import png
from tests.outputs.seaweed import BUCKET, S3, client

T = TypeVar("T")


@pytest.fixture
def place(tmp_path: Path) -> str:
    return f"s3://{BUCKET}/{tmp_path.name}/inputs"


def asset(path: Path, content: bytes | None = None) -> Asset:
    content = png() if content is None else content
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    return Asset(path.name, str(path), digest, len(content), "png")


def with_store(
    place: str, work: Callable[[BucketAssets], Awaitable[T]], expiry_s: float = 3600.0
) -> T:
    async def run() -> T:
        store = BucketAssets(url=place, expiry_s=expiry_s, clock=SystemClock())
        await store.prepare()
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run())


def keys(s3: S3, place: str) -> list[str]:
    prefix = place.removeprefix(f"s3://{BUCKET}/")
    return [one["path"].rpartition("/")[2] for one in obstore.list(client(s3), prefix).collect()]


def test_the_address_can_be_fetched_without_credentials(s3: S3, place: str, tmp_path: Path) -> None:
    one = asset(tmp_path / "a.png")
    url = with_store(place, lambda store: store.address_of(one))
    with urllib.request.urlopen(url) as answer:  # no credentials
        assert answer.read() == (tmp_path / "a.png").read_bytes()
        assert answer.headers["Content-Type"] == "image/png"
    assert keys(s3, place) == [f"{one.sha256}.png"]
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(url.partition("?")[0])


def test_each_content_is_uploaded_once(s3: S3, place: str, tmp_path: Path) -> None:
    """Many jobs at once, other names, and a later run."""
    same = [asset(tmp_path / f"{n}.png") for n in range(5)]

    async def all_of_them(store: BucketAssets) -> list[str]:
        return list(await asyncio.gather(*(store.address_of(one) for one in same)))

    urls = with_store(place, all_of_them)
    assert len({url.partition("?")[0] for url in urls}) == 1
    before = obstore.head(client(s3), _key(place, same[0]))["last_modified"]
    with_store(place, lambda store: store.address_of(same[1]))
    assert obstore.head(client(s3), _key(place, same[0]))["last_modified"] == before


def test_a_large_file_goes_in_pieces(s3: S3, place: str, tmp_path: Path) -> None:
    content = png(20_000_000)
    one = asset(tmp_path / "film.png", content)
    url = with_store(place, lambda store: store.address_of(one))
    with urllib.request.urlopen(url) as answer:
        assert hashlib.sha256(answer.read()).hexdigest() == one.sha256


def _key(place: str, one: Asset) -> str:
    return f"{place.removeprefix(f's3://{BUCKET}/')}/{one.sha256}.png"


@pytest.mark.parametrize("change", [lambda p: p.write_bytes(b"x"), lambda p: p.unlink()])
def test_a_file_that_has_changed_is_not_uploaded(
    s3: S3, place: str, tmp_path: Path, change: Callable[[Path], object]
) -> None:
    one = asset(tmp_path / "a.png")
    change(tmp_path / "a.png")
    with pytest.raises(AssetChanged, match=r"a\.png"):
        with_store(place, lambda store: store.address_of(one))
    assert keys(s3, place) == []


def test_a_store_that_refuses_says_so_at_once(
    s3: S3, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(LocalIOError, match="no such bucket"):
        with_store(place.replace(BUCKET, "nowhere"), lambda store: asyncio.sleep(0))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(LocalIOError, match="access denied"):
        with_store(place, lambda store: asyncio.sleep(0))


EDIT = "maker/paint/edit"
SCHEMA: dict[str, Any] = {
    "model_id": EDIT,
    "input_schema": {
        "type": "object",
        "properties": {
            "prompt": {"type": "string"},
            "image_url": {"type": "string", "format": "image_uri"},
        },
        "required": ["prompt", "image_url"],
    },
}


def test_a_run_with_local_files(s3: S3, place: str, tmp_path: Path) -> None:
    """The API gets a signed address of its own each time; nothing that is kept has one."""
    (tmp_path / "model.json").write_text(json.dumps(SCHEMA))
    (tmp_path / "a.png").write_bytes(png())
    manifest = tmp_path / "m.yaml"
    manifest.write_text(
        f"model: {EDIT}\nschema: model.json\nprompts:\n"
        "  - {id: one, prompt: brighter, image_url: a.png}\n"
        "  - {id: two, prompt: darker, image_url: ./a.png}\n"
    )
    entry = ModelEntry(model_id=EDIT, input_schema=SCHEMA["input_schema"])
    config = SandboxConfig(duration_min_s=0.05, duration_max_s=0.1, models=(entry,))
    words = ("run", manifest, "--model", EDIT, "--log-file", tmp_path / "log", "--log-json")
    with live_sandbox(config) as sandbox:
        refused = batchgen(*words, sandbox=sandbox)
        assert refused.code == 65
        assert "say where to upload it: --assets s3://BUCKET/PREFIX" in refused.err
        done = batchgen(*words, "--assets", place, sandbox=sandbox, **s3.environment())
        assert done.code == 0, done
        again = batchgen(*words, sandbox=sandbox)  # run.json remembers the place
        sent = [one.input for one in sandbox.audit.requests]
    assert (again.code, len(sent)) == (0, 2)
    for values in sent:
        assert isinstance(values, dict)
        with urllib.request.urlopen(str(values["image_url"])) as answer:
            assert answer.read() == (tmp_path / "a.png").read_bytes()
    lines = (tmp_path / "m.run" / "ledger.jsonl").read_text().splitlines()
    digest = hashlib.sha256((tmp_path / "a.png").read_bytes()).hexdigest()
    inputs = [json.loads(line)["input"]["image_url"] for line in lines if '"input"' in line]
    assert {"file": "a.png", "sha256": digest} in inputs
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".png"]
    assert not [path for path in kept if b"Signature" in path.read_bytes()]
    assert "Signature" not in done.err + done.out


def test_a_store_that_is_not_there_ends_a_run_before_it_submits(
    tmp_path: Path, s3: S3, place: str
) -> None:
    (tmp_path / "model.json").write_text(json.dumps(SCHEMA))
    (tmp_path / "a.png").write_bytes(png())
    manifest = tmp_path / "m.yaml"
    manifest.write_text(
        f"model: {EDIT}\nschema: model.json\n"
        "prompts: [{id: one, prompt: brighter, image_url: a.png}]\n"
    )
    secrets = s3.environment(secret="wrong")
    with live_sandbox() as sandbox:
        done = batchgen(
            "run", manifest, "--model", EDIT, "--assets", place, sandbox=sandbox, **secrets
        )
        assert done.code == 74, done
        assert "access denied" in done.err
        assert sandbox.audit.requests == []
