"""A hundred processes issue at once; of three in ten the transaction fails or the process is killed. So is the dispatcher.

In the end every draft is issued, its number is one of 1 to 100, each once, and one mail went out for each.
"""

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from crm.models import Invoice, InvoiceCounter
from events.models import OutboxEvent
from tests.farm import ROOT, database_url

pytestmark = [pytest.mark.storm, pytest.mark.django_db(transaction=True)]

BILLS, FAILURES = 100, 0.3
DISPATCHER_KILLS = 3
MESSAGE_ID = re.compile(r"^Message-ID: <([0-9a-f-]{36})@", re.MULTILINE)


class Nursery:
    def __init__(self, environment) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("issuer.py"))],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ask(self, command: str) -> int:
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def end(self) -> None:
        self.process.communicate(timeout=60)


def test_a_hundred_at_once_with_failures_and_kills_leave_no_gap_and_mail_once(draft, tmp_path):
    bills = [draft().pk for _ in range(BILLS)]
    mails, go = tmp_path / "mails", tmp_path / "go"
    mails.mkdir()
    environment = os.environ | {
        "DATABASE_URL": database_url(),
        "EMAIL_URL": f"filemail:///{mails}",
        "INVOICE_DIR": str(tmp_path / "invoices"),
        "OUTBOX_LEASE_S": "2",
        "OUTBOX_BACKOFF_S": "0.1,0.2,0.4",
        "LOG_LEVEL": "CRITICAL",
        "GO": str(go),
    }
    nursery = Nursery(environment)
    try:
        failures = issue_all(nursery, bills, go)
        kills = carry_all(nursery)
    finally:
        nursery.end()
    assert failures > BILLS * FAILURES / 2
    judge_numbers()
    judge_mails(mails, kills)


def issue_all(nursery: Nursery, bills: list[int], go: Path) -> int:
    """Every draft, all at once; those whose process failed again, until none is left. How many failed."""
    chance, failures, left = random.Random(26), 0, bills
    while left:
        fates = [chance.choice(("refused", "killed", "late")) if chance.random() < FAILURES else "well" for _ in left]
        pids = [nursery.ask(f"issue {pk} {fate}") for pk, fate in zip(left, fates, strict=True)]
        go.touch()
        codes = [nursery.ask(f"wait {pid}") for pid in pids]
        go.unlink()
        failures += sum(code != 0 for code in codes)
        assert all(code == 0 for code, fate in zip(codes, fates, strict=True) if fate == "well")
        assert any(code == -signal.SIGKILL for code in codes) or len(left) < BILLS
        left = list(Invoice.objects.filter(status="draft").order_by("pk").values_list("pk", flat=True))
    return failures


def carry_all(nursery: Nursery) -> int:
    """Dispatch until all is told, killing the dispatcher a few times; how often."""
    deadline = time.monotonic() + 120
    for _ in range(DISPATCHER_KILLS):
        dispatcher = nursery.ask("dispatch")
        time.sleep(0.7)
        os.kill(dispatcher, signal.SIGKILL)
        assert nursery.ask(f"wait {dispatcher}") == -signal.SIGKILL
    dispatcher = nursery.ask("dispatch")
    while OutboxEvent.objects.exclude(status="processed").exists():
        assert time.monotonic() < deadline, Counter(OutboxEvent.objects.values_list("status", "last_error"))
        time.sleep(0.2)
    os.kill(dispatcher, signal.SIGTERM)
    assert nursery.ask(f"wait {dispatcher}") == 0
    return DISPATCHER_KILLS


def judge_numbers() -> None:
    year = datetime.now(UTC).year
    numbers = Invoice.objects.order_by("invoice_number").values_list("invoice_number", flat=True)
    assert list(numbers) == [f"INV-{year}-{number:05d}" for number in range(1, BILLS + 1)]
    assert InvoiceCounter.objects.get().last == BILLS
    assert OutboxEvent.objects.filter(event_type="invoice.issued").count() == BILLS


def judge_mails(mails: Path, kills: int) -> None:
    seen = Counter(found for file in mails.iterdir() for found in MESSAGE_ID.findall(file.read_text()))
    issued = OutboxEvent.objects.filter(event_type="invoice.issued").values_list("event_uuid", flat=True)
    assert set(seen) == {str(uuid) for uuid in issued}
    # Only a dispatcher that died between the mail and its commit may have sent one again, under the same Message-ID.
    assert seen.total() - BILLS <= kills
    files = Invoice.objects.exclude(pdf_sha256=None).exclude(mailed_at=None)
    assert files.values("pdf_path").distinct().count() == BILLS
