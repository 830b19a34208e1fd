"""Curtailment in the admin: plans to look at and to act on with the same refusals, policies, tiers, settlements."""

import re

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.urls import reverse

from curtailment.models import CurtailmentPlan, MinerTier, PlanEvent, SitePolicy
from curtailment.settlement import settle_plan
from tests.curtailment.raw_plans import a_plan
from tests.curtailment.settled import over_plan

pytestmark = pytest.mark.django_db
LIST = "admin:curtailment_curtailmentplan_changelist"
POLICY = {
    "max_minutes": 240,
    "cool_down_minutes": 10,
    "sleep_wave": 500,
    "wake_every_s": 15,
    "down_mw_per_min": "",
    "wake_wave": "",
    "up_mw_per_min": "",
}


@pytest.fixture
def plan(site, make_miner, operator):
    return a_plan(site, [make_miner("C-1")], by=operator)


def act(client, action, *plans, **form):
    chosen = {"action": action, ACTION_CHECKBOX_NAME: [plan.pk for plan in plans]}
    return client.post(reverse(LIST), chosen | form, follow=True)


@pytest.mark.parametrize("model", ["curtailmentplan", "sitepolicy", "minertier", "settlement"])
def test_every_page_opens(client, owner, site, plan, miner_a, model):
    settle_plan(over_plan(site, [miner_a], owner))
    SitePolicy.objects.create(site=site)
    MinerTier.objects.create(miner=miner_a, tier="protected")
    client.force_login(owner)
    told = client.get(reverse(f"admin:curtailment_{model}_changelist"))
    assert told.status_code == 200
    row = next(iter(told.context["cl"].queryset))
    assert client.get(reverse(f"admin:curtailment_{model}_change", args=[row.pk])).status_code == 200


def test_nobody_writes_plans_and_settlements_by_hand(client, owner, plan):
    client.force_login(owner)
    assert client.get(reverse("admin:curtailment_curtailmentplan_add")).status_code == 403
    path = reverse("admin:curtailment_curtailmentplan_change", args=[plan.pk])
    assert client.post(path, {"status": "approved"}).status_code == 403
    assert client.get(reverse("admin:curtailment_settlement_add")).status_code == 403
    plan.refresh_from_db()
    assert plan.status == "pending"


def test_cancelling_asks_why_and_goes_through_the_service(client, admin, plan):
    client.force_login(admin)
    asked = act(client, "cancel", plan).content.decode()
    assert "The grid asks" in asked
    plan.refresh_from_db()
    assert plan.status == "pending"
    act(client, "cancel", plan, confirmed="1", reason="not needed")
    plan.refresh_from_db()
    assert (plan.status, plan.cancel_reason) == ("cancelled", "not needed")


def test_approving_takes_what_the_page_showed(client, admin, plan):
    client.force_login(admin)
    asked = act(client, "approve", plan).content.decode()
    shown = re.search(r'name="shown" value="([^"]+)"', asked).group(1)
    assert shown == f"{plan.pk}={plan.version}:{plan.content_hash}"
    CurtailmentPlan.objects.filter(pk=plan.pk).update(version=2, content_hash="b2" * 32)
    told = act(client, "approve", plan, confirmed="1", reason="fine", shown=shown).content.decode()
    assert "changed since you saw it" in told
    plan.refresh_from_db()
    assert plan.status == "pending"


def test_an_operator_is_offered_no_approval(client, operator, plan):
    client.force_login(operator)
    act(client, "approve", plan, confirmed="1", reason="me", shown=f"{plan.pk}=1:{plan.content_hash}")
    plan.refresh_from_db()
    assert plan.status == "pending"


def test_the_second_person_is_the_owners_to_switch_off(client, admin, owner, site):
    policy = SitePolicy.objects.create(site=site)
    path = reverse("admin:curtailment_sitepolicy_change", args=[policy.pk])
    client.force_login(admin)
    client.post(path, POLICY | {"max_minutes": 120})  # four_eyes unticked, as far as the form goes
    policy.refresh_from_db()
    assert (policy.four_eyes, policy.max_minutes) == (True, 120)
    client.force_login(owner)
    client.post(path, POLICY | {"max_minutes": 120})
    policy.refresh_from_db()
    assert policy.four_eyes is False
    assert list(PlanEvent.objects.order_by("pk").values_list("verb", "actor")) == [
        ("policy changed", admin.pk),
        ("four eyes off", owner.pk),
    ]


def test_a_policy_is_not_deleted(client, owner, site):
    policy = SitePolicy.objects.create(site=site, four_eyes=False)
    client.force_login(owner)
    assert (
        client.post(reverse("admin:curtailment_sitepolicy_delete", args=[policy.pk]), {"post": "yes"}).status_code
        == 403
    )
    assert SitePolicy.objects.filter(pk=policy.pk).exists()


def test_a_tier_is_of_a_client_or_a_machine(client, admin, client_a, miner_a):
    client.force_login(admin)
    path = reverse("admin:curtailment_minertier_add")
    both = client.post(path, {"client": client_a.pk, "miner": miner_a.pk, "tier": "vip", "reason": ""})
    assert "Name a client or a machine." in both.content.decode()
    client.post(path, {"client": client_a.pk, "miner": "", "tier": "vip", "reason": "contract"})
    assert MinerTier.objects.get().client == client_a
