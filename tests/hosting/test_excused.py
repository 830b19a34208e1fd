"""Time that counts against nobody: plans and repairs, each minute once."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from hosting.excused import excused_seconds, savings, write_excused
from hosting.models import ExcusedStretch
from hosting.states import Fault
from hosting.tickets import open_ticket

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 10, 5, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def stretch(miner, client, start_h: float, hours: float, **values) -> ExcusedStretch:
    start = NOON + start_h * HOUR
    return ExcusedStretch(
        miner=miner, site_id=miner.site_id, client=client, starts_at=start, ends_at=start + hours * HOUR, **values
    )


@pytest.fixture
def miner(make_miner, client_a):
    return make_miner("A-1", client=client_a)


def test_what_overlaps_counts_once_and_only_within_the_time(miner, client_a, operator):
    write_excused(
        [stretch(miner, client_a, 0, 2, source="curtailment:1"), stretch(miner, client_a, 1, 2, source="curtailment:2")]
    )
    ticket = open_ticket(
        miner, "dead fan", fault=Fault.CLIENT, starts_at=NOON + 2.5 * HOUR, take_out=False, by=operator
    )
    ticket.ends_at = NOON + 4 * HOUR
    ticket.save()
    assert excused_seconds([miner.pk], NOON, NOON + 24 * HOUR) == {miner.pk: 4 * 3600}
    assert excused_seconds([miner.pk], NOON + HOUR, NOON + 1.5 * HOUR) == {miner.pk: 1800}
    assert excused_seconds([miner.pk], NOON, NOON + 24 * HOUR, curtailed=False) == {miner.pk: 5400}
    assert excused_seconds([miner.pk], NOON + 4 * HOUR, NOON + 24 * HOUR) == {}


def test_the_farms_own_fault_excuses_nothing(miner, operator):
    open_ticket(miner, "breaker", fault=Fault.FARM, starts_at=NOON, take_out=False, by=operator)
    assert excused_seconds([miner.pk], NOON, NOON + HOUR) == {}


def test_a_stretch_is_written_once(miner, client_a):
    for saved in ("1.5", "9"):
        write_excused([stretch(miner, client_a, 0, 1, source="curtailment:1", saved=Decimal(saved))])
    assert ExcusedStretch.objects.get().saved == Decimal("1.5")


def test_savings_are_summed_per_currency_of_stretches_that_began_in_the_time(miner, client_a, client_b, site):
    write_excused(
        [
            stretch(miner, client_a, 0, 1, source="curtailment:1", saved=Decimal("1.25"), kwh_avoided=Decimal(3)),
            stretch(miner, client_a, 2, 1, source="curtailment:2", saved=Decimal("0.50"), kwh_avoided=Decimal(1)),
            stretch(miner, client_a, 3, 1, source="curtailment:3", saved=Decimal(2), currency="EUR"),
            stretch(miner, client_a, 4, 1, source="curtailment:4", kwh_avoided=Decimal(1)),  # no price was known
            stretch(miner, client_b, 5, 1, source="curtailment:5", saved=Decimal(7)),
            stretch(miner, client_a, 24, 1, source="curtailment:6", saved=Decimal(7)),
        ]
    )
    found = savings(client_a.pk, site.pk, NOON, NOON + 24 * HOUR)
    assert [(one.currency, one.saved, one.kwh_avoided, one.stretches) for one in found] == [
        ("EUR", Decimal(2), Decimal(0), 1),
        ("USD", Decimal("1.75"), Decimal(4), 2),
    ]


def test_a_client_sees_their_own_alone(miner, client_a, client_b, operator, guest):
    write_excused([stretch(miner, client_a, 0, 1, source="curtailment:1")])
    seen = {person: ExcusedStretch.objects.for_user(person).count() for person in (client_a, client_b, operator, guest)}
    assert seen == {client_a: 1, client_b: 0, operator: 1, guest: 0}
