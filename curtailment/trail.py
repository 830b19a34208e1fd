"""The trail of curtailment: who did what to which plan or site. The table itself refuses changes."""

from typing import Any

from accounts.models import User
from curtailment.models import CurtailmentPlan, PlanEvent
from hosting.models import Site


def note(
    verb: str,
    *,
    plan: CurtailmentPlan | None = None,
    site: Site | int | None = None,
    detail: str = "",
    data: dict[str, Any] | None = None,
    by: User | None = None,
) -> PlanEvent:
    """Write one act, in the transaction of what it tells about; `by` None is a pass, a rule or the command line.

    Name the plan, or the site of an act that is about no single plan.
    """
    if plan is not None:
        where = plan.site_id
    elif site is not None:
        where = site if isinstance(site, int) else site.pk
    else:
        raise ValueError("An act belongs to a plan or to a site: name one.")
    return PlanEvent.objects.create(
        plan_id=plan.pk if plan else None, site_id=where, verb=verb, detail=detail, data=data or {}, actor=by
    )
