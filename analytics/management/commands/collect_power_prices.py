from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError, CommandParser

from analytics.models import PowerContract
from analytics.power import Priced, price_ahead
from hosting.management.sites import site_named
from minefarm.lib.command import FarmCommand


class Command(FarmCommand):
    help = (
        "Bring prices of electricity up to date for sites with a contract: tariffs are written nine days ahead, day-ahead"
        " markets are asked for today and tomorrow. What a market does not tell stays unknown."
    )
    example = "collect_power_prices --site North --json"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--site", metavar="NAME|ID", help="only this one")

    def handle(self, *, site: str | None, json: bool, **_options: Any) -> None:
        contracts = PowerContract.objects.select_related("site")
        if site is not None:
            contracts = contracts.filter(site=site_named(site))
            if not contracts:
                raise CommandError(
                    f"Site {site!r} has no contract of electricity: make one in the admin, or import prices."
                )
        priced = price_ahead(contracts)
        self.emit(
            {"sites": [asdict(one) for one in priced]}, "\n".join(map(line, priced)) or "no contracts", as_json=json
        )
        if any(one.outcome not in {"ok", "not_out"} for one in priced):
            raise SystemExit(1)


def line(one: Priced) -> str:
    return f"{one.site}: {one.kind} {one.outcome}, {one.rows} prices written {one.detail}".rstrip()
