"""A job, which is what a manifest row describes, and its identity.

Identity decides that nothing is paid for twice: two runs over an edited, sorted or extended
spreadsheet must give an unchanged row the same name. So it depends on the model and the canonical
input alone (`core/canonical_input.py`), never on the row number or the file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from batchgen.core.canonical_input import canonical, literal
from batchgen.core.json_reader import JSONValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """The place of a row in the manifest, as its author would name it."""

    file: str
    row: int | None = None
    """As the spreadsheet numbers it (the header of a CSV is row 1); None for the whole file."""

    def __str__(self) -> str:
        return self.file if self.row is None else f"{self.file}:{self.row}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One prompt with its parameters, validated and ready to be submitted."""

    id: str
    """Unique in its run directory; the id of the row, or else a digest of model and input."""
    model: str
    """The `model_id` of the API, two or more segments joined by `/`."""
    input: Mapping[str, JSONValue]
    """The body of the POST: what the user gave, in the types of the schema, and nothing else."""
    where: Where
    columns: Mapping[str, str] = field(default_factory=dict)
    """The cells of the row as in the spreadsheet, by column name, for the results."""
    known_fingerprint: str = field(default="", compare=False)
    """The fingerprint, if it was computed before."""

    @property
    def fingerprint(self) -> str:
        """Digest of model and input; an edited row has another one."""
        if not self.known_fingerprint:
            digest = fingerprint(self.model, self.input)
            object.__setattr__(self, "known_fingerprint", digest)
        return self.known_fingerprint

    @property
    def first_fingerprint(self) -> str:
        """The digest of the same row by the first versions, which stands in older ledgers."""
        return first_fingerprint(self.model, self.input)


def fingerprint(model: str, values: Mapping[str, JSONValue]) -> str:
    """Return 16 hex digits that name this model with this input, in its canonical form.

    64 bits are enough: two of a million jobs would collide once in forty million batches, and even
    then they would count as equal rows, of which each has its own name (`~2`) and submission.
    """
    return _digest(model, canonical(values))


def first_fingerprint(model: str, values: Mapping[str, JSONValue]) -> str:
    """Return the digest of this model with this very input, its texts as they are written.

    This was the fingerprint of a job in the first versions. Input without a canonical form of its
    own has the same digest in both.
    """
    return _digest(model, literal(values))


def _digest(model: str, values: object) -> str:
    data = msgspec.json.encode([model, values], order="sorted")
    return hashlib.blake2b(data, digest_size=8).hexdigest()


class Batch(Protocol):
    """The validated jobs of a manifest, in its order; may be iterated more than once."""

    def jobs(self) -> Iterable[Job]:
        """Return every valid job."""
        ...

    def ids(self) -> Iterable[str]:
        """Return the id of every valid job. Cheaper than the jobs."""
        ...

    def may_submit(self, job: str) -> bool:
        """Tell whether this run may submit the job, now or after what is open has ended."""
        ...

    def left_out(self) -> Iterable[str]:
        """Return the id of every row that is not a job of this run: not selected, or wrong."""
        ...
