"""The command line. The one place where an error becomes text and an exit code.

Results go to stdout, talk to stderr. A traceback is shown only with -vv.
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
DEFECT = 70


def console() -> None:
    """The entry point `batchgen`."""
    sys.exit(main(sys.argv[1:]))


def main(argv: Sequence[str]) -> int:
    """Run one command; its exit code."""
    try:
        args = build_parser(argv).parse_args(argv)
        args.command_line = shlex.join(["batchgen", *argv])
        from batchgen.app.command_context import CommandContext  # after -h and every typo

        handler = importlib.import_module(args.handler)
        context = CommandContext(base_url=getattr(args, "base_url", None))
        code: int = handler.handle(args, context)
        sys.stdout.flush()
    except BatchgenError as error:
        _tell(error, as_json=_logs_json(argv))
        code = error.exit_code
    except KeyboardInterrupt:
        print("batchgen: interrupted; the same command goes on", file=sys.stderr)
        code = INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has left
        code = 0
    except Exception as error:  # noqa: BLE001 - nobody shall see a traceback unasked
        _tell_defect(error, argv)
        code = DEFECT
    return code


def _logs_json(argv: Sequence[str]) -> bool:
    """Whether stderr is read by a program; asked of the words, as they may be what is wrong."""
    return "--log-json" in argv and not any(word.startswith("--log-file") for word in argv)


def _tell(error: BatchgenError, *, as_json: bool) -> None:
    if as_json:
        print(msgspec.json.encode({"error": str(error)}).decode(), file=sys.stderr)
    elif isinstance(error, ManifestError):
        print(error, file=sys.stderr)
        wrong = count_text(error.total, "problem")
        print(f"batchgen: {wrong}; nothing was submitted", file=sys.stderr)
    else:
        print(f"batchgen: {error}", file=sys.stderr)


def _tell_defect(error: Exception, argv: Sequence[str]) -> None:
    if "-vv" in argv:
        traceback.print_exception(error)
    print(
        f"batchgen: internal error: {type(error).__name__}: {error}; this is a defect of batchgen."
        " The ledger is valid, and the same command goes on. -vv shows where it happened.",
        file=sys.stderr,
    )
