"""A directory as the manifest: one row for each picture, film and sound in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from batchgen.core.errors import ManifestNotFound
from batchgen.core.media_types import media_type
from batchgen.core.spreadsheet import FILE_COLUMN
from batchgen.manifest.header import BadRow, Header, Record, keyed_header

_NAMED = 8
"""Files that a note names."""


class MediaDirectory:
    """The media files of a directory, by name; those below it are not looked at."""

    def __init__(self, path: Path, shown: str) -> None:
        """Raise `ManifestNotFound` if it cannot be read."""
        try:
            names = sorted(one.name for one in path.iterdir() if one.is_file())
        except OSError as error:
            raise ManifestNotFound(f"{shown}: cannot be read: {error.strerror}") from None
        visible = [name for name in names if not name.startswith(".")]
        self._names = [name for name in visible if media_type(name)]
        self._header = keyed_header(shown, ("id", FILE_COLUMN))
        others = [name for name in visible if not media_type(name)]
        more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
        left_out = f"left out, as they are not media files: {', '.join(others[:_NAMED])}{more}"
        self.notes: Sequence[str] = (left_out,) if others else ()

    @property
    def headers(self) -> Sequence[Header]:
        """The header of all rows."""
        return (self._header,)

    def records(self) -> Iterator[Record | BadRow]:
        """Yield a row for each file; its name is the id, without the ending if that is enough."""
        stems = Counter(Path(name).stem for name in self._names)
        for number, name in enumerate(self._names, 1):
            stem = Path(name).stem
            yield Record(number, self._header, [stem if stems[stem] == 1 else name, name])


def is_media_directory(path: Path) -> bool:
    """Tell whether a path is a directory with at least one picture, film or sound in it."""
    try:
        return path.is_dir() and any(
            media_type(one.name) and not one.name.startswith(".") for one in path.iterdir()
        )
    except OSError:
        return False
