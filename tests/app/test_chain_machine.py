"""Any sequence of runs, edits, verdicts, faults and kills over two steps: nothing is paid twice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from batchgen.core.json_reader import JSONValue
from tests.app.test_money_machine import PRICE_USD, Account, MoneyMachine
from tests.kit import MODEL

SHEET = """
model: {model}
prompts: {{file: rows.csv}}
steps:
  - name: still
  - name: clip
    model: maker/film/image-to-video
    when: {when}
    each: {each}
    input: {{image_url: "{{{{ still.url }}}}", prompt: "move"}}
"""


@dataclass
class ChainAccount(Account):
    """An account that also knows what each clip was made from."""

    is_gated: bool = False
    kept: set[str] = field(default_factory=set)
    """The requests whose output the user keeps at the moment."""

    @staticmethod
    def text_of(values: Mapping[str, JSONValue]) -> str:
        return f"{values['prompt']} {values.get('image_url', '')}".strip()

    def _check(self, text: str) -> None:
        super()._check(text)
        if text.startswith("move "):
            name = text.rpartition("/")[2].removesuffix(".png")
            still = next(one for one in self.paid if one.request_id == name)
            if still.is_over or not still.heard:
                self.wrong.append(f"made from {still}")
            if self.is_gated and name not in self.kept:
                self.wrong.append(f"made from {still}, which was not kept")


class ChainMachine(MoneyMachine):
    """A batch of stills, each with its clip."""

    when, each = "done", "first"

    def __init__(self) -> None:
        super().__init__()
        self.api = ChainAccount(is_gated=self.when == "kept", now_s=self.api.now_s)
        self.api.on_submit, self.api.place_of = self.api.answer, self.submitting
        self.world.api = self.api
        self.manifest, self.sheet = self.base / "m.yaml", self.base / "rows.csv"
        self.manifest.write_text(SHEET.format(model=MODEL, when=self.when, each=self.each))

    def text_of(self, record: Mapping[str, Any]) -> str:
        for line in self.lines():
            # Equal rows have clips of one identity, each made from a still of its own.
            same_post = line["submitted_at"] == record["submitted_at"]
            if "input" in line and same_post and line["fingerprint"] == record["fingerprint"]:
                return self.api.text_of(line["input"])
        return ""

    def _check_limit(self, texts: set[str]) -> None:
        """Of a row that may be submitted, the later steps may be so too."""
        assert len([text for text in texts if not text.startswith("move ")]) <= 1, texts

    def command(self, *words: str, **more: Any) -> Any:
        done = super().command(*words, **more)
        self._learn_verdicts()
        return done

    def _learn_verdicts(self) -> None:
        path = self.run_dir / "reviews.jsonl"
        said = {}
        for line in path.read_text().splitlines() if path.exists() else ():
            verdict = json.loads(line)
            said[verdict["job"], verdict["submitted_at"]] = verdict["verdict"]
        by_post = {
            (line["job"], line["submitted_at"]): line["request_id"]
            for line in self.lines()
            if line["request_id"]
        }
        adopted = {line["job"]: line["adopted_by"] for line in self.lines() if "adopted_by" in line}
        self.api.kept = set()
        for (named, at), word in said.items():
            job, seen = named, {named}
            while (job, at) not in by_post and job in adopted and adopted[job] not in seen:
                job = adopted[job]
                seen.add(job)
            if word == "keep" and (job, at) in by_post:
                self.api.kept.add(by_post[job, at])


def chain_machine(when: str, each: str) -> type[ChainMachine]:
    return type("ChainMachine", (ChainMachine,), {"when": when, "each": each})


KINDS_OF_CHAINS = [("done", "first"), ("kept", "first"), ("kept", "output")]


@pytest.mark.parametrize(("when", "each"), KINDS_OF_CHAINS)
@pytest.mark.parametrize(
    "examples", [4, pytest.param(60, marks=pytest.mark.slow)], ids=lambda n: f"{n} examples"
)
def test_no_sequence_of_two_steps_pays_twice(when: str, each: str, examples: int) -> None:
    """And no clip is made from a still that failed, or that waits for the user."""
    some = settings(max_examples=examples, stateful_step_count=12, deadline=None, derandomize=True)
    run_state_machine_as_test(chain_machine(when, each), settings=some)


def test_the_account_can_see_a_clip_without_a_still() -> None:
    """The check above is one that can fail."""
    account = ChainAccount(is_gated=True, now_s=lambda: 0.0, place_of=lambda _: "")
    account.answer({"prompt": "a1"}, 0)
    account._check("move https://files.runcomfy.net/r1.png")
    assert account.wrong
    assert account.price_usd(0.0) == PRICE_USD
