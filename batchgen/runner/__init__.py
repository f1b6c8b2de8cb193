"""The worker pool. It knows ports and core, and no room that implements a port.

runner      fills free slots with work until none is left, or until it is told to stop
source      which job is next: what failed and may be tried again, then the manifest
submission  one job from intent to accepted, refused or in doubt
hold        listening for the API after a lost answer
gate, paced the shared pause after a refusal for the rate; the user's own rate
purse       prices and budgets
flights     one look at what was accepted; `watch` makes each at its time
collection  downloads, in a pool of their own
cancellation, reach, stopping, limits, crew
"""

from __future__ import annotations

from batchgen.runner.runner import Outcome, Runner
from batchgen.runner.spending import Spending
from batchgen.runner.stopping import Limits

__all__ = ["Limits", "Outcome", "Runner", "Spending"]
