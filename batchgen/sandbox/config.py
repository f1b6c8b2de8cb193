"""The settings of one sandbox, as a frozen value. Reads no file and no environment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from batchgen.core.errors import UsageError
from batchgen.core.model_entry import ModelEntry
from batchgen.sandbox.http_answer import ErrorStyle

if TYPE_CHECKING:
    from batchgen.sandbox.faults.rules import Rule

USUAL_QUEUE_S = (0.2, 0.8)
"""The time in the queue for people who try things out; without options, tests wait for nothing."""
DEFAULT_TOKEN = "sandbox-token"  # noqa: S105 - printed on purpose, it opens nothing but a sandbox


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxConfig:
    """The settings of one sandbox. Raises `UsageError` for values that make no sense."""

    token: str = DEFAULT_TOKEN
    """The token that clients must send."""
    more_tokens: tuple[str, ...] = ()
    """Further good tokens, each of another account that may not see the first one's requests."""
    duration_min_s: float = 0.2
    duration_max_s: float = 0.8
    """A job runs for a time between these, drawn from the seed and its own content."""
    queue_min_s: float = 0.0
    queue_max_s: float = 0.0
    """A job waits in the queue for a time between these, although there is room for it to run."""
    capacity: int = 16
    """Jobs that run at once; the others wait in the queue."""
    balance_usd: float = 1000.0
    images: int = 1
    """Pictures per job of an image model, except for an input with `force_single`: one."""
    price_usd: float = 0.03
    """For entries that name no price. Made up: it says nothing about the live service."""
    seed: int = 0
    """Decides durations and faults. Keep it between restarts on one journal."""
    faults: tuple[Rule | str, ...] = ()
    """In the language of `faults.rules`; the first rule that hits a call decides."""
    chaos: float = 0.0
    """Chance that something goes wrong, for each kind of call: `faults.mixture`, after `faults`."""
    journal: Path | None = None
    """The file in which accepted requests survive the process."""
    models: tuple[Path | ModelEntry, ...] = ()
    """Entries, files with entries, or directories of such files, besides the bundled ones."""
    success_word: str = "succeeded"
    """The `status` of a good result; some clients of the vendor expect `completed`."""
    error_style: ErrorStyle | str = ErrorStyle.CODES
    """The form of the API's errors: `codes`, `statuses` (401 and 402) or `http-200`."""

    def __post_init__(self) -> None:
        checks = (
            (0 <= self.duration_min_s <= self.duration_max_s < float("inf"),
             f"duration is {self.duration_min_s}-{self.duration_max_s}; give MIN-MAX in seconds"),
            (0 <= self.queue_min_s <= self.queue_max_s < float("inf"),
             f"queue is {self.queue_min_s}-{self.queue_max_s}; give MIN-MAX in seconds"),
            (self.capacity >= 1, f"capacity is {self.capacity}; at least 1 job must run at once"),
            (0 <= self.balance_usd < float("inf"),
             f"balance is {self.balance_usd}; give USD, 0 or more"),
            (1 <= self.images <= 16, f"images is {self.images}; give 1 to 16 pictures per job"),
            (0 <= self.price_usd < float("inf"), f"price is {self.price_usd}; give USD, 0 or more"),
            (0 <= self.chaos <= 1, f"chaos is {self.chaos}; give a chance from 0 to 1"),
            (self.error_style in set(ErrorStyle),
             f"error style is {self.error_style!r}; give one of {', '.join(ErrorStyle)}"),
            (self.success_word in ("succeeded", "completed"),
             f"success word is {self.success_word!r}; give 'succeeded' or 'completed'"),
            (all(_is_token(token) for token in (self.token, *self.more_tokens)),
             "the token must be of printable ASCII without blanks"),
        )  # fmt: skip
        for good, message in checks:
            if not good:
                raise UsageError(message)


def _is_token(text: str) -> bool:
    return bool(text) and text.isascii() and text.isprintable() and " " not in text
