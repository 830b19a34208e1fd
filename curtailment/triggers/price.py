"""Electricity dearer than what it earns: the price of 5 minutes against the break-even, with a band in which nothing changes.

Break-even in $/MWh of the machines that would stop (analytics/hashprice.py), less what is paid beside the price (`adders`).
Or a fixed strike instead of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from curtailment.triggers.reading import known_only, maybe, number, whole
from curtailment.triggers.wishes import Want, Wish

WINDOW = timedelta(minutes=5)
CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class PriceSettings:
    """Money in $/MWh; `hysteresis` is a share. Without a `strike` the break-even of the machines is the strike."""

    strike: Decimal | None
    hysteresis: Decimal
    windows_above: int
    windows_below: int
    emergency: Decimal | None
    adders: Decimal


def parse(given: Mapping[str, Any]) -> PriceSettings:
    """Raises BadSettings."""
    known_only(given, ("strike", "hysteresis_percent", "windows_above", "windows_below", "emergency", "adders"))
    return PriceSettings(
        strike=maybe(given, "strike", "-1000", "100000"),
        hysteresis=number(given, "hysteresis_percent", "0", "50", "3") / 100,
        windows_above=whole(given, "windows_above", 1, 288, 2),
        windows_below=whole(given, "windows_below", 1, 288, 4),
        emergency=maybe(given, "emergency", "0", "100000"),
        adders=number(given, "adders", "-1000", "1000", "0"),
    )


def strike_of(settings: PriceSettings, break_even: Decimal | None) -> Decimal | None:
    """What the price is held against; None where neither is known."""
    if settings.strike is not None:
        return settings.strike
    return None if break_even is None else break_even - settings.adders


def wish(settings: PriceSettings, *, price: Decimal | None, break_even: Decimal | None) -> Wish:
    """`price` and `break_even` in $/MWh, None where nobody knows them: then nothing changes."""
    if price is None:
        return Wish(Want.UNKNOWN, "no price of electricity holds now")
    if settings.emergency is not None and price > settings.emergency:
        return Wish(
            Want.CURTAIL,
            f"{_usd(price)} is above the emergency price of {_usd(settings.emergency)}",
            at_once=True,
        )
    strike = strike_of(settings, break_even)
    if strike is None:
        return Wish(Want.UNKNOWN, "the break-even is not known: no hashprice, or no machine that hashes")
    over, under = band(strike, settings.hysteresis)
    name = "the strike" if settings.strike is not None else "break-even"
    if price > over:
        return Wish(Want.CURTAIL, f"{_usd(price)} is above {name} {_usd(strike)}")
    if price < under:
        return Wish(Want.RELEASE, f"{_usd(price)} is below {name} {_usd(strike)}")
    return Wish(Want.KEEP, f"{_usd(price)} is within {settings.hysteresis:.1%} of {name} {_usd(strike)}")


def band(strike: Decimal, hysteresis: Decimal) -> tuple[Decimal, Decimal]:
    """Above the first it is dear, below the second cheap; the right way round for a strike below 0, too."""
    width = abs(strike) * hysteresis
    return strike + width, strike - width


def _usd(amount: Decimal) -> str:
    return f"{amount.quantize(CENT)} $/MWh"
