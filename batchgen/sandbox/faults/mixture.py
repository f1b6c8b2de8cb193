"""The mixture of faults of `--chaos`: everything that can cost money or lose work, as rules.

With probability P each submission, each end of a job, each status, each result, each cancellation
and each download goes wrong, in one of the ways below, all of a kind equally likely. Faults that
end a run for good (a bad token, an empty wallet, a refused input) are left out: after enough tries
every job ends. Waits are short, so that such a run takes minutes.
"""

from __future__ import annotations

from collections.abc import Mapping

_POLLS = (
    "429:retry_after=1", "500", "503", "504", "reset", "hang:for_s=2",
    "html", "empty", "bad-json", "error-code:code=500001", "word",
)  # fmt: skip

MIXTURE: Mapping[str, tuple[str, ...]] = {
    "submissions": (
        "submit:lose-answer", "submit:drop",
        "submit:reset", "submit:reset:accepted=yes",
        "submit:hang:for_s=2", "submit:hang:for_s=2:accepted=no", "submit:slow:delay_s=2",
        "submit:408", "submit:429",
        "submit:429:retry_after=1", "submit:429:retry_after_date=1",
        "submit:500", "submit:500:accepted=yes", "submit:502:body=html:accepted=yes",
        "submit:503", "submit:503:retry_after=1",
        "submit:504", "submit:504:accepted=yes",
        "submit:html:accepted=yes", "submit:empty:accepted=yes", "submit:bad-json",
        "submit:error-code:code=500001", "submit:error-code:code=500001:accepted=yes",
        "submit:no-request-id", "submit:no-urls",
    ),
    "ends of jobs": (
        "submit:failed", "submit:failed:shape=string", "submit:failed:shape=list:word=failed",
        "submit:failed:shape=missing", "submit:failed:cost_usd=0.03",
        "submit:failed:message=blocked by the content policy",
        "submit:no-output", "submit:expired:after_s=5",
    ),
    "polls of the status": (*(f"status:{do}" for do in _POLLS), "status:no-position"),
    "polls of the result": (
        *(f"result:{do}" for do in _POLLS),
        "result:output-string", "result:output-list", "result:output-nested",
        "result:output-twice", "result:echo-input", "result:odd-times",
    ),
    "cancellations": (
        "cancel:500", "cancel:lose-answer", "cancel:drop",
        "cancel:outcome", "cancel:outcome:word=not_cancellable:http=200",
    ),
    "downloads": (
        "file:500", "file:503:retry_after=1", "file:reset", "file:truncate", "file:short",
        "file:empty", "file:html", "file:chunked", "file:no-range", "file:new-etag",
        "file:expired-url",
    ),
}  # fmt: skip
"""Kind of call -> the rules that share its probability P equally."""


def chaos_rules(probability: float) -> tuple[str, ...]:
    """Return the mixture as rules, in order; none for probability 0.

    A rule gets only the calls that those before it leave, so for equal shares its rate is higher.
    """
    if not probability:
        return ()
    return tuple(
        f"{rule}:rate={share / (1 - share * before):.9f}"
        for rules in MIXTURE.values()
        for share in [probability / len(rules)]
        for before, rule in enumerate(rules)
    )
