"""Steps: chains of jobs through whole commands, in virtual time."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from batchgen.app import paying_run
from batchgen.app.selected_jobs import SelectedJobs
from batchgen.core.api_answers import Broke, Gone, PollAnswer, Produced, RowRefused, TryAgain
from batchgen.core.events import ErrorKind, JobError
from batchgen.core.plan import Plan
from tests.app.test_decisions import outputs_in_memory
from tests.kit import MODEL
from tests.kit.live import Done
from tests.kit.world import World

FILM = "maker/film/image-to-video"
SHEET = "id,prompt,motion\nfox,a fox,it turns\nowl,an owl,it blinks\n"
STEPS = """
  - name: still
  - name: clip
    model: maker/film/image-to-video
    input: {image_url: "{{ still.url }}", prompt: "{{ motion }}", duration: 5}
"""
FAILED = Broke(error=JobError(kind=ErrorKind.CONTENT, message="no"), cost_usd=None)


class Chains:
    """A spreadsheet with steps in a world, and the commands on it."""

    def __init__(self, path: Path) -> None:
        self.world = World()
        self.manifest, self.run_dir = path / "m.yaml", path / "m.run"
        self.sheet = path / "rows.csv"
        self.steps()
        self.sheet.write_text(SHEET)
        self.outputs = 1
        self.world.api.on_result = self._result
        self.world.api.models |= {FILM, "maker/upscale/video"}

    def steps(self, steps: str = STEPS, head: str = "") -> None:
        text = f"model: {MODEL}\nprompts: {{file: rows.csv}}\n{head}steps:{steps}"
        self.manifest.write_text(text, encoding="utf-8")

    def _result(self, request_id: str) -> PollAnswer:
        urls = tuple(f"https://x.net/{request_id}-{n}.png" for n in range(1, self.outputs + 1))
        return Produced(outputs=urls, cost_usd=0.03)

    def run(self, *words: str) -> Done:
        return self.world.batchgen("run", self.manifest, *words)

    def review(self, **verdicts: str) -> Done:
        path = self.manifest.with_name("review.csv")
        lines = [f"{job.replace('__', '@')},{word}" for job, word in verdicts.items()]
        path.write_text("\n".join(["job,verdict", *lines]) + "\n")
        return self.world.command("review", self.manifest, path)

    def plan(self, *words: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("--dry-run", "--json", *words).out)
        return found

    def groups(self, *words: str) -> dict[str, int]:
        return {name: one["jobs"] for name, one in self.plan(*words)["groups"].items()}

    def results(self) -> dict[str, dict[str, str]]:
        text = (self.run_dir / "results.csv").read_text(encoding="utf-8")
        return {row["job"]: row for row in csv.DictReader(io.StringIO(text))}

    def lines(self) -> list[dict[str, Any]]:
        text = (self.run_dir / "ledger.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()[1:]]

    def record(self, job: str) -> dict[str, Any]:
        return [line for line in self.lines() if line["job"] == job][-1]

    @property
    def sent(self) -> list[dict[str, Any]]:
        return [dict(values) for _, values in self.world.api.created]

    @property
    def posts(self) -> int:
        return sum(self.world.api.posts.values())


@pytest.fixture
def chains(tmp_path: Path) -> Iterator[Chains]:
    with outputs_in_memory():
        yield Chains(tmp_path)


# From a still to its clip.


def test_a_clip_is_made_from_its_still(chains: Chains) -> None:
    """In one run; each job has its own records, and the results keep the jobs of a row together."""
    plan = chains.plan()
    assert (plan["jobs"], plan["submissions"], plan["cost_usd"]) == (4, 2, 0.12)
    assert plan["groups"]["waits_for_step"] == {"jobs": 2, "cost_usd": 0.06}

    assert chains.run().code == 0

    clip, still = chains.record("fox@clip"), chains.record("fox")
    assert (still["step"], clip["step"]) == ("still", "clip")
    assert clip["made_from"] == [{"of": "fox", "n": 1, "i": 1}]
    url = still["outputs"][0]
    assert {"image_url": url, "prompt": "it turns", "duration": 5} in chains.sent
    results = chains.results()
    assert list(results) == ["fox", "fox@clip", "owl", "owl@clip"]
    assert results["fox@clip"]["step"] == "clip"
    assert chains.groups() == {"done": 4}
    assert chains.run().code == 0
    assert chains.posts == 4


def test_there_is_no_barrier_between_steps(chains: Chains) -> None:
    """The first clip is submitted before the last still."""
    rows = [f"r{n},a boat {n},it sails" for n in range(9)]
    chains.sheet.write_text("\n".join(["id,prompt,motion", *rows]) + "\n")
    assert chains.run("--concurrency", "3").code == 0
    order = [line["job"] for line in chains.lines() if line["state"] == "submitting"]
    first_clip = next(n for n, job in enumerate(order) if job.endswith("@clip"))
    last_still = max(n for n, job in enumerate(order) if not job.endswith("@clip"))
    assert first_clip < last_still
    assert chains.world.api.high_water <= 3


def test_without_steps_nothing_is_new_in_the_ledger(chains: Chains) -> None:
    chains.manifest.write_text(f"model: {MODEL}\nprompts: {{file: rows.csv}}\n")
    assert chains.run().code == 0
    assert not any("step" in line or "made_from" in line for line in chains.lines())
    assert chains.results()["fox"]["step"] == ""


def test_steps_that_are_added_later_keep_what_was_made(chains: Chains) -> None:
    """The rows' own jobs keep their names, so the stills are not paid for again."""
    chains.manifest.write_text(f"model: {MODEL}\nprompts: {{file: rows.csv}}\n")
    assert chains.run().code == 0
    chains.steps()
    assert chains.groups() == {"done": 2, "submit_new": 2}
    assert chains.run().code == 0
    assert chains.posts == 4


def test_a_third_step_uses_outputs_of_both_before_it(chains: Chains) -> None:
    chains.steps(
        STEPS
        + """
  - name: film
    model: maker/upscale/video
    after: clip
    input:
      video_url: "{{ clip.url }}"
      image_url: "{{ still.url }}"
      prompt: "{{ still.prompt }}, {{ clip.prompt }}, {{ clip.index }}"
"""
    )
    assert chains.run().code == 0
    film = next(one for one in chains.sent if one["prompt"] == "a fox, it turns, 1")
    assert film["video_url"] == chains.record("fox@clip")["outputs"][0]
    assert film["image_url"] == chains.record("fox")["outputs"][0]
    assert [one["of"] for one in chains.record("fox@film")["made_from"]] == ["fox@clip", "fox"]


# One job for each output.


def test_each_output_has_a_job(chains: Chains) -> None:
    """Until the outputs are known, one job stands for all, priced once."""
    chains.steps(STEPS + "    each: output\n")
    chains.outputs = 3
    assert chains.plan()["groups"]["waits_for_step"] == {"jobs": 2, "cost_usd": 0.06}
    assert chains.run().code == 0
    jobs = ["fox", "fox@clip#1", "fox@clip#2", "fox@clip#3"]
    assert list(chains.results())[:4] == jobs
    used = [one["image_url"] for one in chains.sent if one["prompt"] == "it turns"]
    assert sorted(used) == sorted(chains.record("fox")["outputs"])


def test_a_later_step_keeps_the_numbers_of_the_one_before(chains: Chains) -> None:
    chains.steps(
        STEPS
        + """    each: output
  - name: film
    model: maker/upscale/video
    each: output
    input: {video_url: "{{ clip.url }}", prompt: "{{ still.index }}"}
"""
    )
    chains.outputs = 2
    assert chains.run().code == 0
    films = [job for job in chains.results() if job.startswith("fox@film")]
    assert films == ["fox@film#1", "fox@film#1.2", "fox@film#2", "fox@film#2.2"]
    sent = [one for one in chains.sent if "video_url" in one]
    assert sorted({one["prompt"] for one in sent}) == ["1", "2"]


# The gate.


def gated(chains: Chains) -> None:
    chains.steps(STEPS + "    when: kept\n")


def test_a_gate_waits_for_the_user(chains: Chains) -> None:
    """The evening ends well and says how many wait; the next run continues with those kept."""
    gated(chains)
    plan = chains.plan()
    assert plan["cost_usd"] == 0.06
    assert plan["groups"]["waits_for_review"] == {"jobs": 2, "cost_usd": 0.06}

    evening = chains.run("--json")
    assert evening.code == 0
    assert "2 clips wait for your review: batchgen serve " in evening.err
    assert json.loads(evening.out)["new"]["waiting_for_review"] == 2
    assert chains.posts == 2
    assert chains.results()["fox@clip"]["state"] == "pending"

    assert chains.review(fox="keep").code == 0
    assert chains.groups() == {"done": 2, "submit_new": 1, "waits_for_review": 1}
    morning = chains.run()
    assert (morning.code, chains.posts) == (0, 3)
    assert "1 clip waits for your review" in morning.err
    assert "1 clip waits for your review" in chains.world.command("status", chains.manifest).out


def test_a_run_that_only_waits_asks_for_no_price(
    chains: Chains, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It needs no API call, and so no token."""
    gated(chains)
    assert chains.run().code == 0
    asked: list[object] = []
    monkeypatch.setattr(SelectedJobs, "plan", noting(SelectedJobs.plan, asked))
    done = chains.run()
    assert done.code == 0, done
    assert "2 more after your review" in done.err
    assert asked == []


def noting(plan: Callable[..., Plan], asked: list[object]) -> Callable[..., Plan]:
    """Return a `plan` that notes each question for a price."""

    def noted(self: SelectedJobs, price_of: Any = None, **more: Any) -> Plan:
        if price_of is not None:
            asked.append(price_of)
        return plan(self, **more)

    return noted


def test_a_rejected_still_has_no_clip(chains: Chains) -> None:
    for gate in ("", "    when: kept\n"):
        chains.steps(STEPS.replace("{{ motion }}", f"{{{{ motion }}}} {len(gate)}") + gate)
        assert chains.run("--job", "fox").code == 0
        assert chains.review(fox="reject").code == 0
        assert chains.run("--job", "fox", "--job", "fox@clip").code == 0
        assert "fox@clip" not in {line["job"] for line in chains.lines()}
        assert chains.groups("--job", "fox@clip") == {"rejected": 1}


def test_what_is_kept_during_a_run_goes_on_in_it(chains: Chains) -> None:
    gated(chains)
    assert chains.run("--job", "fox").code == 0
    chains.world.api.duration_s = 60.0
    seen: list[int] = []

    def keep(values: object, _: int) -> None:
        seen.append(1)
        if len(seen) == 1:  # the still of the owl is on its way
            path = chains.run_dir / "reviews.jsonl"
            still = chains.record("fox")
            line = {"ts": still["ts"], "job": "fox", "take": 1, "verdict": "keep",
                    "submitted_at": still["submitted_at"]}  # fmt: skip
            path.write_text(json.dumps(line) + "\n")

    chains.world.api.on_submit = keep  # type: ignore[assignment]
    assert chains.run().code == 0
    assert chains.results()["fox@clip"]["state"] == "downloaded"
    assert chains.results()["owl@clip"]["state"] == "pending"


# What makes a clip stale.


def test_a_redo_of_a_still_makes_exactly_its_clip_stale(chains: Chains) -> None:
    assert chains.run().code == 0
    assert chains.review(owl="redo").code == 0
    plan = chains.plan()
    assert {name: one["jobs"] for name, one in plan["groups"].items()} == {
        "redo": 1, "waits_for_step": 1, "done": 2,
    }  # fmt: skip
    assert plan["cost_usd"] == 0.06
    assert chains.run().code == 0
    assert chains.posts == 6
    assert chains.record("owl@clip")["made_from"] == [{"of": "owl", "n": 2, "i": 1}]
    assert chains.record("fox@clip")["made_from"] == [{"of": "fox", "n": 1, "i": 1}]
    assert chains.groups() == {"done": 4}


def test_an_edited_row_makes_both_anew(chains: Chains) -> None:
    assert chains.run().code == 0
    chains.sheet.write_text(SHEET.replace("a fox", "a red fox"))
    assert chains.groups() == {"submit_edited": 1, "waits_for_step": 1, "done": 2}
    assert chains.run().code == 0
    assert chains.posts == 6

    chains.sheet.write_text(SHEET.replace("a fox", "a red fox").replace("it turns", "it runs"))
    assert chains.groups() == {"submit_edited": 1, "done": 3}
    assert chains.run().code == 0
    assert chains.posts == 7


def test_an_edit_that_is_taken_back_costs_nothing(chains: Chains) -> None:
    assert chains.run().code == 0
    chains.sheet.write_text(SHEET.replace("a fox", "a red fox"))
    assert chains.run().code == 0
    chains.sheet.write_text(SHEET)
    assert chains.run().code == 0
    assert chains.posts == 6
    assert chains.record("fox@clip")["made_from"] == [{"of": "fox", "n": 1, "i": 1}]
    assert chains.groups() == {"done": 4}


def test_edited_rows_that_are_kept_keep_their_clips(chains: Chains) -> None:
    assert chains.run().code == 0
    chains.sheet.write_text(SHEET.replace("a fox", "a red fox"))
    assert chains.run("--changed", "keep").code == 0
    assert chains.posts == 4


def test_a_failed_redo_leaves_the_old_clip(chains: Chains) -> None:
    assert chains.run().code == 0
    assert chains.review(fox="redo").code == 0
    chains.world.api.on_result = lambda _: FAILED
    assert chains.run().code == 1
    assert chains.posts == 5
    assert chains.groups() == {"failed": 1, "done": 3}


# What goes wrong.


def test_a_clip_waits_for_a_failed_still(chains: Chains) -> None:
    """It stays pending and says why; the exit code is that of the still."""
    chains.world.api.on_result = lambda rid: FAILED if rid.endswith("1") else chains._result(rid)
    done = chains.run("--concurrency", "1")
    assert done.code == 1
    results = chains.results()
    waiting = [row for row in results.values() if row["step"] == "clip" and row["error"]]
    assert [row["state"] for row in waiting] == ["pending"]
    assert "which is failed: content: no" in waiting[0]["error"]
    assert chains.groups()["waits_for_failed"] == 1
    assert chains.posts == 3


@pytest.fixture
def expired() -> Iterator[set[str]]:
    """Addresses that have expired, while in use."""
    gone: set[str] = set()

    class Check:
        async def is_gone(self, url: str) -> bool:
            return url in gone

    @asynccontextmanager
    async def check(*_: object) -> AsyncIterator[Check]:
        yield Check()

    with patch.object(paying_run, "address_check", check):
        yield gone


def stills_first(chains: Chains) -> str:
    """Make the still of the fox, and return its address."""
    assert chains.run("--job", "fox").code == 0
    url: str = chains.record("fox")["outputs"][0]
    return url


def test_an_expired_address_is_renewed(chains: Chains, expired: set[str]) -> None:
    old = stills_first(chains)
    expired.add(old)
    fresh = old.replace("x.net", "y.net")
    chains.world.api.on_result = lambda rid: Produced(
        outputs=(f"https://y.net/{rid}-1.png",), cost_usd=0.03
    )
    assert chains.run("--job", "fox@clip").code == 0
    assert chains.sent[-1]["image_url"] == fresh
    assert chains.groups("--job", "fox@clip") == {"done": 1}


def test_an_address_that_cannot_be_renewed_now_waits(chains: Chains, expired: set[str]) -> None:
    expired.add(stills_first(chains))
    busy = TryAgain(error=JobError(kind=ErrorKind.NOT_ACCEPTED, message="busy", http_status=503))
    for answer in (busy, chains._result(chains.record("fox")["request_id"])):
        chains.world.api.on_result = lambda _, answer=answer: answer
        done = chains.run("--job", "fox@clip")
        assert (done.code, chains.posts) == (75, 1)
        assert "cannot be renewed at the moment" in done.err
        assert "fox@clip" not in {line["job"] for line in chains.lines()}


def test_an_output_that_the_api_no_longer_has(chains: Chains, expired: set[str]) -> None:
    """Nothing is submitted and nothing is reserved; the job fails until the still is made again."""
    expired.add(stills_first(chains))
    chains.world.api.on_result = lambda _: Gone(error=JobError(kind=ErrorKind.EXPIRED, message="?"))
    assert chains.run("--job", "fox@clip", "--max-cost", "0.07").code == 1
    record = chains.record("fox@clip")
    assert (record["state"], record["error"]["kind"]) == ("failed", "input_gone")
    assert chains.posts == 1
    assert chains.run("--job", "fox@clip").code == 1
    assert chains.posts == 1

    chains.world.api.on_result = chains._result
    assert chains.review(fox="redo").code == 0
    assert chains.run("--job", "fox", "--job", "fox@clip").code == 0
    assert chains.posts == 3


def test_a_budget_ends_between_the_steps(chains: Chains) -> None:
    done = chains.run("--max-cost", "0.10")
    assert (done.code, chains.posts) == (75, 3)
    assert chains.run("--max-cost", "0.13").code == 0
    assert chains.posts == 4


def test_a_wrong_film_costs_one_refusal(chains: Chains) -> None:
    """The canary is per model: stills go on while the first clip is looked at alone."""
    rows = [f"r{n},a boat {n},it sails" for n in range(12)]
    chains.sheet.write_text("\n".join(["id,prompt,motion", *rows]) + "\n")
    refused = RowRefused(error=JobError(kind=ErrorKind.REFUSED, message="no", http_status=422))

    def submit(values: Any, _: int) -> RowRefused | None:
        return refused if "image_url" in values else None

    chains.world.api.on_submit = submit
    assert chains.run().code == 1
    failed = [row for row in chains.results().values() if row["state"] == "failed"]
    assert {row["step"] for row in failed} == {"clip"}


# Names, selections, limits.


def test_rows_that_get_an_id_keep_stills_and_clips(chains: Chains) -> None:
    chains.sheet.write_text("prompt,motion\na fox,it turns\nan owl,it blinks\n")
    assert chains.run().code == 0
    chains.sheet.write_text(SHEET)
    assert chains.groups() == {"done": 4}
    assert chains.run().code == 0
    assert chains.posts == 4
    assert chains.record("fox@clip")["state"] == "downloaded"


def test_a_limit_lets_rows_through_with_their_steps(chains: Chains) -> None:
    assert chains.run("--limit", "1").code == 0
    assert {line["job"] for line in chains.lines()} == {"fox", "fox@clip"}


def test_what_is_not_selected_keeps_its_jobs(chains: Chains) -> None:
    """A clip in flight of a row that is not selected is collected, and never submitted again."""
    assert chains.run("--max-runtime", "15s").code == 75
    assert chains.record("fox@clip")["state"] in ("in_queue", "in_progress")
    assert chains.run("--select", "id = owl").code == 0
    assert chains.record("fox@clip")["state"] == "downloaded"
    assert chains.run("--select", "").code == 0
    assert chains.posts == 4
    chains.sheet.write_text(SHEET.replace("fox,a fox,it turns\n", ""))
    plan = chains.plan()
    assert plan["removed"] == {"done": 2}


def test_an_id_that_is_the_name_of_a_later_job(chains: Chains) -> None:
    for name in ("fox@clip", "owl@clip#2", "fox@still"):
        chains.sheet.write_text(SHEET.replace("owl,", f"{name},"))
        done = chains.world.command("check", chains.manifest)
        assert done.code == 65
        assert f"{name!r} is how the job of a step is called" in done.err
    chains.sheet.write_text(SHEET.replace("owl,", "owl@zoo,"))
    assert chains.run().code == 0
    assert chains.record("owl@zoo@clip")["state"] == "downloaded"


def test_names_of_files_of_a_step(chains: Chains) -> None:
    chains.steps(head='output: {name: "{{ motion }}/{{ id }}-{{ step }}-{{ index }}"}\n')
    assert chains.run().code == 0
    paths = [row["files"] for row in chains.results().values()]
    assert len(set(paths)) == 4


# What `check` says.

MISTAKES: dict[str, tuple[str, str, str]] = {
    "no list": (" {name: still}", "m.yaml:3: steps: expected a list", ""),
    "empty": (" []", "m.yaml:3: steps: expected a list", ""),
    "no name": ("\n  - name: still\n  - model: a/b", "m.yaml:5: steps.name: needs a name", ""),
    "two of a name": (
        "\n  - name: still\n  - {name: still, model: a/b, input: {prompt: x}}",
        "m.yaml:5: steps.still: another step has this name",
        "",
    ),
    "a key of the first": (
        "\n  - {name: still, model: a/b}",
        "m.yaml:4: steps.still.model: unknown key; the first step is the rows as they are",
        "",
    ),
    "unknown key": (
        STEPS + "    afer: still\n",
        "m.yaml:8: steps.clip.afer: unknown key; did you mean 'after'",
        "",
    ),
    "unknown step": (
        STEPS + "    after: stil\n",
        "m.yaml:5: steps.clip: after: no step 'stil'; did you mean 'still'",
        "",
    ),
    "cycle": (
        STEPS + "    after: film\n  - {name: film, model: a/b, input: {prompt: x}, after: clip}\n",
        "steps wait for each other: clip after film after clip",
        "",
    ),
    "itself": (STEPS + "    after: clip\n", "steps wait for each other: clip after clip", ""),
    "a word": (STEPS + "    when: later\n", "m.yaml:8: steps.clip.when: 'later' is not", ""),
    "each": (STEPS + "    each: all\n", "'all' is not allowed; allowed: first, output", ""),
    "url of no step": (
        STEPS.replace("still.url", "stil.url"),
        "m.yaml:7: steps.clip.input.image_url: no step 'stil'; did you mean 'still'",
        "",
    ),
    "url of a later step": (
        STEPS.replace("still.url", "clip.url"),
        "m.yaml:7: steps.clip.input.image_url: {{ clip.url }}: 'clip' does not come before",
        "",
    ),
    "url not alone": (
        STEPS.replace("{{ motion }}", "see {{ still.url }}"),
        "steps.clip.input.prompt: {{ still.url }} stands alone",
        "",
    ),
    "another value": (
        STEPS.replace("{{ motion }}", "{{ still.size }}"),
        "a step has prompt, index, url, and no 'size'",
        "",
    ),
    "no column": (
        STEPS.replace("{{ motion }}", "{{ moton }}"),
        "'moton', which is not a column",
        "",
    ),
    "no model": (STEPS.replace("maker/film/image-to-video", "film"), "'film' is not a valid", ""),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_in_steps(chains: Chains, mistake: str) -> None:
    """All are 65, with the line and what would be right; nothing is submitted."""
    steps, expected, _ = MISTAKES[mistake]
    chains.steps(steps)
    for command in ("check", "run"):
        done = chains.world.command(command, chains.manifest)
        assert (done.code, chains.posts) == (65, 0), done
        assert expected in done.err.replace(str(chains.manifest.parent) + "/", "")


SCHEMA = {
    "model_id": FILM,
    "input_schema": {
        "type": "object",
        "properties": {
            "prompt": {"type": "string"},
            "image_url": {"type": "string", "format": "image_uri"},
            "image_urls": {"type": "array", "items": {"type": "string", "format": "image_uri"}},
            "duration": {"type": "integer", "minimum": 2, "maximum": 30},
        },
        "required": ["prompt", "image_url"],
    },
}


def with_schema(chains: Chains, change: Callable[[str], str]) -> Done:
    (chains.manifest.parent / "film.json").write_text(json.dumps(SCHEMA))
    chains.steps(change(STEPS), head="schema: film.json\n")
    return chains.world.command("check", chains.manifest)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("duration: 5", "duration: 99"), "clip.input.duration: 99 is above the maximum 30"),
        (("duration: 5", "length: 5"), "clip.input.length: is not a parameter of maker/film"),
        (("duration: 5", "durations: 5"), "did you mean 'duration'"),
        (("image_url: ", "image_urls: "), "input.image_url: is missing; maker/film"),
        (("duration: 5", 'duration: "{{ still.index }}"'), "can be used in a text only"),
        (("duration: 5", 'duration: "{{ motion }}"'), "rows.csv:2: clip.duration: expected"),
    ],
)
def test_an_input_is_checked_by_the_schema(
    chains: Chains, change: tuple[str, str], expected: str
) -> None:
    done = with_schema(chains, lambda steps: steps.replace(*change))
    assert done.code == 65
    assert expected in done.err


def test_an_address_alone_fills_a_list(chains: Chains) -> None:
    more = 'image_urls: "{{ still.url }}", duration: "{{ 4 }}"'
    assert with_schema(chains, lambda steps: steps.replace("duration: 5", more)).code == 0
    assert chains.run().code == 0
    clip = next(one for one in chains.sent if one["prompt"] == "it turns")
    assert clip["image_urls"] == [clip["image_url"]]
    assert clip["duration"] == 4


def test_an_empty_cell_of_a_template_is_an_error_of_its_row(chains: Chains) -> None:
    chains.sheet.write_text(SHEET.replace(",it blinks", ","))
    done = chains.world.command("check", chains.manifest)
    assert done.code == 65
    assert "rows.csv:3: clip.prompt: the template needs 'motion'" in done.err


def test_defaults_are_those_of_the_rows(chains: Chains) -> None:
    """A key of the row, or of `defaults`, is not passed on to a later step."""
    chains.steps(head="defaults: {scale: 0.5}\n")
    assert chains.run().code == 0
    clip = next(one for one in chains.sent if one["prompt"] == "it turns")
    assert sorted(clip) == ["duration", "image_url", "prompt"]
