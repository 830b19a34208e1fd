from typing import Any

from django.core.management.base import CommandParser

from curtailment.lifecycle import cancel_plan
from curtailment.management.acting import add_by_argument, as_document, in_words, person, plan_numbered, refusals_told
from minefarm.lib.command import FarmCommand


class Command(FarmCommand):
    help = "Cancel a plan: one that waits does not begin, machines of one that runs come back with the next pass."
    example = 'cancel_curtailment 17 --reason "the grid called it off" --json'

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("plan", type=int, metavar="PLAN")
        parser.add_argument("--reason", required=True, help="for the trail, and for whoever asks")
        add_by_argument(parser, required=False)

    def handle(self, *, plan: int, reason: str, by: str | None, json: bool, **_options: Any) -> None:
        who = person(by)
        found = plan_numbered(plan, by=who)
        with refusals_told():
            cancel_plan(found, reason=reason, by=who)
        restoring = found.restore_requested_at is not None
        text = "cancelled, its machines come back: " if restoring else "cancelled: "
        self.emit(as_document(found) | {"restoring": restoring}, text + in_words(found), as_json=json)
