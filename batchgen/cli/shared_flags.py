"""Flags that several commands share: which batch, what shapes its jobs, how it is run.

Values on the command line: from a word to a number, a date or a budget; or what is wrong.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Never

from batchgen.core.errors import UsageError
from batchgen.core.run_limits import (
    AT_ONCE,
    IfLocked,
    LockedAction,
    parse_allowance,
    parse_failures,
    parse_if_locked,
)
from batchgen.core.units import parse_duration_s


def _typed(parse: Callable[[str], object], text: str) -> object:
    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def duration(text: str) -> object:
    """Seconds."""
    return _typed(parse_duration_s, text)


def period(text: str) -> float:
    """Seconds between two looks."""
    try:
        value_s = parse_duration_s(text)
    except ValueError as error:
        hint = f"{error} (MANIFEST goes before --watch)"
        raise argparse.ArgumentTypeError(hint) from None
    if not 0.1 <= value_s <= 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 100ms and 1d")
    return value_s


def date(text: str) -> str:
    """`2026-11-22`."""
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is no date; write it like 2026-11-22")


def allowance(text: str) -> object:
    """A budget."""
    return _typed(parse_allowance, text)


def failures(text: str) -> object:
    """A count or a share."""
    return _typed(parse_failures, text)


def if_locked(text: str) -> IfLocked:
    """What to do where another run is at work."""
    try:
        return parse_if_locked(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def patience(text: str) -> IfLocked:
    """The same for a command that a person types: to skip it would be to fail."""
    found = if_locked(text)
    if found.stance is LockedAction.SKIP:
        raise argparse.ArgumentTypeError(f"{text!r} is for run; here it is fail or wait=DURATION")
    return found


def amount(text: str) -> float:
    """A number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return value


def whole(text: str) -> int:
    """A whole number from 1."""
    if text.isascii() and text.isdecimal() and int(text) >= 1:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1")


def pair(text: str) -> tuple[str, str]:
    """`KEY=VALUE`."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form KEY=VALUE")
    return key.strip(), value


FORMATS = ("yaml", "csv", "tsv", "jsonl", "json", "xlsx", "txt")


class Parser(argparse.ArgumentParser):
    """Raises `UsageError` instead of leaving the program, so that errors end in one place."""

    def error(self, message: str) -> Never:
        """The command line is wrong."""
        raise UsageError(f"{message}\nSee: {self.prog} -h")


def add_target(parser: Parser, *, optional: bool = False) -> None:
    """MANIFEST and where its run directory is; `optional` where --run-dir alone may do."""
    text = "prompt file, or - for stdin"
    if optional:
        parser.add_argument("manifest", metavar="MANIFEST", nargs="?", default="", help=text)
    else:
        parser.add_argument("manifest", metavar="MANIFEST", help=text)
    parser.add_argument("--run-dir", metavar="DIR",
        help="where the batch keeps everything (beside MANIFEST, its name with .run)")  # fmt: skip


def add_shape(parser: Parser) -> None:
    """What shapes the jobs."""
    add = parser.add_argument
    add("--model", metavar="ID", help="model for rows that name none")
    add("--param", action="append", default=[], type=pair, metavar="KEY=VALUE",
        help="default parameter; repeatable")  # fmt: skip
    add("--column", action="append", default=[], type=pair, metavar="NAME=COLUMN",
        help="how the spreadsheet names one of our columns; repeatable")  # fmt: skip
    add("--format", choices=FORMATS, help="of the manifest, where its ending does not say")
    add("--sheet", metavar="NAME", help="sheet of an .xlsx file")
    add(
        "--select", metavar="EXPR", help="only rows for which this holds: COLUMN OP VALUE [and ...]"
    )
    add("--allow-outside", action="store_true",
        help="let the manifest name files outside its directory")  # fmt: skip


def add_patience(parser: Parser) -> None:
    """Of commands that write a few lines to the ledger."""
    parser.add_argument("--if-locked", type=patience, default=AT_ONCE, metavar="fail|wait=D",
        help="where a run is at work: fail (75), or wait=10m for it (fail)")  # fmt: skip


def add_run_flags(parser: Parser) -> None:
    """How a batch is run; of `run` and `retry`."""
    add_target(parser)
    add_shape(parser)
    add = parser.add_argument
    add("--concurrency", type=whole, metavar="N", help="jobs in flight at most (8)")
    add("--max-attempts", type=whole, metavar="N",
        help="accepted or doubtful submissions per job in all, over all runs (3)")  # fmt: skip
    add("--job-timeout", type=duration, metavar="D", dest="job_timeout_s",
        help="stop waiting for a job in this run; it stays resumable (15m, video 45m)")  # fmt: skip
    add("--wait-for-api", type=duration, metavar="D", dest="wait_for_api_s",
        help="how long to wait at the start for an API that cannot be reached (20s)")  # fmt: skip
    add("--rate", type=amount, metavar="N", help="API calls started per second at most, polls too")
    add("--max-cost", type=allowance, action="append", default=[], metavar="USD[/day|/month]",
        help="a hard budget for the batch, the day or the month; repeatable")  # fmt: skip
    add(
        "--assume-price", type=amount, metavar="USD", help="per job, where the catalogue tells none"
    )
    add("--max-runtime", type=duration, metavar="D", dest="max_runtime_s",
        help="be over after this time, as 6h; what is left is resumable")  # fmt: skip
    add("--max-failures", type=failures, metavar="N|N%", help="stop submitting after so many")
    add("--on-interrupt", choices=("detach", "cancel"),
        help="what a signal does to jobs that are queued remotely (detach)")  # fmt: skip
    add("--limit", type=whole, metavar="N", help="the first N rows that still need a submission")
    add("--job", action="append", default=[], metavar="ID", dest="jobs",
        help="only this job; repeatable")  # fmt: skip
    add("--no-download", action="store_true", default=None, help="leave outputs remote")
    add("--sidecar", action="store_true", default=None,
        help="a JSON beside each output with all that it takes to make it again")  # fmt: skip
    add("--skip-invalid", action="store_true", default=None,
        help="leave wrong rows out instead of stopping")  # fmt: skip
    add("--changed", choices=("run", "keep"), help="what to do with edited rows (run)")
    add("--date", type=date, metavar="D", help="the day in a dated run directory (today)")
    add("--fresh", action="store_true", help="begin today's directory, whatever is left of others")
    add("--if-locked", type=if_locked, default=AT_ONCE, metavar="fail|skip|wait=D",
        help="where another run is at work: fail (75), skip this night (75; skip=0: exit 0),"
        " or wait=10m for it (fail)")  # fmt: skip
    add("--sandbox", action="store_true",
        help="rehearse against a stand-in in this process; no token needed")  # fmt: skip
    add("--base-url", metavar="URL", help="the API, as RUNCOMFY_MODEL_API_BASE")
    add("--quiet", action="store_true", help="say nothing when all goes well")
    add("--log-json", action="store_true",
        help="a log in JSON lines, on stderr instead of the progress or in --log-file")  # fmt: skip
    add("--log-file", metavar="FILE", help="append a log of every event to this file")
    add("--json", action="store_true", help="a summary as JSON on stdout")
    add("-v", "--verbose", action="count", default=0, help="twice (-vv): tracebacks of defects")
