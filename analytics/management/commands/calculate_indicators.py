from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser

from analytics.calculation import Calculated, calculate_indicators
from minefarm.lib.command import FarmCommand


class Command(FarmCommand):
    help = "Compute RSI, MACD, EMA, Bollinger bands and signals: what is due, or a range again. Safe to repeat."
    example = "calculate_indicators --from 2026-11-01 --to 2026-11-08"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--from", dest="since", type=moment, help="compute every close from here on again; UTC")
        parser.add_argument("--to", dest="until", type=moment, help="end of the range; default: the newest close")

    def handle(self, *, since: datetime | None, until: datetime | None, json: bool, **_options: Any) -> None:
        if since and until and since >= until:
            raise CommandError("The range is empty: --from must be before --to.", returncode=2)
        done = calculate_indicators(since, until)
        self.emit(asdict(done), describe(done), as_json=json)


def moment(text: str) -> datetime:
    """A date or time as UTC, unless it says otherwise."""
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def describe(done: Calculated) -> str:
    if not done.computed:
        return "nothing to compute"
    return (
        f"{done.computed} closes computed from {done.since:%Y-%m-%d %H:%M} UTC on, {done.changed} values new or changed,"
        f" {done.runs} warm-ups begun"
    )
