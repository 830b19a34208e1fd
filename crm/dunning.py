"""Invoices that are late: marked once, and reminded of by the ladder of INVOICE_REMINDER_DAYS."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from crm.invoicing import fact_of, today
from crm.models import Invoice
from crm.payments import with_balance
from events.outbox import publish_many

TOO_LATE_DAYS = 7  # a reminder that could not go out for a week stays away
MARK = """
UPDATE crm_invoices SET status = 'overdue'
WHERE status = 'sent' AND kind = 'invoice' AND due_date < %s RETURNING id
"""
# Of the steps whose day has come, the last one alone: who was away for a week is not reminded three times at once.
REMIND = """
INSERT INTO crm_invoice_reminders (invoice_id, step)
SELECT i.id, max(step) FROM crm_invoices i CROSS JOIN unnest(%(steps)s::int[]) AS step
WHERE i.kind = 'invoice' AND i.status IN ('sent', 'overdue')
  AND i.due_date + step <= %(on)s AND i.due_date + step > %(on)s - %(too_late)s AND i.due_date + step > i.issue_date
GROUP BY i.id
ON CONFLICT (invoice_id, step) DO NOTHING RETURNING invoice_id, step
"""


@dataclass(frozen=True, slots=True)
class Dunned:
    """What one pass did: numbers of invoices that became overdue, and of those that were reminded of."""

    on: date
    overdue: list[str]
    reminded: list[str]


@transaction.atomic
def mark_overdue(on: date | None = None) -> Dunned:
    """Mark what was due before that day (default: today) and write the reminders that are due; safe to repeat."""
    on = on or today()
    with connection.cursor() as cursor:
        cursor.execute(MARK, [on])
        late = [pk for (pk,) in cursor.fetchall()]
        steps = sorted(set(settings.INVOICE_REMINDER_DAYS))
        cursor.execute(REMIND, {"steps": steps, "on": on, "too_late": TOO_LATE_DAYS})
        step_of: dict[int, int] = dict(cursor.fetchall())
    rows: dict[int, Any] = {bill.pk: bill for bill in with_balance(Invoice.objects.filter(pk__in={*late, *step_of}))}
    publish_many("invoice.overdue", (fact_of(rows[pk]) for pk in sorted(late)))
    publish_many(
        "invoice.reminder",
        (
            fact_of(
                rows[pk],
                {"step": step, "balance": f"{rows[pk].open_amount:.2f}"},
                dedupe_key=f"invoice:{pk}:reminder:{step}",
            )
            for pk, step in sorted(step_of.items())
        ),
    )
    return Dunned(on, _numbers(rows, late), _numbers(rows, step_of))


def _numbers(rows: dict[int, Any], chosen: Iterable[int]) -> list[str]:
    return sorted(rows[pk].invoice_number for pk in chosen)
