"""Processes for storms on scheduler locks: `python -m tests.events.lock_player MODE ...`.

`write GUARD TTL_S` holds the lock "storm" for as long as it can and writes its version into `storm_writes`; GUARD is `none`
(asks the lease, then writes), `fence` (only the database's fence, with blind trust) or `lease` (as jobs are meant to).
`race PROCESSES ROUNDS` lets so many processes go for the lock at the same moment, round after round.
"""

import json
import multiprocessing
import sys
import time

import django


def write(guard: str, ttl_s: str) -> None:
    from events.locks import LockBusy, held
    from events.models import LockLost

    while True:
        try:
            with held("storm", ttl_s=float(ttl_s)) as lease:
                while True:
                    write_once(guard, lease)
        except (LockBusy, LockLost):
            time.sleep(0.05)


def write_once(guard: str, lease) -> None:
    from django.db import InterfaceError, OperationalError, connection

    lease.check()
    time.sleep(0.05)  # the work; a process is frozen here, between the check and the write
    if guard == "none":
        insert(lease.lock.lock_version)
        return
    if guard == "fence":
        lease.check = lambda: None
    try:
        with lease.transaction():
            insert(lease.lock.lock_version)
    except (OperationalError, InterfaceError):  # frozen inside; PostgreSQL has ended the transaction
        connection.close()


def insert(version: int) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO storm_writes (version) VALUES (%s)", [version])


def race(processes: str, rounds: str) -> None:
    count = int(processes)
    fork = multiprocessing.get_context("fork")
    barrier = fork.Barrier(count + 1)
    versions = fork.Array("q", count, lock=False)
    runners = [fork.Process(target=runner, args=(number, int(rounds), barrier, versions)) for number in range(count)]
    for process in runners:
        process.start()
    result = []
    for _ in range(int(rounds)):
        barrier.wait(60)
        barrier.wait(60)
        result.append([version for version in versions if version])
        barrier.wait(60)
    for process in runners:
        process.join()
    print(json.dumps(result))


def runner(number: int, rounds: int, barrier, versions) -> None:
    from events.models import SchedulerLock

    for _ in range(rounds):
        barrier.wait(60)
        lock = SchedulerLock.acquire("race", timeout=60)
        versions[number] = lock.lock_version if lock else 0
        barrier.wait(60)
        if lock:
            lock.release()
        barrier.wait(60)


if __name__ == "__main__":
    django.setup()
    {"write": write, "race": race}[sys.argv[1]](*sys.argv[2:])
