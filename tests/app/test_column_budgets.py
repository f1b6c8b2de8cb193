"""Budgets by column: each client at its own cap, over runs, days, edits and directories."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchgen.core.api_answers import Broke, Produced
from batchgen.core.events import ErrorKind, JobError
from batchgen.core.units import local_date, seconds
from tests.app.test_decisions import LOST, Batch, outputs_in_memory
from tests.kit.live import Done
from tests.kit.world import DAY_S


class Clients(Batch):
    """A batch whose rows belong to clients."""

    def clients(self, **rows: str) -> None:
        """Write one row for each job, with its client."""
        lines = [f"{job},a {job},{client}" for job, client in rows.items()]
        self.manifest.write_text("\n".join(["id,prompt,Client", *lines]) + "\n")

    def spent(self, period: int = 10) -> dict[tuple[str, str], float]:
        """Return what may have been charged, by client and day (or month), from the ledgers alone.

        Each POST counts with its reported cost, or else with its price unless it is certain that
        nothing was accepted.
        """
        found: dict[tuple[str, str], float] = defaultdict(float)
        for path in self.manifest.parent.rglob("ledger.jsonl"):
            posts: dict[tuple[str, str], dict[str, Any]] = {}
            for text in path.read_text(encoding="utf-8").splitlines()[1:]:
                line = json.loads(text)
                key = (line["job"], line["submitted_at"])
                posts[key] = posts.get(key, {}) | line
            for (_, at), post in posts.items():
                price = 0.0 if post["state"] == "pending" else post["price_usd"]
                day = local_date(seconds(at) or 0.0)[:period]
                found[post["by"]["Client"], day] += post.get("cost_usd", price)
        return {key: round(usd, 6) for key, usd in found.items()}


@pytest.fixture
def batch(tmp_path: Path) -> Iterator[Clients]:
    """A batch whose outputs are stored in memory."""
    with outputs_in_memory() as disk:
        made = Clients(tmp_path, disk)
        made.cost(0.03)
        yield made


def done_of(batch: Clients) -> set[str]:
    return {line["job"] for line in batch.lines() if line["state"] == "downloaded"}


def test_one_client_is_held_and_the_others_continue(batch: Clients) -> None:
    """Nothing of the others waits, the exit code says that something is left, and why."""
    batch.clients(a="acme", b="acme", c="acme", d="zeta", e="zeta", f="")
    done = batch.run("--max-cost-by", "client=0.06", "--json")

    assert done_of(batch) == {"a", "b", "d", "e", "f"}
    assert (done.code, json.loads(done.out)["reasons"]) == (75, ["budget used up"])
    assert "the budget for Client=acme this batch of $0.06 is used up" in done.err
    assert done.err.count("is used up") == 1


def test_what_is_left_goes_on_with_a_larger_budget(batch: Clients) -> None:
    """The next run continues where the cap held."""
    batch.clients(a="acme", b="acme", c="acme")
    assert batch.run("--max-cost-by", "client=0.06").code == 75
    assert batch.run("--max-cost-by", "client=0.06").code == 75
    assert len(done_of(batch)) == 2
    assert batch.run("--max-cost-by", "client=0.09").code == 0


def test_each_day_has_its_own_budget(batch: Clients) -> None:
    """It ends at midnight, for each client."""
    batch.clients(**{f"j{n}": "acme" for n in range(6)})
    for night in range(3):
        code = batch.run("--max-cost-by", "client=0.06/day").code
        assert code == (0 if night == 2 else 75)
        batch.world.sleep(DAY_S)
    assert set(batch.spent().values()) == {0.06}


def test_a_cheaper_end_makes_room(batch: Clients) -> None:
    """A job waits for those of its client that are in flight, as the reported cost may be lower."""
    batch.clients(a="acme", b="acme", c="acme", d="acme")
    batch.cost(0.01)
    assert batch.run("--max-cost-by", "client=0.06").code == 0
    assert batch.spent() == {("acme", local_date(batch.world.context.clock.now_s())): 0.04}


def test_a_doubt_keeps_its_reservation(batch: Clients) -> None:
    """It may have been charged to this client."""
    batch.clients(a="acme", b="acme", c="zeta")
    batch.lose(1)
    batch.run("--max-cost-by", "client=0.05")
    assert done_of(batch) == {"c"}


def test_a_row_that_changes_its_client_moves_no_money(batch: Clients) -> None:
    """What was charged to one client is not charged to another by an edit of the spreadsheet."""
    batch.clients(a="acme", b="acme")
    assert batch.run("--max-cost-by", "client=0.06").code == 0
    batch.clients(a="zeta", b="zeta", c="acme", d="zeta")
    assert batch.run("--max-cost-by", "client=0.06").code == 75
    assert done_of(batch) == {"a", "b", "d"}


def test_what_was_spent_before_counts_by_its_row(batch: Clients) -> None:
    """A budget that is new holds for what an earlier run without it has spent."""
    batch.clients(a="acme", b="zeta")
    assert batch.run().code == 0
    batch.clients(a="acme", b="zeta", c="acme", d="zeta")
    assert batch.run("--max-cost-by", "client=0.05").code == 75
    assert done_of(batch) == {"a", "b"}
    assert batch.run("--max-cost-by", "client=0.06").code == 0


def test_a_redo_counts_too(batch: Clients) -> None:
    """Another take is charged to the client of the row."""
    batch.clients(a="acme")
    batch.run("--max-cost-by", "client=0.05")
    path = batch.manifest.with_name("review.csv")
    path.write_text("job,verdict\na,redo\n")
    batch.world.command("review", batch.manifest, path)
    assert batch.run("--max-cost-by", "client=0.05").code == 75
    assert sum(batch.api.posts.values()) == 1


def test_all_budgets_hold_at_once(batch: Clients) -> None:
    """That of the day stops the run, that of a client only its jobs."""
    batch.clients(a="acme", b="acme", c="zeta", d="zeta", e="zeta")
    done = batch.run("--max-cost-by", "client=0.03", "--max-cost", "0.06/day")
    assert done.code == 75
    assert done_of(batch) == {"a", "c"}


@pytest.mark.parametrize(
    ("flag", "code", "text"),
    [
        ("cleint=5", 65, "--max-cost-by: there is no column 'cleint'"),
        ("client", 64, "is not of the form COLUMN=USD"),
        ("client=x", 64, "'x' is not a budget"),
    ],
)
def test_a_wrong_flag_is_a_sentence(batch: Clients, flag: str, code: int, text: str) -> None:
    """A budget that would never hold is refused before anything is paid."""
    batch.clients(a="acme")
    try:
        done = batch.world.command("run", batch.manifest, "--model", "a/b", "--max-cost-by", flag)
    except Exception as error:  # noqa: BLE001 - the parser raises what cli turns into text
        done = Done(getattr(error, "exit_code", 70), "", str(error))
    assert (done.code, text in done.err) == (code, True), done.err
    assert not batch.api.posts


def test_many_jobs_of_a_client_without_room(batch: Clients) -> None:
    """Thousands of its rows keep nobody else waiting, and the run ends."""
    rows = {f"a{n}": "acme" for n in range(5_000)} | {"z1": "zeta", "z2": "zeta"}
    batch.clients(**rows)
    assert batch.run("--max-cost-by", "client=0.09").code == 75
    assert {"z1", "z2"} < done_of(batch)
    assert len(done_of(batch)) == 5


FAILED = Broke(error=JobError(kind=ErrorKind.GENERATION, message="no"), cost_usd=None)

nights = st.lists(
    st.fixed_dictionaries(
        {
            "clients": st.lists(st.sampled_from(["acme", "zeta", ""]), min_size=1, max_size=7),
            "lost": st.sets(st.integers(1, 8), max_size=3),
            "costs": st.lists(st.sampled_from([None, 0.01, 0.03]), min_size=8, max_size=8),
            "fails": st.booleans(),
            "next_day": st.booleans(),
        }
    ),
    min_size=1,
    max_size=5,
)


@settings(deadline=None, max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(nights=nights, number=st.integers(0, 10**9))
def test_no_sequence_passes_a_cap(
    tmp_path: Path, nights: list[dict[str, Any]], number: int
) -> None:
    """Over costs, doubts, failures, edits of clients, and days: no client is above its cap.

    No reported cost is above the price, as the estimates are what a cap can hold.
    """
    path = tmp_path / str(number) / str(len(list(tmp_path.rglob("m.csv"))))
    path.mkdir(parents=True)
    with outputs_in_memory() as disk:
        batch = Clients(path, disk)
        for one in nights:
            _play(batch, one)
            assert all(usd <= 0.07 for usd in batch.spent().values()), batch.spent()


def _play(batch: Clients, one: dict[str, Any]) -> None:
    costs = iter(one["costs"] * 20)

    def result(rid: str) -> Broke | Produced:
        return FAILED if one["fails"] else Produced(outputs=(f"https://x/{rid}",),
            cost_usd=next(costs))  # fmt: skip

    batch.clients(**{f"j{n}": client for n, client in enumerate(one["clients"])})
    batch.api.on_result = result
    batch._on_submit(dict.fromkeys(one["lost"], LOST))
    batch.run("--max-cost-by", "client=0.07/day")
    if one["next_day"]:
        batch.world.sleep(DAY_S)


def test_earlier_attempts_count_in_the_next_run(batch: Clients) -> None:
    """Each failure without a cost may have been charged, also when a later attempt follows it."""
    batch.clients(a="acme")
    batch.api.on_result = lambda rid: FAILED
    for _ in range(3):
        batch.run("--max-cost-by", "client=0.07/day")
    assert sum(batch.api.posts.values()) == 2
