"""Overrides are rows: they are written with the broker down, and the next pass sees them."""

from datetime import timedelta

import pytest
from django.utils import timezone

from curtailment.models import CurtailmentPlan, PlanEvent, SitePolicy
from curtailment.overrides import freeze_site, hand_over, release_miner, restore_now, restore_site, unfreeze_site
from curtailment.refusals import IllegalMove, NotAllowed, WrongInput
from curtailment.verify import breaches
from events.models import OutboxEvent
from hosting.models import Miner, Site
from hosting.states import TicketStatus
from hosting.tickets import move_ticket, open_ticket
from tests.curtailment.raw_plans import a_plan, lead_to

pytestmark = pytest.mark.django_db


@pytest.fixture
def at_work(site, miner_a, miner_b, operator, admin):
    return lead_to(a_plan(site, [miner_a, miner_b], by=operator), admin, "executing", "scheduled")


def test_one_machine_is_asked_back(at_work, operator, miner_a):
    target = at_work.targets.get(miner=miner_a)
    assert release_miner(target, reason="It must run", by=operator)
    assert target.release_requested_at is not None
    assert not release_miner(target, reason="Again", by=operator)
    assert PlanEvent.objects.get(verb="released").data == {"miner_id": miner_a.pk}


def test_a_machine_that_is_back_is_not_released(at_work, operator, miner_a):
    rows = at_work.targets.filter(miner=miner_a)
    rows.update(state="released", live=False, ended_at=timezone.now())
    with pytest.raises(IllegalMove, match="not held by plan"):
        release_miner(rows.get(), reason="It must run", by=operator)


@pytest.fixture
def coming_back(site, miner_a, miner_b, operator, admin):
    """One machine that was ordered to wake, and one that was not yet."""
    plan = lead_to(a_plan(site, [miner_a, miner_b], by=operator), admin, "executed", "incomplete")
    now = timezone.now()
    for state in ("dispatching", "dispatched", "confirmed"):
        plan.targets.update(state=state, prior_on=True, dispatched_at=now, confirmed_at=now)
    plan.targets.filter(miner=miner_a).update(state="restoring", restoring_at=now, attempts=5)
    Miner.objects.filter(curtailments__plan=plan).update(status="curtailed")
    return plan


def test_a_machine_that_stays_away_is_left_to_people(coming_back, admin, operator, miner_a, miner_b):
    away, later = (coming_back.targets.get(miner=miner) for miner in (miner_a, miner_b))
    with pytest.raises(NotAllowed):
        hand_over(away, reason="dead supply", by=operator)
    with pytest.raises(IllegalMove, match="ordered to wake"):
        hand_over(later, reason="dead supply", by=admin)
    ticket = hand_over(away, reason="dead supply", by=admin)
    assert (away.state, away.live, away.last_error) == (
        "released",
        False,
        f"handed over to people: ticket {ticket.pk}",
    )
    miner_a.refresh_from_db()
    assert (miner_a.status, ticket.miner_id, ticket.took_out) == ("maintenance", miner_a.pk, True)
    assert ticket.comments.get().text == "dead supply"
    assert PlanEvent.objects.get(verb="handed over").data == {"miner_id": miner_a.pk, "ticket_id": ticket.pk}
    assert OutboxEvent.objects.get(event_type="curtailment.miner_handed_over").payload["ticket_id"] == ticket.pk
    assert [breach for breach in breaches() if breach.miner_id == miner_a.pk] == []
    with pytest.raises(IllegalMove):
        hand_over(away, reason="again", by=admin)


def test_a_machine_with_a_ticket_goes_into_that_one(coming_back, admin, miner_a):
    there = open_ticket(miner_a, "Fan 2 is loud", take_out=False, by=admin)
    ticket = hand_over(coming_back.targets.get(miner=miner_a), reason="dead supply", by=admin)
    assert (ticket.pk, ticket.took_out) == (there.pk, True)
    move_ticket(ticket, TicketStatus.CLOSED, by=admin)
    miner_a.refresh_from_db()
    assert miner_a.status == "active"


def test_a_plan_is_restored_before_its_end(at_work, admin):
    assert restore_now(at_work, reason="False alarm", by=admin)
    assert (at_work.restore_reason, at_work.status) == ("False alarm", "executing")
    assert not restore_now(at_work, reason="Again", by=admin)
    assert OutboxEvent.objects.filter(event_type="curtailment.restore_requested").count() == 1


def test_what_stopped_nothing_is_cancelled_not_restored(site, miner_a, operator, admin):
    plan = a_plan(site, [miner_a], by=operator)
    with pytest.raises(IllegalMove, match="cancel it"):
        restore_now(plan, reason="x", by=admin)
    lead_to(plan, admin, "executed", "recovered")
    with pytest.raises(IllegalMove, match="are back"):
        restore_now(plan, reason="x", by=admin)


def test_a_site_is_restored_as_a_whole(at_work, site, make_miner, operator, admin):
    waiting = a_plan(site, [make_miner("C-1")], by=operator)
    approved = lead_to(a_plan(site, [make_miner("C-2")], by=operator), admin, "approved", "none")
    elsewhere = Site.objects.create(name="South")
    other = lead_to(a_plan(elsewhere, [make_miner("C-3", site=elsewhere)]), admin, "executing", "scheduled")
    done = restore_site(site, reason="Storm is over", by=admin)
    assert done == {"restoring": [at_work.pk], "cancelled": [approved.pk]}
    assert restore_site(site, reason="Again", by=admin) == {"restoring": [], "cancelled": []}
    statuses = dict(CurtailmentPlan.objects.values_list("pk", "status"))
    assert statuses == {at_work.pk: "executing", waiting.pk: "pending", approved.pk: "cancelled", other.pk: "executing"}
    other.refresh_from_db()
    assert other.restore_requested_at is None


def test_a_freeze_ends_by_itself_or_by_hand(site, admin):
    until = freeze_site(site, reason="Work at the switchgear", by=admin)
    assert timedelta(minutes=59) < until - timezone.now() <= timedelta(minutes=60)
    policy = SitePolicy.objects.get(site=site)
    assert (policy.frozen_reason, policy.frozen_by, policy.four_eyes) == ("Work at the switchgear", admin, True)
    assert unfreeze_site(site, by=admin)
    assert not unfreeze_site(site, by=admin)
    verbs = PlanEvent.objects.order_by("pk").values_list("verb", flat=True)
    assert list(verbs) == ["frozen", "unfrozen"]


@pytest.mark.parametrize("minutes", [0, -5, 241])
def test_a_freeze_is_short(site, admin, minutes):
    with pytest.raises(WrongInput, match="1 to 240 minutes"):
        freeze_site(site, reason="x", minutes=minutes, by=admin)


def test_an_override_says_why(at_work, site, admin, miner_a):
    for act in (
        lambda: restore_now(at_work, reason=" ", by=admin),
        lambda: restore_site(site, reason="", by=admin),
        lambda: freeze_site(site, reason="", by=admin),
        lambda: release_miner(at_work.targets.get(miner=miner_a), reason="", by=admin),
    ):
        with pytest.raises(WrongInput, match="Say why"):
            act()


def test_who_may_override(at_work, site, operator, client_a, guest, miner_a):
    """Operators give one machine back; the plan and the site are for admins, and the server's own command line."""
    for person in (operator, client_a, guest):
        for act in (restore_now, restore_site, freeze_site):
            with pytest.raises(NotAllowed):
                act(at_work if act is restore_now else site, reason="x", by=person)
        with pytest.raises(NotAllowed):
            unfreeze_site(site, by=person)
    for person in (client_a, guest):
        with pytest.raises(NotAllowed):
            release_miner(at_work.targets.get(miner=miner_a), reason="x", by=person)
    assert restore_now(at_work, reason="x", by=None)


@pytest.mark.django_db(transaction=True)
def test_overrides_need_no_broker(site, miner_a, admin, settings):
    """The broker refuses connections: the rows are written all the same, in well under the time of a request."""
    from celery import current_app

    plan = lead_to(a_plan(site, [miner_a]), admin, "executing", "scheduled")
    before = current_app.conf.broker_url
    current_app.conf.broker_url = "redis://127.0.0.1:1/0"
    try:
        began = timezone.now()
        assert restore_now(plan, reason="Broker is down", by=admin)
        freeze_site(site, reason="Broker is down", by=admin)
        unfreeze_site(site, by=admin)
    finally:
        current_app.conf.broker_url = before
    assert timezone.now() - began < timedelta(seconds=30)
    assert plan.restore_requested_at is not None
