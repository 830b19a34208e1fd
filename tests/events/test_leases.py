"""A job under a held lock: it beats by itself, trusts no longer than it may, and is told when the lock is gone."""

import socket
import threading
import time
from contextlib import contextmanager

import pytest
from django.db import connection, transaction

from events.locks import Heart, Lease, LockBusy, held
from events.models import LockLost, OutboxAggregate, SchedulerLock
from minefarm.lib.clock import database_now

pytestmark = pytest.mark.django_db(transaction=True)


def seize(key: str) -> SchedulerLock:
    """Another process takes the lock over, as if the lease had run out."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE scheduler_locks SET expires_at = clock_timestamp() - interval '1 s' WHERE lock_key = %s", [key]
        )
    lock = SchedulerLock.acquire(key, timeout=60)
    assert lock is not None
    return lock


def wait_for_no_heartbeat() -> None:
    """The server takes a moment to notice that a connection was closed."""
    end = time.monotonic() + 5
    while heartbeat_pids():
        assert time.monotonic() < end
        time.sleep(0.05)


def heartbeat_pids() -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'minefarm-heartbeat'"
            " AND datname = current_database()"
        )
        return [pid for (pid,) in cursor.fetchall()]


@contextmanager
def row_blocked(key: str, seconds: float):
    """Somebody keeps the lock's row locked, so that a heartbeat has to wait."""
    blocked = threading.Event()

    def block() -> None:
        try:
            with transaction.atomic():
                SchedulerLock.objects.select_for_update().get(pk=key)
                blocked.set()
                time.sleep(seconds)
        finally:
            connection.close()

    thread = threading.Thread(target=block)
    thread.start()
    assert blocked.wait(5)
    try:
        yield
    finally:
        thread.join()


def test_a_held_lock_is_refused_to_others_and_given_back_with_its_row():
    with held("job") as lease:
        lease.check()
        with pytest.raises(LockBusy, match="scheduler_locks"), held("job"):
            pass
    with pytest.raises(ZeroDivisionError), held("job"):
        1 / 0  # noqa: B018
    assert SchedulerLock.objects.get().lock_version == lease.lock.lock_version + 1
    assert SchedulerLock.objects.get().expires_at < database_now()


def test_a_job_that_hangs_loses_the_lock_though_its_thread_lives():
    with held("job", ttl_s=0.9, stalled_after_s=1.2) as lease:
        for _ in range(8):
            time.sleep(0.25)
            lease.check()  # it moves on: the lock is kept past both times
        assert lease.lost.wait(3.0)
        time.sleep(1.0)  # until its last heartbeat runs out
        assert SchedulerLock.acquire("job") is not None
        with pytest.raises(LockLost):
            lease.check()


def test_a_job_that_is_done_soon_opens_no_connection():
    with held("job", ttl_s=60):
        wait_for_no_heartbeat()


def test_a_lock_is_kept_past_its_lease_by_heartbeats():
    with held("job", ttl_s=0.9) as lease:
        time.sleep(1.5)
        assert SchedulerLock.acquire("job") is None
        assert not lease.lost.is_set()
        with lease.transaction():
            OutboxAggregate.objects.create(aggregate_key="miner:1", last_seq=1)
    wait_for_no_heartbeat()
    assert SchedulerLock.objects.get().lock_version == 1


def test_a_heartbeat_that_succeeds_slowly_does_not_stretch_trust():
    with held("job", ttl_s=6) as lease, row_blocked("job", 0.8):
        started = time.monotonic()
        assert lease.refresh_heartbeat()
        took = time.monotonic() - started
        assert took > 0.5
        assert lease.trust_left_s() <= 6 - lease.margin_s - took + 0.05


def test_a_slow_heartbeat_of_the_thread_does_not_stretch_trust_either():
    with held("job", ttl_s=3) as lease:
        began = time.monotonic()
        before = SchedulerLock.objects.get().last_heartbeat
        time.sleep(0.7)
        with row_blocked("job", 1.0):  # the heartbeat sets out at 1.0 and gets through at 1.7
            pass
        while SchedulerLock.objects.get().last_heartbeat == before:
            assert time.monotonic() - began < 2.5
            time.sleep(0.01)
        time.sleep(0.05)
        answered = time.monotonic() - began
        assert answered > 1.6
        assert 2 < answered + lease.trust_left_s() <= 1.3 + 3 - lease.margin_s


def test_a_heartbeat_whose_connection_is_cut_gets_another_one():
    with held("job", ttl_s=1.5) as lease:
        cut = 0
        until = time.monotonic() + 3
        while time.monotonic() < until:
            for pid in heartbeat_pids() if cut < 2 else []:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
                cut += 1
            time.sleep(0.1)
        assert cut == 2
        assert not lease.lost.is_set()
        with lease.transaction():
            pass


def test_the_job_is_told_when_another_process_has_its_lock():
    told = threading.Event()
    with held("job", ttl_s=1.2, on_lost=told.set) as lease:
        thief = seize("job")
        assert told.wait(1)
        assert lease.lost.is_set()
        with pytest.raises(LockLost):
            lease.check()
    assert thief.refresh_heartbeat() is True  # leaving gave back nothing that was not its own


def test_a_guarded_transaction_of_a_lost_lock_writes_nothing():
    with held("job", ttl_s=60) as lease:
        seize("job")
        with pytest.raises(LockLost), lease.transaction():
            OutboxAggregate.objects.create(aggregate_key="miner:1", last_seq=1)
        assert lease.lost.is_set()
    assert OutboxAggregate.objects.count() == 0


def test_postgresql_ends_a_guarded_transaction_that_freezes():
    with held("job") as lease:
        with lease.transaction(), connection.cursor() as cursor:
            cursor.execute("SHOW idle_in_transaction_session_timeout")
            assert cursor.fetchone() == ("5s",)
        with connection.cursor() as cursor:
            cursor.execute("SHOW idle_in_transaction_session_timeout")
            assert cursor.fetchone() != ("5s",)


def test_a_server_that_accepts_and_never_answers_ends_the_job_when_trust_ends():
    lock = SchedulerLock.acquire("job", timeout=1.5)
    told = threading.Event()
    started = time.monotonic()
    lease = Lease(lock, attempt_started=started, on_lost=told.set)
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        parameters = connection.get_connection_params() | {"host": "127.0.0.1", "port": frozen.getsockname()[1]}
        heart = Heart(lease, parameters)
        heart.start()
        assert told.wait(3)
        stopped = time.monotonic() - started
        heart.stop()
    assert 1.3 <= stopped < 1.5  # by itself, before anybody else can have the lock
    assert SchedulerLock.acquire("job") is None
    assert not heart.is_alive()
    with pytest.raises(LockLost):
        lease.check()


def test_a_job_that_waits_is_woken_by_the_end_of_trust():
    lease = Lease(SchedulerLock.acquire("job", timeout=0.5), attempt_started=time.monotonic())
    started = time.monotonic()
    assert lease.lost.wait(5) is True
    assert time.monotonic() - started < 0.6
