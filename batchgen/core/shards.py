"""The parts of a batch that several machines run without knowing of one another.

A job belongs to a part by the name of its row alone, so that a part stays the same whatever is
edited, sorted or added elsewhere in the spreadsheet.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from batchgen.core.canonical_input import canonical_text

MAX_SHARDS = 9999
_TEXT = re.compile(r"(\d{1,4})/(\d{1,4})")
_SUFFIX = re.compile(r"(.+)\.shard-(\d{1,4})-of-(\d{1,4})")


@dataclass(frozen=True, slots=True)
class Shard:
    """One of `count` equal parts of a batch."""

    index: int
    """From 1."""
    count: int

    def has(self, row_id: str) -> bool:
        """Tell whether the row of this name, with the jobs of all its steps, is in this part."""
        text = canonical_text(row_id).encode(errors="surrogatepass")
        digest = hashlib.blake2b(text, digest_size=8).digest()
        return int.from_bytes(digest) % self.count == self.index - 1

    @property
    def suffix(self) -> str:
        """The end of the name of its run directory, as in `.shard-2-of-3`."""
        return f".shard-{self.index}-of-{self.count}"

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def parse_shard(text: str) -> Shard:
    """Return the part that `2/3` names. Raises ValueError with a sentence."""
    match = _TEXT.fullmatch(text.strip())
    shard = Shard(int(match[1]), int(match[2])) if match else Shard(0, 0)
    if not 1 <= shard.index <= shard.count:
        raise ValueError(
            f"{text!r} is not a part of a batch; give I/N with I from 1 to N, as in 2/3"
            f" (N at most {MAX_SHARDS:,})"
        )
    return shard


def split_suffix(name: str) -> tuple[str, Shard | None]:
    """Split the name of a shard's run directory: its name without shards, and the shard.

    A name that does not end as one of a shard comes back as it is, with None.
    """
    match = _SUFFIX.fullmatch(name)
    if match is not None:
        shard = Shard(int(match[2]), int(match[3]))
        if 1 <= shard.index <= shard.count and name == match[1] + shard.suffix:
            return match[1], shard
    return name, None
