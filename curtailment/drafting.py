"""Drafts of plans: what is asked for, checked, and the machines that it would stop. Nothing is written."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from accounts.models import User
from curtailment.candidates import Field, borne_kwh, field_of, unknown
from curtailment.models import SitePolicy
from curtailment.preview import MW, preview
from curtailment.selection import NOT_NAMED, Selection, select
from curtailment.states import PlanType, Priority, Strategy
from hosting.models import Miner, Site
from minefarm.lib.clock import database_now

MAX_REASON = 500
HARD_LIMIT = timedelta(days=7)
LATE = timedelta(minutes=15)  # a start so long ago means now; an older one is a mistake
SHOWN_WRONG = 5
# As the column has it: what was rounded when it is stored would not be what its hash says, and nobody could approve it.
TOO_MUCH_MW, A_WATT_MW = Decimal(1_000_000), Decimal("0.000001")


class WrongPlan(ValueError):
    """What was asked for cannot be planned; the message says what to give."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What somebody wants. Without `target_mw` it is whatever the named machines draw; `miners` are ids, None for all."""

    site: Site
    starts_at: datetime
    ends_at: datetime
    target_mw: Decimal | None = None
    strategy: Strategy = Strategy.LEAST_EFFICIENT
    miners: frozenset[int] | None = None
    priority: Priority = Priority.NORMAL
    reason: str = ""
    plan_type: PlanType = PlanType.MANUAL


@dataclass(frozen=True, slots=True)
class Draft:
    """What would be written: the machines in their order, what is held, and the preview."""

    ask: Ask
    selection: Selection
    field: Field
    preview: dict[str, Any]

    @property
    def planned_mw(self) -> Decimal:
        watts = sum((self.field.baselines[one.miner_id] for one in self.selection.chosen), Decimal())
        return watts / MW


def draft_plan(ask: Ask, *, but_plan: int | None = None, now: datetime | None = None) -> Draft:
    """Select the machines; reads only, and gives the same again for the same readings. Raises WrongPlan.

    `but_plan` is the plan that is being edited: its own claims do not stand in its way.
    """
    now = now or database_now()
    ask = _checked(ask, now)
    found = field_of(ask.site, ask.starts_at, ask.ends_at, now=now, priority=ask.priority, but_plan=but_plan)
    if ask.miners is not None and (strangers := unknown(ask.miners, found)):
        named = ", ".join(map(str, strangers[:SHOWN_WRONG]))
        raise WrongPlan(f"Not machines of {ask.site}: {named}. Name machines of this site.")
    selection = select(
        found.candidates,
        target_w=None if ask.target_mw is None else float(ask.target_mw * MW),
        strategy=ask.strategy,
        borne_kwh=borne_kwh(ask.site, now) if ask.strategy == Strategy.FAIR_SHARE else None,
        listed=ask.miners,
    )
    left_out = found.left_out | selection.left_out
    if ask.miners is not None:  # nobody asks why a machine that was not named is not in
        left_out = {pk: why for pk, why in left_out.items() if pk in ask.miners and why != NOT_NAMED}
        found = replace(found, held=[one for one in found.held if one.candidate.miner_id in ask.miners])
    shown = preview(
        selection,
        held=len(found.held),
        left_out=left_out,
        serials=found.serials,
        clients=_clients(selection),
        hashprice=found.hashprice,
        hashprice_at=found.hashprice_at,
        price_per_kwh=found.price_per_kwh,
        minutes=round((ask.ends_at - ask.starts_at).total_seconds() / 60),
        policy=SitePolicy.of(ask.site),
    )
    shown["named"] = None if ask.miners is None else sorted(ask.miners)
    return Draft(ask, selection, found, shown)


def miner_ids(serials: Collection[str], site: Site) -> frozenset[int]:
    """Ids of the site's machines with these serial numbers or ids. Raises WrongPlan with those that there are not."""
    found = dict(Miner.objects.in_service().filter(site=site).values_list("serial_number", "pk"))
    numbers = set(found.values())
    ids, missing = set(), []
    for given in serials:
        if given in found:
            ids.add(found[given])
        elif given.isdecimal() and int(given) in numbers:
            ids.add(int(given))
        else:
            missing.append(given)
    if missing:
        raise WrongPlan(f"Not machines of {site}: {', '.join(missing[:SHOWN_WRONG])}. Name machines of this site.")
    return frozenset(ids)


def nothing_to_stop(draft: Draft) -> str:
    """Why the draft is empty, in a sentence."""
    reasons = "; ".join(f"{count:,} because {why}" for why, count in list(draft.preview["left_out"].items())[:3])
    return f"No machine of {draft.ask.site} can be stopped: {reasons or 'it has none'}."


def _checked(ask: Ask, now: datetime) -> Ask:
    reason = ask.reason.strip()
    limit = min(HARD_LIMIT, timedelta(minutes=SitePolicy.of(ask.site).max_minutes))
    wrong = (
        (not reason, "Say why, for whoever approves it and for the clients whose machines stop."),
        (len(reason) > MAX_REASON or "\0" in reason, f"The reason is plain text of at most {MAX_REASON} characters."),
        (ask.starts_at < now - LATE, "The start has passed: give one from now on."),
        (ask.ends_at <= ask.starts_at, "The machines come back before they stop: give a later end."),
        (ask.ends_at <= now, "The end has passed: give a later one."),
        (
            ask.ends_at - ask.starts_at > limit,
            f"{ask.site} is curtailed for at most {limit.total_seconds() / 60:.0f} minutes: give an earlier end.",
        ),
        (
            ask.target_mw is not None and not ask.target_mw > 0,
            "The target is MW above 0, such as 1.5.",
        ),
        (ask.target_mw is not None and ask.target_mw >= TOO_MUCH_MW, "The target is in MW, below 1,000,000."),
        (
            ask.target_mw is not None and ask.target_mw < TOO_MUCH_MW and ask.target_mw % A_WATT_MW != 0,
            "The target is MW with at most 6 digits after the point, which is whole watts.",
        ),
        (
            ask.target_mw is None and ask.miners is None,
            "Give a target in MW, or name the machines.",
        ),
        (ask.strategy == Strategy.LISTED and not ask.miners, "Name the machines, or choose another strategy."),
    )
    if told := next((text for is_so, text in wrong if is_so), None):
        raise WrongPlan(told)
    # A plan for now begins now: the clocks of people and of the database differ by seconds.
    return replace(ask, reason=reason, starts_at=max(ask.starts_at, now))


def _clients(selection: Selection) -> dict[str, str]:
    ids = {one.client_id for one in selection.chosen if one.client_id}
    return {str(user.pk): str(user) for user in User.objects.filter(pk__in=ids)}
