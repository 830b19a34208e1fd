"""Who may run a job."""

import os
import socket
import uuid
from datetime import datetime
from typing import Self

from django.db import connection, models
from django.db.models.functions import Now

ACQUIRE = """
INSERT INTO scheduler_locks AS held
    (lock_key, process_id, hostname, holder, acquired_at, expires_at, last_heartbeat, lock_version)
VALUES (%(key)s, %(pid)s, %(host)s, %(holder)s, clock_timestamp(),
        clock_timestamp() + make_interval(secs => %(ttl)s), clock_timestamp(), 1)
ON CONFLICT (lock_key) DO UPDATE SET
    process_id = EXCLUDED.process_id, hostname = EXCLUDED.hostname, holder = EXCLUDED.holder,
    acquired_at = clock_timestamp(), expires_at = clock_timestamp() + make_interval(secs => %(ttl)s),
    last_heartbeat = clock_timestamp(), lock_version = held.lock_version + 1
WHERE held.expires_at < clock_timestamp()
RETURNING lock_version, acquired_at, expires_at, last_heartbeat
"""
REFRESH = """
UPDATE scheduler_locks
SET expires_at = clock_timestamp() + make_interval(secs => %(ttl)s), last_heartbeat = clock_timestamp()
WHERE lock_key = %(key)s AND lock_version = %(version)s AND holder = %(holder)s AND expires_at > clock_timestamp()
RETURNING expires_at, last_heartbeat
"""
RELEASE = """
UPDATE scheduler_locks SET expires_at = clock_timestamp() - interval '1 microsecond'
WHERE lock_key = %(key)s AND lock_version = %(version)s AND holder = %(holder)s
"""
BUMP = """
UPDATE scheduler_locks SET lock_version = lock_version + 1000000, expires_at = clock_timestamp() - interval '1 microsecond'
"""
FENCE = """
SELECT 1 FROM scheduler_locks
WHERE lock_key = %(key)s AND lock_version = %(version)s AND expires_at > clock_timestamp() FOR SHARE
"""


class LockLost(Exception):
    """Somebody else holds the lock by now: what this job was about to write must not be written."""


class SchedulerLock(models.Model):
    """A lease on the right to run a job, by the database's clock.

    `lock_version` is the fencing token: it rises with every acquisition and never with a heartbeat. A released lock keeps its
    row, because a deleted row would start the token again at 1 and let a frozen holder pass the fence.

        lock = SchedulerLock.acquire("cgminer_collector", timeout=120)
        if lock:
            with transaction.atomic():
                lock.fence()
                ...
            lock.release()
    """

    lock_key = models.TextField(primary_key=True)
    process_id = models.IntegerField()
    hostname = models.TextField()
    acquired_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()
    last_heartbeat = models.DateTimeField(db_default=Now())
    lock_version = models.IntegerField(db_default=1)
    holder = models.UUIDField()

    ttl_s: float = 120.0

    class Meta:
        db_table = "scheduler_locks"

    def __str__(self) -> str:
        return f"{self.lock_key} v{self.lock_version} held by {self.hostname}/{self.process_id}"

    @classmethod
    def acquire(cls, lock_key: str, timeout: float = 120.0) -> Self | None:
        """Take the lock for `timeout` seconds, or return None when another process holds it.

        Must run outside a transaction: an uncommitted lock would make others wait instead of being told no.
        """
        if connection.in_atomic_block:
            raise RuntimeError(f"acquire the lock {lock_key!r} before the transaction begins, not inside it")
        holder = uuid.uuid4()  # PIDs and host names repeat in containers
        values: dict[str, str | int | float | uuid.UUID] = {
            "key": lock_key,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "holder": holder,
            "ttl": timeout,
        }
        with connection.cursor() as cursor:
            cursor.execute(ACQUIRE, values)
            row: tuple[int, datetime, datetime, datetime] | None = cursor.fetchone()
        if row is None:
            return None
        lock = cls(
            lock_key=lock_key,
            process_id=os.getpid(),
            hostname=str(values["host"]),
            holder=holder,
            lock_version=row[0],
            acquired_at=row[1],
            expires_at=row[2],
            last_heartbeat=row[3],
        )
        lock.ttl_s = timeout
        return lock

    @classmethod
    def bump_all(cls) -> int:
        """Free every lock and raise its version by a million; how many.

        After a restore the versions are those of the past: without the jump a holder from before the restore could carry
        the same number as a new one, and pass its fence.
        """
        with connection.cursor() as cursor:
            cursor.execute(BUMP)
            return int(cursor.rowcount)

    def named(self) -> dict[str, str | int | float | uuid.UUID]:
        return {"key": self.lock_key, "version": self.lock_version, "holder": self.holder, "ttl": self.ttl_s}

    def refresh_heartbeat(self) -> bool:
        """Prolong the lease by its full length; False means that it is lost and the job must stop now."""
        with connection.cursor() as cursor:
            cursor.execute(REFRESH, self.named())
            row: tuple[datetime, datetime] | None = cursor.fetchone()
        if row is None:
            return False
        self.expires_at, self.last_heartbeat = row
        return True

    def release(self) -> None:
        """Give the lock back; harmless when it is lost already."""
        with connection.cursor() as cursor:
            cursor.execute(RELEASE, self.named())

    def fence(self) -> None:
        """First statement of every transaction that writes on behalf of the lock.

        Raises LockLost when the lock has a new holder. The share lock makes a take-over wait until this transaction ends.
        """
        with connection.cursor() as cursor:
            cursor.execute(FENCE, self.named())
            if cursor.fetchone() is None:
                raise LockLost(f"the lock {self.lock_key!r} v{self.lock_version} was lost; nothing was written")
