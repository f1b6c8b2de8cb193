"""The storage host: nothing is paid for that could not be downloaded from here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from batchgen.app.command_context import CommandContext
from batchgen.app.paying_run import STORAGE_HOST
from batchgen.core.errors import ServiceUnreachable, TokenMissing
from tests.kit.live import batchgen, live_sandbox, prompts
from tests.kit.world import World

PRIVATE = ("10.0.0.5", "127.0.0.1", "192.168.7.1", "169.254.1.1", "0.0.0.0", "100.64.0.1",
           "::1", "fe80::1", "fd00::7", "::ffff:10.0.0.5", "64:ff9b::a00:5")  # fmt: skip


@dataclass
class Names:
    """What names have as their addresses on this machine."""

    answer: tuple[str, ...] | Exception
    asked: list[str] = field(default_factory=list)

    def patched(self) -> Any:
        async def addresses_of(_: CommandContext, host: str) -> tuple[str, ...]:
            self.asked.append(host)
            if isinstance(self.answer, Exception):
                raise self.answer
            return self.answer

        return patch.object(CommandContext, "addresses_of", addresses_of)


@pytest.mark.parametrize("address", PRIVATE)
@pytest.mark.parametrize("before", [(), ("8.8.8.8",)])
def test_a_storage_host_with_a_private_address_stops_the_run_before_it_pays(
    tmp_path: Path, address: str, before: tuple[str, ...]
) -> None:
    """Exit 69 with the address; with --no-download nothing is to be fetched."""
    world, manifest = World(), prompts(tmp_path / "m.csv", 2)

    with Names((*before, address)).patched():
        with pytest.raises(ServiceUnreachable) as stopped:
            world.batchgen("run", manifest)
        assert not world.api.posts
        assert world.batchgen("run", manifest, "--no-download").code == 0

    assert stopped.value.exit_code == 69
    for word in (STORAGE_HOST, address, "private", "--no-download"):
        assert word in str(stopped.value)


def test_a_missing_token_is_reported_first(tmp_path: Path) -> None:
    """Of two reasons not to begin, the user hears the one that comes first: 77 before 69."""
    world, manifest = World(token=""), prompts(tmp_path / "m.csv", 2)
    names = Names(("10.0.0.5",))

    with names.patched(), pytest.raises(TokenMissing):
        world.batchgen("run", manifest)

    assert names.asked == []


@pytest.mark.parametrize("answer", [("8.8.8.8", "2606:4700::1"), (), OSError("no such name")])
def test_any_other_answer_stops_nothing(
    tmp_path: Path, answer: tuple[str, ...] | Exception
) -> None:
    """A lookup that fails says so; the outputs are fetched when they can be."""
    world, names = World(), Names(answer)

    with names.patched():
        done = world.batchgen("run", prompts(tmp_path / "m.csv", 1))

    assert names.asked == [STORAGE_HOST]
    assert sum(world.api.posts.values()) == 1
    assert ("could not be looked up (no such name)" in done.err) == isinstance(answer, Exception)


@pytest.mark.parametrize("again", ["nothing to submit", "dry run"])
def test_only_a_run_that_pays_asks(tmp_path: Path, again: str) -> None:
    """Neither a dry run nor one that has nothing to submit."""
    world, names, manifest = World(), Names(("10.0.0.5",)), prompts(tmp_path / "m.csv", 1)
    words: tuple[str, ...] = ("--dry-run",) if again == "dry run" else ()

    with names.patched():
        if not words:
            world.batchgen("run", manifest, "--no-download")
        world.batchgen("run", manifest, *words)

    assert names.asked == []


def sandbox_run(manifest: Path, _: object) -> int:
    return batchgen("run", manifest, "--sandbox").code


def loopback_run(manifest: Path, sandbox: Any) -> int:
    return batchgen("run", manifest, sandbox=sandbox).code


@pytest.mark.parametrize("run", [sandbox_run, loopback_run])
def test_an_api_on_this_machine_keeps_its_outputs_itself(
    tmp_path: Path, run: Callable[[Path, object], int]
) -> None:
    """Its private address is no fault."""
    with live_sandbox() as sandbox:
        assert run(prompts(tmp_path / "m.csv", 1), sandbox) == 0
