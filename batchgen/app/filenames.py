"""What the files of a job are called: the manifest's `output.name` over the columns of its row."""

from __future__ import annotations

from batchgen.core.errors import ManifestError, Problem
from batchgen.core.jobs import Job
from batchgen.core.schema import Unfit
from batchgen.manifest import Head
from batchgen.manifest.templates import Template, variable

DEFAULT_NAME = "{{ id }}-{{ index }}"

_INDEX = "\ue000"
"""Stands for the number of the output until it is known; a character that no name keeps."""


class FileNames:
    """Names by job and index. The usual template needs no memory; another one a text a job."""

    def __init__(self, head: Head) -> None:
        self._where = head.where("output.name")
        self._names: dict[str, str] = {}
        self._template: Template | None = None
        if head.output.name not in (None, DEFAULT_NAME):
            try:
                self._template = Template(head.output.name or "")
            except Unfit as error:
                raise ManifestError([Problem(where=self._where, what=str(error))]) from None

    def add(self, job: Job) -> Problem | None:
        """Render the name of one job; the problem, where its row does not give what is needed."""
        if self._template is None:
            return None
        values = {variable(name): cell for name, cell in job.columns.items() if cell}
        try:
            self._names[job.id] = self._template.render(values | {"id": job.id, "index": _INDEX})
        except Unfit as error:
            return Problem(where=f"{job.where}: {self._where}", what=str(error))
        return None

    def __call__(self, job: str, index: int) -> str:
        """The name of one output, without extension, not yet made safe."""
        name = self._names.get(job)
        return f"{job}-{index}" if name is None else name.replace(_INDEX, str(index))
