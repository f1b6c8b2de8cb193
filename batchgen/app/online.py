"""`check --online`: whether the API could fetch the files that the rows point at."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from batchgen import settings
from batchgen.api.known import KnownModels
from batchgen.api.media import MediaInput, MediaRules
from batchgen.app.batch import SHOWN_PROBLEMS, Loaded
from batchgen.app.catalogue import offline_models
from batchgen.core.errors import Problem
from batchgen.core.jobs import Job


def ask_online(loaded: Loaded, base_url: str | None = None) -> int:
    """Ask every distinct address once and add what is wrong to `loaded`; how many were asked.

    A finding stands at the first row that has the address.
    """
    base = settings.api_base(base_url)
    inputs = distinct_inputs(loaded.spool.jobs(), offline_models(base))
    found = asyncio.run(_problems(inputs, local=base.is_loopback)) if inputs else []
    loaded.problem_count += len(found)
    loaded.problems.extend(found[: max(0, SHOWN_PROBLEMS - len(loaded.problems))])
    return len(inputs)


def distinct_inputs(jobs: Iterable[Job], known: KnownModels) -> list[MediaInput]:
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
    from batchgen.api.online import OnlineCheck

    async with OnlineCheck(local=local) as check:
        return await check.problems(inputs)
