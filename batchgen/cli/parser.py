"""The parser of the command line: one function per command that adds its flags."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from batchgen import __version__
from batchgen.cli.shared_flags import (
    HelpText,
    Parser,
    add_base_url,
    add_batch_flags,
    add_lock_wait,
    add_run_flags,
    add_setting,
    parse_port,
    parse_watch_period_s,
    typed,
)
from batchgen.core.canonical_input import canonical_text
from batchgen.core.run_limits import parse_whole
from batchgen.core.run_settings import ENV_FILE
from batchgen.core.schedule_times import parse_clock_time, parse_days


def build_parser(argv: Sequence[str] = ()) -> Parser:
    """Return the parser of all commands; each sets `handler`, the module that does its work.

    `argv` only decides whether the flags of `sandbox` are added: they come from the server itself,
    whose libraries take long to load.
    """
    parser = Parser(
        prog="batchgen",
        description="Run a spreadsheet of prompts against the RunComfy Model API, overnight,"
        " without paying twice.",
        epilog="To begin: batchgen help first-run. If something is in the way: batchgen doctor.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"batchgen {__version__}")
    _add_verbose(parser)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, about in COMMANDS.items():
        command = commands.add_parser(
            name, help=about.text, description=about.text, allow_abbrev=False,
            epilog=about.epilog, formatter_class=HelpText,
        )  # fmt: skip
        command.set_defaults(handler=f"batchgen.commands.{name}")
        if name != "sandbox" or name in argv[:2]:
            about.add_flags(command)
        if name not in ("run", "retry", "schedule", "ledger"):  # these have it among their flags
            _add_verbose(command)
    return parser


def _add_verbose(parser: Parser) -> None:
    """Accept -v, which is counted from the words of the command line, wherever it is."""
    add = parser.add_argument
    add("-v", "--verbose", action="count", dest="verbosity", help=argparse.SUPPRESS)


def _add_retry(parser: Parser) -> None:
    add_run_flags(parser, retry=True)
    add = parser.add_argument
    add("--in-doubt", dest="doubts", action="store_true",
        help="retry jobs in doubt instead of failed ones")  # fmt: skip
    add("--cancelled", action="store_true", help="retry cancelled jobs instead of failed ones")
    add("--all", action="store_true", help="run the rest too")


def _add_resolve(parser: Parser) -> None:
    add_batch_flags(parser)
    add = parser.add_argument
    add("--job", required=True, type=canonical_text, metavar="ID", help="the job")
    add("--request-id", metavar="RID", help="the request that you found for it; it is collected")
    add("--give-up", action="store_true", help="accept how it ended")
    add("--resubmit", action="store_true", help="submit it once more in the next run")
    add_lock_wait(parser)


def _add_cancel(parser: Parser) -> None:
    add_batch_flags(parser)
    add_base_url(parser)
    add_lock_wait(parser)


def _add_check(parser: Parser) -> None:
    add_batch_flags(parser, sandbox=False)
    parser.add_argument("--online", action="store_true",
        help="check whether the API could fetch each address among the inputs")  # fmt: skip
    add_base_url(parser)
    parser.add_argument("--json", action="store_true", help="print the problems as JSON")


def _add_doctor(parser: Parser) -> None:
    add_batch_flags(parser, optional=True)
    add_base_url(parser)
    add_setting(parser, ENV_FILE)
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def _add_status(parser: Parser) -> None:
    add_batch_flags(parser)
    parser.add_argument("--json", action="store_true",
        help="print JSON; with --watch, one line per change")  # fmt: skip
    parser.add_argument("--by", metavar="COLUMN", help="group counts and cost by a column")
    parser.add_argument("--watch", type=typed(parse_watch_period_s), nargs="?", const=2.0,
        metavar="SECONDS", dest="watch_s",
        help="show it again every so often, until no run is active (2)")  # fmt: skip


def _add_review(parser: Parser) -> None:
    add_batch_flags(parser)
    add = parser.add_argument
    add("file", metavar="F",
        help="verdicts: review.csv, an edited results.csv or results.xlsx, JSON lines,"
        " or - for CSV from stdin")  # fmt: skip
    add("--json", action="store_true", help="print the counts as JSON")


def _add_serve(parser: Parser) -> None:
    add_batch_flags(parser)
    parser.add_argument("--port", type=typed(parse_port), default=0, metavar="N",
        help="listen on this port of 127.0.0.1 (a free one)")  # fmt: skip
    parser.add_argument("--until-eof", action="store_true", help=argparse.SUPPRESS)


def _add_schedule(parser: Parser) -> None:
    add_run_flags(parser)
    add = parser.add_argument
    add("--at", type=typed(parse_clock_time), required=True, metavar="HH:MM",
        help="time of the day, in the time zone of the machine")  # fmt: skip
    add("--days", type=typed(parse_days), default=tuple(range(7)), metavar="DAYS",
        help="mon-fri, or sat,sun (every day)")  # fmt: skip
    add("--systemd", type=Path, metavar="DIR", help="write a service and a timer to DIR")
    add("--launchd", type=Path, metavar="DIR", help="write a property list to DIR")


def _add_report(parser: Parser) -> None:
    add_batch_flags(parser)
    parser.add_argument("--xlsx", action="store_true",
        help="write results.xlsx also for more than 5,000 rows")  # fmt: skip
    parser.add_argument("--standalone", type=Path, metavar="FILE",
        help="also write the page with everything in it into one file to send")  # fmt: skip
    parser.add_argument("--contact-sheet", type=Path, metavar="FILE.jpg",
        help="also write one picture of the batch, of at most 1 MB")  # fmt: skip


def _add_runs(parser: Parser) -> None:
    add_batch_flags(parser)
    add = parser.add_argument
    add("--json", action="store_true", help="print JSON")
    add("--prune", action="store_true",
        help="list the outputs and thumbnails of older dated directories")  # fmt: skip
    add("--keep-last", type=typed(parse_whole), metavar="N",
        help="with --prune: the newest directories that stay as they are")  # fmt: skip
    add("--yes", action="store_true", help="with --prune: remove what is listed")


def _add_ledger(parser: Parser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    def action(name: str, text: str) -> Parser:
        sub: Parser = actions.add_parser(name, help=text, description=text, allow_abbrev=False)
        add_batch_flags(sub, optional=True)
        _add_verbose(sub)
        return sub

    verify = action("verify", "Read the whole ledger and change nothing; exit 65 if it is damaged.")
    verify.add_argument("--files", action="store_true",
        help="also compare the size and sha256 of every file that it names (exit 1)")  # fmt: skip
    verify.add_argument("--json", action="store_true", help="print the problems as JSON")
    repair = action("repair", "Set bad lines aside; nothing that was paid for is forgotten.")
    repair.add_argument("--accept-loss", action="store_true",
        help="go on without lines that no longer tell which job they were about")  # fmt: skip
    add_lock_wait(repair)
    add_lock_wait(action("compact", "Leave out history that nothing depends on."))
    show = action("show", "Print the last record of every job, or with --job all records of one.")
    show.add_argument("--job", type=canonical_text, metavar="ID",
        help="only this job, all of its lines")  # fmt: skip
    show.add_argument("--json", action="store_true", help="print the records as JSON lines")
    text = "Make one run directory of several, in which nothing is paid for again."
    merge = actions.add_parser("merge", help=text, description=text, allow_abbrev=False)
    _add_verbose(merge)
    merge.add_argument("out_dir", type=Path, metavar="OUT_DIR",
        help="the merged run directory; if it has a ledger, that is merged too")  # fmt: skip
    merge.add_argument("run_dirs", type=Path, metavar="RUN_DIR", nargs="+",
        help="a run directory that is merged into it, and stays as it is")  # fmt: skip


def _add_models(parser: Parser) -> None:
    add = parser.add_argument
    add("model", nargs="?", metavar="ID", help="the model to show")
    add("--search", default="", metavar="TEXT", help="only models with this text in id or name")
    add("--category", default="", metavar="C", help="only one category, such as text-to-image")
    add("--refresh", action="store_true", help="ask the live catalogue, even if it is cached")
    add_base_url(parser)
    add("--json", action="store_true", help="print JSON")


def _add_init(parser: Parser) -> None:
    add = parser.add_argument
    add("--model", required=True, metavar="ID", help="the model of the new manifest")
    add("--output", default="batch.yaml", metavar="FILE", help="file to write (batch.yaml)")
    add("--force", action="store_true", help="overwrite an existing file")
    add_base_url(parser)


def _add_completion(parser: Parser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="your shell")
    parser.set_defaults(build_parser=build_parser)


def _add_help(parser: Parser) -> None:
    parser.add_argument("topic", nargs="*", metavar="TOPIC",
        help="a topic, or a command; none: a list of both")  # fmt: skip
    parser.set_defaults(build_parser=build_parser)


def _add_sandbox(parser: Parser) -> None:
    from batchgen.commands.sandbox import add_arguments

    add_arguments(parser)


MODEL = "bytedance/dreamina-4-0/text-to-image"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandHelp:
    """A command as `-h` describes it: its sentence, its flags and examples."""

    text: str
    add_flags: Callable[[Parser], None]
    examples: tuple[str, ...] = ()
    """Command lines, each with what it is for behind two blanks and a `#`."""

    @property
    def epilog(self) -> str | None:
        """The examples, as they stand below the flags."""
        return "\n  ".join(("examples:", *self.examples)) if self.examples else None


COMMANDS: dict[str, CommandHelp] = {
    "run": CommandHelp(
        text="Submit, poll and download; the same command resumes.",
        add_flags=add_run_flags,
        examples=(
            f"batchgen run spring.csv --model {MODEL} --sandbox  # try it: no token, no cost",
            f"batchgen run spring.csv --model {MODEL} --dry-run  # what it would do and cost",
            f"batchgen run spring.csv --model {MODEL} --max-cost 20/day --concurrency 16",
        ),
    ),
    "retry": CommandHelp(
        text="Allow failed jobs one more attempt, and run them.",
        add_flags=_add_retry,
        examples=(
            "batchgen retry spring.csv  # every failed job",
            "batchgen retry spring.csv --job fox  # only this one",
        ),
    ),
    "resolve": CommandHelp(
        text="Record your decision about an in-doubt or failed job.",
        add_flags=_add_resolve,
        examples=(
            "batchgen resolve spring.csv --job fox --request-id RID  # it was accepted",
            "batchgen resolve spring.csv --job fox --resubmit  # it was not",
            "batchgen resolve spring.csv --job fox --give-up  # leave it as it is",
        ),
    ),
    "cancel": CommandHelp(
        text="Cancel what is still queued remotely.",
        add_flags=_add_cancel,
        examples=("batchgen cancel spring.csv",),
    ),
    "check": CommandHelp(
        text="Check every row; sends and writes nothing.",
        add_flags=_add_check,
        examples=(
            f"batchgen check spring.csv --model {MODEL}",
            f"batchgen check spring.csv --model {MODEL} --json  # for a program",
        ),
    ),
    "doctor": CommandHelp(
        text="Find what could keep a run from beginning; spends nothing.",
        add_flags=_add_doctor,
        examples=(
            "batchgen doctor  # this machine, and the way to the API",
            f"batchgen doctor spring.csv --model {MODEL}  # and this batch",
        ),
    ),
    "status": CommandHelp(
        text="Show counts by state, cost, and failures by cause.",
        add_flags=_add_status,
        examples=(
            "batchgen status spring.csv",
            "batchgen status spring.csv --watch  # again every 2 s, while a run is active",
            "batchgen status spring.csv --by client  # for each value of a column",
        ),
    ),
    "report": CommandHelp(
        text="Write the results and the page again; no network.",
        add_flags=_add_report,
        examples=(
            "batchgen report spring.csv",
            "batchgen report spring.csv --standalone spring.html  # one file to send",
        ),
    ),
    "review": CommandHelp(
        text="Store verdicts (keep, redo, reject) on what was made.",
        add_flags=_add_review,
        examples=(
            "batchgen review spring.csv review.csv  # what the page has exported",
            "batchgen review spring.csv spring.run/results.xlsx  # an edited workbook",
        ),
    ),
    "serve": CommandHelp(
        text="Serve the page, live, on this machine; store verdicts at once.",
        add_flags=_add_serve,
        examples=("batchgen serve spring.csv  # prints an address for the browser",),
    ),
    "schedule": CommandHelp(
        text="Print a crontab line, or write systemd or launchd units.",
        add_flags=_add_schedule,
        examples=(
            f"batchgen schedule spring.csv --at 02:30 --days mon-fri --model {MODEL}",
            "batchgen schedule spring.csv --at 02:30 --systemd ~/.config/systemd/user",
        ),
    ),
    "runs": CommandHelp(
        text="List the run directories of a manifest and how each run ended.",
        add_flags=_add_runs,
        examples=(
            "batchgen runs spring.csv",
            "batchgen runs nightly.yaml --prune --keep-last 7  # what could be removed",
        ),
    ),
    "ledger": CommandHelp(
        text="Verify, repair, compact, show or merge ledgers.",
        add_flags=_add_ledger,
        examples=(
            "batchgen ledger verify spring.csv --files  # ledger and files, changes nothing",
            "batchgen ledger show spring.csv --job fox  # the history of one job",
        ),
    ),
    "models": CommandHelp(
        text="List the known models, or show one.",
        add_flags=_add_models,
        examples=(
            "batchgen models --search dreamina",
            f"batchgen models {MODEL}  # parameters, limits, price",
        ),
    ),
    "init": CommandHelp(
        text="Write a commented manifest to start from.",
        add_flags=_add_init,
        examples=(f"batchgen init --model {MODEL} --output new.yaml",),
    ),
    "completion": CommandHelp(
        text="Print a completion script for a shell.",
        add_flags=_add_completion,
        examples=("batchgen completion bash",),
    ),
    "sandbox": CommandHelp(
        text="Serve the sandbox, a local Model API, on this machine.",
        add_flags=_add_sandbox,
        examples=("batchgen sandbox -- batchgen models --refresh  # only while a command runs",),
    ),
    "help": CommandHelp(
        text="Explain a topic, or a command.",
        add_flags=_add_help,
        examples=(
            "batchgen help  # the topics",
            "batchgen help money",
            "batchgen help run",
        ),
    ),
}
