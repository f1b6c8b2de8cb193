"""How long the API keeps outputs, as far as anybody knows, and what to say about it. Pure."""

from __future__ import annotations

from batchgen.core.quantities import count_text, duration_text

DAY_S = 86_400.0
RETENTION_S = 7 * DAY_S
"""After the end of a job. No number is published for this API; its sister API says seven days."""
URGENT_S = 5 * DAY_S


def uncollected_sentence(jobs: int, oldest_age_s: float | None) -> str:
    """About jobs whose outputs are paid for and not here yet; `oldest_age_s` is since its end."""
    if oldest_age_s is None:
        return f"{count_text(jobs, 'job')} completed, not downloaded"
    oldest = "ended" if jobs == 1 else "the oldest ended"
    fact = f"{count_text(jobs, 'job')} completed, not downloaded; {oldest} {_age(oldest_age_s)} ago"
    if oldest_age_s >= RETENTION_S:
        return f"{fact}. Outputs older than 7 days may be gone: try now with batchgen run"
    if oldest_age_s >= URGENT_S:
        return f"{fact}. Outputs may be deleted after 7 days: fetch them now with batchgen run"
    return f"{fact}; batchgen run fetches them (outputs may be deleted after 7 days)"


def _age(age_s: float) -> str:
    return f"{age_s / DAY_S:.1f} days" if age_s >= 2 * DAY_S else duration_text(max(1.0, age_s))
