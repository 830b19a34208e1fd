"""The frozen values that a month is billed from, and the one text of them that is hashed. Pure."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

# Other rules of computing get another name, and the old ones stay: what was issued by them is verified by them.
BY_DAYS = "billing/1"  # a machine's flat price is owed for every day of which it was the customer's for an hour
RULES = "billing/2"  # for every hour


@dataclass(frozen=True, slots=True)
class Day:
    """One machine on one local day. None is unknown, never zero; `revenue` and `energy_cost` are sums of rounded hours."""

    miner_id: int
    serial_number: str
    day: date
    period_s: int
    kwh: Decimal | None
    source: str
    gap_s: int
    hashing_s: int
    excused_s: int
    th_hours: Decimal | None
    nameplate_w: Decimal | None
    energy_cost: Decimal | None
    revenue: Decimal | None

    def text(self) -> str:
        """All of it, a column after the other, in the scale of the database."""
        return "\t".join("" if value is None else str(value) for value in self.values())

    def values(self) -> tuple[Any, ...]:
        return (
            *(
                self.miner_id,
                self.serial_number,
                self.day,
                self.period_s,
                self.kwh,
                self.source,
                self.gap_s,
                self.hashing_s,
            ),
            *(self.excused_s, self.th_hours, self.nameplate_w, self.energy_cost, self.revenue),
        )


@dataclass(frozen=True, slots=True)
class Terms:
    """A contract's version, as it is written into the snapshot."""

    version_id: int
    valid_from: date
    currency: str
    pricing: str
    rate_per_kwh: Decimal | None = None
    flat_per_miner: Decimal | None = None
    revenue_share_pct: Decimal | None = None
    rated_power_uplift_pct: Decimal = Decimal(0)
    minimum_kw: Decimal | None = None
    minimum_per_month: Decimal | None = None
    deposit: Decimal | None = None
    setup_fee: Decimal | None = None
    uptime_guarantee_pct: Decimal | None = None
    sla_credit_cap_pct: Decimal = Decimal(100)
    curtailment_excused: bool = True
    curtailment_share_pct: Decimal = Decimal(0)
    tax_pct: Decimal = Decimal(0)
    due_days: int = 14


@dataclass(frozen=True, slots=True)
class Saving:
    """What curtailing the customer's machines saved, in one currency."""

    currency: str
    saved: Decimal
    kwh_avoided: Decimal
    stretches: int


@dataclass(frozen=True, slots=True)
class Part:
    """Local days [first, after) of the month in which one version of the terms held."""

    terms: Terms
    first: date
    after: date
    seconds: int
    savings: tuple[Saving, ...] = ()
    mean_price: Decimal | None = None  # of electricity, each hour counting the same; None: some hour has none
    price_currency: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """Everything that one contract's month is computed from."""

    month: date
    month_days: int
    parts: tuple[Part, ...]
    first_invoice: bool
    hours: int  # of the site in the days of the contract
    hours_missing: int  # that nobody computed yet
    machine_hours_missing: int  # that the customer's sums have and its machines' rows have not, or the other way round
    days: tuple[Day, ...]
    rules: str = RULES

    def of(self, part: Part) -> tuple[Day, ...]:
        return tuple(day for day in self.days if part.first <= day.day < part.after)


def plain(value: object) -> Any:
    """The value as JSON has it: decimals and dates as text, so that nothing is rounded on the way."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, Decimal | date):
        return str(value)
    return value


def inputs_of(usage: Usage, about: Mapping[str, Any]) -> dict[str, Any]:
    """What a snapshot stores besides its days; `about` says whose contract it is."""
    return {
        "rules": usage.rules,
        **plain(about),
        "month": str(usage.month),
        "month_days": usage.month_days,
        "first_invoice": usage.first_invoice,
        "hours": usage.hours,
        "hours_missing": usage.hours_missing,
        "machine_hours_missing": usage.machine_hours_missing,
        "parts": [
            {
                "first": str(part.first),
                "after": str(part.after),
                "seconds": part.seconds,
                "mean_price": plain(part.mean_price),
                "price_currency": part.price_currency,
                "savings": [plain({name: getattr(one, name) for name in Saving.__slots__}) for one in part.savings],
                "terms": plain({name: getattr(part.terms, name) for name in Terms.__slots__}),
            }
            for part in usage.parts
        ],
    }


def usage_from(inputs: Mapping[str, Any], days: Iterable[Day]) -> Usage:
    """The inverse of `inputs_of`; raises ValueError for rules that this version does not know."""
    if inputs.get("rules") not in {BY_DAYS, RULES}:
        raise ValueError(f"This snapshot was computed by the rules {inputs.get('rules')!r}, not {BY_DAYS} or {RULES}.")
    return Usage(
        month=date.fromisoformat(inputs["month"]),
        month_days=inputs["month_days"],
        parts=tuple(_part(part) for part in inputs["parts"]),
        first_invoice=inputs["first_invoice"],
        hours=inputs["hours"],
        hours_missing=inputs["hours_missing"],
        machine_hours_missing=inputs["machine_hours_missing"],
        days=tuple(days),
        rules=inputs["rules"],
    )


def _part(part: Mapping[str, Any]) -> Part:
    return Part(
        terms=_terms(part["terms"]),
        first=date.fromisoformat(part["first"]),
        after=date.fromisoformat(part["after"]),
        seconds=part["seconds"],
        mean_price=_decimal(part["mean_price"]),
        price_currency=part["price_currency"],
        savings=tuple(
            Saving(one["currency"], Decimal(one["saved"]), Decimal(one["kwh_avoided"]), one["stretches"])
            for one in part["savings"]
        ),
    )


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


AS_THEY_ARE = {"version_id", "currency", "pricing", "curtailment_excused", "due_days"}


def _terms(values: Mapping[str, Any]) -> Terms:
    read: dict[str, Any] = {
        name: value if name in AS_THEY_ARE else _decimal(value)
        for name, value in values.items()
        if name != "valid_from"
    }
    return Terms(valid_from=date.fromisoformat(values["valid_from"]), **read)


def ordered(days: Iterable[Day]) -> list[Day]:
    """As they are hashed: not by the database's collation, which may change with its version."""
    return sorted(days, key=lambda one: (one.serial_number, one.miner_id, one.day))


def content_hash(inputs: Mapping[str, Any], days: Iterable[Day]) -> str:
    """SHA-256 of the inputs and of the days in their order."""
    digest = hashlib.sha256(json.dumps(inputs, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())
    for day in ordered(days):
        digest.update(b"\n")
        digest.update(day.text().encode())
    return digest.hexdigest()
