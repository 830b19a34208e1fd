"""The table of roles, and that every door asks it."""

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.management.base import CommandError

from accounts.acting import acting_user
from accounts.models import SiteLimit, User
from accounts.roles import LETTERS, TABLE, Role, allows, manageable_by, may_manage
from accounts.services import change_role, disable_user, enable_user, limit_to_sites
from hosting.models import Miner, MinerLatest, OperationLog, Site
from minefarm.lib.clock import database_minute
from minefarm.lib.rls import walled

pytestmark = pytest.mark.django_db

STAFF, EVERYBODY = {"owner", "admin", "user"}, set(Role.values)
HIGH = {"owner", "admin"}
REVIEWED = {
    "miner:view": EVERYBODY,
    "miner:change": STAFF,
    "miner:delete": HIGH,
    "miner:command": STAFF,
    "site:view": EVERYBODY,
    "site:change": HIGH,
    "telemetrysweep:view": STAFF,
    "curtailment:plan": STAFF,
    "curtailment:approve": HIGH,
    "curtailment:execute": HIGH,
    "curtailment:override": HIGH,
    "invoice:view": {"owner", "admin", "client"},
    "invoice:issue": HIGH,
    "endpoint:add": {"owner", "admin", "user", "client"},
    "token:add": EVERYBODY,
    "user:view": HIGH,
    "user:invite": HIGH,
    "user:viewas": HIGH,
    "user:makeowner": {"owner"},
    "user:delete": set(),
    "outboxevent:replay": HIGH,
    "nobody:thought_of_this": HIGH,
}


@pytest.mark.parametrize("permission", REVIEWED)
def test_the_table_answers_as_reviewed(permission):
    resource, action = permission.split(":")
    assert {role for role in Role.values if allows(role, resource, action)} == REVIEWED[permission]


def test_every_line_of_the_table_is_well_formed():
    for permission, letters in TABLE.items():
        resource, _, action = permission.partition(":")
        assert resource.isidentifier(), permission
        assert action.isidentifier(), permission
        assert set(letters) <= set(LETTERS.values()), permission
        assert list(letters) == [letter for letter in "oaucg" if letter in letters], permission


def test_an_unknown_role_may_nothing():
    assert not allows("root", "miner", "view")
    assert not may_manage("root", "guest")
    assert not may_manage("owner", "root")


def test_nobody_manages_anybody_above_themselves():
    assert manageable_by("owner") == list(Role)
    assert manageable_by("admin") == [Role.ADMIN, Role.USER, Role.CLIENT, Role.GUEST]
    assert manageable_by("user") == manageable_by("client") == manageable_by("guest") == []


@pytest.mark.parametrize("name", ["owner", "admin", "operator", "client_a", "guest"])
def test_a_person_answers_as_their_role(request, name):
    user = request.getfixturevalue(name)
    for permission in (*TABLE, "nobody:thought_of_this"):
        assert user.may(permission) == allows(user.role, *permission.split(":")), permission


def test_an_admin_can_do_nothing_to_an_owner(owner, admin, make_user):
    second = make_user("owner", "second-owner")
    for attempt in (
        lambda: change_role(second, Role.USER, by=admin),
        lambda: disable_user(second, by=admin),
        lambda: change_role(admin, Role.OWNER, by=admin),
    ):
        with pytest.raises(PermissionDenied):
            attempt()
    second.refresh_from_db()
    admin.refresh_from_db()
    assert (second.role, second.status, admin.role) == ("owner", "ACTIVE", "admin")


def test_who_was_demoted_a_moment_ago_changes_nobody(owner, admin, operator):
    """The object in hand still says admin; the row decides."""
    User.objects.filter(pk=admin.pk).update(role="client")
    assert admin.role == "admin"
    with pytest.raises(PermissionDenied):
        change_role(operator, Role.ADMIN, by=admin)
    operator.refresh_from_db()
    assert operator.role == "user"


def test_disabling_and_enabling_say_whether_anything_changed(owner, client_a):
    assert disable_user(client_a, by=owner) is True
    assert disable_user(client_a, by=owner) is False
    assert enable_user(client_a, by=owner) is True
    assert enable_user(client_a, by=owner) is False


def test_a_new_role_ends_the_sessions_that_the_old_one_had(client, owner, operator):
    client.force_login(operator)
    assert client.get("/sites/").status_code == 200
    change_role(operator, Role.CLIENT, by=owner)
    assert client.get("/miners/")["Location"].startswith("/accounts/login/")


def test_even_a_role_written_past_every_verb_ends_the_sessions(client, operator):
    client.force_login(operator)
    User.objects.filter(pk=operator.pk).update(role="admin")
    assert client.get("/sites/")["Location"].startswith("/accounts/login/")


def test_a_new_password_ends_every_session_of_the_old_one(client, client_a):
    from django.test import Client

    elsewhere = Client()
    for browser in (client, elsewhere):
        browser.force_login(client_a)
    before = client.session.session_key
    client_a.set_password("an even longer secret")
    client_a.save()
    assert elsewhere.get("/miners/").status_code == 302
    client.force_login(client_a)
    assert client.get("/miners/").status_code == 200
    assert client.session.session_key != before


# --- on behalf of somebody ----------------------------------------------------------------------------------------------


def test_a_command_acts_for_somebody_by_the_rights_of_their_role(owner, operator, client_a):
    assert acting_user(" Owner@farm.example ", permission="invoice:issue") == owner
    disable_user(client_a, by=owner)
    for email, permission, word in (
        ("nobody@farm.example", "", "no account"),
        (client_a.email, "", "disabled"),
        (operator.email, "invoice:issue", "may not invoice:issue"),
    ):
        with pytest.raises(CommandError, match=word):
            acting_user(email, permission=permission)


# --- limited to sites ---------------------------------------------------------------------------------------------------


@pytest.fixture
def south(make_miner, client_b):
    """Another site, with a machine, its log line and its reading."""
    site = Site.objects.create(name="South")
    miner = make_miner("S-0001", client=client_b, site=site, cgminer_ip="127.20.0.9")
    OperationLog.objects.create(miner=miner, operation="south-operation")
    MinerLatest.objects.create(miner=miner, attempted_at=database_minute(), seen_at=database_minute())
    return site


@pytest.fixture
def limited(owner, operator, site):
    limit_to_sites(operator, [site.pk], by=owner)
    operator.refresh_from_db()
    return operator


def test_staff_without_a_limit_reach_every_site_and_a_guest_none(operator, guest, client_a, site):
    assert operator.site_ids is None
    assert guest.site_ids == frozenset()
    assert client_a.site_ids is None
    assert operator.may_at("miner:command", site.pk)
    assert not guest.may_at("miner:view", site.pk)


def test_limits_are_replaced_as_a_whole(owner, limited, site, south):
    limit_to_sites(limited, [south.pk], by=owner)
    assert list(SiteLimit.objects.values_list("site_id", flat=True)) == [south.pk]
    limit_to_sites(limited, [], by=owner)
    assert not SiteLimit.objects.exists()


def test_only_those_for_whom_limits_count_get_them(owner, admin, client_a, operator, site):
    with pytest.raises(ValidationError):
        limit_to_sites(client_a, [site.pk], by=owner)
    with pytest.raises(PermissionDenied):
        limit_to_sites(owner, [site.pk], by=admin)
    with pytest.raises(PermissionDenied):
        limit_to_sites(operator, [], by=operator)


def test_another_site_is_not_there_for_limited_staff(client, limited, site, south, miner_a):
    client.force_login(limited)
    foreign = south.miners.get()
    for path in (
        f"/sites/{south.pk}/",
        f"/sites/{south.pk}/chart.json",
        f"/miners/{foreign.pk}/",
        f"/miners/{foreign.pk}/chart.json",
        f"/api/v1/sites/{south.pk}/",
        f"/api/v1/sites/{south.pk}/telemetry/",
        f"/api/v1/miners/{foreign.pk}/",
        f"/api/v1/miners/{foreign.pk}/telemetry/",
        f"/api/v1/telemetry/?site={south.pk}",
        f"/api/v1/telemetry/?miner={foreign.pk}",
    ):
        assert client.get(path).status_code == 404, path
    for path in (
        f"/admin/hosting/site/{south.pk}/change/",
        f"/admin/hosting/miner/{foreign.pk}/change/",
        f"/admin/hosting/minerlatest/{foreign.pk}/change/",
    ):
        assert client.get(path)["Location"] == "/admin/", path


def test_pages_of_limited_staff_do_not_mention_another_site(client, limited, south, miner_a):
    client.force_login(limited)
    for path in (
        "/sites/",
        "/miners/",
        "/miners/?q=S-0001&partial=table",
        "/api/v1/sites/",
        "/api/v1/miners/",
        "/admin/",
        "/admin/hosting/site/",
        "/admin/hosting/miner/",
        "/admin/hosting/miner/add/",
        "/admin/hosting/minerlatest/",
        "/admin/hosting/operationlog/",
    ):
        page = client.get(path)
        assert page.status_code == 200, path
        assert "South" not in page.text, path
        assert "S-0001" not in page.text.replace('value="S-0001"', "").replace("q=S-0001", ""), path
        assert "south-operation" not in page.text, path


def test_limited_staff_put_machines_nowhere_else(client, limited, south, miner_a):
    client.force_login(limited)
    for change in ({"site_id": south.pk}, {"site_id": None}):
        answer = client.patch(f"/api/v1/miners/{miner_a.pk}/", change, content_type="application/json")
        assert answer.status_code == 400, change
    answer = client.post("/api/v1/miners/", {"serial_number": "NEW"}, content_type="application/json")
    assert (answer.status_code, answer.json()["error"]["fields"]) == (400, {"site_id": ["Name one of your sites."]})
    moved = {"action": "move_to_site", "_selected_action": [miner_a.pk], "apply": "1", "site": south.pk}
    assert "not one of the available choices" in client.post("/admin/hosting/miner/", moved).text
    assert client.get("/admin/hosting/miner/import/").status_code == 403
    miner_a.refresh_from_db()
    assert miner_a.site.name == "North"


def test_a_guest_of_a_site_looks_at_it_and_no_further(client, owner, guest, south, miner_a):
    site = miner_a.site
    limit_to_sites(guest, [site.pk], by=owner)
    client.force_login(guest)
    page = client.get("/miners/")
    assert "A-0001" in page.text
    assert "S-0001" not in page.text
    assert client.get(f"/miners/{miner_a.pk}/").status_code == 200
    assert "127.20.0.1" not in client.get(f"/miners/{miner_a.pk}/").text
    row = client.get(f"/api/v1/miners/{miner_a.pk}/").json()
    assert not {"client_email", "cgminer_ip"} & set(row)
    assert client.get(f"/miners/{south.miners.get().pk}/").status_code == 404
    assert client.get("/sites/").status_code == 404
    assert client.patch(f"/api/v1/miners/{miner_a.pk}/", {}, content_type="application/json").status_code == 403


def test_behind_the_wall_a_guest_sees_their_sites_whatever_the_query_says(owner, guest, client_a, site, south, miner_a):
    make = SiteLimit.objects.create
    make(user=guest, site_id=site.pk)
    make(user=client_a, site_id=south.pk)  # left over from another role
    for user, machines, sites in ((guest, ["A-0001"], ["North"]), (client_a, ["A-0001"], ["North"])):
        with walled(user.pk):
            assert list(Miner.objects.values_list("serial_number", flat=True)) == machines
            assert list(Site.objects.values_list("name", flat=True)) == sites
    with walled(guest.pk):
        assert SiteLimit.objects.count() == 1
    with walled(client_a.pk):
        assert SiteLimit.objects.count() == 0


def test_a_limit_costs_no_query_per_machine(client, limited, make_miner, django_assert_num_queries):
    client.force_login(limited)
    make_miner("A-1")
    with django_assert_num_queries(3):  # session, person with their standing, machines
        client.get("/api/v1/miners/")
    for number in range(10):
        make_miner(f"B-{number}")
    with django_assert_num_queries(3):
        assert len(client.get("/api/v1/miners/").json()["results"]) == 11


def test_an_object_at_another_site_is_beyond_ones_permission(limited, site, south, miner_a):
    assert limited.has_perm("hosting.change_miner", miner_a)
    assert not limited.has_perm("hosting.change_miner", south.miners.get())


def test_a_site_with_limits_is_not_deleted_for_then_they_would_open_every_other(client, owner, limited, site):
    from django.db import IntegrityError, connection, transaction

    client.force_login(owner)
    answer = client.delete(f"/api/v1/sites/{site.pk}/")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "in_use")
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM hosting_sites WHERE id = %s", [site.pk])
    assert Site.objects.filter(pk=site.pk).exists()
