"""A market that never was, for demos and tests: every figure is a function of the moment alone, so any part can be made again.

The price is 80,000 $ times e to a sum of smooth noises with periods from 15 minutes to 90 days. Noise is interpolated between
values that a hash of (name, number) gives. A block comes every ten minutes; the difficulty steps every 2,016 of them by up to
6 %. Pure.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache, lru_cache
from hashlib import blake2b

from analytics.hashprice import BLOCK_S, RETARGET_BLOCKS

STEP = timedelta(minutes=15)
BEGIN = datetime(2024, 4, 20, tzinfo=UTC)  # about the fourth halving
BEGIN_HEIGHT = 840_000
BEGIN_DIFFICULTY = 9.0e13
BASE_PRICE_USD = 80_000.0
# (period in hours, amplitude of the logarithm)
WAVES = ((90 * 24, 0.25), (20 * 24, 0.10), (3 * 24, 0.03), (10, 0.010), (2, 0.004), (0.25, 0.001))


@dataclass(frozen=True, slots=True)
class MadeUp:
    """What stands in the row of one quarter of an hour."""

    at: datetime
    price_usd: Decimal
    volume_usd: Decimal
    difficulty: Decimal
    height: int
    fees_btc: Decimal
    retarget_at: datetime


def made_up(at: datetime) -> MadeUp:
    """The figures of the quarter of an hour that holds `at`; raises ValueError before April 2024."""
    at = floor(at)
    if at < BEGIN:
        raise ValueError(f"The made-up market begins in {BEGIN:%B %Y}.")
    since_s = int((at - BEGIN).total_seconds())
    hours = since_s / 3600
    wave = sum(size * noise(f"price {period}", hours / period) for period, size in WAVES)
    blocks = since_s // BLOCK_S
    height = BEGIN_HEIGHT + blocks
    epoch = height // RETARGET_BLOCKS
    return MadeUp(
        at=at,
        price_usd=_decimal(BASE_PRICE_USD * math.exp(wave), 2),
        volume_usd=_decimal(2.0e9 * math.exp(0.6 * noise("volume", hours / 9)), 2),
        difficulty=_decimal(_difficulty(epoch), 2),
        height=height,
        fees_btc=_decimal(0.05 * math.exp(0.9 * noise("fees", hours / 30)), 8),
        retarget_at=BEGIN + timedelta(seconds=((epoch + 1) * RETARGET_BLOCKS - BEGIN_HEIGHT) * BLOCK_S),
    )


def history(start: datetime, end: datetime) -> Iterator[MadeUp]:
    """Every quarter of an hour of [start, end)."""
    at = floor(start)
    while at < end:
        yield made_up(at)
        at += STEP


def floor(at: datetime) -> datetime:
    """Start of the quarter of an hour."""
    at = at.astimezone(UTC)
    return at.replace(minute=at.minute // 15 * 15, second=0, microsecond=0)


def noise(name: str, x: float) -> float:
    """Between -1 and 1, smooth in x."""
    left = math.floor(x)
    share = x - left
    share = share * share * (3 - 2 * share)
    return _at(name, left) * (1 - share) + _at(name, left + 1) * share


@cache
def _difficulty(epoch: int) -> float:
    first = BEGIN_HEIGHT // RETARGET_BLOCKS
    return BEGIN_DIFFICULTY * math.exp(sum(0.01 + 0.05 * _at("difficulty", step) for step in range(first, epoch)))


@lru_cache(maxsize=1024)
def _at(name: str, number: int) -> float:
    digest = blake2b(f"{name}:{number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**63 - 1


def _decimal(value: float, digits: int) -> Decimal:
    return Decimal(value).quantize(Decimal(1).scaleb(-digits))
