"""The entry point of the command line, and the one place where errors become text and exit codes.

Results go to stdout, messages to stderr. A traceback is printed only with -vv.
"""

from __future__ import annotations

import gc
import importlib
import locale
import logging
import os
import re
import shlex
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from io import TextIOWrapper
from typing import TextIO, cast

from batchgen.app.console import Console
from batchgen.app.signals import SignalExit, signals_raise
from batchgen.cli.parser import build_parser
from batchgen.core.errors import BatchgenError, InternalError, UsageError
from batchgen.core.manifest_address import is_address, resumable_address
from batchgen.core.run_settings import SECRET_FLAGS
from batchgen.core.units import is_text


def console() -> None:
    """Run the command of this process and exit with its code."""
    # A run makes many short-lived objects and hardly a cycle: with 700, the default, a tenth of it
    # is spent in the collector.
    gc.set_threshold(20_000, 20, 50)
    _use_utf8_names()
    _open_closed_streams()
    sys.exit(main(sys.argv[1:]))


def _use_utf8_names() -> None:
    """Begin again in Python's UTF-8 mode, if the locale cannot name every file.

    The names of outputs would otherwise depend on the locale, and some could not be written. What
    is printed is still in the encoding of the locale.
    """
    if not sys.flags.utf8_mode and sys.getfilesystemencoding() != "utf-8" and sys.executable:
        with suppress(OSError):
            words = (sys.orig_argv[0], "-X", "utf8", *sys.orig_argv[1:])
            os.execv(sys.executable, words)  # noqa: S606 - this very program, without a shell
    if sys.orig_argv[1:3] == ["-X", "utf8"] and "PYTHONIOENCODING" not in os.environ:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(encoding=locale.getencoding())


def _open_closed_streams() -> None:
    """Put /dev/null in place of closed standard streams.

    The next file that is opened would otherwise be taken for stdout or stderr.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def main(argv: Sequence[str]) -> int:
    """Run one command, and return its exit code."""
    output = Console()
    output.wants_json = "--json" in _own_words(argv)
    with redirect_stdout(cast("TextIO", output.out)), redirect_stderr(cast("TextIO", output.err)):
        try:
            with signals_raise():
                code = _run(argv, output)
        except SignalExit as end:  # while the command was ending
            code = end.error.exit_code
        return output.end(code)


def _run(argv: Sequence[str], output: Console) -> int:
    try:
        return _handle(argv, output)
    except BatchgenError as error:
        return _report(error, argv, output)
    except SignalExit as end:
        return _report(end.error, argv, output)
    except SystemExit as end:  # -h or --version, which is a result
        output.begin_result()
        return end.code if isinstance(end.code, int) else 0
    except Exception as error:  # noqa: BLE001 - users see a traceback only if they ask for it
        if _verbosity(argv) >= TRACEBACKS:
            traceback.print_exception(error, file=output.err)
        return _report(InternalError(error), argv, output)


def _handle(argv: Sequence[str], output: Console) -> int:
    if _verbosity(argv) < TRACEBACKS:  # asyncio logs exceptions of tasks that nobody waits for
        logging.getLogger().addHandler(logging.NullHandler())
    args = build_parser(argv).parse_args(argv)
    _require_texts(vars(args))
    args.words = tuple(argv)
    args.command_line = shlex.join(["batchgen", *_without_secrets(argv)])
    from batchgen.app.command_context import CommandContext  # after -h and every typo

    if env_file := getattr(args, "env_file", None):
        CommandContext.use_env_file(env_file)
    handler = importlib.import_module(args.handler)
    context = CommandContext(base_url=getattr(args, "base_url", None), console=output)
    code: int = handler.handle(args, context)
    return code


def _without_secrets(argv: Sequence[str]) -> Iterator[str]:
    """Yield the words that may be printed: addresses are secrets, or have some in them."""
    words = iter(argv)
    for word in words:
        if word in SECRET_FLAGS:
            next(words, None)
        elif word.partition("=")[0] not in SECRET_FLAGS:
            yield resumable_address(word) if is_address(word) else word


_PATHS = frozenset(
    {"manifest", "run_dir", "log_file", "metrics_file", "env_file", "output", "child"}
)
"""Arguments that may be bytes that are not text, as names of files may."""


def _require_texts(args: Mapping[str, object]) -> None:
    """Raise `UsageError` for an argument that could be stored or sent nowhere."""
    for name, value in args.items():
        if name not in _PATHS and not all(map(is_text, _texts(value))):
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(f"{flag} is not valid text in the encoding of this locale")


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


TRACEBACKS = 2
"""How often `-v` is given if tracebacks are wanted."""


def _report(error: BatchgenError, argv: Sequence[str], output: Console) -> int:
    """Print an error, and return its exit code."""
    output.print_error(error, for_programs=_logs_json(argv))
    return error.exit_code


def _own_words(argv: Sequence[str]) -> Sequence[str]:
    """Return the words of the command line without the command that `sandbox` runs."""
    return argv[: argv.index("--")] if "--" in argv else argv


def _verbosity(argv: Sequence[str]) -> int:
    """Return how often `-v` is given, by the words themselves: they may be what is wrong."""
    words = _own_words(argv)
    short = sum(len(word) - 1 for word in words if re.fullmatch("-v+", word))
    return short + words.count("--verbose")


def _logs_json(argv: Sequence[str]) -> bool:
    """Tell whether a program reads stderr, by the words themselves."""
    return "--log-json" in argv and not any(word.startswith("--log-file") for word in argv)
