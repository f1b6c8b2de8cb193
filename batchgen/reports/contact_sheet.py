"""The contact sheet: one picture of a whole batch, small enough to send."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from math import ceil, sqrt
from pathlib import Path
from typing import TYPE_CHECKING

from batchgen.core.errors import LocalIOError
from batchgen.reports.thumbnails import thumbnail
from batchgen.system.files import replacing

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

MAX_BYTES = 1_000_000
MAX_PICTURES = 400
"""Each would be a speck if there were more; the sheet says how many are left out."""
WIDTH_PX = 2_000
MAX_COLUMNS = 20
_GAP_PX, _LINE_PX, _TEXT_PX = 8, 22, 15
_PAPER, _INK, _FAINT = (250, 250, 248), (30, 30, 30), (120, 120, 120)
_QUALITIES = (88, 75, 60, 45)
_ZOOM = 0.8
"""The factor by which a sheet is made smaller while no quality makes it small enough."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The places of the pictures."""

    columns: int
    cell_px: int
    """Side of the square that holds a picture."""

    @classmethod
    def of(cls, count: int) -> Grid:
        """Return a grid for so many pictures: as large as possible, not much higher than wide."""
        columns = min(MAX_COLUMNS, max(2, ceil(sqrt(max(count, 1) * 1.4))))
        return cls(columns, (WIDTH_PX - _GAP_PX) // columns - _GAP_PX)

    def place(self, index: int) -> tuple[int, int]:
        """Return the upper left corner of a cell, in pixels."""
        row, column = divmod(index, self.columns)
        step = self.cell_px + _GAP_PX
        return _GAP_PX + column * step, 3 * _LINE_PX + row * (step + _LINE_PX)

    def height_px(self, count: int) -> int:
        """Return the height of a sheet with so many pictures."""
        return self.place(max(count - 1, 0))[1] + self.cell_px + _LINE_PX + _GAP_PX


def write_contact_sheet(
    path: Path, pictures: Sequence[tuple[str, Path]], *, title: str, facts: str
) -> int:
    """Write a JPEG with these pictures, each under the name of its job; return how many are on it.

    What cannot be decoded is left out. Raises `LocalIOError`.
    """
    shown = pictures[:MAX_PICTURES]
    grid = Grid.of(len(shown))
    made = [(job, thumbnail(picture, grid.cell_px)) for job, picture in shown]
    decoded = [(job, data) for job, data in made if data is not None]
    left_out = len(pictures) - len(shown)
    more = f"; {left_out:,} more are not shown" if left_out else ""
    data = _encoded(_drawn(grid, decoded, title=title, facts=facts + more))
    try:
        with replacing(path) as file:
            file.write(data)
    except OSError as error:
        raise LocalIOError(f"{path}: {error.strerror}") from error
    return len(decoded)


def _drawn(grid: Grid, pictures: Sequence[tuple[str, bytes]], *, title: str, facts: str) -> Image:
    from PIL import Image, ImageDraw  # takes long to load

    sheet = Image.new("RGB", (WIDTH_PX, grid.height_px(len(pictures))), _PAPER)
    draw = ImageDraw.Draw(sheet)
    _write(draw, (_GAP_PX, _LINE_PX // 2), title, WIDTH_PX, _INK)
    _write(draw, (_GAP_PX, _LINE_PX // 2 + _LINE_PX), facts, WIDTH_PX, _FAINT)
    for index, (job, data) in enumerate(pictures):
        left, top = grid.place(index)
        with Image.open(BytesIO(data)) as small:
            zoom = grid.cell_px / max(small.size)  # a picture may be smaller than its cell
            picture = small.resize(
                (round(small.width * zoom) or 1, round(small.height * zoom) or 1)
            )
        inset = (grid.cell_px - picture.width) // 2, grid.cell_px - picture.height
        sheet.paste(picture, (left + inset[0], top + inset[1]))
        _write(draw, (left, top + grid.cell_px + 3), job, grid.cell_px, _INK)
    return sheet


def _write(
    draw: ImageDraw, place: tuple[int, int], text: str, width_px: int, colour: tuple[int, int, int]
) -> None:
    """Write one line of text that is not wider than this."""
    from PIL import ImageFont

    font = ImageFont.load_default(_TEXT_PX)
    line = "".join(char if char.isprintable() else " " for char in text[:200])
    while line and draw.textlength(line, font=font) > width_px:
        line = line[:-2] + "…" if len(line) > 2 else ""
    draw.text(place, line, fill=colour, font=font)


def _encoded(sheet: Image) -> bytes:
    """Return the sheet as a JPEG of at most `MAX_BYTES`."""
    while True:
        for quality in _QUALITIES:
            data = BytesIO()
            sheet.save(data, "JPEG", quality=quality, optimize=True)
            if data.tell() <= MAX_BYTES:
                return data.getvalue()
        sheet = sheet.resize((round(sheet.width * _ZOOM), round(sheet.height * _ZOOM)))
