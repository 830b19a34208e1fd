"""The watchdog: the same passes, for bringing machines back only, when nobody else is at it."""

import logging
from collections.abc import Callable

from django.conf import settings

from curtailment.passes.report import PassReport
from curtailment.passes.rows import query
from curtailment.passes.running import LOCK_KEY, never, run_pass

log = logging.getLogger(__name__)

SILENT_S = 60.0  # since the last sign of life of a pass
WORK_S = 45.0

# A machine that was ordered off, or found off, and whose plan should have brought it back so long ago.
OVERDUE = """
SELECT EXISTS (
    SELECT FROM curtailment_plans p
    WHERE p.recovery_state IN ('scheduled', 'recovering', 'incomplete')
      AND least(p.recovery_time, p.restore_requested_at, p.cancelled_at) <= clock_timestamp() - make_interval(secs => %(after)s))
"""
# The version of the last pass's lock, when it was silent for so long.
SIGN_OF_LIFE = """
SELECT lock_version, last_heartbeat < clock_timestamp() - make_interval(secs => %(silent)s) FROM scheduler_locks
WHERE lock_key = %(key)s
"""


class Watchdog:
    """Remembers the lock version of its own last pass only, so that its own sign of life does not make it wait."""

    def __init__(self) -> None:
        self._mine: int | None = None

    def look(self, stopped: Callable[[], bool] = never) -> PassReport | None:
        """Bring machines back for a while, when some are overdue and no pass shows life; None when there was no need."""
        after_s = settings.CURTAILMENT_WATCHDOG_AFTER_S
        if query(OVERDUE, {"after": after_s}) == [(False,)]:
            return None
        last = query(SIGN_OF_LIFE, {"key": LOCK_KEY, "silent": min(SILENT_S, after_s)})
        if last and not last[0][1] and last[0][0] != self._mine:
            return None
        log.warning("machines are overdue and no pass shows life: the watchdog brings them back")
        report = run_pass(seconds=WORK_S, restore_only=True, stopped=stopped)
        self._mine = report.fence
        return report
