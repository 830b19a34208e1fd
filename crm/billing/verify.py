"""An invoice computed again from its evidence, and compared with what was issued."""

import hashlib
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.conf import settings

from crm.billing import snapshots
from crm.billing.lines import lines_of, terms_for_all
from crm.billing.months import month_after
from crm.billing.usage import Usage, content_hash as usage_hash, usage_from
from crm.invoice_content import content_hash
from crm.invoicing import to_cents
from crm.models import Invoice, InvoiceLine, UsageSnapshot
from crm.models.invoices import BY_HAND
from crm.states import InvoiceKind, InvoiceStatus

COMPARED = ("kind", "description", "quantity", "unit", "unit_price", "amount", "detail")


def verify(invoice: Invoice) -> list[str]:
    """What differs, a sentence each; empty when all of it is as it was issued. Reads only."""
    lines = list(invoice.lines.order_by("position"))
    found = [*_totals(invoice, lines), *_lines_alone(lines)]
    if invoice.snapshot and invoice.kind == InvoiceKind.INVOICE:
        found += _evidence(invoice, invoice.snapshot, lines)
    if invoice.status != InvoiceStatus.DRAFT:
        if content_hash(invoice) != invoice.content_hash:
            found.append("the invoice or a line of it is not what was issued: its hash differs")
        found += _pdf(invoice)
    return found


def _totals(invoice: Invoice, lines: list[InvoiceLine]) -> Iterator[str]:
    net = sum((line.amount for line in lines), Decimal(0))
    if net != invoice.net:
        yield f"the lines come to {net}, the invoice says {invoice.net}"
    if invoice.net + invoice.tax != invoice.amount:
        yield f"net {invoice.net} and tax {invoice.tax} are not the total {invoice.amount}"
    if invoice.kind == InvoiceKind.INVOICE and invoice.tax != to_cents(invoice.net * invoice.tax_pct / 100):
        yield f"{invoice.tax_pct} % of {invoice.net} is not the tax {invoice.tax}"


def _lines_alone(lines: list[InvoiceLine]) -> Iterator[str]:
    for line in lines:
        if line.amount != to_cents(line.quantity * line.unit_price):
            yield f"line {line.position}: {line.quantity} x {line.unit_price} is not {line.amount}"


def _evidence(invoice: Invoice, snapshot: UsageSnapshot, lines: list[InvoiceLine]) -> Iterator[str]:
    days = snapshots.days_of(snapshot)
    if usage_hash(snapshot.inputs, days) != snapshot.content_hash:
        yield f"the usage of {snapshot.month:%Y-%m} is not what was frozen: its hash differs"
    if snapshot.client_id != invoice.client_id:
        yield "the usage is another customer's"
    if (invoice.period_start, invoice.period_end) != (snapshot.month, month_after(snapshot.month)):
        yield f"the period is not {snapshot.month:%Y-%m}"
    try:
        usage = usage_from(snapshot.inputs, days)
    except (ValueError, KeyError, TypeError, ArithmeticError) as error:
        yield f"the usage cannot be read: {error}"
        return
    yield from _recomputed(invoice, usage, lines)


def _recomputed(invoice: Invoice, usage: Usage, lines: list[InvoiceLine]) -> Iterator[str]:
    expected = lines_of(usage)
    lines = [line for line in lines if line.detail != BY_HAND]
    if len(expected) != len(lines):
        yield f"the invoice has {len(lines)} lines, the usage gives {len(expected)}"
    for line, right in zip(lines, expected, strict=False):
        for name in COMPARED:
            there, due = getattr(line, name), getattr(right, name)
            if there != due:
                yield f"line {line.position}: {name} is {_short(there)}, the usage gives {_short(due)}"
    terms = terms_for_all(usage)
    for name, there, due in (
        ("contract version", invoice.contract_version_id, terms.version_id),
        ("currency", invoice.currency, terms.currency),
        ("tax", invoice.tax_pct, terms.tax_pct),
        ("days to pay", invoice.due_days, terms.due_days),
    ):
        if there != due:
            yield f"the {name} is {there}, the usage gives {due}"


def _short(value: Any) -> str:
    return str(value)[:80]


def _pdf(invoice: Invoice) -> Iterator[str]:
    if not invoice.pdf_sha256 or not invoice.pdf_path:
        yield "the PDF was not made yet: open it in the Admin once, or run its month again"
        return
    file = Path(settings.INVOICE_DIR) / invoice.pdf_path
    try:
        stored = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        yield f"the PDF cannot be read: {error.strerror}"
        return
    if stored != invoice.pdf_sha256:
        yield "the PDF is not what was stored: its hash differs"
