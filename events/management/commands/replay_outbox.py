from datetime import UTC, datetime
from getpass import getuser
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError, CommandParser
from django.db.models import Q, QuerySet

from events.models import OutboxEvent, OutboxStatus
from events.outbox import CANCELLABLE, REPLAYABLE, cancel, replay
from minefarm.lib.command import FarmCommand


class Command(FarmCommand):
    help = "Send events again from their first attempt, under their old identity. At least one filter; all of them must fit."
    example = "replay_outbox --failed --type miner.offline --dry-run"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--id", action="append", default=[], metavar="ID", help="number or UUID; may be repeated")
        parser.add_argument("--type", metavar="TYPE", help="e.g. miner.offline")
        parser.add_argument("--since", metavar="TIME", help="published at this time or later, ISO 8601, UTC by default")
        parser.add_argument("--failed", action="store_true", help="only those that failed for good")
        parser.add_argument(
            "--handlers-again", action="store_true", help="ask also the consumers that have handled the event"
        )
        parser.add_argument("--cancel", action="store_true", help="give up on the pending ones instead")
        parser.add_argument("--dry-run", action="store_true", help="count, change nothing")

    def handle(self, *, json: bool, dry_run: bool, handlers_again: bool, **options: Any) -> None:
        events = chosen(options)
        give_up = options["cancel"]
        if dry_run:
            legal = CANCELLABLE if give_up else REPLAYABLE
            count = events.filter(legal).count()
        elif give_up:
            count = cancel(events, by=getuser())
        else:
            count = replay(events, handlers_again=handlers_again, by=getuser())
        verb = "cancelled" if give_up else "replayed"
        self.emit(
            {verb: count, "dry_run": dry_run},
            f"{count} events {'would be ' if dry_run else ''}{verb}",
            as_json=json,
        )


def chosen(options: dict[str, Any]) -> QuerySet[OutboxEvent]:
    """The events that fit every filter; CommandError for none or for one that cannot be read."""
    if not (options["id"] or options["type"] or options["since"] or options["failed"]):
        raise CommandError("Say which events: --id, --type, --since or --failed.")
    events = OutboxEvent.objects.all()
    if options["id"]:
        events = events.filter(identity(options["id"]))
    if options["type"]:
        events = events.filter(event_type=options["type"])
    if options["since"]:
        events = events.filter(created_at__gte=moment(options["since"]))
    if options["failed"]:
        events = events.filter(status=OutboxStatus.FAILED)
    return events


def identity(names: list[str]) -> Q:
    numbers, uuids = [], []
    for name in names:
        if name.isdecimal():
            numbers.append(int(name))
            continue
        try:
            uuids.append(UUID(name))
        except ValueError:
            raise CommandError(f"{name!r} is neither an event's number nor its UUID: see them in Admin.") from None
    return Q(pk__in=numbers) | Q(event_uuid__in=uuids)


def moment(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(f"{text!r} is no time: write it as 2026-11-23T04:00.") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
