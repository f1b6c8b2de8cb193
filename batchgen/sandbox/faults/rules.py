"""The fault language: rules that say which calls go wrong, and how: `ON:DO[:key=value...]`.

    submit:429:retry_after=2:first=3      the first three submissions are refused
    submit:lose-answer:rate=0.05          one submission in twenty is accepted and never answered
    status:504:every=10                   every tenth status poll
    result:failed:match=teapot            jobs whose prompt has this word end badly
    any:503:from_s=60:to_s=90             an outage of half a minute

DO is a kind of fault from `table.FAULTS`, or an HTTP status. A key is an option of the fault, or a
selector; all selectors of a rule must agree.

A rule without a selector hits every call if it is about submissions or `any`, if it decides how
jobs end, or if its kind is steady. Any other hits only the first call for each request (or file, or
catalogue address), so that a client that tries again succeeds. `every=1` hits all calls.

Decisions depend on the call and the seed only, and on how often each rule and each key was asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from batchgen.core.errors import UsageError
from batchgen.core.json_reader import decode_json
from batchgen.sandbox.faults.kinds import (
    COUNT,
    EVERYWHERE,
    SECONDS,
    Call,
    Fault,
    FaultKind,
    On,
    Reader,
    chance,
    checked,
    readers_of,
)
from batchgen.sandbox.faults.table import FAULTS, kind_of

TEXTS = frozenset({"match", "message"})
"""Keys whose values may contain colons."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule: on which calls which fault happens."""

    on: On
    fault: Fault
    kind: FaultKind
    rate: Annotated[
        float | None, (checked(float, lambda share: 0 <= share <= 1), "a share from 0 to 1")
    ] = None
    first: Annotated[int | None, COUNT] = None
    every: Annotated[int | None, COUNT] = None
    match: Annotated[str, (str, "part of a prompt")] = ""
    from_s: Annotated[float | None, SECONDS] = None
    to_s: Annotated[float | None, SECONDS] = None

    @property
    def calls(self) -> frozenset[On]:
        """The calls that the rule is about; `any` is all that its fault is possible for."""
        if self.on is not On.ANY:
            return frozenset({self.on})
        return (EVERYWHERE if self.kind.refuses else self.kind.on) - {On.ANY}

    def matches(self, call: Call) -> bool:
        """Return whether prompt, model and time of a call are those of the rule."""
        return (
            self.match in call.prompt
            and (call.model is None or self.fault.model in call.model)
            and (self.from_s is None or call.elapsed_s >= self.from_s)
            and (self.to_s is None or call.elapsed_s < self.to_s)
        )

    def hits(self, call: Call, *, index: int, number: int, nth: int, seed: int) -> bool:
        """Return whether the rule hits a call that it matches.

        `number` counts the calls that the rule matched, `nth` those for this key, both from 1;
        `index` is the place of the rule in its list, so that two equal rates hit different calls.
        """
        selectors = (self.rate, self.first, self.every, self.from_s, self.to_s)
        if all(value is None for value in selectors):
            every_call = self.kind.steady or self.kind.ending or self.on in (On.SUBMIT, On.ANY)
            return nth == 1 or bool(every_call)
        if self.first is not None and number > self.first:
            return False
        if self.every is not None and number % self.every:
            return False
        return self.rate is None or chance(seed, index, call.on, call.key, nth) < self.rate


OPTIONS = readers_of(Fault)
SELECTORS: Mapping[str, Reader] = {
    **readers_of(Rule),
    "model": (str, "part of a model id"),
}


def parse_rule(text: str) -> Rule:
    """Return the rule that a text describes. Raise `UsageError` that says what is allowed."""
    on, _, rest = text.partition(":")
    do, _, rest = rest.partition(":")
    pairs: list[tuple[str, str]] = []
    for part in rest.split(":") if rest else ():
        key, equals, value = part.partition("=")
        if equals:
            pairs.append((key.strip(), value))
        elif pairs and pairs[-1][0] in TEXTS:
            pairs[-1] = (pairs[-1][0], f"{pairs[-1][1]}:{part}")  # a colon of the text itself
        else:
            raise UsageError(f"fault {text!r}: {part!r} is not key=value")
    return _rule(text, on.strip(), do.strip(), pairs)


def parse_rules(rules: Iterable[Rule | str]) -> list[Rule]:
    """Return the rules, with the texts among them parsed. Raise `UsageError`."""
    return [parse_rule(rule) if isinstance(rule, str) else rule for rule in rules]


def read_rules(path: Path) -> tuple[Rule, ...]:
    """Return the rules of a JSON list of texts or objects such as {"on", "do", "rate"}."""
    try:
        items = decode_json(path.read_bytes())
    except (OSError, ValueError) as problem:
        raise UsageError(f"{path}: faults cannot be read: {problem}") from None
    if not isinstance(items, list):
        raise UsageError(f"{path}: faults are a list of rules, as texts or as objects")
    return tuple(
        _rule_of_json(item, f"{path}: fault {number}") for number, item in enumerate(items, 1)
    )


def _rule_of_json(item: object, name: str) -> Rule:
    if isinstance(item, str):
        return parse_rule(item)
    if not isinstance(item, dict):
        raise UsageError(f"{name}: a rule is a text or an object, not {item!r}")
    texts = {
        key: str(value).lower() if isinstance(value, bool) else str(value)
        for key, value in item.items()
    }
    return _rule(name, texts.pop("on", ""), texts.pop("do", ""), texts.items())


def _rule(name: str, on: str, do: str, pairs: Iterable[tuple[str, str]]) -> Rule:
    if on not in set(On):
        raise UsageError(f"fault {name!r}: {on!r} is not a call; allowed: {', '.join(On)}")
    kind = kind_of(do)
    if kind is None or on not in kind.on:
        names = ", ".join(name for name, kind in FAULTS.items() if on in kind.on)
        message = f"fault {name!r}: {do!r} cannot be done on {on}; allowed: {names}, 400 to 599"
        raise UsageError(message)
    options: dict[str, Any] = {}
    selectors: dict[str, Any] = {}
    for key, value in pairs:
        values = selectors if key in SELECTORS else options
        if key in values:
            raise UsageError(f"fault {name!r}: {key!r} is given twice")
        values[key] = _value(name, kind, On(on), key, value)
    model = selectors.pop("model", "")
    options = {"accepted": kind.accepted, **kind.defaults, **options}
    return Rule(on=On(on), fault=Fault(do=do, model=model, **options), kind=kind, **selectors)


def _value(name: str, kind: FaultKind, on: On, key: str, text: str) -> object:
    """Return the value of one option or selector. Raise `UsageError`."""
    submits = on in (On.SUBMIT, On.ANY)
    allowed = [option for option in kind.options if option != "accepted" or submits]
    allowed += SELECTORS if kind.selectors is None else kind.selectors
    if key not in allowed:
        names = ", ".join(allowed)
        raise UsageError(f"fault {name!r}: {key!r} is not known here; allowed: {names}")
    read_value, right = {**SELECTORS, **OPTIONS}[key]
    try:
        return read_value(text)
    except (ValueError, KeyError, OverflowError):
        message = f"fault {name!r}: {key}={text!r} cannot be read; give {right}"
        raise UsageError(message) from None


class FaultPlan:
    """The rules of one sandbox, and how often each was asked."""

    def __init__(self, rules: Sequence[Rule], seed: int) -> None:
        self._seed = seed
        self._asked = [0] * len(rules)
        self._seen: Counter[tuple[On, bool, str]] = Counter()
        self._rules: dict[tuple[On, bool], list[tuple[int, Rule]]] = {}
        self.outages = [
            (rule.from_s or 0.0, float("inf") if rule.to_s is None else rule.to_s)
            for rule in rules
            if rule.kind.refuses
        ]
        """The times at which the port is closed: from and to, in seconds since the start."""
        for index, rule in enumerate(rules):
            for on in rule.calls:
                ends_jobs = rule.kind.ending is not None
                self._rules.setdefault((on, ends_jobs), []).append((index, rule))

    def ends_jobs(self, on: On) -> bool:
        """Return whether any rule on these calls decides how jobs end."""
        return (on, True) in self._rules

    def fault(self, call: Call) -> Fault | None:
        """Return the fault of this call, if any; count the call."""
        return self._decide(call, ends_jobs=False)

    def fate(self, call: Call) -> Fault | None:
        """Return the fault with which the job of this call ends, if any; ask once for each job."""
        return self._decide(call, ends_jobs=True)

    def _decide(self, call: Call, *, ends_jobs: bool) -> Fault | None:
        rules = self._rules.get((call.on, ends_jobs))
        if rules is None:
            return None
        key = (call.on, ends_jobs, call.key)
        self._seen[key] += 1
        for index, rule in rules:
            if not rule.matches(call):
                continue
            self._asked[index] += 1
            number, nth = self._asked[index], self._seen[key]
            if rule.hits(call, index=index, number=number, nth=nth, seed=self._seed):
                return rule.fault
        return None
