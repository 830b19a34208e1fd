"""Clients read their own machines' rows of plans, and of the plans themselves only what concerns them."""

import pytest
from django.db import ProgrammingError
from django.utils import timezone

from curtailment.models import CurtailmentPlan, PlanApproval, PlanEvent, PlanMiner, SitePolicy
from curtailment.visible import CLIENT_MINER, CLIENT_PLAN, HIDDEN_OF_MINERS, HIDDEN_OF_PLANS
from minefarm.lib.rls import walled
from tests.curtailment.raw_plans import a_plan, approve_raw

pytestmark = pytest.mark.django_db


@pytest.fixture
def approved(site, miner_a, miner_b, operator, admin):
    return approve_raw(a_plan(site, [miner_a, miner_b], by=operator), admin)


@pytest.mark.parametrize(
    ("model", "shown", "hidden"),
    [(CurtailmentPlan, CLIENT_PLAN, HIDDEN_OF_PLANS), (PlanMiner, CLIENT_MINER, HIDDEN_OF_MINERS)],
)
def test_every_column_is_shown_or_hidden_on_purpose(approved, client_a, model, shown, hidden):
    assert {field.column for field in model._meta.concrete_fields} == set(shown) | set(hidden)
    assert not set(shown) & set(hidden)
    for column in hidden:
        with pytest.raises(ProgrammingError, match="permission denied"), walled(client_a.pk):
            list(model.objects.values_list(column if column != "created_by" else "created_by_id"))


def test_a_client_reads_the_plan_and_their_own_machine_alone(approved, client_a, client_b, miner_a, miner_b, guest):
    for client, miner in ((client_a, miner_a), (client_b, miner_b)):
        with walled(client.pk):
            assert list(CurtailmentPlan.objects.values(*CLIENT_PLAN).values_list("id", flat=True)) == [approved.pk]
            assert [row["miner_id"] for row in PlanMiner.objects.order_by("pk").values(*CLIENT_MINER)] == [miner.pk]
        assert list(PlanMiner.objects.for_user(client).values_list("miner_id", flat=True)) == [miner.pk]
    with walled(guest.pk):
        assert CurtailmentPlan.objects.count() == PlanMiner.objects.count() == 0


def test_what_nobody_approved_is_not_there(site, miner_a, client_a, operator):
    """Neither while it waits, nor once it was cancelled without ever having been approved."""
    plan = a_plan(site, [miner_a], by=operator)
    for to in ("cancelled", None):
        with walled(client_a.pk):
            assert CurtailmentPlan.objects.count() == PlanMiner.objects.count() == 0
        assert not CurtailmentPlan.objects.for_user(client_a).exists()
        assert not PlanMiner.objects.for_user(client_a).exists()
        if to:
            PlanMiner.objects.filter(plan=plan).update(state="released")
            CurtailmentPlan.objects.filter(pk=plan.pk).update(status=to, cancelled_at=timezone.now())


def test_a_plan_of_others_machines_is_not_there(site, miner_b, client_a, admin):
    approve_raw(a_plan(site, [miner_b]), admin)
    with walled(client_a.pk):
        assert CurtailmentPlan.objects.count() == 0
    assert not CurtailmentPlan.objects.for_user(client_a).exists()


@pytest.mark.parametrize("model", [PlanApproval, PlanEvent, SitePolicy])
def test_approvals_the_trail_and_policies_are_the_staffs(client_a, model):
    with pytest.raises(ProgrammingError, match="permission denied"), walled(client_a.pk):
        model.objects.count()
