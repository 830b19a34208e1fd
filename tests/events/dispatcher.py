"""The kill storm's processes, each forked from one that has loaded Django: a new dispatcher is at work within milliseconds.

Commands on stdin, one a line, each answered by a line: `dispatch` forks the real `dispatch_outbox --loop` and answers its
process id, `write N` forks writer N, `wait PID` answers the exit code of an ended one.

The effect that no transaction covers is a line in the file EFFECTS; the effect inside is a row's counter.
"""

# ruff: noqa: E402  Django is loaded before what needs it

import contextlib
import json
import os
import random
import signal
import sys
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "minefarm.settings")

import django

django.setup()

from django.core.management import call_command
from django.db import connection, transaction

from events.handlers import handler
from events.outbox import publish

EFFECTS = os.open(os.environ["EFFECTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
THINGS = 12


class Refusal(Exception):
    pass


class Undo(Exception):
    pass


@handler("webhook.test", consumer="storm")
def carry(event) -> None:
    facts = json.loads(event.payload["message"])
    if facts["kind"] == "poison":
        raise Refusal("poison")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE storm_effects SET times = times + 1 WHERE event_uuid = %s", [event.event_uuid])
        if not cursor.rowcount:
            cursor.execute("INSERT INTO storm_effects (event_uuid, times) VALUES (%s, 1)", [event.event_uuid])
    line = json.dumps([str(event.event_uuid), event.aggregate_key, event.aggregate_seq, facts["kind"]])
    os.write(EFFECTS, (line + "\n").encode())  # one write: whole or not at all
    time.sleep(0.002)


stopping = False


def write(number: int) -> None:
    """10 % roll back, 10 % commit late, some are poison, each thing has events of all writers."""
    signal.signal(signal.SIGTERM, lambda *_: globals().update(stopping=True))
    chance = random.Random(number)
    while not stopping:
        fate = chance.random()
        kind = "ghost" if fate < 0.1 else "poison" if fate > 0.99 else "good"
        about = f"poisoned:{number}" if kind == "poison" else f"thing:{chance.randrange(THINGS)}"
        with contextlib.suppress(Undo), transaction.atomic():
            publish("webhook.test", about=about, message=json.dumps({"kind": kind}))
            if chance.random() < 0.1:
                time.sleep(0.1)
            if kind == "ghost":
                raise Undo
        time.sleep(0.01)


def fork(work) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDWR), 1)
        work()
        code = 0
    finally:
        os._exit(code)


def main() -> None:
    for line in sys.stdin:
        verb, *number = line.split()
        if verb == "dispatch":
            answer = fork(lambda: call_command("dispatch_outbox", "--loop"))
        elif verb == "write":
            answer = fork(partial(write, int(number[0])))
        else:
            answer = os.waitstatus_to_exitcode(os.waitpid(int(number[0]), 0)[1])
        print(answer, flush=True)


if __name__ == "__main__":
    main()
