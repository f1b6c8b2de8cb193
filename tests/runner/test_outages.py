"""The times at which the API gave no answer, which the history and the page show."""

from __future__ import annotations

from batchgen.runner.stopping import OUTAGE_S, Limits, Reachability, Stop
from tests.kit.time import LoopClock


class HandClock(LoopClock):
    """A clock that is set by hand."""

    at_s = 100.0

    def monotonic_s(self) -> float:
        return self.at_s

    def now_s(self) -> float:
        return 1_000.0 + self.at_s


def reachability() -> tuple[Reachability, HandClock]:
    clock = HandClock()
    return Reachability(clock, Stop(lambda: None, clock), Limits()), clock


def test_an_outage_is_from_the_first_call_without_an_answer_to_the_next_answer() -> None:
    """Calls in between that get none make it no longer and no second one."""
    noted, clock = reachability()
    noted.note(answered=True)
    for at_s, answered in ((110.0, False), (130.0, False), (170.0, True), (180.0, True)):
        clock.at_s = at_s
        noted.note(answered=answered)
    assert noted.outages == [(1_110.0, 1_170.0)]


def test_a_short_silence_is_no_outage() -> None:
    """One lost packet is not worth a mark."""
    noted, clock = reachability()
    noted.note(answered=False)
    clock.at_s += OUTAGE_S / 2
    noted.note(answered=True)
    assert noted.outages == []


def test_an_outage_that_lasts_to_the_end_of_the_run_counts() -> None:
    """It ends with the run, once."""
    noted, clock = reachability()
    noted.note(answered=False)
    clock.at_s += 60
    noted.end_outage()
    noted.end_outage()
    assert noted.outages == [(1_100.0, 1_160.0)]
