"""Reading hourly prices of electricity from CSV: a header, one row per moment, bad rows named and left out. Pure.

`time` (start of the hour; ISO 8601, by the site's clock unless it says otherwise), and `price_per_kwh` or `price_per_mwh`;
`currency` and `until` may stand beside them. Of the hour that comes twice in autumn the second row in the file is the later one.
"""

import csv
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from zoneinfo import ZoneInfo

COLUMNS = ("time", "until", "price_per_kwh", "price_per_mwh", "currency")
ALIASES = {
    "timestamp": "time",
    "date": "time",
    "valid_from": "time",
    "from": "time",
    "valid_until": "until",
    "to": "until",
}
EARLIEST, LATEST = datetime(2009, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
LONGEST = timedelta(days=31)
MAX_PER_KWH = Decimal(1000)


class BadFile(ValueError):
    """Nothing of the file can be used; the message says why."""


class _BadRow(ValueError):
    pass


@dataclass(frozen=True, slots=True)
class PriceRow:
    """A price per kWh from `starts_at` until before `ends_at`."""

    starts_at: datetime
    ends_at: datetime
    price_per_kwh: Decimal
    currency: str


def read_prices(
    lines: Iterable[str], zone: ZoneInfo, currency: str, tell_bad: Callable[[int, str], None]
) -> Iterator[PriceRow]:
    """Each good row as it comes; `tell_bad` gets the line's number and the reason of each other one. Raises BadFile."""
    reader = csv.reader(lines)
    columns = _columns(next(reader, []))
    before: PriceRow | None = None
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            tell_bad(reader.line_num, f"no CSV: {error}")
            continue
        if row is None:
            return
        if not any(row):
            continue
        try:
            read = _read(row, columns, zone, currency, before)
        except _BadRow as bad:
            tell_bad(reader.line_num, str(bad))
            continue
        before = read
        yield read


def _columns(header: list[str]) -> list[str]:
    found = [cell.strip().lstrip("\ufeff").lower() for cell in header]
    columns = [ALIASES.get(cell, cell) for cell in found]
    unknown = [name for name in columns if name not in COLUMNS]
    if unknown:
        raise BadFile(f"There is no column {unknown[0]!r}: the first line must name some of {', '.join(COLUMNS)}.")
    if len(set(columns)) < len(columns):
        raise BadFile("The first line names a column twice.")
    if "time" not in columns or len({"price_per_kwh", "price_per_mwh"} & set(columns)) != 1:
        raise BadFile("The first line must name time, and one of price_per_kwh and price_per_mwh.")
    return columns


def _read(row: list[str], columns: list[str], zone: ZoneInfo, currency: str, before: PriceRow | None) -> PriceRow:
    if len(row) != len(columns):
        raise _BadRow(f"{len(row)} fields where the first line has {len(columns)}")
    cells = {name: cell.strip() for name, cell in zip(columns, row, strict=True)}
    starts_at = _moment(cells["time"], zone, before.starts_at if before else None)
    ends_at = _moment(cells["until"], zone, starts_at) if cells.get("until") else starts_at + HOUR
    if not starts_at < ends_at <= starts_at + LONGEST:
        raise _BadRow(f"until {cells.get('until', '')[:40]!r} is not within 31 days after its time")
    if before is not None and starts_at < before.ends_at:
        raise _BadRow(
            f"time {cells['time'][:40]!r} is not after the row before it: sort the file, and let no rows overlap"
        )
    code = cells.get("currency") or currency
    if not (len(code) == 3 and code.isascii() and code.isalpha() and code.isupper()):
        raise _BadRow(f"currency {code[:10]!r} is no code such as USD")
    if "price_per_mwh" in cells:
        return PriceRow(starts_at, ends_at, _number(cells["price_per_mwh"]) / 1000, code)
    return PriceRow(starts_at, ends_at, _number(cells["price_per_kwh"]), code)


def _moment(text: str, zone: ZoneInfo, before: datetime | None) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise _BadRow(f"time {text[:40]!r} is not like 2026-11-23T10:00") from None
    if at.tzinfo is None:
        at = _by_the_clock(at, zone, before, text)
    at = at.astimezone(UTC)
    if not EARLIEST <= at < LATEST:
        raise _BadRow(f"time {text[:40]!r} is not between 2009 and 2100")
    return at


def _by_the_clock(local: datetime, zone: ZoneInfo, before: datetime | None, text: str) -> datetime:
    at = local.replace(tzinfo=zone)
    if at.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != local:
        raise _BadRow(f"time {text[:40]!r} does not exist: the clock was put forward")
    later = at.replace(fold=1)
    if before is not None and later.utcoffset() != at.utcoffset() and at.astimezone(UTC) <= before:
        return later
    return at


def _number(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise _BadRow(f"price {text[:40]!r} is no number") from None
    if not value.is_finite() or abs(value) > MAX_PER_KWH:
        raise _BadRow(f"price {text[:40]!r} is out of range")
    return value
