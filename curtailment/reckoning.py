"""The arithmetic of a settlement: pure, in Decimal. W, W·s, TH/s and seconds go in; kWh and money come out.

Each stretch of a machine is rounded once. A customer is the sum of their stretches and the plan the sum of its customers, so
that all three agree to the last digit.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from uuid import UUID

SIX = Decimal("0.000001")
WS_PER_KWH = 3_600_000
TH_PER_PH = 1000
DAY_S = 86_400
STEP = timedelta(minutes=5)
SHARES = (50, 95, 100)
Client = UUID | None


@dataclass(frozen=True, slots=True)
class Slot:
    """A time in which nothing that has a price changes; None is a price that nobody knows."""

    starts_at: datetime
    price_per_kwh: Decimal | None
    currency: str | None
    hashprice_usd: Decimal | None  # per PH/s and day
    asked: bool = True  # whether the plan wanted its machines off then


@dataclass(frozen=True, slots=True)
class Off:
    """One machine off for a plan, from `off_from` to before `off_until`."""

    miner_id: int
    client: Client
    off_from: datetime
    off_until: datetime
    baseline_w: Decimal

    @property
    def seconds(self) -> Decimal:
        return seconds(self.off_from, self.off_until)


@dataclass(frozen=True, slots=True)
class Measured:
    """What the readings of one stretch in one slot come to. Minutes without a reading are in none of it, and minutes whose
    power is not known in the hashrate alone.
    """

    known_s: Decimal  # of which the power is known
    avoided_ws: Decimal
    forgone_ths_s: Decimal | None  # None: the hashrate then, or the one of before, is not known


@dataclass(frozen=True, slots=True)
class Line:
    """One stretch, reckoned. `saved` is None where no price was known; `unpriced_kwh` had none."""

    off: Off
    known_s: Decimal
    kwh_avoided: Decimal | None
    saved: Decimal | None
    currency: str
    unpriced_kwh: Decimal
    forgone_usd: Decimal | None


@dataclass(frozen=True, slots=True)
class Share:
    """Stretches of one customer (or of all) in one currency, added up."""

    client: Client
    currency: str
    machines: int
    seconds: Decimal
    known_s: Decimal
    kwh_avoided: Decimal | None
    saved: Decimal | None
    unpriced_kwh: Decimal
    forgone_usd: Decimal | None

    @property
    def coverage(self) -> Decimal:
        return coverage(self.known_s, self.seconds)


def seconds(start: datetime, end: datetime) -> Decimal:
    return Decimal((end - start) // timedelta(microseconds=1)) / 1_000_000


def coverage(known_s: Decimal, of_s: Decimal) -> Decimal:
    """Share of the time of which the power is known, 0 to 1; 1 of no time at all."""
    return min(Decimal(1), (known_s / of_s).quantize(SIX)) if of_s else Decimal(1)


def whole_minute(moment: datetime, *, up: bool = False) -> datetime:
    cut = moment.replace(second=0, microsecond=0)
    return cut + timedelta(minutes=1) if up and cut < moment else cut


def slots(
    start: datetime,
    end: datetime,
    *,
    prices: Iterable[tuple[datetime, datetime | None, Decimal, str]],
    hashprices: Sequence[tuple[datetime, Decimal]],
    asked: tuple[datetime, datetime],
    stale_after: timedelta = timedelta(hours=24),
) -> list[Slot]:
    """Cut [start, end) wherever a price, its currency, the hashprice or what was asked changes, on whole minutes.

    `hashprices` are (moment, $/PH/day) in order of time; one holds until the next, for a day at most.
    """
    known = sorted(prices, key=lambda one: one[0])
    cuts = {start, *asked}
    for since, until, *_ in known:
        cuts |= {since} | ({until} if until else set())
    for moment, _price in hashprices:
        cuts |= {moment, moment + stale_after}
    edges = sorted({whole_minute(cut) for cut in cuts})
    edges = [start, *(edge for edge in edges if start < edge < end)]
    moments = [moment for moment, _price in hashprices]
    found: list[Slot] = []
    for edge in edges:
        price = next((p for p in known if p[0] <= edge and (p[1] is None or edge < p[1])), None)
        at = bisect_right(moments, edge) - 1
        fresh = at >= 0 and edge - moments[at] < stale_after
        slot = Slot(
            starts_at=edge,
            price_per_kwh=price[2] if price else None,
            currency=price[3] if price else None,
            hashprice_usd=hashprices[at][1] if fresh else None,
            asked=whole_minute(asked[0]) <= edge < whole_minute(asked[1], up=True),
        )
        if not found or replace(slot, starts_at=found[-1].starts_at) != found[-1]:
            found.append(slot)
    return found


def currencies(cut: Sequence[Slot], default: str) -> list[tuple[datetime, str]]:
    """When each currency begins to hold; time without a price goes with the one before it, or the first."""
    first = next((slot.currency for slot in cut if slot.currency), default)
    spans = [(cut[0].starts_at, first)] if cut else []
    for slot in cut:
        if slot.currency and slot.currency != spans[-1][1]:
            spans.append((slot.starts_at, slot.currency))
    return spans


def split(off: Off, spans: Sequence[tuple[datetime, str]]) -> list[tuple[Off, str]]:
    """The stretch cut where the currency changes, each part with its own."""
    edges = [*(since for since, _ in spans), None]
    parts = []
    for (since, until), (_, currency) in zip(pairwise(edges), spans, strict=True):
        start = max(off.off_from, since) if since and since != spans[0][0] else off.off_from
        end = min(off.off_until, until) if until else off.off_until
        if start < end:
            parts.append((replace(off, off_from=start, off_until=end), currency))
    return parts


def without(
    start: datetime, end: datetime, taken: Iterable[tuple[datetime, datetime]]
) -> list[tuple[datetime, datetime]]:
    """What of [start, end) no other plan has counted."""
    free, at = [], start
    for since, until in sorted(taken):
        if since > at:
            free.append((at, min(since, end)))
        at = max(at, until)
    free.append((at, end))
    return [(since, until) for since, until in free if since < until]


def line(off: Off, currency: str, measured: Iterable[tuple[Slot, Measured]]) -> Line:
    """One stretch in money: what was measured in each slot at that slot's prices, rounded once."""
    known_s = avoided_ws = unpriced_ws = Decimal()
    saved: Decimal | None = None
    forgone: Decimal | None = None
    for slot, one in measured:
        known_s += one.known_s
        avoided_ws += one.avoided_ws
        if slot.price_per_kwh is None:
            unpriced_ws += one.avoided_ws
        else:
            saved = (saved or Decimal()) + one.avoided_ws * slot.price_per_kwh
        if slot.hashprice_usd is not None and one.forgone_ths_s is not None:
            forgone = (forgone or Decimal()) + one.forgone_ths_s * slot.hashprice_usd
    return Line(
        off=off,
        known_s=known_s,
        kwh_avoided=(avoided_ws / WS_PER_KWH).quantize(SIX) if known_s else None,
        saved=None if saved is None or not known_s else (saved / WS_PER_KWH).quantize(SIX),
        currency=currency,
        unpriced_kwh=(unpriced_ws / WS_PER_KWH).quantize(SIX),
        forgone_usd=None if forgone is None else (forgone / TH_PER_PH / DAY_S).quantize(SIX),
    )


def total(amounts: Iterable[Decimal | None]) -> Decimal | None:
    """Sum of what is known; None when nothing is."""
    known = [amount for amount in amounts if amount is not None]
    return sum(known, Decimal()) if known else None


def by_client(lines: Iterable[Line]) -> list[Share]:
    """One sum per customer and currency."""
    groups: dict[tuple[Client, str], list[Line]] = defaultdict(list)
    for one in lines:
        groups[one.off.client, one.currency].append(one)
    return [
        Share(
            client=client,
            currency=currency,
            machines=len({one.off.miner_id for one in group}),
            seconds=sum((one.off.seconds for one in group), Decimal()),
            known_s=sum((one.known_s for one in group), Decimal()),
            kwh_avoided=total(one.kwh_avoided for one in group),
            saved=total(one.saved for one in group),
            unpriced_kwh=sum((one.unpriced_kwh for one in group), Decimal()),
            forgone_usd=total(one.forgone_usd for one in group),
        )
        for (client, currency), group in groups.items()
    ]


# --- five minutes at a time ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Interval:
    """Five minutes of the plan. `delivered_kw` is None where machines were off and not one of them was read."""

    starts_at: datetime
    requested_kw: Decimal
    delivered_kw: Decimal | None
    coverage: Decimal


def intervals(
    offs: Sequence[Off],
    minutes: Mapping[datetime, tuple[Decimal, Decimal]],
    *,
    requested_w: Decimal,
    asked: tuple[datetime, datetime],
) -> list[Interval]:
    """Requested and delivered kW in steps of five minutes; `minutes` are (known_s, avoided_ws) of each minute."""
    begin = min([asked[0], *(off.off_from for off in offs)])
    end = max([asked[1], *(off.off_until for off in offs)])
    first = begin - (begin - datetime(1970, 1, 1, tzinfo=begin.tzinfo)) % STEP
    count = -(-(end - first) // STEP)
    due: list[Decimal] = [Decimal()] * count
    for off in offs:
        for at in range((off.off_from - first) // STEP, -(-(off.off_until - first) // STEP)):
            due[at] += _within(off.off_from, off.off_until, first + at * STEP)
    known, avoided = [Decimal()] * count, [Decimal()] * count
    for minute, (known_s, avoided_ws) in minutes.items():
        at = (minute - first) // STEP
        if 0 <= at < count:
            known[at] += known_s
            avoided[at] += avoided_ws
    step_s = seconds(first, first + STEP)
    return [
        Interval(
            starts_at=first + at * STEP,
            requested_kw=(requested_w / 1000 * _within(*asked, first + at * STEP) / step_s).quantize(SIX),
            delivered_kw=None if due[at] and not known[at] else (avoided[at] / step_s / 1000).quantize(SIX),
            coverage=coverage(known[at], due[at]),
        )
        for at in range(count)
    ]


def _within(start: datetime, end: datetime, step: datetime) -> Decimal:
    return max(Decimal(), seconds(max(start, step), min(end, step + STEP)))


def seconds_to(
    shares: Iterable[int], stopped: Iterable[tuple[datetime, Decimal]], *, requested_w: Decimal, since: datetime
) -> dict[int, int | None]:
    """Whole seconds from `since` until machines that were measured off had freed each share (%) of the request.

    `stopped` are the moments of confirmation and the watts that each machine gave; None: that share was never reached.
    """
    reached: dict[int, int | None] = dict.fromkeys(shares)
    freed = Decimal()
    for moment, watts in sorted(stopped):
        freed += watts
        for share, found in reached.items():
            if found is None and freed * 100 >= requested_w * share:
                reached[share] = max(0, round((moment - since).total_seconds()))
    return reached
