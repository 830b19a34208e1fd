"""Settling a plan whose machines are back: one scan of its readings, the arithmetic of `reckoning`, rows that never change.

What is told is what was measured. A machine that answers nothing while it sleeps (its control board may be down with it)
adds no energy and lowers the coverage: an unread machine may as well have been mining, so silence is never taken for zero watts.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import transaction
from django.db.models import Q

from analytics.models import MarketSnapshot
from curtailment import reckoning
from curtailment.evidence import content_hash
from curtailment.measured import Readings, measure
from curtailment.models import (
    CurtailmentPlan,
    PlanMiner,
    Settlement,
    SettlementClient,
    SettlementInterval,
    SettlementMiner,
)
from curtailment.reckoning import Line, Off, Slot
from curtailment.states import RecoveryState, TargetRole, TargetState
from events.outbox import publish
from hosting.excused import write_excused
from hosting.models import ElectricityPrice, ExcusedStretch, Site, TelemetrySweep
from minefarm.lib.clock import database_now

READINGS_IN = timedelta(minutes=2)  # after the last machine came back, the sweep of that minute is stored
GIVE_UP_WAITING = timedelta(hours=24)  # for the readings of a site that was cut off
HASHPRICE_HOLDS = timedelta(hours=24)
BATCH = 2000
METHOD = (
    "Baseline: median of the last ten good readings of each machine before the plan. Energy avoided: baseline less measured"
    " power, never below zero, in each minute with a reading; a minute without one adds nothing and lowers the coverage."
    " Price: the site's in that minute. Revenue forgone: hashrate before the plan less measured hashrate, at the hashprice"
    " of the quarter of an hour, before pool fees."
)


class NotSettleable(Exception):
    """The plan has stopped nothing, or its machines are not back yet."""


def due() -> "Iterator[CurtailmentPlan]":
    """Plans that are over, whose readings are in, and that nobody has settled; oldest first."""
    now = database_now()
    plans = CurtailmentPlan.objects.filter(
        recovery_state=RecoveryState.RECOVERED, recovered_at__lte=now - READINGS_IN, settlement__isnull=True
    ).order_by("recovered_at", "pk")
    for plan in plans:
        read = TelemetrySweep.objects.filter(site=plan.site_id, minute__gte=plan.recovered_at)
        if read.exists() or (plan.recovered_at and plan.recovered_at < now - GIVE_UP_WAITING):
            yield plan


@transaction.atomic
def settle_plan(plan: CurtailmentPlan) -> Settlement:
    """Settle the plan and write its excused time, once: a plan that is settled already gives its settlement.

    Raises NotSettleable. Settlements of a site follow one another, so that a machine's minute counts for one plan alone.
    """
    Site.objects.select_for_update(no_key=True).get(pk=plan.site_id)
    plan = CurtailmentPlan.objects.select_related("site").get(pk=plan.pk)
    if found := Settlement.objects.filter(plan=plan).first():
        return found
    if plan.recovery_state != RecoveryState.RECOVERED or plan.recovered_at is None:
        raise NotSettleable(f"Plan {plan.pk} is not over ({plan.get_recovery_state_display()}): settle it when it is.")
    targets = list(plan.targets.exclude(role=TargetRole.RESERVE, dispatched_at__isnull=True))
    stretches = _stretches(plan, targets)
    asked = _asked(plan)
    start = reckoning.whole_minute(min([asked[0], *(off.off_from for off, _ in stretches)]))
    end = max([asked[1], *(off.off_until for off, _ in stretches)])
    slots = reckoning.slots(
        start, end, prices=_prices(plan.site, start, end), hashprices=_hashprices(start, end), asked=asked
    )
    spans = reckoning.currencies(slots, _usual_currency(plan.site))
    parts = [
        (part, hashrate, currency) for off, hashrate in stretches for part, currency in reckoning.split(off, spans)
    ]
    readings = measure([(part, hashrate) for part, hashrate, _ in parts], slots, start, end)
    lines = [
        reckoning.line(part, currency, ((slots[slot], one) for slot, one in readings.of_stretch.get(at, ())))
        for at, (part, _, currency) in enumerate(parts)
    ]
    return _write(plan, targets=targets, asked=asked, slots=slots, lines=lines, readings=readings)


def _asked(plan: CurtailmentPlan) -> tuple[datetime, datetime]:
    """From when until when power was asked for: a plan that was called off asked no longer."""
    ends = [plan.recovery_time, plan.cancelled_at, plan.restore_requested_at]
    end = min(moment for moment in ends if moment is not None)
    return plan.scheduled_time, max(end, plan.scheduled_time + timedelta(minutes=1))


def _stretches(plan: CurtailmentPlan, targets: Iterable[PlanMiner]) -> list[tuple[Off, Decimal | None]]:
    """Time in which each machine was off for this plan, with the hashrate that it had before.

    From the first order to the moment when it was measured to be on again; of a machine that stayed off for this plan after
    another one, from where that one's settlement ends. One that was never measured to be off has none.
    """
    offs = []
    for target in targets:
        begin = target.dispatched_at or (plan.scheduled_time if target.role == TargetRole.HELD else target.confirmed_at)
        end = target.ended_at or plan.recovered_at
        if begin and end and begin < end and _was_off(target):
            offs.append((target, begin, end))
    taken = _counted([target.miner_id for target, _, _ in offs], plan)
    return [
        (Off(target.miner_id, target.client_id, since, until, target.baseline_w), target.hashrate_ths)
        for target, begin, end in offs
        for since, until in reckoning.without(begin, end, taken.get(target.miner_id, ()))
    ]


def _was_off(target: PlanMiner) -> bool:
    """Measured to be off for this plan; or off already, and woken by it or handed on to another one at its end."""
    handed_on = target.state == TargetState.RELEASED and target.last_error.startswith("held by plan")
    held = target.role == TargetRole.HELD and (target.restoring_at is not None or handed_on)
    return target.confirmed_at is not None or held


def _counted(miner_ids: list[int], plan: CurtailmentPlan) -> dict[int, list[tuple[datetime, datetime]]]:
    """Time of these machines that other plans' settlements have counted."""
    found: dict[int, list[tuple[datetime, datetime]]] = defaultdict(list)
    rows = ExcusedStretch.objects.filter(
        miner__in=miner_ids,
        ends_at__gt=plan.scheduled_time,
        starts_at__lt=plan.recovered_at,
        source__startswith="curtailment:",
    )
    for miner_id, starts_at, ends_at in rows.values_list("miner_id", "starts_at", "ends_at"):
        found[miner_id].append((starts_at, ends_at))
    return found


def _prices(site: Site, start: datetime, end: datetime) -> list[tuple[datetime, datetime | None, Decimal, str]]:
    held = site.electricity_prices.filter(Q(valid_until__isnull=True) | Q(valid_until__gt=start), valid_from__lt=end)
    return list(held.order_by("valid_from").values_list("valid_from", "valid_until", "price_per_kwh", "currency"))


def _usual_currency(site: Site) -> str:
    last = ElectricityPrice.objects.filter(site=site).order_by("-valid_from").values_list("currency", flat=True).first()
    return last or "USD"


def _hashprices(start: datetime, end: datetime) -> list[tuple[datetime, Decimal]]:
    found = MarketSnapshot.objects.filter(bucket__gt=start - HASHPRICE_HOLDS, bucket__lt=end).order_by("bucket")
    rows = found.values_list("bucket", "hashprice_usd_per_ph_day")
    return [(moment, price) for moment, price in rows if price is not None]


def _write(
    plan: CurtailmentPlan,
    *,
    targets: Sequence[PlanMiner],
    asked: tuple[datetime, datetime],
    slots: Sequence[Slot],
    lines: Sequence[Line],
    readings: Readings,
) -> Settlement:
    requested_w = (
        plan.planned_reduction if plan.target_power_reduction is None else plan.target_power_reduction
    ) * 1_000_000
    shares = reckoning.by_client(lines)
    steps = reckoning.intervals([one.off for one in lines], readings.minutes, requested_w=requested_w, asked=asked)
    reached = reckoning.seconds_to(
        reckoning.SHARES, _stopped(targets, lines), requested_w=requested_w, since=plan.scheduled_time
    )
    off_s = sum((one.off.seconds for one in lines), Decimal())
    saved = {
        currency: reckoning.total(share.saved for share in shares if share.currency == currency)
        for currency in sorted({share.currency for share in shares})
    }
    settlement = Settlement(
        plan=plan,
        starts_at=asked[0],
        ends_at=asked[1],
        requested_w=requested_w,
        delivered_w=_delivered(slots, readings, asked),
        seconds_to_50=reached[50],
        seconds_to_95=reached[95],
        seconds_to_100=reached[100],
        machines=len(targets),
        confirmed=sum(1 for target in targets if target.confirmed_at),
        drifted=sum(1 for target in targets if target.drifts),
        failed=sum(1 for target in targets if target.dispatched_at and not target.confirmed_at),
        kwh_avoided=reckoning.total(share.kwh_avoided for share in shares),
        unpriced_kwh=sum((share.unpriced_kwh for share in shares), Decimal()),
        saved={currency: str(amount) for currency, amount in saved.items() if amount is not None},
        forgone_usd=reckoning.total(share.forgone_usd for share in shares),
        coverage=reckoning.coverage(sum((one.known_s for one in lines), Decimal()), off_s),
        baseline_method=METHOD,
    )
    clients = [_client_row(share) for share in shares]
    miners = [_miner_row(one) for one in lines]
    intervals = [_step_row(step) for step in steps]
    settlement.content_hash = content_hash(settlement, clients, miners, intervals)
    settlement.save(force_insert=True)
    rows: list[SettlementClient | SettlementMiner | SettlementInterval] = [*clients, *miners, *intervals]
    for row in rows:
        row.settlement = settlement
    SettlementClient.objects.bulk_create(clients, batch_size=BATCH)
    SettlementMiner.objects.bulk_create(miners, batch_size=BATCH)
    SettlementInterval.objects.bulk_create(intervals, batch_size=BATCH)
    write_excused(_excused(plan, lines))
    publish(
        "curtailment.settled",
        about=f"plan:{plan.pk}",
        plan_id=plan.pk,
        site_id=plan.site_id,
        settlement_id=settlement.pk,
        kwh_avoided=None if settlement.kwh_avoided is None else str(settlement.kwh_avoided),
        coverage=str(settlement.coverage),
        content_hash=settlement.content_hash,
    )
    settlement.refresh_from_db()
    return settlement


def _stopped(targets: Iterable[PlanMiner], lines: Iterable[Line]) -> list[tuple[datetime, Decimal]]:
    """When each machine was measured to be off, and what it gave on average while it was."""
    gave: dict[int, list[Line]] = defaultdict(list)
    for one in lines:
        gave[one.off.miner_id].append(one)
    found = []
    for target in targets:
        mine = gave.get(target.miner_id, [])
        known_s = sum((one.known_s for one in mine), Decimal())
        if target.confirmed_at and known_s:
            kwh = reckoning.total(one.kwh_avoided for one in mine) or Decimal()
            found.append((target.confirmed_at, kwh * reckoning.WS_PER_KWH / known_s))
    return found


def _delivered(slots: Sequence[Slot], readings: Readings, asked: tuple[datetime, datetime]) -> Decimal | None:
    """Mean watts over the time that was asked for; None when nothing was read."""
    within = [one for parts in readings.of_stretch.values() for slot, one in parts if slots[slot].asked]
    if not sum((one.known_s for one in within), Decimal()):
        return None
    total = sum((one.avoided_ws for one in within), Decimal())
    return (total / reckoning.seconds(*asked)).quantize(Decimal("0.01"))


def _client_row(share: reckoning.Share) -> SettlementClient:
    return SettlementClient(
        client_id=share.client,
        currency=share.currency,
        machines=share.machines,
        minutes=(share.seconds / 60).quantize(Decimal("0.01")),
        kwh_avoided=share.kwh_avoided,
        saved=share.saved,
        unpriced_kwh=share.unpriced_kwh,
        forgone_usd=share.forgone_usd,
        coverage=share.coverage,
    )


def _miner_row(one: Line) -> SettlementMiner:
    return SettlementMiner(
        miner_id=one.off.miner_id,
        client_id=one.off.client,
        off_from=one.off.off_from,
        off_until=one.off.off_until,
        baseline_w=one.off.baseline_w,
        currency=one.currency,
        kwh_avoided=one.kwh_avoided,
        saved=one.saved,
        unpriced_kwh=one.unpriced_kwh,
        forgone_usd=one.forgone_usd,
        coverage=reckoning.coverage(one.known_s, one.off.seconds),
    )


def _step_row(step: reckoning.Interval) -> SettlementInterval:
    return SettlementInterval(
        starts_at=step.starts_at,
        requested_kw=step.requested_kw,
        delivered_kw=step.delivered_kw,
        coverage=step.coverage,
    )


def _excused(plan: CurtailmentPlan, lines: Iterable[Line]) -> list[ExcusedStretch]:
    return [
        ExcusedStretch(
            miner_id=one.off.miner_id,
            site_id=plan.site_id,
            client_id=one.off.client,
            starts_at=one.off.off_from,
            ends_at=one.off.off_until,
            source=f"curtailment:{plan.pk}",
            kwh_avoided=one.kwh_avoided,
            saved=one.saved,
            currency=one.currency,
        )
        for one in lines
    ]
