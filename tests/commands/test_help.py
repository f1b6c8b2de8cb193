"""`help TOPIC`: pages of plain text, and the help of every command."""

from __future__ import annotations

import pytest

from batchgen.cli import main
from batchgen.cli.parser import COMMANDS
from batchgen.commands.help import topics


def test_the_list_has_every_topic_and_command(capsys: pytest.CaptureFixture[str]) -> None:
    """On stdout, each topic with its first line."""
    assert main(["help"]) == 0

    out = capsys.readouterr().out
    for name, text in topics().items():
        assert f"  {name:<13}{text.splitlines()[0]}\n" in out
    assert all(name in out for name in COMMANDS)


@pytest.mark.parametrize("name", topics())
def test_a_topic_is_printed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One that is a command too says how to see its flags."""
    assert main(["help", name]) == 0

    out = capsys.readouterr().out
    assert out.startswith(topics()[name].splitlines()[0])
    assert (f"batchgen {name} -h" in out) == (name in COMMANDS)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in topics()])
def test_help_of_a_command_is_what_its_flag_prints(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Examples included."""
    assert main([name, "-h"]) == 0
    by_flag = capsys.readouterr().out
    assert main(["help", name]) == 0

    assert capsys.readouterr().out == by_flag
    assert COMMANDS[name].examples[0] in by_flag


def test_an_action_has_help_too(capsys: pytest.CaptureFixture[str]) -> None:
    """`help ledger merge`."""
    assert main(["help", "ledger", "merge"]) == 0
    assert "OUT_DIR" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["mony"], ["statsu"], ["nothing", "at", "all"]])
def test_what_is_not_known_is_answered_by_what_is_near(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 64."""
    assert main(["help", *words]) == 64

    err = capsys.readouterr().err
    assert "did you mean 'money'?" in err or "did you mean 'status'?" in err or "lists all" in err
