"""The command line: its flags, its help, and what it says about a wrong value."""

from __future__ import annotations

import argparse
import re

import pytest

from batchgen.cli.parser import build_parser
from batchgen.cli.shared_flags import Parser
from batchgen.core.canonical_input import canonical_text
from batchgen.core.errors import UsageError
from batchgen.core.run_settings import BATCH_SETTINGS, SETTINGS, Group, Setting

WRONG = {
    "--shard": "3/2", "--engine": "spark", "--download-workers": "0",
    "--param": "scale", "--column": "prompt", "--format": "docx", "--limit": "0",
    "--changed": "maybe", "--concurrency": "0", "--rate": "-1", "--wait-for-api": "soon",
    "--job-timeout": "1 week", "--max-cost": "lots", "--assume-price": "free",
    "--max-attempts": "1.5", "--in-doubt": "retry", "--max-runtime": "6 o'clock",
    "--max-failures": "half", "--on-interrupt": "stop", "--date": "today", "--if-locked": "wait",
    "--encoding": "utf-99", "--header-row": "first", "--drop": "  ",
    "--max-cost-by": "client", "--notify-on": "never", "--log-max": "10",
    "--assets": "./here", "--asset-expiry": "tomorrow",
}  # fmt: skip
"""For each flag that does not take any text, a value that is not valid."""


def _commands() -> dict[str, Parser]:
    """Every command by name, those of `ledger` among them."""
    found: dict[str, Parser] = {}
    todo = [("", build_parser(["sandbox"]))]
    while todo:
        name, parser = todo.pop()
        subparsers = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
        for action in subparsers:
            todo += [(f"{name} {one}".strip(), sub) for one, sub in action.choices.items()]
        if not subparsers:
            found[name] = parser
    return found


COMMANDS = _commands()


def _flags(parser: Parser) -> set[str]:
    return {flag for action in parser._actions for flag in action.option_strings}


def test_run_has_every_setting_in_the_group_of_its_row() -> None:
    """The help has one section per group, in the order of the table."""
    sections = {group.title: group for group in COMMANDS["run"]._action_groups[2:]}

    assert list(sections) == [group.value for group in Group]
    for row in SETTINGS.values():
        flags = [action.option_strings for action in sections[row.group.value]._group_actions]
        assert [*filter(None, [row.short_flag]), row.flag] in flags


def test_the_help_of_run_names_every_metavar_and_default() -> None:
    """What the contract shows beside a flag, the help shows too."""
    text = " ".join(COMMANDS["run"].format_help().split())

    for row in SETTINGS.values():
        assert f"{row.flag} {row.metavar}".strip() in text
        assert row.help_text in text


def test_retry_has_the_settings_of_run_but_those_that_are_for_run_only() -> None:
    """`retry --in-doubt` is a flag of its own: which jobs to retry."""
    only_run = {row.flag for row in SETTINGS.values() if row.only_run}

    assert _flags(COMMANDS["run"]) - _flags(COMMANDS["retry"]) == only_run - {"--in-doubt"}
    assert COMMANDS["retry"].parse_args(["m.csv", "--in-doubt"]).doubts is True


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_with_a_manifest_takes_what_says_which_batch(name: str) -> None:
    """`--run-dir` and the flags that shape the jobs; a command without MANIFEST has neither."""
    parser = COMMANDS[name]
    has_manifest = any(action.dest == "manifest" for action in parser._actions)

    assert ({row.flag for row in BATCH_SETTINGS} <= _flags(parser)) is has_manifest
    assert ("--run-dir" in _flags(parser)) is has_manifest


def test_each_value_that_can_be_wrong_is_tried_below() -> None:
    """A new setting needs an example here."""
    assert set(WRONG) == {
        row.flag
        for row in SETTINGS.values()
        if row.metavar and row.parse not in (str, canonical_text)
    }


@pytest.mark.parametrize("row", [SETTINGS[flag[2:].replace("-", "_")] for flag in WRONG],
    ids=lambda row: row.key)  # fmt: skip
def test_a_wrong_value_is_named_with_its_flag(row: Setting) -> None:
    """And with what would be right, as in a manifest."""
    value = WRONG[row.flag]
    with pytest.raises(ValueError, match=re.escape(repr(value))) as said:
        row.parse(value)

    with pytest.raises(UsageError) as raised:
        build_parser().parse_args(["run", "m.csv", f"{row.flag}={value}"])

    assert str(raised.value).startswith(f"argument {row.flag}: {said.value}\nSee: batchgen run -h")


def test_other_commands_wait_for_a_run_or_fail_but_never_skip() -> None:
    """A `resolve` that was skipped would only seem to have worked."""
    with pytest.raises(UsageError, match="argument --if-locked: 'skip' is for run"):
        build_parser().parse_args(["cancel", "m.csv", "--if-locked", "skip"])


@pytest.mark.parametrize(("value", "says"), [
    ("1ms", "not between 100ms and 1d"), ("m.csv", "MANIFEST goes before --watch"),
])  # fmt: skip
def test_a_watch_has_a_period_that_can_be_followed(value: str, says: str) -> None:
    """`status --watch m.csv` takes the manifest for a duration; the error says so."""
    with pytest.raises(UsageError, match=f"argument --watch: .*{says}"):
        build_parser().parse_args(["status", "m.csv", "--watch", value])


@pytest.mark.parametrize("name", sorted({name.split()[0] for name in COMMANDS}))
def test_the_nearest_command_is_named(name: str) -> None:
    """Two letters are swapped."""
    typo = name[0] + name[2] + name[1] + name[3:]
    with pytest.raises(UsageError, match=f"{typo!r} is not known; did you mean '{name}'"):
        build_parser().parse_args([typo, "m.csv"])


@pytest.mark.parametrize("flag", [row.flag for row in SETTINGS.values() if len(row.flag) > 6])
def test_the_nearest_flag_is_named(flag: str) -> None:
    """A letter is missing; the help that is named is that of the command."""
    with pytest.raises(UsageError) as raised:
        build_parser().parse_args(["run", "m.csv", f"{flag[:4]}{flag[5:]}=1"])
    assert "did you mean '--" in str(raised.value)
    assert str(raised.value).endswith("See: batchgen run -h")


def test_what_is_near_nothing_is_answered_by_what_exists() -> None:
    """A list of commands is better than silence."""
    with pytest.raises(UsageError, match="known are run, retry, resolve"):
        build_parser().parse_args(["frobnicate"])
