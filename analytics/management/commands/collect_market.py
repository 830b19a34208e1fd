from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError

from analytics.collect import Collected, MarketOff, collect_market
from minefarm.lib.command import FarmCommand


class Command(FarmCommand):
    help = "Ask every source of price and network once, and store what they agree on."
    example = "collect_market --json"

    def handle(self, *, json: bool, **_options: Any) -> None:
        try:
            collected = collect_market()
        except MarketOff as off:
            raise CommandError(str(off)) from off
        document = {
            "bucket": collected.bucket,
            "stored": collected.stored,
            **asdict(collected.figures),
            "sources": [told.record() for told in collected.sources],
        }
        self.emit(document, describe(collected), as_json=json)
        if collected.figures.btc_price is None:
            raise SystemExit(1)


def describe(collected: Collected) -> str:
    found = collected.figures
    price = "no price" if found.btc_price is None else f"{found.btc_price:,} $"
    hashprice = found.hashprice_usd_per_ph_day
    earned = "hashprice unknown" if hashprice is None else f"hashprice {hashprice:.2f} $/PH/day"
    kept = "stored" if collected.stored else "nothing new to store"
    lines = [f"{collected.bucket:%Y-%m-%d %H:%M} UTC: {price}, {earned}, {kept}"]
    lines += [
        f"  {told.name:12} {told.outcome:12} {told.latency_ms:5} ms  {told.detail}".rstrip()
        for told in collected.sources
    ]
    return "\n".join(lines)
