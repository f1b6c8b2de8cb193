"""Outputs in an object store: the promises of a directory, against a real S3 server."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import obstore
import pytest

from batchgen.core.errors import LocalIOError
from batchgen.core.events import OutputFile
from batchgen.outputs.bucket import Bucket
from batchgen.outputs.output_dir import fault_of_output_dir
from batchgen.ports import FilesSaved, SaveLater
from batchgen.sandbox import SandboxConfig
from tests.kit import MODEL
from tests.kit.live import accepted, batchgen, live_sandbox
from tests.outputs.host import PNG, Host, png, server, store
from tests.outputs.seaweed import BUCKET, S3, SECRET, client, s3_server

slow = pytest.mark.slow


@pytest.fixture
def place(tmp_path: Path) -> str:
    """A prefix of its own."""
    return f"s3://{BUCKET}/{tmp_path.name}/deep er"


def bucket(run_dir: Path, place: str, **more: Any) -> Any:
    """A store that keeps files there."""
    return store(run_dir, destination=Bucket(url=place, parts=run_dir / "downloads"), **more)


def listed(s3: S3, place: str) -> dict[str, int]:
    """Names below a place, with their sizes."""
    prefix = place.removeprefix(f"s3://{BUCKET}/")
    found = obstore.list(client(s3), prefix).collect()
    return {one["path"].removeprefix(prefix + "/"): one["size"] for one in found}


def removed(s3: S3, place: str, name: str) -> None:
    """As somebody with the bucket's console might."""
    obstore.delete(client(s3), f"{place.removeprefix(f's3://{BUCKET}/')}/{name}")


def content(s3: S3, place: str, name: str) -> bytes:
    prefix = place.removeprefix(f"s3://{BUCKET}/")
    return bytes(obstore.get(client(s3), f"{prefix}/{name}").bytes())


@slow
async def test_a_file_is_put_whole_with_its_type_and_digest(
    tmp_path: Path, s3: S3, place: str
) -> None:
    """The ledger's path is the whole URL; nothing stays on this machine."""
    async with server(Host()) as origin, bucket(tmp_path, place) as outputs:
        answer = await outputs.save("für", (f"{origin}/a.png",))
        outputs.settled("für")

    assert isinstance(answer, FilesSaved)
    assert answer.files[0].path == f"{place}/für-1.png"
    assert content(s3, place, "für-1.png") == PNG
    found = obstore.get(client(s3), f"{tmp_path.name}/deep er/für-1.png")
    assert found.attributes["Content-Type"] == "image/png"
    assert found.attributes["sha256"] == answer.files[0].sha256
    assert [path.name for path in tmp_path.iterdir() if path.name != "home"] == []


@slow
async def test_a_large_file_goes_in_pieces_and_comes_out_the_same(
    tmp_path: Path, s3: S3, place: str
) -> None:
    """Over the size of one request; the last piece is a short one."""
    body = random.Random(1).randbytes((20 << 20) + 7)
    host = Host(body=b"\0" + body, content_type="application/x-film")
    async with server(host) as origin, bucket(tmp_path, place) as outputs:
        answer = await outputs.save("film", (f"{origin}/a",))

    assert isinstance(answer, FilesSaved)
    assert content(s3, place, "film-1.bin") == b"\0" + body
    found = obstore.get(client(s3), f"{tmp_path.name}/deep er/film-1.bin")
    assert found.attributes["Content-Type"] == "application/x-film"


@slow
async def test_no_existing_file_is_overwritten(tmp_path: Path, s3: S3, place: str) -> None:
    """Small or large: a file of another content keeps its name, the new one gets the next."""
    prefix = place.removeprefix(f"s3://{BUCKET}/")
    for size in (1000, 9 << 20):
        precious = client(s3)
        obstore.put(precious, f"{prefix}/j{size}-1.bin", b"precious")
        host = Host(body=bytes(size), content_type="application/octet-stream")
        async with server(host) as origin, bucket(tmp_path, place) as outputs:
            answer = await outputs.save(f"j{size}", (f"{origin}/a",))
            outputs.settled(f"j{size}")

        assert isinstance(answer, FilesSaved)
        assert answer.files[0].path == f"{place}/j{size}-1~2.bin"
        assert content(s3, place, f"j{size}-1.bin") == b"precious"


@slow
async def test_the_file_of_a_quicker_program_is_not_overwritten(
    tmp_path: Path, s3: S3, place: str
) -> None:
    """Asking before the put is not enough: the store itself is asked to create, not replace."""
    part = tmp_path / "a.part"
    part.write_bytes(PNG)
    keep = Bucket(url=place, parts=tmp_path)
    keep.prepare()
    file = OutputFile(path=f"{place}/a.png", bytes=len(PNG), sha256="0" * 64)

    assert keep._upload("a.png", part, file, "image/png")
    assert not keep._upload("a.png", part, file, "image/png")


@slow
async def test_a_file_that_a_crash_left_unrecorded_is_neither_fetched_nor_put_again(
    tmp_path: Path, s3: S3, place: str
) -> None:
    """Its size and the digest in its metadata prove it."""
    host = Host()
    async with server(host) as origin:
        for _ in range(2):
            async with bucket(tmp_path, place) as outputs:
                answer = await outputs.save("fox", (f"{origin}/a.png",))
                assert isinstance(answer, FilesSaved)

    assert len(host.asked) == 1
    assert listed(s3, place) == {"fox-1.png": len(PNG)}


@slow
async def test_an_interrupted_download_goes_on_in_the_next_process(
    tmp_path: Path, s3: S3, place: str
) -> None:
    """Received on this machine with Range and If-Range, as for a directory; put once whole."""
    host = Host(breaks=[60_000])
    async with server(host) as origin:
        async with bucket(tmp_path, place) as outputs:
            assert isinstance(await outputs.save("fox", (f"{origin}/a.png",)), SaveLater)
        assert listed(s3, place) == {}
        async with bucket(tmp_path, place) as outputs:
            assert isinstance(await outputs.save("fox", (f"{origin}/a.png",)), FilesSaved)

    assert host.asked[1] == ("bytes=60000-", '"1"')
    assert content(s3, place, "fox-1.png") == PNG


@slow
async def test_what_is_not_an_output_is_never_put(tmp_path: Path, s3: S3, place: str) -> None:
    """Checked before, as for a directory."""
    host = Host(body=png()[:5000])
    async with server(host) as origin, bucket(tmp_path, place) as outputs:
        assert isinstance(await outputs.save("fox", (f"{origin}/a.png",)), SaveLater)

    assert listed(s3, place) == {}


@slow
async def test_a_store_that_goes_away_loses_nothing(tmp_path: Path, place: str) -> None:
    """It dies between the download and the put: the file waits here whole, and is put by the next
    run without being fetched again."""
    host = Host()
    (tmp_path / "s3").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        with s3_server(tmp_path / "s3") as short_lived:
            for name, value in short_lived.environment().items():
                patch.setenv(name, value)
            outputs = bucket(tmp_path, place)
            await outputs.__aenter__()
        async with server(host) as origin:
            answer = await outputs.save("fox", (f"{origin}/a.png",))
            await outputs.__aexit__(None, None, None)
            assert isinstance(answer, SaveLater)
            assert not answer.hopeless
            with s3_server(tmp_path / "s3") as again:
                patch.setenv("AWS_ENDPOINT", again.endpoint)
                async with bucket(tmp_path, place) as outputs:
                    second = await outputs.save("fox", (f"{origin}/a.png",))
                assert isinstance(second, FilesSaved)
                assert len(host.asked) == 1
                assert content(again, place, "fox-1.png") == PNG


@slow
@pytest.mark.parametrize(
    ("place", "secret", "says"),
    [
        (f"s3://{BUCKET}/x", "wrong", "access denied"),
        ("s3://no-such-bucket/x", SECRET, "no such bucket"),
    ],
)
async def test_a_store_that_refuses_is_reported_at_the_start(
    tmp_path: Path, running: S3, place: str, secret: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the place and what to check, and no part of a key in the message."""
    for name, value in running.environment(secret).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(LocalIOError, match=says) as caught:
        async with bucket(tmp_path, place):
            pass

    assert place in str(caught.value)
    assert "AKTEST" not in str(caught.value)


@slow
async def test_a_store_that_refuses_later_stops_the_run(
    tmp_path: Path, s3: S3, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a full disk does: every further file would be refused too. This one waits here."""
    host = Host()
    async with server(host) as origin, bucket(tmp_path, place) as outputs:
        patient = outputs.destination._store
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        outputs.destination._connect()
        with pytest.raises(LocalIOError, match="access denied"):
            await outputs.save("fox", (f"{origin}/a.png",))
        outputs.destination._store = patient
        assert isinstance(await outputs.save("fox", (f"{origin}/a.png",)), FilesSaved)

    assert len(host.asked) == 1


@slow
def test_a_store_that_does_not_answer_stops_the_run_before_anything_is_submitted(
    tmp_path: Path,
) -> None:
    """Exit 74 while nothing has been paid for."""
    manifest = tmp_path / "a.yaml"
    manifest.write_text(f"model: {MODEL}\nprompts: [a]\noutput: {{dir: 's3://{BUCKET}/x'}}\n")
    nobody = S3("http://127.0.0.1:9").environment()
    with live_sandbox(SandboxConfig(duration_min_s=0, duration_max_s=0.1)) as sandbox:
        done = batchgen("run", manifest, sandbox=sandbox, **nobody)
        assert sandbox.audit.requests == []

    assert done.code == 74
    assert f"s3://{BUCKET}/x" in done.err


@slow
def test_a_run_into_a_bucket(tmp_path: Path, s3: S3, place: str) -> None:
    """From the manifest to the results, with sidecars; no credentials in anything it wrote."""
    manifest = tmp_path / "a.yaml"
    prompts = [{"id": f"j{n}", "prompt": f"a fox {n}"} for n in range(5)]
    output = {"dir": place, "sidecar": True}
    manifest.write_text(json.dumps({"model": MODEL, "prompts": prompts, "output": output}))
    with live_sandbox(SandboxConfig(duration_min_s=0, duration_max_s=0.1)) as sandbox:
        done = batchgen("run", manifest, sandbox=sandbox, **s3.environment())

    assert done.code == 0, done.err
    names = {f"j{n}-1.png{more}" for n in range(5) for more in ("", ".json")}
    assert set(listed(s3, place)) == names
    assert json.loads(content(s3, place, "j3-1.png.json"))["prompt"] == "a fox 3"
    assert not (tmp_path / "a.run/downloads").exists()
    for path in (tmp_path / "a.run").rglob("*"):
        assert path.is_dir() or SECRET.encode() not in path.read_bytes()
    assert f"{place}/j3-1.png" in (tmp_path / "a.run/results.csv").read_text()


@slow
def test_an_object_that_is_gone_is_found_and_fetched_again(
    tmp_path: Path, s3: S3, place: str
) -> None:
    """By `ledger verify --files` and `run --repair`, without another submission."""
    manifest = tmp_path / "a.yaml"
    prompts = [{"id": f"j{n}", "prompt": f"a fox {n}"} for n in range(3)]
    manifest.write_text(json.dumps({"model": MODEL, "prompts": prompts, "output": {"dir": place}}))
    with live_sandbox(SandboxConfig(duration_min_s=0, duration_max_s=0.1)) as sandbox:
        assert batchgen("run", manifest, sandbox=sandbox, **s3.environment()).code == 0
        removed(s3, place, "j1-1.png")
        verified = batchgen("ledger", "verify", manifest, "--files", **s3.environment())
        assert (verified.code, verified.out.count("(job ")) == (1, 1)
        assert f"{place}/j1-1.png: missing" in verified.out

        repaired = batchgen("run", manifest, "--repair", sandbox=sandbox, **s3.environment())
        assert repaired.code == 0, repaired.err
        assert set(accepted(sandbox).values()) == {1}

    assert set(listed(s3, place)) == {f"j{n}-1.png" for n in range(3)}
    assert batchgen("ledger", "verify", manifest, "--files", **s3.environment()).code == 0


@pytest.mark.parametrize(
    "url", ["s3://b/x", "gs://bucket", "az://account/container/x", "s3://bucket/a b/ü"]
)
def test_places_that_can_be_tried(url: str) -> None:
    """Bucket, with or without a prefix."""
    assert fault_of_output_dir(url) is None


@pytest.mark.parametrize("url", ["http://host/x", "s3:///x", "s3://b/x?region=y", "s3://k:s@b/x"])
def test_places_that_cannot_be_tried(url: str) -> None:
    """The reason is a sentence that repeats no credentials."""
    assert (fault_of_output_dir(url) or "").count("k:s") == 0
    assert fault_of_output_dir(url)


def test_a_prefix_leaves_less_room_for_names() -> None:
    """A key has 1,024 bytes in all."""
    short = Bucket(url="s3://b/x", parts=Path(os.devnull))
    long = Bucket(url="s3://b/" + "ü" * 450, parts=Path(os.devnull))

    assert short.max_name_bytes == 200
    assert long.max_name_bytes < 130
