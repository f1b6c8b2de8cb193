"""Thumbnails: a small picture of an output. What cannot be decoded has none, and stops nothing.

A picture of a few bytes may be one of billions of pixels, so its size is looked at before any of it
is decoded. Each is made once, in two sizes: WebP for the page, JPEG for the cells of the workbook.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, cast

from batchgen.core.events import OutputFile
from batchgen.core.output_checks import Measure
from batchgen.reports.measures_file import MeasuresFile
from batchgen.reports.media_facts import media_facts
from batchgen.reports.results_csv import ResultRow
from batchgen.system.files import replacing
from batchgen.system.run_directory import RunDirectory

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS = 80_000_000
"""Larger pictures are not decoded."""
PAGE_PX = 480
"""The longer side of a thumbnail on the page."""
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp"})

_MEDIA = frozenset({".mp4", ".mov", ".m4a", ".wav"})
_BLANK = 2
"""The shades between which a picture is of one colour: JPEG makes some noise."""

_DIGEST = re.compile("[0-9a-f]{64}")

_log = logging.getLogger(__name__)


def thumbnail(path: Path, size_px: int, format_: str = "JPEG") -> bytes | None:
    """Return a picture within a square of that size; None if it cannot be decoded."""
    made, _ = _inspected(path, ((size_px, format_),))
    return made[0] if made else None


def inspect_file(path: Path, size_px: int) -> tuple[Measure | None, tuple[bytes, ...]]:
    """Return what is measured of a file, None if nothing can be, and its thumbnails.

    They are the WebP of the page and the JPEG of the workbook, for `Thumbnails.keep`.
    """
    suffix = path.suffix.lower()
    if suffix in _ENDINGS:
        made, measure = _inspected(path, ((PAGE_PX, "WEBP"), (size_px, "JPEG")))
        return measure, tuple(made)
    return (media_facts(path) if suffix in _MEDIA else None), ()


def _inspected(path: Path, sizes: tuple[tuple[int, str], ...]) -> tuple[list[bytes], Measure]:
    """Return the picture in each size and format, the largest first, and what was measured."""
    try:
        decoded = _decoded(path, sizes[0][0])
        if decoded is None:
            return [], Measure()
        small, size = decoded
        measure = _measured(small, size)
        return [_encoded(small, *one) for one in sizes], measure
    except Exception as error:  # noqa: BLE001 - any file at all may be behind a picture's name
        _log.debug("no thumbnail of %s: %s", path, error)
        return [], Measure()


def _decoded(path: Path, size_px: int) -> tuple[Image.Image, tuple[int, int]] | None:
    from PIL import Image  # takes long to load

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(path, formats=_FORMATS) as picture:
            size = picture.size
            if size[0] * size[1] > MAX_PIXELS:
                return None
            picture.draft("RGB", (2 * size_px, 2 * size_px))
            picture.thumbnail((size_px, size_px), reducing_gap=2.0)
            flat = Image.new("RGB", picture.size, "white")
            small = picture.convert("RGBA")
            flat.paste(small, mask=small)
            return flat, size


def _measured(small: Image.Image, size: tuple[int, int]) -> Measure:
    """Return the measure of a picture of that size, from its thumbnail."""
    ranges = cast("tuple[tuple[int, int], ...]", small.getextrema())
    mean = small.resize((1, 1)).getpixel((0, 0))
    return Measure(
        width_px=size[0],
        height_px=size[1],
        is_blank=all(high - low <= _BLANK for low, high in ranges),
        picture_hash=_perceptual_hash(small),
        mean_colour=tuple(int(one) for one in mean) if isinstance(mean, tuple) else (),
    )


def _perceptual_hash(small: Image.Image) -> str:
    """Return 128 bits: whether each of 8 x 8 fields is darker than its neighbour, both ways."""
    grey = small.convert("L").resize((9, 9))
    at = list(grey.tobytes())
    rows = (at[9 * y + x] < at[9 * y + x + 1] for y in range(8) for x in range(8))
    columns = (at[9 * y + x] < at[9 * (y + 1) + x] for y in range(8) for x in range(8))
    return f"{int(''.join(str(int(bit)) for bit in (*rows, *columns)), 2):032x}"


def _encoded(picture: Image.Image, size_px: int, format_: str) -> bytes:
    picture.thumbnail((size_px, size_px), reducing_gap=2.0)
    data = BytesIO()
    picture.save(data, format_, quality=80, **({"method": 2} if format_ == "WEBP" else {}))
    return data.getvalue()


@dataclass(slots=True, kw_only=True)
class Thumbnails:
    """The thumbnails of a batch, made once each, for as long as there is time."""

    directory: RunDirectory
    size_px: int
    """The longer side in a cell of the workbook."""
    has_time: Callable[[], bool] = lambda: True
    _measures: MeasuresFile = field(init=False)

    def __post_init__(self) -> None:
        """Read what was measured when it is needed first."""
        self._measures = MeasuresFile(self.directory.measures)

    def measure(self, file: OutputFile) -> Measure:
        """Return what was measured of a file, or else measure it; empty if there is no time."""
        if not _DIGEST.fullmatch(file.sha256):
            return Measure()
        known = self._measures.get(file.sha256)
        if known is not None or not self.has_time() or "://" in file.path:
            return known or Measure()
        path = self.directory.path / file.path
        if _is_picture(file, self.directory.path) and (kept := self._kept(file)) is not None:
            self._make(file, kept)
        elif path.suffix.lower() in _MEDIA and path.is_file():
            self._measures.add(file.sha256, media_facts(path))
        return self._measures.get(file.sha256) or Measure()

    def keep(self, file: OutputFile, measure: Measure, pictures: tuple[bytes, ...]) -> None:
        """Keep what `inspect_file` has found elsewhere."""
        kept = self._kept(file)
        if kept is not None:
            self._measures.add(file.sha256, measure)
            _write(kept, pictures)

    def __call__(self, row: ResultRow) -> bytes | None:
        """Return the JPEG of the first picture of the take that is shown."""
        file = picture_of(row, self.directory.path)
        if file is None:
            return None
        kept = self._kept(file)
        if kept is None:
            path = self.directory.path / file.path
            return thumbnail(path, self.size_px) if self.has_time() else None
        with suppress(OSError):
            return kept[1].read_bytes()
        return self._make(file, kept)

    def address(self, file: OutputFile) -> str | None:
        """Return the address of the WebP beside the page; None if the file has no thumbnail."""
        kept = self._kept(file)
        if kept is None or not _is_picture(file, self.directory.path):
            return None
        if not kept[0].is_file():
            self._make(file, kept)
        is_there = kept[0].is_file()
        return f"{kept[0].parent.name}/{kept[0].name}" if is_there else None

    def _kept(self, file: OutputFile) -> tuple[Path, Path] | None:
        if not _DIGEST.fullmatch(file.sha256):  # a ledger may come from anywhere
            return None
        stem = self.directory.thumbnails / file.sha256[:32]
        return stem.with_suffix(".webp"), stem.with_name(f"{stem.name}-{self.size_px}.jpg")

    def _make(self, file: OutputFile, kept: tuple[Path, Path]) -> bytes | None:
        if not self.has_time():
            return None
        sizes = ((PAGE_PX, "WEBP"), (self.size_px, "JPEG"))
        made, measure = _inspected(self.directory.path / file.path, sizes)
        self._measures.add(file.sha256, measure)
        _write(kept, made)
        return made[1] if made else None


def _write(paths: tuple[Path, Path], pictures: Sequence[bytes]) -> None:
    for path, data in zip(paths, pictures, strict=False):
        with suppress(OSError):  # it is made again next time
            path.parent.mkdir(exist_ok=True)
            with replacing(path, durable=False) as new:
                new.write(data)


def picture_of(row: ResultRow, run_dir: Path) -> OutputFile | None:
    """Return the first picture, on disk, of the take that is shown."""
    files = row.shown.files if row.shown is not None else ()
    return next((file for file in files if _is_picture(file, run_dir)), None)


def _is_picture(file: OutputFile, run_dir: Path) -> bool:
    path = run_dir / file.path
    return "://" not in file.path and path.suffix.lower() in _ENDINGS and path.is_file()
