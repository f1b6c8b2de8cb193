"""Flags that several commands share, made from the table of settings."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Any, Never, TypeVar

from batchgen.core.errors import UsageError
from batchgen.core.manifest_address import shown_address
from batchgen.core.run_limits import IfLocked, LockedAction, OneOf, parse_if_locked
from batchgen.core.run_settings import BATCH_SETTINGS, SETTINGS, Group, Setting
from batchgen.core.suggest import did_you_mean
from batchgen.core.units import parse_duration_s

T = TypeVar("T")

WHICH_BATCH = "which batch, as for run"
"""The title of the flags that any command shares with `run`."""

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")
"""An address in a message: its query may be a key, and so may its user."""


class HelpText(argparse.RawDescriptionHelpFormatter):
    """Help whose examples stay on lines of their own."""


class Parser(argparse.ArgumentParser):
    """An argument parser that raises `UsageError` instead of exiting, and names what is near."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse a whole command line. Raise `UsageError`."""
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            command = self._chosen(found)
            flags = [flag for flag in command._option_string_actions if flag.startswith("--")]  # noqa: SLF001 - argparse has no other way to them
            hints = (did_you_mean(word.partition("=")[0], flags) for word in unknown)
            command.error(
                f"unrecognized arguments: {' '.join(unknown)}{next(filter(None, hints), '')}"
            )
        return found

    def _chosen(self, found: argparse.Namespace) -> Parser:
        """Return the parser of the command, and of its action, that a line has named."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - see above
                chosen = action.choices.get(str(getattr(found, action.dest, "")))
                return chosen._chosen(found) if chosen is not None else self  # noqa: SLF001
        return self

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Say which command or word is near, instead of all that exist."""
        if action.choices is not None and value not in action.choices:
            known = [str(one) for one in action.choices]
            hint = did_you_mean(str(value), known) or f"; known are {', '.join(known)}"
            raise argparse.ArgumentError(action, f"{value!r} is not known{hint}")

    def error(self, message: str) -> Never:
        """Raise `UsageError`."""
        shown = _ADDRESS.sub(lambda found: shown_address(found[0]), message)
        raise UsageError(f"{shown}\nSee: {self.prog} -h")


def typed(parse: Callable[[str], T]) -> Callable[[str], T]:
    """Return a parser whose sentence argparse prints after the name of the flag."""

    def parse_argument(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse_argument


def add_setting(parser: argparse._ActionsContainer, row: Setting, *, help_: str = "") -> None:
    """Add the flag of one setting; if it is not given, its value is None, False or empty."""
    text = help_ or row.help_text
    if row.short_flag:
        parser.add_argument(row.short_flag, row.flag, action="count", help=text)
    elif row.metavar:
        parser.add_argument(
            row.flag, metavar=row.metavar, type=typed(row.parse),
            choices=row.parse.choices if isinstance(row.parse, OneOf) else None,
            action="append" if row.repeatable else "store",
            default=[] if row.repeatable else None, help=text,
        )  # fmt: skip
    else:
        parser.add_argument(row.flag, action="store_true", help=text)


def add_run_flags(parser: Parser, *, retry: bool = False) -> None:
    """Add MANIFEST and every setting of `run`, in groups; or those that `retry` has too."""
    _add_manifest(parser)
    for group in Group:
        section = parser.add_argument_group(group.value)
        for row in SETTINGS.values():
            if row.group is group and not (retry and row.only_run):
                add_setting(section, row)


def add_batch_flags(parser: Parser, *, optional: bool = False, sandbox: bool = True) -> None:
    """Add MANIFEST, --run-dir and the flags that shape the jobs, for any command but `run`.

    MANIFEST is `optional` if --run-dir alone is enough.
    """
    _add_manifest(parser, optional=optional)
    which = parser.add_argument_group(WHICH_BATCH)
    for row in BATCH_SETTINGS:
        add_setting(which, row)
    if sandbox:
        help_ = "use the sandbox run directory (MANIFEST.run.sandbox)"
        add_setting(which, SETTINGS["sandbox"], help_=help_)


def _add_manifest(parser: Parser, *, optional: bool = False) -> None:
    parser.add_argument("manifest", metavar="MANIFEST", help="prompt file, or - for stdin",
        nargs="?" if optional else None, default="" if optional else None)  # fmt: skip


def add_base_url(parser: Parser) -> None:
    """Add --base-url."""
    add_setting(parser, SETTINGS["base_url"])


def add_lock_wait(parser: Parser) -> None:
    """Add --if-locked for commands that write a few lines to the ledger."""
    parser.add_argument("--if-locked", type=typed(_parse_lock_wait), default=IfLocked(),
        metavar="fail|wait=D",
        help="if a run is active: fail (75), or wait=10m for it (fail)")  # fmt: skip


def _parse_lock_wait(text: str) -> IfLocked:
    """Return what `fail` or `wait=D` means: a command that was skipped would only seem to work."""
    found = parse_if_locked(text)
    if found.action is LockedAction.SKIP:
        raise ValueError(f"{text!r} is for run; here it is fail or wait=DURATION")
    return found


def parse_port(text: str) -> int:
    """Return the number of a port; 0 stands for a free one."""
    port = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else -1
    if not 0 <= port < 1 << 16:
        raise ValueError(f"{text!r} is not a port; give 0 (a free one) to 65535")
    return port


def parse_watch_period_s(text: str) -> float:
    """Return the seconds between two views of `status --watch`."""
    try:
        period_s = parse_duration_s(text)
    except ValueError as error:
        raise ValueError(f"{error} (MANIFEST goes before --watch)") from None
    if not 0.1 <= period_s <= 86400:
        raise ValueError(f"{text!r} is not between 100ms and 1d")
    return period_s
