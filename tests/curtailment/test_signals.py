"""Signals of a utility: two doors, each message once, and what holds when the source falls silent."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core import mail
from django.core.exceptions import ValidationError
from django.urls import reverse
from standardwebhooks import Webhook

from curtailment import arming, sources
from curtailment.models import CurtailmentPlan, CurtailmentRule, Signal, SignalSource
from curtailment.rules import evaluate, evaluate_rules
from curtailment.signalling import BadSignal, Message, take, understood
from curtailment.triggers.signals import FailSafe, Kind
from curtailment.triggers.wishes import Act
from events.models import OutboxEvent

pytestmark = pytest.mark.django_db
API = "/api/v1/curtailment/signals/"


@pytest.fixture
def source(site, admin):
    return sources.make_source(site=site, name="utility", by=admin)


@pytest.fixture
def hook(client, source, admin):
    """`hook(body, id="m-1", at=..., secret=...)` posts a signed message."""
    made = sources.new_secret(source, by=admin)

    def post(body, *, name="m-1", at=None, secret=made, to=source.pk, **headers):
        text = body if isinstance(body, str) else json.dumps(body)
        moment = at or datetime.now(UTC)
        signed = {
            "webhook-id": name,
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": Webhook(secret).sign(name, moment, text),
        } | headers
        url = reverse("rules:signal_hook", args=[to])
        return client.post(url, text, content_type="application/json", headers=signed)

    return post


@pytest.fixture
def api(client, source, admin):
    token = sources.new_token(source, by=admin)

    def post(body, *, authorization=f"Signal {token}"):
        text = body if isinstance(body, str) else json.dumps(body)
        return client.post(API, text, content_type="application/json", headers={"Authorization": authorization})

    return post


@pytest.fixture
def rule(source, site, operator, admin, now):
    made = CurtailmentRule(site=site, name="grid", kind="signal", source=source, priority="high", min_on_minutes=0)
    arming.make_rule(made, by=operator)
    arming.was_tried(made, content_hash=made.content_hash, now=now)
    arming.arm(made, content_hash=made.content_hash, by=admin)
    return made


START = {"id": "e-17", "kind": "start", "event": "peak", "mw": 0.006}


# --- the API's door ---------------------------------------------------------------------------------------------------


def test_a_signal_is_taken_once(api, source):
    first, second = api(START), api(START)
    assert (first.status_code, second.status_code) == (201, 200)
    assert (first.json()["repeated"], second.json()["repeated"]) == (False, True)
    kept = Signal.objects.get()
    assert (kept.mw, kept.event, kept.door, len(kept.digest)) == (Decimal("0.006"), "peak", "api", 64)
    assert api(START | {"mw": 5}).status_code == 409
    source.refresh_from_db()
    assert source.last_heard_at == kept.received_at


@pytest.mark.parametrize(
    "authorization", ["", "Signal mfs_wrong", "Bearer mf_x", "Signal \u00e9".encode().decode("latin-1")]
)
def test_without_the_right_token_nobody_is_heard(api, authorization):
    assert api(START, authorization=authorization).status_code == 401
    assert not Signal.objects.exists()


def test_a_persons_session_or_token_does_not_open_the_door(client, admin, now):
    from accounts.tokens import make_token

    _, secret = make_token(name="x", scopes=["read", "write"], expires_at=now + timedelta(days=1), by=admin)
    headers = {"Authorization": f"Bearer {secret}"}
    assert client.post(API, START, content_type="application/json", headers=headers).status_code == 401
    client.force_login(admin)
    assert client.post(API, START, content_type="application/json").status_code == 401


def test_a_source_that_was_switched_off_or_got_another_token_is_not_heard(api, source, admin):
    sources.new_token(source, by=admin)
    assert api(START).status_code == 401
    token = sources.new_token(source, by=admin)
    assert api(START, authorization=f"Signal {token}").status_code == 201
    assert sources.disable(source, by=admin)
    assert api(START | {"id": "2"}, authorization=f"Signal {token}").status_code == 401


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("{", None),
        ("[]", "body"),
        ({"kind": "start"}, "id"),
        ({"id": "1", "kind": "explode"}, "kind"),
        ({"id": "1", "kind": "start", "mw": "NaN"}, "mw"),
        ({"id": "1", "kind": "start", "mw": -1}, "mw"),
        ({"id": "1", "kind": "start", "mw": True}, "mw"),
        ({"id": "1", "kind": "level"}, "level"),
        ({"id": "1", "kind": "start", "ends_at": "2026-11-23T17:00:00"}, "ends_at"),
        ({"id": "1", "kind": "start", "ends_at": "2001-01-01T00:00:00Z"}, "ends_at"),
        ({"id": "1", "kind": "start", "starts_at": "9999-12-31T23:59:59-23:59"}, "starts_at"),
        ({"id": "1\u0000", "kind": "start"}, "id"),
        ({"id": "x" * 201, "kind": "start"}, "id"),
        ({"id": "1", "kind": "start", "event": ["a"]}, "event"),
        ({"id": "1", "kind": "start", "power": 5}, "power"),
    ],
)
def test_what_cannot_be_is_refused_by_field(api, body, field):
    answer = api(body)
    assert answer.status_code == 400
    assert field is None or list(answer.json()["error"]["fields"]) == [field]
    assert not Signal.objects.exists()


def test_more_than_64_kib_is_not_read(api, hook):
    body = json.dumps(START | {"event": "x" * 70_000})
    assert api(body).status_code == 413
    assert hook(body).status_code == 413


# --- the signed webhook -----------------------------------------------------------------------------------------------


def test_a_signed_signal_is_taken_and_its_replay_changes_nothing(hook, source, now):
    assert hook({"kind": "start"}).status_code == 201
    SignalSource.objects.filter(pk=source.pk).update(last_heard_at=now - timedelta(hours=1))
    again = hook({"kind": "start"})
    assert (again.status_code, again.json()["repeated"]) == (200, True)
    assert Signal.objects.get().external_id == "m-1"
    source.refresh_from_db()
    assert source.last_heard_at < now  # a replay is no sign of life
    assert hook({"kind": "stop"}).status_code == 409


@pytest.mark.parametrize("minutes", [-6, 6])
def test_an_expired_or_future_timestamp_is_refused(hook, minutes):
    assert hook({"kind": "start"}, at=datetime.now(UTC) + timedelta(minutes=minutes)).status_code == 401
    assert not Signal.objects.exists()


@pytest.mark.parametrize("signature", ["", "v1", "v1,", "v1,!!!", "v2,AAAA", "v1,\u00e9"])
def test_a_bad_signature_is_refused(hook, signature):
    assert hook({"kind": "start"}, **{"webhook-signature": signature}).status_code == 401


def test_another_sources_secret_does_not_fit(hook, site, admin):
    from hosting.models import Site

    other = sources.make_source(site=Site.objects.create(name="South", location="x"), name="other", by=admin)
    theirs = sources.new_secret(other, by=admin)
    assert hook({"kind": "start"}, secret=theirs).status_code == 401
    assert hook({"kind": "start"}, to=other.pk).status_code == 401
    assert hook({"kind": "start"}, to="00000000-0000-0000-0000-000000000000").status_code == 401
    assert hook({"kind": "start"}, to=other.pk, secret=theirs).status_code == 201
    assert Signal.objects.get().site_id == other.site_id


def test_a_changed_body_does_not_fit_its_signature(hook):
    good = Webhook("whsec_" + "A" * 44).sign("m-1", datetime.now(UTC), '{"kind": "stop"}')
    assert hook({"kind": "start"}, **{"webhook-signature": good}).status_code == 401


# --- what comes of it -------------------------------------------------------------------------------------------------


def test_a_start_makes_a_plan_and_a_stop_brings_the_machines_back(api, rule, running, now):
    for number in range(3):
        running(f"A-{number}")
    api(START)
    done = evaluate(rule.pk, now=Signal.objects.get().received_at)
    assert done.act == Act.START, done
    plan = CurtailmentPlan.objects.get()
    assert (plan.target_power_reduction, plan.priority, plan.miners_affected) == (Decimal("0.006"), "high", 2)
    api({"id": "e-18", "kind": "stop", "event": "peak"})
    assert evaluate(rule.pk, now=now + timedelta(minutes=2)).act == Act.STOP


def test_an_event_that_is_nearly_over_stops_nothing(api, rule, running, now):
    running("A-1")
    api(START | {"ends_at": (now + timedelta(minutes=3)).isoformat()})
    done = evaluate(rule.pk, now=now + timedelta(seconds=30))
    assert (done.act, done.why.endswith("fewer than 5 minutes are left")) == (Act.HOLD, True)
    assert not CurtailmentPlan.objects.exists()


def test_a_rule_does_not_follow_another_sites_source(source, operator):
    from hosting.models import Site

    elsewhere = Site.objects.create(name="South", location="x")
    with pytest.raises(ValidationError) as refused:
        arming.make_rule(CurtailmentRule(site=elsewhere, name="x", kind="signal", source=source), by=operator)
    assert "source" in refused.value.message_dict


# --- silence ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def promised(source, rule, running, now, settings):
    """A source that promised to be heard every 240 s and asked for power a while ago."""
    settings.ALERT_EMAILS = ["ops@farm.example"]
    for number in range(3):
        running(f"A-{number}")
    SignalSource.objects.filter(pk=source.pk).update(silent_after_s=240)
    source.refresh_from_db()
    take(Message("e-1", Kind.START), source=source, digest="x", door="api", now=now)
    return source


def test_a_silent_source_is_told_once_and_again_when_it_is_back(promised, now):
    assert sources.watch_silence(now + timedelta(seconds=240)) == []
    assert sources.watch_silence(now + timedelta(seconds=241)) == [promised]
    assert sources.watch_silence(now + timedelta(seconds=300)) == []
    event = OutboxEvent.objects.get(event_type="curtailment.source_silent")
    assert (event.payload["silent_s"], event.payload["fail_safe"]) == (241, "hold")
    assert "is silent" in mail.outbox[0].subject
    take(Message("h-1", Kind.HEARTBEAT), source=promised, digest="y", door="api", now=now + timedelta(seconds=400))
    assert OutboxEvent.objects.filter(event_type="curtailment.source_heard").count() == 1
    promised.refresh_from_db()
    assert promised.silent_since is None


@pytest.mark.parametrize(
    ("fail_safe", "act"), [(FailSafe.HOLD, Act.HOLD), (FailSafe.RESTORE, Act.STOP), (FailSafe.CURTAIL, Act.EXTEND)]
)
def test_the_fail_safe_holds_while_it_is_silent(promised, rule, fail_safe, act, now):
    SignalSource.objects.filter(pk=promised.pk).update(fail_safe=fail_safe)
    assert evaluate(rule.pk, now=now).act == Act.START
    later = now + timedelta(seconds=270)
    assert [one.act for one in evaluate_rules(now=later)] == [act]


def test_a_person_decides_instead_of_a_silent_source(promised, rule, admin, now):
    assert evaluate(rule.pk, now=now).act == Act.START
    later = now + timedelta(seconds=270)
    sources.override(promised, FailSafe.RESTORE, until=later + timedelta(hours=1), now=later, by=admin)
    assert evaluate(rule.pk, now=later).act == Act.STOP
    with pytest.raises(ValidationError):
        sources.override(promised, FailSafe.HOLD, until=later + timedelta(days=2), now=later, by=admin)


def test_times_far_away_are_refused(source, now):
    with pytest.raises(BadSignal, match="30 days"):
        take(
            Message("1", Kind.START, starts_at=now + timedelta(days=31)), source=source, digest="x", door="api", now=now
        )
    with pytest.raises(BadSignal, match="week"):
        take(Message("1", Kind.START, ends_at=now + timedelta(days=8)), source=source, digest="x", door="api", now=now)
    assert understood({"id": "1", "kind": "start"}).mw is None
