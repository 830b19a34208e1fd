"""An invoice on paper. Values in, bytes out: no queries, no settings, no files, and the same bytes for the same values."""

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from reportlab.lib.units import mm
from reportlab.platypus import Flowable, KeepTogether, Spacer, Table

from crm.invoice_document import Printed
from minefarm.lib.pdf import CONTENT_WIDTH, GREEN, bars, build, emblem, para, picture, table

FLAT = [
    ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ("LEFTPADDING", (0, 0), (-1, -1), 0),
    ("RIGHTPADDING", (0, 0), (-1, -1), 0),
    ("TOPPADDING", (0, 0), (-1, -1), 1),
    ("BOTTOMPADDING", (0, 0), (-1, -1), 1),
]
LOGO, APART = 13 * mm, 8 * mm
MOST_LINES, LONGEST = 8, (300, 120, 60, 25)  # letters of a line; fewer where the block would be too tall
TALLEST = 420.0  # points of a block of names and addresses; one that is taller than the page cannot be printed at all
WIDTHS = (0.49, 0.19, 0.15, 0.17)


def render(data: Printed) -> bytes:
    """The PDF of an issued invoice or credit note."""
    story: list[Flowable] = [
        _top(data),
        Spacer(1, 9 * mm),
        _parties(data),
        Spacer(1, 7 * mm),
        _lines(data),
        Spacer(1, 3 * mm),
        KeepTogether([_totals(data)]),
        *_chart(data),
        *_closing(data),
    ]
    company = str(data.seller.get("name", ""))
    return build(
        story,
        title=f"{_what(data)} {data.number}",
        footer=" · ".join(filter(None, [company, _tax_id(data.seller.get("tax_id"))])),
        author=company or "MineFarm",
    )


def _what(data: Printed) -> str:
    return "Credit note" if data.is_credit_note else "Invoice"


def _tax_id(number: object) -> str:
    return f"Tax id {number}" if number else ""


def _top(data: Printed) -> Flowable:
    mark: Flowable = emblem(LOGO) if data.logo is None else picture(data.logo, width=45 * mm, height=LOGO)
    title = [para(_what(data).upper(), "title right"), para(data.number, "bold right")]
    wide = (LOGO if data.logo is None else 45 * mm) + 4 * mm
    right = 70 * mm
    seller = fitting(data.seller, _seller, CONTENT_WIDTH - wide - right)
    return Table([[mark, seller, title]], colWidths=[wide, CONTENT_WIDTH - wide - right, right], style=FLAT)


def _seller(seller: dict[str, Any]) -> list[Flowable]:
    return [
        para(seller.get("name", ""), "heading"),
        *(para(line, "small") for line in seller.get("address", "").split("\n") if line),
        *([para(_tax_id(seller["tax_id"]), "small")] if seller.get("tax_id") else []),
    ]


def _customer(to: dict[str, Any]) -> list[Flowable]:
    return [
        para(to.get("company") or to.get("name", ""), "bold"),
        *([para(to["name"])] if to.get("company") and to.get("name") else []),
        *([para(to["address"])] if to.get("address") else []),
        *([para(_tax_id(to["tax_id"]))] if to.get("tax_id") else []),
        para(to.get("email", "")),
    ]


def _parties(data: Printed) -> Flowable:
    facts = [("Date", data.issue_date.isoformat())]
    if not data.is_credit_note:
        facts.append(("Due", data.due_date.isoformat()))
    if data.period_start and data.period_end:
        facts.append(("Period", f"{data.period_start} to {data.period_end - timedelta(days=1)}"))
    if data.reverses:
        facts.append(("For invoice", data.reverses))
    rows = [[para(name, "small"), para(value, "right")] for name, value in facts]
    rows.append([para("Amount", "small"), para(money(data.amount, data.currency), "bold right")])
    right = 75 * mm
    people = fitting(data.bill_to, _customer, CONTENT_WIDTH - right - APART)
    people.insert(0, para("CREDIT TO" if data.is_credit_note else "BILL TO", "small"))
    inner = Table(rows, colWidths=[22 * mm, right - 22 * mm], style=FLAT)
    gap = ("RIGHTPADDING", (0, 0), (0, 0), APART)
    return Table([[people, inner]], colWidths=[CONTENT_WIDTH - right, right], style=[*FLAT, gap])


def _lines(data: Printed) -> Flowable:
    rows = [
        (
            line.description,
            f"{quantity(line.quantity)} {line.unit}".strip(),
            price(line.unit_price),
            f"{line.amount:,.2f}",
        )
        for line in data.lines
    ]
    widths = [CONTENT_WIDTH * share for share in WIDTHS]
    return table(("Description", "Quantity", "Price", f"Amount ({data.currency})"), rows, widths, right=(1, 2, 3))


def _totals(data: Printed) -> Flowable:
    rows = [("Net", f"{data.net:,.2f}", "right")]
    if data.tax or data.tax_pct:
        rows.append((f"Tax {quantity(data.tax_pct)} %", f"{data.tax:,.2f}", "right"))
    rows.append(("Total", money(data.amount, data.currency), "bold right"))
    cells = [["", para(name, style), para(value, style)] for name, value, style in rows]
    return Table(
        cells,
        colWidths=[CONTENT_WIDTH - 90 * mm, 35 * mm, 55 * mm],
        style=[
            *FLAT,
            ("RIGHTPADDING", (2, 0), (2, -1), 5),
            ("LINEABOVE", (1, -1), (2, -1), 1, GREEN),
            ("TOPPADDING", (1, -1), (2, -1), 4),
        ],
    )


def _chart(data: Printed) -> list[Flowable]:
    if not any(kwh is not None for _, kwh in data.days):
        return []
    points = [(_day(day), kwh) for day, kwh in data.days]
    total = sum((kwh for _, kwh in data.days if kwh is not None), Decimal(0))
    return [
        Spacer(1, 7 * mm),
        KeepTogether(
            [
                para("Energy per day", "heading"),
                bars(points, width=CONTENT_WIDTH, height=38 * mm),
                para(f"{total:,.3f} kWh in {len(points)} days, by the calendar of the site.", "small"),
            ]
        ),
    ]


def _day(day: date) -> str:
    return str(day.day)


def _closing(data: Printed) -> list[Flowable]:
    parts: list[Sequence[Flowable]] = []
    if data.notes:
        parts.append([para("Notes", "heading"), para(data.notes)])
    if not data.is_credit_note:
        bank = data.seller.get("bank", ())
        ask = f"Please pay {money(data.amount, data.currency)} by {data.due_date}, with {data.number} as the reference."
        if data.amount > 0:
            parts.append([para("Payment", "heading"), para(ask), *(para(line) for line in bank)])
    if data.seller.get("terms"):
        parts.append([para("Terms", "heading"), para(data.seller["terms"], "small")])
    # Long notes or terms may be split over pages, so no KeepTogether around them.
    return [flowable for part in parts for flowable in (Spacer(1, 6 * mm), *part)]


def fitting(party: dict[str, Any], laid: Callable[[dict[str, Any]], list[Flowable]], width: float) -> list[Flowable]:
    """Names and address of somebody, with lines cut until all of it has room."""
    for longest in LONGEST:
        block = laid({name: cut(value, longest) for name, value in party.items()})
        if sum(one.wrap(width, TALLEST)[1] for one in block) <= TALLEST:
            break
    return block


def cut(value: object, longest: int) -> str:
    """The first lines, each with so many letters."""
    lines = [str(line) for line in value] if isinstance(value, list | tuple) else str(value).split("\n")
    return "\n".join(line if len(line) <= longest else f"{line[:longest]}…" for line in lines[:MOST_LINES])


def money(amount: Decimal, currency: str) -> str:
    return f"{currency} {amount:,.2f}"


def quantity(value: Decimal) -> str:
    """Three places at most, none that say nothing."""
    return _without_zeros(f"{value:,.3f}", 0)


def price(value: Decimal) -> str:
    """Six places at most, two at least."""
    return _without_zeros(f"{value:,.6f}", 2)


def _without_zeros(figure: str, least: int) -> str:
    whole, _, places = figure.partition(".")
    places = places[:least] + places[least:].rstrip("0")
    return f"{whole}.{places}" if places else whole
