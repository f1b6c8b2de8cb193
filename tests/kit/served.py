"""`batchgen serve` as a process, and the batch that it serves."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROWS = "id,prompt\na,a lake\nb,a hill\nc,<b>bold</b>\n"
MODEL = "bytedance/dreamina-4-0/text-to-image"


def batchgen(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "batchgen", *words],
        cwd=home, env={**os.environ, "HOME": str(home)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def begin_batch(home: Path) -> Path:
    """Write a manifest of three rows and run the first; return the run directory."""
    (home / "m.csv").write_text(ROWS)
    done = batchgen(home, "run", "m.csv", "--model", MODEL, "--sandbox", "--limit", "1")
    assert done.returncode == 0, done.stderr
    return home / "m.run.sandbox"


class Served:
    """A server process; asks it for paths below its secret one, or for others."""

    def __init__(self, home: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "batchgen", "serve", "m.csv", "--sandbox"],
            cwd=home, env={**os.environ, "HOME": str(home)}, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()
        self.url = urlsplit(self.address)

    def ask(
        self, path: str, *, method: str = "GET", body: bytes | None = None, **headers: str
    ) -> tuple[int, bytes]:
        """Return status and body; header names are written with `_`."""
        link = http.client.HTTPConnection("127.0.0.1", self.url.port or 0, timeout=20)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        link.request(method, path if path.startswith("/") else self.url.path + path, body, named)
        with closing(link), link.getresponse() as answer:
            return answer.status, answer.read()

    def verdict(self, value: Any, **headers: str) -> int:
        """Post a verdict; return the status."""
        body = json.dumps(value).encode()
        kind = {"Content_Type": "application/json", **headers}
        return self.ask("verdicts", method="POST", body=body, **kind)[0]

    def jobs(self) -> list[dict[str, Any]]:
        """Return the jobs of the page."""
        page = self.ask("")[1].decode()
        found = re.search('id="data">(.*?)</script>', page, re.DOTALL)
        assert found is not None
        jobs: list[dict[str, Any]] = json.loads(found[1])["jobs"]
        return jobs

    def stop(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
