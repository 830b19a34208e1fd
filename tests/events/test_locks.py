"""The right to run a job: one holder, by the database's clock, with a token that only rises."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from django.db import connection, transaction

from events.models import LockLost, SchedulerLock
from minefarm.lib.clock import database_now

pytestmark = pytest.mark.django_db(transaction=True)


def expire(key: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE scheduler_locks SET expires_at = clock_timestamp() - interval '1 s' WHERE lock_key = %s", [key]
        )


def test_the_specifications_usage_works():
    lock = SchedulerLock.acquire("cgminer_collector", timeout=120)
    assert lock is not None
    assert SchedulerLock.acquire("cgminer_collector", timeout=120) is None
    assert lock.refresh_heartbeat() is True
    row = SchedulerLock.objects.get()
    assert (row.process_id, row.lock_version, row.holder) == (os.getpid(), 1, lock.holder)


def test_release_keeps_the_row_so_that_the_token_only_rises():
    for version in (1, 2, 3):
        lock = SchedulerLock.acquire("job")
        assert lock.lock_version == version
        lock.refresh_heartbeat()
        assert SchedulerLock.objects.get().lock_version == version
        lock.release()
        assert SchedulerLock.objects.get().expires_at < database_now()
    assert SchedulerLock.objects.count() == 1


def test_an_expired_lock_is_taken_over_and_the_old_holder_is_fenced_off():
    old = SchedulerLock.acquire("job")
    expire("job")
    new = SchedulerLock.acquire("job")
    assert new.lock_version == old.lock_version + 1
    assert old.refresh_heartbeat() is False
    with pytest.raises(LockLost), transaction.atomic():
        old.fence()
    with transaction.atomic():
        new.fence()
    old.release()  # of a lock that is no longer its own: changes nothing
    assert new.refresh_heartbeat() is True


def test_an_expired_lock_cannot_be_prolonged_even_if_nobody_took_it():
    lock = SchedulerLock.acquire("job")
    expire("job")
    assert lock.refresh_heartbeat() is False


def test_a_lock_inside_a_transaction_is_refused():
    with transaction.atomic(), pytest.raises(RuntimeError, match="before the transaction"):
        SchedulerLock.acquire("job")


def test_one_of_eight_threads_wins_every_time():
    wins: list[int] = []

    def race(barrier: threading.Barrier) -> None:
        try:
            barrier.wait()
            lock = SchedulerLock.acquire("race")
            if lock is not None:
                wins.append(lock.lock_version)
        finally:
            connection.close()

    for _ in range(5):
        barrier = threading.Barrier(8)
        threads = [threading.Thread(target=race, args=(barrier,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        expire("race")
    assert wins == [1, 2, 3, 4, 5]


def test_a_killed_holder_blocks_others_no_longer_than_its_lease():
    database = connection.settings_dict["NAME"]
    url = os.environ["DATABASE_URL"].rpartition("/")[0] + "/" + database
    code = (
        "import django; django.setup()\n"
        "from events.models import SchedulerLock\n"
        "print(SchedulerLock.acquire('killed', timeout=2).lock_version, flush=True)\n"
        "import time; time.sleep(60)"
    )
    environment = os.environ | {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "minefarm.settings"}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment, text=True) as holder:
        assert holder.stdout.readline() == "1\n"
        started = time.monotonic()
        holder.send_signal(signal.SIGKILL)
        while (lock := SchedulerLock.acquire("killed", timeout=2)) is None:
            assert time.monotonic() - started < 3
            time.sleep(0.05)
    assert lock.lock_version == 2
