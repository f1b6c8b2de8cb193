"""The file route: real files, ranges, no token."""

from __future__ import annotations

import io
import wave

import pytest

from batchgen.core.model_entry import ModelEntry

from .conftest import Client, Start
from .png import decode


async def made(client: Client, body: object) -> list[str]:
    """The output addresses of a finished job."""
    request_id = await client.submit(body)
    client.clock.now += 1
    (value,) = (await client.result(request_id)).json["output"].values()
    return [value] if isinstance(value, str) else value


async def test_pictures_decode_in_the_asked_shape(start: Start) -> None:
    """A file is a whole PNG with length, type and ETag, in the ratio of the input."""
    client = await start()
    (url,) = await made(client, {"prompt": "a fox", "width×height": "3024x1296(21:9)"})
    got = await client.file(url)
    assert got.status == 200
    assert got.headers["Content-Type"] == "image/png"
    assert int(got.headers["Content-Length"]) == len(got.body)
    assert got.headers["ETag"]
    picture = decode(got.body)
    assert picture.width / picture.height == pytest.approx(21 / 9, rel=0.02)
    assert (await client.file(url)).body == got.body
    assert (await client.call("HEAD", url, token=None)).headers["Content-Length"] == str(
        len(got.body)
    )


async def test_every_output_is_another_picture(start: Start) -> None:
    """Other prompts, other places in one job and other attempts give other pictures."""
    client = await start(images=4)
    urls = [url for prompt in ("a", "b", "a") for url in await made(client, prompt)]
    assert len({(await client.file(url)).body for url in urls}) == 12


async def test_audio_is_a_real_wav(start: Start) -> None:
    """A sound file opens and is silent."""
    client = await start(models=(ModelEntry(model_id="a/text-to-audio"),))
    request_id = await client.submit({"tags": "x"}, model="a/text-to-audio")
    client.clock.now += 1
    url = (await client.result(request_id)).json["output"]["audio"]
    with wave.open(io.BytesIO((await client.file(url)).body)) as sound:
        assert set(sound.readframes(sound.getnframes())) == {0x80}
        assert sound.getnframes() == sound.getframerate()


async def test_ranges_put_together_give_the_file(start: Start) -> None:
    """206 with the asked bytes and Content-Range; open-ended, suffix and single-byte ranges too."""
    client = await start()
    (url,) = await made(client, "a fox")
    whole = (await client.file(url)).body
    size = len(whole)
    for asked, part in (
        ("bytes=0-99", whole[:100]), ("bytes=100-", whole[100:]), ("bytes=-7", whole[-7:]),
        ("bytes=5-5", whole[5:6]), (f"bytes=9-{size * 2}", whole[9:]),
        (f"bytes=-{size * 2}", whole),
    ):  # fmt: skip
        got = await client.file(url, headers={"Range": asked})
        assert (got.status, got.body) == (206, part), asked
        begin = whole.index(part) if len(part) > 1 else 5
        span = f"bytes {begin}-{begin + len(part) - 1}/{size}"
        assert got.headers["Content-Range"] == span
    for asked in (f"bytes={size}-", "bytes=-0", "bytes=9-3"):
        got = await client.file(url, headers={"Range": asked})
        assert (got.status, got.headers["Content-Range"]) == (416, f"bytes */{size}")
    for asked in ("bytes=-", "lines=1-2", "bytes=0-1,5-9"):
        assert (await client.file(url, headers={"Range": asked})).status == 200


async def test_if_range_guards_against_another_file(start: Start) -> None:
    """With the right ETag the range is served, with another one the whole file."""
    client = await start()
    (url,) = await made(client, "a fox")
    etag = (await client.file(url)).headers["ETag"]
    same = {"Range": "bytes=5-", "If-Range": etag}
    other = {"Range": "bytes=5-", "If-Range": '"other"'}
    assert (await client.file(url, headers=same)).status == 206
    assert (await client.file(url, headers=other)).status == 200


async def test_files_of_nothing_are_404(start: Start) -> None:
    """Unfinished, cancelled and unknown jobs have no files, nor have names that no output has."""
    client = await start(capacity=1)
    running, waiting = await client.submit("a"), await client.submit("b")
    await client.cancel(waiting)
    base = f"{client.sandbox.origin}/files"
    assert (await client.file(f"{base}/{running}/1.png")).status == 404
    client.clock.now += 1
    assert (await client.file(f"{base}/{running}/1.png")).status == 200
    for path in (f"{waiting}/1.png", "unknown/1.png", f"{running}/0.png", f"{running}/2.png",
                 f"{running}/1.wav", f"{running}/x.png", f"{running}/²"):  # fmt: skip
        assert (await client.file(f"{base}/{path}")).status == 404, path
    assert (await client.call("POST", f"{base}/{running}/1.png", token=None)).status == 405


async def test_a_token_on_a_file_is_noticed(start: Start) -> None:
    """The route neither needs nor minds a token, but the audit counts each one that it got."""
    client = await start()
    (url,) = await made(client, "a fox")
    await client.file(url)
    assert client.sandbox.audit.tokens_on_files == 0
    assert (await client.call("GET", url)).status == 200
    assert client.sandbox.audit.tokens_on_files == 1
