"""Access for a time, by the database's clock: who comes in, until when, and what they are told."""

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.sessions.models import Session
from django.core import mail
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Now
from django.test import Client
from django.utils import timezone
from hypothesis import given, strategies as st

from accounts import sessions
from accounts.apps import endpoint_owners
from accounts.expiry import covered_until, warnings_due
from accounts.models import LoginRecord, Outcome, User, UserAccess
from accounts.services import disable_user, enable_user, grant_access, limit_to_sites, revoke_access
from accounts.tasks import watch_access
from accounts.tokens import make_token
from events import dispatch
from events.models import OutboxEvent
from minefarm.lib.clock import database_now

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def grant(db, owner):
    """A row whose times are so far from now by the database's clock; None is without a bound."""

    def make(user, start: timedelta | None, end: timedelta | None, **fields):
        now = database_now()
        return UserAccess.objects.create(
            user=user,
            access_start_date=start and now + start,
            access_end_date=end and now + end,
            granted_by=owner,
            **fields,
        )

    return make


def has_access(user) -> bool:
    """As the next request finds it."""
    return User.objects.with_standing().get(pk=user.pk).has_access


# --- who is in ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end", "holds"),
    [
        (None, None, True),
        (-HOUR, None, True),
        (None, HOUR, True),
        (-HOUR, HOUR, True),
        (HOUR, None, False),
        (None, -HOUR, False),
        (-2 * HOUR, -HOUR, False),
        (HOUR, 2 * HOUR, False),
    ],
)
def test_a_grant_holds_from_its_start_until_just_before_its_end(client_a, grant, start, end, holds):
    grant(client_a, start, end)
    assert has_access(client_a) is holds
    client_a.refresh_from_db()
    assert client_a.has_access is holds  # read alone, without the backend


def test_the_first_moment_is_in_and_the_last_one_out(client_a, client_b):
    """One statement has one clock: with rows made up in the same statement, the very moment is hit."""
    sql, params = UserAccess.objects.effective().values("user_id").query.sql_with_params()
    rows = """
        WITH user_access (id, user_id, access_start_date, access_end_date, revoked_at) AS (VALUES
            (1, %s::uuid, statement_timestamp(), NULL::timestamptz, NULL::timestamptz),
            (2, %s::uuid, NULL, statement_timestamp(), NULL))
    """
    with connection.cursor() as cursor:
        cursor.execute(rows + sql, [client_a.pk, client_b.pk, *params])
        assert cursor.fetchall() == [(client_a.pk,)]


def test_a_revoked_grant_does_not_count_but_it_is_one(client_a, grant):
    grant(client_a, None, None, revoked_at=database_now())
    assert not has_access(client_a)
    grant(client_a, -HOUR, HOUR)
    assert has_access(client_a)


@pytest.mark.parametrize(("policy", "holds"), [("allow", True), ("deny", False)])
def test_without_any_grant_the_setting_decides_and_never_about_an_owner(settings, owner, client_a, policy, holds):
    settings.ACCESS_WITHOUT_GRANT = policy
    assert has_access(client_a) is holds
    assert has_access(owner)


def test_the_database_refuses_a_stretch_without_length(client_a, grant):
    for start, end in ((HOUR, HOUR), (2 * HOUR, HOUR)):
        with pytest.raises(IntegrityError), transaction.atomic():
            grant(client_a, start, end)


def test_somebody_without_access_may_nothing(client_a, grant):
    grant(client_a, None, -HOUR)
    assert not client_a.may("miner:view")
    assert not client_a.has_perm("hosting.view_miner")


# --- at the doors -------------------------------------------------------------------------------------------------------


def test_access_that_ends_in_mid_session_is_refused_on_the_next_page(client, client_a, grant, miner_a):
    given = grant(client_a, -HOUR, HOUR)
    client.force_login(client_a)
    assert client.get("/miners/").status_code == 200
    UserAccess.objects.filter(pk=given.pk).update(access_end_date=Now())
    page = client.get("/miners/")
    assert page.status_code == 403
    assert "Your access has ended" in page.text
    assert "A-0001" not in page.text
    assert "no-cache" in page["Cache-Control"]
    assert client.get("/miners/")["Location"].startswith("/accounts/login/")  # and signed out
    assert not Session.objects.exists()


def test_the_same_by_the_api(client, client_a, grant, miner_a):
    given = grant(client_a, -HOUR, HOUR)
    client.force_login(client_a)
    assert client.get("/api/v1/miners/").status_code == 200
    UserAccess.objects.filter(pk=given.pk).update(access_end_date=Now())
    answer = client.get("/api/v1/miners/")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "access_ended")
    assert client.get("/api/v1/miners/").json()["error"]["code"] == "not_authenticated"


def ask_by_token(secret: str) -> int:
    return Client().get("/api/v1/miners/", headers={"Authorization": f"Bearer {secret}"}).status_code


@pytest.fixture
def secret(client_a) -> str:
    token_for = timezone.now() + 30 * DAY
    return make_token(name="reader", scopes=["read"], expires_at=token_for, by=client_a)[1]


def test_the_same_by_a_token(client_a, grant, miner_a, secret):
    given = grant(client_a, -HOUR, HOUR)
    assert ask_by_token(secret) == 200
    UserAccess.objects.filter(pk=given.pk).update(access_end_date=Now())
    assert ask_by_token(secret) == 401


OUT = {
    "not yet": {"start": HOUR, "end": None},
    "expired": {"start": None, "end": -HOUR},
    "revoked": {"start": None, "end": None, "revoked_at": datetime(2026, 1, 1, tzinfo=UTC)},
    "disabled": None,
}


@pytest.mark.parametrize("how", OUT)
def test_every_door_is_shut(client, client_a, grant, miner_a, secret, how):
    client.force_login(client_a)
    by_api = Client()
    by_api.force_login(client_a)
    if OUT[how] is None:
        User.objects.filter(pk=client_a.pk).update(status="DISABLED")
    else:
        grant(client_a, **OUT[how])
    page = client.get("/miners/")
    assert page.status_code in {302, 403}
    assert "A-0001" not in page.text
    assert by_api.get("/api/v1/miners/").status_code in {401, 403}
    assert ask_by_token(secret) == 401
    Client().post("/accounts/login/", {"login": client_a.email, "password": "correct horse battery"})
    outcome = LoginRecord.objects.latest("id").outcome
    assert outcome == (Outcome.DISABLED if how == "disabled" else Outcome.EXPIRED_ACCESS)


def test_a_page_that_refreshes_itself_is_loaded_anew_to_hear_of_it(client, client_a, grant):
    client.force_login(client_a)
    grant(client_a, None, -HOUR)
    part = client.get("/miners/?partial=table", headers={"HX-Request": "true"})
    assert (part.status_code, part["HX-Refresh"]) == (403, "true")
    assert "Your access has ended" in client.get("/miners/").text


def test_probes_answer_whoever_asks(client, client_a, grant):
    client.force_login(client_a)
    grant(client_a, None, -HOUR)
    assert client.get("/livez").status_code == 200


@pytest.mark.parametrize(("start", "end"), [(HOUR, None), (None, -HOUR)])
def test_signing_in_outside_of_ones_time_is_like_a_wrong_password(client, client_a, grant, start, end):
    wrong = client.post("/accounts/login/", {"login": client_a.email, "password": "wrong"})
    grant(client_a, start, end)
    right = client.post("/accounts/login/", {"login": client_a.email, "password": "correct horse battery"})
    assert "_auth_user_id" not in client.session
    (error,) = right.context["form"].non_field_errors()
    assert [error] == wrong.context["form"].non_field_errors()


def test_revoking_ends_the_session_and_another_grant_keeps_it(client, owner, client_a):
    first = grant_access(client_a, reason="contract", by=owner)
    second = grant_access(client_a, end=database_now() + DAY, by=owner)
    client.force_login(client_a)
    assert revoke_access(first, by=owner) is True
    assert client.get("/miners/").status_code == 200
    assert revoke_access(second, by=owner) is True
    assert not Session.objects.exists()
    assert revoke_access(second, by=owner) is False
    second.refresh_from_db()
    assert second.revoked_by == owner
    assert second.revoked_at is not None


def test_a_disabled_person_has_no_session_at_once(client, owner, client_a, client_b):
    others = Client()
    others.force_login(client_b)
    client.force_login(client_a)
    disable_user(client_a, by=owner)
    assert [session.get_decoded()["_auth_user_id"] for session in Session.objects.all()] == [str(client_b.pk)]
    enable_user(client_a, by=owner)
    assert client.get("/miners/").status_code == 302


def test_one_query_tells_who_it_is_and_whether_they_may_come_in(client, operator, grant, django_assert_num_queries):
    grant(operator, -HOUR, HOUR)
    client.force_login(operator)
    with django_assert_num_queries(3):  # session, person with their standing, machines
        client.get("/api/v1/miners/")


def test_who_has_no_access_hears_of_no_event(client_a, operator, owner, grant, site):
    grant(client_a, None, -HOUR)
    limit_to_sites(operator, [site.pk], by=owner)
    people = endpoint_owners([client_a.pk, operator.pk, owner.pk])
    assert not people[client_a.pk].may_hear_of(client_a.pk)
    assert not people[operator.pk].may_hear_of(None)  # the farm's events are of every site
    assert people[owner.pk].may_hear_of(None)


# --- granting -----------------------------------------------------------------------------------------------------------


def test_only_owners_and_admins_grant_and_not_above_themselves(owner, admin, operator, client_a):
    assert grant_access(client_a, reason=" audit ", by=admin).reason == "audit"
    for user, by in ((client_a, operator), (client_a, client_a), (owner, admin)):
        with pytest.raises(PermissionDenied):
            grant_access(user, by=by)
    assert UserAccess.objects.count() == 1


def test_a_grant_that_is_over_or_has_no_length_is_refused(owner, client_a):
    now = database_now()
    for start, end in ((None, now - HOUR), (now + DAY, now + HOUR)):
        with pytest.raises(ValidationError):
            grant_access(client_a, start=start, end=end, by=owner)
    assert not UserAccess.objects.exists()


def test_a_grant_for_later_ends_the_session_of_today(client, owner, client_a):
    client.force_login(client_a)
    grant_access(client_a, start=database_now() + DAY, by=owner)
    assert not Session.objects.exists()


def test_access_is_granted_and_revoked_on_the_persons_page(client, owner, guest):
    client.force_login(owner)
    page = f"/admin/accounts/user/{guest.pk}/change/"
    form = {"email": guest.email, "name": "guest", "role": "guest", "status": "ACTIVE", "role_id": ""}
    new = {
        "access_grants-TOTAL_FORMS": "1",
        "access_grants-INITIAL_FORMS": "0",
        "access_grants-0-access_start_date_0": "",
        "access_grants-0-access_start_date_1": "",
        "access_grants-0-access_end_date_0": "2090-01-01",
        "access_grants-0-access_end_date_1": "12:00",
        "access_grants-0-reason": "audit",
    }
    assert client.post(page, form | new).status_code == 302
    made = UserAccess.objects.get()
    assert (made.user, made.granted_by, made.reason) == (guest, owner, "audit")
    assert made.access_end_date == datetime(2090, 1, 1, 12, tzinfo=UTC)
    assert "holds" in client.get(page).text
    old = {
        "access_grants-TOTAL_FORMS": "1",
        "access_grants-INITIAL_FORMS": "1",
        "access_grants-0-id": str(made.pk),
        "access_grants-0-user": str(guest.pk),
        "access_grants-0-reason": "another reason",
        "access_grants-0-revoke": "on",
    }
    assert client.post(page, form | old).status_code == 302
    made.refresh_from_db()
    assert (made.revoked_by, made.reason) == (owner, "audit")


def test_the_persons_page_refuses_a_grant_that_is_over(client, owner, guest):
    client.force_login(owner)
    answer = client.post(
        f"/admin/accounts/user/{guest.pk}/change/",
        {
            "email": guest.email,
            "role": "guest",
            "status": "ACTIVE",
            "access_grants-TOTAL_FORMS": "1",
            "access_grants-INITIAL_FORMS": "0",
            "access_grants-0-access_end_date_0": "2020-01-01",
            "access_grants-0-access_end_date_1": "12:00",
            "access_grants-0-reason": "audit",
        },
    )
    assert "This is over already" in answer.text
    assert not UserAccess.objects.exists()


def test_the_commands_grant_and_revoke(capsys, owner, operator, client_a):
    call_command("grant_access", client_a.email, "--until", "2090-01-01", "--reason", "contract", "--as", owner.email)
    assert UserAccess.objects.get().access_end_date == datetime(2090, 1, 1, tzinfo=UTC)
    call_command("revoke_access", client_a.email, "--as", owner.email)
    assert not has_access(client_a)
    with pytest.raises(CommandError, match="no grant to revoke"):
        call_command("revoke_access", client_a.email, "--as", owner.email)
    with pytest.raises(CommandError, match="may not useraccess:add"):
        call_command("grant_access", client_a.email, "--as", operator.email)
    assert "has access" in capsys.readouterr().out


# --- each minute --------------------------------------------------------------------------------------------------------


def test_each_minute_ends_the_sessions_of_people_whose_access_is_over(client, client_a, client_b, operator, grant):
    told = []
    hook = sessions.on_access_ended(told.append)
    try:
        for user in (client_a, client_b, operator):
            Client().force_login(user)
        grant(client_a, None, -HOUR)
        grant(client_b, None, HOUR)
        watch_access()
        watch_access()
    finally:
        sessions.ENDED_HOOKS.remove(hook)
    left = {session.get_decoded()["_auth_user_id"] for session in Session.objects.all()}
    assert left == {str(client_b.pk), str(operator.pk)}
    assert told == [{client_a.pk}, {client_a.pk}]


@pytest.mark.django_db(transaction=True)
def test_the_warnings_are_each_sent_once(client_a, client_b, owner, grant):
    given = grant(client_a, None, 6 * DAY)
    grant(client_b, None, 8 * DAY)
    for _ in range(2):
        watch_access()
        dispatch.drain(seconds=5)
    assert [(letter.to, letter.subject) for letter in mail.outbox] == [
        ([client_a.email], "Your access to MineFarm ends soon")
    ]
    UserAccess.objects.filter(pk=given.pk).update(access_end_date=database_now() + 20 * HOUR)
    for _ in range(2):
        watch_access()
        dispatch.drain(seconds=5)
    events = OutboxEvent.objects.filter(event_type="access.expiring").order_by("id")
    assert [(event.aggregate_key, event.client_id, event.payload["days"]) for event in events] == [
        (f"user:{client_a.pk}", client_a.pk, 7),
        (f"user:{client_a.pk}", client_a.pk, 1),
    ]
    assert len(mail.outbox) == 2


def test_nobody_is_warned_whose_access_goes_on(owner, client_a, client_b, guest, operator, grant):
    now = database_now()
    grant(client_a, None, DAY / 2)
    grant(client_a, 6 * HOUR, None)  # overlaps, without an end
    first = grant(client_b, None, 2 * DAY)
    UserAccess.objects.create(user=client_b, access_start_date=first.access_end_date, access_end_date=now + 30 * DAY)
    grant(guest, None, 2 * DAY)
    grant(guest, None, 3 * DAY, revoked_at=now)
    grant(operator, None, 2 * DAY)
    User.objects.filter(pk=operator.pk).update(status="DISABLED")
    grant(owner, None, 2 * DAY)
    assert [(warning.user, warning.days) for warning in warnings_due(database_now())] == [(guest, 7)]


MOMENTS = st.integers(-20, 20)
WINDOWS = st.lists(st.tuples(st.none() | MOMENTS, st.none() | MOMENTS).filter(lambda w: None in w or w[0] < w[1]))
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@given(WINDOWS)
def test_covered_until_is_the_first_hour_that_no_window_covers(hours):
    def at(hour: int | None) -> datetime | None:
        return None if hour is None else NOON + hour * HOUR

    def covers(hour: int) -> bool:
        return any((start is None or start <= hour) and (end is None or hour < end) for start, end in hours)

    uncovered = next((hour for hour in range(22) if not covers(hour)), None)
    assert covered_until([(at(start), at(end)) for start, end in hours], NOON) == at(uncovered)
