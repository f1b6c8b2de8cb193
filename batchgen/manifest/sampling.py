"""Picks by chance that are the same each time: wildcards in prompts, and a sample of a matrix.

A pick is decided by the seed of the batch, the name of the row and what can be picked, and by
nothing else: not by the order of rows, and not by how many there are. Each option gets a number
from a digest, and the highest wins. So a further option takes some picks over and leaves all others
as they are, and what was paid for is not asked for again in other words.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nlargest
from pathlib import Path

from batchgen.core.errors import ManifestError, ManifestNotFound
from batchgen.core.schema.values import Given, InvalidValue, text_of
from batchgen.core.suggest import did_you_mean
from batchgen.manifest.file_access import confined
from batchgen.manifest.templates import MAX_RENDERED

MAX_PICKED_FROM = 1_000_000
"""Combinations of a matrix of which some are picked."""
MAX_LIST_BYTES = 4 << 20
"""Of a file with the options of one wildcard."""
MAX_PICKS = 1_000
"""Picks in one prompt, those within picked options too."""
_WILDCARD = re.compile(r"__(\w(?:[\w-]*\w)?)__", re.ASCII)
_CHOICE = re.compile(r"\{([^{}]*\|[^{}]*)\}")
"""The innermost braces that have a bar in them."""


def picked(options: Sequence[str], key: str) -> str:
    """Return the option with the highest digest; equal options count once for each time."""
    seen: Counter[str] = Counter()
    best, chosen = b"", options[0]
    for option in options:
        seen[option] += 1
        rank = _rank(f"{key}\0{option}\0{seen[option]}")
        if rank > best:
            best, chosen = rank, option
    return chosen


def _rank(text: str) -> bytes:
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest()


def sampled(
    matrix: Mapping[str, Sequence[Given]], count: int, seed: int
) -> frozenset[tuple[str, ...]] | None:
    """Return the combinations that are picked, as texts; None if there are no more than `count`.

    The same are picked for every prompt, so that prompts can be compared. Raises `InvalidValue` for
    a matrix that is too large to pick from.
    """
    texts = [[text_of(one) for one in values] for values in matrix.values()]
    size = math.prod(map(len, texts))
    if size <= count:
        return None
    if size > MAX_PICKED_FROM:
        raise InvalidValue(f"picks from {size:,} combinations; at most {MAX_PICKED_FROM:,} can be")
    ranked = ((_rank(f"{seed}\0" + "\0".join(one)), one) for one in itertools.product(*texts))
    return frozenset(one for _, one in nlargest(count, ranked))


@dataclass(slots=True, kw_only=True)
class Wildcards:
    """The wildcards of one pass over the rows of a manifest.

    `__style__` is a line of `style.txt` beside the manifest, `{red|blue}` one of its parts. Options
    may have wildcards in them.
    """

    base_dir: Path
    seed: int
    is_fetched: bool = False
    _lists: dict[str, Sequence[str] | InvalidValue] = field(default_factory=dict)
    _equal: Counter[str] = field(default_factory=Counter)

    def key_of_row(self, name: str) -> str:
        """Return what the picks of a row depend on; rows of the same name are numbered."""
        self._equal[name] += 1
        return f"{self.seed}\0{name}\0{self._equal[name]}"

    def expanded(self, text: str, key: str) -> str:
        """Return a prompt with every pick made. Raises `InvalidValue`."""
        made = itertools.count(1)

        def next_key() -> str:
            if (number := next(made)) > MAX_PICKS:
                raise InvalidValue(f"has more than {MAX_PICKS:,} wildcards, or some in a circle")
            return f"{key}\0{number}"

        while True:
            once = self._once(text, next_key)
            if once == text:
                return text
            text = once
            if len(text) > MAX_RENDERED:
                raise InvalidValue(f"the prompt has more than {MAX_RENDERED} characters")

    def _once(self, text: str, next_key: Callable[[], str]) -> str:
        text = _CHOICE.sub(lambda found: picked(found[1].split("|"), next_key()), text)
        return _WILDCARD.sub(lambda found: picked(self._options(found[1]), next_key()), text)

    def _options(self, name: str) -> Sequence[str]:
        if name not in self._lists:
            try:
                self._lists[name] = self._read(name)
            except InvalidValue as unfit:
                self._lists[name] = unfit
        found = self._lists[name]
        if isinstance(found, InvalidValue):
            raise found
        return found

    def _read(self, name: str) -> Sequence[str]:
        file = f"{name}.txt"
        if self.is_fetched:
            raise InvalidValue(f"__{name}__: a manifest from an address cannot name {file} here")
        try:
            path = confined(file, self.base_dir, allow_outside=False, where=f"__{name}__")
            if path.stat().st_size > MAX_LIST_BYTES:
                raise InvalidValue(f"__{name}__: {file} is too large for a list of options")
            text = path.read_text(encoding="utf-8-sig")
        except ManifestNotFound:
            hint = did_you_mean(name, self._names())
            what = f"__{name}__ needs a file {file} beside the manifest{hint}"
            raise InvalidValue(what) from None
        except ManifestError as error:
            raise InvalidValue(f"__{name}__: {error.problems[0].what}") from None
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidValue(f"__{name}__: {file} cannot be read: {error}") from None
        lines = [line.strip() for line in text.splitlines()]
        options = [line for line in lines if line and not line.startswith("#")]
        if not options:
            raise InvalidValue(f"__{name}__: {file} has no lines to pick from")
        return options

    def _names(self) -> Iterable[str]:
        return [one.stem for one in self.base_dir.glob("*.txt")]
