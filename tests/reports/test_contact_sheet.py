"""The contact sheet: one picture of a batch, small enough to send."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from PIL import Image

from batchgen.reports import contact_sheet
from batchgen.reports.contact_sheet import MAX_BYTES, Grid, write_contact_sheet
from batchgen.sandbox import SandboxConfig
from tests.kit import MODEL
from tests.kit.live import batchgen, live_sandbox, write_csv

HOSTILE = ("x" * 500, "\x1b]0;title\x07", "\u202eevil", "", "\U0001f600 \u4e2d\u6587", "a\nb")


def noisy(path: Path, side_px: int) -> Path:
    """Write a picture that compresses badly."""
    data = random.Random(7).randbytes(3 * side_px * side_px)
    Image.frombytes("RGB", (side_px, side_px), data).save(path)
    return path


@pytest.mark.parametrize("count", [0, 1, 7, 60])
def test_a_sheet_has_every_picture_and_fits_into_a_mail(count: int, tmp_path: Path) -> None:
    """Whatever is in the pictures: the quality goes down before the size does."""
    picture = noisy(tmp_path / "a.png", 300)
    sheet = tmp_path / "sheet.jpg"

    shown = write_contact_sheet(
        sheet, [(f"job-{n}", picture) for n in range(count)], title="batch", facts="facts"
    )

    assert shown == count
    assert sheet.stat().st_size <= MAX_BYTES
    with Image.open(sheet) as opened:
        assert opened.format == "JPEG"
        opened.load()


def test_what_cannot_be_decoded_is_left_out(tmp_path: Path) -> None:
    """And names of jobs may be anything."""
    good, bad = noisy(tmp_path / "a.png", 20), tmp_path / "b.png"
    bad.write_bytes(b"not a picture")
    pictures = [*((name, good) for name in HOSTILE), ("bad", bad)]

    shown = write_contact_sheet(tmp_path / "s.jpg", pictures, title="\x1b[31m", facts="x" * 9_999)

    assert shown == len(HOSTILE)


def test_a_sheet_of_too_many_says_how_many_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures have a least size."""
    monkeypatch.setattr(contact_sheet, "MAX_PICTURES", 3)
    picture = noisy(tmp_path / "a.png", 20)

    shown = write_contact_sheet(
        tmp_path / "s.jpg", [(str(n), picture) for n in range(5)], title="", facts=""
    )

    assert shown == 3


@pytest.mark.parametrize("count", [1, 2, 5, 42, 400])
def test_no_two_pictures_share_a_place(count: int) -> None:
    """And all are on the sheet."""
    grid = Grid.of(count)
    places = [grid.place(index) for index in range(count)]

    assert len(set(places)) == count
    assert max(left for left, _ in places) + grid.cell_px <= contact_sheet.WIDTH_PX
    assert max(top for _, top in places) + grid.cell_px <= grid.height_px(count)


def test_the_command_writes_a_sheet_and_replaces_no_output(tmp_path: Path) -> None:
    """A name that is not that of a JPEG is an error (64), and so is an output of the batch."""
    manifest = write_csv(tmp_path / "m.csv", ["a,one", "b,two"])
    with live_sandbox(SandboxConfig(queue_max_s=0.0, queue_min_s=0.0)) as sandbox:
        assert batchgen("run", manifest, "--model", MODEL, sandbox=sandbox).code == 0
    output = next((tmp_path / "m.run" / "outputs").glob("a-1.*"))
    as_jpeg = output.with_suffix(".jpg")

    done = batchgen("report", manifest, "--contact-sheet", tmp_path / "sheet.jpg")
    wrong = batchgen("report", manifest, "--contact-sheet", tmp_path / "sheet.png")
    (tmp_path / "link.jpg").symlink_to(output)
    own = batchgen("report", manifest, "--contact-sheet", tmp_path / "link.jpg")

    assert (done.code, wrong.code, own.code) == (0, 64, 64), done.err + wrong.err + own.err
    assert "2 pictures" in done.err
    assert (tmp_path / "sheet.jpg").is_file()
    assert not as_jpeg.exists()
