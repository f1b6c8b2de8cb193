"""The entry point of the command line, and the one place where errors become text and exit codes.

Results go to stdout, messages to stderr. A traceback is printed only with -vv.
"""

from __future__ import annotations

import importlib
import os
import shlex
import sys
import traceback
from collections.abc import Sequence

import msgspec

from batchgen.cli.parser import build_parser
from batchgen.core.errors import BatchgenError, ManifestError
from batchgen.core.units import count_text

INTERRUPTED = 130
INTERNAL_ERROR = 70


def console() -> None:
    """Run the command of this process and exit with its code."""
    sys.exit(main(sys.argv[1:]))


def main(argv: Sequence[str]) -> int:
    """Run one command, and return its exit code."""
    context = None
    try:
        args = build_parser(argv).parse_args(argv)
        args.command_line = shlex.join(["batchgen", *argv])
        from batchgen.app.command_context import CommandContext  # after -h and every typo

        handler = importlib.import_module(args.handler)
        context = CommandContext(base_url=getattr(args, "base_url", None))
        code: int = handler.handle(args, context)
        sys.stdout.flush()
    except BatchgenError as error:
        by_manifest = context is not None and context.console.logs_json
        _print_error(error, as_json=by_manifest or _logs_json(argv))
        code = error.exit_code
    except KeyboardInterrupt:
        print("batchgen: interrupted; to resume, run the same command again", file=sys.stderr)
        code = INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has left
        code = 0
    except Exception as error:  # noqa: BLE001 - users see a traceback only if they ask for it
        _print_internal_error(error, argv)
        code = INTERNAL_ERROR
    return code


def _logs_json(argv: Sequence[str]) -> bool:
    """Whether a program reads stderr, by the words themselves: they may be what is wrong."""
    return "--log-json" in argv and not any(word.startswith("--log-file") for word in argv)


def _print_error(error: BatchgenError, *, as_json: bool) -> None:
    if as_json:
        print(msgspec.json.encode({"error": str(error)}).decode(), file=sys.stderr)
    elif isinstance(error, ManifestError):
        print(error, file=sys.stderr)
        problems = count_text(error.total, "problem")
        print(f"batchgen: {problems}; nothing was submitted", file=sys.stderr)
    else:
        print(f"batchgen: {error}", file=sys.stderr)


def _print_internal_error(error: Exception, argv: Sequence[str]) -> None:
    if "-vv" in argv:
        traceback.print_exception(error)
    print(
        f"batchgen: internal error: {type(error).__name__}: {error}; this is a defect of batchgen."
        " The ledger is valid; to resume, run the same command again. -vv shows where it happened.",
        file=sys.stderr,
    )
