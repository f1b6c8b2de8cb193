"""A real prompt collection, killed on the way: the figures that the promise comes down to."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from batchgen.sandbox import SandboxConfig
from tests.kit.ledger_view import states
from tests.kit.live import accepted, batchgen, kill_after, live_sandbox, start
from tests.kit.pictures import is_whole_png

KILLS = 5


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_real_collection_survives_five_kills(shared: Path, tmp_path: Path) -> None:
    """1,632 prompts at concurrency 32: one job a row at most, nothing lost, a second run idle."""
    manifest = shared / "data" / "partiprompts" / "PartiPrompts.tsv"
    run_dir = tmp_path / "parti.run"
    words = ("run", manifest, "--run-dir", run_dir, "--concurrency", "32")
    chance = random.Random(11)
    config = SandboxConfig(capacity=64, duration_min_s=0.2, duration_max_s=0.8)

    with live_sandbox(config) as sandbox:
        for _ in range(KILLS):
            run = start(*words, sandbox=sandbox)
            assert kill_after(run, sandbox, chance.randint(40, 260))
        last = batchgen(*words, sandbox=sandbox)
        paid = Counter(accepted(sandbox).values())
        before = sandbox.audit
        again = batchgen(*words, sandbox=sandbox)
        after = sandbox.audit

    final = Counter(states(run_dir).values())
    on_disk = list((run_dir / "outputs").glob("*.png"))
    print(f"jobs per number of accepted submissions: {dict(paid)}")
    print(f"final states: {dict(final)}; files on disk: {len(on_disk)}; exit {last.code}")
    print(f"calls of the second run: {after.call_count - before.call_count}, exit {again.code}")
    assert set(paid) == {1}, "paid twice"
    assert final.total() == 1632
    assert set(final) <= {"downloaded", "in_doubt"}
    assert len(on_disk) == final["downloaded"]
    assert all(is_whole_png(path.read_bytes()) for path in on_disk)
    assert after.call_count == before.call_count, "the second run called the API"
    # A job whose answer was lost to a kill may run remotely; no run can count what it cannot know.
    assert after.in_flight_high_water <= 32 + final["in_doubt"]
    assert last.code == again.code == (1 if final["in_doubt"] else 0)
