"""Sums and rows that pages show of a set of machines, each in one query."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, TypedDict

from django.db.models import Count, Max, Q, QuerySet, Sum
from django.utils import timezone

from hosting.models import Miner, Site, TelemetrySweep
from hosting.states import MinerStatus

# Older numbers are history, not the present: they are neither shown as current nor added up.
FRESH_FOR = timedelta(minutes=5)
KILO, MEGA = Decimal(1000), Decimal(1_000_000)


class Summary(TypedDict):
    """Counts by status, and sums over machines read within the last five minutes; None where nothing is known."""

    miners: int
    active: int
    offline: int
    maintenance: int
    curtailed: int
    hashrate_ths: Decimal | None
    power_kw: Decimal | None
    power_estimated: bool
    temperature_max_c: Decimal | None
    seen_at: datetime | None


def summarise(miners: "QuerySet[Miner]") -> Summary:
    """Sums over the machines in service."""
    fresh = Q(latest__seen_at__gt=timezone.now() - FRESH_FOR)
    found: dict[str, Any] = miners.filter(retired_at__isnull=True).aggregate(
        miners=Count("pk"),
        **{status.value: Count("pk", filter=Q(status=status)) for status in MinerStatus},
        hashrate_ths=Sum("latest__hashrate_ths", filter=fresh),
        power_w=Sum("latest__power_w", filter=fresh),
        estimated=Count("pk", filter=fresh & Q(latest__power_estimated=True)),
        temperature_max_c=Max("latest__temperature_c", filter=fresh),
        seen_at=Max("latest__seen_at"),
    )
    power_w = found["power_w"]
    return Summary(
        miners=found["miners"],
        active=found["active"],
        offline=found["offline"],
        maintenance=found["maintenance"],
        curtailed=found["curtailed"],
        hashrate_ths=found["hashrate_ths"],
        power_kw=None if power_w is None else power_w / KILO,
        power_estimated=bool(found["estimated"]),
        temperature_max_c=found["temperature_max_c"],
        seen_at=found["seen_at"],
    )


class MinerLine(TypedDict):
    """One machine in a table; readings are None unless fresh."""

    id: int
    serial_number: str
    model: str | None
    manufacturer: str | None
    site_name: str | None
    client_name: str | None
    status: str
    status_label: str
    hashrate_ths: Decimal | None
    expected_ths: Decimal | None
    power_w: Decimal | None
    power_estimated: bool
    temperature_c: Decimal | None
    seen_at: datetime | None
    error: str | None


def line(miner: Miner, now: datetime) -> MinerLine:
    """Expects the machine joined `with_latest()`."""
    latest = getattr(miner, "latest", None)
    seen_at = latest.seen_at if latest else None
    fresh = latest if seen_at is not None and seen_at > now - FRESH_FOR else None
    return MinerLine(
        id=miner.pk,
        serial_number=miner.serial_number,
        model=miner.miner_model.name if miner.miner_model else None,
        manufacturer=miner.miner_model.manufacturer if miner.miner_model else None,
        site_name=miner.site.name if miner.site else None,
        client_name=str(miner.client) if miner.client else None,
        status=miner.status,
        status_label=miner.get_status_display(),
        hashrate_ths=fresh.hashrate_ths if fresh else None,
        expected_ths=miner.nameplate_ths or (miner.miner_model.hashrate if miner.miner_model else None),
        power_w=fresh.power_w if fresh else None,
        power_estimated=bool(fresh and fresh.power_estimated),
        temperature_c=fresh.temperature_c if fresh else None,
        seen_at=seen_at,
        error=latest.error if latest else None,
    )


def search(miners: "QuerySet[Miner]", wanted: Mapping[str, str]) -> "QuerySet[Miner]":
    """Narrow by `q` (serial, model, site), `status` and `site` (id); what makes no sense narrows to nothing."""
    if text := wanted.get("q", "").strip().replace("\x00", ""):
        miners = miners.filter(
            Q(serial_number__icontains=text) | Q(miner_model__name__icontains=text) | Q(site__name__icontains=text)
        )
    if status := wanted.get("status", ""):
        miners = miners.filter(status=status) if status in MinerStatus.values else miners.none()
    if site := wanted.get("site", ""):
        known = site.isascii() and site.isdecimal() and len(site) < 10
        miners = miners.filter(site=int(site)) if known else miners.none()
    return miners


def last_sweeps(site_id: int, *, count: int = 30) -> list[TelemetrySweep]:
    """The site's newest sweeps, newest first."""
    return list(TelemetrySweep.objects.filter(site=site_id).order_by("-minute")[:count])


def newest_sweeps() -> dict[int, TelemetrySweep]:
    """Each site's last sweep within a day, by site id."""
    recent = TelemetrySweep.objects.filter(minute__gt=timezone.now() - timedelta(days=1))
    return {sweep.site_id: sweep for sweep in recent.order_by("site_id", "-minute").distinct("site_id")}


class SiteLine(TypedDict):
    """One site in a table; sums are over machines read within the last five minutes."""

    id: int
    name: str
    location: str | None
    capacity_mw: Decimal | None
    total_miners: int
    active_miners: int
    hashrate_ths: Decimal | None
    power_mw: Decimal | None
    load_percent: Decimal | None
    sweep: TelemetrySweep | None


def site_lines(sites: "QuerySet[Site]") -> list[SiteLine]:
    """Every site with its sums and its last sweep, in two queries."""
    sweeps = newest_sweeps()
    fresh = Q(miners__latest__seen_at__gt=timezone.now() - FRESH_FOR, miners__retired_at__isnull=True)
    rows = sites.values("pk", "name", "location", "capacity_mw").annotate(
        total=Count("miners", filter=Q(miners__retired_at__isnull=True)),
        active=Count("miners", filter=Q(miners__status=MinerStatus.ACTIVE, miners__retired_at__isnull=True)),
        hashrate_ths=Sum("miners__latest__hashrate_ths", filter=fresh),
        power_w=Sum("miners__latest__power_w", filter=fresh),
    )
    return [
        SiteLine(
            id=row["pk"],
            name=row["name"],
            location=row["location"],
            capacity_mw=row["capacity_mw"],
            total_miners=row["total"],
            active_miners=row["active"],
            hashrate_ths=row["hashrate_ths"],
            power_mw=None if row["power_w"] is None else row["power_w"] / MEGA,
            load_percent=load_percent(row["power_w"], row["capacity_mw"]),
            sweep=sweeps.get(row["pk"]),
        )
        for row in rows.order_by("name", "pk")
    ]


def load_percent(power_w: Decimal | None, capacity_mw: Decimal | None) -> Decimal | None:
    """Power drawn as a share of the site's capacity; None when either is unknown."""
    return None if power_w is None or not capacity_mw else 100 * power_w / MEGA / capacity_mw
