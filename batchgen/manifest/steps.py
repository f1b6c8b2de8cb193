"""Steps: what `steps:` says, and the drafts of the jobs that each row gets from it.

The first step is the rows as they are. Each later one has a model and an input of its own, whose
values are templates over the row's columns and over what earlier steps made.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from batchgen.core.errors import Problem
from batchgen.core.jobs import (
    INDEX_CLOSES,
    INDEX_OPENS,
    Asset,
    Place,
    StepDraft,
    with_values,
)
from batchgen.core.json_reader import JSONValue
from batchgen.core.model_entry import fault_of_model_id, is_model_id
from batchgen.core.schema.values import Given, InvalidValue, Written, shown, text_of
from batchgen.core.suggest import did_you_mean
from batchgen.manifest.formats.yaml_tree import Listed, Mapped
from batchgen.manifest.header import is_blank
from batchgen.manifest.templates import Template, is_template, step_variable

if TYPE_CHECKING:
    from batchgen.core.schema.inputs import InputFault
    from batchgen.manifest.model_binding import ModelBinding, ModelBindings
    from batchgen.manifest.settings import ManifestSettings, RowSettings

STEP_KEYS = ("name", "model", "after", "when", "each", "input")
MAX_STEPS = 20
_NAME = re.compile(r"[^\W\d]\w{0,39}")
_URL = re.compile(r"\s*\{\{\s*(\w+)\.url\s*\}\}\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSettings:
    """One entry under `steps:`, its words checked."""

    name: str
    model: str | None = None
    after: str | None = None
    """The step before it; None for the first."""
    of_each_output: bool = False
    if_kept: bool = False
    input: Mapping[str, Given] = field(default_factory=dict)
    place: str = ""
    """`m.yaml:9: steps.clip`, for messages."""
    places: Mapping[str, str] = field(default_factory=dict)
    """The same for each key of `input`."""


class StepReader:
    """Reader of the entries under `steps:`. Problems are collected."""

    def __init__(self, tree: Mapped, file: str, problems: list[Problem]) -> None:
        self._tree, self._file, self._problems = tree, file, problems

    def steps(self) -> tuple[StepSettings, ...]:
        """Return the steps, each after the one that it follows; none if anything is wrong."""
        listed = self._tree.get("steps")
        if listed is None:
            return ()
        place = f"{self._file}:{self._tree.lines.get('steps', self._tree.line)}: steps"
        before = len(self._problems)
        if not isinstance(listed, Listed) or not listed:
            self._problems.append(Problem(place, "expected a list of steps, the rows first"))
            return ()
        if len(listed) > MAX_STEPS:
            what = f"has {len(listed)} steps; at most {MAX_STEPS} are allowed"
            self._problems.append(Problem(place, what))
            return ()
        steps = [
            step
            for number, entry in enumerate(listed)
            if (step := self._step(entry, listed.lines[number], number)) is not None
        ]
        if len(self._problems) > before:
            return ()
        ordered = self._ordered(steps)
        return () if len(self._problems) > before else ordered

    def _step(self, entry: Given, line: int, number: int) -> StepSettings | None:
        place = f"{self._file}:{line}: steps"
        if not isinstance(entry, Mapped):
            what = f"expected a step, as in {{name: clip, model: ...}}, got {shown(entry)}"
            self._problems.append(Problem(place, what))
            return None
        name = self._word(entry, "name", place)
        if name is None or not _NAME.fullmatch(name):
            what = "needs a name of letters, digits and _"
            self._problems.append(Problem(self._at(entry, "name", place), what))
            return None
        place = f"{self._file}:{line}: steps.{name}"
        known = ("name",) if number == 0 else STEP_KEYS
        for key in entry:
            if key not in known:
                hint = did_you_mean(key, STEP_KEYS) or f"; known are {', '.join(STEP_KEYS)}"
                if number == 0 and key in STEP_KEYS:
                    hint = "; the first step is the rows as they are, and has only a name"
                self._problems.append(Problem(self._at(entry, key, place), f"unknown key{hint}"))
        given, places = self._input(entry, place)
        return StepSettings(
            name=name,
            model=self._word(entry, "model", place),
            after=self._word(entry, "after", place),
            of_each_output=self._one_of(entry, "each", ("first", "output"), place) == "output",
            if_kept=self._one_of(entry, "when", ("done", "kept"), place) == "kept",
            input=given,
            place=place,
            places=places,
        )

    def _at(self, entry: Mapped, key: str, place: str) -> str:
        """Return the place of one key."""
        name = place.partition(": ")[2]
        return f"{self._file}:{entry.lines.get(key, entry.line)}: {name}.{key}"

    def _word(self, entry: Mapped, key: str, place: str) -> str | None:
        value = entry.get(key)
        if value is None:
            return None
        if isinstance(value, (str, Written)) and text_of(value).strip():
            return text_of(value).strip()
        self._problems.append(
            Problem(self._at(entry, key, place), f"expected a word, got {shown(value)}")
        )
        return None

    def _one_of(self, entry: Mapped, key: str, words: Sequence[str], place: str) -> str:
        word = self._word(entry, key, place)
        if word is not None and word not in words:
            what = f"{word!r} is not allowed; allowed: {', '.join(words)}"
            self._problems.append(Problem(self._at(entry, key, place), what))
        return word or words[0]

    def _input(self, entry: Mapped, place: str) -> tuple[Mapping[str, Given], dict[str, str]]:
        given = entry.get("input")
        if given is None:
            return {}, {}
        if not isinstance(given, Mapped):
            what = f"expected a mapping, got {shown(given)}"
            self._problems.append(Problem(self._at(entry, "input", place), what))
            return {}, {}
        name = place.partition(": ")[2]
        places = {
            key: f"{self._file}:{given.lines.get(key, given.line)}: {name}.input.{key}"
            for key in given
        }
        return given, places

    def _ordered(self, steps: list[StepSettings]) -> tuple[StepSettings, ...]:
        """Return the steps, each after the one that it follows."""
        names = [step.name for step in steps]
        for number, step in enumerate(steps):
            if step.name in names[:number]:
                self._problems.append(Problem(step.place, "another step has this name; rename one"))
            elif step.after is not None and step.after not in names:
                hint = did_you_mean(step.after, names) or f"; the steps are {', '.join(names)}"
                self._problems.append(Problem(step.place, f"after: no step {step.after!r}{hint}"))
        if self._problems:
            return ()
        after = {step.name: step.after or names[n] for n, step in enumerate(steps[1:])}
        ordered, left = [steps[0]], steps[1:]
        while left:
            done = {step.name for step in ordered}
            free = [step for step in left if after[step.name] in done]
            if not free:
                self._report_cycle(left, after)
                return ()
            ordered += [replace(step, after=after[step.name]) for step in free]
            left = [step for step in left if step not in free]
        return tuple(ordered)

    def _report_cycle(self, left: list[StepSettings], after: Mapping[str, str]) -> None:
        names = [left[0].name]
        while (name := after[names[-1]]) not in names:
            names.append(name)
        cycle = " after ".join([*names[names.index(name) :], name])
        what = f"steps wait for each other: {cycle}; let the first of them follow another step"
        self._problems.append(Problem(left[0].place, what))


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlOfStep:
    """`{{ STEP.url }}`: the address of an output."""

    step: str


Piece: TypeAlias = "UrlOfStep | Template | Given"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTemplates:
    """A step after the rows, its templates compiled."""

    settings: StepSettings
    pieces: Mapping[str, Piece | list[Piece]]
    """By the key of `input`; a list for a value that is a list."""

    @property
    def templates(self) -> Iterator[Template]:
        """The templates over columns."""
        for value in self.pieces.values():
            pieces = value if isinstance(value, list) else [value]
            yield from (one for one in pieces if isinstance(one, Template))


def step_templates(
    settings: ManifestSettings, problems: list[Problem]
) -> tuple[StepTemplates, ...]:
    """Return the steps after the rows; add what is wrong with their templates to `problems`."""
    ancestors: dict[str, tuple[str, ...]] = {}
    found = []
    names = [step.name for step in settings.steps]
    for step in settings.steps:
        before = (*ancestors[step.after], step.after) if step.after else ()
        ancestors[step.name] = before
        if step.after:
            reader = _PieceReader(names, before, problems)
            pieces = {key: reader.pieces(one, step.places[key]) for key, one in step.input.items()}
            found.append(StepTemplates(settings=step, pieces=pieces))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _PieceReader:
    """Compiles the values of one step's input."""

    steps: Sequence[str]
    before: Sequence[str]
    """The steps whose outputs it may use."""
    problems: list[Problem]

    def pieces(self, given: Given, place: str) -> Piece | list[Piece]:
        if isinstance(given, list):
            return [self._piece(one, place) for one in given]
        return self._piece(given, place)

    def _piece(self, given: Given, place: str) -> Piece:
        if not isinstance(given, str) or not is_template(given):
            return given
        if (url := _URL.fullmatch(given)) and url[1] in self.steps:
            self._require_before(url[1], "url", place)
            return UrlOfStep(step=url[1])
        try:
            template = Template(given, self.steps)
        except InvalidValue as unfit:
            self.problems.append(Problem(place, str(unfit)))
            return ""
        for used in sorted(template.step_values):
            step, _, value = used.rpartition(".")
            if value == "url":
                what = f"{{{{ {used} }}}} stands alone, as the whole value of a parameter"
                self.problems.append(Problem(place, what))
            else:
                self._require_before(step, value, place)
        return template

    def _require_before(self, step: str, value: str, place: str) -> None:
        if step not in self.before:
            known = ", ".join(self.before)
            used = f"{{{{ {step}.{value} }}}}"
            what = f"{used}: {step!r} does not come before this step; those are {known}"
            self.problems.append(Problem(place, what))


class StepDrafts:
    """The later steps of a manifest with the schemas of their models."""

    def __init__(self, settings: RowSettings, models: ModelBindings) -> None:
        self.problems: list[Problem] = []
        """What is wrong with the steps for every row."""
        self.first = settings.manifest.steps[0].name
        self.names = frozenset(step.name for step in settings.manifest.steps)
        self._steps = [
            bound
            for step in settings.steps
            if (bound := self._bound(step, settings.model, models)) is not None
        ]

    def _bound(
        self, step: StepTemplates, default: str | None, models: ModelBindings
    ) -> _BoundStep | None:
        one = step.settings
        model = one.model or default
        if model is None or not is_model_id(model):
            what = "needs a model, as in model: maker/model/image-to-video"
            if model is not None:
                what = fault_of_model_id(shown(model))
            self.problems.append(Problem(one.place, what))
            return None
        return _BoundStep(step, models.step_binding(model), self.problems)

    def of_row(
        self,
        texts: Mapping[str, str],
        prompt: str,
        fault: Callable[[str, str], None],
    ) -> tuple[StepDraft, ...]:
        """Return the drafts of one row.

        `texts` are its cells by variable name, `prompt` is that of its first job. `fault` gets the
        place and the sentence of each mistake.
        """
        known = dict(texts)
        known[step_variable(self.first, "prompt")] = prompt
        known[step_variable(self.first, "index")] = f"{INDEX_OPENS}{self.first}{INDEX_CLOSES}"
        drafts = []
        for step in self._steps:
            draft = step.draft(known, fault)
            name, text = step.settings.name, step.binding.text_parameter
            known[step_variable(name, "prompt")] = str(draft.input.get(text or "", ""))
            known[step_variable(name, "index")] = f"{INDEX_OPENS}{name}{INDEX_CLOSES}"
            drafts.append(draft)
        return tuple(drafts)


def _uses_index(template: Template) -> bool:
    return any(used.endswith(".index") for used in template.step_values)


class _BoundStep:
    """One step with the parameters of its model."""

    def __init__(self, step: StepTemplates, binding: ModelBinding, problems: list[Problem]) -> None:
        self.settings, self.binding = step.settings, binding
        self._constants: dict[str, Any] = {}
        self._urls: list[tuple[str, int | None, str]] = []
        self._templates: list[tuple[str, int | None, Template]] = []
        for key, value in step.pieces.items():
            self._read(key, value, problems)
        self._is_constant = not self._templates
        self._has_index = any(_uses_index(template) for _, _, template in self._templates)
        self._check_constants(problems)
        self._assets: dict[Place, Asset] = binding.assets_of(
            self._constants, lambda name, what: problems.append(Problem(self._place(name), what))
        )
        self._constants = with_values(
            self._constants, {place: one.as_input() for place, one in self._assets.items()}
        )

    def _read(self, key: str, value: Piece | list[Piece], problems: list[Problem]) -> None:
        place = self.settings.places[key]
        parameter = self.binding.parameter(key)
        if parameter is None and self.binding.schema is not None:
            hint = did_you_mean(key, self.binding.schema.names)
            problems.append(Problem(place, f"is not a parameter of {self.binding.model}{hint}"))
            return
        parameter = parameter or key
        takes_list = self.binding.takes_list(parameter)
        if isinstance(value, UrlOfStep) and takes_list:
            alone: list[Piece] = [value]
            value = alone
        try:
            if isinstance(value, list):
                self._constants[parameter] = self._list(parameter, value)
            elif isinstance(value, (UrlOfStep, Template)):
                self._constants[parameter] = self._entry(parameter, None, value)
            elif not is_blank(value):
                self._constants[parameter] = self.binding.read(parameter, value)
        except InvalidValue as unfit:
            problems.append(Problem(place, str(unfit)))

    def _list(self, parameter: str, pieces: list[Piece]) -> list[JSONValue]:
        """Return a list with an empty text in each place that is filled later."""
        entries = [self._entry(parameter, n, one) for n, one in enumerate(pieces)]
        later = {n for n, one in enumerate(pieces) if isinstance(one, (UrlOfStep, Template))}
        known = [self.binding.stand_in(n) if n in later else one for n, one in enumerate(entries)]
        read = self.binding.read(parameter, known)
        if not isinstance(read, list):
            raise InvalidValue(f"expected one value, got {shown(entries)}")
        return ["" if n in later else one for n, one in enumerate(read)]

    def _entry(self, parameter: str, position: int | None, piece: Piece) -> JSONValue:
        if isinstance(piece, UrlOfStep):
            self._urls.append((parameter, position, piece.step))
        elif isinstance(piece, Template):
            if _uses_index(piece) and not self.binding.takes_text(parameter):
                raise InvalidValue("the index of a step can be used in a text only")
            self._templates.append((parameter, position, piece))
        else:
            return text_of(piece)
        return ""

    def _check_constants(self, problems: list[Problem]) -> None:
        """Report what is wrong in every row alike."""
        filled = {name for name, _, _ in self._templates}
        for fault in self._faults(self._constants):
            if fault.is_missing and fault.parameter not in filled:
                what = f"input.{fault.parameter}: is missing; {self.binding.model} needs it"
                problems.append(Problem(self.settings.place, what))
            elif fault.parameter not in filled and not fault.is_missing:
                place = self._place(fault.parameter)
                problems.append(Problem(place, str(fault)))

    def _place(self, parameter: str) -> str:
        places = self.settings.places
        named = (place for key, place in places.items() if self.binding.parameter(key) == parameter)
        return next(named, self.settings.place)

    def _faults(self, values: Mapping[str, Any]) -> tuple[InputFault, ...]:
        """Return what is wrong with an input that gets its addresses later."""
        later = {(name, n): self.binding.stand_in(n) for name, n, _ in self._urls}
        return self.binding.check(with_values(values, later))

    def draft(self, known: Mapping[str, str], fault: Callable[[str, str], None]) -> StepDraft:
        """Return the draft for one row whose texts are known."""
        values, assets = self._constants, self._assets
        if not self._is_constant:
            values = self._rendered(known, fault)
            found = self.binding.assets_of(
                values, lambda name, what: fault(f"{self.settings.name}.{name}", what)
            )
            values = with_values(values, {place: one.as_input() for place, one in found.items()})
            assets = {**assets, **found}
        return StepDraft(
            step=self.settings.name,
            after=self.settings.after or "",
            model=self.binding.model,
            input=values,
            urls=tuple(self._urls),
            assets=tuple((*place, one) for place, one in assets.items()),
            of_each_output=self.settings.of_each_output,
            if_kept=self.settings.if_kept,
            has_index=self._has_index,
        )

    def _rendered(
        self, known: Mapping[str, str], fault: Callable[[str, str], None]
    ) -> dict[str, Any]:
        values = dict(self._constants)
        wrong = set()
        for parameter, position, template in self._templates:
            label = f"{self.settings.name}.{parameter}"
            try:
                text = template.render(known)
                if position is None:
                    values[parameter] = self.binding.read(parameter, text)
                else:
                    [entry] = cast("list[JSONValue]", self.binding.read(parameter, [text]))
                    values = with_values(values, {(parameter, position): entry})
            except InvalidValue as unfit:
                wrong.add(parameter)
                fault(label, str(unfit))
        rendered = {name for name, _, _ in self._templates}
        for one in self._faults(values):
            if one.parameter in rendered - wrong:
                fault(f"{self.settings.name}.{one.parameter}", str(one))
        return values
