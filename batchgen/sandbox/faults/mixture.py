"""A mixture of all that can cost money or lose work, as rules: for rehearsals of bad nights.

With probability P each submission, each end of a job, each status, each result, each cancellation
and each download goes wrong, in one of the ways below, all of a kind equally likely. What ends a
run for good (a bad token, an empty wallet, a refused input) is not among them: after enough tries
every job gets to its end. Waits are short, so that such a rehearsal takes minutes.
"""

from __future__ import annotations

from collections.abc import Mapping

MIXTURE: Mapping[str, tuple[str, ...]] = {
    "submissions": (
        "submit:lose-answer",
        "submit:drop",
        "submit:reset",
        "submit:reset:accepted=yes",
        "submit:hang:for_s=2",
        "submit:hang:for_s=2:accepted=no",
        "submit:slow:delay_s=2",
        "submit:408",
        "submit:429",
        "submit:429:retry_after=1",
        "submit:429:retry_after_date=1",
        "submit:500",
        "submit:500:accepted=yes",
        "submit:502:body=html:accepted=yes",
        "submit:503",
        "submit:503:retry_after=1",
        "submit:504",
        "submit:504:accepted=yes",
        "submit:html:accepted=yes",
        "submit:empty:accepted=yes",
        "submit:bad-json",
        "submit:error-code:code=500001",
        "submit:error-code:code=500001:accepted=yes",
        "submit:no-request-id",
        "submit:no-urls",
    ),
    "ends of jobs": (
        "submit:failed",
        "submit:failed:shape=string",
        "submit:failed:shape=list:word=failed",
        "submit:failed:shape=missing",
        "submit:failed:cost_usd=0.03",
        "submit:failed:message=blocked by the content policy",
        "submit:no-output",
        "submit:expired:after_s=5",
    ),
    "looks at the status": (
        "status:429:retry_after=1",
        "status:500",
        "status:503",
        "status:504",
        "status:reset",
        "status:hang:for_s=2",
        "status:html",
        "status:empty",
        "status:bad-json",
        "status:error-code:code=500001",
        "status:word",
        "status:no-position",
    ),
    "looks at the result": (
        "result:429:retry_after=1",
        "result:500",
        "result:503",
        "result:504",
        "result:reset",
        "result:hang:for_s=2",
        "result:html",
        "result:empty",
        "result:bad-json",
        "result:error-code:code=500001",
        "result:word",
        "result:output-string",
        "result:output-list",
        "result:output-nested",
        "result:output-twice",
        "result:echo-input",
        "result:odd-times",
    ),
    "cancellations": (
        "cancel:500",
        "cancel:lose-answer",
        "cancel:drop",
        "cancel:outcome",
        "cancel:outcome:word=not_cancellable:http=200",
    ),
    "downloads": (
        "file:500",
        "file:503:retry_after=1",
        "file:reset",
        "file:truncate",
        "file:short",
        "file:empty",
        "file:html",
        "file:chunked",
        "file:no-range",
        "file:new-etag",
        "file:expired-url",
    ),
}
"""What goes wrong with what; the share of each kind of call is P, divided equally."""


def chaos(probability: float) -> tuple[str, ...]:
    """The mixture as rules, in order; 0 gives none."""
    if not probability:
        return ()
    return tuple(
        f"{rule}:rate={rate:.9f}"
        for rules in MIXTURE.values()
        for rule, rate in zip(rules, _rates(len(rules), probability), strict=True)
    )


def _rates(count: int, probability: float) -> list[float]:
    """What each rule must take of what the ones before it leave, so that all take the same."""
    share = probability / count
    return [share / (1 - share * before) for before in range(count)]
