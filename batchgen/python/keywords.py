"""The keywords of the Python interface: the flags of `run`, with underscores.

`Keywords` says which there are, for editors and type checkers; what each one means is said once, in
the table of settings.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, TypedDict

from batchgen.app.batch_ref import BatchRef
from batchgen.core.errors import UsageError
from batchgen.core.run_settings import BATCH_SETTINGS, SECRET_FLAGS, SETTINGS, Setting, given_flags
from batchgen.core.suggest import did_you_mean
from batchgen.core.units import is_text
from batchgen.manifest.row_options import RowOptions

StrPath = str | os.PathLike[str]
Number = str | int | float
Duration = str | int | float | timedelta
"""As the flag takes it (`6h`), in seconds, or a timedelta."""


class Keywords(TypedDict, total=False):
    """Every flag of `batchgen run`; docs/settings.md says what each one means.

    A flag that may be repeated takes one value or several. None stands for a flag that is not
    given. `json`, `quiet`, `verbose` and `log_json` change nothing, because nothing is printed.
    """

    # which jobs
    model: str | None
    params: Mapping[str, object] | None
    columns: Mapping[str, str] | None
    format: str | None
    encoding: str | None
    sheet: str | None
    header_row: int | None
    drop: str | Sequence[str] | None
    include_hidden: bool
    select: str | None
    assets: str | None
    shard: str | None
    allow_outside: bool
    limit: int | None
    job: str | Sequence[str] | None
    skip_invalid: bool
    changed: str | None
    asset_expiry: Duration | None
    # pace
    concurrency: int | None
    rate: Number | None
    wait_for_api: Duration | None
    job_timeout: Duration | None
    # money
    dry_run: bool
    max_cost: Number | Sequence[Number] | None
    max_cost_by: str | Sequence[str] | Mapping[str, Number] | None
    assume_price: Number | None
    max_attempts: int | None
    in_doubt: str | None
    # stopping
    max_runtime: Duration | None
    max_failures: str | int | None
    on_interrupt: str | None
    # outputs
    no_download: bool
    sidecar: bool
    repair: bool
    engine: str | None
    download_workers: int | None
    ray_address: str | None
    # run directory and API
    run_dir: StrPath | None
    sandbox: bool
    base_url: str | None
    env_file: StrPath | None
    date: str | dt.date | None
    fresh: bool
    new_ledger: bool
    if_locked: str | None
    # messages and news
    quiet: bool
    verbose: int
    json: bool
    log_json: bool
    log_file: StrPath | None
    log_max: Number | None
    serve: bool
    ping: str | None
    notify: str | None
    notify_on: str | None
    metrics_file: StrPath | None


_NAMES = {"params": "param", "columns": "column"}
"""Keywords that are the plural of their flag."""
_KNOWN = (*SETTINGS, *_NAMES)
_OF_BATCH = frozenset(row.key for row in BATCH_SETTINGS)


@dataclass(frozen=True, slots=True)
class GivenKeywords:
    """Keywords that were given, each checked and parsed as its flag."""

    values: Mapping[str, Any]
    """By flag, with underscores."""
    words: tuple[str, ...]
    """The flags as a command line has them; no secrets among them."""

    @classmethod
    def of(cls, keywords: Mapping[str, object]) -> GivenKeywords:
        """Check all keywords. Raises `UsageError` with everything that is wrong."""
        values: dict[str, Any] = {}
        words: list[str] = []
        wrong: list[str] = []
        for name, value in keywords.items():
            row = SETTINGS.get(_NAMES.get(name, name))
            if row is None:
                wrong.append(f"{name}: there is no such keyword{did_you_mean(name, _KNOWN)}")
                continue
            try:
                if not (texts := _texts(value)):
                    continue  # as if it were not given
                values[row.key] = _parsed(row, value, texts)
            except ValueError as error:
                wrong.append(f"{name}: {error}")
                continue
            words += _words(row, texts)
        if wrong:
            raise UsageError("\n".join(wrong))
        return cls(values, tuple(words))

    @property
    def base_url(self) -> str | None:
        """The address of the API, if it is given."""
        return self.values.get("base_url")

    @property
    def env_file(self) -> Path | None:
        """The file with variables of the environment, if it is given."""
        name = self.values.get("env_file")
        return None if name is None else Path(name)

    def flags(self) -> dict[str, Any]:
        """Return the settings of a run, by their names."""
        return given_flags(self.values)

    def batch(self, manifest: str) -> BatchRef:
        """Return the batch that is meant. Raises `UsageError`."""
        given = self.values
        options = {name: value for name, value in given.items() if name in _OF_BATCH}
        run_dir = options.pop("run_dir", None)
        return BatchRef(
            manifest=manifest,
            run_dir=None if run_dir is None else Path(run_dir),
            sandbox=bool(given.get("sandbox")),
            row_options=RowOptions(
                params=dict(options.pop("param", ())), columns=dict(options.pop("column", ())),
                drop=tuple(options.pop("drop", ())), **options,
            ),
        )  # fmt: skip

    def command_line(self, manifest: str) -> str:
        """Return the command that does the same."""
        return shlex.join(["batchgen", "run", manifest, *self.words])


def _parsed(row: Setting, value: object, texts: Sequence[str]) -> Any:
    """Return the value as the parser of the command line would. Raises ValueError."""
    if not row.metavar:
        return _switch(row, value)
    if isinstance(value, bool):
        raise ValueError(f"takes a value ({row.metavar}), not {value!r}")  # noqa: TRY004 - to be collected
    if not all(map(is_text, texts)):
        raise ValueError("is not valid text")
    return row.read(texts)


def _switch(row: Setting, value: object) -> bool | int:
    if row.short_flag and isinstance(value, int):
        return int(value)
    if not isinstance(value, bool):
        raise ValueError(f"is a switch: give True or False, not {value!r}")  # noqa: TRY004
    return value


def _texts(value: object) -> list[str]:
    """Return the texts that a command line would have for a value; none for None."""
    match value:
        case None:
            return []
        case Mapping():
            return [f"{key}={_text(one)}" for key, one in value.items()]
        case str() | os.PathLike() | timedelta() | dt.date():
            return [_text(value)]
        case Iterable():
            return [_text(one) for one in value]
        case _:
            return [_text(value)]


def _text(value: object) -> str:
    match value:
        case str():
            return value
        case os.PathLike():
            return os.fsdecode(value)
        case timedelta():
            return f"{_plain(value.total_seconds())}s"
        case bool():
            return "true" if value else "false"
        case float() | Decimal():
            return _plain(value)
        case dt.date():
            return value.isoformat()
        case Mapping() | list() | tuple():
            return json.dumps(value, ensure_ascii=False)
        case _:
            return str(value)


def _plain(value: float | Decimal) -> str:
    """Return a number without an exponent."""
    return format(Decimal(repr(value)) if isinstance(value, float) else value, "f")


def _words(row: Setting, texts: Sequence[str]) -> Iterator[str]:
    if row.flag in SECRET_FLAGS:
        return
    if not row.metavar:
        yield from [row.flag] * (int(texts[0]) if texts[0].isdigit() else texts[0] == "true")
        return
    for text in texts:
        yield from (row.flag, text)
