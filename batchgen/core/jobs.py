"""A job and its identity. What a manifest row became, and nothing of what happened to it since.

Identity decides what is paid for once: two runs over an edited, sorted or extended spreadsheet
must give an unchanged row the same name. So it depends on the model and the input alone, never on
the row number or the file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import msgspec

JSONValue: TypeAlias = "bool | int | float | str | list[JSONValue] | dict[str, JSONValue] | None"


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """The place of a row in the manifest, as the person who keeps it would name it."""

    file: str
    row: int | None = None
    """As the spreadsheet numbers it (the header of a CSV is row 1); None for a whole file."""

    def __str__(self) -> str:
        return self.file if self.row is None else f"{self.file}:{self.row}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One prompt with its parameters, checked and ready to be submitted."""

    id: str
    """Unique in its run directory; the row's own id, else a digest of model and input."""
    model: str
    """`model_id` of the API, two or more segments joined by `/`."""
    input: Mapping[str, JSONValue]
    """The body of the POST: what the user gave, in the schema's types, and nothing else."""
    where: Where
    columns: Mapping[str, str] = field(default_factory=dict)
    """The row's cells as they stand in the spreadsheet, by column name, for the results."""

    @property
    def fingerprint(self) -> str:
        """Digest of model and input; tells an edited row from an unchanged one."""
        return fingerprint(self.model, self.input)


def fingerprint(model: str, values: Mapping[str, JSONValue]) -> str:
    """16 hex digits that name this model with this input.

    64 bits: among a million jobs two would meet once in forty million batches, and even then
    they would only count as equal rows, which get `~2` and their own submission.
    """
    canonical = msgspec.json.encode([model, _canonical(dict(values))], order="sorted")
    return hashlib.blake2b(canonical, digest_size=8).hexdigest()


def _canonical(value: JSONValue) -> JSONValue:
    """The same number is the same input, whether a cell said `1`, `1.0` or `1,0`."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    return value


class Batch(Protocol):
    """The checked jobs of a manifest, in its order; can be gone through more than once."""

    def jobs(self) -> Iterable[Job]:
        """Every valid job."""
        ...
