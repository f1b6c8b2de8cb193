"""`batchgen check`.

`check --online`: whether the API could fetch the files that the rows point at.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterable, Iterator

import msgspec

from batchgen.app.batch_ref import batch_ref_of
from batchgen.app.loading import SHOWN_PROBLEMS, LoadedBatch, load
from batchgen.app.model_sources import offline_models
from batchgen.app.open_batch import latest, open_batch
from batchgen.core.errors import Problem
from batchgen.core.input_files import MediaInput, MediaRules
from batchgen.core.jobs import Job
from batchgen.core.units import count_text
from batchgen.models.registry import ModelRegistry
from batchgen.reports.terminal import tame
from batchgen.system import environment
from batchgen.system.clock import SystemClock


def ask_online(loaded: LoadedBatch, base_url: str | None = None) -> int:
    """Ask every distinct address once and add what is wrong to `loaded`; how many were asked.

    A finding stands at the first row that has the address.
    """
    base = environment.api_base(base_url)
    inputs = distinct_inputs(loaded.spool.jobs(), offline_models(base))
    found = asyncio.run(_problems(inputs, local=base.is_loopback)) if inputs else []
    loaded.problem_count += len(found)
    loaded.problems.extend(found[: max(0, SHOWN_PROBLEMS - len(loaded.problems))])
    return len(inputs)


def distinct_inputs(jobs: Iterable[Job], known: ModelRegistry) -> list[MediaInput]:
    """The files of all jobs, each address once, with the place of the first row that has it."""
    rules: dict[str, MediaRules] = {}
    inputs: dict[str, MediaInput] = {}
    for job in jobs:
        if job.model not in rules:
            rules[job.model] = MediaRules.of(known.entry_for(job.model))
        for one in rules[job.model].inputs(job):
            inputs.setdefault(one.url, one)
    return list(inputs.values())


async def _problems(inputs: list[MediaInput], *, local: bool) -> list[Problem]:
    from batchgen.api.input_file_check import InputFileCheck

    async with InputFileCheck(clock=SystemClock(), local=local) as check:
        return await check.problems(inputs)


def handle(args: argparse.Namespace) -> int:
    """Check every row. Raises `ManifestError` with everything that is wrong."""
    target = batch_ref_of(args)
    opened = open_batch(target, pick=latest)
    with load(opened.manifest, opened.target, keep=args.online) as loaded:
        asked = ask_online(loaded, args.base_url) if args.online else 0
        if args.json:
            print(msgspec.json.encode(_findings(loaded)).decode())
        for note in loaded.manifest.notes:
            print(f"batchgen: {tame(note)}", file=sys.stderr)
        loaded.require_valid(skip_invalid=False)
        if not args.json:
            print(f"{args.manifest}: {count_text(loaded.spool.valid, 'job')}, nothing wrong")
            print("\n".join(_grounds(loaded, asked)))
    return 0


def _grounds(loaded: LoadedBatch, asked: int) -> Iterator[str]:
    """What the rows were checked against."""
    for model, origin in loaded.manifest.origins.items():
        yield f"  schema of {model}: {tame(origin)}"
    if asked:
        yield f"  {count_text(asked, 'distinct URL')} asked, each could be fetched"


def _findings(loaded: LoadedBatch) -> dict[str, object]:
    return {
        "jobs": loaded.spool.valid,
        "invalid": loaded.spool.invalid,
        "problems": [{"where": problem.where, "what": problem.what} for problem in loaded.problems],
        "problem_count": loaded.problem_count,
        "notes": list(loaded.manifest.notes),
        "schemas": dict(loaded.manifest.origins),
    }
