"""What no program may do to a plan, whatever it is: the database refuses it."""

import time
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.utils import timezone

from curtailment import guards
from curtailment.models import CurtailmentPlan, PlanApproval, PlanMiner, SitePolicy
from curtailment.states import PLAN_MOVES, RECOVERY_MOVES, TARGET_MOVES, PlanStatus, RecoveryState, TargetState
from hosting.models import Miner
from tests.curtailment.raw_plans import PATHS, a_plan, approve_raw, lead_to

pytestmark = pytest.mark.django_db


@pytest.fixture
def plan(site, miner_a, miner_b, operator):
    return a_plan(site, [miner_a, miner_b], by=operator)


def change(plan, **values) -> None:
    with transaction.atomic():
        CurtailmentPlan.objects.filter(pk=plan.pk).update(**values)


def refused(plan, **values) -> str:
    with pytest.raises(IntegrityError) as error, transaction.atomic():
        CurtailmentPlan.objects.filter(pk=plan.pk).update(**values)
    return str(error.value)


def legal(before: tuple[str, str], after: tuple[str, str]) -> bool:
    """As states.py and safety.md have it: what waits has nothing to recover, what runs has."""
    (status, recovery), (to, recovery_to) = before, after
    if before in {("executed", "recovered"), ("cancelled", "none"), ("cancelled", "recovered")}:
        return before == after
    if status != to and PlanStatus(status) not in PLAN_MOVES[PlanStatus(to)]:
        return False
    if recovery != recovery_to and RecoveryState(recovery) not in RECOVERY_MOVES.get(RecoveryState(recovery_to), ()):
        return False
    if to in {"pending", "approved"}:
        return recovery_to == "none"
    return to == "cancelled" or recovery_to != "none"


@pytest.mark.parametrize("before", PATHS, ids="/".join)
def test_every_move_of_a_plan_is_legal_or_refused(plan, admin, before):
    lead_to(plan, admin, *before)
    for to in PlanStatus.values:
        for recovery in RecoveryState.values:
            after = (to, recovery)
            values = {"status": to, "recovery_state": recovery}
            if before == ("approved", "none") and after == ("pending", "none"):
                continue  # an edit, which is a new version: below
            if before == ("pending", "none") and after == ("approved", "none"):
                assert "no approval" in refused(plan, **values)
            elif legal(before, after):
                undone(lambda values=values: change(plan, **values))
            else:
                refused(plan, **values)


def undone(act) -> None:
    """Do it, and take it back, so that the next move starts where this one did."""
    with transaction.atomic():
        before = transaction.savepoint()
        act()
        transaction.savepoint_rollback(before)


def test_every_move_of_a_target_is_legal_or_refused(plan, admin):
    approve_raw(plan, admin)
    row = PlanMiner.objects.filter(plan=plan).first()
    table = connection.ops.quote_name(PlanMiner._meta.db_table)
    for before in TargetState.values:
        with connection.cursor() as cursor:
            cursor.execute(f"SET CONSTRAINTS ALL IMMEDIATE; ALTER TABLE {table} DISABLE TRIGGER USER")
            cursor.execute(f"UPDATE {table} SET state = %s WHERE id = %s", [before, row.pk])
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
        for after in TargetState.values:
            rows = PlanMiner.objects.filter(pk=row.pk)
            if after == before or TargetState(before) in TARGET_MOVES[TargetState(after)]:
                undone(lambda rows=rows, after=after: rows.update(state=after))
            else:
                with pytest.raises(IntegrityError, match=f"cannot go from {before} to {after}"), transaction.atomic():
                    rows.update(state=after)


def test_what_is_in_force_is_what_the_tables_say():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT prosrc FROM pg_proc WHERE proname IN ('curtailment_plan_guard', 'curtailment_approval_guard')"
        )
        sources = [source for (source,) in cursor.fetchall()]
        cursor.execute("SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname = 'curtailment_plan_miners_moves'")
        ((moves,),) = cursor.fetchall()
    assert len(sources) == 2
    written = guards.plan_guard() + guards.approval_guard()
    assert all(source in written for source in sources), "states or guards changed: write a migration"
    assert guards.pairs(TARGET_MOVES).strip("'") in moves


def test_a_plan_begins_pending(site, operator):
    for state in ({"status": "approved"}, {"recovery_state": "scheduled"}, {"status": "executing"}):
        with pytest.raises(IntegrityError, match="begins pending"), transaction.atomic():
            a_plan(site, [], by=operator, **state)


@pytest.mark.parametrize("status", ["approved", "executing", "executed"])
@pytest.mark.parametrize(
    "values",
    [
        {"target_power_reduction": "9.000000"},
        {"scheduled_time": timezone.now() + timedelta(minutes=1)},
        {"recovery_time": F("recovery_time") + timedelta(minutes=1)},
        {"recovery_time": F("recovery_time") + timedelta(minutes=1), "version": 2},
        {"content_hash": "b" * 64},
        {"version": 2},
        {"priority": "emergency"},
        {"plan_type": "automatic"},
        {"reason": "Another one"},
        {"preview": {"nice": True}},
        {"created_by": None},
    ],
    ids=",".join,
)
def test_what_was_approved_stays_as_it_was_shown(plan, admin, status, values):
    lead_to(plan, admin, status, "none" if status == "approved" else "scheduled")
    refused(plan, **values)


def test_an_earlier_end_is_always_allowed(plan, admin):
    lead_to(plan, admin, "executing", "scheduled")
    change(plan, recovery_time=F("recovery_time") - timedelta(minutes=30))


def test_a_wish_to_restore_is_not_taken_back(plan, admin):
    lead_to(plan, admin, "executed", "scheduled")
    change(plan, restore_requested_at=timezone.now())
    assert "not taken back" in refused(plan, restore_requested_at=None)


def test_a_plan_lasts_a_week_at_most(plan):
    change(plan, recovery_time=F("scheduled_time") + timedelta(days=7))
    assert "a_week_at_most" in refused(plan, recovery_time=F("scheduled_time") + timedelta(days=7, seconds=1))


def test_editing_voids_the_approval_and_gives_the_machines_free(plan, admin):
    approve_raw(plan, admin)
    assert "new version" in refused(plan, status="pending")
    change(plan, status="pending", version=2, content_hash="b" * 64)
    approval = PlanApproval.objects.get()
    assert (approval.version, approval.voided_at is None) == (1, False)
    assert not PlanMiner.objects.filter(live=True).exists()
    assert "no approval of version 2" in refused(plan, status="approved")


def test_a_plan_that_was_approved_is_not_deleted(plan, admin):
    approve_raw(plan, admin)
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM curtailment_plans WHERE id = %s", [plan.pk])


def test_machines_join_and_leave_a_pending_plan_alone(plan, admin, make_miner):
    third = make_miner("C-0001")
    rows = PlanMiner.objects.filter(plan=plan)
    join = {"plan": plan, "miner": third, "baseline_w": 3250, "window": (plan.scheduled_time, plan.recovery_time)}
    PlanMiner.objects.create(shutdown_order=3, **join)
    rows.filter(miner=third).delete()
    approve_raw(plan, admin)
    for act in (
        lambda: PlanMiner.objects.create(shutdown_order=3, **join),
        lambda: rows.first().delete(),
        lambda: rows.filter(shutdown_order=1).update(miner=third),
        lambda: rows.filter(shutdown_order=1).update(shutdown_order=9),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            act()
    assert rows.count() == 2


def test_no_machine_is_claimed_for_a_pending_plan(plan):
    with pytest.raises(IntegrityError, match="claimed when it is approved"), transaction.atomic():
        PlanMiner.objects.filter(plan=plan).update(live=True)


def test_whether_a_machine_ran_before_is_written_once(plan, admin):
    approve_raw(plan, admin)
    rows = PlanMiner.objects.filter(plan=plan, shutdown_order=1)
    rows.update(prior_on=False)
    for value in (True, None):
        with pytest.raises(IntegrityError, match="written once"), transaction.atomic():
            rows.update(prior_on=value)


# --- approvals ----------------------------------------------------------------------------------------------------------


def approval(plan, approver, **values):
    fields = {
        "kind": "approval",
        "version": plan.version,
        "content_hash": plan.content_hash,
        "approver": approver,
    } | values
    with transaction.atomic():
        return PlanApproval.objects.create(plan=plan, **fields)


def test_the_creators_own_approval_is_refused(plan, operator, admin):
    for values in (
        {},
        {"kind": "alone"},
        {"kind": "break_glass", "reason": "x"},
        {"kind": "rule"},
        {"kind": "extension"},
        {"kind": "approval", "approver": None},
    ):
        with pytest.raises(IntegrityError):
            approval(plan, **{"approver": operator} | values)
    approval(plan, admin)


def test_alone_where_the_site_says_so(plan, operator, site):
    SitePolicy.objects.create(site=site, four_eyes=False)
    with pytest.raises(IntegrityError, match="somebody else"):
        approval(plan, operator)
    approval(plan, operator, kind="alone")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"priority": "high"}, "Grid"),
        ({"priority": "emergency", "minutes": 61}, "Grid"),
        ({"priority": "emergency"}, ""),
    ],
)
def test_break_glass_takes_a_short_emergency_and_a_reason(site, miner_a, operator, fields, reason):
    wrong = a_plan(site, [miner_a], by=operator, **fields)
    with pytest.raises(IntegrityError, match="break-glass"):
        approval(wrong, operator, kind="break_glass", reason=reason)
    right = a_plan(site, [miner_a], by=operator, priority="emergency")
    approval(right, operator, kind="break_glass", reason="The grid falls")


@pytest.mark.parametrize("values", [{"version": 2}, {"content_hash": "b" * 64}])
def test_an_approval_is_of_what_the_plan_is_now(plan, admin, values):
    with pytest.raises(IntegrityError, match="at version"):
        approval(plan, admin, **values)


def test_approvals_stay_as_they_were_written(plan, admin):
    given = approval(plan, admin)
    rows = PlanApproval.objects.filter(pk=given.pk)
    for values in ({"reason": "x"}, {"approver": None}, {"version": 7}, {"voided_at": timezone.now(), "kind": "rule"}):
        with pytest.raises(IntegrityError, match="kept as written"), transaction.atomic():
            rows.update(**values)
    with pytest.raises(IntegrityError, match="kept as written"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM curtailment_approvals")
    rows.update(voided_at=timezone.now())
    with pytest.raises(IntegrityError, match="kept as written"), transaction.atomic():
        rows.update(voided_at=None)


# --- speed --------------------------------------------------------------------------------------------------------------


@pytest.mark.storm
def test_moving_six_thousand_machines_stays_quick(site, operator, admin, make_miner, catalogue):
    kind = catalogue.get(name="S19 Pro")
    miners = Miner.objects.bulk_create(
        Miner(serial_number=f"S-{number:05}", miner_model=kind, site=site) for number in range(6000)
    )
    plan = a_plan(site, miners, by=operator)
    approve_raw(plan, admin)
    took = {}
    for guarded in (True, False):
        with connection.cursor() as cursor, transaction.atomic():
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            if not guarded:
                cursor.execute("ALTER TABLE curtailment_plan_miners DISABLE TRIGGER curtailment_plan_miners_moves")
                cursor.execute("ALTER TABLE curtailment_plan_miners DISABLE TRIGGER curtailment_plan_miners_prior")
                cursor.execute("ALTER TABLE curtailment_plan_miners DISABLE TRIGGER curtailment_plan_miners_member")
            sid = transaction.savepoint()
            began = time.perf_counter()
            PlanMiner.objects.filter(plan=plan).update(state="dispatching", prior_on=True)
            took[guarded] = time.perf_counter() - began
            transaction.savepoint_rollback(sid)
    print(f"6,000 rows: {took[True] * 1000:.0f} ms guarded, {took[False] * 1000:.0f} ms without")
    assert took[True] < 5
