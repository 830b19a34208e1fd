from typing import Any

from django.core.management.base import CommandError, CommandParser

from crm.billing.verify import verify
from crm.models import Invoice
from crm.states import InvoiceStatus
from minefarm.lib.command import FarmCommand, progress


class Command(FarmCommand):
    help = (
        "Compute an invoice again from its frozen usage and compare usage, lines, totals, hash and PDF with what was issued."
        " Reads only; exits 1 when anything differs, and says what."
    )
    example = "verify_invoice INV-2026-00017"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("number", nargs="?", help="the invoice's or credit note's number")
        parser.add_argument("--all", action="store_true", help="everything that was ever issued")

    def handle(self, *, number: str | None, json: bool, **options: Any) -> None:
        if (number is None) is not options["all"]:
            raise CommandError("Give one number, or --all.", returncode=2)
        issued = Invoice.objects.exclude(status=InvoiceStatus.DRAFT).select_related("snapshot")
        if number is not None:
            issued = issued.filter(invoice_number__iexact=number.strip())
            if not issued.exists():
                raise CommandError(f"No invoice {number} was issued: the Admin lists them, under Invoices.")
        wrong: dict[str, list[str]] = {}
        checked = 0
        with progress(show=not json) as bar:
            for invoice in bar.track(issued.order_by("id").iterator(), total=issued.count(), description="verifying"):
                checked += 1
                if differences := verify(invoice):
                    wrong[invoice.invoice_number] = differences
        lines = [f"{name}: {text}" for name, texts in wrong.items() for text in texts]
        summary = f"{checked} verified, {len(wrong)} differ" if wrong else f"{checked} verified, all as issued"
        self.emit({"checked": checked, "differ": wrong}, "\n".join([*lines, summary]), as_json=json)
        if wrong:
            raise SystemExit(1)
