"""`--if-locked` in virtual time: ten minutes of waiting take none."""

from __future__ import annotations

import asyncio
from pathlib import Path

from batchgen.ledger.lock import RunLock
from tests.kit.live import prompts
from tests.kit.world import World


def test_a_wait_in_vain_takes_as_long_as_was_said(tmp_path: Path) -> None:
    """Then the run ends as one that did not wait, and names the process that holds the lock."""
    world, manifest = World(), prompts(tmp_path / "m.csv", 2)
    (tmp_path / "m.run").mkdir()

    with RunLock.acquire(tmp_path / "m.run", now_s=world.context.clock.now_s()):
        done = world.batchgen("run", manifest, "--no-download", "--if-locked", "wait=10m")

    assert done.code == 75
    assert "waiting up to 10 min" in done.err
    assert "(waited 10 min" in done.err
    assert 600 <= world.elapsed_s <= 601.5
    assert not world.api.posts


def test_a_wait_ends_with_the_lock(tmp_path: Path) -> None:
    """Within a second or so of the other run's end."""
    world, manifest = World(), prompts(tmp_path / "m.csv", 2)
    (tmp_path / "m.run").mkdir()
    lock = RunLock.acquire(tmp_path / "m.run", now_s=world.context.clock.now_s())

    async def let_go() -> None:
        await world.context.clock.sleep(90)
        lock.release()

    async def run_beside() -> int:
        other = asyncio.create_task(let_go())
        code = await world.run(
            "run", manifest, "--no-download", "--quiet", "--if-locked", "wait=10m"
        )
        await other
        return code

    assert world.do(run_beside()) == 0
    assert 90 <= world.elapsed_s <= 130
    assert len(world.api.posts) == 2
