"""Carrying events to consumers: order, retries, leases, and what a dead or slow dispatcher leaves behind."""

import os
import signal
import subprocess
import threading
import time
from datetime import timedelta

import pytest
from django.core import mail
from django.core.cache import cache
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from events import claims, dispatch, handlers
from events.backoff import SCHEDULE_S, delay_s
from events.models import EventInbox, OutboxAggregate, OutboxEvent
from events.outbox import Fact, cancel, publish, publish_many, replay
from events.tasks import dispatch_outbox
from events.wakeup import Wakeup
from tests.farm import MANAGE, ROOT, database_url

pytestmark = pytest.mark.django_db(transaction=True)


class Refusal(Exception):
    pass


def everything_due() -> None:
    OutboxEvent.objects.filter(status="pending").update(next_attempt_at=Now())


def leases_run_out() -> None:
    OutboxEvent.objects.exclude(locked_until=None).update(locked_until=Now() - timedelta(seconds=1))


def states() -> dict[str, str]:
    return dict(OutboxEvent.objects.values_list("payload__message", "status"))


def test_an_event_reaches_each_consumer_that_its_type_fits(say, consumer):
    heard = []
    consumer("tests", lambda event: heard.append(("tests", event.payload["message"])), pattern="webhook.*")
    consumer("all", lambda events: heard.append(("all", [e.aggregate_seq for e in events])), pattern="*", batched=True)
    consumer("miners", lambda event: heard.append(("miners", event)), pattern="miner.*")
    say("a")
    say("b")
    assert dispatch.dispatch_once() == 2
    assert heard == [("all", [1, 2]), ("tests", "a"), ("tests", "b")]
    event = OutboxEvent.objects.first()
    assert (event.status, event.attempts, event.locked_by, event.last_error) == ("processed", 1, None, None)
    assert event.processed_at >= event.created_at
    assert dispatch.dispatch_once() == 0


def test_an_event_that_nobody_hears_is_processed(say):
    say("a")
    dispatch_outbox()
    assert states() == {"a": "processed"}


def test_a_claim_inside_a_transaction_is_refused(say):
    with transaction.atomic(), pytest.raises(RuntimeError, match="outside"):
        dispatch.dispatch_once()


def test_a_failed_event_holds_back_its_own_thing_and_no_other(say, consumer):
    heard = []

    def refuse_bad(event):
        if event.payload["message"] == "bad":
            raise Refusal("not today")
        heard.append(event.payload["message"])

    consumer("picky", refuse_bad)
    for message, about in [("a1", "a"), ("bad", "b"), ("b2", "b"), ("c1", "c"), ("b3", "b")]:
        say(message, about)
    dispatch.drain()
    assert heard == ["a1", "c1"]
    bad = OutboxEvent.objects.get(payload__message="bad")
    assert (bad.status, bad.attempts, bad.last_error) == ("pending", 1, "picky: Refusal: not today")
    assert timedelta(seconds=4) <= bad.next_attempt_at - bad.created_at <= timedelta(seconds=8)
    for waiting in OutboxEvent.objects.filter(payload__message__in=["b2", "b3"]):
        assert (waiting.status, waiting.attempts, waiting.locked_by) == ("pending", 0, None)
        assert waiting.next_attempt_at == bad.next_attempt_at


def test_the_last_attempt_fails_for_good_tells_people_once_and_lets_the_next_go(say, consumer, settings):
    settings.OUTBOX_MAX_ATTEMPTS, settings.ALERT_EMAILS = 3, ["duty@farm.example"]
    cache.clear()
    tried = []

    def refuse_bad(event):
        tried.append(event.payload["message"])
        if "bad" in event.payload["message"]:
            raise Refusal("never")

    consumer("picky", refuse_bad)
    for message, about in [("bad", "a"), ("next", "a"), ("also bad", "b")]:
        say(message, about)
    for _ in range(3):
        dispatch.drain()
        everything_due()
    dispatch.drain()
    assert states() == {"bad": "failed", "next": "processed", "also bad": "failed"}
    assert tried.count("bad") == 3
    assert OutboxEvent.objects.get(payload__message="bad").last_error == "picky: Refusal: never"
    assert [message.to for message in mail.outbox] == [["duty@farm.example"]]
    assert "replay_outbox --failed" in mail.outbox[0].body


def test_a_retry_asks_only_those_who_have_not_succeeded(say, consumer):
    heard = []
    broken = [True]

    def sometimes(event):
        heard.append("sometimes")
        if broken:
            raise Refusal

    consumer("steady", lambda _event: heard.append("steady"))
    consumer("sometimes", sometimes)
    consumer("together", lambda _events: heard.append("together"), batched=True)
    say("a")
    dispatch.drain()
    broken.clear()
    everything_due()
    dispatch.drain()
    assert heard == ["together", "steady", "sometimes", "sometimes"]
    assert EventInbox.objects.exclude(consumer="sinks").count() == 3


def test_what_a_failed_handler_wrote_is_undone(say, consumer):
    def write_and_fail(event):
        OutboxAggregate.objects.create(aggregate_key="written by the handler", last_seq=0)
        raise Refusal

    consumer("half", write_and_fail)
    say("a")
    dispatch.drain()
    assert not OutboxAggregate.objects.filter(aggregate_key="written by the handler").exists()
    assert not EventInbox.objects.exclude(consumer="sinks").exists()


def test_one_bad_event_of_a_batch_is_found_and_the_others_go(say, consumer):
    applied = []

    def all_or_nothing(events):
        if any(event.payload["message"] == "bad" for event in events):
            raise Refusal
        applied.extend(event.payload["message"] for event in events)

    consumer("in bulk", all_or_nothing, batched=True)
    for message, about in [("a1", "a"), ("b1", "b"), ("bad", "b"), ("b3", "b"), ("a2", "a")]:
        say(message, about)
    dispatch.drain()
    assert applied == ["a1", "b1", "a2"]
    assert states() == {"a1": "processed", "b1": "processed", "bad": "pending", "b3": "pending", "a2": "processed"}


def test_claims_of_two_dispatchers_never_split_the_order_of_a_thing(say):
    for number in range(5):
        say(str(number), "a")
    first = claims.claim_next(2)
    second = claims.claim_next(10)
    assert [event.payload["message"] for event in first.events] == ["0", "1"]
    assert second.events == []
    parked = OutboxEvent.objects.get(payload__message="4")
    assert parked.next_attempt_at <= OutboxEvent.objects.get(payload__message="0").locked_until
    dispatch.handle(first)
    third = claims.claim_next(10)  # without a wait: the results have woken what was parked
    assert [event.payload["message"] for event in third.events] == ["2", "3", "4"]


def test_an_event_numbered_first_goes_first_though_its_neighbours_are_due_earlier(say):
    say("first")
    say("second")
    OutboxEvent.objects.filter(payload__message="second").update(next_attempt_at=Now() - timedelta(hours=1))
    assert [event.payload["message"] for event in claims.claim_next(1).events] == ["first"]


def test_a_lease_that_ran_out_is_taken_over_and_the_late_result_changes_nothing(say, consumer):
    say("a")
    late = claims.claim_next(10)
    assert claims.claim_next(10).events == []
    leases_run_out()
    taken = claims.claim_next(10)
    assert [event.attempts for event in taken.events] == [2]
    turn = claims.Turn(late.events[0], {"late": "came too late"})
    assert claims.mark(late.holder, [turn]) == 0
    event = OutboxEvent.objects.get()
    assert (event.status, event.locked_by, event.last_error) == ("pending", taken.holder, None)
    assert dispatch.handle(taken) == 1
    assert claims.mark(late.holder, [turn]) == 0
    assert states() == {"a": "processed"}


def test_what_does_not_fit_the_lease_is_handed_back_untouched(say, consumer, settings):
    settings.OUTBOX_LEASE_S = 0.4
    heard = []

    def slow(event):
        heard.append(event.payload["message"])
        time.sleep(0.2)

    consumer("slow", slow)
    for number in range(5):
        say(str(number), f"thing:{number}")
    assert dispatch.dispatch_once() == 2
    assert heard == ["0", "1"]
    back = OutboxEvent.objects.filter(status="pending")
    assert set(back.values_list("attempts", "locked_by")) == {(0, None)}
    assert back.count() == 3


def test_an_event_that_kills_its_dispatcher_fails_alone(say):
    for message in ("killer", "b", "c"):
        say(message, message)
    for _ in range(claims.SUSPECT_AFTER):  # three dispatchers die with all of them in hand
        assert len(claims.claim_next(10).events) == 3
        leases_run_out()
    deaths = 0
    while (found := claims.claim_next(10)).events:
        assert len(found.events) == 1
        if found.events[0].payload["message"] == "killer" and found.events[0].attempts <= 10:
            deaths += 1
            leases_run_out()
        elif found.events[0].payload["message"] == "killer":
            leases_run_out()
            dispatch.dispatch_once()
        else:
            dispatch.handle(found)
    assert deaths == 10 - claims.SUSPECT_AFTER
    assert states() == {"killer": "failed", "b": "processed", "c": "processed"}


def test_a_repeat_after_the_effect_and_before_the_mark_applies_it_once(say, consumer):
    """O2 of the safety design, the database half: the dispatcher dies exactly between effect and mark, ten times."""

    def count(event):
        OutboxAggregate.objects.filter(aggregate_key="applied").update(last_seq=F("last_seq") + 1)

    OutboxAggregate.objects.create(aggregate_key="applied", last_seq=0)
    consumer("counter", count)
    for number in range(10):
        say(str(number), f"thing:{number}")
    for _ in range(10):
        found = claims.claim_next(1)
        handlers.consume(handlers.single_consumers(found.events[0])[0], found.events)  # and then it dies
    assert set(states().values()) == {"pending"}
    leases_run_out()
    dispatch.drain()
    assert set(states().values()) == {"processed"}
    assert OutboxAggregate.objects.get(aggregate_key="applied").last_seq == 10


def test_fresh_events_pass_thousands_that_stand_behind_a_blocked_one(say, consumer):
    def refuse_bad(event):
        if event.payload["message"] == "bad":
            raise Refusal

    consumer("picky", refuse_bad)
    with transaction.atomic():
        publish_many(
            "webhook.test", [Fact("a", {"message": "bad"}), *(Fact("a", {"message": "x"}) for _ in range(5000))]
        )
    dispatch.dispatch_once()
    say("fresh", "b")
    started = time.monotonic()
    # On a slow machine the blocked one's next turn comes first: then it is the claim after that.
    while OutboxEvent.objects.get(payload__message="fresh").status != "processed":
        assert time.monotonic() - started < 2
        dispatch.dispatch_once()
    dispatch.drain()
    assert not OutboxEvent.objects.filter(status="pending", next_attempt_at__lte=Now()).exists()


def test_pumps_run_in_every_pass_and_one_that_fails_stops_none(say, monkeypatch):
    monkeypatch.setattr(dispatch, "_pumps", [])
    work = [3, 2]

    @dispatch.register_pump
    def broken(deadline):
        raise Refusal

    @dispatch.register_pump
    def steady(deadline):
        assert deadline > time.monotonic()
        return work.pop() if work else 0

    say("a")
    assert dispatch.drain() == 1 + 2 + 3


def test_replay_sends_again_under_the_old_identity(say, consumer):
    heard = []
    consumer("ears", lambda event: heard.append(event.event_uuid))
    say("a")
    say("b", "miner:2")
    dispatch.drain()
    one = OutboxEvent.objects.filter(payload__message="a")
    assert replay(one, by="the test") == 1
    assert states() == {"a": "pending", "b": "processed"}
    dispatch.drain()
    assert len(heard) == 2  # the inbox knows it
    assert replay(one, handlers_again=True, by="the test") == 1
    dispatch.drain()
    assert heard[2:] == [one.get().event_uuid]
    assert one.get().attempts == 1


def test_replay_and_cancel_leave_alone_what_is_being_handled(say):
    say("a")
    claims.claim_next(1)
    assert replay(OutboxEvent.objects.all(), by="x") == 0
    assert cancel(OutboxEvent.objects.all(), by="x") == 0
    assert OutboxEvent.objects.get().attempts == 1


def test_cancel_gives_up_and_lets_the_next_go(say, consumer, caplog):
    def refuse_bad(event):
        if event.payload["message"] == "bad":
            raise Refusal

    consumer("picky", refuse_bad)
    say("bad")
    say("next")
    dispatch.drain()
    assert states() == {"bad": "pending", "next": "pending"}
    assert cancel(OutboxEvent.objects.filter(payload__message="bad"), by="duty") == 1
    dispatch.drain()
    assert states() == {"bad": "failed", "next": "processed"}
    assert OutboxEvent.objects.get(payload__message="bad").last_error == "cancelled by duty"
    assert cancel(OutboxEvent.objects.all(), by="duty") == 0


def test_the_wait_ends_when_something_is_published():
    def publish_soon():
        try:
            time.sleep(0.3)
            with transaction.atomic():
                publish("webhook.test", about="a", message="x")
        finally:
            connection.close()

    wakeup = Wakeup()
    try:
        assert wakeup.wait(0.05) is False
        thread = threading.Thread(target=publish_soon)
        thread.start()
        started = time.monotonic()
        assert wakeup.wait(10) is True
        assert time.monotonic() - started < 5
        thread.join()
    finally:
        wakeup.close()


def test_the_loop_dispatches_what_comes_and_stops_in_order(say):
    environment = os.environ | {"DATABASE_URL": database_url()}
    with subprocess.Popen(
        [*MANAGE, "dispatch_outbox", "--loop", "--json"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as loop:
        for number in range(3):
            say(str(number))
            deadline = time.monotonic() + 30
            while states()[str(number)] != "processed":
                assert time.monotonic() < deadline
                time.sleep(0.02)
        loop.send_signal(signal.SIGTERM)
        assert loop.communicate(timeout=10)[0].strip() == '{"handled": 3}'
    assert loop.returncode == 0


def test_the_wait_doubles_from_seconds_to_an_hour_and_spreads():
    assert [delay_s(n, chance=0.5) for n in (1, 2, 3, 4, 9, 30)] == [5, 30, 60, 120, 3600, 3600]
    assert (delay_s(1, chance=0), delay_s(1, chance=1)) == (4, 6)
    assert sorted(SCHEDULE_S) == list(SCHEDULE_S)
    with pytest.raises(ValueError, match="first attempt"):
        delay_s(0, chance=0)
