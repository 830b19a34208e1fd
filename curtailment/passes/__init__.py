"""Carrying plans out: one level-triggered pass over rows under a fenced lock, called by beat, by a loop, and by the watchdog."""

from curtailment.passes.report import PassReport
from curtailment.passes.running import LOCK_KEY, run_pass

__all__ = ["LOCK_KEY", "PassReport", "run_pass"]
