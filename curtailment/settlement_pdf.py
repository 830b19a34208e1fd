"""A settlement on paper: staff get the whole plan, a customer their own machines. Pure: one statement, the same bytes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from reportlab.lib.units import mm
from reportlab.platypus import Spacer

from minefarm.lib.pdf import CONTENT_WIDTH, build, para, table

UNKNOWN = "–"
LEFT = CONTENT_WIDTH * 0.32


@dataclass(frozen=True, slots=True)
class Total:
    """What machines of one customer came to in one currency."""

    client: str
    machines: int
    minutes: Decimal
    kwh_avoided: Decimal | None
    saved: Decimal | None
    currency: str
    unpriced_kwh: Decimal
    forgone_usd: Decimal | None
    coverage: Decimal

    @property
    def percent(self) -> Decimal:
        return self.coverage * 100


@dataclass(frozen=True, slots=True)
class MachineLine:
    """One machine's time off."""

    serial_number: str
    client: str
    off_from: datetime
    off_until: datetime
    baseline_w: Decimal
    kwh_avoided: Decimal | None
    saved: Decimal | None
    currency: str
    unpriced_kwh: Decimal
    forgone_usd: Decimal | None
    coverage: Decimal

    @property
    def percent(self) -> Decimal:
        return self.coverage * 100


@dataclass(frozen=True, slots=True)
class Step:
    """Five minutes of the whole plan."""

    starts_at: datetime
    requested_kw: Decimal
    delivered_kw: Decimal | None
    coverage: Decimal


@dataclass(frozen=True, slots=True)
class Statement:
    """A settlement as one reader sees it. `whole` is None for a customer: figures of the whole plan are the farm's."""

    plan_id: int
    site: str
    reason: str
    starts_at: datetime
    ends_at: datetime
    settled_at: datetime
    method: str
    totals: Sequence[Total]
    machines: Sequence[MachineLine]
    steps: Sequence[Step] = ()
    whole: Mapping[str, Any] | None = None

    @property
    def saved(self) -> dict[str, Decimal]:
        """Money of the whole plan by currency."""
        return {currency: Decimal(amount) for currency, amount in (self.whole or {}).get("saved", {}).items()}

    @property
    def coverage_percent(self) -> Decimal | None:
        return self.whole["coverage"] * 100 if self.whole else None


def render(statement: Statement) -> bytes:
    """The PDF's bytes."""
    title = f"Curtailment statement, plan {statement.plan_id}"
    story: list[Any] = [
        para("Curtailment statement", "title"),
        Spacer(1, 3 * mm),
        _facts(statement),
        Spacer(1, 6 * mm),
        para("What was saved", "heading"),
        Spacer(1, 1.5 * mm),
        _totals(statement),
        Spacer(1, 6 * mm),
    ]
    if statement.steps:
        story += [para("Requested and delivered", "heading"), Spacer(1, 1.5 * mm), _steps(statement.steps)]
        story.append(Spacer(1, 6 * mm))
    story += [para("Machines", "heading"), Spacer(1, 1.5 * mm), _machines(statement)]
    story += [Spacer(1, 5 * mm), para(statement.method, "small")]
    return build(story, title=title, footer=f"MineFarm · plan {statement.plan_id} · times in UTC")


def figure(value: Decimal | float | None, decimals: int = 2) -> str:
    return UNKNOWN if value is None else f"{value:,.{decimals}f}"


def moment(value: datetime) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S}"


def _facts(statement: Statement) -> Any:
    rows = [
        ("Plan", str(statement.plan_id)),
        ("Site", statement.site),
        ("Why", statement.reason),
        ("From", f"{moment(statement.starts_at)} UTC"),
        ("Until", f"{moment(statement.ends_at)} UTC"),
        ("Settled", f"{moment(statement.settled_at)} UTC"),
    ]
    if whole := statement.whole:
        rows += [
            ("Requested", f"{figure(whole['requested_kw'], 3)} kW"),
            ("Delivered, mean", f"{figure(whole['delivered_kw'], 3)} kW"),
            ("Seconds to 50, 95, 100 %", " / ".join(str(UNKNOWN if s is None else s) for s in whole["seconds_to"])),
            (
                "Machines",
                f"{whole['machines']}: {whole['confirmed']} off, {whole['drifted']} came back, {whole['failed']} failed",
            ),
            ("SHA-256", whole["content_hash"]),
        ]
    return table(("", ""), [(para(name, "bold"), text) for name, text in rows], (LEFT, CONTENT_WIDTH - LEFT))


def _totals(statement: Statement) -> Any:
    head = ("Customer", "Machines", "Minutes off", "kWh avoided", "Saved", "Forgone, USD", "Measured")
    widths = [CONTENT_WIDTH * share for share in (0.24, 0.1, 0.13, 0.14, 0.15, 0.13, 0.11)]
    rows = [
        (
            one.client,
            one.machines,
            figure(one.minutes, 0),
            figure(one.kwh_avoided, 3),
            f"{figure(one.saved)} {one.currency}",
            figure(one.forgone_usd),
            f"{one.coverage:.1%}",
        )
        for one in statement.totals
    ]
    return table(head, rows, widths, right=(1, 2, 3, 4, 5, 6))


def _steps(steps: Sequence[Step]) -> Any:
    head = ("From (UTC)", "Requested, kW", "Delivered, kW", "Measured")
    rows = [
        (moment(one.starts_at), figure(one.requested_kw, 3), figure(one.delivered_kw, 3), f"{one.coverage:.1%}")
        for one in steps
    ]
    return table(head, rows, [CONTENT_WIDTH / 4] * 4, right=(1, 2, 3))


def _machines(statement: Statement) -> Any:
    head = ("Machine", "Off from (UTC)", "Until (UTC)", "Baseline, W", "kWh avoided", "Saved", "Measured")
    widths = [CONTENT_WIDTH * share for share in (0.22, 0.18, 0.18, 0.1, 0.11, 0.12, 0.09)]
    rows = [
        (
            one.serial_number if not statement.whole else f"{one.serial_number}\n{one.client}",
            moment(one.off_from),
            moment(one.off_until),
            figure(one.baseline_w, 0),
            figure(one.kwh_avoided, 3),
            f"{figure(one.saved, 3)} {one.currency}",
            f"{one.coverage:.1%}",
        )
        for one in statement.machines
    ]
    return table(head, rows, widths, right=(3, 4, 5, 6))
