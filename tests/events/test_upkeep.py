"""What the outbox forgets, and the command that sends again."""

import json
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db.models.functions import Now
from django.utils import timezone

from events import dispatch
from events.models import EventDelivery, EventEndpoint, EventInbox, OutboxAggregate, OutboxEvent
from events.retention import forget_processed
from minefarm.lib.retention import Hold, Outcome, apply_rules

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def old_events(say, consumer):
    """Two events that went out 31 days ago, one that did yesterday; one failed and one pending for as long."""
    consumer("ears", lambda _event: None)
    for message in ("old", "also old", "new", "failed"):
        say(message, message)
    dispatch.drain()
    say("pending", "pending")
    OutboxEvent.objects.filter(payload__message="failed").update(status="failed")
    OutboxEvent.objects.exclude(payload__message="new").update(
        created_at=Now() - timedelta(days=31), processed_at=Now() - timedelta(days=31)
    )


def month_ago() -> datetime:
    return timezone.now() - timedelta(days=30)


def apply_outbox_rule(**options) -> Outcome:
    """What `apply_retention` says of the outbox."""
    return next(one.outcome for one in apply_rules(timezone.now(), **options) if one.table == "outbox_events")


def left() -> list[str]:
    return sorted(OutboxEvent.objects.values_list("payload__message", flat=True))


def test_only_what_went_out_long_ago_is_forgotten_with_its_inbox(old_events):
    assert [apply_outbox_rule(dry_run=dry_run).rows for dry_run in (True, False)] == [2, 2]
    assert left() == ["failed", "new", "pending"]
    kept = OutboxEvent.objects.filter(payload__message__in=["failed", "new"]).values_list("event_uuid", flat=True)
    assert set(EventInbox.objects.values_list("event_uuid", flat=True)) == set(kept)
    assert OutboxAggregate.objects.get(aggregate_key="old").last_seq == 1


def test_batches_end_when_nothing_is_left(old_events):
    assert forget_processed(before=month_ago(), batch=1) == 2
    assert forget_processed(before=month_ago(), batch=1) == 0


def test_a_hold_keeps_them(old_events):
    hold = Hold("outbox_events", month_ago() - timedelta(days=10), month_ago(), "asked for by an auditor")
    assert apply_outbox_rule(dry_run=False, holds=[hold]).notes == ("held: asked for by an auditor",)
    assert OutboxEvent.objects.count() == 5


def test_an_event_on_its_way_to_an_endpoint_is_kept(old_events):
    endpoint = EventEndpoint.objects.create(owner_id=uuid4(), target="https://hooks.example/1")
    for message, status in (("old", "pending"), ("also old", "failed")):
        event = OutboxEvent.objects.get(payload__message=message)
        EventDelivery.objects.create(endpoint=endpoint, event=event, aggregate_key=message, status=status)
    assert forget_processed(before=month_ago()) == 1
    assert left() == ["failed", "new", "old", "pending"]
    assert EventDelivery.objects.count() == 1


def run(capsys, *arguments) -> dict[str, object]:
    call_command("replay_outbox", *arguments, "--json")
    return json.loads(capsys.readouterr().out)


def states() -> dict[str, str]:
    return dict(OutboxEvent.objects.values_list("payload__message", "status"))


def test_the_command_replays_what_fits_every_filter(old_events, capsys):
    before = states()
    assert run(capsys, "--failed", "--dry-run") == {"replayed": 1, "dry_run": True}
    assert run(capsys, "--failed", "--type", "miner.offline") == {"replayed": 0, "dry_run": False}
    assert states() == before
    assert run(capsys, "--failed", "--type", "webhook.test") == {"replayed": 1, "dry_run": False}
    assert states() == before | {"failed": "pending"}
    yesterday = (OutboxEvent.objects.get(payload__message="new").created_at - timedelta(days=1)).isoformat()
    assert run(capsys, "--since", yesterday) == {"replayed": 1, "dry_run": False}
    old = OutboxEvent.objects.get(payload__message="old")
    also = OutboxEvent.objects.get(payload__message="also old")
    both = run(capsys, "--id", str(old.pk), "--id", str(also.event_uuid), "--handlers-again")
    assert both == {"replayed": 2, "dry_run": False}
    assert not EventInbox.objects.filter(event_uuid__in=[old.event_uuid, also.event_uuid]).exists()
    assert set(states().values()) == {"pending"}


def test_the_command_gives_up_on_pending_ones_only(old_events, capsys):
    before = states()
    assert run(capsys, "--type", "webhook.test", "--cancel", "--dry-run") == {"cancelled": 1, "dry_run": True}
    assert run(capsys, "--type", "webhook.test", "--cancel") == {"cancelled": 1, "dry_run": False}
    assert states() == before | {"pending": "failed"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "Say which events"),
        (["--dry-run"], "Say which events"),
        (["--id", "seven"], "neither an event's number nor its UUID"),
        (["--since", "yesterday"], "is no time"),
    ],
)
def test_the_command_refuses_what_names_no_events(arguments, told):
    with pytest.raises(CommandError, match=told):
        call_command("replay_outbox", *arguments)


def test_one_pass_ends_when_nothing_is_due(say, capsys):
    for number in range(3):
        say(str(number))
    call_command("dispatch_outbox", "--json", "--batch", "2")
    assert json.loads(capsys.readouterr().out) == {"handled": 3}
