"""Pages of plans: what staff see and do, and that a customer sees their own machines and nothing else."""

import csv
import io
from datetime import timedelta
from decimal import Decimal

import pytest
from django.urls import reverse

from curtailment.drafting import Ask, draft_plan
from curtailment.models import PlanMiner, SitePolicy
from curtailment.planning import create_plan
from curtailment.settlement import settle_plan
from minefarm.lib.clock import database_now
from tests.curtailment.raw_plans import a_plan, approve_raw, lead_to
from tests.curtailment.settled import begun, hashprice, over_plan, price, read_minutes

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture
def plan_by(site, running, worth, client_a, client_b, now):
    """A plan of two customers' machines, made by somebody."""
    running("A-1", client=client_a, cgminer_ip="127.20.9.1")
    running("B-1", client=client_b, cgminer_ip="127.20.9.2")
    ask = Ask(
        site=site,
        starts_at=now + timedelta(minutes=30),
        ends_at=now + timedelta(minutes=90),
        reason="The grid asks",
        target_mw=Decimal("0.0065"),
    )
    return lambda person: create_plan(draft_plan(ask), by=person)


@pytest.fixture
def waiting(plan_by, operator):
    return plan_by(operator)


@pytest.fixture
def settled(site, owner, miner_a, miner_b):
    begins = begun()
    if not site.electricity_prices.exists():
        price(site, begins - HOUR, "0.10")
    hashprice(begins - HOUR, "50")
    read_minutes([miner_a, miner_b], begins - HOUR, 180, off=begins, on=begins + HOUR)
    plan = over_plan(site, [miner_a, miner_b], owner)
    settle_plan(plan)
    return plan


def page(client, name, *args, query=""):
    return client.get(reverse(f"curtailment:{name}", args=args) + query)


def text(response) -> str:
    assert response.status_code == 200, response
    return response.content.decode()


def approve(client, plan, **changed):
    form = {"version": plan.version, "content_hash": plan.content_hash} | changed
    return client.post(reverse("curtailment:approve", args=[plan.pk]), form, follow=True)


def test_the_list_tells_live_coming_and_past_plans(client, admin, site, make_miner, waiting, settled):
    machine = make_miner("C-1")
    live_one = lead_to(a_plan(site, [machine], starts_in_min=-5), admin, "executing", "scheduled")
    client.force_login(admin)
    told = text(page(client, "plans"))
    for plan in (waiting, settled, live_one):
        assert f"Plan {plan.pk}</a>" in told
    assert "6.4 kWh" in told
    assert text(page(client, "plans", query="?partial=live")).count("Plan ") < told.count("Plan ")


def test_whoever_made_a_plan_reads_why_there_is_no_button(client, operator, admin, plan_by):
    client.force_login(operator)
    waiting = plan_by(operator)
    told = text(page(client, "plan", waiting.pk))
    assert "Approve the plan" not in told
    assert "Your role may not approve plans" in told
    client.force_login(admin)
    told = text(page(client, "plan", plan_by(admin).pk))
    assert "Approve the plan" not in told
    assert "You made this plan, so somebody else approves it." in told


def test_an_administrator_approves_exactly_what_was_shown(client, admin, waiting):
    client.force_login(admin)
    told = text(page(client, "plan", waiting.pk))
    assert f'name="content_hash" value="{waiting.content_hash}"' in told
    approve(client, waiting)
    waiting.refresh_from_db()
    assert waiting.status == "approved"
    assert waiting.approvals.get().approver == admin


def test_a_plan_that_was_changed_meanwhile_is_not_approved(client, admin, waiting):
    client.force_login(admin)
    answer = approve(client, waiting, version=waiting.version + 1)
    assert "changed since you saw it" in text(answer)
    waiting.refresh_from_db()
    assert waiting.status == "pending"


def test_approving_ones_own_plan_by_hand_is_refused(client, admin, plan_by):
    waiting = plan_by(admin)
    client.force_login(admin)
    assert "ask a second person" in text(approve(client, waiting))
    waiting.refresh_from_db()
    assert waiting.status == "pending"


@pytest.mark.stale_sign_in
def test_approving_asks_for_a_fresh_proof(client, admin, waiting):
    client.force_login(admin)
    answer = client.post(
        reverse("curtailment:approve", args=[waiting.pk]),
        {"version": waiting.version, "content_hash": waiting.content_hash},
    )
    assert answer.status_code == 302
    assert "reauthenticate" in answer.url
    waiting.refresh_from_db()
    assert waiting.status == "pending"


def test_a_farm_of_one_person_is_told_so_on_every_plan(client, admin, waiting):
    SitePolicy.objects.create(site=waiting.site, four_eyes=False)
    client.force_login(admin)
    assert "one person alone may make and approve plans" in text(page(client, "plan", waiting.pk))


def test_cancelling_needs_a_reason_and_tells_it(client, operator, waiting):
    client.force_login(operator)
    path = reverse("curtailment:cancel", args=[waiting.pk])
    client.post(path, {"reason": " "})
    waiting.refresh_from_db()
    assert waiting.status == "pending"
    told = text(client.post(path, {"reason": "The grid <called> off"}, follow=True))
    waiting.refresh_from_db()
    assert (waiting.status, waiting.cancel_reason) == ("cancelled", "The grid <called> off")
    assert "The grid &lt;called&gt; off" in told


def test_a_running_plan_is_restored_extended_and_gives_a_machine_back(client, admin, operator, site, make_miner):
    miners = [make_miner(f"C-{n}") for n in range(3)]
    plan = lead_to(a_plan(site, miners, starts_in_min=-5, by=operator), admin, "executing", "scheduled")
    target = plan.targets.first()
    client.force_login(admin)
    client.post(reverse("curtailment:release", args=[plan.pk, target.pk]), {"reason": "hot"})
    target.refresh_from_db()
    assert target.release_requested_at is not None
    until = (plan.recovery_time + timedelta(minutes=30)).isoformat()
    client.post(reverse("curtailment:extend", args=[plan.pk]), {"until": until, "reason": "still dear"})
    before = plan.recovery_time
    plan.refresh_from_db()
    assert plan.recovery_time == before + timedelta(minutes=30)
    assert "no time" in text(client.post(reverse("curtailment:extend", args=[plan.pk]), {"until": "soon"}, follow=True))
    client.post(reverse("curtailment:restore", args=[plan.pk]), {"reason": "enough"})
    plan.refresh_from_db()
    assert (plan.restore_requested_at is not None, plan.restore_reason) == (True, "enough")


def test_a_site_is_frozen_and_thawed(client, admin, site):
    client.force_login(admin)
    client.post(reverse("curtailment:freeze", args=[site.pk]), {"reason": "fire brigade", "minutes": "30"})
    assert SitePolicy.objects.get(site=site).frozen_until > database_now() + timedelta(minutes=29)
    assert "North is frozen" in text(page(client, "plans"))
    client.post(reverse("curtailment:unfreeze", args=[site.pk]))
    assert "is frozen" not in text(page(client, "plans"))


def test_the_table_is_filtered_by_state(client, admin, site, make_miner):
    miners = [make_miner(f"C-{n}") for n in range(2)]
    plan = lead_to(a_plan(site, miners, starts_in_min=-5), admin, "executing", "scheduled")
    rows = PlanMiner.objects.filter(plan=plan)
    rows.filter(shutdown_order=1).update(state="dispatching")
    client.force_login(admin)
    told = text(page(client, "plan", plan.pk, query="?state=dispatching"))
    assert "C-0</a>" in told
    assert "C-1</a>" not in told


def test_the_chart_has_a_gap_where_nothing_was_read(client, admin, site, owner, miner_a):
    begins = begun()
    read_minutes([miner_a], begins, 30, off=begins, on=begins + HOUR)
    plan = over_plan(site, [miner_a], owner)
    client.force_login(admin)
    data = page(client, "chart", plan.pk).json()
    by_time = dict(zip(data["t"], zip(data["requested_kw"], data["measured_kw"], strict=True), strict=True))
    assert len(data["t"]) <= 61
    inside = [t for t in data["t"] if begins.timestamp() <= t < begins.timestamp() + 1800]
    outside = [t for t in data["t"] if begins.timestamp() + 1800 <= t < begins.timestamp() + 3600]
    assert inside
    assert {by_time[t] for t in inside} == {(3.25, 3.22)}
    assert outside
    assert {by_time[t] for t in outside} == {(3.25, None)}


def test_a_settled_plans_chart_is_its_settlements(client, admin, settled):
    client.force_login(admin)
    data = page(client, "chart", settled.pk).json()
    assert data["settled"]
    assert set(data["measured_kw"]) == {6.44}


def test_staff_read_the_whole_settlement(client, admin, settled):
    client.force_login(admin)
    told = text(page(client, "settlement", settled.pk))
    assert "client-a" in told
    assert "client-b" in told
    rows = list(csv.DictReader(io.StringIO(text(page(client, "settlement", settled.pk, query="?as=csv")))))
    assert [row["machine"] for row in rows] == ["A-0001", "B-0001"]
    answer = page(client, "settlement", settled.pk, query="?as=pdf")
    assert answer.content.startswith(b"%PDF-")
    assert answer.content == page(client, "settlement", settled.pk, query="?as=pdf").content


def test_a_customer_reads_notices_and_statements_of_their_own_machines(client, client_a, settled, admin):
    client.force_login(client_a)
    assert "Statement</a>" in text(page(client, "plans"))
    notice = text(page(client, "plan", settled.pk))
    statement = text(page(client, "settlement", settled.pk))
    table = text(page(client, "settlement", settled.pk, query="?as=csv"))
    assert page(client, "settlement", settled.pk, query="?as=pdf").content.startswith(b"%PDF-")
    for told in (notice, statement, table):
        assert "A-0001" in told
        for foreign in ("B-0001", "client-b", "owner", "6.44", "6,500", "6.5", settled.content_hash):
            assert foreign not in told
    assert "3.220" in statement


def test_a_customer_hears_nothing_of_a_plan_that_waits_nor_of_others(
    client, client_a, client_b, site, make_miner, waiting, admin
):
    client.force_login(client_a)
    assert page(client, "plan", waiting.pk).status_code == 404
    other = over_plan(site, [make_miner("B-9", client=client_b)], admin)
    for name in ("plan", "settlement"):
        assert page(client, name, other.pk).status_code == 404


def test_a_customer_is_told_when_it_is_approved(client, client_a, admin, waiting):
    approve_raw(waiting, admin)
    client.force_login(client_a)
    told = text(page(client, "plans"))
    assert "announced" in told
    assert "The grid asks" in told


@pytest.mark.parametrize("name", ["approve", "cancel", "restore", "extend"])
def test_customers_and_guests_may_do_nothing(client, client_a, guest, settled, name):
    for person in (client_a, guest):
        client.force_login(person)
        assert client.post(reverse(f"curtailment:{name}", args=[settled.pk]), {"reason": "x"}).status_code == 404
    assert page(client, "plans").status_code == 404  # the guest
