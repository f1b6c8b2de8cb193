"""An API and an output store in memory, of which some calls fail at random."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from batchgen.core.api_answers import PollAnswer, TryAgain
from batchgen.core.events import JobError, OutputFile
from batchgen.ports import SaveAnswer, SaveLater
from tests.kit.fakes import MemoryAPI, MemoryStore
from tests.kit.time import LoopClock

BAD_GATEWAY = JobError(kind="lost_answer", message="bad gateway", http_status=504)


@dataclass(frozen=True)
class Chances:
    """The chance of a 504 for each kind of call."""

    status: float = 0.0
    result: float = 0.0
    file: float = 0.0

    def __str__(self) -> str:
        return " ".join(f"{name}={chance:.0%}" for name, chance in vars(self).items() if chance)


@dataclass
class FlakyAPI(MemoryAPI):
    """Answers some polls with 504, whatever the state of the job."""

    chances: Chances = field(default_factory=Chances)
    dice: random.Random = field(default_factory=random.Random)

    async def status(self, request_id: str) -> PollAnswer:
        answer = await super().status(request_id)
        return TryAgain(error=BAD_GATEWAY) if self.dice.random() < self.chances.status else answer

    async def result(self, request_id: str) -> PollAnswer:
        answer = await super().result(request_id)
        return TryAgain(error=BAD_GATEWAY) if self.dice.random() < self.chances.result else answer


@dataclass
class FlakyStore(MemoryStore):
    """Fails to fetch some files, without a byte of them."""

    chances: Chances = field(default_factory=Chances)
    dice: random.Random = field(default_factory=random.Random)

    async def save(
        self, job: str, urls: tuple[str, ...], known: tuple[OutputFile, ...] = ()
    ) -> SaveAnswer:
        if self.dice.random() < self.chances.file:
            self.tries[job] += 1
            await LoopClock().sleep(self.save_s)
            return SaveLater(error=BAD_GATEWAY)
        return await super().save(job, urls, known)
