"""`batchgen help`: explain a topic in a page, or a command by its flags."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from importlib.resources import files

from batchgen.app.command_context import CommandContext
from batchgen.core.errors import UsageError
from batchgen.core.suggest import did_you_mean

_TOPICS = files("batchgen.commands") / "topics"
_SUFFIX = ".txt"


def handle(args: argparse.Namespace, context: CommandContext) -> int:
    """Print a list, a topic, or the help of a command. Raises `UsageError` for anything else."""
    parser = args.build_parser(args.topic)
    if not args.topic:
        context.console.print_lines(*_contents(parser))
        return 0
    name = " ".join(args.topic)
    found = topics()
    if name in found:
        also = (f"\nIts flags: batchgen {name} -h",) if name in _commands(parser) else ()
        context.console.print_lines(found[name].rstrip(), *also)
        return 0
    try:
        parser.parse_args([*args.topic, "-h"])  # prints, and exits as -h does
    except UsageError:
        known = (*found, *_commands(parser))
        hint = did_you_mean(name, known) or "; batchgen help lists all"
        raise UsageError(f"{name!r} is not a topic or a command{hint}") from None
    return 0


def topics() -> dict[str, str]:
    """Return the text of each topic by its name, in the order of the names."""
    found = sorted((one for one in _TOPICS.iterdir()), key=lambda one: one.name)
    return {
        one.name.removesuffix(_SUFFIX): one.read_text(encoding="utf-8")
        for one in found
        if one.name.endswith(_SUFFIX)
    }


def _contents(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield "topics:"
    for name, text in topics().items():
        yield f"  {name:<13}{text.splitlines()[0]}"
    yield ""
    yield f"commands: {', '.join(_commands(parser))}"
    yield ""
    yield "batchgen help TOPIC explains one of them; the pages in docs/ say more."


def _commands(parser: argparse.ArgumentParser) -> list[str]:
    """Return the names of all commands."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way to list them
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            return list(action.choices)
    return []
