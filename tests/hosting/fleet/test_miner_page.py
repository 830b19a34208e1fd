"""The page of one machine: its alerts, boards and events, for staff and for its owner."""

import pytest
from django.db import transaction

from events.catalogue import CATALOGUE
from events.outbox import publish
from hosting.models import Alert, MinerLatest
from minefarm.lib.clock import database_minute

pytestmark = pytest.mark.django_db


@pytest.fixture
def history(site, miner_a, miner_b, operator, alert_rules):
    """Of each machine one alert that stands and one that is over; of the first an event and boards."""
    now = database_minute()
    rule = alert_rules.get(kind="offline")
    for miner in (miner_a, miner_b):
        plain = {
            "rule": rule,
            "kind": "offline",
            "severity": "critical",
            "site": site,
            "miner": miner,
            "opened_at": now,
        }
        taken = {"state": "acknowledged", "note": "late payer", "acknowledged_by": operator}
        Alert.objects.create(**plain, last_seen_at=now, evidence=f"{miner} is silent now", **taken)
        over = {"state": "resolved", "resolved_at": now}
        Alert.objects.create(**plain, last_seen_at=now, evidence=f"{miner} was silent", **over)
    with transaction.atomic():
        facts = CATALOGUE["miner.offline"].example | {"miner_id": miner_a.pk}
        publish("miner.offline", about=f"miner:{miner_a.pk}", client_id=miner_a.client_id, **facts)
    return miner_a


def page(client, user, miner) -> str:
    client.force_login(user)
    answer = client.get(f"/miners/{miner.pk}/")
    assert answer.status_code == 200
    return answer.content.decode()


def test_staff_read_what_is_and_was_and_who_took_it_on(client, operator, admin, history):
    html = page(client, operator, history)
    assert html.index("A-0001 is silent now") < html.index("A-0001 was silent")
    assert "operator: late payer" in html
    assert "B-0001" not in html
    assert "miner.offline" not in html  # the outbox is for owners and admins
    assert "miner.offline" in page(client, admin, history)


def test_the_owner_reads_their_alerts_and_no_note(client, client_a, history):
    html = page(client, client_a, history)
    assert "A-0001 is silent now" in html
    assert "Taken on" in html
    assert "late payer" not in html
    assert "operator" not in html
    assert "miner.offline" not in html


def test_a_machines_own_nameplate_comes_before_its_models(client, client_a, miner_a):
    assert "110 by nameplate" in page(client, client_a, miner_a)
    miner_a.nameplate_ths = 95
    miner_a.save()
    assert "95 by nameplate" in page(client, client_a, miner_a)


def test_boards_are_shown_as_far_as_they_are_known(client, client_a, history):
    boards = [{"board": 0, "hashrate_ths": 36.5, "chips": 114, "chips_expected": 114}, {"board": 1, "chips": 0}]
    now = database_minute()
    MinerLatest.objects.create(miner=history, attempted_at=now, seen_at=now, boards=boards, details_at=now)
    html = page(client, client_a, history)
    assert "114 of 114" in html
    assert "36.50" in html
