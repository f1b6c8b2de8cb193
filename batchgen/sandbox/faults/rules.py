"""How the values of options and selectors are read.

Rules that say which calls go wrong, and how: `ON:DO[:key=value...]`.

    submit:429:retry_after=2:first=3      the first three submissions are turned away
    submit:lose-answer:rate=0.05          one submission in twenty is accepted and never answered
    status:504:every=10                   every tenth status poll
    result:failed:match=teapot            jobs whose prompt has this word end badly
    any:503:from_s=60:to_s=90             an outage of half a minute

Pure decisions over (call, seed): the only state is how often each rule and each key was asked.
What there is to do stands in `FAULTS` (`fault_table`), one row each; this module parses and picks.

Without a selector, a rule for submissions hits all of them, one for the fate of a job hits every
job, a steady one or one on `any` hits every call, and one for anything else hits only the first
call for each request (or file, or catalogue address), so that a client which tries again gets
through. `every=1` hits all calls.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from batchgen.core.errors import UsageError
from batchgen.sandbox.faults.connection_faults import BODIES
from batchgen.sandbox.faults.json_faults import MISSING, SHAPES
from batchgen.sandbox.faults.kinds import EVERYWHERE, Call, Fault, FaultKind, On
from batchgen.sandbox.faults.table import FAULTS, row_of


def _number(text: str, *, above: float = float("inf"), least: float = 0.0) -> float:
    value = float(text)
    if not least <= value <= above or value == float("inf"):
        raise ValueError
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def _code(text: str) -> int:
    value = int(text)
    if not 400 <= int(str(value)[:3]) <= 599:
        raise ValueError
    return value


def _http(text: str) -> int:
    value = int(text)
    if not 200 <= value <= 599:
        raise ValueError
    return value


def _plain_text(text: str) -> str:
    if not text.isprintable() or not text.strip():
        raise ValueError
    return text


def _ascii(text: str) -> str:
    if not text.isascii():
        raise ValueError
    return _plain_text(text)


def _yes(text: str) -> bool:
    return {"yes": True, "true": True, "no": False, "false": False}[text]


Reader = tuple[Callable[[str], object], str]
"""How a value is read, and what is right where it cannot be."""


def _choice(*words: str) -> Reader:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError
        return text

    return read, f"{', '.join(words[:-1])} or {words[-1]}"


_SECONDS: Reader = (_number, "seconds, 0 or more")

OPTIONS: Mapping[str, Reader] = {
    "accepted": (_yes, "yes or no"),
    "retry_after": _SECONDS,
    "retry_after_date": _SECONDS,
    "code": (_code, "an error code whose first three digits are 400 to 599, such as 400002"),
    "body": _choice(*BODIES),
    "shape": _choice(*SHAPES, MISSING),
    "message": (_plain_text, "some words"),
    "cost_usd": (_number, "USD, 0 or more"),
    "word": (_plain_text, "a word, such as warming_up"),
    "http": (_http, "an HTTP status, 200 to 599"),
    "for_s": _SECONDS,
    "delay_s": _SECONDS,
    "after_s": _SECONDS,
    "bytes_per_s": (lambda text: _number(text, least=1.0), "bytes a second, 1 or more"),
    "to": _choice("path", "host"),
    "type": (_ascii, "a Content-Type, such as text/plain"),
    "unit": (_plain_text, "a price unit, such as megapixel"),
}
"""What options of a fault look like."""

SELECTORS: Mapping[str, Reader] = {
    "rate": (lambda text: _number(text, above=1.0), "a share from 0 to 1"),
    "first": (_count, "a number of calls, from 1"),
    "every": (_count, "a number of calls, from 1"),
    "match": (str, "part of a prompt"),
    "model": (str, "part of a model id"),
    "from_s": _SECONDS,
    "to_s": _SECONDS,
}
"""What says which calls a rule is about; all that are given must agree."""

TEXTS = frozenset({"match", "message"})
"""Values that may have colons of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One parsed rule: where, what, and for which calls."""

    on: On
    fault: Fault
    row: FaultKind
    rate: float | None = None
    first: int | None = None
    every: int | None = None
    match: str = ""
    from_s: float | None = None
    to_s: float | None = None

    @property
    def selects_nothing(self) -> bool:
        """Whether it names no calls, so that the default of its place holds."""
        named = (self.rate, self.first, self.every, self.from_s, self.to_s)
        return all(value is None for value in named)


def parse(text: str) -> Rule:
    """A rule from its text. Raises `UsageError` that says what is allowed."""
    on, _, rest = text.partition(":")
    do, _, rest = rest.partition(":")
    pairs: list[tuple[str, str]] = []
    for part in rest.split(":") if rest else ():
        key, equals, value = part.partition("=")
        if not equals and pairs and pairs[-1][0] in TEXTS:
            pairs[-1] = (pairs[-1][0], f"{pairs[-1][1]}:{part}")  # a colon of the text itself
            continue
        if not equals:
            raise UsageError(f"fault {text!r}: {part!r} is not key=value")
        pairs.append((key.strip(), value))
    return _rule(text, on.strip(), do.strip(), pairs)


def parsed(rules: Iterable[Rule | str]) -> list[Rule]:
    """The rules, texts among them parsed. Raises `UsageError`."""
    return [parse(rule) if isinstance(rule, str) else rule for rule in rules]


def read(path: Path) -> tuple[Rule, ...]:
    """The rules of a JSON file: a list of texts or of objects such as {"on", "do", "rate"}."""
    try:
        items = msgspec.json.decode(path.read_bytes())
    except (OSError, ValueError) as problem:
        raise UsageError(f"{path}: faults cannot be read: {problem}") from None
    if not isinstance(items, list):
        raise UsageError(f"{path}: faults are a list of rules, as texts or as objects")
    return tuple(
        _from_json(item, f"{path}: fault {number}") for number, item in enumerate(items, 1)
    )


def _from_json(item: object, where: str) -> Rule:
    if isinstance(item, str):
        return parse(item)
    if not isinstance(item, dict):
        raise UsageError(f"{where}: a rule is a text or an object, not {item!r}")
    pairs = [(key, _text(value)) for key, value in item.items() if key not in ("on", "do")]
    return _rule(where, str(item.get("on", "")), str(item.get("do", "")), pairs)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _rule(where: str, on: str, do: str, pairs: Iterable[tuple[str, str]]) -> Rule:
    if on not in set(On):
        raise UsageError(f"fault {where!r}: {on!r} is no place; allowed: {', '.join(On)}")
    place = On(on)
    row = row_of(do)
    if row is None or place not in row.places:
        names = ", ".join(name for name, row in FAULTS.items() if place in row.places)
        message = f"fault {where!r}: {do!r} cannot be done on {on}; allowed: {names}, 400 to 599"
        raise UsageError(message)
    options: dict[str, Any] = {}
    selectors: dict[str, Any] = {}
    for key, value in pairs:
        name = "acts" if key == "accepted" else key
        values = selectors if key in SELECTORS else options
        if name in values:
            raise UsageError(f"fault {where!r}: {key!r} is given twice")
        values[name] = _value(where, row, place, key, value)
    model = selectors.pop("model", "")
    fault = Fault(do=do, model=model, **{"acts": row.acts, **row.defaults, **options})
    return Rule(on=place, fault=fault, row=row, **selectors)


def _value(where: str, row: FaultKind, place: On, key: str, text: str) -> object:
    """The value of one option or selector, read as the table says."""
    posts = place in (On.SUBMIT, On.ANY)
    allowed = [name for name in row.options if name != "accepted" or posts]
    allowed += SELECTORS if row.selectors is None else row.selectors
    if key not in allowed:
        names = ", ".join(allowed)
        raise UsageError(f"fault {where!r}: {key!r} is not known here; allowed: {names}")
    read_value, right = SELECTORS[key] if key in SELECTORS else OPTIONS[key]
    try:
        return read_value(text)
    except (ValueError, KeyError, OverflowError):
        message = f"fault {where!r}: {key}={text!r} cannot be read; give {right}"
        raise UsageError(message) from None


def hits(rule: Rule, call: Call, *, index: int, number: int, nth: int, seed: int) -> bool:
    """Whether a rule hits a call that it matches. Pure.

    `number` counts the calls that the rule matched, `nth` those for this key, both from 1;
    `index` is the place of the rule in its list, so that two equal rates hit different calls.
    """
    if rule.selects_nothing:
        return nth == 1 or rule.row.fate or rule.row.steady or rule.on in (On.SUBMIT, On.ANY)
    if rule.first is not None and number > rule.first:
        return False
    if rule.every is not None and number % rule.every:
        return False
    return rule.rate is None or chance(seed, index, call.on, call.key, nth) < rule.rate


def chance(*parts: object) -> float:
    """A number in [0, 1) that is the same for the same parts, in every process."""
    digest = blake2b("\x1f".join(map(str, parts)).encode(), digest_size=7).digest()
    return int.from_bytes(digest) / 256**7


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
            if rule.row.refuses
        ]
        """When nobody listens: from and to, in seconds since the start."""
        for index, rule in enumerate(rules):
            for place in _spread(rule):
                self._rules.setdefault((place, rule.row.fate), []).append((index, rule))

    def watches(self, on: On) -> bool:
        """Whether any rule there spoils answers."""
        return bool(self._rules) and (on, False) in self._rules

    def has_fates(self, on: On) -> bool:
        """Whether any rule there decides how jobs end."""
        return bool(self._rules) and (on, True) in self._rules

    def fault(self, call: Call) -> Fault | None:
        """What goes wrong with this call; counts it."""
        return self._decide(call, fate=False)

    def fate(self, call: Call) -> Fault | None:
        """How the job of this call is to end badly; ask once a job."""
        return self._decide(call, fate=True)

    def _decide(self, call: Call, *, fate: bool) -> Fault | None:
        rules = self._rules.get((call.on, fate))
        if rules is None:
            return None
        self._seen[call.on, fate, call.key] += 1
        nth = self._seen[call.on, fate, call.key]
        for index, rule in rules:
            if not _matches(rule, call):
                continue
            self._asked[index] += 1
            number = self._asked[index]
            if hits(rule, call, index=index, number=number, nth=nth, seed=self._seed):
                return rule.fault
        return None


def _spread(rule: Rule) -> frozenset[On]:
    """The calls that a rule is about; `any` is all that its row can be about."""
    if rule.on is not On.ANY:
        return frozenset({rule.on})
    return (EVERYWHERE if rule.row.refuses else rule.row.places) - {On.ANY}


def _matches(rule: Rule, call: Call) -> bool:
    if rule.match not in call.prompt:
        return False
    if call.model is not None and rule.fault.model not in call.model:
        return False
    since = rule.from_s is None or call.elapsed_s >= rule.from_s
    return since and (rule.to_s is None or call.elapsed_s < rule.to_s)
