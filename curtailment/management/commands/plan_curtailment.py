from dataclasses import asdict
from typing import Any
from zoneinfo import ZoneInfo

from django.core.management.base import CommandError, CommandParser

from analytics.management.commands.profitability import figure
from curtailment.drafting import Ask, Draft, WrongPlan, draft_plan, miner_ids
from curtailment.models import CurtailmentPlan
from curtailment.moments import NoSuchTime, site_moment
from curtailment.order import lines_of
from curtailment.planning import create_plan
from curtailment.states import Priority, Strategy, TargetRole
from hosting.management.sites import site_named
from hosting.models import Site
from minefarm.lib.command import FarmCommand

SHOWN = 20
REASON = "planned on the command line"


class Command(FarmCommand):
    help = (
        "Plan to stop machines of a site from one time to another. The plan waits for approval by somebody else; with"
        " --dry-run nothing is written. Machines that are left out have a reason."
    )
    example = "plan_curtailment --site North --mw 2 --from 2026-12-01T17:00 --to 2026-12-01T19:00 --strategy fair_share"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--site", required=True, metavar="NAME|ID")
        parser.add_argument("--mw", type=figure, metavar="X", help="without it: whatever the named machines draw")
        parser.add_argument(
            "--from", required=True, dest="since", metavar="TIME", help="by the site's clock unless it has an offset"
        )
        parser.add_argument("--to", required=True, dest="until", metavar="TIME")
        parser.add_argument("--strategy", choices=Strategy.values)
        parser.add_argument("--miners", nargs="+", metavar="SERIAL|ID", help="choose among these alone")
        parser.add_argument("--priority", choices=Priority.values, default=Priority.NORMAL.value)
        parser.add_argument("--reason", default=REASON)
        parser.add_argument("--key", metavar="KEY", help="idempotency key: again with it gives the same plan")
        parser.add_argument("--dry-run", action="store_true", help="show what would be planned")

    def handle(self, *, dry_run: bool, json: bool, key: str | None, **options: Any) -> None:
        try:
            draft = draft_plan(asked(options))
            plan = None if dry_run else create_plan(draft, idempotency_key=key, by=None)
        except (WrongPlan, NoSuchTime) as error:
            raise CommandError(str(error)) from error
        self.emit(document(draft, plan), describe(draft, plan), as_json=json)


def asked(options: dict[str, Any]) -> Ask:
    """What the options ask for. Raises WrongPlan, NoSuchTime, CommandError."""
    site: Site = site_named(options["site"])
    names: list[str] | None = options["miners"]
    default = Strategy.LISTED if names and options["mw"] is None else Strategy.LEAST_EFFICIENT
    return Ask(
        site=site,
        starts_at=site_moment(options["since"], site),
        ends_at=site_moment(options["until"], site),
        target_mw=options["mw"],
        strategy=Strategy(options["strategy"] or default),
        miners=None if names is None else miner_ids(names, site),
        priority=Priority(options["priority"]),
        reason=options["reason"],
    )


def document(draft: Draft, plan: CurtailmentPlan | None) -> dict[str, object]:
    ask = draft.ask
    return {
        "id": None if plan is None else plan.pk,
        "site": ask.site.name,
        "site_id": ask.site.pk,
        "status": None if plan is None else plan.status,
        "version": None if plan is None else plan.version,
        "content_hash": None if plan is None else plan.content_hash,
        "scheduled_time": ask.starts_at,
        "recovery_time": ask.ends_at,
        "strategy": ask.strategy.value,
        "priority": ask.priority.value,
        "reason": ask.reason,
        "target_mw": ask.target_mw,
        "planned_mw": draft.planned_mw,
        "dry_run": plan is None,
        **{name: value for name, value in draft.preview.items() if name != "named"},
        "order": [asdict(line) | {"role": line.role.value} for line in lines_of(draft)],
    }


def describe(draft: Draft, plan: CurtailmentPlan | None) -> str:
    shown, ask = draft.preview, draft.ask
    zone = ZoneInfo(ask.site.time_zone)
    state = "dry run, nothing written" if plan is None else f"plan {plan.pk}, waits for approval"
    target = "whatever they draw" if ask.target_mw is None else f"{ask.target_mw:f} MW"
    counts = f"{shown['machines']:,} machines, {shown['reserve']:,} in reserve, {shown['held']:,} held"
    since, until = (f"{at.astimezone(zone):%Y-%m-%d %H:%M}" for at in (ask.starts_at, ask.ends_at))
    lines = [
        f"{ask.site.name}: {state}",
        f"  from {since} to {until} ({zone.key})",
        f"  target {target}, planned {draft.planned_mw:.3f} MW in {counts}",
    ]
    if shown["shortfall_kw"]:
        lines.append(f"  SHORT of the target by {shown['shortfall_kw']:,.1f} kW")
    lines += [f"  {line}" for line in money(shown)]
    lines.append(f"  back within about {shown['up_minutes']} min of the end")
    table = [line for line in lines_of(draft) if line.role is TargetRole.SELECTED]
    lines.append(f"\n{'':>5}  {'machine':<24} {'client':<20} {'kW':>8} {'TH/s':>8} {'J/TH':>6} {'sum kW':>10}")
    lines += [
        f"{line.place:>5}  {line.serial[:24]:<24} {(line.client or '')[:20]:<20} {line.power_kw:>8.2f}"
        f" {line.hashrate_ths:>8.1f} {line.j_per_th or 0:>6.1f} {line.cumulative_kw or 0:>10.1f}"
        for line in table[:SHOWN]
    ]
    if len(table) > SHOWN:
        lines.append(f"       and {len(table) - SHOWN:,} more: --json lists all")
    lines += [f"left out: {count:,} because {why}" for why, count in shown["left_out"].items()]
    return "\n".join(lines)


def money(shown: dict[str, Any]) -> list[str]:
    """What it saves and forgoes, in words; what is not known is said to be unknown."""
    saved, forgone, restart = (shown[name] for name in ("saved_usd_per_h", "forgone_usd_per_h", "restart_usd"))
    known = [
        f"saves ${saved}/h" if saved is not None else "saves an unknown sum: no price of electricity in USD holds now",
        f"forgoes ${forgone}/h, restart costs ${restart}"
        if forgone is not None
        else "forgoes an unknown sum: no market",
    ]
    if saved is not None and forgone is not None:
        pays = shown["pays_after_minutes"]
        known.append(f"worth it if longer than {pays} min" if pays is not None else "never worth it at these prices")
    return [", ".join(known)]
