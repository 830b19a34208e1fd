from typing import Any

from django.core.management.base import CommandError, CommandParser

from accounts.models import User
from curtailment.management.acting import add_by_argument, person, plan_numbered, refusals_told
from curtailment.models import PlanMiner
from curtailment.overrides import release_miner, restore_now, restore_site
from curtailment.states import UNRECOVERED
from hosting.management.sites import site_named
from minefarm.lib.command import FarmCommand


class Command(FarmCommand):
    help = (
        "Bring machines back now: those of a plan, all of a site (plans that did not begin are cancelled), or one."
        " It writes what is wanted; the next pass, or the watchdog, does it, with or without the broker."
    )
    example = 'restore_curtailment --site North --reason "false alarm"'

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("plan", type=int, nargs="?", metavar="PLAN")
        parser.add_argument("--site", help="name or id: everything that plans stopped there")
        parser.add_argument("--miner", metavar="SERIAL", help="this machine alone, out of the plan that holds it")
        parser.add_argument("--reason", required=True, help="for the trail")
        add_by_argument(parser, required=False)

    def handle(
        self, *, plan: int | None, site: str | None, miner: str | None, reason: str, json: bool, **options: Any
    ) -> None:
        if sum(given is not None for given in (plan, site, miner)) != 1:
            raise CommandError("Say what to bring back: a plan's number, or --site, or --miner.")
        by = person(options["by"])
        with refusals_told():
            if site is not None:
                document, text = self.of_site(site, reason, by)
            elif miner is not None:
                document, text = self.of_miner(miner, reason, by)
            else:
                document, text = self.of_plan(plan or 0, reason, by)
        self.emit(document, text, as_json=json)

    def of_plan(self, number: int, reason: str, by: User | None) -> tuple[dict[str, Any], str]:
        found = plan_numbered(number, by=by)
        asked = restore_now(found, reason=reason, by=by)
        text = f"plan {number}: its machines come back" + ("" if asked else ", as was asked before")
        return {"restoring": [number], "cancelled": [], "asked_now": asked}, text

    def of_site(self, name: str, reason: str, by: User | None) -> tuple[dict[str, Any], str]:
        site = site_named(name)
        done = restore_site(site, reason=reason, by=by)
        text = f"{site}: {len(done['restoring'])} plans restore, {len(done['cancelled'])} are cancelled"
        return {**done, "asked_now": bool(done["restoring"] or done["cancelled"])}, text

    def of_miner(self, serial: str, reason: str, by: User | None) -> tuple[dict[str, Any], str]:
        rows = PlanMiner.objects.open().filter(
            miner__serial_number=serial, live=True, plan__recovery_state__in=UNRECOVERED
        )
        rows = rows if by is None else rows.filter(pk__in=PlanMiner.objects.for_user(by))
        targets = list(rows.select_related("plan", "miner"))
        if not targets:
            raise CommandError(f"No plan holds a machine {serial}.")
        asked = [release_miner(target, reason=reason, by=by) for target in targets]
        plans = [target.plan_id for target in targets]
        text = f"{serial} comes back, out of plan {', '.join(map(str, plans))}"
        return {"miner": serial, "plans": plans, "asked_now": any(asked)}, text
