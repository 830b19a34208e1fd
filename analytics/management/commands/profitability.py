from argparse import ArgumentTypeError
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management.base import CommandError, CommandParser

from analytics.hashprice import Profitability, hashprice_usd_per_ph_day, profitability
from analytics.models import MarketSnapshot
from hosting.catalogue import CATALOGUE, find_model
from minefarm.lib.command import FarmCommand

PLACES = {"break_even_usd_per_mwh": Decimal("0.01")}
FOUR = Decimal("0.0001")


def figure(text: str) -> Decimal:
    """A number of the command line; plain digits or 1e14."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ArgumentTypeError(f"{text!r} is no number") from None
    if not value.is_finite() or value < 0 or value.adjusted() > 30:
        raise ArgumentTypeError(f"{text!r} is not a number from 0 on")
    return value


class Command(FarmCommand):
    help = (
        "What a machine earns and costs in a day. Price, difficulty, subsidy and fees that are not given come from the newest"
        " stored snapshot; with all four given, no database is needed."
    )
    example = "profitability --model 'S19 Pro' --power-price 0.06 --btc-price 100000 --difficulty 1e14 --subsidy 3.125 --fees 0"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--model", metavar="NAME", help="a model of the catalogue, with its nameplate figures")
        parser.add_argument("--hashrate-ths", type=figure, metavar="X", help="or its hashrate in TH/s ...")
        parser.add_argument("--power-w", type=figure, metavar="Y", help="... and its power in W")
        parser.add_argument("--power-price", type=figure, required=True, metavar="USD_PER_KWH")
        parser.add_argument("--btc-price", type=figure, metavar="USD")
        parser.add_argument("--difficulty", type=figure, metavar="D")
        parser.add_argument("--subsidy", type=figure, metavar="BTC", help="new coins of a block")
        parser.add_argument("--fees", type=figure, metavar="BTC", help="fees of an average block")
        parser.add_argument("--pool-fee", type=figure, default=Decimal(0), metavar="PERCENT")

    def handle(self, *, power_price: Decimal, pool_fee: Decimal, json: bool, **options: Any) -> None:
        hashrate_ths, power_w = machine(options["model"], options["hashrate_ths"], options["power_w"])
        market = self.market(options)
        try:
            hashprice = hashprice_usd_per_ph_day(
                difficulty=market["difficulty"],
                subsidy_btc=market["subsidy"],
                fees_btc=market["fees"],
                btc_price_usd=market["btc_price"],
            )
            result = profitability(
                hashprice_usd_per_ph_day=hashprice,
                hashrate_ths=hashrate_ths,
                power_w=power_w,
                power_price_usd_per_kwh=power_price,
                pool_fee=pool_fee / 100,
            )
        except ValueError as error:
            raise CommandError(str(error), returncode=2) from error
        rounded = {
            name: getattr(result, name).quantize(PLACES.get(name, FOUR)) for name in Profitability.__dataclass_fields__
        }
        self.emit(rounded, describe(rounded), as_json=json)

    def market(self, options: dict[str, Any]) -> dict[str, Decimal]:
        """What is given, completed from the newest snapshot; raises CommandError naming the option that would help."""
        given = {name: options[name] for name in ("btc_price", "difficulty", "subsidy", "fees")}
        if all(value is not None for value in given.values()):
            return given
        stored = newest_market()
        found: dict[str, Any] = {name: stored.get(name) if value is None else value for name, value in given.items()}
        missing = [name for name, value in found.items() if value is None]
        if missing == ["fees"]:
            self.stderr.write("No fees are known: counted as 0; --fees says otherwise.")
            return {**found, "fees": Decimal(0)}
        if missing:
            options_to_give = ", ".join(f"--{name.replace('_', '-')}" for name in missing)
            raise CommandError(f"No stored snapshot tells enough: give {options_to_give}, or run collect_market first.")
        return found


def newest_market() -> dict[str, Decimal | None]:
    """What the newest snapshot with a price says, by the names of the options; nothing when there is none."""
    newest = MarketSnapshot.objects.newest()
    if newest is None:
        return {}
    return {
        "btc_price": newest.btc_price,
        "difficulty": newest.network_difficulty,
        "subsidy": newest.block_reward,
        "fees": newest.fees_btc,
    }


def machine(model: str | None, hashrate_ths: Decimal | None, power_w: Decimal | None) -> tuple[Decimal, Decimal]:
    """TH/s and W of the machine that is meant; raises CommandError (usage)."""
    if model is None:
        if hashrate_ths is None or power_w is None:
            raise CommandError("Give --model NAME, or both --hashrate-ths and --power-w.", returncode=2)
        return hashrate_ths, power_w
    if hashrate_ths is not None or power_w is not None:
        raise CommandError("Give either --model or --hashrate-ths and --power-w, not both.", returncode=2)
    spec = find_model(model)
    if spec is None:
        known = ", ".join(one.name for one in CATALOGUE)
        raise CommandError(f"The catalogue has no model {model!r}: give one of {known}.")
    return spec.hashrate_ths, spec.power_w


def describe(result: dict[str, Decimal]) -> str:
    return (
        f"hashprice   {result['hashprice_usd_per_ph_day']} $/PH/day\n"
        f"revenue     {result['revenue_usd_per_day']} $/day\n"
        f"energy      {result['energy_cost_usd_per_day']} $/day\n"
        f"profit      {result['profit_usd_per_day']} $/day\n"
        f"break-even  {result['break_even_usd_per_mwh']} $/MWh"
    )
