"""`batchgen completion`: print a script with which a shell completes commands, flags and files.

The script is static: pressing the tab key starts no Python.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from batchgen.app.command_context import CommandContext

_FILES = frozenset({"manifest", "output", "log_file"})
_DIRECTORIES = frozenset({"run_dir"})


def handle(args: argparse.Namespace, context: CommandContext) -> int:
    """Print the script for one shell."""
    import shtab

    parser = args.build_parser(("sandbox",))
    for action in _actions(parser):
        if action.dest in _FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif action.dest in _DIRECTORIES:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    context.console.print_lines(shtab.complete(parser, args.shell))
    return 0


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield every argument of every command."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way to list them
        yield action
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for command in action.choices.values():
                yield from _actions(command)
