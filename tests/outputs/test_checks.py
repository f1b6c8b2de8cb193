"""Checks of received files: no impostor is saved, nothing merely odd is refused."""

from __future__ import annotations

import io
import json
import struct
import time
import wave
import zipfile
from email.utils import formatdate
from pathlib import Path

import pytest
from aiohttp import web

from batchgen.outputs.completeness import is_cut_short
from batchgen.outputs.file_type import impostor
from batchgen.ports import FilesSaved, SaveLater
from tests.outputs.host import PNG, Host, server, store, whole

MEDIA = "https://files.runcomfy.net/1.png"
BARE = "https://files.runcomfy.net/1"


@pytest.mark.parametrize(
    ("start", "content_type", "url"),
    [
        (b"<!DOCTYPE html><p>sorry</p>", "image/png", MEDIA),
        (b"  \n<html lang=en>", "application/octet-stream", BARE),
        (b'{"error_code": 404001, "error_message": "gone"}', "application/json", BARE),
        (b'{"message": "Forbidden"}', "application/octet-stream", BARE),
        (b'{"detail": [{"msg": "no"}], "code": 1}', "", BARE),
        (b"<?xml version='1.0'?>\n<Error><Code>AccessDenied</Code></Error>", "", BARE),
        (b"upstream request timeout", "image/png", BARE),
        (b"upstream request timeout", "application/octet-stream", MEDIA),
        ("nicht gefunden, für immer".encode(), "text/plain", MEDIA + "?sig=a.txt"),
        (b'{"a": 1}', "application/json", "https://x/film.mp4"),
    ],
)
def test_what_is_sent_instead_of_the_file_is_recognised(
    start: bytes, content_type: str, url: str
) -> None:
    """Pages, error bodies, and text although a picture, film or sound was promised."""
    assert impostor(start, content_type, url)


@pytest.mark.parametrize(
    ("start", "content_type", "url"),
    [
        (PNG[:1024], "text/html", MEDIA),
        (PNG[:1024], "application/json", "https://x/1.json"),
        (b"\0\0\0\x18ftypisom", "image/png", MEDIA),
        (b"\x00\x01\x02 something new", "image/png", MEDIA),
        (bytes(1024), "application/octet-stream", MEDIA),
        (b'{"caption": "a fox", "message": "hi"}', "application/json", BARE),
        (b'{"message": "a caption"}', "application/json", "https://x/1.json"),
        (b"Once upon a time", "text/plain", BARE),
        (b"Once upon a time", "application/octet-stream", "https://x/story.txt"),
        (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "image/svg+xml", BARE),
        (b"WEBVTT\n\n00:01.000", "text/vtt", "https://x/1.vtt"),
    ],
)
def test_no_false_alarms(start: bytes, content_type: str, url: str) -> None:
    """Bytes of a known format whatever they are called, formats yet unknown, text as an output."""
    assert impostor(start, content_type, url) is None


def jpeg(picture: bytes = bytes(range(200)) * 50) -> bytes:
    """Markers as in a real one, with a picture that holds no end."""
    return b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(10) + b"\xff\xda\x00\x02" + picture + b"\xff\xd9"


def wav() -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(1)
        sound.setframerate(8000)
        sound.writeframes(b"\x80" * 8000)
    return buffer.getvalue()


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + kind + body


def mp4(*, index_first: bool = True) -> bytes:
    index, content = box(b"moov", bytes(500)), box(b"mdat", bytes(9000))
    parts = (index, content) if index_first else (content, index)
    return box(b"ftyp", b"isom\0\0\0\0isom") + b"".join(parts)


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.txt", "x" * 1000)
    return buffer.getvalue()


GLB = b"glTF" + struct.pack("<II", 2, 5012) + bytes(5000)
WEBP = b"RIFF" + struct.pack("<I", 5000) + b"WEBPVP8 " + bytes(4992)
WHOLE = {
    "png": PNG, "jpg": jpeg(), "wav": wav(), "webp": WEBP, "mp4": mp4(), "glb": GLB,
    "mp4-index-last": mp4(index_first=False), "zip": zipped(),
}  # fmt: skip


@pytest.mark.parametrize("kind", WHOLE)
def test_whole_files_pass(kind: str) -> None:
    """Also with something appended, as cameras and signers do."""
    for data in (WHOLE[kind], WHOLE[kind] + b"\0" * 64):
        assert not is_cut_short(io.BytesIO(data), len(data))


@pytest.mark.parametrize("share", [0.5, 0.9])
@pytest.mark.parametrize("kind", WHOLE)
def test_halves_are_recognised(kind: str, share: float) -> None:
    """A format that says where it ends shows that its end is missing."""
    data = WHOLE[kind][: int(len(WHOLE[kind]) * share)]
    assert is_cut_short(io.BytesIO(data), len(data))


@pytest.mark.parametrize(
    "data",
    [
        b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
        b"\xff\xd8\xff" + b"x" * 5000,
        b"RIFF\xff\xff\xff\xffWAVEfmt " + bytes(100),
        b"RIFF\x20\x20\x20\x20WEBP" + b"x" * 100,
        b"\0\0\0\x18ftypisom" + bytes(5000),
        b"PK\x03\x04" + bytes(5000),
        b"\x1aE\xdf\xa3" + bytes(100),
    ],
)
def test_what_cannot_be_followed_is_believed(data: bytes) -> None:
    """No guess refuses a file that was paid for."""
    assert not is_cut_short(io.BytesIO(data), len(data))


async def test_half_a_file_called_whole_is_no_success(tmp_path: Path) -> None:
    """Not under a final name, and not resumed: fetched from its beginning again."""
    host = Host(body=PNG[: len(PNG) // 2])
    async with server(host) as origin, store(tmp_path) as outputs:
        half = await outputs.save("fox", (f"{origin}/a.png",))
        host.body = PNG
        good = await outputs.save("fox", (f"{origin}/a.png",))

    assert isinstance(half, SaveLater)
    assert "the file is truncated" in half.error.message
    assert half.received_bytes == 0
    assert isinstance(good, FilesSaved)
    assert host.asked[1] == (None, None)


async def test_a_chunked_answer_that_breaks_off_is_no_success(tmp_path: Path) -> None:
    """Nothing announced a length; the last chunk is missing. Then it is resumed from there."""
    host = Host(body=bytes(200_000), chunked=True, breaks=[90_000])
    async with server(host) as origin, store(tmp_path) as outputs:
        first = await outputs.save("fox", (f"{origin}/a",))
        assert isinstance(first, SaveLater)
        assert whole(tmp_path) == []
        second = await outputs.save("fox", (f"{origin}/a",))

    assert isinstance(second, FilesSaved)
    assert second.files[0].bytes == 200_000
    assert host.asked[1][0] == f"bytes={first.received_bytes}-"


async def test_json_in_place_of_a_picture_is_no_success(tmp_path: Path) -> None:
    """An error that comes with 200, the right length and the type of a picture."""
    host = Host(body=json.dumps({"error_code": 500001, "error_message": "sorry"}).encode())
    async with server(host) as origin, store(tmp_path) as outputs:
        answer = await outputs.save("fox", (f"{origin}/a.png",))

    assert isinstance(answer, SaveLater)
    assert "the server sent an error message instead of the file" in answer.error.message
    assert whole(tmp_path) == []


async def test_a_trickle_counts_as_a_stall(tmp_path: Path) -> None:
    """Bytes that arrive so slowly are no progress: the runner counts the try as failed."""
    host = Host(body=bytes(200_000), breaks=[3_000], pause_s=2)
    async with server(host) as origin, store(tmp_path, stall_s=0.3) as outputs:
        answer = await outputs.save("fox", (f"{origin}/a",))

    assert isinstance(answer, SaveLater)
    assert "stalled" in answer.error.message
    assert answer.received_bytes == 0
    assert (tmp_path / "outputs/fox-1.part").stat().st_size == 1_500


async def test_a_slow_download_that_moves_is_left_alone(tmp_path: Path) -> None:
    """The watchdog is fed by progress; there is no limit for the whole."""
    host = Host(body=bytes(400_000), breaks=[200_000], pause_s=0.4)
    async with server(host) as origin, store(tmp_path, stall_s=0.6) as outputs:
        answer = await outputs.save("fox", (f"{origin}/a",))

    assert isinstance(answer, SaveLater)
    assert "stalled" not in answer.error.message
    assert answer.received_bytes == 200_000


@pytest.mark.parametrize("status", [429, 503])
async def test_a_busy_host_says_when_to_come_back(tmp_path: Path, status: int) -> None:
    """Retry-After is passed on, in seconds or as a date."""
    asks_for = ["7", formatdate(time.time() + 600, usegmt=True)]

    async def busy(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers={"Retry-After": asks_for.pop(0)})

    async with server(busy) as origin, store(tmp_path) as outputs:
        in_seconds = await outputs.save("fox", (f"{origin}/a.png",))
        by_date = await outputs.save("fox", (f"{origin}/a.png",))

    assert isinstance(in_seconds, SaveLater)
    assert in_seconds.retry_after_s == 7
    assert isinstance(by_date, SaveLater)
    assert by_date.retry_after_s is not None
    assert 500 < by_date.retry_after_s <= 600
