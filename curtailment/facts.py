"""What rules look at: prices, hashprice, measured power, inlets, signals. Queries only, and for each rule what it wants now."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import Avg, Count, Sum

from analytics.hashprice import break_even_usd_per_mwh
from analytics.models import MarketSnapshot
from curtailment.models import CurtailmentPlan, CurtailmentRule, PlanMiner, RuleKind, Signal, SignalSource
from curtailment.states import TargetRole
from curtailment.triggers import power_cap, price, schedule, signals, temperature
from curtailment.triggers.wishes import Limits, Memory, Wish
from hosting.energy import price_at
from hosting.models import MinerLatest, Site

FRESH = timedelta(minutes=5)
DETAILS_FRESH = timedelta(minutes=15)  # inlets are read every fifth minute
HASHPRICE_FRESH = timedelta(hours=6)
SIGNALS_KEPT = timedelta(days=8)  # no event is longer than a week
MWH = Decimal(1000)
ZERO = Decimal(0)
WINDOWS = {
    RuleKind.SCHEDULE: schedule.WINDOW,
    RuleKind.PRICE: price.WINDOW,
    RuleKind.POWER_CAP: power_cap.WINDOW,
    RuleKind.TEMPERATURE: temperature.WINDOW,
    RuleKind.SIGNAL: signals.WINDOW,
}


@dataclass(frozen=True, slots=True)
class Machines:
    """Those that a rule stops, or would stop: W and TH/s."""

    power_w: Decimal
    hashrate_ths: Decimal

    @property
    def efficiency_j_th(self) -> Decimal | None:
        return self.power_w / self.hashrate_ths if self.power_w > 0 and self.hashrate_ths > 0 else None


def wish_of(rule: CurtailmentRule, plans: Sequence[CurtailmentPlan], now: datetime) -> Wish:
    """What the rule's condition says at this moment; `plans` are those by which it holds machines. Raises BadSettings."""
    read = rule.read_settings()
    kind = RuleKind(rule.kind)
    if kind == RuleKind.SCHEDULE:
        return schedule.wish(read, ZoneInfo(rule.site.time_zone), now)
    if kind == RuleKind.PRICE:
        return price.wish(read, price=price_per_mwh(rule.site, now), break_even=break_even(rule, plans, now))
    if kind == RuleKind.POWER_CAP:
        return power_cap.wish(read, drawn_kw=drawn_kw(rule.site, now), held_back_kw=held_back_kw(plans))
    if kind == RuleKind.TEMPERATURE:
        inlet_c, machines = inlet(rule.site, now)
        return temperature.wish(read, inlet_c=inlet_c, machines=machines)
    return signal_wish(rule.source, now)


def limits_of(rule: CurtailmentRule, site_max_minutes: int) -> Limits:
    """The rule's own, within what the site allows."""
    read = rule.read_settings()
    return Limits(
        window=WINDOWS[RuleKind(rule.kind)],
        windows_above=getattr(read, "windows_above", 1),
        windows_below=getattr(read, "windows_below", 1),
        min_on=timedelta(minutes=rule.min_on_minutes),
        min_off=timedelta(minutes=rule.min_off_minutes),
        cool_down=timedelta(minutes=rule.cool_down_minutes),
        longest=timedelta(minutes=min(rule.max_minutes, site_max_minutes)),
    )


def memory_of(rule: CurtailmentRule) -> Memory:
    return Memory(
        active_since=rule.active_since,
        ended_at=rule.ended_at,
        rests=rule.rests,
        window=rule.counted_window,
        above=rule.windows_above,
        below=rule.windows_below,
    )


def memory_columns(memory: Memory) -> dict[str, object]:
    return {
        "active_since": memory.active_since,
        "ended_at": memory.ended_at,
        "rests": memory.rests,
        "counted_window": memory.window,
        "windows_above": memory.above,
        "windows_below": memory.below,
    }


def price_per_mwh(site: Site, now: datetime) -> Decimal | None:
    """In USD; None where no price holds, or in another currency."""
    found = price_at(site, now)
    return found.price_per_kwh * MWH if found and found.currency == "USD" else None


def hashprice_at(now: datetime) -> Decimal | None:
    """USD per PH/s and day after the pool's fee; None when the newest is older than six hours."""
    newest = (
        MarketSnapshot.objects.filter(
            hashprice_usd_per_ph_day__isnull=False, bucket__lte=now, bucket__gt=now - HASHPRICE_FRESH
        )
        .order_by("-bucket")
        .values_list("hashprice_usd_per_ph_day", flat=True)
        .first()
    )
    return None if newest is None else newest * (1 - pool_fee())


def pool_fee() -> Decimal:
    return Decimal(str(settings.POOL_FEE_PERCENT)) / 100


def break_even(rule: CurtailmentRule, plans: Sequence[CurtailmentPlan], now: datetime) -> Decimal | None:
    """In $/MWh, of the machines that it holds, or else of those that it would stop first."""
    hashprice = hashprice_at(now)
    efficiency = machines_of(rule, plans, now).efficiency_j_th
    if hashprice is None or efficiency is None or hashprice <= 0:
        return None
    return break_even_usd_per_mwh(hashprice, efficiency)


def machines_of(rule: CurtailmentRule, plans: Sequence[CurtailmentPlan], now: datetime) -> Machines:
    """While it holds machines, those of its plans as planned: the rest of the farm says nothing about them."""
    if plans:
        found = PlanMiner.objects.filter(plan__in=plans, role=TargetRole.SELECTED).aggregate(
            power=Sum("baseline_w"), hashrate=Sum("hashrate_ths")
        )
        return Machines(found["power"] or ZERO, found["hashrate"] or ZERO)
    readings = (
        MinerLatest.objects.filter(
            miner__site=rule.site, miner__retired_at=None, seen_at__gt=now - FRESH, power_w__gt=0, hashrate_ths__gt=0
        )
        .order_by()
        .values_list("power_w", "hashrate_ths")
    )
    hashing = [(watts, ths) for watts, ths in readings if watts and ths]
    wasteful = sorted(hashing, key=lambda pair: pair[0] / pair[1], reverse=True)
    total = sum((power_w for power_w, _ in wasteful), ZERO)
    target = target_of(rule, total)
    power, hashrate = ZERO, ZERO
    for power_w, ths in wasteful:
        if target is not None and power >= target:
            break
        power, hashrate = power + power_w, hashrate + ths
    return Machines(power, hashrate)


def target_of(rule: CurtailmentRule, site_w: Decimal) -> Decimal | None:
    """W that the rule wants; None for every machine."""
    if rule.target_mw is not None:
        return rule.target_mw * 1_000_000
    return None if rule.share_percent is None else site_w * rule.share_percent / 100


def drawn_kw(site: Site, now: datetime) -> Decimal | None:
    """Power of the site's machines, each by its reading of the last five minutes; None when none was read."""
    watts = MinerLatest.objects.filter(
        miner__site=site, miner__retired_at=None, seen_at__gt=now - FRESH, power_w__isnull=False
    ).aggregate(watts=Sum("power_w"))["watts"]
    return None if watts is None else watts / 1000


def held_back_kw(plans: Sequence[CurtailmentPlan]) -> Decimal:
    """As measured, not as planned: until machines are confirmed to be off, nothing is."""
    return sum((plan.power_reduced or ZERO for plan in plans), ZERO) * 1000


def inlet(site: Site, now: datetime) -> tuple[Decimal | None, int]:
    """Mean of the inlets in °C, and how many machines report one."""
    found = MinerLatest.objects.filter(
        miner__site=site,
        miner__retired_at=None,
        seen_at__gt=now - DETAILS_FRESH,
        details_at__gt=now - DETAILS_FRESH,
        inlet_temperature_c__isnull=False,
    ).aggregate(mean=Avg("inlet_temperature_c"), machines=Count("pk"))
    return found["mean"], found["machines"]


def signal_wish(source: SignalSource | None, now: datetime) -> Wish:
    if source is None:
        raise ValueError("A signal rule has a source.")
    told = [
        signals.Told(signals.Kind(row.kind), row.event, row.received_at, row.starts_at, row.ends_at, row.mw, row.level)
        for row in Signal.objects.filter(source=source, received_at__gt=now - SIGNALS_KEPT).order_by("id")
    ]
    override = None
    if source.override and source.override_until and now < source.override_until:
        override = signals.FailSafe(source.override)
    return signals.wish(
        signals.demand(told, now),
        silent_for=silent_for(source, now),
        fail_safe=signals.FailSafe(source.fail_safe),
        override=override,
    )


def silent_for(source: SignalSource, now: datetime) -> timedelta | None:
    """How long a source that promised a heartbeat has not been heard, once that is too long."""
    if source.silent_after_s is None:
        return None
    quiet = now - (source.last_heard_at or source.created_at)
    return quiet if quiet > timedelta(seconds=source.silent_after_s) else None
