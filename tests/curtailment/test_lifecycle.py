"""Approving, cancelling and extending: who may, what is bound to what, and what follows."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from curtailment.lifecycle import approve_by_rule, approve_plan, cancel_plan, extend_plan
from curtailment.models import CurtailmentPlan, PlanApproval, PlanEvent, PlanMiner, SitePolicy
from curtailment.overrides import freeze_site, set_four_eyes
from curtailment.planning import edit_plan
from curtailment.refusals import IllegalMove, NotAllowed, OwnPlan, PlanConflict, StaleVersion, WrongInput
from curtailment.telling import mail_break_glass
from events.models import OutboxEvent
from tests.curtailment.raw_plans import a_plan, edited_raw, lead_to

pytestmark = pytest.mark.django_db


@pytest.fixture
def plan(site, miner_a, miner_b, operator):
    return a_plan(site, [miner_a, miner_b], by=operator)


def approve(plan, by, **values):
    asked = {"version": plan.version, "content_hash": plan.content_hash} | values
    return approve_plan(plan, by=by, **asked)


def status_of(plan) -> tuple[str, str]:
    plan.refresh_from_db()
    return plan.status, plan.recovery_state


def told(event_type: str) -> list[dict]:
    return [event.payload for event in OutboxEvent.objects.filter(event_type=event_type).order_by("id")]


# --- approving ----------------------------------------------------------------------------------------------------------


def test_a_second_person_lets_a_plan_run(plan, admin):
    given = approve(plan, admin, reason="Seen with the shift")
    assert status_of(plan) == ("approved", "none")
    assert (given.kind, given.approver, given.version) == ("approval", admin, 1)
    assert not plan.targets.filter(live=False).exists()
    assert PlanEvent.objects.get(plan=plan).verb == "approved"
    (event,) = told("curtailment.plan_approved")
    assert (event["plan_id"], event["by_id"], event["machines"]) == (plan.pk, str(admin.pk), 2)


def test_the_second_approval_of_a_plan_is_refused(plan, admin, owner):
    approve(plan, admin)
    with pytest.raises(IllegalMove, match="is approved: only one that waits"):
        approve(plan, owner)


@pytest.mark.parametrize("values", [{"version": 2}, {"content_hash": "b" * 64}])
def test_an_approval_is_bound_to_what_was_shown(plan, admin, values):
    with pytest.raises(StaleVersion, match="load it again"):
        approve(plan, admin, **values)
    assert status_of(plan) == ("pending", "none")


def test_rows_that_do_not_match_the_hash_are_not_approved(plan, admin):
    """Whoever wrote another baseline into the rows, by whatever means: it is not what was shown."""
    plan.targets.filter(shutdown_order=1).update(baseline_w="9999.00")
    with pytest.raises(StaleVersion):
        approve(plan, admin)


def test_who_may_not_approve_is_refused(plan, client_a, guest, make_user):
    for person in (client_a, guest, make_user("user", "night-shift")):
        with pytest.raises(NotAllowed):
            approve(plan, person)
    with pytest.raises(NotAllowed, match="names who gives it"):
        approve(plan, None)
    assert status_of(plan) == ("pending", "none")


def test_whoever_edited_a_plan_does_not_approve_it(site, miner_a, operator, admin, owner):
    plan = edited_raw(a_plan(site, [miner_a], by=operator), admin)
    with pytest.raises(OwnPlan):
        approve(plan, admin)
    approve(plan, owner)


def test_a_frozen_site_lets_nothing_begin(plan, admin, owner, site):
    freeze_site(site, reason="Work at the transformer", by=owner)
    with pytest.raises(IllegalMove, match=r"North is frozen \(Work at the transformer\)"):
        approve(plan, admin)


def test_what_is_too_late_is_not_approved(site, miner_a, operator, admin):
    plan = a_plan(site, [miner_a], by=operator, starts_in_min=-16)
    with pytest.raises(IllegalMove, match="start has passed"):
        approve(plan, admin)
    approve(a_plan(site, [miner_a], by=operator, starts_in_min=-14), admin)


def test_a_machine_is_claimed_by_one_plan_at_a_time(plan, site, miner_a, miner_b, operator, admin):
    approve(plan, admin)
    overlapping = a_plan(site, [miner_a], by=operator, starts_in_min=60)
    with pytest.raises(PlanConflict, match=rf"Plan {plan.pk} stops A-0001 in that time: cancel it, choose"):
        approve(overlapping, admin)
    assert status_of(overlapping) == ("pending", "none")
    assert not PlanApproval.objects.filter(plan=overlapping).exists()
    adjacent = a_plan(site, [miner_a], by=operator)
    CurtailmentPlan.objects.filter(pk=adjacent.pk).delete()
    cancel_plan(plan, reason="Another one", by=admin)
    approve(overlapping, admin)


def test_back_to_back_is_no_overlap(plan, site, miner_a, operator, admin):
    approve(plan, admin)
    after = a_plan(site, [miner_a], by=operator)
    CurtailmentPlan.objects.filter(pk=after.pk).delete()
    after = a_plan(site, [miner_a], by=operator, starts_in_min=91)
    approve(after, admin)


def test_a_farm_of_one_person_says_so(plan, site, operator, admin, owner):
    own = a_plan(site, [], by=admin)
    with pytest.raises(OwnPlan, match="ask a second person"):
        approve(own, admin)
    for person in (admin, operator):
        with pytest.raises(NotAllowed):
            set_four_eyes(site, on=False, reason="Alone", by=person)
    assert set_four_eyes(site, on=False, reason="I run it alone", by=owner)
    assert not set_four_eyes(site, on=False, reason="Again", by=owner)
    assert approve(own, admin).kind == "alone"
    assert PlanEvent.objects.filter(verb="four eyes off", actor=owner).exists()
    assert told("curtailment.four_eyes_changed")[0]["on"] is False


# --- break-glass --------------------------------------------------------------------------------------------------------


def test_in_an_emergency_one_person_is_enough_and_everybody_hears(site, miner_a, admin, owner, operator, mailoutbox):
    plan = a_plan(site, [miner_a], by=admin, priority="emergency")
    given = approve(plan, admin, break_glass=True, reason="The transformer burns")
    assert given.kind == "break_glass"
    mail_break_glass(OutboxEvent.objects.get(event_type="curtailment.break_glass"))
    assert sorted(to for sent in mailoutbox for to in sent.to) == [admin.email, owner.email]
    assert "The transformer burns" in mailoutbox[0].body
    assert PlanEvent.objects.get(plan=plan).data["kind"] == "break_glass"


@pytest.mark.parametrize(
    ("fields", "reason", "match"),
    [
        ({}, "Grid", "for emergencies"),
        ({"priority": "high"}, "Grid", "for emergencies"),
        ({"priority": "emergency", "minutes": 61}, "Grid", "an hour at most"),
        ({"priority": "emergency"}, " ", "Say why"),
    ],
)
def test_break_glass_is_for_short_emergencies_with_a_reason(site, miner_a, admin, fields, reason, match):
    plan = a_plan(site, [miner_a], by=admin, **fields)
    with pytest.raises(WrongInput, match=match):
        approve(plan, admin, break_glass=True, reason=reason)


def test_break_glass_is_not_for_operators(site, miner_a, operator):
    plan = a_plan(site, [miner_a], by=operator, priority="emergency")
    with pytest.raises(NotAllowed):
        approve(plan, operator, break_glass=True, reason="Grid")


# --- rules --------------------------------------------------------------------------------------------------------------


def test_a_rule_lets_its_own_plans_run_and_no_others(plan, site, miner_a):
    made = a_plan(site, [miner_a], plan_type="automatic")
    given = approve_by_rule(made, rule_id=7)
    assert (given.kind, given.approver, given.reason) == ("rule", None, "rule 7")
    with pytest.raises(OwnPlan, match="made by hand"):
        approve_by_rule(plan, rule_id=7)


# --- editing ------------------------------------------------------------------------------------------------------------


def test_an_edit_voids_the_approval(site, operator, admin, running):
    miners = [running(f"E-{number}") for number in range(3)]
    plan = a_plan(site, miners, by=operator, strategy="listed")
    approve(plan, admin)
    edit_plan(plan, version=1, by=operator, ends_at=plan.recovery_time - timedelta(minutes=5))
    assert (plan.status, plan.version, plan.edited_by) == ("pending", 2, operator)
    assert PlanApproval.objects.get(plan=plan).voided_at is not None
    with pytest.raises(StaleVersion):
        approve(plan, admin, version=1)
    approve(plan, admin)


# --- cancelling ---------------------------------------------------------------------------------------------------------


def test_what_waits_is_cancelled_at_once(plan, operator):
    cancel_plan(plan, reason="Not needed", by=operator)
    assert status_of(plan) == ("cancelled", "none")
    assert set(plan.targets.values_list("state", "live", "ended_at")) == {("released", False, None)}
    with pytest.raises(IllegalMove, match="nothing to cancel"):
        cancel_plan(plan, reason="Again", by=operator)


def test_cancelling_what_was_approved_gives_the_machines_free(plan, admin, client_a):
    approve(plan, admin)
    cancel_plan(plan, reason="Not needed", by=admin)
    assert set(plan.targets.values_list("state", "live")) == {("released", False)}
    assert CurtailmentPlan.objects.for_user(client_a).get() == plan  # who heard of it hears of its end
    assert told("curtailment.plan_cancelled")[0]["was"] == "approved"


@pytest.mark.parametrize("state", [("executing", "scheduled"), ("executed", "scheduled"), ("executed", "recovering")])
def test_what_runs_goes_home_when_it_is_cancelled(plan, admin, operator, state):
    lead_to(plan, admin, *state)
    cancel_plan(plan, reason="Stop it", by=operator)
    assert status_of(plan) == ("cancelled", state[1])
    assert plan.restore_requested_at is not None
    assert plan.targets.filter(live=True).count() == 2  # the pass lets them go, one by one


def test_what_is_over_is_not_cancelled(plan, admin):
    lead_to(plan, admin, "executed", "recovered")
    with pytest.raises(IllegalMove):
        cancel_plan(plan, reason="Late", by=admin)


def test_clients_cancel_nothing(plan, client_a, guest):
    for person in (client_a, guest):
        with pytest.raises(NotAllowed):
            cancel_plan(plan, reason="Mine", by=person)


# --- extending ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [("approved", "none"), ("executing", "scheduled"), ("executed", "scheduled")])
def test_a_second_person_lets_it_last_longer(plan, admin, state):
    lead_to(plan, admin, *state)
    until = plan.recovery_time + timedelta(minutes=30)
    before = plan.content_hash
    given = extend_plan(plan, until=until, reason="The grid asks", by=admin)
    assert (given.kind, given.version, given.content_hash) == ("extension", 2, plan.content_hash)
    assert (plan.recovery_time, plan.version, plan.content_hash == before) == (until, 2, False)
    assert {target.window.upper for target in plan.targets.all()} == {until}
    assert told("curtailment.plan_extended")[0]["until"] == until.isoformat()


def test_the_creator_does_not_extend(site, miner_a, admin, owner):
    plan = a_plan(site, [miner_a], by=admin)
    approve(plan, owner)
    until = plan.recovery_time + timedelta(minutes=30)
    with pytest.raises(OwnPlan):
        extend_plan(plan, until=until, reason="More", by=admin)
    set_four_eyes(site, on=False, reason="Alone", by=owner)
    extend_plan(plan, until=until, reason="More", by=admin)


def test_an_extension_keeps_to_the_sites_limit_and_to_other_plans(plan, site, miner_a, operator, admin):
    approve(plan, admin)
    approve(a_plan(site, [miner_a], by=operator, starts_in_min=91), admin)
    with pytest.raises(PlanConflict, match="A-0001"):
        extend_plan(plan, until=plan.recovery_time + timedelta(minutes=30), reason="More", by=admin)
    plan.refresh_from_db()
    assert plan.version == 1
    SitePolicy.objects.create(site=site, max_minutes=80)
    with pytest.raises(WrongInput, match="at most 80 minutes"):
        extend_plan(plan, until=plan.recovery_time + timedelta(minutes=30), reason="More", by=admin)
    for until in (plan.recovery_time, plan.recovery_time - timedelta(minutes=1), timezone.now()):
        with pytest.raises(WrongInput, match="Give an end after"):
            extend_plan(plan, until=until, reason="More", by=admin)


@pytest.mark.parametrize(
    "state", [("pending", "none"), ("cancelled", "none"), ("executed", "recovering"), ("executed", "recovered")]
)
def test_what_does_not_hold_machines_off_is_not_extended(plan, admin, state):
    lead_to(plan, admin, *state)
    with pytest.raises(IllegalMove):
        extend_plan(plan, until=plan.recovery_time + timedelta(minutes=5), reason="More", by=admin)


def test_machines_that_are_back_are_not_claimed_again_by_an_extension(plan, admin, site, miner_a, operator):
    lead_to(plan, admin, "executing", "scheduled")
    rows = PlanMiner.objects.filter(plan=plan, miner=miner_a)
    rows.update(state="released", live=False, ended_at=timezone.now())
    approve(a_plan(site, [miner_a], by=operator, starts_in_min=91), admin)
    extend_plan(plan, until=plan.recovery_time + timedelta(minutes=30), reason="More", by=admin)
    assert plan.planned_reduction == Decimal("0.0065")
