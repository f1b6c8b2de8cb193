"""The options of the command line that shape jobs; run.json keeps them for later commands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from batchgen.core.shards import Shard


@dataclass(frozen=True, slots=True, kw_only=True)
class RowOptions:
    """What the command line says about how rows become jobs; later commands use it again."""

    model: str | None = None
    """For rows that name none; used instead of the manifest's own `model`."""
    params: Mapping[str, str] = field(default_factory=dict)
    """Values of parameters as text, used instead of `defaults` for rows that do not give them."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Our word or a parameter -> the column that holds it, or a template over columns."""
    format: str | None = None
    """`csv`, `tsv`, `jsonl`, `ndjson`, `json`, `xlsx`, `txt`, `yaml`; None: by the file's name."""
    encoding: str | None = None
    """Of a text file without a byte order mark; None: detected."""
    sheet: str | None = None
    header_row: int | None = None
    drop: tuple[str, ...] = ()
    """Columns that the spreadsheet is treated as not having."""
    include_hidden: bool = False
    """Whether rows that a workbook hides are used."""
    select: str | None = None
    """`COLUMN OP VALUE` joined by `and`; see `Selection`."""
    assets: str | None = None
    """Where local files are uploaded to, as `s3://bucket/prefix`."""
    seed: int | None = None
    """Decides what is picked by chance; kept in the run directory."""
    shard: Shard | None = None
    """The part of the rows that is meant; None: all of them."""
    allow_outside: bool = False
    """Whether `file:` and `schema:` may leave the manifest's directory."""
