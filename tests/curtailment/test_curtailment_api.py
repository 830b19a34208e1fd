"""The API's doors to plans: who gets what, and how a refusal is told."""

from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.services import limit_to_sites
from accounts.tokens import make_token
from curtailment.models import CurtailmentPlan, PlanApproval, PlanMiner, SitePolicy
from hosting.models import Site
from tests.curtailment.raw_plans import a_plan, approve_raw, lead_to

pytestmark = pytest.mark.django_db
PLANS = "/api/v1/curtailment/plans/"


@pytest.fixture
def door():
    """A signed-in person's way in, or with `scopes` their token's."""

    def of(person, scopes=None) -> APIClient:
        client = APIClient()
        if scopes is None:
            client.force_login(person)
        else:
            end = timezone.now() + timedelta(days=9)
            _, secret = make_token(name="t", scopes=scopes, expires_at=end, by=person)
            client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
        return client

    return of


@pytest.fixture
def plan(site, miner_a, miner_b, operator):
    return a_plan(site, [miner_a, miner_b], by=operator)


@pytest.fixture
def machines(running, client_a, worth):
    return [running(f"P-{number}", 3250 + number, 110, client=client_a) for number in range(6)]


def ask(site, **more) -> dict:
    begins = timezone.now() + timedelta(hours=1)
    return {
        "site_id": site.pk,
        "scheduled_time": begins.isoformat(),
        "recovery_time": (begins + timedelta(hours=1)).isoformat(),
        "target_mw": "0.009",
        "reason": "The grid asks",
    } | more


def sees(plan) -> dict:
    return {"version": plan.version, "content_hash": plan.content_hash}


# --- planning -----------------------------------------------------------------------------------------------------------


def test_from_a_preview_to_an_approved_plan(door, site, machines, operator, admin):
    shown = door(operator).post(PLANS + "preview/", ask(site), format="json")
    assert shown.status_code == 200, shown.json()
    assert len(shown.json()["machines"]) == 3
    assert CurtailmentPlan.objects.count() == 0
    made = door(operator).post(PLANS, ask(site), format="json", HTTP_IDEMPOTENCY_KEY="grid-1")
    assert made.status_code == 201, made.json()
    plan = made.json()
    assert (plan["status"], plan["machines"], plan["created_by"]) == ("pending", 3, operator.email)
    assert made["Location"].endswith(f"{PLANS}{plan['id']}/")
    changed = door(operator).patch(f"{PLANS}{plan['id']}/", {"version": 1, "target_mw": "0.012"}, format="json")
    assert (changed.status_code, changed.json()["version"], changed.json()["machines"]) == (200, 2, 4)
    stale = door(operator).patch(f"{PLANS}{plan['id']}/", {"version": 1, "reason": "Other"}, format="json")
    assert (stale.status_code, stale.json()["error"]["code"]) == (409, "conflict")
    seen = {"version": 2, "content_hash": changed.json()["content_hash"]}
    assert door(operator).post(f"{PLANS}{plan['id']}/approve/", seen, format="json").status_code == 403
    approved = door(admin).post(f"{PLANS}{plan['id']}/approve/", seen, format="json")
    assert (approved.status_code, approved.json()["status"]) == (200, "approved")


def test_the_same_key_gives_the_same_plan(door, site, machines, operator):
    body = ask(site)
    first = door(operator).post(PLANS, body, format="json", HTTP_IDEMPOTENCY_KEY="k")
    again = door(operator).post(PLANS, body, format="json", HTTP_IDEMPOTENCY_KEY="k")
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    other = door(operator).post(PLANS, body | {"target_mw": "0.1"}, format="json", HTTP_IDEMPOTENCY_KEY="k")
    assert (other.status_code, other.json()["error"]["code"]) == (409, "key_reused")


def test_a_plan_is_asked_for_properly(door, site, machines, operator):
    for wrong in (
        {"reason": ""},
        {"site_id": 9999},
        {"target_mw": "-1"},
        {"target_mw": None},
        {"recovery_time": timezone.now().isoformat()},
        {"miners": [99999]},
        {"strategy": "best"},
    ):
        for where in (PLANS, PLANS + "preview/"):
            answer = door(operator).post(where, ask(site) | wrong, format="json")
            assert answer.status_code == 400, (wrong, answer.json())
    assert CurtailmentPlan.objects.count() == 0


# --- approving ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [{"version": 2}, {"content_hash": "b" * 64}])
def test_what_changed_since_it_was_shown_is_a_conflict(door, plan, admin, wrong):
    answer = door(admin).post(f"{PLANS}{plan.pk}/approve/", sees(plan) | wrong, format="json")
    assert answer.status_code == 409
    assert "load it again" in answer.json()["error"]["message"]


def test_a_second_approval_and_an_overlap_are_conflicts(door, plan, site, miner_a, operator, admin, owner):
    assert door(admin).post(f"{PLANS}{plan.pk}/approve/", sees(plan), format="json").status_code == 200
    assert door(owner).post(f"{PLANS}{plan.pk}/approve/", sees(plan), format="json").status_code == 409
    other = a_plan(site, [miner_a], by=operator)
    clash = door(admin).post(f"{PLANS}{other.pk}/approve/", sees(other), format="json")
    assert clash.status_code == 409
    assert "A-0001" in clash.json()["error"]["message"]


@pytest.mark.parametrize("step", ["approve", "extend", "restore"])
def test_tokens_take_no_such_step(door, plan, owner, step):
    """Whatever their scopes, and whosever they are: the check is on the door, before the body is read."""
    lead_to(plan, owner, "executing", "scheduled")
    until = (plan.recovery_time + timedelta(minutes=5)).isoformat()
    body = sees(plan) | {"reason": "x", "until": until}
    for scopes in (["read"], ["read", "write"]):
        answer = door(owner, scopes).post(f"{PLANS}{plan.pk}/{step}/", body, format="json")
        assert answer.status_code == 403, answer.json()
    plan.refresh_from_db()
    assert (plan.restore_requested_at, plan.version) == (None, 1)


@pytest.mark.stale_sign_in
@pytest.mark.parametrize("step", ["approve", "extend", "restore"])
def test_a_person_proves_who_they_are(door, plan, owner, step):
    answer = door(owner).post(f"{PLANS}{plan.pk}/{step}/", sees(plan) | {"reason": "x"}, format="json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "step_up_required")


def test_a_token_that_may_write_plans_and_cancels(door, site, machines, operator):
    token = door(operator, ["read", "write"])
    plan = token.post(PLANS, ask(site), format="json").json()
    ended = token.post(f"{PLANS}{plan['id']}/cancel/", {"reason": "Not needed"}, format="json")
    assert (ended.status_code, ended.json()["status"]) == (200, "cancelled")
    assert door(operator, ["read"]).post(PLANS, ask(site), format="json").status_code == 403


def test_an_extension_by_a_second_person(door, plan, admin, owner):
    approve_raw(plan, admin)
    until = (plan.recovery_time + timedelta(minutes=30)).isoformat()
    longer = door(owner).post(f"{PLANS}{plan.pk}/extend/", {"until": until, "reason": "More"}, format="json")
    assert (longer.status_code, longer.json()["version"]) == (200, 2)
    assert (
        door(owner).post(f"{PLANS}{plan.pk}/extend/", {"until": until, "reason": "x"}, format="json").status_code == 400
    )


# --- overrides ----------------------------------------------------------------------------------------------------------


def test_a_machine_a_plan_and_a_site_come_back(door, plan, site, miner_a, operator, admin):
    lead_to(plan, admin, "executing", "scheduled")
    one = door(operator).post(f"{PLANS}{plan.pk}/targets/{miner_a.pk}/release/", {"reason": "Must run"}, format="json")
    assert (one.status_code, one.json()["serial_number"]) == (200, "A-0001")
    assert one.json()["release_requested_at"] is not None
    assert door(operator).post(f"{PLANS}{plan.pk}/restore/", {"reason": "x"}, format="json").status_code == 403
    back = door(admin).post(f"{PLANS}{plan.pk}/restore/", {"reason": "False alarm"}, format="json")
    assert (back.status_code, back.json()["restore_reason"]) == (200, "False alarm")
    all_of_it = door(admin).post(f"/api/v1/curtailment/sites/{site.pk}/restore/", {"reason": "Storm"}, format="json")
    assert all_of_it.json() == {"restoring": [], "cancelled": []}  # it was asked for above


def test_a_site_is_frozen_and_thawed(door, site, admin, operator):
    where = f"/api/v1/curtailment/sites/{site.pk}/freeze/"
    frozen = door(admin).post(where, {"reason": "Work", "minutes": 30}, format="json")
    assert frozen.status_code == 200
    assert SitePolicy.objects.get(site=site).frozen_until is not None
    assert door(admin).post(where, {"minutes": 0}, format="json").json()["frozen_until"] is None
    assert door(admin).post(where, {"minutes": 500, "reason": "x"}, format="json").status_code == 400
    assert door(operator).post(where, {"reason": "x"}, format="json").status_code == 403
    assert door(admin).post("/api/v1/curtailment/sites/9999/freeze/", {"reason": "x"}, format="json").status_code == 404


# --- reading ------------------------------------------------------------------------------------------------------------


def test_plans_are_listed_and_filtered(door, site, plan, miner_a, operator, admin):
    elsewhere = Site.objects.create(name="South")
    other = a_plan(elsewhere, [], by=operator)
    lead_to(plan, admin, "executing", "scheduled")
    get = door(operator).get
    assert [row["id"] for row in get(PLANS).json()["results"]] == [other.pk, plan.pk]
    assert [row["id"] for row in get(PLANS, {"site": site.pk}).json()["results"]] == [plan.pk]
    assert [row["id"] for row in get(PLANS, {"status": "pending"}).json()["results"]] == [other.pk]
    assert [row["id"] for row in get(PLANS, {"live": "true"}).json()["results"]] == [plan.pk]
    assert [row["id"] for row in get(PLANS, {"live": "false"}).json()["results"]] == [other.pk]
    for wrong in ({"status": "x"}, {"live": "yes"}, {"site": "0"}, {"client": "1"}, {"live": ""}):
        assert get(PLANS, wrong).status_code == 400, wrong
    page = get(f"{PLANS}{plan.pk}/targets/", {"page_size": 1}).json()
    assert [row["serial_number"] for row in page["results"]] == ["A-0001"]
    assert [row["serial_number"] for row in get(page["next"]).json()["results"]] == ["B-0001"]
    assert get(f"{PLANS}{plan.pk}/targets/", {"state": "done"}).json()["results"] == []
    assert get(f"{PLANS}{plan.pk}/targets/", {"state": "off"}).status_code == 400


def test_a_client_reads_their_own_part_alone(door, plan, client_a, client_b, miner_a, admin, make_user):
    get = door(client_a).get
    assert get(PLANS).json()["results"] == []  # nobody approved it
    assert get(f"{PLANS}{plan.pk}/").status_code == 404
    approve_raw(plan, admin)
    row = get(f"{PLANS}{plan.pk}/").json()
    assert row == get(PLANS).json()["results"][0]
    assert not {"machines", "planned_mw", "target_mw", "content_hash", "created_by", "strategy", "version"} & set(row)
    (target,) = get(f"{PLANS}{plan.pk}/targets/").json()["results"]
    assert (target["miner_id"], target["serial_number"]) == (miner_a.pk, "A-0001")
    assert not {"shutdown_order", "last_error", "attempts"} & set(target)
    nobody = door(make_user("client", "client-c")).get
    assert nobody(f"{PLANS}{plan.pk}/").status_code == nobody(f"{PLANS}{plan.pk}/targets/").status_code == 404
    for step in ("approve", "cancel", "extend", "restore", f"targets/{miner_a.pk}/release"):
        assert door(client_a).post(f"{PLANS}{plan.pk}/{step}/", {"reason": "x"}, format="json").status_code == 403
    assert door(client_a).patch(f"{PLANS}{plan.pk}/", {"version": 1}, format="json").status_code == 403
    assert not PlanApproval.objects.exclude(approver=admin).exists()
    assert not PlanMiner.objects.filter(release_requested_at__isnull=False).exists()


def test_guests_see_no_plans(door, plan, admin, guest):
    approve_raw(plan, admin)
    assert door(guest).get(PLANS).status_code == 403
    assert door(guest).get(f"{PLANS}{plan.pk}/").status_code == 403


def test_staff_of_another_site_find_nothing(door, plan, owner, make_user):
    limited = make_user("user", "south-shift")
    limit_to_sites(limited, [Site.objects.create(name="South").pk], by=owner)
    for step, code in (("", 404), ("targets/", 404)):
        assert door(limited).get(f"{PLANS}{plan.pk}/{step}").status_code == code
    assert door(limited).post(f"{PLANS}{plan.pk}/cancel/", {"reason": "x"}, format="json").status_code == 404
    assert door(limited).post(PLANS, ask(plan.site), format="json").status_code == 400
