from typing import Any

from django.core.management.base import CommandError, CommandParser

from curtailment.management.acting import add_by_argument, person, refusals_told
from curtailment.overrides import LONGEST_FREEZE_MIN, freeze_site, unfreeze_site
from hosting.management.sites import site_named
from minefarm.lib.command import FarmCommand


class Command(FarmCommand):
    help = "Let no order of a plan leave for a site, neither to stop nor to wake; it ends by itself, or with --off."
    example = 'freeze_curtailment --site North --minutes 30 --reason "work at the switchgear"'

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--site", required=True, help="name or id")
        parser.add_argument("--off", action="store_true", help="end the freeze")
        parser.add_argument(
            "--minutes", type=int, default=60, help=f"at most {LONGEST_FREEZE_MIN} (default %(default)s)"
        )
        parser.add_argument("--reason", default="", help="for the trail; needed to freeze")
        add_by_argument(parser, required=False)

    def handle(self, *, site: str, off: bool, minutes: int, reason: str, json: bool, **options: Any) -> None:
        found = site_named(site)
        by = person(options["by"])
        with refusals_told():
            if off:
                if not unfreeze_site(found, reason=reason, by=by):
                    raise CommandError(f"{found} is not frozen.")
                self.emit({"site_id": found.pk, "frozen_until": None}, f"{found} is not frozen any more", as_json=json)
                return
            until = freeze_site(found, reason=reason, minutes=minutes, by=by)
        document = {"site_id": found.pk, "frozen_until": until}
        self.emit(document, f"{found}: no order of a plan leaves until {until:%Y-%m-%d %H:%M} UTC", as_json=json)
