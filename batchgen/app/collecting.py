"""Where the outputs of a batch go, put together: place, guard, names, and sidecars where wanted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from batchgen.app.batch import Loaded
from batchgen.app.options import RunOptions
from batchgen.app.recipes import Recipes
from batchgen.core.events import OutputFile
from batchgen.core.lifecycle import PAID_FOR
from batchgen.core.origin import ApiBase
from batchgen.core.plan import Records
from batchgen.ledger import LEDGER_NAME
from batchgen.outputs import Directory, Guard, Keep, Names, Store
from batchgen.outputs.bucket import Bucket
from batchgen.outputs.fetch import later
from batchgen.outputs.keep import Unreachable
from batchgen.outputs.sidecar import MARKER, sidecar
from batchgen.outputs.store import NOTES_NAME
from batchgen.ports import FilesSaved, Observer, OutputStore, SaveAnswer

DEFAULT_DIR = "outputs"


def store_of(
    run_dir: Path, loaded: Loaded, records: Records, *, api: ApiBase, options: RunOptions
) -> Store:
    """The store of a batch; to be entered before use."""
    output = loaded.manifest.head.output
    return Store(
        run_dir=run_dir,
        keep=keep_of(run_dir, output.dir),
        guard=Guard(api=api, hosts=output.hosts),
        name_of=loaded.names,
        names=Names(f.path for record in records.records(*PAID_FOR) for f in record.files),
        prepares=options.policy.download,
    )


def keep_of(run_dir: Path, place: str | None) -> Keep:
    """The place that `output.dir` names."""
    if place and "://" in place:
        return Bucket(url=place, parts=run_dir / NOTES_NAME)
    return Directory(run_dir=run_dir, path=run_dir / (place or DEFAULT_DIR))


@dataclass(slots=True, kw_only=True)
class Described:
    """A store that writes a sidecar beside each file (port `OutputStore`)."""

    store: Store
    records: Records
    recipes: Recipes

    async def save(
        self, job: str, urls: tuple[str, ...], known: tuple[OutputFile, ...] = ()
    ) -> SaveAnswer:
        """Files first, then sidecars: both are there before the ledger says so."""
        answer = await self.store.save(job, urls, known)
        try:
            for file in answer.files if isinstance(answer, FilesSaved) else ():
                await self._describe(job, file)
        except Unreachable as error:
            return later(str(error))
        return answer

    def settled(self, job: str) -> None:
        """Passed on."""
        self.store.settled(job)

    async def _describe(self, job: str, file: OutputFile) -> None:
        recipe = await self.recipes.of(job)
        record = self.records.get(job)
        if recipe is not None and record is not None:
            content = sidecar(file, record, model=recipe.model, values=recipe.values)
            await self.store.describe(file, content, MARKER)


def with_sidecars(
    store: Store, loaded: Loaded, records: Records, observer: Observer, *, wanted: bool
) -> tuple[OutputStore, Observer]:
    """The store that writes them, and the observer that has to hear of submissions for it.

    Both as they are where sidecars are not wanted.
    """
    if not wanted:
        return store, observer
    ledger = store.run_dir / LEDGER_NAME
    recipes = Recipes(batch=loaded.spool, records=records, ledger=ledger, then=observer)
    return Described(store=store, records=records, recipes=recipes), recipes
