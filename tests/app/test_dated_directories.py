"""A run directory for each day: what is left of earlier ones, for any sequence of days."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)

from batchgen.app import paying_run
from batchgen.app.command_context import CommandContext
from batchgen.core.api_answers import Broke, Doubt, SubmitAnswer
from batchgen.core.events import JobError
from tests.app.test_money_machine import ENDED, KINDS, ROWS, Disk, MoneyMachine, public_addresses
from tests.kit import MODEL
from tests.kit.cases import few
from tests.kit.live import Done, write_csv
from tests.kit.world import DAY_S, World

DATED = f"model: {MODEL}\nrun_dir: runs/{{{{ date }}}}\nprompts: {{file: p.csv}}\n"
LOST = Doubt(error=JobError(kind="lost_answer", message="gone"))
BROKE = Broke(error=JobError(kind="generation", message="no"))


class Nights:
    """A batch with a directory for each day."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self.world, self.disk, self.base = World(), disk, path
        self.manifest = path / "m.yaml"
        self.manifest.write_text(DATED, encoding="utf-8")
        self.rows(3)

    def rows(self, count: int, begin: int = 0) -> None:
        write_csv(self.base / "p.csv", [f"r{n},text {n}" for n in range(begin, begin + count)])

    def run(self, *words: str) -> Done:
        return self.world.batchgen("run", self.manifest, *words)

    def command(self, *words: str) -> Done:
        return self.world.command(words[0], self.manifest, *words[1:])

    def next_day(self) -> None:
        self.world.sleep(DAY_S)

    @property
    def posts(self) -> int:
        return sum(self.world.api.posts.values())

    def days(self) -> list[Path]:
        runs = self.base / "runs"
        return sorted(runs.iterdir()) if runs.exists() else []

    def states(self, day: Path) -> dict[str, str]:
        text = (day / "ledger.jsonl").read_text(encoding="utf-8")
        lines = [json.loads(line) for line in text.splitlines()[1:]]
        return {line["job"]: line["state"] for line in lines}


@pytest.fixture
def nights(tmp_path: Path) -> Iterator[Nights]:
    """A batch of three rows, whose outputs are stored in memory."""
    disk = Disk()
    with (
        patch.object(paying_run, "store_of", lambda *_, **__: disk),
        patch.object(CommandContext, "addresses_of", public_addresses),
    ):
        yield Nights(tmp_path, disk)


LEFT = {
    "in flight": ("--job-timeout", "2s"),
    "not downloaded": ("--no-download",),
    "limited": ("--limit", "2"),
    "of an empty selection": ("--limit", "2"),
    "not selected": ("--select", "prompt = text 1"),
    "of too small a budget": ("--max-cost", "0.06"),
}


@pytest.mark.parametrize("left", LEFT)
@pytest.mark.parametrize("gone", [False, True], ids=["rows stay", "rows go"])
def test_what_a_night_left_is_done_on_the_next_day(nights: Nights, left: str, gone: bool) -> None:
    """Also if other runs in between selected nothing of it; what is paid for comes in any case."""
    nights.world.api.duration_s = 100.0 if left == "in flight" else 1.0
    nights.run(*LEFT[left])
    if left == "of an empty selection":
        nights.run("--select", "state = failed")
    first = nights.days()[0]
    paid = [job for job, state in nights.states(first).items() if state != "pending"]
    nights.next_day()
    if gone:
        nights.rows(2, begin=10)

    done = nights.run("--select", "")

    states = nights.states(first)
    assert done.code == 0, done.err
    assert all(states[job] == "downloaded" for job in paid)
    if not gone:
        assert list(states.values()) == ["downloaded"] * 3
    assert nights.posts == (len(paid) + 2 if gone else 6)


@pytest.mark.parametrize("left", ["in flight", "not downloaded"])
@pytest.mark.parametrize("name", ["", "new"], ids=["id goes", "other id"])
def test_what_a_night_left_is_done_although_its_row_has_another_name(
    nights: Nights, left: str, name: str
) -> None:
    """In the run that finds the name, also if nothing else is left there."""
    nights.rows(1)
    nights.world.api.duration_s = 100.0 if left == "in flight" else 1.0
    nights.run(*LEFT[left])
    nights.next_day()
    write_csv(nights.base / "p.csv", [f"{name},text 0"])

    done = nights.run("--job-timeout", "10m")

    first, *_ = nights.days()
    assert done.code == 0, done.err
    assert "downloaded" in nights.states(first).values()
    assert nights.posts == 2
    posts = nights.posts
    assert nights.run().code == 0
    assert nights.posts == posts


def test_a_selection_keeps_its_night_open_and_repeats_nothing(nights: Nights) -> None:
    """The selection is stored there: as long as it applies, later runs say nothing about it."""
    nights.run("--select", "prompt = text 1")
    nights.next_day()

    second = nights.run()
    listed = nights.command("runs").out
    third = nights.run("--select", "")

    assert (second.code, third.code) == (0, 0)
    assert "continued" not in second.err
    assert "work left" in listed
    assert "2027-01-15 still has work left; it is continued first" in third.err
    assert nights.posts == 6


def test_a_request_that_was_found_later_is_collected_in_its_night(nights: Nights) -> None:
    """A night whose doubt waited for the user was finished; the decision opens it again."""
    nights.rows(1)
    answers: list[SubmitAnswer] = [LOST]
    nights.world.api.on_submit = lambda *_: answers.pop() if answers else None
    nights.run()
    first = nights.days()[0]
    nights.next_day()
    nights.run()
    nights.next_day()
    nights.world.api._end_s["found"] = nights.world.elapsed_s
    assert (
        nights.command(
            "resolve", "--run-dir", str(first), "--job", "r0", "--request-id", "found"
        ).code
        == 0
    )

    assert nights.run().code == 0

    assert nights.states(first) == {"r0": "downloaded"}
    assert nights.posts == 3


@pytest.mark.parametrize("command", ["resolve", "retry"])
def test_a_job_of_an_earlier_night_is_found_or_its_night_is_named(
    nights: Nights, command: str
) -> None:
    """And nothing is made that was not asked for."""
    nights.rows(1)
    if command == "resolve":
        nights.world.api.on_submit = lambda *_: LOST
        nights.run()
        nights.world.api.on_submit = lambda *_: None
    else:
        nights.world.api.on_result = lambda _: BROKE
        nights.run("--max-attempts", "1")
        nights.world.api.on_result = lambda _: None
    first = nights.days()[0]
    if command == "resolve":
        nights.next_day()
        nights.run()
        said = nights.command("resolve", "--job", "r0", "--give-up")
        assert (said.code, first.name in said.err) == (64, True)
        return
    nights.next_day()
    done = nights.command("retry")
    assert done.code == 0, done.err
    assert nights.states(first) == {"r0": "downloaded"}
    assert nights.days() == [first]
    nights.next_day()
    posts = nights.posts
    assert nights.run().code == 0
    assert nights.posts == posts + 1


@pytest.mark.parametrize("narrow", [("--limit", "1"), ("--job", "r2")], ids=lambda words: words[0])
def test_a_flag_that_narrows_a_run_narrows_all_of_it(
    nights: Nights, narrow: tuple[str, ...]
) -> None:
    """Earlier directories too: at most one job in all, or only the one that is meant."""
    nights.run("--limit", "1")
    nights.next_day()
    before = nights.posts

    nights.run(*narrow)

    assert nights.posts - before == (1 if narrow[0] == "--limit" else 2)  # r2 in both directories
    if narrow[0] == "--job":
        assert nights.world.api.posts["text 1"] == 0


@pytest.mark.parametrize("fresh", [False, True])
def test_a_budget_of_a_day_counts_every_directory(nights: Nights, fresh: bool) -> None:
    """However the run came to it: earlier directories that are continued, and `--fresh`."""
    for _ in range(2):
        nights.run("--limit", "1", "--fresh")
        nights.next_day()
    nights.rows(3)
    before = nights.posts

    for words in ((["--fresh"],) if fresh else ()) + ([], []):
        nights.run("--max-cost", "0.10/day", *words)

    assert nights.posts - before == 3


@pytest.mark.parametrize("day", ["yesterday", "today", "tomorrow"])
@pytest.mark.parametrize("period", ["day", "month"])
def test_a_budget_counts_every_directory_although_one_is_named(
    nights: Nights, day: str, period: str
) -> None:
    """`--run-dir` chooses where to work, not which money counts; another series is another one."""
    nights.run("--limit", "1")
    nights.next_day()
    nights.run("--fresh", "--limit", "2")
    before = nights.posts
    place = {"tomorrow": nights.base / "runs/2027-01-17"}.get(day) or sorted(nights.days())[
        0 if day == "yesterday" else 1
    ]

    nights.run(
        "--run-dir", str(place), "--max-cost", f"{0.09 if period == 'day' else 0.12}/{period}"
    )

    assert nights.posts - before == 1
    assert len(nights.days()) == (3 if day == "tomorrow" else 2)
    nights.run("--run-dir", str(nights.base / "elsewhere"), "--max-cost", f"0.06/{period}")
    assert nights.posts - before == 3


def test_a_request_of_another_day_is_refused_although_a_directory_is_named(nights: Nights) -> None:
    """A request belongs to one job of one directory."""
    nights.rows(1)
    nights.world.api.on_submit = lambda *_: LOST
    nights.run()
    nights.world.api.on_submit = lambda *_: None
    nights.next_day()
    nights.run()
    first, second = nights.days()
    line = (second / "ledger.jsonl").read_text(encoding="utf-8").splitlines()[-1]

    done = nights.command(
        "resolve", "--run-dir", str(first), "--job", "r0",
        "--request-id", json.loads(line)["request_id"],
    )  # fmt: skip

    assert (done.code, second.name in done.err) == (64, True)


def test_a_directory_of_another_time_zone_is_continued(nights: Nights) -> None:
    """Its name may be that of a later day: earlier means begun earlier."""
    nights.world.api.duration_s = 100.0
    nights.run("--job-timeout", "2s")
    (first,) = nights.days()
    later = first.with_name("2099-01-01")
    first.rename(later)

    assert nights.run("--limit", "1").code == 0

    assert list(nights.states(later).values()) == ["downloaded"] * 3
    assert nights.posts == 4
    shown = nights.command("status").out
    assert "1 downloaded" in shown, "the directory that was begun last, in which the run worked"
    assert "2 pending" in shown


def test_a_directory_in_which_nothing_was_done_is_not_made(nights: Nights) -> None:
    """Whatever the command was."""
    for words in (["run", "--select", "prompt = none"], ["retry"], ["run", "--dry-run"]):
        assert nights.command(*words).code == 0

    assert nights.days() == []


# Any sequence.


class NightsMachine(MoneyMachine):
    """A batch with a directory for each day, and everything that may happen to it."""

    def __init__(self) -> None:
        super().__init__()
        self.manifest, self.sheet = self.base / "m.yaml", self.base / "p.csv"
        self.manifest.write_text(DATED, encoding="utf-8")

    def ledgers(self) -> list[Path]:
        return sorted((self.base / "runs").glob("*/ledger.jsonl"))

    def lines(self) -> list[dict[str, Any]]:
        return [line | {"at": one} for one in self.ledgers() for line in self.lines_of(one)]

    def records(self) -> dict[str, dict[str, Any]]:
        found = {f"{self.place_of(line)} {line['job']}": line for line in self.lines()}
        return {job: record for job, record in found.items() if "adopted_by" not in record}

    @staticmethod
    def place_of(record: Mapping[str, Any]) -> str:
        day: Path = record["at"].parent
        return day.name

    def resolve_words(self, record: dict[str, Any]) -> tuple[str, ...]:
        return "--job", record["job"], "--run-dir", str(record["at"].parent)

    @rule(
        narrow=st.sampled_from([("--limit", "1"), ("--limit", "2"), ("--job", "a"), ("--fresh",)]),
        is_away=st.booleans(),
    )
    def run_narrowed(self, narrow: tuple[str, ...], is_away: bool) -> None:
        """Run without any fault: at most so many POSTs, or only those of one row."""
        self.api.script, self.disk.is_away = [], is_away
        before = len(self.api.paid)
        self.command("run", *narrow, select="")
        new = self.api.paid[before:]
        if narrow[0] == "--limit":
            assert len(new) <= int(narrow[1]), new
        if narrow[0] == "--job":
            assert all(one.text.startswith("a") for one in new), new

    @precondition(lambda self: self.begun)
    @rule(name=st.sampled_from(ROWS), decision=st.sampled_from(["--give-up", "--resubmit"]))
    def resolve_without_a_date(self, name: str, decision: str) -> None:
        """The job is found, or the directory that has it is named."""
        done = self.command("resolve", "--job", name, decision)
        if done.code == 0:
            heirs = {one.get("adopted_by") for one in self.lines() if one["job"] == name}
            for record in self.records().values():  # by its name after rows have adopted jobs
                if record["job"] in {name, *heirs}:
                    self.decide(record)
        else:
            assert done.code == (64 if self.ledgers() else 65), done

    @precondition(lambda self: self.begun)
    @rule(
        choice=st.integers(0, 9),
        flags=st.sampled_from([(), ("--no-download",), ("--limit", "1"), ("--changed", "keep")]),
        script=st.lists(st.sampled_from(KINDS), max_size=3),
        by_name=st.booleans(),
    )
    def run_on_a_date(
        self, choice: int, flags: tuple[str, ...], script: list[str], *, by_name: bool
    ) -> None:
        """Run in one directory only, of whatever day."""
        days = self.ledgers()
        if not days:
            return
        place = days[choice % len(days)].parent
        words = ("--run-dir", str(place)) if by_name else ("--date", place.name)
        self.api.script, self.disk.is_away = list(script), False
        before = len(self.api.paid)
        self.command("run", *words, *flags, select="")
        assert {one.place for one in self.api.paid[before:]} <= {place.name}

    @rule(hours=st.sampled_from([24, 24, 48]))
    def days_pass(self, hours: int) -> None:
        self.time_passes(hours)

    def _check_that_nothing_is_lost(self) -> None:
        """Also in every directory nothing is left to do of a row that it began with."""
        super()._check_that_nothing_is_lost()
        records = {(self.place_of(one), one["job"]): one for one in self.records().values()}
        for ledger in self.ledgers():
            begun_with = (ledger.parent / "jobs.jsonl").read_text(encoding="utf-8").splitlines()
            for name in {json.loads(line) for line in begun_with} & self.stays:
                record = records.get((ledger.parent.name, name))
                assert record is not None, (ledger.parent.name, name)
                assert record["state"] in (*ENDED, "in_doubt"), record
                assert record["state"] != "completed" or record.get("given_up"), record


def nights_with(budgets: tuple[str, ...]) -> type[RuleBasedStateMachine]:
    def init(self: NightsMachine) -> None:
        NightsMachine.__init__(self)
        self.api.budgets = budgets

    return type("NightsMachine", (NightsMachine,), {"__init__": init})


BUDGETS: tuple[tuple[str, ...], ...] = ((), ("0.12/day",), ("0.40/month", "0.10/day"), ("0.25",))


@pytest.mark.parametrize("budgets", few(BUDGETS, 2), ids=" ".join)
def test_no_sequence_of_nights_pays_twice(budgets: tuple[str, ...]) -> None:
    """No row is paid for twice in a directory, and what is paid for in any of them comes."""
    few = settings(max_examples=9, stateful_step_count=12, deadline=None, derandomize=True)
    run_state_machine_as_test(nights_with(budgets), settings=few)


@pytest.mark.slow
@pytest.mark.parametrize("budgets", BUDGETS, ids=" ".join)
def test_no_long_sequence_of_nights_pays_twice(budgets: tuple[str, ...]) -> None:
    """The same over many more and longer sequences."""
    many = settings(max_examples=25, stateful_step_count=20, deadline=None, derandomize=True)
    run_state_machine_as_test(nights_with(budgets), settings=many)
