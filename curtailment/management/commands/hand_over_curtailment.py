from typing import Any

from django.core.management.base import CommandError, CommandParser

from curtailment.management.acting import add_by_argument, person, refusals_told
from curtailment.models import PlanMiner
from curtailment.overrides import hand_over
from curtailment.states import TargetState
from minefarm.lib.command import FarmCommand


class Command(FarmCommand):
    help = (
        "Leave a machine that does not come back to people: its plan orders nothing of it any more, it goes into"
        " maintenance and has a ticket. Plans never give up by themselves."
    )
    example = 'hand_over_curtailment A-0017 --reason "its power supply is dead"'

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("serial", metavar="SERIAL")
        parser.add_argument("--reason", required=True, help="for the trail and the ticket")
        add_by_argument(parser, required=False)

    def handle(self, *, serial: str, reason: str, json: bool, **options: Any) -> None:
        by = person(options["by"])
        rows = PlanMiner.objects.filter(miner__serial_number=serial, state=TargetState.RESTORING)
        rows = rows if by is None else rows.filter(pk__in=PlanMiner.objects.for_user(by))
        targets = list(rows.select_related("plan", "miner").order_by("pk"))
        if not targets:
            raise CommandError(
                f"No plan is bringing a machine {serial} back. To take one out of a plan that holds it off:"
                f" restore_curtailment --miner {serial}"
            )
        with refusals_told():
            tickets = [hand_over(target, reason=reason, by=by).pk for target in targets]
        plans = [target.plan_id for target in targets]
        self.emit(
            {"miner": serial, "plans": plans, "tickets": tickets},
            f"{serial} is left to people, out of plan {', '.join(map(str, plans))}: ticket {tickets[-1]}",
            as_json=json,
        )
