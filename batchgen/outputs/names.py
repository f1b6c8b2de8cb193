"""What a file is called: safe on every file system, and never one name for two jobs.

A name comes from an id, which comes from a spreadsheet: it may hold a path, a device name of
Windows, or differ from another only by case.
"""

from __future__ import annotations

import hashlib
import re
import threading
import unicodedata
from collections.abc import Iterable

MAX_STEM_BYTES = 180
"""Leaves room for a counter, an extension and `.part` within the 255 of a file system."""

_UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]+')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def safe_stem(text: str) -> str:
    """The text as a file name without extension; unchanged where it is safe already.

    Two texts may become one name; `Names.claim` keeps their files apart.
    """
    name = unicodedata.normalize("NFC", text)
    name = "".join(
        "-" if unicodedata.category(char) in ("Cs", "Cn", "Co") else char for char in name
    )
    name = _UNSAFE.sub("-", name).strip(" .")
    if not name or _RESERVED.fullmatch(name):
        name = f"_{name}"
    if len(name.encode()) > MAX_STEM_BYTES:
        name = name.encode()[: MAX_STEM_BYTES - 9].decode("utf-8", "ignore").rstrip(" .")
        name = f"{name}-{_digest(text)}"
    return name


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()


class Names:
    """Gives out stems; two that differ only by case are the same.

    Holds one integer for each name, so that a million files fit.
    """

    def __init__(self, taken_paths: Iterable[str] = ()) -> None:
        self._lock = threading.Lock()
        self._taken = {_key(path.rpartition("/")[2].rpartition(".")[0]) for path in taken_paths}

    def claim(self, text: str) -> str:
        """A stem for this text that nobody else has; `~2`, `~3`... where it is taken."""
        stem = safe_stem(text)
        candidate, count = stem, 1
        with self._lock:
            while _key(candidate) in self._taken:
                count += 1
                candidate = f"{stem}~{count}"
            self._taken.add(_key(candidate))
        return candidate


def _key(stem: str) -> int:
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", stem).casefold())
    digest = hashlib.blake2b(folded.encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest(), "big")
