from datetime import timedelta
from typing import Any

from django.core.management.base import CommandParser
from django.db.models import DurationField, ExpressionWrapper, F
from django.db.models.functions import Now
from django.db.models.lookups import GreaterThan

from events.models import SchedulerLock
from minefarm.lib.command import FarmCommand


class Command(FarmCommand):
    help = "Show who holds which lock; with --bump, free them all after a restore and shut out every holder from before it."
    example = "scheduler_locks --json"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--bump",
            action="store_true",
            help="after a restore: raise every lock's version by a million and free it",
        )

    def handle(self, *, bump: bool, json: bool, **_options: Any) -> None:
        bumped = SchedulerLock.bump_all() if bump else None
        locks = [
            {
                "lock_key": lock.lock_key,
                "held": lock.held,
                "hostname": lock.hostname,
                "process_id": lock.process_id,
                "holder": str(lock.holder),
                "version": lock.lock_version,
                "acquired_at": lock.acquired_at,
                "last_heartbeat": lock.last_heartbeat,
                "expires_at": lock.expires_at,
                "age_s": round(lock.age.total_seconds(), 1),
                "heartbeat_age_s": round(lock.silence.total_seconds(), 1),
            }
            for lock in SchedulerLock.objects.order_by("lock_key").annotate(
                held=GreaterThan(F("expires_at"), Now()),
                age=ExpressionWrapper(Now() - F("acquired_at"), output_field=DurationField()),
                silence=ExpressionWrapper(Now() - F("last_heartbeat"), output_field=DurationField()),
            )
        ]
        document: dict[str, object] = {"locks": locks} if bumped is None else {"bumped": bumped, "locks": locks}
        self.emit(document, describe(locks, bumped), as_json=json)


def describe(locks: list[dict[str, Any]], bumped: int | None) -> str:
    lines = [] if bumped is None else [f"{bumped} locks freed; whoever held one before can no longer write under it."]
    if not locks:
        return "\n".join([*lines, "No job has taken a lock yet."])
    width = max(len(lock["lock_key"]) for lock in locks)
    for lock in locks:
        state = "held" if lock["held"] else "free"
        who = f"{lock['hostname']}/{lock['process_id']}"
        lines.append(
            f"{lock['lock_key']:{width}}  {state}  v{lock['version']}  taken {ago(lock['age_s'])} ago by {who},"
            f" heartbeat {ago(lock['heartbeat_age_s'])} ago"
        )
    return "\n".join(lines)


def ago(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
