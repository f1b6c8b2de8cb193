"""Any sequence of runs, edits, decisions, faults and days: nothing is paid twice, budgets hold."""

from __future__ import annotations

import json
import os
import random
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
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
from batchgen.core.api_answers import (
    Broke,
    Doubt,
    Gone,
    PollAnswer,
    Produced,
    RowRefused,
    SubmitAnswer,
    Submitted,
    TryAgain,
    WasCancelled,
)
from batchgen.core.events import ErrorKind, JobError
from batchgen.core.jobs import fingerprint
from batchgen.core.json_reader import JSONValue
from batchgen.core.units import local_date, seconds
from batchgen.ports import SaveAnswer, SaveLater
from batchgen.system import crash_points
from batchgen.system.crash_points import CrashPoint
from tests.kit import MODEL
from tests.kit.cases import few
from tests.kit.fakes import MemoryAPI, MemoryStore
from tests.kit.live import Done
from tests.kit.time import EPOCH_S
from tests.kit.world import World

MEMORY = Path("/dev/shm")
PRICE_USD = 0.03
SETTLED_S = 0.05
"""A cost that was reported less than this ago may not have been known when a POST was decided."""
ROWS = ("a", "b", "c", "d")
TEXTS: Mapping[str, tuple[str, ...]] = {
    "a": ("a1", "a2", "a3"), "b": ("b1", "b2"), "c": ("s1", "s2"), "d": ("s1", "s2"),
}  # fmt: skip
"""Rows c and d have the same texts: each has its own picture of them."""
KINDS = (
    "",
    "",
    "lost",
    "never sent",
    "refused",
    "failed",
    "failed, charged",
    "no output",
    "gone",
    "busy",
)
"""What happens to a POST; empty: it succeeds."""
COSTS = (0.03, 0.03, 0.05, 0.02, 0.3, None)
NARROWING = {"--no-download", "--limit", "--job", "--fresh", "--date"}
"""Flags with which a run leaves something open and ends well."""
BUDGETS = ((), ("0.25",), ("0.12/day",), ("0.40", "0.10/day"), ("0.30/month",))
BY_COLUMN = ("style=0.07", "style=0.07/day")
KILLS = (
    CrashPoint.BEFORE_INTENT,
    CrashPoint.INTENT_DURABLE,
    CrashPoint.ANSWER_HEARD,
    CrashPoint.REQUEST_ID_DURABLE,
    CrashPoint.RESULT_HEARD,
    CrashPoint.RESULT_DURABLE,
    CrashPoint.DOWNLOAD_BEGINS,
)
REVIEW_KILLS = (CrashPoint.REVIEW_WRITTEN, CrashPoint.REVIEW_DURABLE)


class Killed(BaseException):
    """The process is gone."""


def error(kind: str, **more: Any) -> JobError:
    return JobError(kind=kind, message=kind, **more)


@dataclass(eq=False)
class Post:
    """One POST that the API has accepted."""

    text: str
    at_s: float
    kind: str
    cost_usd: float | None
    price_usd: float
    request_id: str
    place: str = ""
    """The run directory that it belongs to."""
    heard: bool = True
    """Whether the ledger has its request_id."""
    decided: bool = False
    """Whether the user has decided about it while nobody knew what became of it."""
    ended_at_s: float | None = None
    """When its end was reported."""

    @property
    def is_over(self) -> bool:
        """Whether it is known to have no output."""
        return self.ended_at_s is not None and self.kind not in ("", "lost")

    def charge_usd(self, now_s: float) -> float:
        """Return what it counts in a budget, by what had been reported."""
        if self.ended_at_s is None or self.ended_at_s > now_s or self.reported_usd is None:
            return self.price_usd
        return self.reported_usd

    @property
    def reported_usd(self) -> float | None:
        """The cost that the API reports once it has ended."""
        return None if self.kind in ("failed", "gone", "cancelled") else self.cost_usd


@dataclass
class Account(MemoryAPI):
    """The API, with an account of what was paid for and when."""

    budgets: tuple[str, ...] = ()
    script: list[str] = field(default_factory=list)
    cost_usd: float | None = 0.03
    paid: list[Post] = field(default_factory=list)
    lost_free: list[tuple[str, float, float]] = field(default_factory=list)
    """Place, time and price of each POST whose answer was lost and that was not accepted."""
    capacity: dict[str, set[str]] = field(default_factory=dict)
    """By text: the rows that ever had it."""
    redone: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Text and place of each request of which the user wants another take."""
    resubmits_doubts: bool = False
    cancels: bool = False
    """While `cancel` looks at results, of which it records only that a job was cancelled."""
    dead: bool = False
    wrong: list[str] = field(default_factory=list)
    now_s: Any = None
    place_of: Callable[[str], str] = lambda text: ""
    """Returns the run directory in which this text is being submitted."""

    async def submit(self, model: str, values: Mapping[str, JSONValue]) -> SubmitAnswer:
        if self.dead:
            raise Killed
        self._check(self.text_of(values))
        return await super().submit(model, values)

    @staticmethod
    def text_of(values: Mapping[str, JSONValue]) -> str:
        """Return what names an input."""
        return str(values["prompt"])

    def _check(self, text: str) -> None:
        place = self.place_of(text)
        same = [one for one in self.paid if (one.text, one.place) == (text, place)]
        for one in same:
            one.decided |= self.resubmits_doubts and not one.heard
        alive = [one for one in same if self._counts(one)]
        takes = sum(one == (text, place) for one in self.redone.values())
        if len(alive) >= len(self.capacity.get(text, "1")) + takes:
            self.wrong.append(f"{text!r} is submitted again in {place!r}: {alive}")
        now_s = self.now_s()
        for budget in self.budgets:
            limit_usd, _, period = budget.partition("/")
            today = {"": "", "day": self._date(now_s), "month": self._date(now_s)[:7]}[period]
            here = {place} if not period else self._places()
            spent_usd = sum(
                one.charge_usd(now_s)
                for one in self.paid
                if one.place in here and self._date(one.at_s).startswith(today)
            ) + sum(
                usd
                for at, at_s, usd in self.lost_free
                if at in here and self._date(at_s).startswith(today)
            )
            if spent_usd + self.price_usd(now_s) > float(limit_usd) + 1e-6:
                self.wrong.append(f"{budget}: {spent_usd} + {self.price_usd(now_s)}")

    @staticmethod
    def _counts(one: Post) -> bool:
        """Whether a request has an output, or may have one for all that the user has said."""
        return not (one.is_over or (one.decided and not one.heard))

    def _places(self) -> set[str]:
        return {*(one.place for one in self.paid), *(at for at, _, _ in self.lost_free)}

    @staticmethod
    def _date(at_s: float) -> str:
        return local_date(EPOCH_S + at_s)

    def price_usd(self, now_s: float) -> float:
        """Return what is to be reserved: the price, or the highest cost reported before."""
        reported = (
            one.reported_usd or 0.0
            for one in self.paid
            if one.ended_at_s is not None and one.ended_at_s < now_s - SETTLED_S
        )
        return max((PRICE_USD, *reported))

    def answer(self, values: Mapping[str, JSONValue], _: int) -> SubmitAnswer | None:
        kind, text, now_s = (
            self.script.pop(0) if self.script else "",
            self.text_of(values),
            self.now_s(),
        )
        price_usd = self.price_usd(now_s)
        match kind:
            case "never sent":
                self.lost_free.append((self.place_of(str(text)), now_s, price_usd))
                return Doubt(error=error("lost_answer"))
            case "refused":
                return RowRefused(error=error("refused", http_status=422))
            case "busy":
                return TryAgain(error=error("not_accepted", http_status=429), retry_after_s=1.0)
        request_id = f"r{len(self.paid) + 1}"
        place = self.place_of(str(text))
        post = Post(str(text), now_s, kind, self.cost_usd, price_usd, request_id, place)
        post.heard = kind != "lost" and not self.dead
        self.paid.append(post)
        self._end_s[request_id] = now_s + self.duration_s
        return Submitted(request_id=request_id) if post.heard else Doubt(error=error("lost_answer"))

    async def result(self, request_id: str) -> PollAnswer:
        answer = await super().result(request_id)
        post = next((one for one in self.paid if one.request_id == request_id), None)
        if post is None:
            return answer
        if isinstance(answer, Produced):
            answer = self._end_of(post)
        if isinstance(answer, WasCancelled):
            post.kind = "cancelled"
        is_end = isinstance(answer, WasCancelled) or (
            isinstance(answer, (Produced, Broke, Gone)) and not self.cancels
        )
        if is_end and post.ended_at_s is None:
            post.ended_at_s = self.now_s()
        return answer

    def _end_of(self, post: Post) -> PollAnswer:
        match post.kind:
            case "failed":
                return Broke(error=error(ErrorKind.GENERATION))
            case "failed, charged":
                return Broke(error=error(ErrorKind.GENERATION), cost_usd=post.cost_usd)
            case "no output":
                return Produced(outputs=(), cost_usd=post.cost_usd)
            case "gone":
                return Gone(error=error(ErrorKind.EXPIRED))
            case _:
                url = f"https://files.runcomfy.net/{post.request_id}.png"
                return Produced(outputs=(url,), cost_usd=post.cost_usd)


@dataclass
class Disk(MemoryStore):
    """Where outputs go; nothing can be fetched while `is_away`."""

    is_away: bool = False

    async def save(self, *args: Any, **more: Any) -> SaveAnswer:
        if self.is_away:
            return SaveLater(error=error("host"), hopeless=True)
        return await super().save(*args, **more)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


async def public_addresses(*_: object) -> tuple[str, ...]:
    """Take the place of a lookup."""
    return ("93.184.216.34",)


@asynccontextmanager
async def no_address_check(*_: object) -> AsyncIterator[None]:
    """Take the place of the look at addresses."""
    yield None


@dataclass
class Row:
    """A row of the spreadsheet."""

    text: str
    style: str
    has_id: bool = True
    is_there: bool = True


class MoneyMachine(RuleBasedStateMachine):
    """A batch and everything that may happen to it, with an account of what was paid."""

    def __init__(self) -> None:
        super().__init__()
        self.base = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        self.manifest, self.run_dir = self.base / "m.csv", self.base / "m.run"
        self.sheet = self.manifest
        self.api = Account()
        self.api.on_submit = self.api.answer
        self.api.place_of = self.submitting
        self.world = World(api=self.api, price_usd=PRICE_USD)
        self.api.now_s = lambda: (
            self.world.elapsed_s if self.world.loop is None else self.world.loop.time()
        )
        self.disk = Disk()
        styles = {"a": "x", "b": "y", "c": "x", "d": "y"}
        self.rows = {name: Row(TEXTS[name][0], styles[name]) for name in ROWS}
        self.kept: dict[str, dict[str, tuple[str, str | None]]] = {}
        """By row with an id, and by directory: its text and the request that was downloaded."""
        self.stays = set(ROWS)
        """The rows that were there all the time, with their ids."""
        self.begun = False
        self.log: list[str] = []

    # The spreadsheet.

    def save(self) -> None:
        lines = ["id,prompt,style"]
        for name, row in self.rows.items():
            if row.is_there:
                lines.append(f"{name if row.has_id else ''},{row.text},{row.style}")
                self.api.capacity.setdefault(row.text, set()).add(name)
        self.sheet.write_text("\n".join(lines) + "\n", encoding="utf-8")

    @rule(name=st.sampled_from(ROWS), choice=st.integers(0, 2))
    def edit(self, name: str, choice: int) -> None:
        texts = TEXTS[name]
        self.rows[name].text = texts[choice % len(texts)]
        self.kept.pop(name, None)
        self.log.append(f"edit {name} to {self.rows[name].text}")

    @rule(name=st.sampled_from(ROWS))
    def give_or_take_the_id(self, name: str) -> None:
        self.rows[name].has_id ^= True
        self.kept.pop(name, None)
        self.stays.discard(name)
        self.log.append(f"id of {name}: {self.rows[name].has_id}")

    @rule(name=st.sampled_from(ROWS))
    def remove_or_put_back(self, name: str) -> None:
        if sum(row.is_there for row in self.rows.values()) > 1 or not self.rows[name].is_there:
            self.rows[name].is_there ^= True
            self.kept.clear()
            self.stays.discard(name)
            self.log.append(f"row {name}: {self.rows[name].is_there}")

    # What the user does.

    @rule(
        select=st.sampled_from(["", "", "style = x", "style = y"]),
        flags=st.sampled_from(
            [(), (), (), ("--no-download",), ("--limit", "1"), ("--changed", "keep")]
        ),
        resubmit=st.sampled_from([False, False, False, True]),
        script=st.lists(st.sampled_from(KINDS), max_size=4),
        cost_usd=st.sampled_from(COSTS),
        kill=st.none() | st.tuples(st.sampled_from(KILLS), st.integers(1, 3)),
        is_away=st.sampled_from([False, False, False, True]),
    )
    def run(
        self,
        select: str,
        flags: tuple[str, ...],
        resubmit: bool,
        script: list[str],
        cost_usd: float | None,
        kill: tuple[CrashPoint, int] | None,
        is_away: bool,
    ) -> None:
        self.api.script, self.api.cost_usd = list(script), cost_usd
        self.api.resubmits_doubts, self.disk.is_away = resubmit, is_away
        if (
            resubmit
        ):  # that is a decision about every doubt, also if its row has another text by now
            for record in self.records().values():
                if record["state"] in ("in_doubt", "submitting"):
                    self.decide(record)
        more = ("--in-doubt", "resubmit") if resubmit else ()
        before = len(self.api.paid)
        open_texts = {self.text_of(one) for one in self.records().values() if one["state"] in OPEN}
        done = self.command("run", *flags, *more, select=select, kill=kill)
        self.api.resubmits_doubts = False
        if "--limit" in flags:  # what is in flight may fail, and is generated again
            texts = {(one.place, one.text) for one in self.api.paid[before:]}
            self._check_limit({text for _, text in texts if text not in open_texts})
        if done.code in (0, 1) and not (select or set(flags) & NARROWING):
            self._check_that_nothing_is_open()

    def _check_limit(self, texts: set[str]) -> None:
        assert len(texts) <= 1, texts

    @precondition(lambda self: self.begun)
    @rule(
        flag=st.sampled_from(["", "--in-doubt", "--cancelled"]),
        limit=st.sampled_from([(), (), ("--limit", "1")]),
        script=st.lists(st.sampled_from(KINDS), max_size=3),
    )
    def retry(self, flag: str, limit: tuple[str, ...], script: list[str]) -> None:
        before = self.records()
        self.api.script, self.disk.is_away = list(script), False
        if flag == "--in-doubt":
            for record in before.values():
                if record["state"] in ("in_doubt", "submitting"):
                    self.decide(record)
        self.command("retry", *((flag,) if flag else ()), *limit, select="")

    @precondition(lambda self: self.begun)
    @rule(
        name=st.integers(0, 5),
        decision=st.sampled_from(["--give-up", "--resubmit", "found", "own", "of another job"]),
        choice=st.integers(0, 9),
    )
    def resolve(self, name: int, decision: str, choice: int) -> None:
        records = self.records()
        if not records:
            return
        job = sorted(records)[name % len(records)]
        record = records[job]
        words = [decision]
        found: Post | None = None
        if decision == "found":
            text = self.text_of(record)
            lost = [one for one in self.api.paid if one.text == text and not one.heard]
            if not lost:
                return
            found = lost[choice % len(lost)]
            words = ["--request-id", found.request_id]
        elif decision == "own":
            words = ["--request-id", record["request_id"] or "r0"]
        elif decision == "of another job":
            heard = [one for one in self.api.paid if one.heard and one.text != self.text_of(record)]
            if not heard:
                return
            words = ["--request-id", heard[choice % len(heard)].request_id]
        done = self.command("resolve", *self.resolve_words(record), *words)
        if decision == "of another job":
            assert done.code == 64, done
        if done.code == 0 and found is not None:
            found.heard, found.decided = True, False
            found.place = self.place_of(record)
        is_wrong = decision == "own" and record["request_id"] is None  # as the API will say
        if done.code == 0 and (decision in ("--give-up", "--resubmit") or is_wrong):
            self.decide(record)

    @precondition(lambda self: self.begun)
    @rule(
        name=st.integers(0, 5),
        verdict=st.sampled_from(["redo", "redo", "redo", "keep", "reject"]),
        kill=st.none() | st.sampled_from(REVIEW_KILLS),
    )
    def review(self, name: int, verdict: str, kill: CrashPoint | None) -> None:
        """Give a verdict on a take that is on disk."""
        records = [one for one in self.records().values() if one["state"] == "downloaded"]
        if not records or self.place_of(records[0]):
            return
        record = sorted(records, key=lambda one: str(one["job"]))[name % len(records)]
        if verdict == "redo":
            self.api.redone[record["request_id"]] = self.text_of(record), ""
        path = self.base / "review.csv"
        path.write_text(f"job,take,verdict\n{record['job']},{record.get('take', 1)},{verdict}\n")
        more = (kill, 1) if kill is not None else None
        done = self.command("review", str(path), kill=more)
        assert done.code in (0, 65, -9), done  # 65: a row with another name has adopted it

    @precondition(lambda self: self.begun)
    @rule(command=st.sampled_from(["status", "report", "compact", "cancel"]))
    def something_else(self, command: str) -> None:
        if not self.ledgers():
            return
        if command == "compact":
            done = self.world.command("ledger", "compact", self.manifest)
        else:
            self.api.cancels = command == "cancel"
            done = self.command(command)
            self.api.cancels = False
        assert done.code in ((0, 75) if command == "cancel" else (0,)), done

    @rule(hours=st.sampled_from([1, 7, 24, 24 * 31]))
    def time_passes(self, hours: int) -> None:
        self.world.sleep(hours * 3600.0)
        self.log.append(f"{hours} hours")

    # How it is done, and what must be so afterwards.

    def command(
        self,
        *words: str,
        select: str | None = None,
        kill: tuple[CrashPoint, int] | None = None,
    ) -> Done:
        self.save()
        name, *rest = words
        line = [name, str(self.manifest), *rest]
        if select is not None:
            line += ["--model", MODEL, "--select", select, "--wait-for-api", "5s"]
            for budget in self.api.budgets:
                line += ["--max-cost", budget]
            if self.column_budget:
                line += ["--max-cost-by", self.column_budget]
                self.api.cost_usd = min(self.api.cost_usd or PRICE_USD, PRICE_USD)
            self.begun = True
        self.log.append(" ".join(line[:1] + line[2:]) + f" {self.api.script} {kill}")
        with self._machinery(kill):
            try:
                done = self.world.command(*line)
            except (Killed, AssertionError):  # the loop finds that nobody is left to wait for
                if not self.api.dead:
                    raise
            if self.api.dead:
                self._after_a_kill()
                done = Done(-9, "", "")
        self.log.append(f"  -> {done.code}, posts {len(self.api.paid)}")
        self._check_column_budget()
        assert done.code != 70, done.err
        assert "as the ledger has it" not in done.err, done.err
        assert not self.api.wrong, self.api.wrong
        self._check_that_jobs_stay()
        return done

    @contextmanager
    def _machinery(self, kill: tuple[CrashPoint, int] | None) -> Iterator[None]:
        passages = 0

        def hook(point: CrashPoint) -> None:
            nonlocal passages
            if threading.current_thread() is not threading.main_thread():
                return
            if self.api.dead:
                raise Killed
            if kill is not None and point is kill[0]:
                passages += 1
                if passages == kill[1]:
                    self.api.dead = True
                    self.snapshot = {one: one.read_bytes() for one in self.ledgers()}
                    raise Killed

        with (
            patch.object(crash_points, "hook", hook),
            patch.object(random, "Random", lambda: SEEDED(0)),
            patch.object(os, "fsync", lambda _: None),  # a kill loses nothing that was written
            patch.object(os, "fdatasync", lambda _: None),
            patch.object(paying_run, "store_of", lambda *_, **__: self.disk),
            patch.object(CommandContext, "addresses_of", public_addresses),
            patch.object(paying_run, "address_check", no_address_check),
        ):
            yield

    def _after_a_kill(self) -> None:
        """Take back what was written after the moment at which the process was killed."""
        self.api.dead = False
        self.world.sleep(1.0)
        for ledger, content in self.snapshot.items():
            ledger.write_bytes(content)
        lines = self.lines()
        known = {line["request_id"] for line in lines}
        ended = {line["request_id"] for line in lines if line["state"] in ENDED}
        for one in self.api.paid:
            one.heard = one.heard and one.request_id in known
            if one.request_id not in ended:
                one.ended_at_s = None

    def ledgers(self) -> list[Path]:
        """Return every ledger that exists."""
        ledger = self.run_dir / "ledger.jsonl"
        return [ledger] if ledger.exists() else []

    def lines(self) -> list[dict[str, Any]]:
        """Return the records of every ledger."""
        return [line for one in self.ledgers() for line in self.lines_of(one)]

    @staticmethod
    def lines_of(ledger: Path) -> list[dict[str, Any]]:
        return [json.loads(line) for line in ledger.read_bytes().splitlines()[1:]]

    def records(self) -> dict[str, dict[str, Any]]:
        """Return the last line of each job that was not adopted."""
        found = {record["job"]: record for record in self.lines()}
        return {job: record for job, record in found.items() if "adopted_by" not in record}

    def resolve_words(self, record: dict[str, Any]) -> tuple[str, ...]:
        """Return what names the job of a record."""
        return "--job", record["job"]

    def text_of(self, record: Mapping[str, Any]) -> str:
        """Return what names the input of a record."""
        return PRINTS.get(record["fingerprint"], "")

    def decide(self, record: Mapping[str, Any]) -> None:
        """The user has decided about every doubt of a job."""
        for one in self.api.paid:
            if one.text == self.text_of(record) and not one.heard:
                one.decided = True

    @staticmethod
    def place_of(record: Mapping[str, Any]) -> str:
        """Return the directory of a record."""
        return ""

    def submitting(self, text: str) -> str:
        """Return the directory in which a text is being submitted."""
        intents = [
            record
            for record in self.records().values()
            if record["state"] == "submitting" and self.text_of(record) == text
        ]  # those of a run that was killed are older
        return self.place_of(max(intents, key=lambda record: str(record["ts"])))

    column_budget = ""
    """The value of `--max-cost-by`; no cost is above the price then, which is what a cap holds."""

    def _check_column_budget(self) -> None:
        """At each intent, what its value may have cost so far and its own price are in the cap.

        By the lines alone, in their order: a POST counts with its price until it has a cost, and
        not at all once it is certain that nothing was accepted.
        """
        amount, _, period = self.column_budget.partition("/")
        for ledger in self.ledgers() if amount else ():
            posts: dict[tuple[str, str], dict[str, Any]] = {}
            for line in self.lines_of(ledger):
                if "by" not in line:
                    continue
                posts[line["job"], line["submitted_at"]] = line
                if "adopted_by" in line:  # it counts under its new name
                    del posts[line["job"], line["submitted_at"]]
                if line["state"] == "submitting":
                    same = [
                        one for one in posts.values()
                        if one["by"] == line["by"]
                        and (not period or self._day(one) == self._day(line))
                    ]  # fmt: skip
                    committed_usd = sum(map(self._charge_usd, same))
                    assert committed_usd <= float(amount.partition("=")[2]) + 1e-6, line

    @staticmethod
    def _day(line: Mapping[str, Any]) -> str:
        return local_date(seconds(line["submitted_at"]) or 0.0)

    @staticmethod
    def _charge_usd(line: Mapping[str, Any]) -> float:
        kind = (line.get("error") or {}).get("kind")
        if line["state"] == "pending" or kind in ("refused", "not_accepted"):
            return 0.0
        cost: float = line.get("cost_usd", line["price_usd"])
        return cost

    def _check_that_jobs_stay(self) -> None:
        """A job whose row stays as it is keeps its own request."""
        records = {(self.place_of(one), one["job"]): one for one in self.records().values()}
        for name, row in self.rows.items():
            for place, kept in self.kept.get(name, {}).items() if row.is_there else ():
                if kept[1] in self.api.redone:
                    continue
                record = records.get((place, name))
                assert record is not None, (place, name, kept)
                assert (self.text_of(record), record["request_id"]) == kept, (place, name, kept)
        for (place, name), record in records.items():
            row = self.rows.get(name, Row("", ""))
            is_kept = row.is_there and row.has_id and self.text_of(record) == row.text
            if is_kept and record["state"] == "downloaded":
                now = row.text, record["request_id"]
                kept = self.kept.setdefault(name, {})
                if kept.get(place, ("", ""))[1] in ("", *self.api.redone):
                    kept[place] = now

    def _check_that_nothing_is_open(self) -> None:
        """After a run of everything that says that it has come to its end, nothing is open."""
        for record in self.records().values():
            is_open = record["state"] in OPEN and not record.get("given_up")
            assert not is_open, record

    def teardown(self) -> None:
        try:
            self._end()
        except BaseException:
            print("\n".join(self.log))
            raise
        finally:
            shutil.rmtree(self.base)

    def _end(self) -> None:
        """Bring the batch to its end: every doubt is given up, and nothing is left to do."""
        self.api.budgets, self.api.script, self.disk.is_away = (), [], False
        self.column_budget = ""
        for _ in range(8):
            self.time_passes(1)
            posts = len(self.api.paid)
            done = self.command("run", select="")
            if done.code == 0 and len(self.api.paid) == posts:
                break
            assert done.code in (0, 1, 75), done
            for job, record in self.records().items():
                is_there = job in self.records()  # a decision lets rows with another name adopt
                if record["state"] in ("in_doubt", "failed", "cancelled") and is_there:
                    done = self.command("resolve", *self.resolve_words(record), "--give-up")
                    assert done.code == 0, (job, done)
                    self.decide(record)
        else:
            raise AssertionError("the batch does not come to its end")
        self._check_that_nothing_is_lost()

    def _check_that_nothing_is_lost(self) -> None:
        """Every output whose request was on record was downloaded, or left to the user."""
        collected = {
            line["request_id"]
            for line in self.lines()
            if line["state"] == "downloaded" or line.get("given_up")
        }
        for line in self.lines():
            collected.update(take.get("request") for take in line.get("takes", ()))
        for one in self.api.paid:
            if one.heard and one.kind in ("", "lost"):
                assert one.request_id in collected, one


SEEDED = random.Random
OPEN = ("submitting", "in_queue", "in_progress", "completed")
ENDED = ("completed", "downloaded", "failed", "cancelled")
PRINTS = {fingerprint(MODEL, {"prompt": text}): text for texts in TEXTS.values() for text in texts}


class _Budgeted(MoneyMachine):
    budgets: tuple[str, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        self.api.budgets = self.budgets


def machine_with(budgets: tuple[str, ...]) -> type[MoneyMachine]:
    return type("MoneyMachine", (_Budgeted,), {"budgets": budgets})


@pytest.mark.parametrize("budgets", few(BUDGETS, 3), ids=" ".join)
def test_no_sequence_pays_twice(budgets: tuple[str, ...]) -> None:
    """No input is paid for again without a decision, every budget holds, and every batch ends."""
    few = settings(max_examples=15, stateful_step_count=12, deadline=None, derandomize=True)
    run_state_machine_as_test(machine_with(budgets), settings=few)


@pytest.mark.parametrize("budget", BY_COLUMN)
@pytest.mark.parametrize(
    "examples", [8, pytest.param(40, marks=pytest.mark.slow)], ids=lambda n: f"{n} examples"
)
def test_no_sequence_passes_the_budget_of_a_value(budget: str, examples: int) -> None:
    """Over prices, costs, doubts, kills, edits of texts and styles, decisions, takes and days."""
    some = settings(max_examples=examples, stateful_step_count=12, deadline=None, derandomize=True)
    machine = type("MoneyMachine", (_ByColumn,), {"column_budget": budget})
    run_state_machine_as_test(machine, settings=some)


class _ByColumn(MoneyMachine):
    @rule(name=st.sampled_from(ROWS))
    def move_to_the_other_style(self, name: str) -> None:
        self.rows[name].style = {"x": "y", "y": "x"}[self.rows[name].style]
        self.log.append(f"style of {name}: {self.rows[name].style}")


@pytest.mark.slow
@pytest.mark.parametrize("budgets", BUDGETS, ids=" ".join)
def test_no_long_sequence_pays_twice(budgets: tuple[str, ...]) -> None:
    """The same over many more and longer sequences."""
    many = settings(max_examples=25, stateful_step_count=20, deadline=None, derandomize=True)
    run_state_machine_as_test(machine_with(budgets), settings=many)
