"""Detection of a text file's encoding, before its first row is read.

The whole file is scanned once in blocks, so that the decision holds for every row and no later
byte can stop a run. UTF-16 and UTF-8 can be recognized; other bytes that look like text are read
as Windows-1252, which Excel writes in Western Europe.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TextIO

from batchgen.core.errors import ManifestError, Problem

BLOCK_BYTES = 1 << 20
SAMPLE_BYTES = 1 << 16

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MAGIC = (
    (b"PK\x03\x04", "an Excel workbook or a zip archive; name it .xlsx or say --format xlsx"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (.xls); save it as .xlsx or CSV"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"%PDF", "a PDF"),
    (b"\x1f\x8b", "a gzip archive; unpack it first"),
    (b"SQLite", "a database"),
)
_NAMES = {"cp1252": "UTF-8 or Windows-1252", "utf-8-sig": "UTF-8", "utf-16": "UTF-16"}
_TEXT_CONTROLS = frozenset(b"\t\n\r\x0b\x0c\x1a")


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedFile:
    """A text file whose encoding is known."""

    path: Path
    codec: str
    """Python's name of the encoding."""

    def open(self) -> TextIO:
        """Open the file as text, with line ends as they are."""
        return self.path.open(encoding=self.codec, newline="")

    def has_quotes(self) -> bool:
        """Return whether there is a double quote anywhere in the file."""
        return any(b'"' in block for block in _blocks(self.path))


def detect(path: Path, shown: str) -> EncodedFile:
    """Find out the encoding of a file; `shown` is its name in messages.

    Raises `ManifestError` for a file that is not text in any of the encodings.
    """
    with path.open("rb") as file:
        sample = file.read(SAMPLE_BYTES)
    codec = next((codec for bom, codec in _BOMS if sample.startswith(bom)), None)
    codec = codec or _utf_16_without_bom(sample)
    if codec is None:
        _refuse_binary(sample, shown)
        codec = _utf_8_or_windows_1252(path, sample, shown)
    else:
        _refuse_broken(path, codec, shown)
    return EncodedFile(path=path, codec=codec)


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            yield block


def _utf_16_without_bom(sample: bytes) -> str | None:
    """Recognize UTF-16 by its NULs: text in Latin letters has one in every other byte."""
    pairs = len(sample) // 2
    if pairs < 2:
        return None
    even, odd = sample[0 : 2 * pairs : 2].count(0), sample[1::2].count(0)
    if odd > 0.4 * pairs and even < 0.05 * pairs:
        return "utf-16-le"
    if even > 0.4 * pairs and odd < 0.05 * pairs:
        return "utf-16-be"
    return None


def _refuse_binary(sample: bytes, shown: str) -> None:
    for magic, name in _MAGIC:
        if sample.startswith(magic):
            _refuse(shown, f"is not a text file but looks like {name}")
    controls = sum(byte < 32 and byte not in _TEXT_CONTROLS for byte in sample[:8192])
    if controls > 0.1 * min(len(sample), 8192):
        _refuse(shown, "is not a text file")


def _utf_8_or_windows_1252(path: Path, sample: bytes, shown: str) -> str:
    fault = _first_fault(path, "utf-8")
    if fault is None:
        return "utf-8"
    if _mostly_utf_8(sample) or _mostly_utf_8(_bytes_around(path, fault.offset)):
        what = f"is UTF-8, but line {fault.line} has the byte 0x{fault.byte:02x}, which is not"
        _refuse(shown, f"{what}; save it as UTF-8 again")
    _refuse_broken(path, "cp1252", shown)
    return "cp1252"


def _refuse_broken(path: Path, codec: str, shown: str) -> None:
    if fault := _first_fault(path, codec):
        what = f"the byte 0x{fault.byte:02x} is not valid text in {_NAMES.get(codec, codec)}"
        _refuse(f"{shown}:{fault.line}", f"{what}; save the file as UTF-8")


def _refuse(where: str, what: str) -> None:
    raise ManifestError([Problem(where, what)])


class _Fault(NamedTuple):
    """The first byte of a file that a codec cannot read."""

    offset: int
    line: int
    byte: int


def _first_fault(path: Path, codec: str) -> _Fault | None:
    decoder = codecs.getincrementaldecoder(codec)("strict")
    plain_ascii = codec in ("utf-8", "cp1252")
    offset = line = 0
    for block in _blocks(path):
        pending = decoder.getstate()[0]
        if pending or not (plain_ascii and block.isascii()):
            try:
                decoder.decode(block)
            except UnicodeDecodeError as error:
                return _fault_at(error, offset - len(pending), line)
        offset += len(block)
        line += block.count(b"\n")
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        return _fault_at(error, offset - len(error.object), line)
    return None


def _fault_at(error: UnicodeDecodeError, base: int, line: int) -> _Fault:
    newlines = bytes(error.object[: error.start]).count(b"\n")
    byte = error.object[error.start]
    return _Fault(offset=base + error.start, line=line + newlines + 1, byte=byte)


def _bytes_around(path: Path, offset: int) -> bytes:
    """Return the bytes around a fault, by which damage is told from another encoding."""
    with path.open("rb") as file:
        file.seek(max(0, offset - SAMPLE_BYTES // 2))
        return file.read(SAMPLE_BYTES)


def _mostly_utf_8(sample: bytes) -> bool:
    """Return whether most of what is not ASCII is valid UTF-8: then the file is damaged UTF-8."""
    text = sample.decode("utf-8", "surrogateescape")
    bad = sum("\ud800" <= c <= "\udfff" for c in text)
    good = sum(ord(c) > 127 for c in text) - bad
    return good > 4 * bad
