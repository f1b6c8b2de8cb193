"""One row to its jobs: every combination of the matrix, and the copies of each."""

from __future__ import annotations

from collections.abc import Mapping

from batchgen.core.jobs import Job, JSONValue, Where, fingerprint
from batchgen.core.schema import Fault, Unfit
from batchgen.manifest.draft import Draft
from batchgen.manifest.identity import Ids, suffix
from batchgen.manifest.recipe import MAX_COMBINATIONS, Recipe
from batchgen.manifest.target import Cell
from batchgen.manifest.templates import Template, variable


def expand(draft: Draft, recipe: Recipe, ids: Ids) -> list[Job]:
    """The jobs of a row; unusable where the draft has problems afterwards."""
    own_id = _own_id(draft, ids) if "id" in draft.layout.sources else None
    repeat = recipe.head.repeat
    if "repeat" in draft.layout.sources:
        repeat = draft.repeat(repeat)
    if draft.target.size * repeat > MAX_COMBINATIONS:
        draft.fault("repeat", f"more than {MAX_COMBINATIONS:,} jobs from one row")
        return []
    jobs: list[Job] = []
    for cells in draft.target.combinations():
        values = _combined(draft, recipe, cells) if cells or recipe.template else draft.values
        for fault in draft.target.check(values):
            _keep(draft, fault)
        if not draft.problems:
            jobs.extend(_copies(draft, values, cells, repeat, ids, own_id))
    return jobs


def _own_id(draft: Draft, ids: Ids) -> str | None:
    own_id = draft.read_id()
    if own_id is None:
        return None
    record = draft.record
    if other := ids.claim(own_id, record.header.file, record.row):
        draft.fault_of_word("id", f"{own_id!r} is the id of {other} too; every row needs its own")
    return own_id


def _combined(draft: Draft, recipe: Recipe, cells: tuple[Cell, ...]) -> dict[str, JSONValue]:
    """The row's values with those of one combination, and the rendered prompt."""
    values = draft.values.copy()
    for cell in cells:
        if cell.parameter is not None:
            values[cell.parameter] = cell.value
    text = draft.target.text_parameter
    if recipe.template is None or text is None or recipe.variables & draft.layout.lacks:
        return values
    texts = {**draft.texts, **{variable(cell.key): cell.text for cell in cells}}
    try:
        values[text] = draft.target.read(text, _rendered(recipe.template, texts))
    except Unfit as unfit:
        draft.unfit.append(text)
        draft.fault(draft.layout.labels.get(text, text), str(unfit))
    return values


def _rendered(template: Template, texts: Mapping[str, str]) -> str:
    text = template.render(texts)
    if not text.strip():
        raise Unfit("the template gives an empty text for this row")
    return text


def _keep(draft: Draft, fault: Fault) -> None:
    """A fault of the whole input, under the name of the column that it came from."""
    name = fault.parameter
    if name in draft.unfit:
        return
    label = draft.layout.labels.get(name)
    if not fault.is_missing:
        draft.fault(label or name, str(fault))
    elif label is not None:
        draft.fault(label, f"is empty; {draft.target.model} needs it")
    elif name not in draft.layout.nobody_gives:
        draft.fault(name, f"is missing; {draft.target.model} needs it")


def _copies(
    draft: Draft,
    values: dict[str, JSONValue],
    cells: tuple[Cell, ...],
    repeat: int,
    ids: Ids,
    own_id: str | None,
) -> list[Job]:
    record, model = draft.record, draft.target.model
    where = Where(file=record.header.file, row=record.row)
    name = fingerprint(model, values) if own_id is None else own_id
    if cells:
        name += suffix([(cell.key, cell.text) for cell in cells])
    jobs = []
    for number in range(1, repeat + 1):
        if own_id is None:
            id_ = ids.take(name, where.file, record.row)
        else:
            id_ = name if number == 1 else f"{name}~{number}"
            if id_ != own_id and (other := ids.claim(id_, where.file, record.row)):
                draft.fault_of_word("id", f"a copy would be called {id_!r}, as {other} is")
        jobs.append(Job(id=id_, model=model, input=values, where=where, columns=draft.columns))
    return jobs
