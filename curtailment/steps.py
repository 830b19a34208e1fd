"""What every step with a plan begins with: the row locked as it is now, and whether this person may take it."""

from typing import Any

from django.db import connection
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now

from accounts.models import User
from curtailment.models import CurtailmentPlan, SitePolicy
from curtailment.refusals import NotAllowed, WrongInput
from events.outbox import publish
from hosting.models import Site

MAX_REASON = 500
SITE_CLAIMS = 0x6375_7274  # a class of advisory locks: whoever claims machines of a site waits for others who do

FROZEN = Exists(SitePolicy.objects.filter(site=OuterRef("site"), frozen_until__gt=Now()))


def may(permission: str, site_id: int, *, by: User | None) -> None:
    """Raises NotAllowed; `by` None is the command line of the server, which may."""
    if by is None:
        return
    if not by.may(permission):
        raise NotAllowed("Your role may not do this. Ask an administrator of the farm.")
    if not by.may_at(permission, site_id):
        raise NotAllowed("This site is not yours to decide about.")


def why(reason: str, *, needed: bool = True) -> str:
    """The reason, trimmed; raises WrongInput."""
    reason = reason.strip()
    if needed and not reason:
        raise WrongInput("Say why: it stays in the trail of the plan.")
    if len(reason) > MAX_REASON or "\0" in reason:
        raise WrongInput(f"The reason is plain text of at most {MAX_REASON} characters.")
    return reason


def locked(plan: CurtailmentPlan) -> CurtailmentPlan:
    """The plan as it is now, until the end of the transaction; whoever else takes a step with it waits."""
    return CurtailmentPlan.objects.select_for_update(no_key=True, of=("self",)).select_related("site").get(pk=plan.pk)


def claim_in_turn(site_id: int) -> None:
    """Claims of one site's machines are made one after another, until the end of the transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [SITE_CLAIMS, site_id])


def is_frozen(site_id: int) -> SitePolicy | None:
    """The site's policy while it is frozen."""
    return SitePolicy.objects.filter(site=site_id, frozen_until__gt=Now()).first()


def without_second_person(site_id: int) -> bool:
    """Whether the site is a farm of one person, whose own approval counts."""
    return SitePolicy.objects.filter(site=site_id, four_eyes=False).exists()


def tell(event_type: str, plan: CurtailmentPlan, *, by: User | None, **more: Any) -> None:
    """Publish an event about the plan."""
    publish(
        event_type,
        about=f"plan:{plan.pk}",
        plan_id=plan.pk,
        site_id=plan.site_id,
        by_id=None if by is None else str(by.pk),
        **more,
    )


def tell_of_site(event_type: str, site: Site, *, by: User | None, **more: Any) -> None:
    publish(event_type, about=f"site:{site.pk}", site_id=site.pk, by_id=None if by is None else str(by.pk), **more)


NOT_FROZEN = ~Q(FROZEN)
