"""What is done with deals; a move of a stage is one UPDATE with the stage that the person saw in its WHERE."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import Count, F, Q, QuerySet, Sum
from django.utils import timezone

from accounts.models import User
from crm.models import Deal, DealStageChange
from crm.states import OPEN_STAGES, PROBABILITIES, DealStage
from events.outbox import publish
from hosting.models import Miner, Site

STUCK_AFTER = timedelta(days=14)
KILO = Decimal(1000)


class DealRefused(Exception):
    """The deal cannot go there; nothing was changed."""


class MovedMeanwhile(DealRefused):
    """Somebody else moved it since this person looked."""


class NoRoom(DealRefused):
    """The site has not that much power to give; whoever knows better says so with `despite_capacity`."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """kW of a site: what it has, what its machines may draw, what won deals will bring, and what is free. None: not known."""

    capacity_kw: Decimal | None
    machines_kw: Decimal
    promised_kw: Decimal

    @property
    def free_kw(self) -> Decimal | None:
        return None if self.capacity_kw is None else self.capacity_kw - self.machines_kw - self.promised_kw

    def fits(self, power_kw: Decimal | None) -> bool | None:
        """Whether so much more goes; None where the capacity or the need is not known."""
        return None if self.free_kw is None or power_kw is None else power_kw <= self.free_kw


@dataclass(frozen=True, slots=True)
class StageSum:
    stage: DealStage
    deals: int
    value: Decimal
    weighted: Decimal


def move_deal(
    deal: Deal,
    to: DealStage,
    *,
    seen: DealStage | str | None = None,
    reason: str = "",
    probability: int | None = None,
    despite_capacity: bool = False,
    by: User | None,
) -> Deal:
    """Move a deal in one UPDATE and keep its history. `seen` is the stage that the person saw it in.

    Raises MovedMeanwhile, NoRoom, DealRefused (lost without a reason, closed with another probability than its own).
    """
    if to == DealStage.CLOSED_LOST and not reason.strip():
        raise DealRefused("Say why the deal was lost.")
    if to not in OPEN_STAGES and probability not in {None, PROBABILITIES[to]}:
        raise DealRefused(f"A closed deal has a probability of {PROBABILITIES[to]} %: leave it out.")
    now = timezone.now()
    values: dict[str, Any] = {
        "stage": to,
        "probability": PROBABILITIES[to] if probability is None else probability,
        "stage_since": now,
        "updated_at": now,
        "closed_at": None if to in OPEN_STAGES else now,
        "lost_reason": reason.strip() if to == DealStage.CLOSED_LOST else None,
    }
    before = str(seen or deal.stage)
    with transaction.atomic():
        if to == DealStage.CLOSED_WON and not despite_capacity:
            _refuse_without_room(deal)
        if not Deal.objects.filter(~Q(stage=to), pk=deal.pk, stage=before).update(**values):
            deal.refresh_from_db()
            if deal.stage == to:
                return deal
            raise MovedMeanwhile(f"Somebody moved it to {deal.get_stage_display()} meanwhile: look again.")
        DealStageChange.objects.create(deal=deal, from_stage=before, to_stage=to, by=by)
        publish("deal.stage_changed", about=f"deal:{deal.pk}", deal_id=deal.pk, from_stage=before, to_stage=str(to))
    deal.refresh_from_db()
    return deal


def capacity_of(site: Site, *, but: Deal | None = None) -> Capacity:
    """By nameplates: measured power says nothing of machines that are off today. Two queries.

    A won deal takes its room until the day when its machines arrive; one without that day takes it until somebody enters one.
    """
    rated = Miner.objects.in_service().filter(site=site).aggregate(w=Sum("miner_model__power_consumption"))["w"]
    to_come = Q(target_date__isnull=True) | Q(target_date__gt=timezone.now().date())
    waiting = Deal.objects.filter(to_come, site=site, stage=DealStage.CLOSED_WON)
    promised = waiting.exclude(pk=but.pk if but else None).aggregate(kw=Sum("power_kw"))["kw"]
    capacity = None if site.capacity_mw is None else site.capacity_mw * KILO
    return Capacity(capacity, (rated or Decimal()) / KILO, promised or Decimal())


def pipeline(deals: "QuerySet[Deal]") -> list[StageSum]:
    """Per stage: deals, their value, and the value by its probability. One query."""
    weighted = Sum(F("value") * F("probability") / Decimal(100))
    rows = deals.order_by().values("stage").annotate(deals=Count("pk"), total=Sum("value"), weighted=weighted)
    found: dict[str, dict[str, Any]] = {row["stage"]: dict(row) for row in rows}
    return [
        StageSum(
            stage,
            found.get(stage, {}).get("deals", 0),
            found.get(stage, {}).get("total") or Decimal(),
            (found.get(stage, {}).get("weighted") or Decimal()).quantize(Decimal("0.01")),
        )
        for stage in DealStage
    ]


def is_stuck(deal: Deal, now: datetime) -> bool:
    """Open, and in the same stage for more than two weeks."""
    return deal.stage in OPEN_STAGES and now - deal.stage_since > STUCK_AFTER


def _refuse_without_room(deal: Deal) -> None:
    """Locks the site until the transaction ends: two deals that are won at once must not count on the same kW."""
    asked = Deal.objects.get(pk=deal.pk)
    if asked.site_id is None:
        return
    site = Site.objects.select_for_update(no_key=True).get(pk=asked.site_id)
    room = capacity_of(site, but=asked)
    if room.fits(asked.power_kw) is False:
        raise NoRoom(
            f"{site} has {room.free_kw:,.0f} kW free and this deal needs {asked.power_kw:,.0f} kW:"
            " choose another site, or say that it is won all the same."
        )
