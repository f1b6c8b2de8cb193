"""`batchgen check`: validate every row, and with `--online` the files that its rows name."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterable, Iterator, Mapping

from batchgen.app.batch_ref import BatchRef
from batchgen.app.command_context import CommandContext
from batchgen.app.loading import LoadedBatch, load
from batchgen.app.open_batch import open_newest
from batchgen.core.errors import ManifestError, Problem
from batchgen.core.input_files import MediaInput, MediaRules
from batchgen.core.jobs import Job
from batchgen.core.schema.inputs import Schema
from batchgen.core.units import count_text
from batchgen.reports.terminal import tame


def handle(args: argparse.Namespace, context: CommandContext) -> int:
    """Check every row. Raises `ManifestError` with everything that is wrong."""
    console = context.console
    ref = BatchRef.of(args)
    with load(open_newest(ref, context, fresh=True).manifest, keep=args.online) as loaded:
        asked = _ask_online(loaded, context) if args.online else 0
        try:
            loaded.require_valid(skip_invalid=False)
        except ManifestError as error:
            error.facts = _findings(loaded)
            for note in loaded.manifest.notes_on_files:
                console.say(note)
            raise
        for note in loaded.manifest.notes:
            console.say(note)
        if args.json:
            good = {"problems": [], "problem_count": 0, "exit_code": 0, "reasons": []}
            console.print_json(good | _findings(loaded))
        else:
            jobs = count_text(loaded.spool.valid, "job")
            console.print_lines(f"{ref.shown}: {jobs}, nothing wrong", *_sources(loaded, asked))
    return 0


def _ask_online(loaded: LoadedBatch, context: CommandContext) -> int:
    """Ask for every distinct address once, add the problems, and return how many were asked.

    A problem is reported for the first row that has the address.
    """
    inputs = distinct_inputs(loaded.spool.jobs(), loaded.manifest.schemas)
    found = asyncio.run(_problems(inputs, context)) if inputs else []
    loaded.problems.add(found)
    loaded.fatal = loaded.fatal or bool(found)  # a run does not ask, so it cannot leave them out
    return len(inputs)


def distinct_inputs(jobs: Iterable[Job], schemas: Mapping[str, Schema]) -> list[MediaInput]:
    """Return the input files of all jobs, each address once, with the first row that has it."""
    rules: dict[str, MediaRules] = {}
    inputs: dict[str, MediaInput] = {}
    for job in jobs:
        if job.model not in rules:
            rules[job.model] = MediaRules.of(schemas.get(job.model))
        for one in rules[job.model].inputs(job):
            inputs.setdefault(one.url, one)
    return list(inputs.values())


async def _problems(inputs: list[MediaInput], context: CommandContext) -> list[Problem]:
    from batchgen.api.input_file_check import InputFileCheck  # loads aiohttp
    from batchgen.net.http_get import HttpGet
    from batchgen.net.url_policy import UrlPolicy

    async with HttpGet(UrlPolicy(local=context.api.is_loopback)) as http:
        return await InputFileCheck(http=http, clock=context.clock).problems(inputs)


def _sources(loaded: LoadedBatch, asked: int) -> Iterator[str]:
    """Say what the rows were checked against."""
    for model, origin in loaded.manifest.origins.items():
        yield f"  schema of {model}: {tame(origin)}"
    if asked:
        yield f"  {count_text(asked, 'distinct URL')} asked, each could be fetched"


def _findings(loaded: LoadedBatch) -> dict[str, object]:
    return {
        "jobs": loaded.spool.valid,
        "invalid": loaded.spool.invalid,
        "notes": list(loaded.manifest.notes),
        "schemas": dict(loaded.manifest.origins),
    }
