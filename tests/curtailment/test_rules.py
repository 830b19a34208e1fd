"""Rules from the form to the plan: who arms them, what armed ones do, and how they end."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError

from curtailment import arming
from curtailment.lifecycle import START_WITHIN
from curtailment.models import CurtailmentPlan, CurtailmentRule, PlanApproval, SitePolicy
from curtailment.refusals import NotAllowed, StaleVersion
from curtailment.rules import evaluate, evaluate_rules, open_plans
from curtailment.states import PlanStatus, PlanType, Priority, RecoveryState
from curtailment.triggers.wishes import Act
from events.models import OutboxEvent
from hosting.models import ElectricityPrice, MinerLatest

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)
FIVE = 5 * MINUTE


@pytest.fixture
def make_rule(site, operator):
    def make(kind="price", name="dear power", **fields):
        fields.setdefault("settings", {"windows_above": 1, "windows_below": 1} if kind == "price" else {})
        rule = CurtailmentRule(site=site, name=name, kind=kind, **fields)
        return arming.make_rule(rule, by=operator)

    return make


@pytest.fixture
def armed(make_rule, admin, now):
    def make(*args, **fields):
        rule = make_rule(*args, **fields)
        assert arming.was_tried(rule, content_hash=rule.content_hash, now=now)
        arming.arm(rule, content_hash=rule.content_hash, by=admin)
        return rule

    return make


@pytest.fixture
def farm(running, worth):
    """Three machines at 29.5 J/TH: they break even at 70.5 $/MWh, and power costs 100."""
    return [running(f"A-{number}") for number in range(3)]


def set_price(site, per_mwh, since):
    ElectricityPrice.objects.filter(site=site).delete()
    ElectricityPrice.objects.create(site=site, price_per_kwh=Decimal(per_mwh) / 1000, valid_from=since)


def read_again(now):
    """The sweeps go on: every machine answered a moment ago."""
    MinerLatest.objects.update(seen_at=now)


def off(plan):
    """As the passes leave it when its machines are off."""
    CurtailmentPlan.objects.filter(pk=plan.pk).update(
        status=PlanStatus.EXECUTING, recovery_state=RecoveryState.SCHEDULED
    )
    CurtailmentPlan.objects.filter(pk=plan.pk).update(status=PlanStatus.EXECUTED, power_reduced=plan.planned_reduction)


# --- arming -----------------------------------------------------------------------------------------------------------


def test_a_new_rule_is_not_armed_and_does_nothing(make_rule, farm, now):
    rule = make_rule()
    assert not rule.armed
    assert evaluate(rule.pk, now=now) is None
    assert evaluate_rules(now=now) == []


def test_arming_takes_a_dry_run_of_this_very_content(make_rule, admin, now):
    rule = make_rule()
    with pytest.raises(arming.CannotArm, match="dry run"):
        arming.arm(rule, content_hash=rule.content_hash, by=admin)
    assert arming.was_tried(rule, content_hash=rule.content_hash, now=now)
    with pytest.raises(arming.CannotArm, match="changed meanwhile"):
        arming.arm(rule, content_hash="another", by=admin)
    arming.arm(rule, content_hash=rule.content_hash, by=admin)
    assert (rule.armed, rule.armed_by) == (True, admin)
    with pytest.raises(arming.CannotArm, match="already"):
        arming.arm(rule, content_hash=rule.content_hash, by=admin)


def test_who_changed_it_last_does_not_arm_it_unless_the_farm_has_one_person(make_rule, admin, site, now):
    rule = make_rule()
    arming.edit_rule(arming.changed(rule, max_minutes=60), version=rule.version, by=admin)
    arming.was_tried(rule, content_hash=rule.content_hash, now=now)
    with pytest.raises(arming.CannotArm, match="somebody else"):
        arming.arm(rule, content_hash=rule.content_hash, by=admin)
    SitePolicy.objects.create(site=site, four_eyes=False)
    arming.arm(rule, content_hash=rule.content_hash, by=admin)
    assert rule.armed


def test_an_operator_makes_rules_but_arms_none(make_rule, operator, client_a, site, now):
    rule = make_rule()
    arming.was_tried(rule, content_hash=rule.content_hash, now=now)
    with pytest.raises(NotAllowed):
        arming.arm(rule, content_hash=rule.content_hash, by=operator)
    with pytest.raises(NotAllowed):
        arming.make_rule(CurtailmentRule(site=site, name="x", kind="price"), by=client_a)


def test_editing_what_it_does_disarms_and_a_new_name_does_not(armed, operator):
    rule = armed()
    arming.edit_rule(arming.changed(rule, name="another name"), version=rule.version, by=operator)
    assert rule.armed
    assert (rule.version, rule.name) == (1, "another name")
    arming.edit_rule(arming.changed(rule, target_mw=Decimal(1)), version=1, by=operator)
    assert not rule.armed
    assert rule.version == 2
    with pytest.raises(StaleVersion):
        arming.edit_rule(arming.changed(rule, max_minutes=33), version=1, by=operator)


def test_the_database_itself_keeps_what_was_not_shown_from_being_armed(make_rule, admin):
    from django.db import IntegrityError, transaction

    rule = make_rule()
    with pytest.raises(IntegrityError), transaction.atomic():
        CurtailmentRule.objects.filter(pk=rule.pk).update(armed=True, armed_by=admin)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"settings": {"windows_above": 0}}, "settings"),
        ({"settings": []}, "settings"),
        ({"target_mw": Decimal(1), "share_percent": Decimal(50)}, "share_percent"),
        ({"target_mw": Decimal(-1)}, "target_mw"),
        ({"kind": "signal", "settings": {}}, "source"),
        ({"kind": "horoscope"}, "kind"),
        ({"min_on_minutes": 500}, "min_on_minutes"),
        ({"strategy": "listed"}, "strategy"),
    ],
)
def test_wrong_rules_are_refused_by_field(make_rule, fields, field):
    with pytest.raises(ValidationError) as refused:
        make_rule(**fields)
    assert field in refused.value.message_dict


# --- at work ----------------------------------------------------------------------------------------------------------


def test_a_dear_price_makes_a_plan_that_the_arming_approves(armed, farm, site, now):
    rule = armed(target_mw=Decimal("0.006"))
    done = evaluate(rule.pk, now=now)
    assert done.act == Act.START, done
    plan = CurtailmentPlan.objects.get()
    assert (plan.rule, plan.created_by, plan.plan_type) == (rule, None, PlanType.AUTOMATIC)
    assert plan.status == PlanStatus.APPROVED
    assert plan.miners_affected == 2
    assert "break-even" in plan.reason
    assert PlanApproval.objects.get().kind == PlanApproval.Kind.RULE
    event = OutboxEvent.objects.get(event_type="curtailment.rule_acted")
    assert event.payload["plan_ids"] == [plan.pk]


def test_evaluating_again_makes_no_second_plan(armed, farm, now):
    rule = armed()
    for minute in range(4):
        evaluate(rule.pk, now=now + minute * MINUTE)
    assert CurtailmentPlan.objects.count() == 1
    rule.refresh_from_db()
    assert rule.last_result.startswith("extend: ")


def test_it_survives_a_restart_between_two_windows(armed, farm, now):
    rule = armed(settings={"windows_above": 2})
    assert evaluate(rule.pk, now=now).act == Act.HOLD
    assert CurtailmentRule.objects.get().windows_above == 1
    read_again(now + FIVE)
    assert evaluate(rule.pk, now=now + FIVE).act == Act.START


def test_machines_are_held_half_an_hour_at_a_time_and_no_longer_than_the_longest(armed, farm, now):
    rule = armed(max_minutes=45, cool_down_minutes=60)
    evaluate(rule.pk, now=now)
    plan = open_plans(rule)[0]
    assert plan.recovery_time == now + 30 * MINUTE
    off(plan)
    evaluate(rule.pk, now=now + 10 * MINUTE)
    plan.refresh_from_db()
    assert plan.recovery_time == now + 30 * MINUTE
    done = evaluate(rule.pk, now=now + 25 * MINUTE)
    plan.refresh_from_db()
    assert plan.recovery_time == now + 45 * MINUTE, done
    assert evaluate(rule.pk, now=now + 45 * MINUTE).act == Act.HOLD  # its end has come by itself
    read_again(now + 60 * MINUTE)
    held = evaluate(rule.pk, now=now + 60 * MINUTE)
    assert (held.act, "rests for another" in held.why) == (Act.HOLD, True)


def test_a_cheap_price_brings_the_machines_back(armed, farm, site, now):
    rule = armed(min_on_minutes=10)
    evaluate(rule.pk, now=now)
    plan = open_plans(rule)[0]
    off(plan)
    set_price(site, 40, now - timedelta(days=1))
    assert "at least another" in evaluate(rule.pk, now=now + FIVE).why
    done = evaluate(rule.pk, now=now + 10 * MINUTE)
    assert done.act == Act.STOP
    plan.refresh_from_db()
    assert plan.restore_requested_at is not None
    assert "below break-even" in plan.restore_reason


def test_a_plan_that_did_not_begin_is_cancelled_when_the_price_falls(armed, farm, site, now):
    rule = armed(min_on_minutes=0)
    evaluate(rule.pk, now=now)
    set_price(site, 40, now - timedelta(days=1))
    assert evaluate(rule.pk, now=now + FIVE).act == Act.STOP
    assert CurtailmentPlan.objects.get().status == PlanStatus.CANCELLED


def test_disarming_brings_back_what_it_holds(armed, farm, now, operator):
    rule = armed()
    evaluate(rule.pk, now=now)
    off(open_plans(rule)[0])
    assert arming.disarm(rule, by=operator)
    assert CurtailmentPlan.objects.get().restore_requested_at is not None
    assert not arming.disarm(rule, by=operator)


def test_when_a_person_ends_it_the_rule_rests(armed, farm, now, admin):
    from curtailment.overrides import restore_now

    rule = armed(cool_down_minutes=60, min_off_minutes=0)
    evaluate(rule.pk, now=now)
    plan = open_plans(rule)[0]
    off(plan)
    restore_now(plan, reason="the pool asked", by=admin)
    read_again(now + FIVE)
    done = evaluate(rule.pk, now=now + FIVE)
    assert (done.act, "rests for another 60 min" in done.why) == (Act.HOLD, True)


def test_nothing_to_stop_is_said_and_tried_again(armed, worth, now):
    rule = armed(settings={"strike": 50, "windows_above": 1})
    done = evaluate(rule.pk, now=now)
    assert "it would stop machines, but: No machine" in done.why
    rule.refresh_from_db()
    assert rule.active_since is None


def test_a_frozen_site_is_left_alone(armed, farm, site, now):
    rule = armed()
    SitePolicy.objects.create(site=site, frozen_until=now + timedelta(hours=1), frozen_reason="works")
    done = evaluate(rule.pk, now=now)
    assert (done.act, done.why.endswith("the site is frozen")) == (Act.HOLD, True)


def test_an_unknown_price_changes_nothing(armed, farm, site, now):
    rule = armed()
    evaluate(rule.pk, now=now)
    off(open_plans(rule)[0])
    ElectricityPrice.objects.all().delete()
    done = evaluate(rule.pk, now=now + FIVE)
    assert (done.act, done.why) == (Act.HOLD, "stays off: no price of electricity holds now")


def test_a_schedule_makes_a_plan_until_its_end(armed, farm, site, now):
    from zoneinfo import ZoneInfo

    here = now.astimezone(ZoneInfo(site.time_zone))
    begins, ends = here - timedelta(minutes=1), here + timedelta(minutes=90)
    rule = armed("schedule", settings={"from": f"{begins:%H:%M}", "to": f"{ends:%H:%M}"})
    assert evaluate(rule.pk, now=now).act == Act.START
    plan = CurtailmentPlan.objects.get()
    assert plan.plan_type == PlanType.SCHEDULED
    assert plan.recovery_time == ends.replace(second=0, microsecond=0)


def test_a_cap_stops_the_excess_and_more_once_that_is_measured(armed, farm, now):
    rule = armed("power_cap", settings={"cap_kw": 8, "minutes_above": 1})
    done = evaluate(rule.pk, now=now)  # 9.75 kW are drawn
    assert done.act == Act.START
    plan = CurtailmentPlan.objects.get()
    assert plan.target_power_reduction == Decimal("0.00175")
    assert evaluate(rule.pk, now=now + MINUTE).plans == ()
    off(plan)
    evaluate(rule.pk, now=now + 2 * MINUTE)  # still drawn, although a machine is off: others took more
    second = CurtailmentPlan.objects.exclude(pk=plan.pk).get()
    assert second.target_power_reduction == Decimal("0.00175")


def test_warm_inlets_stop_a_share_of_the_site(armed, farm, now):
    MinerLatest.objects.update(inlet_temperature_c=41, details_at=now)
    rule = armed(
        "temperature",
        settings={"above_c": 38, "minutes_above": 1},
        share_percent=Decimal(60),
        priority=Priority.HIGH,
    )
    assert evaluate(rule.pk, now=now).act == Act.START
    plan = CurtailmentPlan.objects.get()
    assert plan.target_power_reduction == Decimal("0.00585")
    assert plan.miners_affected == 2


def test_an_obligation_is_evaluated_before_a_price(armed, farm, now, site):
    from curtailment.sources import make_source

    source = make_source(site=site, name="utility", by=None)
    armed()
    signal = armed("signal", name="grid", source=source, settings={})
    assert next(one.rule_id for one in evaluate_rules(now=now)) == signal.pk


def test_one_rule_that_fails_does_not_stop_the_others(armed, farm, now):
    rule = armed()
    armed(name="broken", settings={"strike": 50})
    CurtailmentRule.objects.filter(name="broken").update(settings={"gone": 1})
    results = {one.name: one for one in evaluate_rules(now=now)}
    assert results[rule.name].act == Act.START
    assert results["broken"].why.startswith("gone: ")


def test_a_dry_run_shows_unarmed_rules_and_writes_nothing(make_rule, farm, now):
    rule = make_rule()
    done = evaluate_rules(now=now, dry_run=True)
    assert [(one.rule_id, one.act) for one in done] == [(rule.pk, Act.START)]
    assert not CurtailmentPlan.objects.exists()
    rule.refresh_from_db()
    assert rule.last_evaluated_at is None


def test_the_leases_of_rules_begin_in_time():
    from curtailment.rules import LEASE, RENEW_BEFORE

    assert MINUTE < RENEW_BEFORE < LEASE
    assert START_WITHIN < LEASE
