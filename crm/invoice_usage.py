"""The usage behind an invoice: its frozen snapshot, by machine and by day.

Behind the wall a customer reads the snapshots that invoices issued to them stand on, and no others.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from django.db.models import Count, Max, Q, Sum

from crm.models import Invoice, UsageDay


@dataclass(frozen=True, slots=True)
class MachineUsage:
    """One machine in the period; `kwh` None: nothing is known. `measured_pct` is the share of the time with readings."""

    miner_id: int
    serial_number: str
    days: int
    unknown_days: int
    kwh: Decimal | None
    hashing_h: Decimal
    excused_h: Decimal
    measured_pct: Decimal | None


def machines_of(invoice: Invoice) -> list[MachineUsage]:
    """Machines by serial number; empty for an invoice that is not computed from usage."""
    if invoice.snapshot_id is None:
        return []
    rows = list(
        UsageDay.objects.filter(snapshot=invoice.snapshot_id)
        .values("miner_id")
        .annotate(
            serial=Max("serial_number"),
            days=Count("pk"),
            unknown=Count("pk", filter=Q(kwh=None)),
            total=Sum("kwh"),
            period=Sum("period_s"),
            gap=Sum("gap_s"),
            hashing=Sum("hashing_s"),
            excused=Sum("excused_s"),
        )
        .order_by("serial")
    )
    return [
        MachineUsage(
            miner_id=row["miner_id"],
            serial_number=row["serial"],
            days=row["days"],
            unknown_days=row["unknown"],
            kwh=row["total"],
            hashing_h=Decimal(row["hashing"]) / 3600,
            excused_h=Decimal(row["excused"]) / 3600,
            measured_pct=100 - Decimal(100 * row["gap"]) / row["period"] if row["period"] else None,
        )
        for row in rows
    ]


def days_of(invoice: Invoice) -> list[tuple[date, Decimal | None]]:
    """The energy of each day, of all machines."""
    if invoice.snapshot_id is None:
        return []
    rows = UsageDay.objects.filter(snapshot=invoice.snapshot_id).values_list("day").annotate(Sum("kwh"))
    return list(rows.order_by("day"))


USAGE_COLUMNS = ("serial_number", "day", "kwh", "source", "period_s", "gap_s", "hashing_s", "excused_s", "th_hours")


def usage_rows(invoice: Invoice) -> Iterator[tuple[object, ...]]:
    """One row per machine and day, in the order of USAGE_COLUMNS."""
    if invoice.snapshot_id is None:
        return
    days = UsageDay.objects.filter(snapshot=invoice.snapshot_id).order_by("serial_number", "day")
    yield from days.values_list(*USAGE_COLUMNS).iterator(2000)
