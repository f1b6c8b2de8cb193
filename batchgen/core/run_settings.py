"""The settings of `batchgen run`, one row each: flag, key in a manifest's `run:`, default, help.

The command line, the reader of `run:` and docs/settings.md are all made from these rows, so a new
setting is one more row. A flag beats the manifest's key, which beats the default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated, Any, get_type_hints

from batchgen.core.canonical_input import canonical_text
from batchgen.core.encoding_names import parse_encoding
from batchgen.core.run_limits import (
    Allowance,
    ColumnAllowance,
    Failures,
    IfLocked,
    OneOf,
    parse_allowance,
    parse_amount,
    parse_bucket,
    parse_column,
    parse_column_allowance,
    parse_date,
    parse_failures,
    parse_if_locked,
    parse_pair,
    parse_size_bytes,
    parse_switch,
    parse_whole,
)
from batchgen.core.shards import parse_shard
from batchgen.core.suggest import did_you_mean
from batchgen.core.units import parse_duration_s


class Group(StrEnum):
    """The parts of `batchgen run -h` and of the settings page, in their order."""

    JOBS = "jobs"
    PACE = "pace"
    MONEY = "money"
    STOPPING = "stopping"
    OUTPUTS = "outputs"
    RUN_DIRECTORY = "run directory and API"
    MESSAGES = "messages to the user"
    NEWS = "news for others"


NOT_IN_A_MANIFEST = "cannot be set in a manifest"
ONE_RUN = NOT_IN_A_MANIFEST + "; it is for one run only: use {flag}"
PRIVATE = NOT_IN_A_MANIFEST + "; use the flag or the environment"
OWN_PRIVATE = NOT_IN_A_MANIFEST + "; use {flag} or the environment"
"""A manifest may come from anybody, so it may not say where tokens, logs and news go."""
TOP_LEVEL = "belongs at the top level of the manifest, as in "

PRIVATE_KEYS = frozenset({
    "base_url", "log_file", "ping", "notify", "metrics", "metrics_file", "metrics_port", "token",
    "api_key", "webhook", "sandbox",
})  # fmt: skip
"""Names that are refused with that reason anywhere in a manifest, also those of other programs."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One row: everything that the command line, a manifest and the docs say about a setting."""

    flag: str
    metavar: str
    """Empty for a flag that takes no value."""
    parse: Callable[[str], object]
    """Raises ValueError with a sentence."""
    group: Group
    help: str
    default: str = ""
    """As the user would write it; empty if there is none."""
    default_note: str = ""
    """Replaces `default` in the help if it is not one fixed value."""
    refusal: str = ""
    """Why `run:` may not set it, and what to do instead, with `{flag}`; empty if it may."""
    repeatable: bool = False
    short_flag: str = ""
    """For a flag that counts how often it is given (`-vv`)."""
    only_run: bool = False
    """Whether `retry` does not have it."""
    name: str = ""
    """The name of its attribute; filled in from the class that has the row."""

    @property
    def key(self) -> str:
        """The name in `run:` and in parsed arguments: the flag with underscores."""
        return self.flag.removeprefix("--").replace("-", "_")

    @property
    def refusal_text(self) -> str:
        """The refusal, naming the flag."""
        return self.refusal.replace("{flag}", self.flag)

    @property
    def help_text(self) -> str:
        """The help, with the default in parentheses."""
        help_ = f"{self.help}; repeatable" if self.repeatable else self.help
        default = self.default_note or self.default
        return f"{help_} ({default})" if default else help_

    @property
    def default_value(self) -> object:
        """The parsed default."""
        if self.default:
            return self.parse(self.default)
        if self.repeatable:
            return ()
        if self.metavar:
            return None
        return 0 if self.short_flag else False

    def read(self, texts: Sequence[str]) -> object:
        """Return the value of what a manifest gives. Raises ValueError with a sentence."""
        if self.repeatable:
            return tuple(self.parse(text) for text in texts)
        if len(texts) > 1:
            raise ValueError("expected one value, got a list")
        return self.parse(texts[0])


def _choice(flag: str, choices: str, group: Group, help_: str, default: str = "") -> Setting:
    """Make the row of a setting that is one of `a|b|c`."""
    return Setting(flag, choices, OneOf(tuple(choices.split("|"))), group, help_, default)


# fmt: off
ENV_FILE = Setting("--env-file", "FILE", str, Group.RUN_DIRECTORY,
    "read environment variables, the token among them, from lines KEY=VALUE of a file",
    refusal=NOT_IN_A_MANIFEST + ": use {flag}")

BATCH_SETTINGS = (
    Setting("--run-dir", "DIR", str, Group.RUN_DIRECTORY, "where the batch keeps everything",
        default_note="beside MANIFEST, its name with .run",
        refusal=TOP_LEVEL + "run_dir: DIR"),
    Setting("--model", "ID", str, Group.JOBS, "model for rows that name none",
        refusal=TOP_LEVEL + "model: ID"),
    Setting("--param", "KEY=VALUE", parse_pair, Group.JOBS, "default parameter", repeatable=True,
        refusal=TOP_LEVEL + "defaults: {KEY: VALUE}"),
    Setting("--column", "NAME=COLUMN", parse_pair, Group.JOBS,
        "what this spreadsheet calls one of our columns", repeatable=True,
        refusal=TOP_LEVEL + "columns: {NAME: COLUMN}"),
    replace(_choice("--format", "yaml|csv|tsv|jsonl|json|xlsx|txt", Group.JOBS,
        "manifest format, if the file extension does not tell"),
        refusal="belongs to an entry of prompts:, as in {file: FILE, format: csv}"),
    Setting("--encoding", "NAME", parse_encoding, Group.JOBS,
        "encoding of a CSV, TSV or text manifest, if it cannot be detected",
        refusal=NOT_IN_A_MANIFEST + ": use {flag}"),
    Setting("--sheet", "NAME", str, Group.JOBS, "sheet of an .xlsx file",
        refusal=TOP_LEVEL + "sheet: NAME"),
    Setting("--header-row", "N", parse_whole, Group.JOBS,
        "row of the header, if it is not the first non-empty row",
        refusal=TOP_LEVEL + "header_row: N"),
    Setting("--drop", "COLUMN", parse_column, Group.JOBS,
        "treat the spreadsheet as if it did not have this column", repeatable=True,
        refusal=NOT_IN_A_MANIFEST + ": use {flag}"),
    Setting("--include-hidden", "", parse_switch, Group.JOBS,
        "also use rows that a workbook hides", refusal=NOT_IN_A_MANIFEST + ": use {flag}"),
    Setting("--select", "EXPR", str, Group.JOBS,
        "only rows for which this holds: COLUMN OP VALUE [and ...]"),
    Setting("--assets", "URL", parse_bucket, Group.JOBS,
        "bucket to which local files that rows name are uploaded, as s3://bucket/prefix; also"
        " BATCHGEN_ASSETS", refusal=NOT_IN_A_MANIFEST + ": use {flag}"),
    Setting("--shard", "I/N", parse_shard, Group.JOBS,
        "only the jobs of one of N equal parts, in a run directory of their own",
        refusal=NOT_IN_A_MANIFEST + ", which all parts share: use {flag}"),
    Setting("--allow-outside", "", parse_switch, Group.JOBS,
        "let the manifest name files outside its directory",
        refusal=NOT_IN_A_MANIFEST + ", which could then lift its own limits: use {flag}"),
)
"""The settings that say which batch is meant; every command with a MANIFEST has them."""

API_SETTINGS = (
    Setting("--sandbox", "", parse_switch, Group.RUN_DIRECTORY,
        "run against an in-process sandbox; no token needed", refusal=ONE_RUN),
    Setting("--base-url", "URL", str, Group.RUN_DIRECTORY,
        "address of the API; same as RUNCOMFY_MODEL_API_BASE", refusal=PRIVATE),
)
"""The settings that say which API is meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """The settings of one run, merged; each attribute is a row of the table."""

    limit: Annotated[int | None, Setting("--limit", "N", parse_whole, Group.JOBS,
        "only the first N rows that still need a submission")]
    jobs: Annotated[tuple[str, ...], Setting("--job", "ID", canonical_text, Group.JOBS,
        "only this job", repeatable=True, refusal=ONE_RUN)]
    skip_invalid: Annotated[bool, Setting("--skip-invalid", "", parse_switch, Group.JOBS,
        "leave out wrong rows instead of stopping; exit code 1")]
    changed: Annotated[str, _choice("--changed", "run|keep", Group.JOBS,
        "what to do with edited rows", default="run")]

    asset_expiry_s: Annotated[float, Setting("--asset-expiry", "D", parse_duration_s, Group.JOBS,
        "how long the API can fetch an uploaded file, from its submission on", default="24h")]

    concurrency: Annotated[int, Setting("--concurrency", "N", parse_whole, Group.PACE,
        "maximum number of jobs in flight", default="8")]
    rate_per_s: Annotated[float | None, Setting("--rate", "N", parse_amount, Group.PACE,
        "maximum number of API calls started per second, polls included")]
    wait_for_api_s: Annotated[float, Setting("--wait-for-api", "D", parse_duration_s, Group.PACE,
        "how long to wait at the start for an API that cannot be reached", default="20s")]
    job_timeout_s: Annotated[float | None, Setting("--job-timeout", "D", parse_duration_s,
        Group.PACE, "stop waiting for one job in this run; it stays resumable",
        default_note="image and audio 15m, video 45m")]

    dry_run: Annotated[bool, Setting("--dry-run", "", parse_switch, Group.MONEY,
        "plan and price; spend nothing", only_run=True, refusal=ONE_RUN)]
    max_cost: Annotated[tuple[Allowance, ...], Setting("--max-cost", "USD[/day|/month]",
        parse_allowance, Group.MONEY, "budget for the batch, the day or the month",
        repeatable=True)]
    max_cost_by: Annotated[tuple[ColumnAllowance, ...], Setting("--max-cost-by",
        "COLUMN=USD[/day|/month]", parse_column_allowance, Group.MONEY,
        "the same for each value of a column; the others continue if one is used up",
        repeatable=True)]
    assume_price_usd: Annotated[float | None, Setting("--assume-price", "USD", parse_amount,
        Group.MONEY, "price of a job if the catalogue has none")]
    max_attempts: Annotated[int, Setting("--max-attempts", "N", parse_whole, Group.MONEY,
        "maximum number of accepted or in-doubt submissions per job, over all runs", default="3")]
    in_doubt: Annotated[str, replace(_choice("--in-doubt", "hold|resubmit", Group.MONEY,
        "what to do with jobs that may have been accepted", default="hold"), only_run=True)]

    max_runtime_s: Annotated[float | None, Setting("--max-runtime", "D", parse_duration_s,
        Group.STOPPING, "end the run after this time, as in 6h; what is left is resumable")]
    max_failures: Annotated[Failures | None, Setting("--max-failures", "N|N%", parse_failures,
        Group.STOPPING, "stop submitting after so many failures")]
    on_interrupt: Annotated[str, _choice("--on-interrupt", "detach|cancel", Group.STOPPING,
        "what a signal does to jobs that are queued remotely", default="detach")]

    no_download: Annotated[bool, Setting("--no-download", "", parse_switch, Group.OUTPUTS,
        "leave outputs remote")]
    sidecar: Annotated[bool, Setting("--sidecar", "", parse_switch, Group.OUTPUTS,
        "write a JSON file beside each output with everything needed to make it again",
        refusal="belongs under output:, as in output: {sidecar: true}")]
    repair: Annotated[bool, Setting("--repair", "", parse_switch, Group.OUTPUTS,
        "fetch missing or damaged files again; submits nothing for them",
        only_run=True, refusal=ONE_RUN)]

    engine: Annotated[str, _choice("--engine", "local|ray", Group.OUTPUTS,
        "who fetches outputs: this process, or workers on a Ray cluster", default="local")]
    download_workers: Annotated[int | None, Setting("--download-workers", "N", parse_whole,
        Group.OUTPUTS, "with --engine ray: how many workers", default_note="4")]
    ray_address: Annotated[str | None, Setting("--ray-address", "A", str, Group.OUTPUTS,
        "with --engine ray: the cluster, as in auto or HOST:6379; also RAY_ADDRESS",
        default_note="a Ray of its own", refusal=NOT_IN_A_MANIFEST + ": use {flag}")]

    date: Annotated[str | None, Setting("--date", "D", parse_date, Group.RUN_DIRECTORY,
        "date of the run directory, if its name has one", default_note="today", refusal=ONE_RUN)]
    fresh: Annotated[bool, Setting("--fresh", "", parse_switch, Group.RUN_DIRECTORY,
        "begin today's run directory, even if an earlier one has work left", refusal=ONE_RUN)]
    new_ledger: Annotated[bool, Setting("--new-ledger", "", parse_switch, Group.RUN_DIRECTORY,
        "start a new ledger although an earlier ledger of this batch is not where it was",
        only_run=True, refusal=ONE_RUN)]
    if_locked: Annotated[IfLocked, Setting("--if-locked", "fail|skip|wait=D", parse_if_locked,
        Group.RUN_DIRECTORY, "if another run is active: fail (75), skip this run (75; skip=0:"
        " exit code 0), or wait=10m for it", default="fail",
        refusal=NOT_IN_A_MANIFEST + ", which is read after the lock is taken: use {flag}")]

    quiet: Annotated[bool, Setting("--quiet", "", parse_switch, Group.MESSAGES,
        "print nothing if all goes well, otherwise only problems")]
    verbose: Annotated[int, Setting("--verbose", "", parse_whole, Group.MESSAGES,
        "print a line for each job that ended; twice (-vv): also the traceback of an internal"
        " error", short_flag="-v", refusal=ONE_RUN)]
    json: Annotated[bool, Setting("--json", "", parse_switch, Group.MESSAGES,
        "print a summary as JSON on stdout, also with --quiet")]
    log_json: Annotated[bool, Setting("--log-json", "", parse_switch, Group.MESSAGES,
        "log as JSON lines: to --log-file, or to stderr in place of the progress")]
    log_file: Annotated[str | None, Setting("--log-file", "FILE", str, Group.MESSAGES,
        "append a log of every event to this file",
        refusal=NOT_IN_A_MANIFEST + "; use {flag}")]
    log_max_bytes: Annotated[int | None, Setting("--log-max", "SIZE", parse_size_bytes,
        Group.MESSAGES, "rotate the log file at this size, as in 10MB; five older ones are kept",
        refusal=NOT_IN_A_MANIFEST + "; use {flag}")]

    serve: Annotated[bool, Setting("--serve", "", parse_switch, Group.NEWS,
        "serve the page, live, on this machine for as long as the run takes",
        only_run=True, refusal=ONE_RUN)]
    ping: Annotated[str | None, Setting("--ping", "URL", str, Group.NEWS,
        "POST to URL/start when the run begins, and to URL (exit code 0) or URL/CODE when it ends"
        " (BATCHGEN_PING)", refusal=OWN_PRIVATE)]
    notify: Annotated[str | None, Setting("--notify", "URL", str, Group.NEWS,
        "tell people how the run ended, through Apprise: Slack, mail and a hundred more"
        " (BATCHGEN_NOTIFY; needs the extra notify)", refusal=OWN_PRIVATE)]
    notify_on: Annotated[str, _choice("--notify-on", "problem|always", Group.NEWS,
        "when to notify: for any exit code but 0, or always", default="problem")]
    metrics_file: Annotated[str | None, Setting("--metrics-file", "F", str, Group.NEWS,
        "write the numbers of the run for Prometheus's textfile collector"
        " (BATCHGEN_METRICS_FILE)", refusal=OWN_PRIVATE)]
# fmt: on


NEWS_TARGETS = ("ping", "notify", "metrics_file")


def news_targets(
    flags: Mapping[str, object], environment: Mapping[str, str]
) -> dict[str, str | None]:
    """Return where news go, by the names of the settings: a flag, or else `BATCHGEN_<NAME>`."""
    found = {
        name: flags.get(name) or environment.get(f"BATCHGEN_{name.upper()}")
        for name in NEWS_TARGETS
    }
    return {name: str(value) if value else None for name, value in found.items()}


SECRET_FLAGS = ("--ping", "--notify")
"""Flags whose values are secrets, so that no message repeats them."""

RUN_SETTINGS: tuple[Setting, ...] = tuple(
    replace(annotation.__metadata__[0], name=name)
    for name, annotation in get_type_hints(RunSettings, include_extras=True).items()
)
SETTINGS = {row.key: row for row in (*BATCH_SETTINGS, *API_SETTINGS, ENV_FILE, *RUN_SETTINGS)}
RUN_KEYS = tuple(key for key, row in SETTINGS.items() if not row.refusal)
"""The keys that a manifest's `run:` may have."""


def read_run_key(key: str, texts: Sequence[str]) -> dict[str, object]:
    """Return the value of a key of `run:` by the name of its setting; empty if it gives nothing.

    Raises ValueError with a sentence for a key that is unknown or may not stand in a manifest, and
    for a value that is not valid.
    """
    row = SETTINGS.get(key.replace("-", "_"))
    if row is not None and row.refusal:
        raise ValueError(row.refusal_text)
    if key in PRIVATE_KEYS:
        raise ValueError(PRIVATE)
    if row is None or row.key != key:
        hint = did_you_mean(key, RUN_KEYS) or f"; known are {', '.join(RUN_KEYS)}"
        raise ValueError(f"unknown key{hint}")
    return {row.name or key: row.read(texts)} if texts else {}


def given_flags(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the flags of a run among parsed arguments, by the name of the setting."""
    values = {row.name: arguments.get(row.key) for row in RUN_SETTINGS}
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in values.items()
        if value is not None and value is not False and value != []
    }


def merge(flags: Mapping[str, object], run_keys: Mapping[str, object]) -> RunSettings:
    """Return the settings of a run: a flag beats the manifest's key, which beats the default.

    Both map the names of the settings that were given to their values.
    """
    given: dict[str, Any] = {**run_keys, **flags}
    return RunSettings(**{row.name: given.get(row.name, row.default_value) for row in RUN_SETTINGS})
