"""What sources of market data have in common: what they tell, and how their numbers are read. Pure."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol

MAX_PRICE = Decimal("9999999999.99")
MAX_VOLUME = Decimal("9999999999999.99")
MAX_DIFFICULTY = Decimal("999999999999999999.99")
MAX_HEIGHT = 100_000_000
MAX_FEES_BTC = Decimal(1000)


class BadReply(ValueError):
    """The source answered, but not with what it is documented to answer."""


@dataclass(frozen=True, slots=True)
class Price:
    """USD per BTC, and what was traded there in 24 hours, in USD."""

    usd: Decimal
    volume_usd: Decimal | None


@dataclass(frozen=True, slots=True)
class Network:
    """The chain as one source sees it; `fees_btc` is the mean of the last 144 blocks, `retarget_percent` an estimate."""

    difficulty: Decimal
    height: int
    fees_btc: Decimal | None = None
    retarget_at: datetime | None = None
    retarget_percent: Decimal | None = None


class Fetch(Protocol):
    """One exchange with the source: a path below its base URL, or with `send` a JSON document to post there."""

    def __call__(self, path: str, send: object = None) -> Awaitable[Any]: ...


@dataclass(frozen=True, slots=True)
class Provider:
    """One source. `setting` holds its base URL; `ask` raises BadReply, and lets the errors of `fetch` pass."""

    name: str
    setting: str
    ask: Callable[[Fetch, datetime], Awaitable[Price | Network]]


def number(reply: object, *path: str | int) -> Decimal:
    """The number at `path`, written as a number or as text; raises BadReply for anything else."""
    for step in path:
        if isinstance(reply, str):  # it could be stepped into, too
            raise BadReply(f"there is no {_named(path)}")
        try:
            reply = reply[step]  # type: ignore[index]  # what is no container raises TypeError
        except (KeyError, IndexError, TypeError):
            raise BadReply(f"there is no {_named(path)}") from None
    if isinstance(reply, bool) or not isinstance(reply, int | Decimal | str):
        raise BadReply(f"{_named(path)} is no number")
    try:
        value = Decimal(reply)
    except InvalidOperation:
        raise BadReply(f"{_named(path)} is no number") from None
    if not value.is_finite() or value.adjusted() > 30 or (value and value.adjusted() < -30):
        raise BadReply(f"{_named(path)} is out of range")
    return value


def price_of(usd: Decimal, volume_usd: Decimal | None) -> Price:
    """A price that can be one; a volume that cannot is left out."""
    if not 0 < usd <= MAX_PRICE:
        raise BadReply(f"a price of {usd} cannot be")
    return Price(usd, volume_usd if volume_usd is not None and 0 <= volume_usd <= MAX_VOLUME else None)


def network_of(reply: Mapping[str, Decimal], **more: Any) -> Network:
    """Difficulty and height that can be ones, from the keys `difficulty` and `height`."""
    difficulty, height = reply["difficulty"], reply["height"]
    if not 1 <= difficulty <= MAX_DIFFICULTY:
        raise BadReply(f"a difficulty of {difficulty} cannot be")
    if height != height.to_integral_value() or not 0 <= height <= MAX_HEIGHT:
        raise BadReply(f"a height of {height} cannot be")
    return Network(difficulty, int(height), **more)


def fees_of(sats: Decimal, blocks: Decimal | int) -> Decimal | None:
    """Mean fees of a block in BTC; None for figures that cannot be."""
    if blocks <= 0 or sats < 0:
        return None
    mean = sats / blocks / 100_000_000
    return mean if mean <= MAX_FEES_BTC else None


def _named(path: tuple[str | int, ...]) -> str:
    return ".".join(map(str, path)) or "reply"
