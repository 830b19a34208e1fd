"""What was done about leads and deals, and what is still to do."""

from datetime import date
from typing import Any

from django.db.models.functions import Now

from accounts.models import User
from crm.models import Activity, Deal, Lead
from crm.states import ActivityKind


def add_activity(
    *,
    kind: str,
    subject: str,
    body: str = "",
    due_date: date | None = None,
    deal: Deal | None = None,
    lead: Lead | None = None,
    assigned_to: User | None = None,
    by: User | None,
) -> Activity:
    """One line of the timeline. A deal's lead keeps it too, so that neither page loses what was said before and after."""
    values: dict[str, Any] = {"kind": kind, "subject": subject, "body": body, "author": by}
    if kind == ActivityKind.TASK:
        values |= {"due_date": due_date, "assigned_to": assigned_to or by}
    return Activity.objects.create(deal=deal, lead=lead or (deal.lead if deal else None), **values)


def finish_task(task: Activity) -> bool:
    """Tick a task off; False when it was done before, or is no task."""
    open_ones = Activity.objects.filter(pk=task.pk, kind=ActivityKind.TASK, done_at__isnull=True)
    return bool(open_ones.update(done_at=Now()))
