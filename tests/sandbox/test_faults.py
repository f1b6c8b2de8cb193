"""The rule language: what is parsed, what is refused, and which calls a rule hits."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.core.errors import UsageError
from batchgen.sandbox.faults.kinds import Call, On
from batchgen.sandbox.faults.rules import FaultPlan, parse_rule, parse_rules, read_rules
from batchgen.sandbox.faults.table import FAULTS


def plan(*rules: str, seed: int = 0) -> FaultPlan:
    return FaultPlan(parse_rules(rules), seed)


def hit(plan: FaultPlan, on: On, keys: list[str], **more: float) -> list[bool]:
    return [plan.fault(Call(on=on, key=key, **more)) is not None for key in keys]  # type: ignore[arg-type]


calls_and_kinds = [(on, do) for do, kind in FAULTS.items() for on in sorted(kind.on)]
numbers = st.floats(0, 1e6).map(lambda value: round(value, 3))


@given(
    call_and_kind=st.sampled_from(calls_and_kinds),
    rate=st.none() | st.floats(0, 1),
    first=st.none() | st.integers(1, 10**6),
    every=st.none() | st.integers(1, 10**6),
    match=st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])),
    window=st.none() | st.tuples(numbers, numbers),
)
def test_a_rule_is_read_as_it_was_written(
    call_and_kind: tuple[On, str],
    rate: float | None,
    first: int | None,
    every: int | None,
    match: str,
    window: tuple[float, float] | None,
) -> None:
    """ON, DO and selectors are read as they were written, with the colons of a prompt."""
    on, do = call_and_kind
    if FAULTS[do].selectors is not None:
        rate = first = every = None
        match = ""
    parts = {"rate": rate, "first": first, "every": every}
    parts |= {"from_s": window[0], "to_s": window[1]} if window else {}
    text = ":".join(
        [on, do, *(f"{k}={v}" for k, v in parts.items() if v is not None)]
        + ([f"match={match}"] if match else [])
    )
    rule = parse_rule(text)
    assert (rule.on, rule.fault.do, rule.match) == (on, do, match)
    assert (rule.rate, rule.first, rule.every) == (rate, first, every)
    assert (rule.from_s, rule.to_s) == (window or (None, None))


@given(st.text() | st.from_regex(r"[a-z]{0,6}:[a-z0-9-]{0,6}(:[a-z_]{0,4}=?.{0,3}){0,3}"))
def test_any_text_is_a_rule_or_a_usage_error(text: str) -> None:
    """No text makes the parser fail in any other way."""
    with suppress(UsageError):
        parse_rule(text)


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("sumbit:429", "allowed: submit, status, result, cancel, file, catalogue"),
        ("submit:explode", "lose-answer"),
        ("submit:truncate", "cannot be done on submit"),
        ("file:failed", "cannot be done on file"),
        ("submit:200", "400 to 599"),
        ("submit:429:first", "'first' is not key=value"),
        ("submit:429:frist=3", "retry_after"),
        ("submit:429:first=0", "a number of calls, from 1"),
        ("submit:429:rate=1.5", "a share from 0 to 1"),
        ("submit:429:rate=nan", "a share from 0 to 1"),
        ("submit:429:first=1:first=2", "given twice"),
        ("result:failed:shape=tree", "string, object, list"),
        ("any:refuse:rate=0.5", "allowed: from_s, to_s"),
        ("submit:refuse", "cannot be done on submit"),
        ("any:failed", "cannot be done on any"),
        ("file:drip:bytes_per_s=0", "bytes a second, 1 or more"),
        ("file:redirect:to=mars", "path or host"),
        ("submit:500:body=tree", "message, error_code"),
        ("result:word:word=", "a word, such as"),
        ("submit:504:accepted=maybe", "give yes or no"),
        ("status:504:accepted=yes", "'accepted' is not known here"),
        ("submit:error-code:code=7", "400 to 599"),
        ("", "is not a call"),
    ],
)
def test_the_error_of_a_bad_rule_says_what_is_allowed(text: str, allowed: str) -> None:
    """Each mistake gets a message with what would be right."""
    with pytest.raises(UsageError, match="fault") as caught:
        parse_rule(text)
    assert allowed in str(caught.value)


def test_first_and_every_count_the_calls_that_match() -> None:
    """`first` takes the first calls, `every` each n-th one, whatever their keys."""
    keys = list("abcdef")
    assert hit(plan("status:504:first=2"), On.STATUS, keys) == [True] * 2 + [False] * 4
    assert hit(plan("status:504:every=3"), On.STATUS, keys) == [False, False, True] * 2
    assert hit(plan("status:504:every=1"), On.STATUS, ["a"] * 4) == [True] * 4


def test_polls_are_hit_once_per_request_by_default() -> None:
    """A patient client succeeds: without a selector, only the first poll of a request fails."""
    keys = ["a", "b", "a", "a", "b", "c"]
    for on in (On.STATUS, On.RESULT, On.FILE, On.CANCEL, On.CATALOGUE):
        assert hit(plan(f"{on}:503"), on, keys) == [True, True, False, False, False, True]
    assert hit(plan("submit:503"), On.SUBMIT, keys) == [True] * 6


def test_a_rate_hits_its_share_and_the_same_calls_every_time() -> None:
    """The same seed hits the same calls, about as many as asked for; another seed hits others."""
    keys = [f"job {number}" for number in range(4000)]
    hits = hit(plan("submit:500:rate=0.1"), On.SUBMIT, keys)
    assert 330 < sum(hits) < 470
    assert hit(plan("submit:500:rate=0.1"), On.SUBMIT, keys) == hits
    assert hit(plan("submit:500:rate=0.1", seed=1), On.SUBMIT, keys) != hits
    backwards = hit(plan("submit:500:rate=0.1"), On.SUBMIT, keys[::-1])
    assert backwards == hits[::-1], "the order of calls must not matter"
    again = plan("status:500:rate=0.5")
    assert len(set(hit(again, On.STATUS, ["a"] * 40))) == 2, "the next poll has its own chance"


def test_match_and_window_narrow_a_rule() -> None:
    """Only prompts with the text, and only between the two times, from included, to excluded."""
    narrow = plan("submit:429:match=red fox:first=1")
    prompts = ["a blue fox", "a red fox", "a red fox again"]
    calls = [Call(on=On.SUBMIT, key=prompt, prompt=prompt) for prompt in prompts]
    assert [narrow.fault(call) is not None for call in calls] == [False, True, False]
    outage = plan("status:503:from_s=10:to_s=20")
    seen = [hit(outage, On.STATUS, ["a"], elapsed_s=at)[0] for at in (9.9, 10, 15, 19.9, 20)]
    assert seen == [False, True, True, True, False]


def test_the_first_rule_that_hits_decides() -> None:
    """Rules are asked in their order; later ones get what earlier ones let through."""
    both = plan("submit:429:first=1", "submit:503")
    faults = [both.fault(Call(on=On.SUBMIT, key=key)) for key in "ab"]
    assert [fault.do for fault in faults if fault] == ["429", "503"]


def test_a_file_holds_texts_and_objects(tmp_path: Path) -> None:
    """A JSON list of either form gives the same rules; anything else is refused by name."""
    file = tmp_path / "faults.json"
    file.write_bytes(
        msgspec.json.encode(
            ["submit:429:retry_after=2:first=3",
             {"on": "submit", "do": 429, "retry_after": 2, "first": 3},
             {"on": "submit", "do": "hang", "accepted": False}]
        )
    )  # fmt: skip
    one, other, third = read_rules(file)
    assert one == other
    assert not third.fault.accepted
    for content in (b"{}", b"[1]", b"nope", b'["submit:nope"]'):
        file.write_bytes(content)
        with pytest.raises(UsageError):
            read_rules(file)
    with pytest.raises(UsageError, match=r"gone\.json"):
        read_rules(tmp_path / "gone.json")


def test_the_rates_of_two_rules_have_nothing_to_do_with_each_other() -> None:
    """A rule hits its own share of the calls that an earlier one leaves, on every kind of call."""
    keys = [f"job {number}" for number in range(4000)]
    for on in ("status", "any"):
        both = plan(f"{on}:429:rate=0.5", f"{on}:503:rate=0.5")
        faults = [both.fault(Call(on=On.STATUS, key=key)) for key in keys]
        counts = {do: sum(fault is not None and fault.do == do for fault in faults)
                  for do in ("429", "503")}  # fmt: skip
        assert 1850 < counts["429"] < 2150
        assert 850 < counts["503"] < 1150
    anywhere = plan("any:500:rate=0.5")
    places = [hit(anywhere, on, keys) for on in (On.STATUS, On.RESULT)]
    assert 0.4 < sum(one == other for one, other in zip(*places, strict=True)) / 4000 < 0.6


def test_any_is_every_call_that_the_fault_can_be_about() -> None:
    """`any` counts all calls together, and leaves out what its fault cannot be done on."""
    everything = plan("any:503:first=3")
    places = [on for on in On if on is not On.ANY]
    assert [hit(everything, on, ["a"])[0] for on in places] == [True] * 3 + [False] * 4
    withdrawn = plan("any:withdrawn")
    hits = [on for on in places if hit(withdrawn, on, ["a", "a"]) == [True, True]]
    assert hits == [On.SUBMIT, On.CATALOGUE]


def test_model_narrows_a_rule() -> None:
    """`model=` takes calls about models with that in their id, and calls about all models."""
    narrow = plan("any:500:model=text-to-image")
    calls = [Call(on=On.SUBMIT, key="a", model=model) for model in ("a/text-to-image", "a/b", None)]
    assert [narrow.fault(call) is not None for call in calls] == [True, False, True]


def test_words_may_have_colons() -> None:
    """A colon in a message or a prompt is part of it."""
    rule = parse_rule("submit:failed:message=bad: really:match=a:b")
    assert (rule.fault.message, rule.match) == ("bad: really", "a:b")
