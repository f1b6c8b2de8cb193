"""`batchgen resolve`."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from batchgen.app.opening import latest, open_batch
from batchgen.app.turn import Turn
from batchgen.app.word import resolve_in
from batchgen.cli.target import target_of, turn_of
from batchgen.core.errors import UsageError
from batchgen.core.events import Attached, GivenUp, Granted


def handle(args: argparse.Namespace) -> int:
    """Put a person's word on record; nothing is sent."""
    target = target_of(args)
    run_dir = open_batch(target, pick=latest).run_dir
    words: dict[str, Attached | GivenUp | Granted] = {
        "request_id": Attached(request_id=args.request_id or ""),
        "give_up": GivenUp(),
        "resubmit": Granted(),
    }
    chosen = [word for name, word in words.items() if getattr(args, name)]
    if len(chosen) != 1:
        raise UsageError("say one of --request-id RID, --give-up, --resubmit")
    asyncio.run(_resolve(run_dir, args.job, chosen[0], turn_of(args)))
    return 0


async def _resolve(run_dir: Path, job: str, word: Attached | GivenUp | Granted, turn: Turn) -> None:
    record = await resolve_in(run_dir, job, word, turn)
    then = {
        Attached: "the next run collects it",
        GivenUp: "it no longer counts as failed",
        Granted: "the next run submits it once more",
    }
    print(f"job {job!r} is {record.state.value}: {then[type(word)]}")
