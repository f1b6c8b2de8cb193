"""Thumbnails: a small picture of an output. What cannot be decoded has none, and stops nothing.

A picture of a few bytes may be one of billions of pixels, so its size is looked at before any of it
is decoded.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from batchgen.core.events import OutputFile
from batchgen.reports.results_csv import ResultRow
from batchgen.system.files import replacing
from batchgen.system.run_directory import RunDirectory

MAX_PIXELS = 80_000_000
"""Larger pictures are not decoded."""
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp"})

_DIGEST = re.compile("[0-9a-f]{64}")

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
    """The thumbnails of a batch, made once each, for as long as there is time."""

    directory: RunDirectory
    size_px: int
    has_time: Callable[[], bool] = lambda: True

    def __call__(self, row: ResultRow) -> bytes | None:
        """Return the thumbnail of the first picture of the take that is shown."""
        file = picture_of(row, self.directory.path)
        if file is None:
            return None
        kept = None
        if _DIGEST.fullmatch(file.sha256):  # a ledger may come from anywhere
            kept = self.directory.thumbnails / f"{file.sha256[:32]}-{self.size_px}.jpg"
            with suppress(OSError):
                return kept.read_bytes()
        return self._made(file, kept) if self.has_time() else None

    def _made(self, file: OutputFile, kept: Path | None) -> bytes | None:
        data = thumbnail(self.directory.path / file.path, self.size_px)
        if data is not None and kept is not None:
            with suppress(OSError):  # it is made again next time
                kept.parent.mkdir(exist_ok=True)
                with replacing(kept, durable=False) as new:
                    new.write(data)
        return data


def picture_of(row: ResultRow, run_dir: Path) -> OutputFile | None:
    """Return the first picture, on disk, of the take that is shown."""
    shown = row.shown
    for file in shown.files if shown is not None else ():
        path = run_dir / file.path
        is_picture = "://" not in file.path and path.suffix.lower() in _ENDINGS
        if is_picture and path.is_file():
            return file
    return None
