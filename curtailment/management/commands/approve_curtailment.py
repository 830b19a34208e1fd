from typing import Any

from django.core.management.base import CommandError, CommandParser

from curtailment.lifecycle import approve_plan
from curtailment.management.acting import add_by_argument, as_document, in_words, person, plan_numbered, refusals_told
from minefarm.lib.command import FarmCommand

SHORTEST = 12  # signs of a hash that name a plan's content


class Command(FarmCommand):
    help = (
        "Let a plan run, as it was shown: give the version and the hash that you saw. Somebody else does it than who made it."
        " Without --hash it shows the plan, and approves nothing."
    )
    example = "approve_curtailment 17 --version 1 --hash 3f5a... --by admin@farm.example"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("plan", type=int, metavar="PLAN")
        parser.add_argument("--version", dest="seen", type=int, metavar="N", help="the version that you saw")
        parser.add_argument("--hash", dest="content_hash", help="the hash that you saw; its first 12 signs are enough")
        parser.add_argument("--reason", default="", help="for the trail")
        parser.add_argument(
            "--break-glass",
            action="store_true",
            help="an emergency of at most an hour: alone, with --reason; everybody is told",
        )
        add_by_argument(parser, required=True)

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        # Django's own --version gives way: a plan has one, too.
        return super().create_parser(prog_name, subcommand, conflict_handler="resolve", **kwargs)

    def handle(self, *, plan: int, seen: int | None, content_hash: str | None, json: bool, **options: Any) -> None:
        by = person(options["by"])
        found = plan_numbered(plan, by=by)
        if not content_hash:
            how = f"Approve it with --version {found.version} --hash {found.content_hash[:SHORTEST]}"
            text = f"{in_words(found)}\n{found.reason}\n{how}"
            self.emit(as_document(found) | {"approved": False}, text, as_json=json)
            return
        if len(content_hash) < SHORTEST:
            raise CommandError(f"Give at least {SHORTEST} signs of the hash.")
        whole = found.content_hash if found.content_hash.startswith(content_hash) else content_hash
        with refusals_told():
            approval = approve_plan(
                found,
                version=found.version if seen is None else seen,
                content_hash=whole,
                reason=options["reason"],
                break_glass=options["break_glass"],
                by=by,  # type: ignore[arg-type]  # --by is required
            )
        document = as_document(found) | {"approved": True, "kind": approval.kind}
        self.emit(document, f"approved: {in_words(found)}", as_json=json)
