"""File names: safe on every file system, and never one name for two jobs.

A name comes from an id, which comes from a spreadsheet: it may hold a path, a device name of
Windows, characters that turn text around, or differ from another only by case.
"""

from __future__ import annotations

import hashlib
import re
import threading
import unicodedata
from collections.abc import Iterable

MAX_NAME_BYTES = 200
"""Of a file with its extension."""
TAIL_BYTES = 20
"""Room behind a stem for a counter, an extension, and that of a sidecar."""
MIN_STEM_BYTES = 16
"""Shorter stems would be digests only."""

_UNSAFE = re.compile(r'[<>:"/\\|?*]+')
_RESERVED = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|clock\$|(com|lpt)[0-9¹²³])\s*(\..*)?", re.IGNORECASE
)
"""Devices of Windows, with any extension."""
_TURNS = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
"""Direction marks: with them `gpj.exe` reads as `exe.jpg`."""
_UNPRINTABLE = frozenset({"Cc", "Cs", "Cn", "Co", "Zl", "Zp"})


def safe_stem(text: str, max_bytes: int = MAX_NAME_BYTES - TAIL_BYTES) -> str:
    """Return the text as a file name without extension; unchanged if it is safe already.

    Two texts may become one name; `FileNameClaims.claim` keeps their files apart.
    """
    name = "".join(
        "\0" if unicodedata.category(char) in _UNPRINTABLE or char in _TURNS else char
        for char in unicodedata.normalize("NFC", text)
    )
    name = re.sub("\0+", "-", _UNSAFE.sub("\0", name)).strip(" .")
    if not name or _RESERVED.fullmatch(name):
        name = f"_{name}"
    if len(name.encode()) > max_bytes:
        name = name.encode()[: max_bytes - 9].decode("utf-8", "ignore").rstrip(" .")
        name = f"{name}-{_digest(text)}"
    return name


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()


class FileNameClaims:
    """The stems that are taken; case, and how an accent is written, make no difference.

    Holds one integer for each name, so that a million files fit.
    """

    def __init__(self, taken_paths: Iterable[str] = ()) -> None:
        self._max_stem_bytes = MAX_NAME_BYTES - TAIL_BYTES
        self._lock = threading.Lock()
        self._taken = {_key(path.rpartition("/")[2].rpartition(".")[0]) for path in taken_paths}

    def claim(self, text: str) -> str:
        """Claim a stem for this text that nobody else has, with `~2`, `~3`... if it is taken."""
        return self.claim_safe(safe_stem(text, self._max_stem_bytes))

    def limit(self, max_name_bytes: int) -> None:
        """Keep to what the destination allows for a name, if that is less than `MAX_NAME_BYTES`."""
        self._max_stem_bytes = max(MIN_STEM_BYTES, min(max_name_bytes, MAX_NAME_BYTES) - TAIL_BYTES)

    def claim_safe(self, stem: str) -> str:
        """Claim a stem, as `claim` does, for a text that is safe already."""
        candidate, count = stem, 1
        with self._lock:
            while _key(candidate) in self._taken:
                count += 1
                candidate = f"{stem}~{count}"
            self._taken.add(_key(candidate))
        return candidate

    def claim_exactly(self, stem: str) -> bool:
        """Claim this very stem; return False if somebody has it."""
        with self._lock:
            if _key(stem) in self._taken:
                return False
            self._taken.add(_key(stem))
        return True


def _key(stem: str) -> int:
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", stem).casefold())
    digest = hashlib.blake2b(folded.encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest(), "big")
