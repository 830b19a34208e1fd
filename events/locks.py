"""Holding a scheduler lock while a job runs: heartbeats beside the work, and the job is told when the lock is lost."""

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol, TypeVar

import psycopg
from django.db import InterfaceError, OperationalError, connection, transaction

from events.models.locks import REFRESH, LockLost, SchedulerLock

log = logging.getLogger(__name__)

DATABASE_AWAY = (OperationalError, InterfaceError)
# Only for the heartbeat's connection: a guarded transaction makes it wait, and it must not wait for long.
HEARTBEAT_SESSION = "SET lock_timeout = '2s'; SET statement_timeout = '3s'; SET synchronous_commit = on"
ATTEMPT_S = 4.0  # connect and heartbeat; less when trust ends before
RETRY_S = 1.0
GUARDED_IDLE_S = 5
Result = TypeVar("Result")


class LockBusy(Exception):
    """Another process holds the lock; the job is its business for now."""


class Fence(Protocol):
    """What a storing function asks for: a SchedulerLock or a Lease."""

    def fence(self) -> None: ...


class Lost:
    """Like threading.Event for "the lock is lost": also set, without anybody's help, once the trust window has passed."""

    def __init__(self, trust_left_s: Callable[[], float]) -> None:
        self._told = threading.Event()
        self._trust_left_s = trust_left_s

    def is_set(self) -> bool:
        return self._told.is_set() or self._trust_left_s() <= 0

    def set(self) -> None:
        self._told.set()

    def wait(self, timeout_s: float) -> bool:
        """Sleep for so long, or until the lock is lost; True when it is."""
        until = time.monotonic() + timeout_s
        while not self.is_set() and (left := until - time.monotonic()) > 0:
            self._told.wait(max(0.0, min(left, self._trust_left_s())))
        return self.is_set()


class Lease:
    """A lock that is held. The job stops as soon as `lost` is set, and writes in `transaction()` only.

    Trust in the lock ends `ttl_s` less a margin after the START of the last attempt that succeeded, so a slow answer cannot
    stretch it. It is counted by this process's monotonic clock; the database's clock alone decides who gets the lock.
    """

    def __init__(
        self,
        lock: SchedulerLock,
        *,
        attempt_started: float,
        on_lost: Callable[[], None] | None = None,
        stalled_after_s: float | None = None,
    ) -> None:
        self.lock = lock
        self.stalled_after_s = stalled_after_s
        self._moved_at = time.monotonic()
        self.ttl_s = lock.ttl_s
        self.margin_s = min(1.0, lock.ttl_s / 10)
        self.lost = Lost(self.trust_left_s)
        self._on_lost = on_lost
        self._telling, self._told = threading.Lock(), False
        self.trust_from(attempt_started)

    def __str__(self) -> str:
        return f"{self.lock.lock_key!r} v{self.lock.lock_version}"

    def trust_from(self, attempt_started: float) -> None:
        """A heartbeat that began then has succeeded."""
        self._trusted_until = attempt_started + self.ttl_s - self.margin_s

    def trust_left_s(self) -> float:
        return self._trusted_until - time.monotonic()

    def tell_lost(self, reason: str) -> None:
        """Once: set `lost` and call the job's callback, from whatever thread learnt of it."""
        with self._telling:
            if self._told:
                return
            self._told = True
            self.lost.set()
        log.warning("the lock %s is lost: %s", self, reason)
        if self._on_lost is not None:
            self._on_lost()

    def check(self) -> None:
        """Raise LockLost when the job must stop; costs nothing, so ask before every effect that no transaction guards."""
        if self.lost.is_set():
            self.tell_lost("no heartbeat has succeeded in time")
            raise LockLost(f"the lock {self} was lost; the job must stop here")
        self._moved_at = time.monotonic()

    def is_stalled(self) -> bool:
        """Whether the job has asked for nothing in so long that it hangs somewhere: its heartbeats would lie."""
        return self.stalled_after_s is not None and time.monotonic() - self._moved_at > self.stalled_after_s

    def fence(self) -> None:
        """First statement of a guarded transaction. Raises LockLost, and then nothing may be written."""
        self.check()
        try:
            self.lock.fence()
        except LockLost:
            self.tell_lost("another process holds it")
            raise

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction that commits only under the lock; keep it within a second, for a take-over has to wait for it.

        PostgreSQL ends it when this process freezes inside for 5 s, so that a frozen holder blocks nobody.
        """
        self.check()
        with transaction.atomic():
            self.fence()
            with connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL idle_in_transaction_session_timeout = '{GUARDED_IDLE_S}s'")
            yield

    def refresh_heartbeat(self) -> bool:
        """A heartbeat on the job's own connection, outside its transactions; False when the lock is lost."""
        if self.lost.is_set():
            return False
        started = time.monotonic()
        if not self.lock.refresh_heartbeat():
            self.tell_lost("it had run out or another process holds it")
            return False
        self.trust_from(started)
        return True


@contextmanager
def held(
    lock_key: str,
    *,
    ttl_s: float = 120.0,
    on_lost: Callable[[], None] | None = None,
    stalled_after_s: float | None = None,
) -> Iterator[Lease]:
    """Hold the lock while the block runs. Raises LockBusy when another process has it.

    A thread sends a heartbeat every third of `ttl_s` on a connection of its own, which is opened with the first one: a job that
    is done sooner never pays for it. `on_lost` is called once from that thread, or from `check`. The row stays when the lock
    is given back. With `stalled_after_s` heartbeats end, and the lock is lost, when the job called neither `check` nor
    `transaction` for so long.
    """
    started = time.monotonic()
    lock = SchedulerLock.acquire(lock_key, timeout=ttl_s)
    if lock is None:
        raise LockBusy(f"another process holds the lock {lock_key!r}; `manage.py scheduler_locks` shows which")
    lease = Lease(lock, attempt_started=started, on_lost=on_lost, stalled_after_s=stalled_after_s)
    heart = Heart(lease, connection.get_connection_params())
    heart.start()
    try:
        yield lease
    finally:
        heart.stop()
        _release(lock)


def _release(lock: SchedulerLock) -> None:
    try:
        lock.release()
    except DATABASE_AWAY:  # the lease runs out by itself
        connection.close()


class Heart(threading.Thread):
    """Heartbeats of one lease, until stopped or lost."""

    def __init__(self, lease: Lease, parameters: dict[str, Any]) -> None:
        super().__init__(name=f"heartbeat {lease.lock.lock_key}", daemon=True)
        self.lease = lease
        # Django's own cursor and adapters are for its blocking connection.
        self.parameters = {
            name: value for name, value in parameters.items() if name not in ("cursor_factory", "context")
        }
        self.parameters["application_name"] = "minefarm-heartbeat"
        self._stopped = threading.Event()
        self._waking: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self._connection: psycopg.AsyncConnection[Any] | None = None

    def stop(self) -> None:
        self._stopped.set()
        if self._waking is not None:
            loop, event = self._waking
            with suppress(RuntimeError):  # it has ended by itself
                loop.call_soon_threadsafe(event.set)
        self.join(timeout=ATTEMPT_S)

    def run(self) -> None:
        if not self._stopped.wait(self.lease.ttl_s / 3):
            asyncio.run(self._beat())

    async def _beat(self) -> None:
        # Not a blocking connection: against a frozen server it would wait for ever, past the end of trust.
        stopping = asyncio.Event()
        self._waking = asyncio.get_running_loop(), stopping
        period_s = self.lease.ttl_s / 3
        due = time.monotonic()
        try:
            while not self._stopped.is_set():
                if self.lease.is_stalled():
                    self.lease.tell_lost(f"the job hangs since {self.lease.stalled_after_s:.0f} s")
                    return
                if time.monotonic() >= due:
                    due = time.monotonic() + (period_s if await self._attempt() else min(RETRY_S, period_s / 3))
                if self.lease.lost.is_set():
                    self.lease.tell_lost("no heartbeat has succeeded in time")
                    return
                with suppress(TimeoutError):
                    left_s = max(0.0, min(due - time.monotonic(), self.lease.trust_left_s()))
                    await asyncio.wait_for(stopping.wait(), left_s)
        finally:
            await self._disconnect()

    async def _attempt(self) -> bool:
        started = time.monotonic()
        try:
            row = await self._within(min(ATTEMPT_S, self.lease.trust_left_s()), self._refresh())
        except (psycopg.Error, OSError, TimeoutError) as error:
            await self._disconnect()
            log.warning("heartbeat of the lock %s failed: %s", self.lease, str(error).strip() or type(error).__name__)
            return False
        if row is None:
            self.lease.tell_lost("it had run out or another process holds it")
            return False
        self.lease.trust_from(started)
        return True

    async def _refresh(self) -> tuple[Any, ...] | None:
        if self._connection is None:
            self._connection = await psycopg.AsyncConnection.connect(**self.parameters, autocommit=True)
            await self._connection.execute(HEARTBEAT_SESSION)
        cursor = await self._connection.execute(REFRESH, self.lease.lock.named())
        return await cursor.fetchone()

    async def _within(self, seconds: float, work: Awaitable[Result]) -> Result:
        """The work's result, or TimeoutError: then its socket is closed first, because psycopg would wait for the cancelling."""
        task = asyncio.ensure_future(work)
        done, _ = await asyncio.wait({task}, timeout=max(0.0, seconds))
        if not done:
            await self._disconnect()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            raise TimeoutError("no answer in time")
        return task.result()

    async def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.pgconn.finish()
            self._connection = None
