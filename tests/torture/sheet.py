"""The spreadsheet of a batch: some hundred rows, some of which the sandbox treats badly.

A word of a row's prompt decides what goes wrong with it, so that afterwards every doubt can be
explained. A prompt begins with its job and ends with its version.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from tests.kit.live import write_csv
from tests.torture.decisions import Edit, dice

FAULTS = {
    "slow": "submit:slow:delay_s=0.4:match= slow ",
    "busy": "submit:503:retry_after=0.1:rate=0.6:match= busy ",
    "drip": "file:drip:bytes_per_s=3000:match= drip ",
    "cut": "file:truncate:match= cut ",
    "lost": "submit:lose-answer:match= lost ",
    "dropped": "submit:drop:match= dropped ",
}
"""By word: the fault of rows with this word."""

WEATHER = ("status:500:rate=0.03", "result:reset:rate=0.03", "file:503:rate=0.03")
"""Faults of all rows."""

LOSSY = frozenset({"lost", "dropped"})
"""Words of rows whose answer never arrives."""

_WEIGHTS = {"calm": 73, "slow": 9, "busy": 5, "drip": 5, "cut": 5, "lost": 2, "dropped": 1}


FILM = "torture/film/image-to-video"
"""The model of the second step, which the sandbox must know."""

FILM_SCHEMA = {
    "type": "object",
    "properties": {
        "prompt": {"type": "string"},
        "image_url": {"type": "string", "format": "image_uri"},
    },
    "required": ["prompt", "image_url"],
}

STEPS = """steps:
  - name: still
  - name: clip
    model: {model}
    when: {when}
    input: {{image_url: "{{{{ still.url }}}}", prompt: "{{{{ id }}}}@clip {{{{ word }}}} moves"}}
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One row."""

    job: str
    word: str
    version: int = 1

    @property
    def prompt(self) -> str:
        """The text that is sent."""
        return f"{self.job} {self.word} a boat at dusk v{self.version}"


class Sheet:
    """A spreadsheet that is edited between runs; `manifest` is what a run is given."""

    def __init__(
        self,
        path: Path,
        seed: int,
        batch: int,
        rows: int,
        *,
        is_dated: bool = False,
        when: str = "",
    ) -> None:
        """`when` is that of a second step: `done`, `kept`, or empty without one."""
        self.path = self.manifest = path
        self.when, self.is_dated = when, is_dated
        self._name = f"b{batch:03}"
        self._words: list[str] = []
        if is_dated or when:
            self.manifest = path.with_suffix(".yaml")
            text = f"prompts: {{file: {path.name}}}\n"
            if is_dated:
                text += f"run_dir: '{path.stem}.runs/{{{{ date }}}}'\n"
            text += STEPS.format(model=FILM, when=when) if when else ""
            self.manifest.write_text(text, encoding="utf-8")
        self._rows: list[Row] = []
        self._extend(rows, dice(seed, batch, "rows"))
        self.save()

    @property
    def prompts(self) -> dict[str, str]:
        """The prompts as they are now, by job; of clips if they need no review."""
        stills = {row.job: row.prompt for row in self._rows}
        clips = self._rows if self.when == "done" else ()
        return stills | {f"{row.job}@clip": f"{row.job}@clip {row.word} moves" for row in clips}

    def is_lossy(self, job: str) -> bool:
        """Return whether the sandbox loses the answers of this job, which may have no row now."""
        return self._words[int(job.partition("@")[0].rpartition("-j")[2])] in LOSSY

    @property
    def jobs(self) -> list[str]:
        """The jobs that have a row now."""
        return [row.job for row in self._rows]

    @property
    def reviewable(self) -> set[str]:
        """The jobs of rows that are there now, those of the second step too."""
        clips = {f"{job}@clip" for job in self.jobs} if self.when else set()
        return clips.union(self.jobs)

    def is_of(self, prompt: str) -> bool:
        """Return whether a prompt was ever in this sheet."""
        return prompt.startswith(self._name)

    def edit(self, edit: Edit, chance: Random, share: float) -> None:
        """Change the rows; `save` writes them."""
        some = max(1, round(share * 0.1 * len(self._rows)))
        if edit is Edit.SORT:
            chance.shuffle(self._rows)
        elif edit is Edit.EXTEND:
            self._extend(some, chance)
        elif edit is Edit.REMOVE:
            gone = set(chance.sample(range(len(self._rows)), min(some, len(self._rows) - 1)))
            self._rows = [row for n, row in enumerate(self._rows) if n not in gone]
        else:
            for index in chance.sample(range(len(self._rows)), some):
                row = self._rows[index]
                version = row.version + 1 if edit is Edit.CHANGE else 1
                self._rows[index] = replace(row, version=version)

    def save(self) -> None:
        """Write the file as a spreadsheet program does: in place of the old one."""
        new = self.path.with_suffix(".new")
        rows = [f"{row.job},{row.prompt},{row.word}" for row in self._rows]
        write_csv(new, rows, header="id,prompt,word")
        new.replace(self.path)

    def _extend(self, count: int, chance: Random) -> None:
        words = chance.choices(list(_WEIGHTS), weights=list(_WEIGHTS.values()), k=count)
        begin = len(self._words)
        self._words += words
        self._rows += [Row(f"{self._name}-j{begin + n:04}", word) for n, word in enumerate(words)]
