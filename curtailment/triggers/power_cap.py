"""The site may draw so many kW: what is above is stopped, and comes back once it fits below the cap with a margin.

What the site would draw is what it draws plus what this rule holds back: without that the relief itself would end the rule.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from curtailment.triggers.reading import known_only, number, whole
from curtailment.triggers.wishes import BadSettings, Want, Wish

WINDOW = timedelta(minutes=1)
KW_PER_MW = 1000
KW = Decimal("0.1")


@dataclass(frozen=True, slots=True)
class CapSettings:
    cap_kw: Decimal
    margin: Decimal  # share of the cap
    windows_above: int
    windows_below: int


def parse(given: Mapping[str, Any]) -> CapSettings:
    """Raises BadSettings."""
    known_only(given, ("cap_kw", "margin_percent", "minutes_above", "minutes_below"))
    if given.get("cap_kw") in (None, ""):
        raise BadSettings("cap_kw", "Give the most that the site may draw, in kW.")
    return CapSettings(
        cap_kw=number(given, "cap_kw", "1", "10000000"),
        margin=number(given, "margin_percent", "0", "50", "5") / 100,
        windows_above=whole(given, "minutes_above", 1, 120, 2),
        windows_below=whole(given, "minutes_below", 1, 1440, 10),
    )


def wish(settings: CapSettings, *, drawn_kw: Decimal | None, held_back_kw: Decimal = Decimal(0)) -> Wish:
    """`drawn_kw` as measured, None where it is not known; `held_back_kw` is what this rule has stopped."""
    if drawn_kw is None:
        return Wish(Want.UNKNOWN, "the site's power is not known")
    cap = settings.cap_kw
    told = f"{drawn_kw.quantize(KW):,} kW"
    if drawn_kw > cap:
        excess = (held_back_kw + drawn_kw - cap) / KW_PER_MW
        return Wish(Want.CURTAIL, f"{told} is above the cap of {cap:,} kW", mw=excess)
    if drawn_kw + held_back_kw < cap * (1 - settings.margin):
        return Wish(Want.RELEASE, f"{told} and what is held back fit below the cap of {cap:,} kW")
    return Wish(Want.KEEP, f"{told} is below the cap of {cap:,} kW, but would not be without this")
