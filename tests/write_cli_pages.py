"""Writes docs/cli.md and docs/batchgen.1 from the parser of the command line: `make docs`.

Made from the arguments themselves and not from argparse's own text, which differs between versions
of Python.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

from batchgen.cli.parser import build_parser
from batchgen.cli.shared_flags import WHICH_BATCH
from batchgen.commands.help import topics
from tests.conftest import REPO

PAGE = REPO / "docs/cli.md"
MANUAL = REPO / "docs/batchgen.1"

_INTRODUCTION = """\
# Commands and flags

<!-- Made from batchgen/cli/parser.py by `make docs`; edit it there. -->

`batchgen COMMAND -h` prints the same. Any command takes `-v` (and `-vv`: with the traceback of an
internal error). Exit codes: `batchgen help exit-codes`.
"""


@dataclass(frozen=True)
class CommandPage:
    """What the parser says about one command, or about one action of `ledger`."""

    name: str
    text: str
    groups: tuple[tuple[str, tuple[argparse.Action, ...]], ...]
    """Arguments and flags that `-h` shows, by group."""
    examples: tuple[str, ...]


def command_pages() -> Iterator[CommandPage]:
    """Yield every command in the order of `batchgen -h`, with its actions behind it."""
    yield from _pages(build_parser(("sandbox",)), "")


def _pages(parser: argparse.ArgumentParser, prefix: str) -> Iterator[CommandPage]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, sub in action.choices.items():
                full = f"{prefix}{name}"
                yield _page(sub, full)
                yield from _pages(sub, f"{full} ")


def _page(parser: argparse.ArgumentParser, name: str) -> CommandPage:
    groups = []
    for group in parser._action_groups:
        shown = tuple(
            action
            for action in group._group_actions
            if action.help != argparse.SUPPRESS
            and not isinstance(action, argparse._HelpAction | argparse._SubParsersAction)
        )
        if shown:
            title = group.title or ""
            groups.append(({"positional arguments": "", "options": ""}.get(title, title), shown))
    lines = (parser.epilog or "").splitlines()[1:]
    return CommandPage(
        name, parser.description or "", tuple(groups), tuple(line.strip() for line in lines)
    )


def spelled(action: argparse.Action) -> str:
    """Return an argument as a user writes it: `--limit N`."""
    if not action.option_strings:
        name = str(action.metavar or action.dest)
        return {"?": f"[{name}]", "*": f"[{name}...]", "+": f"{name}..."}.get(
            str(action.nargs), name
        )
    value = "" if action.nargs == 0 else action.metavar or "|".join(map(str, action.choices or ()))
    value = f"[{value}]" if action.nargs == "?" else value
    return f"{', '.join(action.option_strings)} {value}".strip()


def cli_page() -> str:
    """Return docs/cli.md: a section per command."""
    parts = [_INTRODUCTION]
    for page in command_pages():
        parts += [f"## batchgen {page.name}", page.text]
        if page.examples:
            parts.append("\n".join(f"    {line}" for line in page.examples))
        for title, actions in page.groups:
            if title == WHICH_BATCH:
                parts.append("And the flags that say which batch is meant: see `run`, *jobs* and"
                             " *run directory and API*.")  # fmt: skip
                continue
            if title:
                parts.append(f"**{title[0].upper()}{title[1:]}**")
            parts.append(_table(actions))
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _table(actions: tuple[argparse.Action, ...]) -> str:
    rows = [(f"`{_cell(spelled(one))}`", _cell(one.help or "")) for one in actions]
    return "\n".join(f"| {a} | {b} |" for a, b in [("argument", "meaning"), ("---", "---"), *rows])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("%%", "%")


def manual() -> str:
    """Return docs/batchgen.1, a page for `man`."""
    parser = build_parser(("sandbox",))
    parts = [
        '.\\" Made from batchgen/cli/parser.py by `make docs`; edit it there.',
        '.TH BATCHGEN 1 "" "batchgen" "User Commands"',
        ".SH NAME", f"batchgen \\- {_roff((parser.description or '').rstrip('.'))}",
        ".SH SYNOPSIS", ".B batchgen", ".I COMMAND", "[arguments]",
        ".SH COMMANDS",
    ]  # fmt: skip
    for page in command_pages():
        parts += [f".SS {_roff(page.name)}", _roff(page.text)]
        for title, actions in page.groups:
            if title == WHICH_BATCH:
                parts += [".PP", "And the flags of run that say which batch is meant."]
                continue
            if title:
                parts += [".PP", f"\\fI{_roff(title)}\\fR"]
            for one in actions:
                parts += [".TP", f"\\fB{_roff(spelled(one))}\\fR", _roff(one.help or "")]
        if page.examples:
            parts += [".PP", ".nf", *(f"  {_roff(line)}" for line in page.examples), ".fi"]
    found = topics()
    for title, topic in (("EXIT STATUS", "exit-codes"), ("ENVIRONMENT", "environment")):
        parts += [f".SH {title}", ".nf", *map(_roff, found[topic].splitlines()[2:]), ".fi"]
    return "\n".join(parts) + "\n"


def _roff(text: str) -> str:
    """Return a text in which nothing is a request or an escape of roff."""
    safe = text.replace("%%", "%").replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{safe}" if safe.startswith((".", "'")) else safe


if __name__ == "__main__":
    PAGE.write_text(cli_page(), encoding="utf-8")
    MANUAL.write_text(manual(), encoding="utf-8")
