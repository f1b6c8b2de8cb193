"""The command line: one function per command that adds its flags. No work is done here."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from typing import Never

from batchgen import __version__
from batchgen.app.options import parse_failures
from batchgen.core.errors import UsageError
from batchgen.core.money import parse_allowance
from batchgen.core.quantities import parse_duration_s

FORMATS = ("yaml", "csv", "tsv", "jsonl", "json", "xlsx", "txt")


class Parser(argparse.ArgumentParser):
    """Raises `UsageError` instead of leaving the program, so that errors end in one place."""

    def error(self, message: str) -> Never:
        """The command line is wrong."""
        raise UsageError(f"{message}\nSee: {self.prog} -h")


def build_parser(argv: Sequence[str] = ()) -> Parser:
    """The whole command line; each command sets `handler`, the module path of its work.

    `argv` is looked at for one thing only: the flags of `sandbox` come from the server itself,
    whose libraries no other command should wait for.
    """
    parser = Parser(
        prog="batchgen",
        description="Run a spreadsheet of prompts against the RunComfy Model API, overnight,"
        " without paying twice.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"batchgen {__version__}")
    parser.add_argument("-vv", dest="traceback", action="store_true", help=argparse.SUPPRESS)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name: str, text: str) -> Parser:
        sub: Parser = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        return sub

    _add_run(command("run", "Submit, poll and download; the same command resumes."))
    _add_retry(command("retry", "Allow failed jobs one more attempt, and run those."))
    _add_resolve(command("resolve", "A person's word on a doubt or a failure."))
    _add_cancel(command("cancel", "Cancel what is still queued remotely."))
    _add_check(command("check", "Check every row; nothing is sent and nothing written."))
    _add_status(command("status", "Counts by state, cost, and failures by cause."))
    _add_report(command("report", "Write results.csv and report.html anew; no network."))
    _add_runs(command("runs", "The run directories of a manifest and what became of each."))
    _add_models(command("models", "List the known models, or show one."))
    _add_init(command("init", "Write a commented manifest to begin with."))
    sandbox = command("sandbox", "Serve a stand-in of the Model API on this machine.")
    if "sandbox" in argv[:2]:
        _add_sandbox(sandbox)
    return parser


def _add_run(parser: Parser) -> None:
    _add_run_flags(parser)
    parser.add_argument("--in-doubt", choices=("hold", "resubmit"),
        help="what to do with jobs that may have been accepted (hold)")  # fmt: skip
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would happen; spend nothing"
    )
    parser.set_defaults(handler="batchgen.cli.run")


def _add_retry(parser: Parser) -> None:
    _add_run_flags(parser)
    add = parser.add_argument
    add(
        "--in-doubt",
        dest="doubts",
        action="store_true",
        help="jobs in doubt instead of failed ones",
    )
    add("--cancelled", action="store_true", help="cancelled jobs instead of failed ones")
    add("--all", action="store_true", help="run the rest too")
    parser.set_defaults(handler="batchgen.cli.retry", in_doubt=None, dry_run=False)


def _add_resolve(parser: Parser) -> None:
    add_target(parser)
    add_shape(parser)
    add = parser.add_argument
    add("--job", required=True, metavar="ID", help="the job")
    add("--request-id", metavar="RID", help="the request that you found for it; it is collected")
    add("--give-up", action="store_true", help="accept how it ended")
    add("--resubmit", action="store_true", help="submit it once more in the next run")
    add("--sandbox", action="store_true", help="of the rehearsal, not of the night")
    parser.set_defaults(handler="batchgen.cli.resolve")


def _add_cancel(parser: Parser) -> None:
    add_target(parser)
    add_shape(parser)
    parser.add_argument("--sandbox", action="store_true", help="of the rehearsal, not of the night")
    parser.add_argument("--base-url", metavar="URL", help="the API, as RUNCOMFY_MODEL_API_BASE")
    parser.set_defaults(handler="batchgen.cli.cancel")


def _add_run_flags(parser: Parser) -> None:
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
    add("--skip-invalid", action="store_true", default=None,
        help="leave wrong rows out instead of stopping")  # fmt: skip
    add("--changed", choices=("run", "keep"), help="what to do with edited rows (run)")
    add("--date", type=date, metavar="D", help="the day in a dated run directory (today)")
    add("--fresh", action="store_true", help="begin today's directory, whatever is left of others")
    add("--sandbox", action="store_true",
        help="rehearse against a stand-in in this process; no token needed")  # fmt: skip
    add("--base-url", metavar="URL", help="the API, as RUNCOMFY_MODEL_API_BASE")
    add("--quiet", action="store_true", help="say nothing when all goes well")
    add("--json", action="store_true", help="a summary as JSON on stdout")
    add("-v", "--verbose", action="count", default=0, help="twice (-vv): tracebacks of defects")


def _add_check(parser: Parser) -> None:
    add_target(parser)
    add_shape(parser)
    parser.add_argument("--online", action="store_true",
        help="ask each address among the inputs whether the API could fetch it")  # fmt: skip
    parser.add_argument("--base-url", metavar="URL", help="the API, as RUNCOMFY_MODEL_API_BASE")
    parser.add_argument("--json", action="store_true", help="the findings as JSON on stdout")
    parser.set_defaults(handler="batchgen.cli.check")


def _add_status(parser: Parser) -> None:
    add_target(parser)
    add_shape(parser)
    parser.add_argument("--sandbox", action="store_true", help="of the rehearsal, not of the night")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(handler="batchgen.cli.status")


def _add_report(parser: Parser) -> None:
    add_target(parser)
    add_shape(parser)
    parser.add_argument("--sandbox", action="store_true", help="of the rehearsal, not of the night")
    parser.set_defaults(handler="batchgen.cli.report")


def _add_runs(parser: Parser) -> None:
    add_target(parser)
    add_shape(parser)
    parser.add_argument("--sandbox", action="store_true", help="of rehearsals, not of nights")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(handler="batchgen.cli.runs")


def _add_models(parser: Parser) -> None:
    add = parser.add_argument
    add("model", nargs="?", metavar="ID", help="the model to show")
    add("--search", default="", metavar="TEXT", help="only models with this in id or name")
    add("--category", default="", metavar="C", help="only models of it, such as text-to-image")
    add("--refresh", action="store_true", help="ask the live catalogue, whatever is cached")
    add("--base-url", metavar="URL", help="the API, as RUNCOMFY_MODEL_API_BASE")
    add("--json", action="store_true", help="as JSON")
    parser.set_defaults(handler="batchgen.cli.models")


def _add_init(parser: Parser) -> None:
    add = parser.add_argument
    add("--model", required=True, metavar="ID", help="the model that it is for")
    add("--output", default="batch.yaml", metavar="FILE", help="where to write it (batch.yaml)")
    add("--force", action="store_true", help="overwrite a file that is there")
    add("--base-url", metavar="URL", help="the API, as RUNCOMFY_MODEL_API_BASE")
    parser.set_defaults(handler="batchgen.cli.init")


def _add_sandbox(parser: Parser) -> None:
    from batchgen.sandbox.command import add_arguments

    add_arguments(parser)
    parser.set_defaults(handler="batchgen.cli.sandbox")


def add_target(parser: Parser) -> None:
    """MANIFEST and where its run directory is."""
    parser.add_argument("manifest", metavar="MANIFEST", help="prompt file, or - for stdin")
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


def _typed(parse: Callable[[str], object], text: str) -> object:
    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def duration(text: str) -> object:
    """Seconds."""
    return _typed(parse_duration_s, text)


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
