from typing import Any

from django.core.management.base import CommandError, CommandParser

from curtailment.lifecycle import extend_plan
from curtailment.management.acting import add_by_argument, as_document, in_words, person, plan_numbered, refusals_told
from curtailment.moments import NoSuchTime, site_moment
from minefarm.lib.command import FarmCommand


class Command(FarmCommand):
    help = "Let the machines of a plan stay off until later. Somebody else does it than who made the plan."
    example = 'extend_curtailment 17 --until 2026-11-23T19:00 --reason "the grid asks" --by admin@farm.example'

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("plan", type=int, metavar="PLAN")
        parser.add_argument(
            "--until", required=True, metavar="TIME", help="ISO 8601; without an offset the site's clock"
        )
        parser.add_argument("--reason", required=True)
        add_by_argument(parser, required=True)

    def handle(self, *, plan: int, until: str, reason: str, by: str, json: bool, **_options: Any) -> None:
        who = person(by)
        found = plan_numbered(plan, by=who)
        try:
            moment = site_moment(until, found.site)
        except NoSuchTime as error:
            raise CommandError(str(error)) from None
        with refusals_told():
            extend_plan(found, until=moment, reason=reason, by=who)  # type: ignore[arg-type]  # --by is required
        self.emit(as_document(found), f"extended: {in_words(found)}", as_json=json)
