"""The command line: one function per command that adds its flags. No work is done here."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from batchgen import __version__
from batchgen.cli.shared_flags import (
    Parser,
    add_patience,
    add_run_flags,
    add_shape,
    add_target,
    period,
)


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
    _add_ledger(command("ledger", "Look after the ledger of a run directory."))
    _add_models(command("models", "List the known models, or show one."))
    _add_init(command("init", "Write a commented manifest to begin with."))
    _add_completion(command("completion", "Print a completion script for a shell."))
    sandbox = command("sandbox", "Serve a stand-in of the Model API on this machine.")
    if "sandbox" in argv[:2]:
        _add_sandbox(sandbox)
    return parser


def _add_run(parser: Parser) -> None:
    add_run_flags(parser)
    parser.add_argument("--in-doubt", choices=("hold", "resubmit"),
        help="what to do with jobs that may have been accepted (hold)")  # fmt: skip
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would happen; spend nothing"
    )
    parser.add_argument("--repair", action="store_true",
        help="fetch files again that are missing or damaged; submits nothing for them")  # fmt: skip
    parser.set_defaults(handler="batchgen.commands.run")


def _add_retry(parser: Parser) -> None:
    add_run_flags(parser)
    add = parser.add_argument
    add(
        "--in-doubt",
        dest="doubts",
        action="store_true",
        help="jobs in doubt instead of failed ones",
    )
    add("--cancelled", action="store_true", help="cancelled jobs instead of failed ones")
    add("--all", action="store_true", help="run the rest too")
    parser.set_defaults(
        handler="batchgen.commands.retry", in_doubt=None, dry_run=False, repair=False
    )


def _add_resolve(parser: Parser) -> None:
    add_target(parser)
    add_shape(parser)
    add = parser.add_argument
    add("--job", required=True, metavar="ID", help="the job")
    add("--request-id", metavar="RID", help="the request that you found for it; it is collected")
    add("--give-up", action="store_true", help="accept how it ended")
    add("--resubmit", action="store_true", help="submit it once more in the next run")
    add("--sandbox", action="store_true", help="of the rehearsal, not of the night")
    add_patience(parser)
    parser.set_defaults(handler="batchgen.commands.resolve")


def _add_cancel(parser: Parser) -> None:
    add_target(parser)
    add_shape(parser)
    parser.add_argument("--sandbox", action="store_true", help="of the rehearsal, not of the night")
    parser.add_argument("--base-url", metavar="URL", help="the API, as RUNCOMFY_MODEL_API_BASE")
    add_patience(parser)
    parser.set_defaults(handler="batchgen.commands.cancel")


def _add_check(parser: Parser) -> None:
    add_target(parser)
    add_shape(parser)
    parser.add_argument("--online", action="store_true",
        help="ask each address among the inputs whether the API could fetch it")  # fmt: skip
    parser.add_argument("--base-url", metavar="URL", help="the API, as RUNCOMFY_MODEL_API_BASE")
    parser.add_argument("--json", action="store_true", help="the findings as JSON on stdout")
    parser.set_defaults(handler="batchgen.commands.check")


def _add_status(parser: Parser) -> None:
    add_target(parser)
    add_shape(parser)
    parser.add_argument("--sandbox", action="store_true", help="of the rehearsal, not of the night")
    parser.add_argument("--json", action="store_true", help="as JSON; watching: a line a change")
    parser.add_argument("--watch", type=period, nargs="?", const=2.0, metavar="SECONDS",
        dest="watch_s", help="look again every so often, until no run is at work (2)")  # fmt: skip
    parser.set_defaults(handler="batchgen.commands.status")


def _add_report(parser: Parser) -> None:
    add_target(parser)
    add_shape(parser)
    parser.add_argument("--sandbox", action="store_true", help="of the rehearsal, not of the night")
    parser.set_defaults(handler="batchgen.commands.report")


def _add_runs(parser: Parser) -> None:
    add_target(parser)
    add_shape(parser)
    parser.add_argument("--sandbox", action="store_true", help="of rehearsals, not of nights")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(handler="batchgen.commands.runs")


def _add_ledger(parser: Parser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    def action(name: str, text: str) -> Parser:
        sub: Parser = actions.add_parser(name, help=text, description=text, allow_abbrev=False)
        add_target(sub, optional=True)
        add_shape(sub)
        sub.add_argument("--sandbox", action="store_true", help="of the rehearsal")
        sub.set_defaults(handler="batchgen.commands.ledger")
        return sub

    verify = action("verify", "Read all of it; changes nothing. Exit code 65 where it is damaged.")
    verify.add_argument("--files", action="store_true",
        help="and compare every file that it names, by size and sha256 (exit code 1)")  # fmt: skip
    verify.add_argument("--json", action="store_true", help="the findings as JSON")
    repair = action("repair", "Set bad lines aside; nothing that was paid for is forgotten.")
    repair.add_argument("--accept-loss", action="store_true",
        help="go on without lines that do not say any more which job they were about")  # fmt: skip
    add_patience(repair)
    add_patience(action("compact", "Leave out history that nothing depends on."))
    show = action("show", "The last record of every job, or with --job the life of one.")
    show.add_argument("--job", metavar="ID", help="only this job, all of its lines")
    show.add_argument("--json", action="store_true", help="the records as JSON lines")


def _add_models(parser: Parser) -> None:
    add = parser.add_argument
    add("model", nargs="?", metavar="ID", help="the model to show")
    add("--search", default="", metavar="TEXT", help="only models with this in id or name")
    add("--category", default="", metavar="C", help="only models of it, such as text-to-image")
    add("--refresh", action="store_true", help="ask the live catalogue, whatever is cached")
    add("--base-url", metavar="URL", help="the API, as RUNCOMFY_MODEL_API_BASE")
    add("--json", action="store_true", help="as JSON")
    parser.set_defaults(handler="batchgen.commands.models")


def _add_init(parser: Parser) -> None:
    add = parser.add_argument
    add("--model", required=True, metavar="ID", help="the model that it is for")
    add("--output", default="batch.yaml", metavar="FILE", help="where to write it (batch.yaml)")
    add("--force", action="store_true", help="overwrite a file that is there")
    add("--base-url", metavar="URL", help="the API, as RUNCOMFY_MODEL_API_BASE")
    parser.set_defaults(handler="batchgen.commands.init")


def _add_completion(parser: Parser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="for which shell")
    parser.set_defaults(handler="batchgen.commands.completion", build_parser=build_parser)


def _add_sandbox(parser: Parser) -> None:
    from batchgen.commands.sandbox import add_arguments

    add_arguments(parser)
    parser.set_defaults(handler="batchgen.commands.sandbox")
