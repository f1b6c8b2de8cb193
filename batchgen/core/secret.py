"""A token that cannot be printed by accident."""

from __future__ import annotations

SHORTEST = 8
"""Characters of a token that is worth hiding."""

FACTS = frozenset({"output", "request_id"})
"""What an answer is about: kept to the letter, whatever it looks like."""


class Secret:
    """Holds a token; `str`, `repr`, `format` and tracebacks show none of it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The token itself; only for the Authorization header."""
        return self._value

    def redact(self, text: str) -> str:
        """The text without the token, should a server have echoed it.

        A token so short that it may stand in any word is a placeholder, and no secret.
        """
        return text.replace(self._value, "[token]") if len(self._value) >= SHORTEST else text

    def redact_all(self, value: object) -> object:
        """A JSON value with every string in it redacted, but for `FACTS`."""
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
