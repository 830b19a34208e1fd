"""Day-ahead markets of electricity: what they have in common. Pure. Each asks one local day of a zone."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from analytics.providers.quotes import Fetch

KWH_PER_MWH = 1000
MAX_PER_MWH = Decimal(100_000)  # European markets stop at 4,000 to 5,000, scarcity in America at 9,000


@dataclass(frozen=True, slots=True)
class Hour:
    """Price per MWh from `starts_at` until before `ends_at`: an hour, or a quarter of one."""

    starts_at: datetime
    ends_at: datetime
    per_mwh: Decimal


@dataclass(frozen=True, slots=True)
class Market:
    """One market. `ask` returns the day's prices as far as they are out, oldest first; it raises BadReply.

    `setting` holds the base URL; `clock` is the market's own, which says what a day is.
    """

    name: str
    setting: str
    currency: str
    clock: ZoneInfo
    ask: Callable[[Fetch, str, date], Awaitable[list[Hour]]]
    plain: bool = False  # answers text, not JSON


def per_kwh(per_mwh: Decimal) -> Decimal:
    return per_mwh / KWH_PER_MWH
