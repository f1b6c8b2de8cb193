"""What a run says to a person, on stderr."""

from __future__ import annotations

import sys

from batchgen.app.batch import Loaded
from batchgen.app.options import Flags
from batchgen.core.plan import Plan
from batchgen.core.quantities import count_text


class Talk:
    """What is said to a person, on stderr."""

    def __init__(self, flags: Flags) -> None:
        self._quiet = flags.quiet

    def say(self, text: str) -> None:
        """Something that is good to know."""
        if not self._quiet:
            self.insist(text)

    def insist(self, text: str) -> None:
        """Something that has to be known."""
        print(f"batchgen: {text}", file=sys.stderr, flush=True)


def plan_sentence(plan: Plan, loaded: Loaded) -> str:
    """`44 jobs: 40 new, 3 in flight, 1 done`."""
    groups = ", ".join(plan.sentences())
    wrong = loaded.spool.invalid
    left_out = f"; {count_text(wrong, 'wrong row')} left out" if wrong else ""
    return f"{count_text(plan.jobs, 'job')}: {groups}{left_out}"
