"""Detection of a text file's encoding, before its first row is read.

The whole file is scanned once in blocks, so that the decision holds for every row and no later
byte can stop a run. UTF-16 and UTF-8 can be recognized; other bytes are Windows-1252, which Excel
writes in Western Europe, if they read like Western text. Anything else needs `--encoding`. A file
that is plainly UTF-8 is read so even then: it was saved anew since the encoding was named.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TextIO

from batchgen.core.encoding_names import parse_encoding
from batchgen.core.errors import ManifestError, Problem, UsageError
from batchgen.manifest.formats.code_pages import NAMES, likely_pages, reads_western

BLOCK_BYTES = 1 << 20
SAMPLE_BYTES = 1 << 16
JUDGED_BYTES = 1 << 13
"""Of the lines with characters beyond ASCII, by which a code page is judged."""
FEW_BYTES = 8
"""Beyond ASCII; fewer may be characters of two bytes that are valid UTF-8 by chance."""
_DOUBLE_BYTE = frozenset({
    "gb18030", "big5", "big5hkscs", "cp950", "cp932", "cp949", "euc_jp", "johab",
    "shift_jis_2004", "shift_jisx0213", "euc_jis_2004", "euc_jisx0213",
})  # fmt: skip
MAX_COUNTED_BYTES = 1 << 26
"""How far into a file the row of a fault is counted, and not only its line."""

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
_CONTENT = (
    (rb"<(!doctype|html|head|body)\b", "a web page, not a list; export the data itself"),
    (rb"<\?xml\b", "an XML document, not a list; save it as CSV or .xlsx"),
    (rb"version https://git-lfs\.github\.com/spec/",
        "a Git LFS pointer, not the file itself; run `git lfs pull`"),
    (rb"/annex/objects/", "a git-annex pointer, not the file itself; run `git annex get`"),
    (rb"\{\\rtf", "a rich text document; save it as plain text"),
    (rb"\[InternetShortcut\]", "a link to a page, not the file itself"),
)  # fmt: skip
"""Text that comes in place of a list, by its beginning."""
_MERGE = re.compile(rb"^(<{7}|>{7})( |\r?$)", re.MULTILINE)
_NAMES = {"cp1252": "UTF-8 or Windows-1252", "utf-8-sig": "UTF-8", "utf-16": "UTF-16"}
_TEXT_CONTROLS = frozenset(b"\t\n\r\x0b\x0c\x1a")


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedFile:
    """A text file whose encoding is known."""

    path: Path
    codec: str
    """Python's name of the encoding."""
    notes: tuple[str, ...] = ()
    """What the plan says about the encoding; nothing about UTF-8 and UTF-16."""

    def open(self) -> TextIO:
        """Open the file as text, with line ends as they are."""
        return self.path.open(encoding=self.codec, newline="")

    def has_quotes(self) -> bool:
        """Return whether there is a double quote anywhere in the file."""
        return any(b'"' in block for block in _blocks(self.path))


def line_of(text: str) -> int:
    """Return the number of the line that comes after a text."""
    return 1 + len(re.findall(r"\r\n|\r|\n", text))


def detect(
    path: Path,
    shown: str,
    encoding: str | None = None,
    *,
    row_of: Callable[[str], int] = line_of,
) -> EncodedFile:
    """Find out the encoding of a file; `shown` is its name in messages.

    `encoding` is what the user says it is. `row_of` returns the row that comes after the beginning
    of the file, for a message.

    Raises `ManifestError` for a file that is not text in any of the encodings, and for text that
    is not a list at all: a web page, a pointer, an unresolved merge.
    """
    with path.open("rb") as file:
        sample = file.read(SAMPLE_BYTES)
    refuse_content(sample, shown)
    _refuse_merge(path, shown)
    codec = next((codec for bom, codec in _BOMS if sample.startswith(bom)), None)
    notes: tuple[str, ...] = ()
    if codec is None and encoding is not None:
        return _in_named(path, shown, encoding, row_of)
    codec = codec or _utf_16_without_bom(sample)
    if codec is None:
        _refuse_binary(sample, shown)
        codec = _utf_8_or_windows_1252(path, sample, shown)
        if codec == "cp1252":
            notes = (f"{shown}: read as Windows-1252{_example(path, codec)}",)
    else:
        _refuse_broken(path, codec, shown, row_of)
    return EncodedFile(path=path, codec=codec, notes=notes)


def _in_named(path: Path, shown: str, encoding: str, row_of: Callable[[str], int]) -> EncodedFile:
    """Return the file in the encoding that the user named."""
    try:
        codec = parse_encoding(encoding)
    except ValueError as error:
        raise UsageError(f"--encoding: {error}") from None
    if not codec.startswith("utf-") and _is_plainly_utf_8(path, codec):
        what = f"is valid UTF-8, so it is read as that and not as {NAMES.get(codec, codec)}"
        return EncodedFile(path=path, codec="utf-8", notes=(f"{shown}: {what}",))
    _refuse_broken(path, codec, shown, row_of, "is --encoding right?")
    if codec.startswith(("utf-8", "utf-16")):
        return EncodedFile(path=path, codec=codec)
    note = f"{shown}: read as {NAMES.get(codec, codec)}, as --encoding says{_example(path, codec)}"
    return EncodedFile(path=path, codec=codec, notes=(note,))


def _is_plainly_utf_8(path: Path, codec: str) -> bool:
    """Return whether a file was saved as UTF-8 since its encoding was named.

    Text of another page is valid UTF-8 only if it is a few characters of two bytes each.
    """
    if _first_fault(path, "utf-8") is not None:
        return False
    few = FEW_BYTES if codec in _DOUBLE_BYTE else 1
    count = 0
    for block in _blocks(path):
        count += 0 if block.isascii() else sum(byte > 0x7F for byte in block)
        if count >= few:
            return True
    return False


def _example(path: Path, codec: str) -> str:
    """Return a word by which the user can see whether the encoding is right."""
    text = _lines_beyond_ascii(path).decode(codec, "replace")
    word = next((word for word in re.findall(r"\w+", text) if not word.isascii()), "")
    return f", as in {word[:40]!r}" if word else ""


def _lines_beyond_ascii(path: Path) -> bytes:
    """Return the first lines that have more than ASCII in them."""
    found, size = [], 0
    for block in _blocks(path):
        if block.isascii():
            continue
        for line in block.splitlines(keepends=True):
            if not line.isascii():
                found.append(line[:JUDGED_BYTES])
                size += len(line)
            if size >= JUDGED_BYTES:
                return b"".join(found)
    return b"".join(found)


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


def refuse_content(sample: bytes, shown: str) -> None:
    """Refuse text that somebody's program put in place of a list."""
    start = sample.removeprefix(codecs.BOM_UTF8).lstrip()[:200]
    for pattern, name in _CONTENT:
        if re.match(pattern, start, re.IGNORECASE):
            _refuse(shown, f"is {name}")


def _refuse_merge(path: Path, shown: str) -> None:
    line, rest = 1, b""
    for read in _blocks(path):
        block = rest + read
        if found := _MERGE.search(block):
            line += block.count(b"\n", 0, found.start())
            what = f"an unresolved merge ({found[1].decode()}); resolve it and save the file"
            _refuse(f"{shown}:{line}", what)
        rest = block[block.rfind(b"\n") + 1 :][:20]
        line += block.count(b"\n")


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
    judged = _lines_beyond_ascii(path)
    if not reads_western(judged):
        pages = likely_pages(judged)
        what = f"the text looks like {' or '.join(pages)}" if pages else ""
        if not pages:
            _refuse_broken(path, "cp1252", shown, line_of)
            what = "is not UTF-8 and does not read like Western text"
        name = pages[0] if pages else "NAME"
        _refuse(f"{shown}:{fault.line}", f"{what}; save it as UTF-8, or say --encoding {name}")
    _refuse_broken(path, "cp1252", shown, line_of)
    return "cp1252"


def _refuse_broken(
    path: Path,
    codec: str,
    shown: str,
    row_of: Callable[[str], int],
    hint: str = "save the file as UTF-8",
) -> None:
    if fault := _first_fault(path, codec):
        row = fault.line
        if fault.offset < MAX_COUNTED_BYTES:
            with path.open("rb") as file:
                row = row_of(file.read(fault.offset).decode(codec, "replace"))
        name = _NAMES.get(codec) or NAMES.get(codec, codec)
        what = f"the byte 0x{fault.byte:02x} is not valid text in {name}"
        _refuse(f"{shown}:{row}", f"{what}; {hint}")


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
