"""The fingerprints that earlier versions wrote, and what this version computes for the same input.

The first versions took texts and addresses as they were written (`first_fingerprint`). Records are
given their present fingerprint as they are read, so that whatever was paid for under an earlier one
counts for the same input now. The lines of the ledger stay as they are.
"""

from __future__ import annotations

import re
import unicodedata

from msgspec.structs import replace

from batchgen.core.jobs import first_fingerprint
from batchgen.core.ledger_codec import decode_input
from batchgen.core.lifecycle import JobRecord

_ODD_ENDS = re.compile(r'"\s|\s"|\ufeff')
"""A text that begins or ends with a blank, or has U+FEFF in it."""


class EarlierFingerprints:
    """Earlier fingerprints of a ledger, with the present one of the same model and input."""

    def __init__(self) -> None:
        self._present: dict[str, str] = {}

    def learn(self, earlier: str, present: str) -> None:
        """Note that these two name the same input."""
        self._present[earlier] = present

    def __bool__(self) -> bool:
        """Tell whether any is known."""
        return bool(self._present)

    def learn_from(self, line: bytes) -> None:
        """Learn from a `submitting` line, if it has an input that earlier versions named so."""
        if not _is_unusual(line):
            return
        sent = decode_input(line)
        if sent is None:
            return
        named, present = sent.fingerprint, sent.present_fingerprint
        if named != present and named == first_fingerprint(sent.model, sent.input):
            self.learn(named, present)

    def present(self, fingerprint: str) -> str:
        """Return the present fingerprint of what this one names."""
        return self._present.get(fingerprint, fingerprint)

    def of(self, record: JobRecord) -> JobRecord:
        """Return the record with its present fingerprint."""
        present = self._present.get(record.fingerprint) if self._present else None
        return record if present is None else replace(record, fingerprint=present)


def _is_unusual(line: bytes) -> bool:
    """Return whether a text in the line may have a canonical form of its own.

    Hardly any line has: a blank at an end of a text, something escaped, or an address with a query.
    """
    if b'" ' in line or b' "' in line or b"\\" in line or (b"://" in line and b"?" in line):
        return True
    if line.isascii():
        return False
    text = line.decode(errors="replace")
    return _ODD_ENDS.search(text) is not None or not unicodedata.is_normalized("NFC", text)
