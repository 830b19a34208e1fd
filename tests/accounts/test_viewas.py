"""Staff who look at the portal through a client's eyes: looking only, for a while, on record."""

from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import DatabaseError, connection, transaction
from django.test import Client

from accounts.models import Impersonation, User
from accounts.services import disable_user, limit_to_sites
from accounts.viewing import KEY, begin
from minefarm.lib.clock import database_now

pytestmark = pytest.mark.django_db


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
        assert "Stop viewing" in page.text, path
    page = viewing.get("/miners/")
    assert "A-0001" in page.text
    assert "B-0001" not in page.text
    assert "127.20.0.1" not in viewing.get(f"/miners/{miner_a.pk}/").text
    assert viewing.get(f"/miners/{miner_b.pk}/").status_code == 404
    assert viewing.get("/sites/").status_code == 404
    assert [row["serial_number"] for row in viewing.get("/api/v1/miners/").json()["results"]] == ["A-0001"]


def test_nothing_can_be_changed(viewing, miner_a):
    for method in (viewing.post, viewing.put, viewing.patch, viewing.delete):
        page = method("/miners/")
        assert page.status_code == 403
        assert "looking only" in page.text
        answer = method(f"/api/v1/miners/{miner_a.pk}/", {"cgminer_port": 1}, content_type="application/json")
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "viewing_as")
    miner_a.refresh_from_db()
    assert miner_a.cgminer_port == 4028


@pytest.mark.parametrize("path", ["/admin/", "/admin/accounts/user/", "/accounts/password/change/", "/api/v1/tokens/"])
def test_the_admin_and_account_pages_are_closed(viewing, path):
    assert viewing.get(path).status_code == 403


def test_stopping_gives_staff_their_own_view_back_and_ends_the_record(viewing, admin, client_a):
    answer = viewing.post("/view-as/stop/")
    assert (answer.status_code, answer["Location"]) == (302, "/")
    assert viewing.get("/")["Location"] == "/sites/"
    assert "viewing as" not in viewing.get("/miners/").text
    record = Impersonation.objects.get()
    assert (record.by_user, record.as_user, record.reason) == (admin, client_a, "ticket 42")
    assert record.started_at < record.ended_at <= database_now()


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
        assert ("You are viewing as" in client.get("/miners/").text) is shown
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
