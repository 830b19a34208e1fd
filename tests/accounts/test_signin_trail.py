"""Every attempt leaves one line, which nobody can change."""

from datetime import timedelta

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.test import RequestFactory
from django.utils import timezone

from accounts.models import LoginRecord, Outcome
from accounts.signins.places import location_of
from accounts.signins.trail import TABLE, prune_login_records, session_ref
from minefarm.lib.network import client_address, network_of
from minefarm.lib.retention import apply_rules
from tests.emptying import empty_tables

pytestmark = pytest.mark.django_db


def forgotten_by_rule(**options) -> int:
    """Rows that `apply_retention` lets go of the trail."""
    return next(one.outcome.rows for one in apply_rules(timezone.now(), **options) if one.table == "login_records")


def lines() -> list[tuple[str, str | None, bool]]:
    return list(LoginRecord.objects.order_by("id").values_list("outcome", "email", "success"))


def test_a_sign_in_is_written_down_with_person_address_country_device_and_session(client, client_a, sign_in):
    assert sign_in(client, " Client-A@farm.example ", network="8.8.8.8").status_code == 302
    record = LoginRecord.objects.get()
    assert (record.user, record.email, record.success, record.outcome) == (
        client_a,
        "client-a@farm.example",
        True,
        Outcome.OK,
    )
    assert (record.ip_address, record.location, record.device) == ("8.8.8.8", "United States", "Firefox on Linux")
    assert record.session_ref == session_ref(client.session.session_key)
    assert client.session.session_key not in str(record.session_ref)
    assert timezone.now() - record.login_time < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("typed", "password", "outcome", "kept"),
    [
        ("client-a@farm.example", "wrong", Outcome.BAD_PASSWORD, "client-a@farm.example"),
        ("Nobody@farm.example", "wrong", Outcome.UNKNOWN_USER, "nobody@farm.example"),
        ("my secret password", "client-a@farm.example", Outcome.MALFORMED, None),
        ("hunter2", "", Outcome.MALFORMED, None),
        ("client-a@farm.example", "", Outcome.MALFORMED, "client-a@farm.example"),
        ("", "", Outcome.MALFORMED, None),
        ("client-a@farm.example", "nul\0nul", Outcome.MALFORMED, "client-a@farm.example"),
        ("nul\0@farm.example", "wrong", Outcome.MALFORMED, None),
    ],
)
def test_a_failure_leaves_one_line_and_never_what_may_be_a_password(
    client, client_a, sign_in, typed, password, outcome, kept
):
    assert sign_in(client, typed, password).status_code == 200
    assert lines() == [(outcome, kept, False)]


def test_a_disabled_account_is_told_in_the_trail_and_nowhere_else(client, client_a, sign_in):
    client_a.status = "DISABLED"
    client_a.save()
    answer = sign_in(client, client_a.email)
    assert "email address and/or password you specified are not correct" in answer.text
    assert lines() == [(Outcome.DISABLED, client_a.email, False)]


def test_attempts_that_the_limits_refuse_are_written_down_too(client, client_a, sign_in):
    for _ in range(7):
        sign_in(client, client_a.email, "wrong")
    outcomes = [outcome for outcome, _, _ in lines()]
    assert outcomes == [Outcome.BAD_PASSWORD] * 5 + [Outcome.THROTTLED] * 2
    assert set(LoginRecord.objects.values_list("user", flat=True)) == {client_a.pk}


def test_reading_the_sign_in_page_is_no_attempt(client, db):
    client.get("/accounts/login/")
    assert lines() == []


def test_a_browser_that_names_itself_at_length_is_cut_short(client, client_a, sign_in):
    sign_in(client, client_a.email, agent="x" * 5000)
    assert LoginRecord.objects.get().user_agent == "x" * 300


def test_the_database_refuses_to_change_or_delete_a_line(client, client_a, sign_in):
    sign_in(client, client_a.email)
    for change in (
        lambda: LoginRecord.objects.update(success=False, outcome=Outcome.THROTTLED),
        lambda: LoginRecord.objects.all().delete(),
    ):
        with pytest.raises(DatabaseError, match="kept as written"), transaction.atomic():
            change()
    assert lines() == [(Outcome.OK, client_a.email, True)]


def test_retention_cannot_be_talked_into_deleting_a_young_line(client, client_a, sign_in):
    sign_in(client, client_a.email)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL minefarm.retention = 'login_records'")
    with pytest.raises(DatabaseError, match="DELETE refused"), transaction.atomic():
        LoginRecord.objects.all().delete()
    assert LoginRecord.objects.count() == 1


@pytest.mark.parametrize("table", ["login_records", "impersonations"])
@pytest.mark.parametrize("marker", ["", f"SET LOCAL minefarm.retention = '{TABLE}'"])
def test_what_is_kept_cannot_be_truncated(table, marker):
    LoginRecord.objects.create(success=False, outcome=Outcome.UNKNOWN_USER)
    with connection.cursor() as cursor:
        cursor.execute(marker or "SELECT 1")
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # else the new row itself holds TRUNCATE up
        with pytest.raises(DatabaseError, match=f"{table} are kept as written: TRUNCATE refused"), transaction.atomic():
            cursor.execute(f"TRUNCATE {table} CASCADE")
    assert LoginRecord.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_test_database_is_emptied_all_the_same():
    LoginRecord.objects.create(success=False, outcome=Outcome.UNKNOWN_USER)
    empty_tables()
    assert not LoginRecord.objects.exists()
    assert ContentType.objects.filter(app_label="accounts", model="loginrecord").exists()


def test_success_and_outcome_cannot_disagree(db):
    with pytest.raises(IntegrityError), transaction.atomic():
        LoginRecord.objects.create(success=True, outcome=Outcome.THROTTLED)


def test_lines_older_than_a_year_are_forgotten_in_batches_by_the_daily_rule(db):
    now = timezone.now()
    for days in (1, 364, 366, 400, 500):
        LoginRecord.objects.create(
            success=False,
            outcome=Outcome.BAD_PASSWORD,
            login_time=now - timedelta(days=days),
            email=f"{days}@f.example",
        )
    assert prune_login_records(batch=2) == 3
    assert [email for _, email, _ in lines()] == ["1@f.example", "364@f.example"]
    assert forgotten_by_rule(dry_run=False) == 0
    LoginRecord.objects.create(
        success=False, outcome=Outcome.BAD_PASSWORD, login_time=now - timedelta(days=366), email="366@f.example"
    )
    assert [forgotten_by_rule(dry_run=dry_run) for dry_run in (True, False)] == [1, 1]


def test_a_shorter_setting_does_not_shorten_the_year(db, settings):
    settings.RETENTION_LOGIN_RECORDS_DAYS = 30
    old = timezone.now() - timedelta(days=200)
    LoginRecord.objects.create(success=False, outcome=Outcome.BAD_PASSWORD, login_time=old)
    assert forgotten_by_rule(dry_run=False) == 0


@pytest.mark.parametrize(
    ("proxies", "peer", "forwarded", "seen"),
    [
        (0, "203.0.113.7", "198.51.100.1", "203.0.113.7"),
        (1, "10.0.0.1", "198.51.100.1", "198.51.100.1"),
        (1, "10.0.0.1", "1.2.3.4, 198.51.100.1", "198.51.100.1"),
        (2, "10.0.0.1", "1.2.3.4, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        (2, "203.0.113.7", "1.2.3.4", "203.0.113.7"),
        (1, "203.0.113.7", "", "203.0.113.7"),
        (1, "203.0.113.7", "1.2.3.4, not-an-address", "203.0.113.7"),
        (1, "10.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
        (1, "10.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
        (0, "::ffff:203.0.113.7", "", "203.0.113.7"),
        (0, "", "198.51.100.1", None),
    ],
)
def test_the_client_is_whom_our_own_proxies_saw(settings, proxies, peer, forwarded, seen):
    settings.TRUSTED_PROXY_COUNT = proxies
    request = RequestFactory().get("/", REMOTE_ADDR=peer, HTTP_X_FORWARDED_FOR=forwarded)
    assert client_address(request) == seen


def test_a_limit_counts_an_ipv4_address_and_an_ipv6_customer():
    assert network_of("203.0.113.7") == "203.0.113.7"
    assert network_of("2001:db8:1:2:3::4") == network_of("2001:db8:1:2:ffff::1") == "2001:db8:1:2::/64"
    assert network_of(None) == "unknown"


@pytest.mark.parametrize(
    ("address", "where"),
    [
        ("8.8.8.8", "United States"),
        ("2a00:1450:4001::1", "Ireland"),
        ("192.168.1.5", "private network"),
        ("::1", "private network"),
        (None, None),
    ],
)
def test_the_location_comes_from_a_packaged_table(address, where):
    assert location_of(address) == where


@pytest.mark.parametrize(("role", "status"), [("owner", 200), ("admin", 200), ("operator", 403), ("client_a", 302)])
def test_owners_and_admins_read_the_trail_in_the_admin(client, request, sign_in, role, status):
    client.force_login(request.getfixturevalue(role))
    LoginRecord.objects.create(success=False, outcome=Outcome.UNKNOWN_USER, email="x@farm.example")
    page = client.get("/admin/accounts/loginrecord/")
    assert page.status_code == status
    assert ("x@farm.example" in page.text) == (status == 200)


def test_nobody_adds_changes_or_deletes_a_line_in_the_admin(client, owner):
    client.force_login(owner)
    record = LoginRecord.objects.create(success=False, outcome=Outcome.UNKNOWN_USER, email="x@farm.example")
    base = "/admin/accounts/loginrecord/"
    assert client.get(f"{base}{record.pk}/change/").status_code == 200
    for path in (f"{base}add/", f"{base}{record.pk}/change/", f"{base}{record.pk}/delete/"):
        assert client.post(path, {"email": "y@farm.example", "post": "yes"}).status_code == 403
    assert lines() == [(Outcome.UNKNOWN_USER, "x@farm.example", False)]
