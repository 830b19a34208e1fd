"""One client seen from all sides, in a fixed number of queries."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import SiteLimit
from crm.client360 import clients, look_at
from crm.models import Contract, Deal, Invoice, Payment
from hosting.excused import write_excused
from hosting.models import ClientHour, ExcusedStretch, Site
from hosting.prices import Span, write_prices
from hosting.tickets import open_ticket
from tests.analytics.ledger import fill_ledger, fill_market

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
TODAY = NOW.date()
QUERIES = 9


def invoice(person, amount: str, due: date, **values) -> Invoice:
    return Invoice.objects.create(
        client=person,
        invoice_number=f"T-{Invoice.objects.count()}",
        amount=Decimal(amount),
        net=Decimal(amount),
        status="sent",
        issue_date=due - timedelta(days=14),
        due_date=due,
        content_hash="x",
        **values,
    )


def test_open_money_by_age(client_a, owner):
    for days in (-5, 0, 1, 30, 31, 90, 91):
        invoice(client_a, "100.00", TODAY - timedelta(days=days))
    part = invoice(client_a, "50.00", TODAY - timedelta(days=10))
    Payment.objects.create(invoice=part, amount=Decimal("20.50"), received_on=TODAY)
    found = look_at(client_a, by=owner, now=NOW, today=TODAY)
    assert [(age.label, age.invoices, age.amount) for age in found.ages] == [
        ("not due", 2, Decimal("200.00")),
        ("1 to 30 days", 3, Decimal("229.50")),
        ("31 to 60 days", 1, Decimal("100.00")),
        ("61 to 90 days", 1, Decimal("100.00")),
        ("older", 1, Decimal("100.00")),
    ]
    assert found.open_amounts == [("USD", Decimal("729.50"))]


def test_open_money_of_two_currencies_is_not_added_up(client, client_a, owner):
    invoice(client_a, "100.00", TODAY)
    invoice(client_a, "70.00", TODAY, currency="EUR")
    found = look_at(client_a, by=owner, now=NOW, today=TODAY)
    assert found.open_amounts == [("EUR", Decimal("70.00")), ("USD", Decimal("100.00"))]
    assert {(age.currency, age.amount) for age in found.ages if age.invoices} == {("EUR", 70), ("USD", 100)}
    client.force_login(owner)
    page = client.get(reverse("crm:client", args=[client_a.pk])).content.decode()
    assert "70.00 <small>EUR" in page
    assert "170.00" not in page


def test_an_invoice_ages_by_the_day_of_the_books(client, client_a, owner, settings, time_machine):
    """Half an hour after midnight in Berlin it is late, whatever the day is in London."""
    settings.INVOICE_TIME_ZONE = "Europe/Berlin"
    invoice(client_a, "100.00", date(2026, 11, 19))
    time_machine.move_to("2026-11-19T23:30:00Z")
    client.force_login(owner)
    found = client.get(reverse("crm:client", args=[client_a.pk])).context["client"]
    assert [age.label for age in found.ages if age.invoices] == ["1 to 30 days"]


def test_who_may_not_see_money_sees_none(client_a, operator):
    invoice(client_a, "100.00", TODAY)
    assert look_at(client_a, by=operator, now=NOW, today=TODAY).ages == ()


def test_everything_is_of_this_client(client, client_a, client_b, miner_a, miner_b, site, operator):
    Contract.objects.create(number="C-1", client=client_a, site=site, starts_on=date(2026, 1, 1))
    Deal.objects.create(title="A's deal", client=client_a)
    Deal.objects.create(title="B's deal", client=client_b)
    open_ticket(miner_a, "fan of A", take_out=False, by=operator)
    open_ticket(miner_b, "fan of B", take_out=False, by=operator)
    start = timezone.now() - timedelta(days=2)
    for miner, person in ((miner_a, client_a), (miner_b, client_b)):
        write_excused(
            [
                ExcusedStretch(
                    miner=miner,
                    site=site,
                    client=person,
                    starts_at=start,
                    ends_at=start + timedelta(hours=2),
                    source="x:1",
                )
            ]
        )
    client.force_login(operator)
    page = client.get(reverse("crm:client", args=[client_a.pk])).content.decode()
    for theirs in ("C-1", "A&#x27;s deal", "fan of A", "2.0 machine-hours excused"):
        assert theirs in page
    assert "of B" not in page
    assert "B&#x27;s" not in page


def test_excused_time_counts_within_the_window_alone(client_a, miner_a, site, operator):
    month_ago = NOW - timedelta(days=30)
    for start, end in (
        (month_ago - timedelta(hours=5), month_ago + timedelta(hours=3)),
        (NOW, NOW + timedelta(hours=9)),
    ):
        stretch = ExcusedStretch(
            miner=miner_a, site=site, client=client_a, starts_at=start, ends_at=end, source=f"x:{start.day}"
        )
        write_excused([stretch])
    assert look_at(client_a, by=operator, now=NOW, today=TODAY).excused_hours == 3


def hour(client, site, hashing_s: int) -> None:
    ClientHour.objects.create(
        client=client,
        site=site,
        bucket=NOW - timedelta(hours=2),
        minutes=60,
        samples=60,
        estimated_samples=0,
        miners=1,
        period_s=3600,
        estimated_miners=0,
        hashing_s=hashing_s,
        gap_s=0,
    )


def test_uptime_is_of_the_sites_that_the_member_of_staff_reaches(make_user, client_a, owner, site):
    south = Site.objects.create(name="South")
    hour(client_a, site, 3600)
    hour(client_a, south, 0)
    limited = make_user("user", "operator-2")
    SiteLimit.objects.create(user=limited, site_id=site.pk)
    limited = type(limited).objects.get(pk=limited.pk)
    assert look_at(client_a, by=owner, now=NOW, today=TODAY).uptime == Decimal("0.5")
    assert look_at(client_a, by=limited, now=NOW, today=TODAY).uptime == 1


@pytest.mark.parametrize(
    ("kwh_by_day", "days", "leaves"),
    [
        ([9] * 7, 7, True),
        ([9, 9, 9, 1, 9, 9, 9], 6, False),
        ([1, 9, 9, 9, 9, 9, 9], 6, False),
        ([9, 9, 9, 9, 9, 9, None], 6, False),
    ],
)
def test_the_churn_flag_wants_a_loss_on_each_of_seven_days(client_a, owner, miner_a, site, kwh_by_day, days, leaves):
    """Noon to noon, so that a calendar's days would be eight pieces. 100 TH/s earn 0.21 $ an hour; a kWh costs 0.10 $."""
    since = NOW - timedelta(days=7)
    fill_market(since, NOW, hashprice="50")
    write_prices(site, [Span(since, NOW, Decimal("0.10"))])
    for number, kwh in enumerate(kwh_by_day):
        start = since + timedelta(days=number)
        if kwh is not None:
            fill_ledger([miner_a], start, start + timedelta(days=1), kwh=str(kwh), ths="100", whole=True)
    found = look_at(client_a, by=owner, now=NOW, today=TODAY)
    assert (found.under_water_days, found.may_leave) == (days, leaves)


def test_the_number_of_queries_does_not_grow(client_a, owner, make_miner, django_assert_num_queries):
    for number in range(30):
        open_ticket(make_miner(f"Q-{number}", client=client_a), "fan", take_out=False, by=owner)
        invoice(client_a, "1.00", TODAY)
    with django_assert_num_queries(QUERIES):
        look_at(client_a, by=owner, now=NOW, today=TODAY)


def test_staff_of_a_site_see_its_clients_alone(make_user, client_a, client_b, miner_a, make_miner):
    south = Site.objects.create(name="South")
    make_miner("S-1", site=south, client=client_b)
    limited = make_user("user", "operator-2")
    SiteLimit.objects.create(user=limited, site_id=south.pk)
    limited = type(limited).objects.get(pk=limited.pk)
    assert list(clients(limited)) == [client_b]
    assert not clients(client_a).exists()
