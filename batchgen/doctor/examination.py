"""The whole examination: every check once, and the exit code that a run would end with."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from batchgen.core.api_base import DEFAULT_BASE_URL
from batchgen.core.errors import BatchgenError, UsageError, defect_sentence
from batchgen.core.units import count_text
from batchgen.doctor.api_checks import MODEL, check_api
from batchgen.doctor.batch_checks import BatchExamination
from batchgen.doctor.disk_checks import check_disk, nearest
from batchgen.doctor.finding import Finding, Level, faults, note, ok, warning
from batchgen.doctor.machine_checks import surroundings, versions
from batchgen.models.cache import CatalogueCache, age_text

if TYPE_CHECKING:
    from batchgen.app.batch_ref import BatchRef
    from batchgen.app.command_context import CommandContext


def examine(ref: BatchRef | None, context: CommandContext) -> Iterator[Finding]:
    """Yield everything that is found; the faults in the order in which a run would meet them.

    Without a batch, this machine and the way to the API are looked at. Writes nothing that stays.
    """
    yield from versions()
    yield from surroundings(context.environment, context.clock.now_s())
    is_address_wrong = False
    try:
        _ = context.api
    except UsageError as error:
        is_address_wrong = True
        yield from faults("API", error, "correct it, or leave it out for the built-in address")
        context = replace(context, base_url=DEFAULT_BASE_URL)  # the rest is worth looking at
    yield from _cache(context)
    work_left, model = None, MODEL
    if ref is None:
        yield from check_disk("disk", Path.cwd(), context.clock)
    else:
        batch = BatchExamination(ref=ref, context=context)
        yield from batch.findings()
        work_left, model = batch.work_left, batch.model or MODEL
    if ref is not None and ref.sandbox:
        yield ok("API", "the sandbox, in this process; it needs no token and no network")
    elif not is_address_wrong:
        for finding in check_api(context, model):
            # A run that has nothing to do asks nobody and needs no token.
            yield finding.as_warning() if work_left == 0 else finding


def examined(findings: Iterator[Finding]) -> list[Finding]:
    """Return every finding; a defect of this program ends the examination, and is one too."""
    found: list[Finding] = []
    try:
        found.extend(findings)
    except BatchgenError:
        raise
    except Exception as defect:  # noqa: BLE001 - what was found so far is worth reading
        found.append(
            Finding(
                check="doctor", level=Level.FAULT, text=defect_sentence(defect),
                advice="the checks after this one were not made", exit_code=70,
                reason="internal error",
            )
        )  # fmt: skip
    return found


def verdict_of(findings: Sequence[Finding]) -> tuple[int, tuple[str, ...]]:
    """Return the exit code of a run that met these findings, and all of its reasons."""
    found = [one for one in findings if one.level is Level.FAULT]
    return (found[0].exit_code if found else 0), tuple(dict.fromkeys(one.reason for one in found))


def _cache(context: CommandContext) -> Iterator[Finding]:
    """Say how old the cached descriptions of models are, and whether new ones could be kept."""
    directory = context.cache_dir
    if directory is None:
        return  # the missing HOME is a finding already
    place = nearest(directory)
    if not (place.is_dir() and os.access(place, os.W_OK)):
        yield warning(
            "schema cache", f"{place} cannot be written, so the catalogue is asked each time",
            "correct its owner and permissions, or set XDG_CACHE_HOME",
        )  # fmt: skip
    cached = list(CatalogueCache(directory, context.api, context.clock).entries())
    if not cached:
        yield ok(
            "schema cache", "empty; what the package knows is used, or what the catalogue says"
        )
        return
    stale = [one for one in cached if one.is_stale]
    ages = f"{count_text(len(cached), 'model')}, up to {age_text(max(one.age_s for one in cached))}"
    if stale:
        yield note(
            "schema cache", f"{ages}; {len(stale)} will be asked for again by the next run",
            "to do that now: batchgen models --refresh",
        )  # fmt: skip
    else:
        yield ok("schema cache", ages)
