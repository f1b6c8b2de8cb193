"""A token that cannot be printed by accident, and that is found wherever a server repeats it."""

from __future__ import annotations

import base64
import re
from functools import cached_property

SHORTEST = 8
"""Characters. A shorter text may occur in any word, so it could not be kept out of anything."""

_SEARCHED_BYTES = 1 << 16
"""A longer text is taken apart instead of being searched as a whole."""

REDACTED = "[token]"
"""What is written in place of the token."""

_UNSEEN = r"[\s\x00-\x1f\x7f-\x9f\xad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufffd]*"
"""What is not seen, or is taken out before a text is shown: a token may be split by it."""


_UNSEEN_ASCII = bytes((*range(0x21), 0x7F))


class Secret:
    """A token that `str`, `repr`, `format` and tracebacks do not show."""

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the token itself; only for the Authorization header."""
        return self._value

    def redact(self, text: str) -> str:
        """Return the text without the token, in case a server has echoed it.

        It is found as it is, split by characters that are not shown, and written as a URL, JSON,
        HTML, hex or base64 may write it.
        """
        return self._pattern.sub(REDACTED, text) if len(self._value) >= SHORTEST else text

    def may_be_in(self, raw: bytes) -> bool:
        """Tell whether the token may be in a JSON text; False only if it certainly is not.

        This looks at the bytes: in a short ASCII text without any escape, each value stands as it
        is.
        """
        if len(raw) > _SEARCHED_BYTES or not raw.isascii():
            return True
        if b"\\" in raw or b"%" in raw or b"&#" in raw:
            return True
        seen = raw.translate(None, _UNSEEN_ASCII).lower()
        return any(form in seen for form in self._forms)

    def redact_all(self, value: object) -> object:
        """Return a JSON value with every string in it redacted, keys too."""
        if isinstance(value, str):
            return self.redact(value)
        if isinstance(value, list):
            return [self.redact_all(item) for item in value]
        if isinstance(value, dict):
            return {self.redact(key): self.redact_all(item) for key, item in value.items()}
        return value

    @cached_property
    def _forms(self) -> tuple[bytes, ...]:
        """The token as it is, in hex and in base64; in lower case, without what is not seen."""
        raw = self._value.encode()
        forms = (raw, raw.hex().encode(), *(form.encode() for form in _base64_forms(raw)))
        return tuple(form.translate(None, _UNSEEN_ASCII).lower() for form in forms)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        spelled = _UNSEEN.join(_spellings(char) for char in self._value)
        raw = self._value.encode()
        encoded = [re.escape(raw.hex()), *map(re.escape, _base64_forms(raw))]
        return re.compile("|".join([spelled, *encoded]), re.IGNORECASE)

    def __repr__(self) -> str:
        return "Secret(...)"


def _spellings(char: str) -> str:
    """Return a pattern for a character as itself, `%41`, `\\u0041`, `&#65;` and `&#x41;`."""
    code = ord(char)
    escapes = rf"%(?:25)?{code:02x}|\\u00{code:02x}|&#0*{code};|&#x0*{code:x};"
    return f"(?:{re.escape(char)}|{escapes})"


def _base64_forms(raw: bytes) -> list[str]:
    """Return the characters that the token has in base64, at each place it may begin at."""
    forms = []
    for before in range(3):
        text = base64.b64encode(b"\0" * before + raw).decode().rstrip("=")
        first = -(-before * 8 // 6)  # the first character that is of the token alone
        last = (before + len(raw)) * 8 // 6
        forms += [text[first:last], text[first:last].translate(str.maketrans("+/", "-_"))]
    return list(dict.fromkeys(forms))
