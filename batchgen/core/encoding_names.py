"""Names of the encodings that a text file may be in."""

from __future__ import annotations

import codecs

_NO_FILE_ENCODINGS = frozenset({"idna", "punycode", "unicode_escape", "raw_unicode_escape"})

_SUPERSETS = {
    "utf_8": "utf-8-sig", "utf_8_sig": "utf-8-sig", "shift_jis": "cp932", "euc_kr": "cp949",
    "gb2312": "gb18030", "gbk": "gb18030",
}  # fmt: skip
"""Name -> the encoding to read such a file with: it has the same letters, and a few more."""


def parse_encoding(text: str) -> str:
    """Return Python's name of a text encoding."""
    try:
        name = codecs.lookup(text.strip()).name.replace("-", "_")
        "".encode(name)
    except (LookupError, ValueError):
        name = ""
    if not name or name in _NO_FILE_ENCODINGS:
        raise ValueError(f"{text!r} is not a known encoding; write it like windows-1251 or gb18030")
    return _SUPERSETS.get(name, name.replace("utf_", "utf-"))
