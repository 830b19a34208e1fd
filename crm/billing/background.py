"""Runs that were started on the page: a worker does them, and writes into their row how far it is."""

from dataclasses import dataclass
from datetime import date

from django.utils import timezone

from accounts.models import User
from crm.billing.runs import issue_run
from crm.billing.snapshots import MonthNotOver
from crm.invoicing import InvoiceRefused
from crm.models import BillingRun
from hosting.models import Site

STEPS = 50  # at most so many updates of the row


@dataclass(slots=True)
class RunRow:
    """Tells a run's row how far it is, now and then."""

    run: BillingRun

    def __call__(self, done: int, total: int) -> None:
        if done == total or done % max(1, total // STEPS) == 0:
            BillingRun.objects.filter(pk=self.run.pk).update(done=done, contracts=total)


def start(month: date, *, site: Site | None, dry_run: bool, by: User) -> BillingRun:
    """A row for a worker to take up."""
    return BillingRun.objects.create(month=month, site=site, dry_run=dry_run, started_by=by)


def work(run_id: int) -> None:
    """Do a run that waits; one that somebody else took up is left alone."""
    claimed = BillingRun.objects.filter(pk=run_id, status=BillingRun.Status.WAITING)
    if not claimed.update(status=BillingRun.Status.RUNNING):
        return
    run = BillingRun.objects.select_related("site", "started_by").get(pk=run_id)
    try:
        done = issue_run(run.month, by=run.started_by, site=run.site, dry_run=run.dry_run, progress=RunRow(run))
    except (MonthNotOver, InvoiceRefused) as refused:
        _end(run, BillingRun.Status.FAILED, error=str(refused))
    except Exception as error:
        _end(
            run, BillingRun.Status.FAILED, error=f"{type(error).__name__}: start it again, it goes on where it stopped."
        )
        raise
    else:
        rows = [bill.row() for bill in done.bills]
        _end(run, BillingRun.Status.DONE, outcomes=rows, done=len(rows), contracts=len(rows))


def _end(run: BillingRun, status: str, **values: object) -> None:
    BillingRun.objects.filter(pk=run.pk).update(status=status, finished_at=timezone.now(), **values)
