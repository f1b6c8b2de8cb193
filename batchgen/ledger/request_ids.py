"""The request ids of a whole ledger, to tell whether one is on record already.

A set of the ids of a million jobs would take as much memory as everything else that is known of
them. So only 64-bit hashes are kept, 8 bytes for each: unsorted while a ledger is read, sorted from
the first question on, when the few that are new since then are in a set.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left

SLOTS = 4096
"""The last ids that are remembered so that the lines of jobs in flight do not add theirs again."""
MERGE_FROM = 10_000
"""New ids, and half of the old ones, before they are sorted into the old ones."""


class RequestIds:
    """The ids of all records that were added."""

    def __init__(self) -> None:
        self._hashes = array("q")
        self._new: set[int] | None = None
        """None while nobody has asked, and the array is not sorted."""
        self._latest = array("q", bytes(8 * SLOTS))

    def add(self, request_id: str) -> None:
        """Add an id; adding it again changes nothing."""
        one = hash(request_id)
        if self._new is not None:
            self._new.add(one)
        elif self._latest[one % SLOTS] != one:
            self._latest[one % SLOTS] = one
            self._hashes.append(one)

    def __contains__(self, request_id: str) -> bool:
        new = self._new
        if new is None or len(new) > MERGE_FROM + len(self._hashes) // 2:
            self._hashes = array("q", sorted([*self._hashes, *(new or ())]))
            self._new = new = set()
        one = hash(request_id)
        place = bisect_left(self._hashes, one)
        return one in new or (place < len(self._hashes) and self._hashes[place] == one)
