"""What the fleet page looks for and in which order, as its address says it."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import Case, Count, DecimalField, Exists, Expression, F, OuterRef, Q, QuerySet, When
from django.db.models.functions import Cast

from hosting.alerts.kinds import STANDING
from hosting.models import Alert, Miner
from hosting.states import MinerStatus
from hosting.summary import FRESH_FOR

LONGEST = 100
# Where the text is looked for, beside the address, of which it may be the beginning.
SEARCHED = ("serial_number", "latest__pool_worker", "identity__mac")


@dataclass(frozen=True, slots=True)
class FleetQuery:
    """Each field as in the address, "" when it is not asked for; a minus before `sort` turns the order round."""

    q: str = ""
    site: str = ""
    client: str = ""
    model: str = ""
    make: str = ""
    rack: str = ""
    status: str = ""
    alert: str = ""
    sort: str = ""

    @classmethod
    def parse(cls, asked: Mapping[str, str]) -> "FleetQuery":
        """What the page knows of the parameters; the others are dropped."""
        known = {name: asked.get(name, "").replace("\x00", "").strip()[:LONGEST] for name in cls.__slots__}
        if known["sort"].removeprefix("-") not in SORTS:
            known["sort"] = ""
        return cls(**known)

    def encode(self, **changes: str) -> str:
        """The address's part after the question mark."""
        return urlencode({name: value for name, value in asdict(replace(self, **changes)).items() if value})

    def narrow(self, miners: "QuerySet[Miner]") -> "QuerySet[Miner]":
        """Machines that fit; what makes no sense fits none."""
        if self.status:
            miners = miners.filter(status=self.status) if self.status in MinerStatus.values else miners.none()
        return self.narrow_but_status(miners)

    def narrow_but_status(self, miners: "QuerySet[Miner]") -> "QuerySet[Miner]":
        if self.q:
            fits = Q(cgminer_ip__startswith=self.q)
            for column in SEARCHED:
                fits |= Q(**{f"{column}__icontains": self.q})
            miners = miners.filter(fits)
        for name in ("site", "model", "rack"):
            if value := getattr(self, name):
                column = "miner_model" if name == "model" else name
                miners = miners.filter(**{column: int(value)}) if is_id(value) else miners.none()
        if self.client:
            owner = Q(client__isnull=True) if self.client == "none" else Q(client=self.client)
            miners = miners.filter(owner) if is_client(self.client) else miners.none()
        if self.make:
            miners = miners.filter(miner_model__manufacturer=self.make)
        return self._with_alert(miners) if self.alert else miners

    def _with_alert(self, miners: "QuerySet[Miner]") -> "QuerySet[Miner]":
        """`any`: those with a standing alert; a number: those below that alert of a whole site, or the one of the alert."""
        if self.alert == "any":
            return miners.filter(Exists(standing_alerts()))
        if not is_id(self.alert):
            return miners.none()
        below = Alert.objects.filter(Q(pk=int(self.alert)) | Q(suppressed_by=int(self.alert)), miner=OuterRef("pk"))
        return miners.filter(Exists(below))


def is_id(value: str) -> bool:
    return value.isascii() and value.isdecimal() and len(value) < 10


def is_client(value: str) -> bool:
    try:
        return value == "none" or bool(UUID(value))
    except ValueError:
        return False


def standing_alerts() -> "QuerySet[Alert]":
    return Alert.objects.filter(miner=OuterRef("pk"), state__in=STANDING)


def status_counts(miners: "QuerySet[Miner]") -> dict[str, int]:
    """Machines of each status, and under `alert` those with a standing alert, in one query."""
    found: dict[str, int] = miners.aggregate(
        **{status.value: Count("pk", filter=Q(status=status)) for status in MinerStatus},
        alert=Count("pk", filter=Exists(standing_alerts())),
    )
    return found


# --- order, and pages by key ---------------------------------------------------------------------------------------------

_RATIO = Cast(F("latest__power_w") / F("latest__hashrate_ths"), DecimalField(max_digits=14, decimal_places=4))
SORTS: dict[str, Any] = {
    "serial": F("serial_number"),
    "hashrate": F("latest__hashrate_ths"),
    "efficiency": Case(When(latest__hashrate_ths__gt=0, then=_RATIO)),
    "temperature": F("latest__temperature_c"),
    "seen": F("latest__seen_at"),
}
UNKNOWN = Q(key__isnull=True)
ALWAYS = ("serial", "seen")  # the others are of the present only while the reading is fresh


def in_order(miners: "QuerySet[Miner]", sort: str, now: datetime) -> "QuerySet[Miner]":
    """Annotated with `key`; what is unknown comes last either way."""
    name, down = sort.removeprefix("-") or "serial", sort.startswith("-")
    key: Expression | F = SORTS[name]
    if name not in ALWAYS:
        key = Case(When(latest__seen_at__gt=now - FRESH_FOR, then=key))
    order = F("key").desc(nulls_last=True) if down else F("key").asc(nulls_last=True)
    return miners.annotate(key=key).order_by(order, "pk")


def after(miners: "QuerySet[Miner]", sort: str, cursor: str) -> "QuerySet[Miner]":
    """Of machines that are `in_order`, those behind the cursor; all of them for a cursor that is not one of ours."""
    key = read_cursor(cursor, sort.removeprefix("-") or "serial")
    if key is None:
        return miners
    value, pk = key
    if value is None:
        return miners.filter(UNKNOWN, pk__gt=pk)
    beyond = "key__lt" if sort.startswith("-") else "key__gt"
    return miners.filter(Q(**{beyond: value}) | Q(key=value, pk__gt=pk) | UNKNOWN)


def cursor_of(miner: Miner) -> str:
    value = miner.key  # type: ignore[attr-defined]  # annotated by in_order
    text = None if value is None else value.isoformat() if isinstance(value, datetime) else str(value)
    return urlsafe_b64encode(json.dumps([text, miner.pk]).encode()).decode().rstrip("=")


def read_cursor(cursor: str, name: str) -> tuple[Any, int] | None:
    """The key and id of a cursor; None for what is none."""
    try:
        text, pk = json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not isinstance(pk, int) or not 0 <= pk < 2**31 or not isinstance(text, str | None):
            return None
        if text is None or name == "serial":
            return (text and text.replace("\x00", "")), pk
        if name == "seen":
            return datetime.fromisoformat(text), pk
        value = Decimal(text)
        return (value, pk) if value.is_finite() and abs(value) < 10**9 else None
    except (ValueError, TypeError, InvalidOperation, RecursionError):
        return None
