"""Torn last lines: what a power cut leaves, made while no run writes the ledger.

Only what a disk may lose is cut. A `submitting` line is synced before its POST leaves, so tearing
one whose POST has left would be a disk that lied, not a crash. The same holds for a line that a
compaction wrote, because it was synced with the whole file, and for a decision of the user, which
was reported as stored.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests.torture.decisions import Tear


def tear(ledger: Path, kind: Tear, share: float, *, kept_bytes: int = 0) -> bool:
    """Damage the end of the file; return whether there was something to damage.

    `kept_bytes` of it were reported as stored, by a compaction or a decision of the user.
    """
    if not ledger.exists():
        return False
    *lines, tail = ledger.read_bytes().split(b"\n")
    if tail or len(lines) < 2:
        return False  # torn already, or a header alone
    last = lines[-1]
    if kind is Tear.HALF_A_LINE:
        _append(ledger, last[: max(1, int(share * (len(last) - 1)))])
        return True
    size_bytes = ledger.stat().st_size
    is_intent = json.loads(last).get("state") == "submitting"
    if kind is Tear.SOME_BYTES and (is_intent or size_bytes <= kept_bytes):
        return False
    lost = 1 if kind is Tear.NEWLINE else 2 + int(share * (len(last) - 1))
    os.truncate(ledger, size_bytes - lost)
    return True


def _append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)
