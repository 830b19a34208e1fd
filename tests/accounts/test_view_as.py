"""Staff who look at the portal through a client's eyes: looking only, for a while, on record."""

from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import DatabaseError, connection, transaction
from django.test import Client

from accounts.models import ApiToken, Impersonation, User
from accounts.services import disable_user, limit_to_sites
from accounts.viewing import KEY, LOGOUT_PATH, STOP_PATH, ViewAs, begin
from hosting.models import Miner, Site
from minefarm.lib.clock import database_now
from tests.access.routes import fill, parameters, routes

pytestmark = pytest.mark.django_db
CANARY = "CANARY-OF-CLIENT-B"


@pytest.fixture
def viewing(client, admin, client_a, miner_a, miner_b):
    """The admin's browser, showing what client_a sees."""
    client.force_login(admin)
    answer = client.post(f"/view-as/{client_a.pk}/", {"reason": "ticket 42"})
    assert (answer.status_code, answer["Location"]) == (302, "/")
    return client


def test_the_portal_shows_what_the_client_sees_and_says_so_on_every_page(viewing, client_a, miner_a, miner_b):
    assert viewing.get("/")["Location"] == "/miners/"
    for path in ("/miners/", f"/miners/{miner_a.pk}/", f"/miners/{miner_b.pk}/", "/nothing/"):
        page = viewing.get(path)
        assert "You are viewing as <strong>client-a</strong>" in page.text, path
        assert "Reason: ticket 42. 30 min left." in page.text, path
        assert "Stop viewing" in page.text, path
    page = viewing.get("/miners/")
    assert "A-0001" in page.text
    assert "B-0001" not in page.text
    assert "127.20.0.1" not in viewing.get(f"/miners/{miner_a.pk}/").text
    assert viewing.get(f"/miners/{miner_b.pk}/").status_code == 404
    assert viewing.get("/sites/").status_code == 404


def everywhere(miner: Miner, user: User) -> list[str]:
    """Every path outside the admin, with the client's own rows in it, but signing out and stopping."""
    values = {"pk": miner.pk, "object_id": user.pk, "content_type_id": 1, "app_label": "hosting", "id": 1}
    found = []
    for route in [route for route in routes() if not route.startswith("/admin/")]:
        named = dict.fromkeys(parameters(route), "x") | {k: v for k, v in values.items() if k in parameters(route)}
        if "<uuid:pk>" in route:
            named["pk"] = user.pk
        found.append(fill(route, named))
    return [path for path in found if path not in {STOP_PATH, LOGOUT_PATH, "/livez", "/readyz"}]


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_nothing_can_be_changed_on_any_route(viewing, client_a, miner_a, method):
    paths = everywhere(miner_a, client_a)
    assert {"/miners/", "/webhooks/add/", f"/webhooks/{miner_a.pk}/rotate/", "/accounts/tokens/"} <= set(paths)
    with connection.execute_wrapper(only_reads):
        for path in paths:
            answer = getattr(viewing, method)(path)
            assert answer.status_code == 403, path
            assert "looking only" in answer.text, path


def only_reads(execute, sql, params, many, context):
    """A statement of ours that writes; the session and savepoints are the request's own."""
    assert not sql.startswith(("INSERT", "UPDATE", "DELETE")), sql
    return execute(sql, params, many, context)


def test_no_page_shows_what_the_client_may_not_see(viewing, client_a, client_b, miner_a, miner_b):
    Miner.objects.filter(pk=miner_b.pk).update(serial_number=CANARY)
    Site.objects.create(name=f"{CANARY}-site")
    User.objects.filter(pk=client_b.pk).update(name=CANARY)
    shown = 0
    for path in everywhere(miner_a, client_a) + [p for p in everywhere(miner_b, client_b) if "miners" in p]:
        answer = viewing.get(path)
        body = b"".join(answer.streaming_content).decode() if answer.streaming else answer.text
        assert answer.status_code < 500, path
        assert CANARY not in body, path
        shown += answer.status_code == 200
        if "<!doctype html>" in body and answer.status_code == 200:
            assert "You are viewing as <strong>client-a</strong>" in body, path
    assert shown > 5
    viewing.post(STOP_PATH)
    assert CANARY in viewing.get("/miners/").text


@pytest.mark.parametrize(
    "path",
    [
        *("/admin/", "/admin/accounts/user/", "/accounts/password/change/", "/accounts/tokens/", "/account/security/"),
        *("/api/v1/miners/", "/api/v1/tokens/", "/api/v1/docs/"),
    ],
)
def test_the_admin_the_api_and_account_pages_are_closed(viewing, path):
    assert viewing.get(path).status_code == 403
    assert f'href="{path}"' not in viewing.get("/miners/").text


def test_the_request_knows_both(rf, client, admin, client_a):
    seen = []
    request = rf.get("/miners/")
    request.COOKIES["sessionid"] = "x"
    request.session, request.user = client.session, admin
    begin(request, client_a, reason="x", by=admin)
    ViewAs(lambda asked: seen.append((asked.user, asked.real_user, asked.viewing.reason)))(request)
    assert seen == [(client_a, admin, "x")]


def test_stopping_gives_staff_their_own_view_back_and_ends_the_record(viewing, admin, client_a):
    answer = viewing.post("/view-as/stop/")
    assert (answer.status_code, answer["Location"]) == (302, "/")
    assert viewing.get("/")["Location"] == "/sites/"
    assert "viewing as" not in viewing.get("/miners/").text
    record = Impersonation.objects.get()
    assert (record.by_user, record.as_user, record.reason) == (admin, client_a, "ticket 42")
    assert record.started_at < record.ended_at <= database_now()


def test_an_end_that_nobody_noticed_is_written_down_as_it_was(client, admin, client_a):
    client.force_login(admin)
    began = database_now() - timedelta(hours=3)
    record = Impersonation.objects.create(by_user=admin, as_user=client_a, reason="x", started_at=began)
    session = client.session
    session[KEY] = record.pk
    session.save()
    assert client.get("/sites/", headers={"HX-Request": "true"}).headers["HX-Refresh"] == "true"
    assert client.get("/sites/").status_code == 200
    record.refresh_from_db()
    assert record.ended_at - began == timedelta(minutes=30)


def test_signing_out_ends_both(viewing):
    assert viewing.post("/accounts/logout/").status_code == 302
    assert Impersonation.objects.get().ended_at is not None
    assert viewing.get("/miners/")["Location"].startswith("/accounts/login/")


def test_it_is_over_after_half_an_hour(client, admin, client_a, miner_a):
    client.force_login(admin)
    for minutes, shown in ((29, True), (31, False)):
        began = database_now() - timedelta(minutes=minutes)
        record = Impersonation.objects.create(by_user=admin, as_user=client_a, reason="x", started_at=began)
        session = client.session
        session[KEY] = record.pk
        session.save()
        page = client.get("/miners/")
        assert ("You are viewing as" in page.text) is shown
        assert ("Your view as client-a is over." in page.text) is not shown
    assert KEY not in client.session
    assert client.get("/sites/").status_code == 200


def test_it_is_over_when_either_may_no_longer(viewing, owner, client_a, client_b):
    disable_user(client_a, by=owner)
    assert viewing.get("/sites/").status_code == 200
    viewing.post(f"/view-as/{client_b.pk}/", {"reason": "ticket 43"})
    assert "viewing as" in viewing.get("/miners/").text
    User.objects.filter(email="admin@farm.example").update(status="DISABLED")
    assert viewing.get("/miners/").status_code == 302


def test_anothers_record_shows_nothing(client, owner, admin, client_a):
    record = Impersonation.objects.create(by_user=admin, as_user=client_a, reason="x")
    client.force_login(owner)
    session = client.session
    session[KEY] = record.pk
    session.save()
    assert client.get("/sites/").status_code == 200


def test_a_reason_is_asked_for(client, admin, client_a):
    client.force_login(admin)
    assert client.get(f"/view-as/{client_a.pk}/").status_code == 200
    page = client.post(f"/view-as/{client_a.pk}/", {"reason": "  "})
    assert page.status_code == 200
    assert not Impersonation.objects.exists()


@pytest.mark.parametrize("name", ["operator", "client_b", "guest"])
def test_who_may_not_view_finds_nothing_there(client, request, name, client_a):
    client.force_login(request.getfixturevalue(name))
    assert client.get(f"/view-as/{client_a.pk}/").status_code == 404
    assert client.post(f"/view-as/{client_a.pk}/", {"reason": "x"}).status_code == 404
    assert not Impersonation.objects.exists()


@pytest.mark.parametrize("name", ["owner", "admin", "operator"])
def test_staff_are_never_viewed_as_nor_is_one_oneself(client, request, admin, name):
    viewed = request.getfixturevalue(name)
    client.force_login(admin)
    assert client.post(f"/view-as/{viewed.pk}/", {"reason": "x"}).status_code == 404
    with pytest.raises(PermissionDenied):
        begin(client, viewed, reason="x", by=admin)
    assert not Impersonation.objects.exists()


def test_who_has_no_access_is_not_viewed_as(client, admin, owner, client_a):
    disable_user(client_a, by=owner)
    client_a.refresh_from_db()
    with pytest.raises(ValidationError):
        begin(client, client_a, reason="x", by=admin)
    client.force_login(admin)
    assert "no access" in client.post(f"/view-as/{client_a.pk}/", {"reason": "x"}).text


def test_a_guest_is_viewed_with_the_guests_limits(client, owner, guest, site, miner_a):
    client.force_login(owner)
    client.post(f"/view-as/{guest.pk}/", {"reason": "x"})
    assert "A-0001" not in client.get("/miners/").text
    limit_to_sites(guest, [site.pk], by=owner)
    assert "A-0001" in client.get("/miners/").text


def test_other_browsers_of_the_same_person_are_not_touched(viewing, admin):
    other = Client()
    other.force_login(admin)
    assert other.get("/sites/").status_code == 200


def test_the_record_cannot_be_edited_or_removed(viewing, client_b):
    for statement in (
        "DELETE FROM impersonations",
        "UPDATE impersonations SET reason = 'nothing'",
        "UPDATE impersonations SET ended_at = now(), reason = 'nothing'",
    ):
        with pytest.raises(DatabaseError, match="kept as written"), transaction.atomic():
            connection.cursor().execute(statement)
    viewing.post("/view-as/stop/")
    with pytest.raises(DatabaseError, match="kept as written"), transaction.atomic():
        connection.cursor().execute("UPDATE impersonations SET ended_at = now()")
    assert Impersonation.objects.get().reason == "ticket 42"


def test_the_admin_shows_who_viewed_as_whom_and_leads_to_it(client, owner, client_a, admin):
    Impersonation.objects.create(by_user=admin, as_user=client_a, reason="ticket 42")
    client.force_login(owner)
    assert "ticket 42" in client.get("/admin/accounts/impersonation/").text
    assert f"/view-as/{client_a.pk}/" in client.get(f"/admin/accounts/user/{client_a.pk}/change/").text
    assert f"/view-as/{admin.pk}/" not in client.get(f"/admin/accounts/user/{admin.pk}/change/").text


def test_a_form_of_a_viewed_page_does_nothing_when_it_is_sent_too_late(viewing, admin):
    """It was shown as the client's; it must not run with the rights of staff."""
    record = Impersonation.objects.get()
    session = viewing.session
    session[KEY] = Impersonation.objects.create(
        by_user=admin, as_user=record.as_user, reason="x", started_at=database_now() - timedelta(minutes=31)
    ).pk
    session.save()
    late = {"name": "late", "scopes": ["read"], "days": 7, "addresses": ""}
    page = viewing.post("/accounts/tokens/", late)
    assert page.status_code == 403
    assert "is over" in page.text
    assert not ApiToken.objects.filter(name="late").exists()
    assert viewing.post("/accounts/tokens/", late).status_code == 200  # now they know who they are
