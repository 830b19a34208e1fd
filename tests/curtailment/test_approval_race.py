"""Fifty people at one plan at once: one step wins its version, the others are told to look again."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from django.db import close_old_connections, connections

from curtailment.lifecycle import approve_plan, cancel_plan, extend_plan
from curtailment.models import CurtailmentPlan, PlanApproval, PlanEvent, PlanMiner
from curtailment.planning import edit_plan
from curtailment.refusals import REFUSED, PlanConflict
from events.models import OutboxEvent
from tests.curtailment.raw_plans import a_plan, lead_to

pytestmark = pytest.mark.django_db(transaction=True)
THREADS = 50


def all_at_once(acts) -> list[object]:
    """Run each in a thread with a connection of its own; what each returned or raised."""
    together = Barrier(len(acts))

    def run(act):
        try:
            close_old_connections()
            together.wait(30)
            return act()
        except Exception as error:  # noqa: BLE001  looked at by the test
            return error
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


@pytest.fixture
def planned(site, running, operator):
    machines = [running(f"R-{number}") for number in range(5)]
    return a_plan(site, machines, by=operator, strategy="listed")


def test_one_of_fifty_approvals_wins(planned, make_user):
    people = [make_user("admin", f"admin-{number}") for number in range(5)]
    sees = {"version": planned.version, "content_hash": planned.content_hash}
    answers = all_at_once(
        [lambda by=people[number % 5]: approve_plan(planned, by=by, **sees) for number in range(THREADS)]
    )
    won = [answer for answer in answers if isinstance(answer, PlanApproval)]
    assert len(won) == 1
    assert all(isinstance(answer, REFUSED) for answer in answers if answer not in won)
    assert PlanApproval.objects.get() == won[0]
    assert PlanMiner.objects.filter(live=True).count() == 5
    assert PlanEvent.objects.filter(verb="approved").count() == 1
    assert OutboxEvent.objects.filter(event_type="curtailment.plan_approved").count() == 1


@pytest.mark.parametrize("favoured", ["approve", "edit", "cancel"])
def test_one_of_fifty_approvals_edits_and_cancels_wins(planned, make_user, operator, favoured):
    """All saw version 1 waiting; whoever comes first decides, and the others are told to look again."""
    admin = make_user("admin", "second")
    sees = {"version": 1, "content_hash": planned.content_hash}
    acts = {
        "approve": lambda: approve_plan(planned, by=admin, **sees),
        "edit": lambda seen: edit_plan(seen, version=1, reason="Another reason", by=operator),
        "cancel": lambda seen: cancel_plan(seen, reason="Not needed", by=operator),
    }

    def as_seen(verb):
        if verb == "approve":
            return acts[verb]
        seen = CurtailmentPlan.objects.select_related("site").get(pk=planned.pk)
        return lambda: acts[verb](seen)

    # Whichever is asked for most often wins most often; together the three cases see every winner.
    verbs = [favoured] * 30 + [verb for verb in acts if verb != favoured] * 10
    answers = all_at_once([as_seen(verb) for verb in verbs])
    assert [one for one in answers if isinstance(one, Exception) and not isinstance(one, REFUSED)] == []
    winners = [verb for verb, one in zip(verbs, answers, strict=True) if not isinstance(one, Exception)]
    assert len(winners) == 1
    plan = CurtailmentPlan.objects.get()
    after = {"approve": ("approved", 1, 5), "edit": ("pending", 2, 0), "cancel": ("cancelled", 1, 0)}[winners[0]]
    assert (plan.status, plan.version, plan.targets.filter(live=True).count()) == after
    assert PlanApproval.objects.count() == (winners == ["approve"])
    word = {"approve": "approved", "edit": "edited", "cancel": "cancelled"}[winners[0]]
    assert list(PlanEvent.objects.values_list("verb", flat=True)) == [word]


def test_plans_for_the_same_machines_do_not_both_begin(site, running, operator, make_user):
    admin = make_user("admin", "second")
    machines = [running(f"R-{number}") for number in range(40)]
    plans = [a_plan(site, machines if number % 2 else machines[::-1], by=operator) for number in range(10)]
    answers = all_at_once(
        [lambda plan=plan: approve_plan(plan, version=1, content_hash=plan.content_hash, by=admin) for plan in plans]
    )
    assert sum(isinstance(answer, PlanApproval) for answer in answers) == 1
    assert sum(isinstance(answer, PlanConflict) for answer in answers) == 9
    assert PlanMiner.objects.filter(live=True).values("plan").distinct().count() == 1


def test_extensions_and_cancels_of_a_running_plan(planned, make_user):
    admin = make_user("admin", "second")
    lead_to(planned, admin, "executing", "scheduled")
    until = planned.recovery_time + timedelta(minutes=30)
    acts = [lambda: extend_plan(CurtailmentPlan.objects.get(pk=planned.pk), until=until, reason="More", by=admin)] * 15
    acts += [lambda: cancel_plan(CurtailmentPlan.objects.get(pk=planned.pk), reason="No", by=admin)] * 15
    answers = all_at_once(acts)
    assert [one for one in answers if isinstance(one, Exception) and not isinstance(one, REFUSED)] == []
    extended = sum(isinstance(answer, PlanApproval) for answer in answers)
    assert sum(not isinstance(answer, Exception) for answer in answers[15:]) == 1
    plan = CurtailmentPlan.objects.get()
    assert (plan.status, plan.recovery_state) == ("cancelled", "scheduled")
    assert plan.restore_requested_at is not None
    assert (extended, plan.version) in {(0, 1), (1, 2)}
