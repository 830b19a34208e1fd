"""The storm's processes, each forked from one that has loaded Django.

Commands on stdin, one a line, each answered by a line: `issue ID FATE` forks a process that issues the draft ID and answers
its process id, `dispatch` forks the real `dispatch_outbox --loop`, `wait PID` answers the exit code of an ended one.

Fates: `well`, `refused` (an error after the number was given), `killed` (SIGKILL before the commit), `late` (SIGKILL after it).
All who issue wait for the file GO, so that they start together.
"""

# ruff: noqa: E402  Django is loaded before what needs it

import os
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
from django.db import transaction

from crm.invoicing import issue_invoice
from crm.models import Invoice

GO = Path(os.environ["GO"])


class Refusal(Exception):
    pass


def issue(pk: int, fate: str) -> None:
    while not GO.exists():
        time.sleep(0.01)
    with transaction.atomic():
        issue_invoice(Invoice(pk=pk), by=None)
        if fate == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if fate == "refused":
            raise Refusal
    if fate == "late":
        os.kill(os.getpid(), signal.SIGKILL)


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
        verb, *words = line.split()
        if verb == "dispatch":
            answer = fork(lambda: call_command("dispatch_outbox", "--loop"))
        elif verb == "issue":
            answer = fork(partial(issue, int(words[0]), words[1]))
        else:
            answer = os.waitstatus_to_exitcode(os.waitpid(int(words[0]), 0)[1])
        print(answer, flush=True)


if __name__ == "__main__":
    main()
