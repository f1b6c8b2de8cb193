"""Checks of the bytes, on real files; what cannot be decoded stops nothing and has no finding."""

from __future__ import annotations

import hashlib
import struct
import wave
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from batchgen.core.events import OutputFile
from batchgen.core.lifecycle import JobRecord, JobState
from batchgen.reports.inspection import Inspection
from batchgen.reports.media_facts import media_facts
from batchgen.reports.results_csv import ResultRow, result_cells
from batchgen.reports.thumbnails import Thumbnails
from batchgen.system.run_directory import RunDirectory


def row(run_dir: Path, job: str, name: str, **asked: object) -> ResultRow:
    """Return a job with that file."""
    sha256 = hashlib.sha256((run_dir / name).read_bytes()).hexdigest()
    files = (OutputFile(path=name, bytes=1, sha256=sha256),)
    record = JobRecord(ts="t", job=job, state=JobState.DOWNLOADED, files=files)
    return ResultRow(job=job, columns={}, record=record, given=asked)


def drawing(width: int, height: int, spot: int) -> Image.Image:
    """Return a picture that no two spots share."""
    picture = Image.new("RGB", (width, height), "navy")
    draw = ImageDraw.Draw(picture)
    for n in range(6):
        x, y = (spot * 37 + n * 53) % width, (spot * 71 + n * 29) % height
        draw.ellipse(
            (x, y, x + width // 3, y + height // 4), fill=(40 * n, 255 - 30 * n, spot % 255)
        )
    return picture


def checks(run_dir: Path, *rows: ResultRow) -> list[str]:
    """Return the cells of `checks`."""
    inspection = Inspection(Thumbnails(directory=RunDirectory(run_dir), size_px=60).measure)
    return [result_cells(inspection.checked(one))["checks"] for one in rows]


def test_pictures(tmp_path: Path) -> None:
    """Blank, another size, the same picture in another format; the second time from its notes."""
    drawing(400, 300, 1).save(tmp_path / "a.png")
    drawing(400, 300, 1).save(tmp_path / "b.jpg", quality=85)
    drawing(400, 300, 5).save(tmp_path / "c.png")
    Image.new("RGB", (64, 64), "teal").save(tmp_path / "d.jpg")
    (tmp_path / "e.png").write_bytes(b"\x89PNG\r\n\x1a\n not a picture")
    rows = [
        row(tmp_path, "a", "a.png", size="400x300"),
        row(tmp_path, "b", "b.jpg", size="800x600"),
        row(tmp_path, "c", "c.png"),
        row(tmp_path, "d", "d.jpg"),
        row(tmp_path, "e", "e.png", size="5x5"),
    ]
    said = ["", "size 400x300, asked 800x600\nsame picture as a", "", "blank", ""]

    assert checks(tmp_path, *rows) == said
    for file in tmp_path.glob("*.*g"):
        file.unlink()
    assert checks(tmp_path, *rows) == said


def test_sounds(tmp_path: Path) -> None:
    """Silent if every sample is zero, and shorter than asked."""
    for name, frames in (("quiet.wav", bytes(16_000)), ("loud.wav", b"\1\2" * 8_000)):
        with wave.open(str(tmp_path / name), "wb") as sound:
            sound.setparams((1, 2, 8_000, 0, "NONE", ""))
            sound.writeframes(frames)

    rows = [row(tmp_path, "q", "quiet.wav", duration=1), row(tmp_path, "l", "loud.wav", duration=9)]
    assert checks(tmp_path, *rows) == ["silent", "shorter than asked"]


def box(kind: bytes, *parts: bytes) -> bytes:
    """Return a box of an MP4."""
    data = b"".join(parts)
    return struct.pack(">I4s", 8 + len(data), kind) + data


def movie(seconds: int, *tracks: bytes) -> bytes:
    """Return the skeleton of an MP4."""
    header = box(b"mvhd", bytes(12), struct.pack(">II", 1000, seconds * 1000), bytes(80))
    of = [box(b"trak", box(b"mdia", box(b"hdlr", bytes(8), kind, bytes(12)))) for kind in tracks]
    return box(b"ftyp", b"isom" + bytes(4)) + box(b"free", bytes(9)) + box(b"moov", header, *of)


def test_clips(tmp_path: Path) -> None:
    """The length, and whether a clip has sound that was asked for."""
    (tmp_path / "a.mp4").write_bytes(movie(2, b"vide"))
    (tmp_path / "b.mp4").write_bytes(movie(5, b"vide", b"soun"))

    rows = [
        row(tmp_path, "a", "a.mp4", duration=5, generate_audio=True),
        row(tmp_path, "b", "b.mp4", duration=5, generate_audio=True),
    ]
    assert checks(tmp_path, *rows) == ["silent\nshorter than asked", ""]


@given(st.binary(max_size=80), st.integers(0, 200), st.sampled_from([b"ftyp", b"RIFF"]))
def test_no_file_is_too_odd(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, cut: int, kind: bytes
) -> None:
    """Cut and overwritten containers have facts or none, and nothing is raised."""
    path = tmp_path_factory.mktemp("odd") / "x.mp4"
    whole = movie(5, b"vide") if kind == b"ftyp" else b"RIFF\xff\xff\xff\xffWAVEfmt " + bytes(40)
    path.write_bytes(whole[:cut] + noise + whole[cut + len(noise) :])

    media_facts(path)
