from typing import Any

from django.core.management.base import CommandError, CommandParser

from accounts.models import User
from accounts.roles import Role
from crm.billing.bills import ALREADY, HELD, ISSUED, Bill, RunPreview
from crm.billing.months import BadMonth, month_of
from crm.billing.runs import issue_run
from crm.billing.snapshots import MonthNotOver
from crm.billing.unbilled import unbilled
from hosting.management.sites import site_named
from minefarm.lib.command import FarmCommand, progress
from minefarm.lib.records import UNKNOWN


class Command(FarmCommand):
    help = (
        "Bill a month from the energy ledger: freeze each contract's usage, issue its invoice with a PDF, and write as drafts"
        " what somebody must look at first. What was issued is skipped, so a run may be repeated and goes on where it stopped."
    )
    example = "issue_invoices --month 2026-10 --dry-run"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--month", required=True, help="such as 2026-10; by each site's own calendar")
        parser.add_argument("--site", help="name or number of one site")
        parser.add_argument("--client", help="e-mail address of one customer")
        parser.add_argument("--dry-run", action="store_true", help="compute and show all of it, write nothing")

    def handle(self, *, month: str, dry_run: bool, json: bool, **options: Any) -> None:
        try:
            first = month_of(month)
        except BadMonth as error:
            raise CommandError(str(error), returncode=2) from error
        site = None if options["site"] is None else site_named(options["site"])
        client = _client(options["client"])
        try:
            with progress(show=not json) as bar:
                task = bar.add_task("previewing" if dry_run else "issuing", total=None)
                run = issue_run(
                    first,
                    by=None,
                    site=site,
                    clients=None if client is None else [client],
                    dry_run=dry_run,
                    progress=lambda done, total: bar.update(task, completed=done, total=total),
                )
        except MonthNotOver as error:
            raise CommandError(str(error)) from error
        missed = unbilled(first, site=site, clients=None if client is None else [client])
        document = document_of(run) | {"without_contract": [one.row() for one in missed]}
        text = "\n".join([text_of(run), *(f"{one}: add one in the Admin, under Hosting contracts" for one in missed)])
        self.emit(document, text, as_json=json)


def _client(email: str | None) -> User | None:
    if email is None:
        return None
    found = User.objects.filter(role=Role.CLIENT, email__iexact=email.strip()).first()
    if found is None:
        raise CommandError(f"There is no customer with the address {email}: see Users in the Admin.")
    return found


def document_of(run: RunPreview) -> dict[str, object]:
    return {
        "month": f"{run.month:%Y-%m}",
        "dry_run": run.dry_run,
        "contracts": len(run.bills),
        "issued": len(run.with_outcome(ISSUED)),
        "already_issued": len(run.with_outcome(ALREADY)),
        "held": len(run.held),
        "totals": {currency: str(total) for currency, total in run.totals().items()},
        "bills": [bill.row() for bill in run.bills],
    }


def text_of(run: RunPreview) -> str:
    if not run.bills:
        return (
            f"No contract that was asked for holds in {run.month:%Y-%m}: the Admin has them, under Hosting contracts."
        )
    rows = [("contract", "customer", "kWh", "read", "amount", ""), *(_cells(bill) for bill in run.bills)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.rjust(width) if column in {2, 3, 4} else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    totals = ", ".join(f"{total:,.2f} {currency}" for currency, total in run.totals().items())
    done = (
        f"{len(run.bills)} contracts, {len(run.held)} to be looked at; nothing was written"
        if run.dry_run
        else f"{len(run.with_outcome(ISSUED))} issued, {len(run.with_outcome(ALREADY))} issued before,"
        f" {len(run.with_outcome(HELD))} held as drafts"
    )
    return "\n".join([*lines, f"{done}; {totals} in all"])


def _cells(bill: Bill) -> tuple[str, ...]:
    coverage = bill.sums.coverage_pct
    said = bill.invoice.invoice_number if bill.invoice and bill.outcome in {ISSUED, ALREADY} else ""
    if bill.holds and bill.outcome != ISSUED:
        said = f"held: {'; '.join(bill.holds)}"
    return (
        bill.contract.number,
        bill.contract.client.name or bill.contract.client.email,
        f"{bill.sums.kwh:,.3f}",
        UNKNOWN if coverage is None else f"{coverage} %",
        f"{bill.amount:,.2f} {bill.currency}",
        said,
    )
