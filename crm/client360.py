"""All that staff want to know of one client, in a fixed number of queries."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models import Count, Q, QuerySet, Sum

from accounts.models import User
from accounts.roles import Role
from analytics.profit import Profit, Scope, profit
from crm.models import Contract, Deal, Invoice
from crm.payments import with_balance
from crm.states import InvoiceKind, InvoiceStatus
from hosting.models import ExcusedStretch, MaintenanceTicket, Miner
from hosting.states import MinerStatus
from hosting.summary import Summary, summarise

DAYS = 30
CHURN_DAYS = 7
AGES = (
    ("not due", None, 0),
    ("1 to 30 days", 0, 30),
    ("31 to 60 days", 30, 60),
    ("61 to 90 days", 60, 90),
    ("older", 90, None),
)
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Age:
    """Money that is open for so long; `currency` is None while there is none."""

    label: str
    currency: str | None
    invoices: int
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Client:
    """One client. Shares are 0 to 1; None where nothing is known."""

    person: User
    contracts: Sequence[Contract]
    deals: Sequence[Deal]
    machines: Summary
    uptime: Decimal | None
    coverage: Decimal | None
    excused_hours: Decimal
    tickets: Sequence[MaintenanceTicket]
    ages: Sequence[Age]
    profit: Profit | None
    under_water_days: int | None

    @property
    def open_amounts(self) -> list[tuple[str | None, Decimal]]:
        """What is open in all, of each currency."""
        currencies = dict.fromkeys(age.currency for age in self.ages)
        return [(one, sum((age.amount for age in self.ages if age.currency == one), ZERO)) for one in currencies]

    @property
    def may_leave(self) -> bool:
        """Their power cost more than their machines earned, on every one of the last seven days."""
        return self.under_water_days is not None and self.under_water_days >= CHURN_DAYS


# Seconds of the ledger's machine-hours of the client; an hour of which no power is known says nothing of the uptime.
UPTIME = """
SELECT sum(hashing_s)::numeric / NULLIF(sum(period_s::bigint * miners - gap_s), 0),
    1 - sum(gap_s)::numeric / NULLIF(sum(period_s::bigint * miners), 0)
FROM client_telemetry_hour WHERE client_id = %(client)s AND bucket >= %(since)s AND bucket < %(now)s
    AND (%(sites)s::int[] IS NULL OR site_id = ANY(%(sites)s))
"""


def clients(user: User) -> "QuerySet[User]":
    """Accounts of clients, with what a list shows of each: machines of the sites that the member of staff reaches."""
    if not user.is_staff:
        return User.objects.none()
    reached = Q(miners__retired_at__isnull=True)
    if user.site_ids is not None:
        reached &= Q(miners__site__in=user.site_ids)
    found = User.objects.filter(role=Role.CLIENT).annotate(
        machines=Count("miners", filter=reached),
        active=Count("miners", filter=reached & Q(miners__status=MinerStatus.ACTIVE)),
        rated_w=Sum("miners__miner_model__power_consumption", filter=reached),
    )
    ordered = found.order_by("-machines", "email")
    return ordered if user.site_ids is None else ordered.filter(machines__gt=0)


def look_at(person: User, *, by: User, now: datetime, today: date) -> Client:
    """Everything at once, as the member of staff may see it."""
    machines = Miner.objects.for_user(by).filter(client=person)
    since = now - timedelta(days=DAYS)
    uptime, coverage = _uptime(person, by, since, now)
    sums = profit(Scope(client_id=person.pk, site_ids=by.site_ids), since, now)
    week_ago = now - timedelta(days=CHURN_DAYS)
    hours = profit(Scope(client_id=person.pk, site_ids=by.site_ids), week_ago, now, per="hour")
    return Client(
        person=person,
        contracts=list(Contract.objects.for_user(by).filter(client=person).select_related("site")),
        deals=list(Deal.objects.for_user(by).filter(client=person).order_by("-pk")[:20]),
        machines=summarise(machines),
        uptime=uptime,
        coverage=coverage,
        excused_hours=_excused_hours(person, by, since, now),
        tickets=list(
            MaintenanceTicket.objects.for_user(by).unfinished().filter(client=person).select_related("miner")[:20]
        ),
        ages=_ages(person, today) if by.may("invoice:view") else (),
        profit=sums[0] if sums else None,
        under_water_days=_under_water(hours, week_ago),
    )


def _uptime(person: User, by: User, since: datetime, now: datetime) -> tuple[Decimal | None, Decimal | None]:
    sites = None if by.site_ids is None else list(by.site_ids)
    with connection.cursor() as cursor:
        cursor.execute(UPTIME, {"client": person.pk, "since": since, "now": now, "sites": sites})
        row: tuple[Decimal | None, Decimal | None] = cursor.fetchone()
        return row


def _excused_hours(person: User, by: User, since: datetime, now: datetime) -> Decimal:
    """What lies within [since, now) of stretches that may have begun before."""
    stretches = ExcusedStretch.objects.for_user(by).filter(client=person, starts_at__lt=now, ends_at__gt=since)
    edges = stretches.values_list("starts_at", "ends_at")
    seconds = sum((min(end, now) - max(start, since)).total_seconds() for start, end in edges)
    return Decimal(round(seconds)) / 3600


def _ages(person: User, today: date) -> Sequence[Age]:
    """What is open of issued invoices, by how long it is due; another currency is another row. One query."""
    issued = Invoice.objects.filter(
        client=person, kind=InvoiceKind.INVOICE, status__in=(InvoiceStatus.SENT, InvoiceStatus.OVERDUE)
    )
    balances: Any = with_balance(issued).order_by()
    rows = list(balances.values_list("currency", "due_date", "open_amount"))
    found: dict[tuple[str | None, str], list[Decimal]] = {
        (currency, label): [] for currency in sorted({row[0] for row in rows}) or [None] for label, _, _ in AGES
    }
    for currency, due, left in rows:
        if left > 0:
            found[currency, _age(due, today)].append(left)
    return [Age(label, currency, len(sums), sum(sums, ZERO)) for (currency, label), sums in found.items()]


def _age(due: date | None, today: date) -> str:
    late = (today - due).days if due else 0
    for label, over, upto in AGES:
        if (over is None or late > over) and (upto is None or late <= upto):
            return label
    return AGES[-1][0]


def _under_water(hours: Sequence[Profit], since: datetime) -> int | None:
    """Of the days of 24 hours from `since` on, those whose power cost more than they earned; None where nothing is known.

    A calendar's days would be eight pieces, and others at every site.
    """
    days: dict[int, Decimal] = {}
    for hour in hours:
        if hour.profit_usd is not None and hour.starts_at is not None:
            day = (hour.starts_at - since) // timedelta(days=1)
            days[day] = days.get(day, ZERO) + hour.profit_usd
    return len([sum_ for sum_ in days.values() if sum_ < 0]) if days else None
