"""A job, which is what a manifest row describes, and its identity.

Identity decides that nothing is paid for twice: two runs over an edited, sorted or extended
spreadsheet must give an unchanged row the same name. So it depends on the model and the canonical
input alone (`core/canonical_input.py`), never on the row number or the file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Protocol

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


Place = tuple[str, int | None]
"""A place in an input: the parameter, and the position in it if that is a list."""


class Asset(msgspec.Struct, frozen=True, array_like=True):
    """A file on this machine that an input names, as it was when the manifest was checked."""

    name: str
    """As the manifest names it."""
    path: str
    sha256: str
    bytes: int
    extension: str

    def as_input(self) -> dict[str, JSONValue]:
        """Return what stands for its address wherever the input is shown or stored."""
        return {"file": self.name, "sha256": self.sha256}


INDEX_OPENS, INDEX_CLOSES = "\ue002", "\ue003"
"""Around the name of a step, in a text: the number of its output, once that is known."""


class StepDraft(msgspec.Struct, frozen=True, array_like=True):
    """One step of one row, before the outputs that it uses are known."""

    step: str
    after: str
    """The step before it."""
    model: str
    input: dict[str, Any]
    """The input, with an empty text in the place of each address."""
    urls: tuple[tuple[str, int | None, str], ...] = ()
    """Places of addresses: the parameter, the position if that is a list, and the step."""
    of_each_output: bool = False
    """One job for every output of the job before it, instead of one of the first."""
    if_kept: bool = False
    """Only takes that the user has kept are used."""
    has_index: bool = False
    """Whether a text contains the number of an output."""
    assets: tuple[tuple[str, int | None, Asset], ...] = ()
    """Places that name a file on this machine."""


class Wait(Enum):
    """Why the job of a step cannot be submitted at the moment."""

    STEP = auto()
    """The job before it has no output yet."""
    REVIEW = auto()
    """The output before it is there, and the user has not kept it yet."""
    LATER_REVIEW = auto()
    """The same, but there is nothing to review yet."""
    FAILED = auto()
    """The job before it has ended without an output."""
    UNWANTED = auto()
    """The user has rejected the output before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The output of one job that a job of a later step is made from."""

    job: str
    take: int
    index: int
    """Number of the output, from 1."""
    url: str
    """The address on record."""
    identity: str
    """The fingerprint of that job."""
    request_id: str | None = None
    path: str | None = None
    """Its file, relative to the run directory; None if it is not downloaded."""


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
    step: str = ""
    """The step that it belongs to; empty if the manifest has no steps."""
    steps: tuple[StepDraft, ...] = field(default=(), compare=False)
    """The later steps of the row; of the row's own job only."""
    row: Job | None = field(default=None, compare=False)
    """The row's own job; of a job of a later step only."""
    sources: Mapping[Place, Source] = field(default_factory=dict, compare=False)
    """The places of the input that hold an output of an earlier step."""
    assets: Mapping[Place, Asset] = field(default_factory=dict, compare=False)
    """The places of the input that name a file on this machine."""
    before: str = ""
    """The job of the step before it."""
    wait: Wait | None = None
    """Why it cannot be submitted now, by the records at the time when it was read."""

    @property
    def row_id(self) -> str:
        """The id of the row's own job."""
        return self.id if self.row is None else self.row.id

    @property
    def fingerprint(self) -> str:
        """Digest of model and input; an edited row has another one."""
        if not self.known_fingerprint:
            digest = fingerprint(self.model, identity_of(self.input, self.assets))
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


def identity_of(
    values: Mapping[str, JSONValue], assets: Mapping[Place, Asset]
) -> Mapping[str, JSONValue]:
    """Return an input in which files count by what is in them, whatever they are called."""
    return with_values(values, {place: {"sha256": one.sha256} for place, one in assets.items()})


def with_values(values: Mapping[str, Any], new: Mapping[Place, Any]) -> dict[str, Any]:
    """Return an input with other values in some places."""
    made = dict(values)
    for (name, position), value in new.items():
        if position is None:
            made[name] = value
        else:
            entries = list(made[name])
            entries[position] = value
            made[name] = entries
    return made


def first_fingerprint(model: str, values: Mapping[str, JSONValue]) -> str:
    """Return the digest of this model with this very input, its texts as they are written.

    This was the fingerprint of a job in the first versions. Input without a canonical form of its
    own has the same digest in both.
    """
    return _digest(model, literal(values))


def _digest(model: str, values: object) -> str:
    data = msgspec.json.encode([model, values], order="sorted")
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def step_job_name(row: str, step: str, number: str = "") -> str:
    """Return the name of a job of a step: `row@step`, or `row@step#1` for one output."""
    return f"{row}@{step}" + (f"#{number}" if number else "")


def row_names(job: str) -> Iterator[str]:
    """Yield the names of rows that a job of a step may belong to, by its name alone."""
    return (job[:end] for end, letter in enumerate(job) if letter == "@")


class Batch(Protocol):
    """The validated jobs of a manifest, in its order; may be iterated more than once."""

    def jobs(self) -> Iterable[Job]:
        """Return every valid job."""
        ...

    def ids(self) -> Iterable[str]:
        """Return the id of every valid job. Cheaper than the jobs."""
        ...

    def following(self, job: Job) -> Iterable[Job]:
        """Return the jobs of later steps of the same row, by the records as they are now."""
        ...

    def may_submit(self, job: Job) -> bool:
        """Tell whether this run may submit the job, now or after what is open has ended."""
        ...

    def left_out(self) -> Iterable[str]:
        """Return the id of every row that is not a job of this run: not selected, or wrong."""
        ...
