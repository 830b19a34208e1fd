from argparse import ArgumentTypeError
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser

from analytics.management.commands.profitability import figure
from hosting.management.sites import site_named
from hosting.prices import set_price
from minefarm.lib.command import FarmCommand


def moment(text: str) -> datetime:
    """ISO 8601; without an offset it is of the site's clock."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no time such as 2026-12-01 or 2026-12-01T06:00") from None


class Command(FarmCommand):
    help = (
        "Set one price of electricity of a site, from a moment on until further notice. Prices after that moment end."
    )
    example = "set_electricity_price --site North --price 0.055 --from 2026-12-01"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--site", required=True, metavar="NAME|ID")
        parser.add_argument("--price", required=True, type=figure, metavar="PER_KWH")
        parser.add_argument("--currency", default="USD")
        parser.add_argument("--from", required=True, type=moment, dest="since", metavar="TIME")

    def handle(self, *, site: str, price: Decimal, currency: str, since: datetime, json: bool, **_options: Any) -> None:
        where = site_named(site)
        since = since if since.tzinfo else since.replace(tzinfo=ZoneInfo(where.time_zone))
        try:
            done = set_price(where, price, since, currency=currency)
        except (ValidationError, ValueError) as error:
            told = " ".join(error.messages) if isinstance(error, ValidationError) else str(error)
            raise CommandError(told) from error
        document = {
            "site": where.name,
            "price_per_kwh": price,
            "currency": currency,
            "from": since,
            "changed": done.changed,
        }
        text = f"{where.name}: {price} {currency}/kWh from {since:%Y-%m-%d %H:%M %Z}"
        self.emit(document, text, as_json=json)
