"""Nobody approves, or extends, what they made themselves: on no door."""

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.test import Client

from curtailment.lifecycle import approve_plan, extend_plan
from curtailment.models import CurtailmentPlan, PlanApproval
from curtailment.refusals import OwnPlan
from tests.curtailment.raw_plans import a_plan, approve_raw, edited_raw, unguarded

pytestmark = pytest.mark.django_db


@pytest.fixture(params=["made", "edited"])
def own(request, site, miner_a, admin, operator):
    """A plan that the administrator made, or edited last."""
    if request.param == "made":
        return a_plan(site, [miner_a], by=admin)
    return edited_raw(a_plan(site, [miner_a], by=operator), admin)


@pytest.fixture(autouse=True)
def nothing_happened(own):
    yield
    own.refresh_from_db()
    assert own.status == "pending"
    assert not PlanApproval.objects.exists()
    assert not own.targets.filter(live=True).exists()


def through_the_service(plan, admin):
    with pytest.raises(OwnPlan, match="ask a second person"):
        approve_plan(plan, version=plan.version, content_hash=plan.content_hash, by=admin)


def through_the_api(plan, admin):
    client = Client()
    client.force_login(admin)
    answer = client.post(
        f"/api/v1/curtailment/plans/{plan.pk}/approve/",
        {"version": plan.version, "content_hash": plan.content_hash},
        content_type="application/json",
    )
    assert answer.status_code == 403
    assert "ask a second person" in answer.json()["error"]["message"]


def through_the_command(plan, admin):
    with pytest.raises(CommandError, match="ask a second person"):
        call_command("approve_curtailment", plan.pk, seen=plan.version, content_hash=plan.content_hash, by=admin.email)


def through_rows(plan, admin):
    with pytest.raises(IntegrityError, match="somebody else"), transaction.atomic():
        approve_raw(plan, admin)


def through_sql(plan, admin):
    """Whoever has the database's application user still has to name somebody else."""
    for kind, approver in (("approval", admin.pk), ("alone", admin.pk), ("rule", None), ("break_glass", admin.pk)):
        with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO curtailment_approvals (plan_id, kind, version, content_hash, approver_id, reason)"
                " VALUES (%s, %s, %s, %s, %s, 'x')",
                [plan.pk, kind, plan.version, plan.content_hash, approver],
            )
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE curtailment_plans SET status = 'approved' WHERE id = %s", [plan.pk])


@pytest.mark.parametrize(
    "door",
    [through_the_service, through_the_api, through_the_command, through_rows, through_sql],
    ids=lambda f: f.__name__,
)
def test_nobody_approves_their_own_plan(own, admin, door):
    door(own, admin)


def test_the_maker_cannot_hide_behind_the_rows(own, admin, operator):
    """To take one's name off the plan first is refused, too."""
    column = "created_by" if own.created_by == admin else "edited_by"
    for value in (None, operator):
        with pytest.raises(IntegrityError, match="who made plan"), transaction.atomic():
            CurtailmentPlan.objects.filter(pk=own.pk).update(**{column: value})


def test_nobody_extends_their_own_plan(site, miner_b, admin, owner, own):
    plan = a_plan(site, [miner_b], by=admin)
    approve_raw(plan, owner)
    with pytest.raises(OwnPlan):
        extend_plan(plan, until=plan.recovery_time + timedelta(minutes=5), reason="More", by=admin)
    until = (plan.recovery_time + timedelta(minutes=5)).isoformat()
    with pytest.raises(CommandError, match="ask a second person"):
        call_command("extend_curtailment", plan.pk, until=until, reason="More", by=admin.email)
    PlanApproval.objects.filter(plan=plan).update(voided_at=plan.created_at)
    raw_delete(plan)


def raw_delete(plan) -> None:
    """So that the check after each test finds the one plan's rows alone."""
    with unguarded():
        PlanApproval.objects.filter(plan=plan).delete()
