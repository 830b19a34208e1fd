"""A month's bills: previewed without a trace, then issued one contract after the other.

Each contract has a transaction of its own, under a lock of its row: whatever stops a run, the next one goes on where it was, and
two runs at once make one invoice each. What was issued is skipped whatever the ledger says now; what is odd becomes a draft that
is held back until somebody looks.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from django.db import transaction
from django.db.models import Q

from accounts.models import User
from crm.billing import snapshots
from crm.billing.bills import ALREADY, HELD, ISSUED, PREVIEW, Bill, RunPreview
from crm.billing.holds import holds
from crm.billing.ledger import MonthLedger, month_ledger
from crm.billing.lines import Line, add_up, lines_of, net_of, terms_for_all
from crm.billing.months import month_after
from crm.billing.usage import Terms, Usage
from crm.invoicing import (
    DraftLine,
    InvoiceRefused,
    delete_draft,
    draft_invoice,
    issue_invoice,
    store_pdf,
    to_cents,
)
from crm.models import BilledMonth, Contract, Invoice, InvoiceLine, UsageSnapshot
from crm.models.invoices import BY_HAND
from crm.states import InvoiceStatus, LineKind
from hosting.models import Site

Progress = Callable[[int, int], None]


def contracts_of(
    month: date, *, site: Site | None = None, clients: Collection[User] | None = None
) -> dict[Site, list[Contract]]:
    """Contracts that hold on some day of the month, by site, in the order of their numbers."""
    found = Contract.objects.filter(
        Q(ends_on__isnull=True) | Q(ends_on__gt=month), starts_on__lt=month_after(month)
    ).select_related("client", "site")
    if site is not None:
        found = found.filter(site=site)
    if clients is not None:
        found = found.filter(client__in=clients)
    by_site: dict[Site, list[Contract]] = defaultdict(list)
    for contract in found.prefetch_related("versions").order_by("site__name", "site", "number"):
        by_site[contract.site].append(contract)
    return dict(by_site)


def preview_run(
    month: date,
    *,
    site: Site | None = None,
    clients: Collection[User] | None = None,
    progress: Progress | None = None,
) -> RunPreview:
    """What an issue would make of the month now; nothing is written. A month that still goes on is held for its hours to come."""
    return _run(
        month,
        contracts_of(month, site=site, clients=clients),
        _previewed,
        lambda bill: bill,
        dry_run=True,
        progress=progress,
    )


def issue_run(
    month: date,
    *,
    by: User | None,
    site: Site | None = None,
    clients: Collection[User] | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> RunPreview:
    """Issue what can go out, write drafts of what is held, and skip what was issued; with PDFs, each after its commit.

    Raises MonthNotOver before anything is written.
    """
    if dry_run:
        return preview_run(month, site=site, clients=clients, progress=progress)
    wanted = contracts_of(month, site=site, clients=clients)
    for place in wanted:
        snapshots.refuse_unfinished(month, place.time_zone)

    def issued(ledger: MonthLedger, contract: Contract) -> Bill:
        return _issued(ledger, contract, by=by)

    def with_pdf(bill: Bill) -> Bill:
        if bill.outcome in {ISSUED, ALREADY} and bill.invoice and not bill.invoice.pdf_sha256:
            return replace(bill, invoice=store_pdf(bill.invoice))
        return bill

    return _run(month, wanted, issued, with_pdf, dry_run=False, progress=progress)


def _run(
    month: date,
    wanted: dict[Site, list[Contract]],
    one: Callable[[MonthLedger, Contract], Bill],
    finish: Callable[[Bill], Bill],
    *,
    dry_run: bool,
    progress: Progress | None,
) -> RunPreview:
    run = RunPreview(month, dry_run)
    total = sum(len(contracts) for contracts in wanted.values())
    for bill in _bills(month, wanted, one):
        run.bills.append(finish(bill))
        if progress:
            progress(len(run.bills), total)
    return run


def _bills(
    month: date, wanted: dict[Site, list[Contract]], one: Callable[[MonthLedger, Contract], Bill]
) -> Iterator[Bill]:
    """A site whose bills all went out is not read again; what was issued shows what it was issued with."""
    for site, contracts in wanted.items():
        gone = {contract.pk: invoice for contract in contracts if (invoice := standing(contract, month).issued)}
        due = [contract for contract in contracts if contract.pk not in gone]
        if not due:
            yield from (_kept(contract, gone[contract.pk]) for contract in contracts)
            continue
        with month_ledger(site, month, due) as ledger:
            for contract in contracts:
                invoice = gone.get(contract.pk)
                yield _kept(contract, invoice) if invoice else one(ledger, contract)


def _computed(contract: Contract, usage: Usage, outcome: str, invoice: Invoice | None = None) -> Bill:
    lines = tuple(lines_of(usage))
    terms = terms_for_all(usage) if usage.parts else None
    net = net_of(lines)
    return Bill(
        contract=contract,
        outcome=outcome,
        lines=lines,
        sums=add_up(usage.days),
        currency=terms.currency if terms else "USD",
        net=net,
        tax=to_cents(net * terms.tax_pct / 100) if terms else Decimal("0.00"),
        holds=holds(usage),
        invoice=invoice,
    )


def _kept(contract: Contract, invoice: Invoice) -> Bill:
    """A bill that went out: its own figures, not those that would be computed today."""
    usage = snapshots.frozen_usage(invoice.snapshot) if invoice.snapshot else None
    return Bill(
        contract=contract,
        outcome=ALREADY,
        lines=(),
        sums=add_up(usage.days if usage else ()),
        currency=invoice.currency,
        net=invoice.net,
        tax=invoice.tax,
        holds=(),
        invoice=invoice,
    )


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a contract's month stands: its invoice or draft, and the number of the correction that is next or drafted."""

    issued: Invoice | None
    draft: BilledMonth | None
    correction: int


def standing(contract: Contract, month: date) -> Standing:
    last = contract.billed_months.filter(month=month).select_related("invoice").order_by("-correction").first()
    if last is None:
        return Standing(None, None, 0)
    if last.invoice.status == InvoiceStatus.DRAFT:
        return Standing(None, last, last.correction)
    if snapshots.is_reversed(last.invoice):
        return Standing(None, None, last.correction + 1)
    return Standing(last.invoice, None, last.correction)


def _previewed(ledger: MonthLedger, contract: Contract) -> Bill:
    month = ledger.span.first
    now = standing(contract, month)
    if now.issued:
        return _kept(contract, now.issued)
    usage = ledger.usage(contract, first_invoice=snapshots.is_first_invoice(contract, month))
    return _computed(contract, usage, PREVIEW, now.draft.invoice if now.draft else None)


@transaction.atomic
def _issued(ledger: MonthLedger, contract: Contract, *, by: User | None) -> Bill:
    """One contract's month, while nobody else works on it."""
    Contract.objects.select_for_update(of=("self",)).get(pk=contract.pk)
    month = ledger.span.first
    now = standing(contract, month)
    if now.issued:
        return _kept(contract, now.issued)
    usage = ledger.usage(contract, first_invoice=snapshots.is_first_invoice(contract, month))
    bill = _computed(contract, usage, HELD)
    if not usage.parts:
        return bill
    snapshot = snapshots.store(ledger, contract, usage, correction=now.correction)
    draft = _draft(bill, snapshot, terms_for_all(usage), now, by=by)
    bill = replace(bill, net=draft.net, tax=draft.tax)  # with what somebody added
    if draft.held_for:
        return replace(bill, invoice=draft)
    try:
        return replace(bill, outcome=ISSUED, invoice=issue_invoice(draft, by=by))
    except InvoiceRefused as refused:  # somebody edited the draft: that must not stop the other contracts
        return replace(bill, holds=(*bill.holds, str(refused)), invoice=draft)


def _draft(bill: Bill, snapshot: UsageSnapshot, terms: Terms, now: Standing, *, by: User | None) -> Invoice:
    """The draft of this snapshot: the one that is there, or a new one in the place of one that the ledger has overtaken."""
    lines = [_draft_line(line) for line in bill.lines]
    if now.draft:
        if now.draft.invoice.snapshot_id == snapshot.pk:
            return now.draft.invoice
        lines += [_draft_line(line) for line in now.draft.invoice.lines.filter(detail=BY_HAND).order_by("position")]
        delete_draft(now.draft.invoice, by=by)
    contract = bill.contract
    draft = draft_invoice(
        client=contract.client,
        lines=lines,
        currency=bill.currency,
        tax_pct=terms.tax_pct,
        due_days=terms.due_days,
        period_start=snapshot.month,
        period_end=month_after(snapshot.month),
        contract_version=contract.versions.get(pk=terms.version_id),
        snapshot=snapshot,
        held_for="; ".join(bill.holds) or None,
        by=by,
    )
    BilledMonth.objects.create(contract=contract, month=snapshot.month, correction=now.correction, invoice=draft)
    return draft


def _draft_line(line: Line | InvoiceLine) -> DraftLine:
    return DraftLine(
        LineKind(line.kind), line.description, line.quantity, line.unit, line.unit_price, line.amount, line.detail
    )
