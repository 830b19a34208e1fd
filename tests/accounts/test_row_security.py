"""The wall in PostgreSQL: what a customer's request sees although nobody filtered."""

import os
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import DatabaseError, ProgrammingError, connection, transaction
from django.http import HttpResponse, StreamingHttpResponse
from django.test import Client
from django.urls import include, path

from accounts.models import User
from accounts.rls import outside_the_wall
from accounts.tokens import make_token
from hosting.energy import energy
from hosting.models import (
    ClientBucket,
    ClientHour,
    Miner,
    MinerDay,
    MinerHour,
    MinerIdentity,
    MinerLatest,
    MinerModel,
    OperationLog,
    Site,
    Telemetry,
)
from hosting.telemetry.partitions import create_partition, partition_name
from hosting.telemetry.rollups import roll_up, rolled_up
from hosting.telemetry.store import Row, SweepFacts, store_sweep
from minefarm.lib import rls
from minefarm.lib.clock import database_minute
from minefarm.lib.rls import aside, walled
from tests.farm import database_url

NO_GRANT = "no grant: not there for customers' requests"
STAFF = f"staff's own; {NO_GRANT}"
# Tables that name a person or a machine, have no policy, and why that is right.
WITHOUT_POLICY = {
    "account_emailaddress": NO_GRANT,
    "django_admin_log": STAFF,
    "miner_credentials": STAFF,
    "miner_command_batches": STAFF,
    "miner_commands": STAFF,
    "discovered_miners": STAFF,
    "impersonations": STAFF,
    "invitations": f"read by whoever has the link, outside the wall; {NO_GRANT}",
    "hosting_site_tokens": STAFF,
    "retention_holds": STAFF,
    "crm_billing_details": STAFF,
    "login_records": f"read outside the wall, by the page of one's own sign-ins; {NO_GRANT}",
    "user_access": f"read with the person, before the wall; {NO_GRANT}",
    "mfa_authenticator": f"allauth's, outside the wall; {NO_GRANT}",
    "alert_signals": f"what the evaluation remembers; {NO_GRANT}",
    "maintenance_windows": f"planned by staff; {NO_GRANT}",
    "maintenance_window_miners": f"planned by staff; {NO_GRANT}",
    "saved_views": f"of the staff's fleet page; {NO_GRANT}",
    "curtailment_tiers": STAFF,
    "crm_leads": STAFF,
    "crm_deals": STAFF,
    "crm_activities": STAFF,
    "crm_deal_stages": STAFF,
    "crm_billed_months": STAFF,
    "crm_billing_runs": STAFF,
    "curtailment_site_policies": STAFF,
    "curtailment_approvals": STAFF,
    "curtailment_settlement_intervals": STAFF,
    "curtailment_plan_events": STAFF,
    "curtailment_rules": STAFF,
    "curtailment_signal_sources": STAFF,
    "curtailment_signals": STAFF,
    "usersessions_usersession": f"allauth's, outside the wall; {NO_GRANT}",
}
# What the role may read without a policy, and why.
SHARED = {
    "miner_models": "the catalogue is the same for everybody",
    "market_analytics": "public figures",
    "technical_indicators": "what follows from them",
}
# By their columns' names, and by what the models refer to.
OWNERS = ("client_id", "user_id", "miner_id", "owner_id", "customer_id", "performed_by", "created_by_id")
PEOPLES = {"accounts.User", "hosting.Miner"}


def tables_of_people() -> set[str]:
    """Tables of models with a reference to a person or a machine."""
    return {
        model._meta.db_table
        for model in apps.get_models()
        if any(f.is_relation and f.related_model._meta.label in PEOPLES for f in model._meta.concrete_fields)
    }


def rows(sql: str, *parameters: object) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall() if cursor.description else []


def whoami() -> tuple[str, str]:
    return rows("SELECT current_user::text, COALESCE(current_setting('app.user_id', true), '')")[0]


@pytest.fixture
def farm(client_b, miner_a, miner_b, site):
    """A reading, a log line and an identity of each machine."""
    for miner in (miner_a, miner_b):
        OperationLog.objects.create(miner=miner, operation="start")
        MinerIdentity.objects.create(miner=miner, firmware="1.0")
    readings = [
        Row(m.pk, m.client_id, None, hashrate_centi_ths=10_000, power_centi_w=300_000) for m in (miner_a, miner_b)
    ]
    store_sweep(SweepFacts(site.pk, database_minute(), {}, 1.0, 0.1), readings)
    return site


# --- coverage -----------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_every_table_with_an_owner_has_a_policy_or_a_reason():
    found = rows(
        "SELECT DISTINCT c.relname, c.relrowsecurity AND EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid)"
        " FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
        " WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = current_schema()::regnamespace"
        " AND (a.attname = ANY(%s) OR c.relname = ANY(%s))",
        list(OWNERS),
        list(tables_of_people()),
    )
    assert {"hosting_miners", "miner_telemetry", "api_tokens"} <= {table for table, _ in found}
    assert {table for table, protected in found if not protected} - set(WITHOUT_POLICY) == set()


@pytest.mark.django_db
def test_what_the_role_may_read_is_behind_a_policy_or_shared_on_purpose():
    granted = rows(
        "SELECT c.relname, c.relrowsecurity FROM pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'm')"
        " AND c.relnamespace = current_schema()::regnamespace"
        " AND (has_table_privilege(%s, c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')"
        " OR has_any_column_privilege(%s, c.oid, 'SELECT, INSERT, UPDATE'))",
        rls.ROLE,
        rls.ROLE,
    )
    assert {table for table, protected in granted if not protected} == set(SHARED)
    assert not {table for table, _ in granted} & set(WITHOUT_POLICY)


@pytest.mark.django_db
def test_the_role_cannot_sign_in_nor_pass_by():
    ((login, bypass, superuser, inherit),) = rows(
        "SELECT rolcanlogin, rolbypassrls, rolsuper, rolinherit FROM pg_roles WHERE rolname = %s", rls.ROLE
    )
    assert (login, bypass, superuser, inherit) == (False, False, False, False)


# --- rows and columns ---------------------------------------------------------------------------------------------------


def test_a_forgotten_filter_shows_a_client_their_own_rows_alone(farm, client_a, client_b, miner_a, operator):
    with walled(client_a.pk):
        assert list(Miner.objects.values_list("pk", flat=True)) == [miner_a.pk]
        assert list(Telemetry.objects.values_list("miner_id", flat=True)) == [miner_a.pk]
        assert list(MinerLatest.objects.values_list("pk", flat=True)) == [miner_a.pk]
        assert list(MinerIdentity.objects.values_list("pk", flat=True)) == [miner_a.pk]
        assert list(OperationLog.objects.values_list("miner_id", flat=True)) == [miner_a.pk]
        assert set(ClientBucket.objects.values_list("client_id", flat=True)) == {client_a.pk}
        assert list(User.objects.values_list("email", flat=True)) == [client_a.email]
        assert list(Site.objects.values_list("name", flat=True)) == ["North"]
        assert MinerModel.objects.count() > 0
    assert Miner.objects.count() == 2
    assert User.objects.count() == 3


def test_the_energy_ledger_shows_hours_of_ones_own_alone(client_a, client_b, miner_a, miner_b, site):
    """Also those of a machine that was sold since: they are the former owner's."""
    hour = database_minute().replace(minute=0) - timedelta(hours=2)
    for minute in range(60):
        readings = [
            Row(m.pk, m.client_id, None, hashrate_centi_ths=10_000, power_centi_w=300_000) for m in (miner_a, miner_b)
        ]
        store_sweep(SweepFacts(site.pk, hour + timedelta(minutes=minute), {}, 1.0, 0.1), readings)
    Miner.objects.update(created_at=hour - timedelta(days=1))
    roll_up(hour, hour + timedelta(hours=1))
    with walled(client_a.pk):
        assert [hour.kwh for hour in energy(client_a, hour, hour + timedelta(hours=1), per="hour")] == [3]
    Miner.objects.filter(pk=miner_a.pk).update(client=client_b)
    with walled(client_a.pk):
        assert list(MinerHour.objects.values_list("miner_id", flat=True)) == [miner_a.pk]
    with walled(client_b.pk):
        assert list(MinerHour.objects.values_list("miner_id", flat=True)) == [miner_b.pk]
        assert set(ClientHour.objects.values_list("client_id", flat=True)) == {client_b.pk}
        assert set(MinerDay.objects.values_list("miner_id", flat=True)) == {miner_a.pk, miner_b.pk}
        assert rolled_up([site.pk]).hours == hour + timedelta(hours=1)


def test_a_guest_sees_nothing_but_themselves(farm, guest):
    with walled(guest.pk):
        for model in (Miner, Telemetry, MinerLatest, OperationLog, ClientBucket, Site):
            assert model.objects.count() == 0, model
        assert list(User.objects.values_list("pk", flat=True)) == [guest.pk]


def test_a_site_without_machines_of_theirs_is_not_there(farm, client_a):
    Site.objects.create(name="South")
    with walled(client_a.pk):
        assert list(Site.objects.values_list("name", flat=True)) == ["North"]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT cgminer_ip FROM hosting_miners",
        "SELECT capacity_mw FROM hosting_sites",
        "SELECT total_miners FROM hosting_sites",
        "SELECT password_hash FROM users",
        "SELECT * FROM site_telemetry_5min",
        "SELECT kwh FROM site_telemetry_hour",
        "SELECT * FROM site_electricity_prices",
        "SELECT * FROM telemetry_sweeps",
        "SELECT secret FROM event_endpoints",
        "UPDATE outbox_events SET status = 'failed'",
        "SELECT * FROM scheduler_locks",
        "SELECT * FROM django_session",
        "SELECT * FROM {partition}",
        "UPDATE hosting_miners SET serial_number = 'X'",
        "DELETE FROM miner_operation_log",
        "INSERT INTO hosting_sites (name) VALUES ('X')",
        "UPDATE api_tokens SET expiry = now() + interval '9 years'",
        "UPDATE users SET role = 'owner'",
        "TRUNCATE miner_latest",
        "CREATE TABLE x (y int)",
    ],
)
def test_what_was_not_granted_is_refused(farm, client_a, sql):
    sql = sql.format(partition=partition_name(datetime.now(UTC).date()))
    with pytest.raises(ProgrammingError, match="permission denied"), walled(client_a.pk):
        rows(sql)
    assert whoami()[0] != rls.ROLE


def test_nobody_makes_or_revokes_a_token_of_somebody_else(client_a, client_b):
    expires_at = datetime.now(UTC).replace(year=datetime.now(UTC).year + 1, month=1, day=1)
    token, _ = make_token(name="b", scopes=["read"], expires_at=expires_at, by=client_b)
    with walled(client_a.pk):
        assert rows("UPDATE api_tokens SET revoked_at = now() RETURNING id") == []
    with pytest.raises(ProgrammingError, match="row-level security"), walled(client_a.pk):
        make_token(name="x", scopes=["read"], expires_at=expires_at, by=client_b)
    token.refresh_from_db()
    assert token.revoked_at is None


def test_new_days_of_telemetry_are_behind_the_wall_too(farm, client_a, miner_b):
    create_partition(datetime(2031, 5, 6, tzinfo=UTC).date())
    rows("INSERT INTO miner_telemetry (recorded_at, miner_id) VALUES ('2031-05-06', %s) RETURNING 1", miner_b.pk)
    with walled(client_a.pk):
        assert Telemetry.objects.filter(recorded_at__year=2031).count() == 0


# --- requests -----------------------------------------------------------------------------------------------------------


def everything(request):
    return HttpResponse(f"{whoami()[0]} {sorted(Miner.objects.values_list('serial_number', flat=True))}")


def streamed(request):
    def lines():
        for miner in Miner.objects.only("serial_number").order_by("serial_number").iterator():
            yield f"{miner.serial_number} {whoami()[0]}\n"

    return StreamingHttpResponse(lines(), content_type="text/csv")


def broken(request):
    Miner.objects.count()
    raise RuntimeError("broken on purpose")


def sql_error(request):
    try:
        rows("SELECT 1/0")
    except DatabaseError:
        return HttpResponse("swallowed")


def nested(request):
    with transaction.atomic():
        try:
            with transaction.atomic():
                rows("SELECT 1/0")
        except DatabaseError:
            pass
        inner = whoami()[0]
    after = []
    transaction.on_commit(lambda: after.append(whoami()[0]))
    request.session["seen"] = "yes"
    nested.after = after
    with aside():
        beside = Miner.objects.count()
    return HttpResponse(f"{inner} {beside} {Miner.objects.count()}")


@outside_the_wall("a test of the mark")
def outside(request):
    return HttpResponse(str(Miner.objects.count()))


urlpatterns = [
    path("everything/", everything),
    path("streamed/", streamed),
    path("broken/", broken),
    path("sql-error/", sql_error),
    path("nested/", nested),
    path("outside/", outside),
    path("", include("minefarm.urls")),
]
here = pytest.mark.urls(__name__)


@here
def test_a_page_that_forgot_its_filter_shows_own_rows(client, client_a, operator, miner_a, miner_b):
    client.force_login(client_a)
    assert client.get("/everything/").content.decode() == "minefarm_portal ['A-0001']"
    client.force_login(operator)
    assert client.get("/everything/").content.decode().endswith("['A-0001', 'B-0001']")


@here
def test_a_streamed_answer_is_read_behind_the_wall(client, client_a, miner_a, miner_b):
    client.force_login(client_a)
    answer = client.get("/streamed/")
    assert b"".join(answer.streaming_content).decode() == "A-0001 minefarm_portal\n"
    assert whoami() != ("minefarm_portal", str(client_a.pk))
    assert Miner.objects.count() == 2


@here
def test_a_view_outside_of_the_wall_says_why(client, client_a, miner_a, miner_b):
    client.force_login(client_a)
    assert client.get("/outside/").content == b"2"
    assert outside.outside_the_wall == "a test of the mark"


@here
@pytest.mark.parametrize("door", ["session", "token"])
@pytest.mark.django_db(transaction=True)
def test_a_connection_comes_back_clean(client_a, miner_a, miner_b, door):
    owner = whoami()[0]
    headers = {}
    browser = Client(raise_request_exception=False)
    if door == "session":
        browser.force_login(client_a)
        addresses = ("/everything/", "/streamed/", "/broken/", "/sql-error/", "/nested/", "/miners/", "/nothing/")
    else:
        expires_at = datetime.now(UTC).replace(year=datetime.now(UTC).year + 1, month=1, day=1)
        _, secret = make_token(name="t", scopes=["read"], expires_at=expires_at, by=client_a)
        headers = {"authorization": f"Bearer {secret}"}
        addresses = ("/api/v1/miners/", "/api/v1/telemetry/", "/api/v1/miners/99999/", "/api/v1/miners/?page_size=x")
    pid = rows("SELECT pg_backend_pid()")
    for address in addresses:
        answer = browser.get(address, headers=headers)
        if answer.streaming:
            b"".join(answer.streaming_content)
        assert not connection.in_atomic_block, address
        assert whoami() == (owner, ""), address
        assert rows("SELECT pg_backend_pid()") == pid, address
        assert Miner.objects.count() == 2
    assert rls.is_walled() is False


@here
@pytest.mark.django_db(transaction=True)
def test_savepoints_commit_hooks_and_sessions_work_around_the_wall(client_a, miner_a, miner_b):
    owner = whoami()[0]
    browser = Client()
    browser.force_login(client_a)
    assert browser.get("/nested/").content.decode() == "minefarm_portal 2 1"
    assert nested.after == [owner]
    assert browser.session["seen"] == "yes"


@here
@pytest.mark.django_db(transaction=True)
def test_a_streamed_answer_that_is_cut_short_leaves_a_clean_connection(client_a, miner_a, miner_b):
    browser = Client()
    browser.force_login(client_a)
    answer = browser.get("/streamed/")
    next(iter(answer.streaming_content))
    answer.close()
    assert not connection.in_atomic_block
    assert whoami()[1] == ""


def test_the_wall_is_not_entered_for_two(client_a, client_b):
    with walled(client_a.pk), pytest.raises(RuntimeError, match="Already behind"), walled(client_b.pk):
        pass


def test_stepping_aside_is_undone_by_an_error(client_a, miner_a, miner_b):
    with walled(client_a.pk):
        with aside():
            assert Miner.objects.count() == 2
        with pytest.raises(DatabaseError), aside():
            rows("SELECT 1/0")
        assert whoami() == ("minefarm_portal", str(client_a.pk))
        assert Miner.objects.count() == 1


# --- making the role ----------------------------------------------------------------------------------------------------


class Editor:
    def __init__(self, opened) -> None:
        self.connection = opened


@pytest.mark.django_db
@pytest.mark.parametrize("may_make_roles", [True, False])
def test_a_database_owner_who_is_no_superuser(may_make_roles):
    rows_before = rows("SELECT 1 FROM pg_roles WHERE rolname = %s", rls.ROLE)
    assert rows_before == [(1,)]
    user = f"wall_owner_{os.getpid()}"
    role = f"wall_role_{os.getpid()}"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {user} {'CREATEROLE' if may_make_roles else ''}")
        cursor.execute(f"SET LOCAL SESSION AUTHORIZATION {user}")
        make, let_in = (sql.replace(rls.ROLE, role) for sql in (rls.MAKE_ROLE, rls.LET_IN))
        if may_make_roles:
            cursor.execute(make)
            cursor.execute(let_in)
            cursor.execute(make)
            cursor.execute(let_in)
            cursor.execute(f"SET LOCAL ROLE {role}")
            assert whoami()[0] == role
        else:
            with pytest.raises(rls.PortalRoleMissing, match=f"GRANT {rls.ROLE} TO {user};"):
                rls.make_role(Editor(connection))


@pytest.mark.django_db
def test_doctor_sees_a_role_that_passes_by():
    assert rls.trouble() == ""
    rows(f"ALTER ROLE {rls.ROLE} BYPASSRLS")
    assert rls.trouble() == f"the role {rls.ROLE} passes by row security"
    with pytest.raises(rls.PortalRoleMissing, match="ALTER ROLE minefarm_portal NOSUPERUSER NOBYPASSRLS"):
        rls.make_role(Editor(connection))
    rows(f"ALTER ROLE {rls.ROLE} NOBYPASSRLS")
    rows(f"CREATE ROLE wall_worker_{os.getpid()}")
    rows(f"SET LOCAL SESSION AUTHORIZATION wall_worker_{os.getpid()}")
    assert "may not enter" in rls.trouble()


@pytest.mark.django_db(transaction=True)
def test_many_databases_make_the_role_at_once():
    """Each in a database of its own would take a minute; the role is the cluster's, so connections collide alike."""
    role = f"wall_race_{os.getpid()}"
    user = f"wall_racer_{os.getpid()}"
    make, let_in = (sql.replace(rls.ROLE, role) for sql in (rls.MAKE_ROLE, rls.LET_IN))
    failures: list[Exception] = []
    start = threading.Barrier(8)

    def migrate() -> None:
        try:
            with closing(psycopg.connect(database_url(), autocommit=True)) as opened:
                opened.execute(f"SET SESSION AUTHORIZATION {user}")
                start.wait()
                opened.execute(make)
                opened.execute(let_in)
                opened.execute(f"SET ROLE {role}")
        except Exception as error:  # noqa: BLE001  reported below
            failures.append(error)

    rows(f"CREATE ROLE {user} CREATEROLE")
    try:
        workers = [threading.Thread(target=migrate) for _ in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert failures == []
    finally:
        rows(f"DROP ROLE IF EXISTS {role}; DROP ROLE {user}")


@pytest.mark.storm
@pytest.mark.django_db(transaction=True)
def test_the_policies_can_be_taken_back_and_put_on_again():
    def protected() -> int:
        return rows("SELECT count(*) FROM pg_policy WHERE polname = 'portal'")[0][0]

    before = protected()
    try:
        call_command("migrate", "hosting", "0004", verbosity=0)
        assert 0 < protected() < before
    finally:
        call_command("migrate", verbosity=0)
    assert protected() == before
