"""What the stories of billing share: a contract with terms, and a month of machines behind it."""

from datetime import date
from decimal import Decimal

from crm.billing.months import month_at
from tests.crm.ledger_month import fill_month

METERED = {"pricing": "metered", "rate_per_kwh": Decimal("0.071234")}
OCTOBER = date(2026, 10, 1)


def agree(client, site, number="C-1", starts_on=date(2026, 1, 1), *, ends_on=None, **terms):
    from crm.contracts import create_contract

    return create_contract(
        number=number, client=client, site=site, starts_on=starts_on, ends_on=ends_on, terms=terms or METERED, by=None
    )


def run_machines(site, miners, month=OCTOBER):
    span = month_at(month, site.time_zone)
    fill_month(site, miners, span.starts_at, span.ends_at)
    return span
