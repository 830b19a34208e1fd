"""Drafts that a person issues: those of a billing run go out only while they say what their month comes to now."""

from django.db import transaction
from django.utils import timezone

from accounts.models import User
from crm.billing import snapshots
from crm.billing.ledger import month_ledger
from crm.billing.usage import content_hash, inputs_of
from crm.invoice_files import keep_pdf
from crm.invoicing import InvoiceRefused, issue_invoice
from crm.models import BilledMonth, Contract, Invoice
from crm.states import InvoiceStatus


class NotHeld(Exception):
    """There is no draft of a billing run to be let out; nothing was changed."""


@transaction.atomic
def issue_draft(invoice: Invoice, *, by: User | None) -> Invoice:
    """Issue a draft, written by a run or by hand. Raises what `issue_invoice` raises, and InvoiceRefused for one overtaken."""
    if billed := _of_a_run(invoice):
        _refuse_overtaken(billed)
    return issue_invoice(invoice, by=by)


def issue_held(invoice: Invoice, *, reason: str, by: User) -> Invoice:
    """Let out a draft that a run held back, and say why. Raises NotHeld, and InvoiceRefused for one overtaken."""
    reason = reason.strip()
    if not reason:
        raise NotHeld("Say why it goes out though it was held back.")
    with transaction.atomic():
        billed = _of_a_run(invoice)
        if billed is None:
            raise NotHeld("This is no draft of a billing run: it was issued, or made by hand.")
        _refuse_overtaken(billed)
        BilledMonth.objects.filter(pk=billed.pk).update(
            override_reason=reason, overridden_by=by, overridden_at=timezone.now()
        )
        Invoice.objects.filter(pk=invoice.pk, status=InvoiceStatus.DRAFT).update(held_for=None)
        issued = issue_invoice(invoice, by=by)
    return keep_pdf(issued)


def _of_a_run(invoice: Invoice) -> BilledMonth | None:
    """The month that the draft bills, with its contract locked as a run locks it."""
    drafts = BilledMonth.objects.filter(invoice=invoice, invoice__status=InvoiceStatus.DRAFT)
    for contract in Contract.objects.select_for_update(of=("self",)).filter(pk__in=drafts.values("contract")):
        return drafts.select_related("invoice__snapshot").filter(contract=contract).first()
    return None


def _refuse_overtaken(billed: BilledMonth) -> None:
    """Raises InvoiceRefused when ledger, terms or other invoices make other figures of the month than the draft's.

    Whoever lets it out has seen the present ones; and a deposit that another month took by now must not be asked for twice.
    """
    contract = Contract.objects.select_related("client", "site").prefetch_related("versions").get(pk=billed.contract_id)
    with month_ledger(contract.site, billed.month, [contract]) as ledger:
        usage = ledger.usage(contract, first_invoice=snapshots.is_first_invoice(contract, billed.month))
    if not usage.parts:
        raise InvoiceRefused(f"{contract.number} holds no terms in {billed.month:%Y-%m} any more: delete this draft.")
    now = content_hash(inputs_of(usage, snapshots.about(contract, billed.correction)), usage.days)
    if billed.invoice.snapshot is None or billed.invoice.snapshot.content_hash != now:
        raise InvoiceRefused(
            f"{contract.number} has other figures for {billed.month:%Y-%m} now than when this draft was written: run"
            f" issue_invoices --month {billed.month:%Y-%m} again (or Issue on the page of billing), then look at the new draft."
        )
