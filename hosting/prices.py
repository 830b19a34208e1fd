"""Writing a site's price history: what is written replaces what held in those hours, and nothing else of it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q

from hosting.models import ElectricityPrice, Site

SIX = Decimal("0.000001")
MOST = Decimal(1000)  # of any currency, per kWh: what is above was meant per MWh


@dataclass(frozen=True, slots=True)
class Span:
    """One price per kWh from `starts_at` until before `ends_at`; without an end it holds until further notice."""

    starts_at: datetime
    ends_at: datetime | None
    price_per_kwh: Decimal
    currency: str = "USD"

    def __post_init__(self) -> None:
        if self.ends_at is not None and self.ends_at <= self.starts_at:
            raise ValueError("A price must end after it begins.")
        if not self.price_per_kwh.is_finite() or abs(self.price_per_kwh) > MOST:
            raise ValueError(
                f"{self.price_per_kwh} {self.currency} per kWh cannot be: prices are per kWh, not per MWh."
            )


@dataclass(frozen=True, slots=True)
class Written:
    """Rows that are new, and whether anything is other than before."""

    rows: int
    changed: bool


def set_price(site: Site, price_per_kwh: Decimal, since: datetime, *, currency: str = "USD") -> Written:
    """One price from a moment on until further notice: everything later, planned prices too, ends there."""
    return write_prices(site, [Span(since, None, price_per_kwh, currency)])


@transaction.atomic
def write_prices(site: Site, spans: Iterable[Span], *, end_notices: bool = False, dry_run: bool = False) -> Written:
    """Let these prices hold in their own time. Each run without a hole replaces what held in it; the same again changes nothing.

    With `end_notices` a price that held until further notice ends where they begin, and does not come back behind them: a
    tariff follows a fixed price. Raises ValidationError for prices that overlap or have no currency's code.
    """
    Site.objects.select_for_update(no_key=True).get(pk=site.pk)
    rows, changed = 0, False
    for run in _runs(spans):
        done = _write_run(site, run, end_notices=end_notices, dry_run=dry_run)
        rows, changed = rows + done.rows, changed or done.changed
    return Written(rows, changed)


def _runs(spans: Iterable[Span]) -> Iterator[list[Span]]:
    """Prices that follow each other without a hole, in order; equal neighbours become one."""
    run: list[Span] = []
    for given in sorted(spans, key=lambda one: one.starts_at):
        span = Span(given.starts_at, given.ends_at, given.price_per_kwh.quantize(SIX), given.currency)
        if run and (run[-1].ends_at is None or span.starts_at < run[-1].ends_at):
            raise ValidationError(f"Two prices hold at {span.starts_at:%Y-%m-%d %H:%M} UTC: give one.")
        if run and span.starts_at == run[-1].ends_at:
            run = _joined([*run, span])
            continue
        if run:
            yield run
        run = [span]
    if run:
        yield run


def _joined(run: list[Span]) -> list[Span]:
    if len(run) < 2:
        return run
    last, span = run[-2], run[-1]
    if (last.price_per_kwh, last.currency) != (span.price_per_kwh, span.currency):
        return run
    return [*run[:-2], Span(last.starts_at, span.ends_at, last.price_per_kwh, last.currency)]


def _write_run(site: Site, run: list[Span], *, end_notices: bool, dry_run: bool) -> Written:
    begin, end = run[0].starts_at, run[-1].ends_at
    held = site.electricity_prices.filter(Q(valid_until__isnull=True) | Q(valid_until__gt=begin)).order_by("valid_from")
    old = list(held if end is None else held.filter(valid_from__lt=end))
    kept: list[Span] = []
    within: list[Span] = []
    for row in old:
        whole = Span(row.valid_from, row.valid_until, row.price_per_kwh, row.currency)
        before, inside, after = _cut(whole, begin, end)
        if after and end_notices and row.valid_until is None:
            after = None
        kept += [part for part in (before, after) if part]
        within = (
            _joined([*within, inside])
            if within and inside and within[-1].ends_at == inside.starts_at
            else [
                *within,
                *([inside] if inside else []),
            ]
        )
    notice_ends = end_notices and end is not None and any(row.valid_until is None for row in old)
    if within == run and not notice_ends:
        return Written(0, changed=False)
    if not dry_run:
        new = [_row(site, span) for span in (*kept, *run)]
        for row in new:
            row.clean_fields()
        ElectricityPrice.objects.filter(pk__in=[row.pk for row in old]).delete()
        ElectricityPrice.objects.bulk_create(new)
    return Written(len(run), changed=True)


def _cut(span: Span, begin: datetime, end: datetime | None) -> tuple[Span | None, Span | None, Span | None]:
    """What of a price lies before, within and after [begin, end)."""

    def part(since: datetime, until: datetime | None) -> Span | None:
        if until is not None and until <= since:
            return None
        return Span(since, until, span.price_per_kwh, span.currency)

    ends = [moment for moment in (span.ends_at, end) if moment is not None]
    before = part(span.starts_at, begin) if span.starts_at < begin else None
    inside = part(max(span.starts_at, begin), min(ends) if ends else None)
    after = part(end, span.ends_at) if end is not None and (span.ends_at is None or span.ends_at > end) else None
    return before, inside, after


def _row(site: Site, span: Span) -> ElectricityPrice:
    return ElectricityPrice(
        site=site,
        price_per_kwh=span.price_per_kwh,
        currency=span.currency,
        valid_from=span.starts_at,
        valid_until=span.ends_at,
    )
