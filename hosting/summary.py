"""Sums and rows that pages show of a set of machines, each in one query."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, TypedDict

from django.db.models import Count, Max, Q, QuerySet, Sum
from django.utils import timezone

from hosting.models import Miner, TelemetrySweep
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
    fresh = Q(latest__seen_at__gt=timezone.now() - FRESH_FOR)
    found: dict[str, Any] = miners.aggregate(
        miners=Count("pk"),
        **{status.value: Count("pk", filter=Q(status=status)) for status in MinerStatus},
        hashrate_ths=Sum("latest__hashrate_ths", filter=fresh),
        power_w=Sum("latest__power_w", filter=fresh),
        estimated=Count("pk", filter=fresh & Q(latest__power_estimated=True)),
        temperature_max_c=Max("latest__temperature_c", filter=fresh),
        seen_at=Max("latest__seen_at"),
    )
    power_w = found.pop("power_w")
    estimated = found.pop("estimated")
    return Summary(**found, power_kw=None if power_w is None else power_w / KILO, power_estimated=bool(estimated))


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
        expected_ths=miner.miner_model.hashrate if miner.miner_model else None,
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


def last_sweeps(site_id: int, *, count: int = 30) -> list[dict[str, Any]]:
    """The site's newest sweeps, newest first."""
    return list(
        TelemetrySweep.objects.filter(site=site_id)
        .order_by("-minute")
        .values("minute", "miners", "stored", "failed", "rejected_values", "wall_s")[:count]
    )


def newest_sweeps() -> dict[int, dict[str, Any]]:
    """Each site's last sweep, by site id."""
    rows = (
        TelemetrySweep.objects.filter(minute__gt=timezone.now() - timedelta(days=1))
        .order_by("site", "-minute")
        .distinct("site")
        .values("site", "minute", "miners", "stored", "failed", "wall_s")
    )
    return {row["site"]: row for row in rows}
