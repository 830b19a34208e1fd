"""Freezing a contract's month, and reading it back."""

from datetime import date
from typing import Any

from django.db import transaction
from django.db.models import Sum
from django.utils import timezone

from crm.billing.ledger import MonthLedger, month_ledger
from crm.billing.months import month_at
from crm.billing.usage import Day, Usage, content_hash, inputs_of, usage_from
from crm.models import Contract, Invoice, UsageDay, UsageSnapshot
from crm.states import InvoiceStatus


class MonthNotOver(Exception):
    """The month still goes on at the site: it can be previewed, not billed."""


def take_snapshot(contract: Contract, month: date) -> UsageSnapshot:
    """Freeze one contract's month; the same content is the same row. Raises MonthNotOver."""
    with month_ledger(contract.site, month, [contract]) as ledger:
        usage = ledger.usage(contract, first_invoice=is_first_invoice(contract, month))
        return store(ledger, contract, usage)


def refuse_unfinished(month: date, time_zone: str) -> None:
    """Raises MonthNotOver while the month lasts at the site."""
    span = month_at(month, time_zone)
    if span.ends_at > timezone.now():
        raise MonthNotOver(
            f"{month:%Y-%m} lasts until {span.ends_at:%Y-%m-%d %H:%M} UTC at this site: preview it, and issue it after that."
        )


@transaction.atomic
def store(ledger: MonthLedger, contract: Contract, usage: Usage, *, correction: int = 0) -> UsageSnapshot:
    """Write what was read, once: a snapshot with this content is found, not written again. Raises MonthNotOver."""
    refuse_unfinished(ledger.span.first, ledger.span.time_zone)
    inputs = inputs_of(usage, about(contract, correction))
    digest = content_hash(inputs, usage.days)
    snapshot, new = UsageSnapshot.objects.get_or_create(
        contract=contract,
        month=ledger.span.first,
        content_hash=digest,
        defaults={
            "client_id": contract.client_id,
            "starts_at": ledger.span.starts_at,
            "ends_at": ledger.span.ends_at,
            "inputs": inputs,
        },
    )
    if new:
        ledger.store_days(contract, snapshot.pk)
    return snapshot


def about(contract: Contract, correction: int) -> dict[str, Any]:
    """Whose month it is, as it was called then."""
    return {
        "contract": contract.number,
        "client": str(contract.client_id),
        "site": contract.site.name,
        "time_zone": contract.site.time_zone,
        "correction": correction,
    }


def is_first_invoice(contract: Contract, month: date) -> bool:
    """Whether deposit and setup are due: no invoice of another month that stands was the first one."""
    first = contract.billed_months.exclude(month=month).filter(invoice__snapshot__inputs__first_invoice=True)
    issued = first.exclude(invoice__status=InvoiceStatus.DRAFT).select_related("invoice")
    return all(is_reversed(one.invoice) for one in issued)


def is_reversed(invoice: Invoice) -> bool:
    """Whether credit notes that were issued give back all of it."""
    notes = invoice.credit_notes.exclude(status=InvoiceStatus.DRAFT).aggregate(back=Sum("amount"))["back"]
    return notes is not None and notes + invoice.amount <= 0


def days_of(snapshot: UsageSnapshot) -> list[Day]:
    """The frozen days, in no order."""
    return [Day(*row) for row in UsageDay.objects.filter(snapshot=snapshot).order_by().values_list(*Day.__slots__)]


def frozen_usage(snapshot: UsageSnapshot) -> Usage:
    """What the snapshot's invoice was computed from; raises ValueError for rules of another version."""
    return usage_from(snapshot.inputs, days_of(snapshot))
