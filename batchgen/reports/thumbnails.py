"""Thumbnails: a small picture of an output. What cannot be decoded has none, and stops nothing.

A picture of a few bytes may be one of billions of pixels, so its size is looked at before any of it
is decoded.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from batchgen.reports.results_csv import ResultRow

MAX_PIXELS = 80_000_000
"""Larger pictures are not decoded."""
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp"})

_log = logging.getLogger(__name__)


def thumbnail(path: Path, size_px: int) -> bytes | None:
    """Return a picture as a JPEG within a square of that size; None if it cannot be decoded."""
    try:
        from PIL import Image  # takes long to load

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=_FORMATS) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    return None
                picture.draft("RGB", (2 * size_px, 2 * size_px))
                picture.thumbnail((size_px, size_px), reducing_gap=2.0)
                flat = Image.new("RGB", picture.size, "white")
                small = picture.convert("RGBA")
                flat.paste(small, mask=small)
        data = BytesIO()
        flat.save(data, "JPEG", quality=80)
        return data.getvalue()
    except Exception as error:  # noqa: BLE001 - any file at all may be behind a picture's name
        _log.debug("no thumbnail of %s: %s", path, error)
        return None


@dataclass(slots=True, kw_only=True)
class Thumbnails:
    """The thumbnails of a workbook, for as long as there is time."""

    run_dir: Path
    size_px: int
    has_time: Callable[[], bool] = lambda: True

    def __call__(self, row: ResultRow) -> bytes | None:
        """Return the thumbnail of the first picture of the take that is shown."""
        path = picture_of(row, self.run_dir) if self.has_time() else None
        return None if path is None else thumbnail(path, self.size_px)


def picture_of(row: ResultRow, run_dir: Path) -> Path | None:
    """Return the first picture, on disk, of the take that is shown."""
    shown = row.shown
    for file in shown.files if shown is not None else ():
        path = run_dir / file.path
        is_picture = "://" not in file.path and path.suffix.lower() in _ENDINGS
        if is_picture and path.is_file():
            return path
    return None
