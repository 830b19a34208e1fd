from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management.base import CommandError, CommandParser

from curtailment.arming import was_tried
from curtailment.backtest import BackTest, CannotTest, backtest
from curtailment.models import CurtailmentRule
from curtailment.moments import NoSuchTime, site_moment
from minefarm.lib.clock import database_now
from minefarm.lib.command import FarmCommand


class Command(FarmCommand):
    help = (
        "Replay a curtailment rule over stored prices of electricity and hashprice: hours, events, money saved against"
        " machines that always run and against knowing every price. Times without an offset are the site's own clock."
    )
    example = "backtest_curtailment 4 --from 2026-10-01 --to 2026-11-01 --json"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("rule", metavar="RULE", help="number or name of the rule")
        parser.add_argument("--from", dest="since", required=True, metavar="TIME")
        parser.add_argument("--to", dest="until", required=True, metavar="TIME")
        parser.add_argument("--mw", help="MW that are stopped; left out: what the rule would stop now")
        parser.add_argument("--efficiency", metavar="J/TH", help="of those machines; left out: as they run now")

    def handle(
        self, *, rule: str, since: str, until: str, mw: str | None, efficiency: str | None, json: bool, **_options: Any
    ) -> None:
        found = rule_named(rule)
        now = database_now()
        try:
            start, end = site_moment(since, found.site), site_moment(until, found.site)
            result = backtest(
                found,
                start,
                end,
                mw=positive("--mw", mw),
                efficiency_j_th=positive("--efficiency", efficiency),
                now=now,
            )
        except (CannotTest, NoSuchTime) as refused:
            raise CommandError(str(refused)) from None
        was_tried(found, content_hash=result.content_hash, now=now)
        self.emit(result.document(), text(found, result), as_json=json)


def rule_named(told: str) -> CurtailmentRule:
    """By number or by its name. Raises CommandError."""
    rules = CurtailmentRule.objects.select_related("site", "source")
    found = list(rules.filter(pk=int(told)) if told.isdecimal() and len(told) < 10 else rules.filter(name=told))
    if len(found) != 1:
        what = "There is no rule" if not found else "There are several rules"
        raise CommandError(f"{what} {told!r}: give the number that /curtailment/rules/ shows.")
    rule: CurtailmentRule = found[0]
    return rule


def positive(option: str, told: str | None) -> Decimal | None:
    if told is None:
        return None
    try:
        number = Decimal(told)
    except InvalidOperation:
        number = Decimal(0)
    if not number.is_finite() or number <= 0:
        raise CommandError(f"{option} {told} cannot be: give a number above 0.")
    return number


def text(rule: CurtailmentRule, result: BackTest) -> str:
    share = result.share_of_perfect
    lines = [
        f"{rule.name}: {result.mw} MW at {result.efficiency_j_th} J/TH; prices known for {result.known_share:.0%} of the time",
        f"{result.events} times off, {result.hours} h in all, {result.longest_h} h at most",
        f"saved ${result.saved_usd} (electricity ${result.avoided_usd} less revenue ${result.forgone_usd})",
        f"perfect foresight ${result.perfect_usd}" + (f", of which this is {share:.0%}" if share is not None else ""),
    ]
    zone = rule.site.time_zone
    lines += [
        f"  {one.starts_at:%Y-%m-%d %H:%M} UTC for {one.hours:.2f} h: {one.began}" for one in result.stretches[:20]
    ]
    if len(result.stretches) > 20:
        lines.append(f"  and {len(result.stretches) - 20} more; --json lists all (times in UTC, the site is in {zone})")
    return "\n".join(lines)
