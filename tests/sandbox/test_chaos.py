"""The mixture of `--chaos`: as much as asked for, the same for the same seed, and survivable."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

import aiohttp
import pytest

from batchgen.core.errors import UsageError
from batchgen.sandbox import SandboxConfig
from batchgen.sandbox.faults.kinds import Call, On
from batchgen.sandbox.faults.mixture import MIXTURE, chaos_rules
from batchgen.sandbox.faults.rules import FaultPlan, parse_rules

from .conftest import Client, Start

PLACES = [on for on in On if on not in (On.CATALOGUE, On.BALANCE, On.ANY)]
CALLS = 2000


def faults_of(probability: float, on: On, *, seed: int = 0, fate: bool = False) -> list[str | None]:
    """Return the fault of each of many calls."""
    plan = FaultPlan(parse_rules(chaos_rules(probability)), seed)
    ask = plan.fate if fate else plan.fault
    faults = [ask(Call(on=on, key=f"job {number}")) for number in range(CALLS)]
    return [str(fault) if fault else None for fault in faults]


@pytest.mark.parametrize("probability", [0.05, 0.9])
@pytest.mark.parametrize("on", PLACES)
def test_the_share_is_what_was_asked_for(on: On, probability: float) -> None:
    """P is the chance of any fault, whatever number of ways there is to fail."""
    share = sum(what is not None for what in faults_of(probability, on)) / CALLS
    assert share == pytest.approx(probability, abs=0.035)


def test_jobs_end_badly_by_the_same_chance() -> None:
    """The ends of jobs are a decision of their own, with the same P."""
    share = sum(what is not None for what in faults_of(0.3, On.SUBMIT, fate=True)) / CALLS
    assert share == pytest.approx(0.3, abs=0.035)


def test_every_way_to_fail_is_as_likely_as_the_others() -> None:
    """Of one kind of call, all of the mixture happens, each about equally often."""
    for on in PLACES:
        counts = Counter(what for what in faults_of(1.0, on) if what)
        rules = [rule for rules in MIXTURE.values() for rule in rules if rule.startswith(on)]
        fates = MIXTURE["ends of jobs"] if on is On.SUBMIT else ()
        expected = CALLS / (len(rules) - len(fates))
        assert len(counts) == len(rules) - len(fates)
        assert min(counts.values()) > expected * 0.5
        assert max(counts.values()) < expected * 1.7


def test_the_seed_decides() -> None:
    """The same seed makes the same faults, another seed others; no chaos, no rules."""
    assert faults_of(0.3, On.STATUS) == faults_of(0.3, On.STATUS)
    assert faults_of(0.3, On.STATUS) != faults_of(0.3, On.STATUS, seed=1)
    assert chaos_rules(0) == ()


@pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan")])
def test_a_chance_is_a_chance(probability: float) -> None:
    """The settings refuse any other number."""
    with pytest.raises(UsageError, match="chaos"):
        SandboxConfig(chaos=probability)


async def test_rules_come_before_chaos(start: Start) -> None:
    """The user's own rules are asked first, and chaos takes the calls that they leave."""
    client = await start(chaos=1.0, faults=("status:504:every=1",))
    assert (await client.status("unknown")).status == 504


async def test_a_stubborn_client_gets_all_jobs_to_an_end(start: Start) -> None:
    """With P = 0.3, a client that keeps asking learns how every accepted job ended."""
    client = await start(chaos=0.3, capacity=100)
    for number in range(40):
        with suppress(aiohttp.ClientError):
            await client.post(f"job {number}")
    client.clock.now += 60
    requests = client.sandbox.audit.requests
    words = Counter([await end(client, request.request_id) for request in requests])
    assert set(words) <= {"succeeded", "failed", "expired"}
    assert words["succeeded"] > 15
    assert words["failed"] + words["expired"] > 3


async def end(client: Client, request_id: str) -> str:
    """Return how a job ended; ask until an answer says so."""
    while True:
        with suppress(aiohttp.ClientError):
            body = (await client.result(request_id)).json
            if isinstance(body, dict) and body.get("error_code") == 404001:
                return "expired"
            if isinstance(body, dict) and body.get("status") in ("succeeded", "failed"):
                return str(body["status"])
