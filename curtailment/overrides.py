"""People over plans: give a machine back, bring everything back, or let nothing be sent. All of it works with the broker down.

Each act is a row that the next pass sees, whoever runs it: a worker, `run_curtailment`, or the watchdog.
"""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import User
from curtailment.lifecycle import cancel_plan
from curtailment.models import CurtailmentPlan, PlanMiner, SitePolicy
from curtailment.poke import poke
from curtailment.refusals import IllegalMove, NotAllowed, WrongInput
from curtailment.states import ENDED, UNRECOVERED, PlanStatus, RecoveryState, TargetState
from curtailment.steps import locked, may, tell, tell_of_site, why
from curtailment.trail import note
from hosting.commands import call_off
from hosting.models import MaintenanceTicket, Miner, Site
from hosting.services import uncurtail_miners
from hosting.states import MinerStatus
from hosting.tickets import take_over
from minefarm.lib.clock import database_now

LONGEST_FREEZE_MIN = 240


def release_miner(target: PlanMiner, *, reason: str, by: User | None) -> bool:
    """Take one machine out of its plan and bring it back; False when that was asked for before.

    Raises NotAllowed, IllegalMove, WrongInput.
    """
    plan = target.plan
    may("curtailment:stop", plan.site_id, by=by)
    reason = why(reason)
    with transaction.atomic():
        now = locked(plan)
        open_ones = PlanMiner.objects.filter(pk=target.pk, plan__in=CurtailmentPlan.objects.live())
        if not open_ones.exclude(state__in=ENDED).exists():
            raise IllegalMove(f"{target.miner} is not held by plan {plan.pk} any more: there is nothing to release.")
        if not open_ones.filter(release_requested_at=None).update(release_requested_at=Now(), next_attempt_at=Now()):
            return False
        note("released", plan=now, detail=reason, data={"miner_id": target.miner_id}, by=by)
        poke()
    target.refresh_from_db()
    return True


def hand_over(target: PlanMiner, *, reason: str, by: User | None) -> MaintenanceTicket:
    """Leave a machine that does not come back to people: out of its plan, into maintenance, with a ticket, which is returned.

    Only of a machine that was ordered to wake already. No order of the plan leaves for it any more; one that is open is
    called off. Where another plan holds it as well, it is that one's to bring back, and no ticket's to keep in maintenance.
    Raises NotAllowed, IllegalMove, WrongInput.
    """
    plan = target.plan
    may("curtailment:override", plan.site_id, by=by)
    reason = why(reason)
    with transaction.atomic():
        now = locked(plan)
        row = PlanMiner.objects.filter(pk=target.pk, state=TargetState.RESTORING, plan__recovery_state__in=UNRECOVERED)
        ended = {"state": TargetState.RELEASED, "live": False, "ended_at": Now()}
        if not row.update(**ended, last_error="handed over to people"):
            raise IllegalMove(
                f"Plan {plan.pk} is not bringing {target.miner} back at this moment: only what was ordered to wake, and is"
                " not on yet, can be handed over."
            )
        target.refresh_from_db()
        if target.command_id is not None:
            call_off([target.command_id], "the machine was handed over to people")
        others = PlanMiner.objects.open().filter(miner=target.miner_id, live=True, prior_on=True)
        if not others.exclude(pk=target.pk).exists():
            miner = Miner.objects.filter(pk=target.miner_id)
            uncurtail_miners(miner, to=MinerStatus.OFFLINE, reason=f"handed over by plan {plan.pk}", by=by)
        ticket = take_over(target.miner, f"Not back after curtailment plan {plan.pk}", note=reason, by=by)
        PlanMiner.objects.filter(pk=target.pk).update(last_error=f"handed over to people: ticket {ticket.pk}")
        note("handed over", plan=now, detail=reason, data={"miner_id": target.miner_id, "ticket_id": ticket.pk}, by=by)
        tell("curtailment.miner_handed_over", now, miner_id=target.miner_id, ticket_id=ticket.pk, reason=reason, by=by)
        poke()
    target.refresh_from_db()
    return ticket


def restore_now(plan: CurtailmentPlan, *, reason: str, by: User | None) -> bool:
    """Bring all machines of the plan back before its end; False when that is under way. One that waits does not begin.

    Raises NotAllowed, IllegalMove, WrongInput.
    """
    may("curtailment:override", plan.site_id, by=by)
    reason = why(reason)
    with transaction.atomic():
        now = locked(plan)
        if now.status in {PlanStatus.PENDING, PlanStatus.APPROVED} and now.recovery_state == RecoveryState.NONE:
            raise IllegalMove(f"Plan {plan.pk} stopped no machine yet: cancel it.")
        if now.recovery_state not in UNRECOVERED:
            raise IllegalMove(f"All machines of plan {plan.pk} are back.")
        asked = CurtailmentPlan.objects.filter(
            pk=plan.pk, restore_requested_at=None, recovery_state=RecoveryState.SCHEDULED
        ).update(restore_requested_at=Now(), restore_reason=reason, updated_at=Now())
        if not asked:
            return False
        note("restore asked", plan=now, detail=reason, by=by)
        tell("curtailment.restore_requested", now, reason=reason, by=by)
        poke()
    plan.refresh_from_db()
    return True


def restore_site(site: Site, *, reason: str, by: User | None) -> dict[str, list[int]]:
    """Bring back all that plans stopped at a site, and cancel what was approved and did not begin.

    Returns the ids of plans by what was done: `restoring` and `cancelled`. Raises NotAllowed, WrongInput.
    """
    may("curtailment:override", site.pk, by=by)
    reason = why(reason)
    done: dict[str, list[int]] = {"restoring": [], "cancelled": []}
    with transaction.atomic():
        live = CurtailmentPlan.objects.live().filter(site=site).order_by("pk")
        for plan in live.select_for_update(no_key=True):
            if plan.status == PlanStatus.APPROVED:
                cancel_plan(plan, reason=reason, by=by)
                done["cancelled"].append(plan.pk)
            elif restore_now(plan, reason=reason, by=by):
                done["restoring"].append(plan.pk)
        note("site restored", site=site, detail=reason, data=dict(done), by=by)
        tell_of_site("curtailment.site_restored", site, reason=reason, plans=len(done["restoring"]), by=by)
    return done


def freeze_site(site: Site, *, reason: str, minutes: int = 60, by: User | None) -> datetime:
    """Let no order of a plan, to stop or to wake, leave for the site; it ends by itself. Returns when.

    Raises NotAllowed, WrongInput.
    """
    may("curtailment:override", site.pk, by=by)
    reason = why(reason)
    if not 1 <= minutes <= LONGEST_FREEZE_MIN:
        raise WrongInput(f"A freeze lasts 1 to {LONGEST_FREEZE_MIN} minutes; it can be repeated.")
    with transaction.atomic():
        until = database_now() + timedelta(minutes=minutes)
        frozen = {"frozen_until": until, "frozen_reason": reason, "frozen_by": by}
        SitePolicy.objects.update_or_create(site=site, defaults=frozen)
        note("frozen", site=site, detail=reason, data={"until": until.isoformat()}, by=by)
        tell_of_site("curtailment.site_frozen", site, reason=reason, until=until.isoformat(), by=by)
    return until


def unfreeze_site(site: Site, *, reason: str = "", by: User | None) -> bool:
    """End a freeze; False when there is none. Raises NotAllowed, WrongInput."""
    may("curtailment:override", site.pk, by=by)
    reason = why(reason, needed=False)
    with transaction.atomic():
        frozen = SitePolicy.objects.filter(site=site, frozen_until__gt=Now())
        if not frozen.update(frozen_until=None, frozen_reason=None, frozen_by=None):
            return False
        note("unfrozen", site=site, detail=reason, by=by)
        tell_of_site("curtailment.site_unfrozen", site, reason=reason, by=by)
        poke()
    return True


def set_four_eyes(site: Site, *, on: bool, reason: str, by: User) -> bool:
    """Say whether a second person must approve plans of the site; the owner alone does. False when it is so already.

    Switched on again, approvals that were given alone stay. Raises NotAllowed, WrongInput.
    """
    if by is None:
        raise NotAllowed("The owner says so in person: sign in.")
    may("curtailment:foureyes", site.pk, by=by)
    reason = why(reason)
    with transaction.atomic():
        SitePolicy.objects.get_or_create(site=site)
        if not SitePolicy.objects.filter(~Q(four_eyes=on), site=site).update(four_eyes=on):
            return False
        note("four eyes on" if on else "four eyes off", site=site, detail=reason, by=by)
        tell_of_site("curtailment.four_eyes_changed", site, reason=reason, on=on, by=by)
    return True
