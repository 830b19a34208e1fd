"""The fingerprint of a settlement: whoever holds the hash can tell whether a digit has changed since."""

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import models

from curtailment.models import Settlement, SettlementClient, SettlementInterval, SettlementMiner

SAID_ELSEWHERE = {"id", "settlement", "content_hash", "created_at", "pk"}


def content_hash(
    settlement: Settlement,
    clients: Sequence[SettlementClient],
    miners: Sequence[SettlementMiner],
    steps: Sequence[SettlementInterval],
) -> str:
    """SHA-256 of everything that was settled, however the rows are read back."""
    document = {
        "settlement": _plain(settlement),
        "clients": sorted(json.dumps(_plain(row), sort_keys=True) for row in clients),
        "miners": sorted(json.dumps(_plain(row), sort_keys=True) for row in miners),
        "intervals": sorted(json.dumps(_plain(row), sort_keys=True) for row in steps),
    }
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def verify(settlement: Settlement) -> bool:
    """Whether the rows are those that were written."""
    rows = settlement.clients.all(), settlement.miners.all(), settlement.intervals.all()
    return content_hash(settlement, *(list(part) for part in rows)) == settlement.content_hash  # type: ignore[arg-type]


def _plain(row: models.Model) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in row._meta.concrete_fields:  # noqa: SLF001  Django's way to the fields
        if field.name in SAID_ELSEWHERE:
            continue
        value = getattr(row, field.attname)
        if isinstance(value, Decimal):
            value = str(value.quantize(Decimal(1).scaleb(-field.decimal_places)))
        elif isinstance(value, datetime):
            value = round(value.timestamp() * 1_000_000)
        elif value is not None and not isinstance(value, int | str | dict):
            value = str(value)
        found[field.name] = value
    return found
