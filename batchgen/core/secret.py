"""A token that cannot be printed by accident."""

from __future__ import annotations

SHORTEST = 8
"""Characters. A shorter token is a placeholder, and may occur in any word."""

FACTS = frozenset({"output", "request_id"})
"""Keys of an answer whose values are kept unchanged, because downloads and polls need them."""


class Secret:
    """A token that `str`, `repr`, `format` and tracebacks do not show."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the token itself; only for the Authorization header."""
        return self._value

    def redact(self, text: str) -> str:
        """Return the text without the token, in case a server has echoed it."""
        return text.replace(self._value, "[token]") if len(self._value) >= SHORTEST else text

    def redact_all(self, value: object) -> object:
        """Return a JSON value with every string in it redacted, except those under `FACTS`."""
        if isinstance(value, str):
            return self.redact(value)
        if isinstance(value, list):
            return [self.redact_all(item) for item in value]
        if isinstance(value, dict):
            return {
                key: item if key in FACTS else self.redact_all(item) for key, item in value.items()
            }
        return value

    def __repr__(self) -> str:
        return "Secret(...)"
