"""What comes of a run: a bill for each contract, and all of them together."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from crm.billing.lines import Line, Sums
from crm.models import Contract, Invoice
from crm.states import InvoiceStatus

ISSUED, HELD, ALREADY, PREVIEW = "issued", "held", "already issued", "preview"


@dataclass(frozen=True, slots=True)
class Bill:
    """One contract's month in a run."""

    contract: Contract
    outcome: str
    lines: tuple[Line, ...]
    sums: Sums
    currency: str
    net: Decimal
    tax: Decimal
    holds: tuple[str, ...]
    invoice: Invoice | None = None

    @property
    def amount(self) -> Decimal:
        return self.net + self.tax

    def row(self) -> dict[str, Any]:
        """For JSON and pages; decimals as text."""
        return {
            "contract": self.contract.number,
            "contract_id": self.contract.pk,
            "client": self.contract.client.name or self.contract.client.email,
            "site": self.contract.site.name,
            "outcome": self.outcome,
            "machines": self.sums.machines,
            "kwh": str(self.sums.kwh),
            "coverage_pct": None if self.sums.coverage_pct is None else str(self.sums.coverage_pct),
            "currency": self.currency,
            "net": str(self.net),
            "tax": str(self.tax),
            "amount": str(self.amount),
            "held_for": list(self.holds),
            "invoice_id": self.invoice.pk if self.invoice else None,
            "invoice": self.invoice.invoice_number
            if self.invoice and self.invoice.status != InvoiceStatus.DRAFT
            else None,
        }


@dataclass(slots=True)
class RunPreview:
    """A run's bills in the order of sites and contracts; `dry_run` says that nothing was written."""

    month: date
    dry_run: bool
    bills: list[Bill] = field(default_factory=list)

    def with_outcome(self, outcome: str) -> list[Bill]:
        return [bill for bill in self.bills if bill.outcome == outcome]

    @property
    def held(self) -> list[Bill]:
        return [bill for bill in self.bills if bill.holds and bill.outcome != ISSUED]

    def totals(self) -> dict[str, Decimal]:
        """Sums by currency of all bills of the run."""
        sums: dict[str, Decimal] = defaultdict(Decimal)
        for bill in self.bills:
            sums[bill.currency] += bill.amount
        return dict(sums)
