"""A token that cannot be printed by accident."""

from __future__ import annotations


class Secret:
    """Holds a token; `str`, `repr`, `format` and tracebacks show none of it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The token itself; only for the Authorization header."""
        return self._value

    def redact(self, text: str) -> str:
        """The text without the token, should a server have echoed it."""
        return text.replace(self._value, "[token]") if self._value else text

    def redact_all(self, value: object) -> object:
        """A JSON value with every string in it redacted."""
        if isinstance(value, str):
            return self.redact(value)
        if isinstance(value, list):
            return [self.redact_all(item) for item in value]
        if isinstance(value, dict):
            return {key: self.redact_all(item) for key, item in value.items()}
        return value

    def __repr__(self) -> str:
        return "Secret(...)"
