"""The pages of docs/: those made from code are up to date, links and pictures are there."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from batchgen.cli.parser import COMMANDS
from batchgen.commands.help import topics
from batchgen.core import errors
from batchgen.core.errors import BatchgenError
from batchgen.core.lifecycle import JobState
from batchgen.core.stop_reasons import EFFECTS
from tests.conftest import REPO
from tests.write_cli_pages import MANUAL, PAGE, cli_page, command_pages, manual, spelled
from tests.write_messages_page import PAGE as MESSAGES
from tests.write_messages_page import messages, page
from tests.write_settings_page import PAGE as SETTINGS_PAGE
from tests.write_settings_page import settings_page

PAGES = sorted([*REPO.glob("docs/*.md"), REPO / "README.md", REPO / "batchgen/ARCHITECTURE.md"])
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


@pytest.mark.parametrize(
    ("path", "make"),
    [(PAGE, cli_page), (MANUAL, manual), (MESSAGES, page), (SETTINGS_PAGE, settings_page)],
    ids=lambda one: getattr(one, "name", ""),
)
def test_a_page_that_is_made_from_code_is_up_to_date(path: object, make: Callable[[], str]) -> None:
    """`make docs` writes it again."""
    assert path.read_text(encoding="utf-8") == make()  # type: ignore[attr-defined]


def test_every_command_and_flag_is_on_the_page() -> None:
    """Also the actions of `ledger`; and each command has an example that names it."""
    text = PAGE.read_text(encoding="utf-8")
    names = [one.name for one in command_pages()]

    assert names[:2] == ["run", "retry"]
    assert "ledger merge" in names
    for one in command_pages():
        assert f"## batchgen {one.name}\n" in text
        for _, actions in one.groups:
            assert all(spelled(action).split()[0] in text for action in actions)
    for name, about in COMMANDS.items():
        assert about.examples
        assert all(example.startswith(f"batchgen {name}") for example in about.examples)


def test_the_manual_is_one_that_man_can_read() -> None:
    """Each line is text or a known request, and no dash would become a hyphen."""
    known = {".TH", ".SH", ".SS", ".TP", ".PP", ".B", ".I", ".nf", ".fi", '.\\"'}
    for line in MANUAL.read_text(encoding="utf-8").splitlines()[1:]:
        assert not line.startswith("'")
        if line.startswith("."):
            assert line.split()[0] in known
        else:
            assert not re.search(r"(?<!\\)-", line)


def test_every_message_that_is_explained_exists() -> None:
    """A heading of the page about trouble is part of a message that can be printed."""
    known = " ".join(" ".join(one.text.split()) for one in messages()).lower()
    text = (REPO / "docs/troubleshooting.md").read_text(encoding="utf-8")
    headings = re.findall(r"^### (.+)$", text, re.MULTILINE)

    assert len(headings) > 15
    assert [one for one in headings if one.lower() not in known] == []


def test_messages_are_found_in_every_form() -> None:
    """As an argument, a return value, a variable, a table, and in the constructor of an error."""
    texts = {one.text for one in messages()}

    assert len(texts) > 400
    for part in (
        "no token: set RUNCOMFY_TOKEN", "is above the maximum", "could not be reached",
        "every row needs its own", "there is no ledger here any more", "internal error",
    ):  # fmt: skip
        assert any(part in text for text in texts), part


def test_every_error_that_ends_a_command_has_a_section_or_no_text_of_its_own() -> None:
    """A new error without a message on the page would be met by nobody."""
    text = MESSAGES.read_text(encoding="utf-8")
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, BatchgenError) and kind is not BatchgenError
    ]
    without = {kind.__name__ for kind in kinds if f"## {kind.__name__}:" not in text}

    assert without <= {
        "ManifestError", "LedgerError", "PaidFor", "MissingExtra", "NoWorkers",
        "HungUp", "Interrupted", "Terminated",
    }, "their texts are problems, findings of workers, or those of signals"  # fmt: skip


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path: object) -> None:
    """Within the repository; addresses elsewhere are not asked."""
    text = path.read_text(encoding="utf-8")  # type: ignore[attr-defined]
    folder = path.parent  # type: ignore[attr-defined]
    for target in _LINK.findall(text):
        name = target.split("#")[0]
        if name and "://" not in name:
            assert (folder / name).exists(), target


def test_the_topics_know_every_state_and_exit_code() -> None:
    """A new one has to be explained."""
    found = topics()
    states = set(re.findall(r"^  (\w+)", found["states"], re.MULTILINE))
    codes = {int(code) for code in re.findall(r"^ *(\d+)  ", found["exit-codes"], re.MULTILINE)}
    raised = {
        kind.exit_code
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, BatchgenError)
    }

    assert {state.value for state in JobState} - {"unknown"} <= states
    assert raised | {effect.exit_code for effect in EFFECTS.values()} | {0, 1} == codes
    assert all(len(text.splitlines()[0]) < 70 for text in found.values())
    assert all(len(line) <= 90 for text in found.values() for line in text.splitlines())
