"""All that an issued invoice says, in one canonical form: what its hash is taken of."""

import hashlib
import json
from datetime import date
from decimal import Decimal
from typing import Any

from crm.models import Invoice

FIELDS = (
    "kind",
    "client_id",
    "deal_id",
    "contract_version_id",
    "snapshot_id",
    "reverses_id",
    "invoice_number",
    "currency",
    "amount",
    "net",
    "tax",
    "tax_pct",
    "period_start",
    "period_end",
    "issue_date",
    "due_date",
    "due_days",
    "bill_to",
    "seller",
    "notes",
)
LINE_FIELDS = ("position", "kind", "description", "quantity", "unit", "unit_price", "amount", "detail")
PLACES = {"tax_pct": 3, "quantity": 3, "unit_price": 6}


def content(invoice: Invoice) -> dict[str, Any]:
    """The invoice and its lines as plain JSON values; decimals are text with the places of their columns."""
    said = {name: _plain(name, getattr(invoice, name)) for name in FIELDS}
    said["lines"] = [
        {name: _plain(name, getattr(line, name)) for name in LINE_FIELDS} for line in invoice.lines.order_by("position")
    ]
    return said


def content_hash(invoice: Invoice) -> str:
    """SHA-256 of the content; the same for the same content, whenever it is computed."""
    text = json.dumps(content(invoice), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, Decimal | int) and not isinstance(value, bool) and name in {"amount", "net", "tax", *PLACES}:
        return f"{Decimal(value):.{PLACES.get(name, 2)}f}"
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if name == "client_id" else value
