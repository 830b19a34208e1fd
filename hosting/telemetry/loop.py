"""Sweeping every minute without Celery: for a host that only collects, and for farms that want one process to watch.

Each site's minute runs in a thread. A site whose last minute is still on its way into a slow or frozen database is read all the
same: that minute goes to the spool, so memory holds two minutes of a site at most.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime

from django.db import connection

from events.models import LockLost
from hosting.telemetry.collector import SweepBusy, SweepReport, collect, sweep_blind
from hosting.telemetry.duty import own_sites

log = logging.getLogger(__name__)

THREADS = 16
PERIOD_S = 60.0


class Loop:
    """`report` is called with every sweep's report, from the sweep's thread."""

    def __init__(self, *, sites: Sequence[int] | None, report: Callable[[SweepReport], None]) -> None:
        self.only = sites
        self.report = report
        self.stop = threading.Event()
        self._running: dict[int, Future[None]] = {}

    def run(self, *, period_s: float = PERIOD_S) -> None:
        """Until `stop` is set; then the sweeps under way are awaited."""
        with ThreadPoolExecutor(THREADS, thread_name_prefix="sweep") as pool:
            while not self.stop.is_set():
                for site_id in self._sites():
                    self._begin(pool, site_id)
                self.stop.wait(period_s - time.time() % period_s + 0.05)

    def _sites(self) -> list[int]:
        if self.only is not None:
            return list(self.only)
        return own_sites()

    def _begin(self, pool: ThreadPoolExecutor, site_id: int) -> None:
        under_way = self._running.get(site_id)
        if under_way is None or under_way.done():
            self._running[site_id] = pool.submit(self._one, site_id, collect)
        else:
            log.warning("site %s: the last minute is not stored yet; this one is read and kept", site_id)
            pool.submit(self._one, site_id, sweep_blind)

    def _one(self, site_id: int, sweep: Callable[[int], SweepReport | None]) -> None:
        try:
            done = sweep(site_id)
        except (SweepBusy, LockLost) as refused:
            log.warning("%s", refused)
        except Exception:
            log.exception("site %s: the sweep of %s failed", site_id, datetime.now(UTC).strftime("%H:%M"))
        else:
            if done:
                self.report(done)
        finally:
            connection.close()  # a thread's own; nobody else would
